"""Learning symbols: steps of gradient descent over a corpus.  Corpus -> weights.

Legend: B rows, T steps.
"""

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stepahead.data.symbols import Corpus
from stepahead.errors import TrainingError
from stepahead.nn.network import weights_of
from stepahead.nn.symbol_network import SymbolNetwork
from stepahead.parameters import SEED_STRIDE
from stepahead.runtime.symbols import Shape
from stepahead.symbol_recipe import SymbolPlan

Arrays = dict[str, NDArray[Any]]
Progress = Callable[["SymbolReport"], None]
Batch = tuple[Tensor, Tensor, bool]  # codes [B, T], targets [B, T] (-1: none), whether the state is carried over

FULL_SOFTMAX = 8192  # classes up to which every class enters every step's loss
SAMPLED = 2048  # classes drawn in place of all others beyond that


@dataclass(frozen=True)
class SymbolReport:
    """Where the training stands. loss: mean of the epoch so far, nats a symbol; valid: of the best check, or None."""

    step: int
    max_steps: int
    loss: float
    valid: float | None
    rows_per_second: float


@dataclass
class Learned:
    """weights by name; loss: the last epoch's; history: (step, loss, valid) an epoch; stopped: why it ended."""

    weights: Arrays
    loss: float = math.inf
    history: list[tuple[int, float, float]] = field(default_factory=list)
    stopped: str = "epochs"


def learn_members(
    shape: Shape, parts: Sequence[tuple[Corpus, Corpus | None]], plan: SymbolPlan, progress: Progress | None = None
) -> list[Learned]:
    """Train networks that differ by seed, one after another, each on its own corpus and `valid`.

    Returns: of each what `learn` returns. Ctrl-C ends the training and keeps what was learned.
    """
    members = list[Learned]()
    for m, (corpus, valid) in enumerate(parts):
        own = replace(plan, seed=plan.seed + SEED_STRIDE * m)
        learned = learn(shape, corpus, own, valid, progress and _in_turn(progress, m, len(parts)))
        if m == 0 or learned.history:  # a network interrupted in its first epoch knows nothing yet
            members.append(learned)
        if learned.stopped == "interrupted":
            members[-1].stopped = learned.stopped
            break
    return members


def learn(
    shape: Shape, corpus: Corpus, plan: SymbolPlan, valid: Corpus | None = None, progress: Progress | None = None
) -> Learned:
    """Train a network on a corpus, anew from other weights while the loss is not good enough.

    Returns: the weights that did best on `valid` (the last ones without it). Ctrl-C ends the training and keeps those.
    Raises: TrainingError when the loss is no longer a number.
    """
    with torch.random.fork_rng(devices=[]):
        best = Learned({})
        for attempt in range(plan.restarts + 1):
            torch.manual_seed(plan.seed + 1_000_003 * attempt)
            learned = learn_once(shape, corpus, plan, valid, progress)
            if not best.weights or learned.loss < best.loss:
                best = learned
            if learned.stopped == "interrupted":
                best.stopped = learned.stopped
            if best.loss <= plan.good or learned.stopped == "interrupted":
                break
    return best


def learn_once(
    shape: Shape, corpus: Corpus, plan: SymbolPlan, valid: Corpus | None, progress: Progress | None
) -> Learned:
    """One training from the weights that torch's random state gives."""
    course = set_out(shape, corpus, plan)
    kept = course.network if course.mean is None else course.mean.module
    learned, best, bad = Learned(weights_of(course.network)), math.inf, 0
    try:
        for _ in range(plan.epochs):
            loss = epoch(course, corpus, plan, best, progress)
            score = -course.step if valid is None or plan.patience is None else validate(kept, valid, plan)
            learned.history.append((course.step, loss, score))
            learned.loss = loss
            bad = 0 if score < best else bad + 1
            if score < best:
                best, learned.weights = score, weights_of(kept)
            if plan.patience is not None and bad > plan.patience:
                learned.stopped = "patience"
                break
    except KeyboardInterrupt:
        learned.stopped = "interrupted"
    return learned


@dataclass
class Course:
    """A training under way. mean: of the weights so far, or None. steps: of all epochs; step: those taken."""

    network: SymbolNetwork
    optimizer: torch.optim.Optimizer
    mean: Any
    rng: np.random.Generator
    steps: int
    step: int = 0


def set_out(shape: Shape, corpus: Corpus, plan: SymbolPlan) -> Course:
    """A training before its first step."""
    network = SymbolNetwork(shape)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay, fused=True
    )
    mean = torch.optim.swa_utils.AveragedModel(network, multi_avg_fn=_average(plan.average)) if plan.average else None
    steps = plan.epochs * sum(1 for _ in batches(corpus, plan, np.random.default_rng(0)))
    return Course(network, optimizer, mean, np.random.default_rng(plan.seed), steps)


def epoch(course: Course, corpus: Corpus, plan: SymbolPlan, best: float, progress: Progress | None) -> float:
    """Take a step for each batch of one pass over the corpus.  best: of the checks so far, to be told of.

    Returns: the mean loss before each step, nats a symbol. Raises: TrainingError when it is no longer a number.
    """
    network, optimizer, shape, rng = course.network, course.optimizer, course.network.shape, course.rng
    parameters = list(network.parameters())
    total, count, state, begun = 0.0, 0, None, time.perf_counter()
    for codes, targets, carry in batches(corpus, plan, rng):
        optimizer.param_groups[0]["lr"] = plan.learning_rate * one_cycle(course.step, course.steps)
        state = _detached(state) if carry else None
        hidden, state = network(_hidden_some(codes, shape, plan, rng), state)
        size = int((targets >= 0).sum())
        loss = network.loss(hidden, targets, _candidates(shape, rng), 1 / size)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, plan.clip)
        optimizer.step()
        if course.mean is not None:
            course.mean.update_parameters(network)
        total, count, course.step = total + float(loss.detach()) * size, count + size, course.step + 1
        if progress and course.step % 20 == 0:
            known = best if plan.patience is not None and math.isfinite(best) else None
            speed = count / (time.perf_counter() - begun)
            progress(SymbolReport(course.step, course.steps, total / count, known, speed))
    if not math.isfinite(total):
        raise TrainingError(
            f"step {course.step}: the loss is no longer a number; lower learning_rate={plan.learning_rate}"
        )
    return total / count


def _in_turn(progress: Progress, m: int, ensemble: int) -> Progress:
    """Reports of member m as a part of the whole work."""

    def report(one: SymbolReport) -> None:
        progress(replace(one, step=one.step + m * one.max_steps, max_steps=one.max_steps * ensemble))

    return report


def batches(corpus: Corpus, plan: SymbolPlan, rng: np.random.Generator) -> Iterator[Batch]:
    """One pass over the corpus: ragged batches of like length, or streams of one text with the state carried over."""
    inputs, targets, offsets = corpus.steps()
    if corpus.vocabulary.end:
        yield from _ragged(inputs, targets, offsets, plan, rng)
    else:
        yield from _streams(inputs, targets, plan, rng)


def _ragged(inputs: Any, targets: Any, offsets: Any, plan: SymbolPlan, rng: np.random.Generator) -> Iterator[Batch]:
    lengths = np.diff(offsets)
    # Sorted by length with some noise: little padding, yet other neighbours in every epoch.
    order = np.argsort(lengths + rng.uniform(0, 2, len(lengths)), kind="stable")
    groups = [order[i : i + plan.rows] for i in range(0, len(order), plan.rows)]
    for place in rng.permutation(len(groups)):
        rows = groups[place]
        for start in range(0, int(lengths[rows].max()), plan.window):
            steps = np.arange(start, min(start + plan.window, int(lengths[rows].max())))
            valid = steps < lengths[rows][:, None]  # [B, T]
            places = np.where(valid, offsets[rows][:, None] + steps, 0)
            yield _tensor(inputs[places]), _tensor(np.where(valid, targets[places].astype(np.int64), -1)), start > 0


def _streams(inputs: Any, targets: Any, plan: SymbolPlan, rng: np.random.Generator) -> Iterator[Batch]:
    rows = max(1, min(plan.rows, len(inputs) // max(plan.window, 2)))
    length = len(inputs) // rows
    # Another start in every epoch: other cuts, so that all symbols are learned from with all contexts.
    spare = len(inputs) - rows * length
    shift = int(rng.integers(spare + 1))
    first = int(rng.integers(plan.window)) if length > plan.window else 0
    x, y = (a[shift : shift + rows * length].reshape(rows, length) for a in (inputs, targets))
    cuts = [0, *range(first or plan.window, length, plan.window), length]
    for start, stop in itertools.pairwise(cuts):
        yield _tensor(x[:, start:stop]), _tensor(y[:, start:stop]), start > 0


def _tensor(array: Any) -> Tensor:
    return torch.as_tensor(array.astype(np.int64))


def _hidden_some(codes: Tensor, shape: Shape, plan: SymbolPlan, rng: np.random.Generator) -> Tensor:
    if plan.unseen:
        codes = torch.where(torch.as_tensor(rng.random(tuple(codes.shape)) < plan.unseen), shape.inputs, codes)
    if shape.times and plan.untimed:
        rows, steps = codes.shape
        # From some step on, or from the first: so it learns to go on where no times are known.
        last = np.where(rng.random(rows) < plan.untimed, rng.integers(0, steps, rows), steps)
        hide = torch.as_tensor(np.arange(steps) >= last[:, None])
        codes = torch.where(hide, codes % (shape.inputs + 1), codes)
    return codes


def _candidates(shape: Shape, rng: np.random.Generator) -> Tensor | None:
    if shape.classes <= FULL_SOFTMAX:
        return None
    return torch.as_tensor(np.unique(rng.integers(shape.classes, size=SAMPLED)))


def _detached(state: Any) -> Any:
    if state is None or isinstance(state, Tensor):
        return None if state is None else state.detach()
    return tuple(part.detach() for part in state)


def _average(weight: float) -> Any:
    # A young mean forgets faster, or it would drag its first, random weights along.
    def update(means: list[Tensor], weights: list[Tensor], count: Tensor | int) -> None:
        keep = min(weight, (1 + float(count)) / (10 + float(count)))
        torch._foreach_lerp_(means, weights, 1 - keep)

    return update


def one_cycle(step: int, steps: int) -> float:
    """Up over the first 5 % of the steps, down by a cosine (Smith 2018): the fraction of the peak rate."""
    rise = max(1, steps // 20)
    if step < rise:
        return (step + 1) / rise
    return 0.01 + 0.99 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise))) / 2


@torch.no_grad()
def validate(network: Any, corpus: Corpus, plan: SymbolPlan) -> float:
    """Mean surprise in nats a symbol on a corpus, less what was never met: it costs every network the same."""
    network.eval()
    total, count, state = 0.0, 0, None
    for codes, targets, carry in batches(corpus, plan, np.random.default_rng(0)):
        targets = torch.where(targets < network.shape.classes, targets, -1)
        hidden, state = network(codes, state if carry else None)
        total += float(network.loss(hidden, targets))
        count += int((targets >= 0).sum())
    network.train()
    return total / max(count, 1)

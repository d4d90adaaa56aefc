"""Learning symbols: a recurrent network with a softmax head.  Corpus -> weights.

Legend: B rows, T steps, E inputs of the cell, D hidden, K classes.
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
from torch.nn import functional as F

from stepahead.data.symbols import Corpus
from stepahead.errors import TrainingError
from stepahead.nn.codes import LARGEST, read_codes, serves, softmax_loss, softmax_serves
from stepahead.nn.network import make_cell
from stepahead.runtime.symbols import Shape
from stepahead.symbol_recipe import SymbolPlan

Arrays = dict[str, NDArray[Any]]
Progress = Callable[["SymbolReport"], None]
Batch = tuple[Tensor, Tensor, bool]  # codes [B, T], targets [B, T] (-1: none), whether the state is carried over

FULL_SOFTMAX = 8192  # classes up to which every class enters every step's loss
SEED_STRIDE = 1000  # between the members of an ensemble, so that seeds 1, 2, 3 of a user share no member
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


class SymbolNetwork(nn.Module):
    """Embedding or one-hot, a recurrent stack, dropout, and a linear head, tied to the embedding if asked.

    Source: tied weights, Press and Wolf 2017; dropout between layers only, Zaremba et al. 2014.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        width = shape.embedding or shape.inputs + shape.times
        if shape.embedding:
            self.embedding = nn.Embedding(shape.inputs + 1, width, padding_idx=shape.inputs)
        if shape.embedding and shape.times:
            self.times = nn.Embedding(shape.times + 1, width, padding_idx=0)
        self.cell = make_cell(shape.cell, width, shape.hidden_size, shape.num_layers, shape.dropout)
        self.dropout = nn.Dropout(shape.dropout)
        self.head: nn.Linear | Bias = Bias(shape.classes) if shape.tied else nn.Linear(shape.hidden_size, shape.classes)
        if shape.tied:
            self.projection = nn.Linear(shape.hidden_size, width, bias=False)
            nn.init.normal_(self.embedding.weight, std=width**-0.5)

    def forward(self, codes: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """codes [B, T] -> hidden [B, T, D] after dropout, and the state. Codes: see `Engine`."""
        if not self.shape.embedding or (self.shape.inputs + 1) * (self.shape.times + 1) <= LARGEST:
            symbols, times = self._vectors()
            table = (times[:, None] + symbols).flatten(0, 1)  # [(times + 1) * V, E]
            # A symbol loses the same numbers wherever it stands: the table of its products stays a table.
            return self._read(codes, self.dropout(table) if self.shape.embedding else table, state)
        vectors = self.embedding(codes % (self.shape.inputs + 1))
        if self.shape.times:
            vectors = vectors + self.times(codes // (self.shape.inputs + 1))
        hidden, state = self.cell(self.dropout(vectors), state)
        return self.dropout(hidden), state

    def _vectors(self) -> tuple[Tensor, Tensor]:
        """Of symbols [V, E], the last, one never seen, of zeros; of times [times + 1, E], the first of zeros."""
        shape = self.shape
        if shape.embedding:
            times = self.times.weight[1:] if shape.times else self.embedding.weight.new_zeros(0, shape.embedding)
            return F.pad(self.embedding.weight[:-1], (0, 0, 0, 1)), F.pad(times, (0, 0, 1, 0))
        columns = torch.eye(shape.inputs + shape.times)
        return F.pad(columns[: shape.inputs], (0, 0, 0, 1)), F.pad(columns[shape.inputs :], (0, 0, 1, 0))

    def _read(self, codes: Tensor, vectors: Tensor, state: Any) -> tuple[Tensor, Any]:
        """vectors: what the cell reads for each code, [V, E]."""
        if serves(self.cell, codes, len(vectors)):
            weight, bias = self.cell.get_parameter("weight_ih_l0"), self.cell.get_parameter("bias_ih_l0")
            table = F.linear(vectors, weight, bias)
            hidden, state = read_codes(self.cell, codes, table, state)
        else:
            hidden, state = self.cell(F.embedding(codes, vectors), state)
        return self.dropout(hidden), state

    def rows(self) -> Tensor:
        """The vectors that the classes are compared with: [K, D], or [K, E] where tied."""
        return self.head.weight if isinstance(self.head, nn.Linear) else self.embedding.weight[: self.shape.classes]

    def loss(self, hidden: Tensor, targets: Tensor, sampled: Tensor | None = None, scale: float = 1.0) -> Tensor:
        """Summed surprise in nats of targets [B, T], those of -1 left out, times scale."""
        flat, true = hidden.flatten(0, 1), targets.flatten()  # [N, D], [N]
        if self.shape.tied:
            flat = self.projection(flat)
        if sampled is None and softmax_serves(flat, self.rows()):
            return softmax_loss(flat, self.rows(), self.head.bias, true, scale)
        known = true >= 0
        if not bool(known.all()):
            flat, true = flat[known], true[known]
        if sampled is None:
            return F.cross_entropy(F.linear(flat, self.rows(), self.head.bias), true, reduction="sum") * scale
        return self._sampled(flat, true, sampled) * scale

    def _sampled(self, flat: Tensor, true: Tensor, sampled: Tensor) -> Tensor:
        """Only the batch's own classes and a drawn sample compete; the drawn are weighed by how rarely they are drawn.

        Source: importance-sampled softmax, Bengio and Senecal 2008, the candidates shared by the batch.
        """
        own = true.unique()
        others = sampled[~torch.isin(sampled, own)]
        candidates = torch.cat([own, others])
        logits = F.linear(flat, self.rows()[candidates], self.head.bias[candidates])
        if len(others):
            logits[:, len(own) :] += math.log((self.shape.classes - len(own)) / len(others))
        return F.cross_entropy(logits, torch.searchsorted(own, true), reduction="sum")


class Bias(nn.Module):
    """The bias of a head whose weight belongs to the embedding."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(classes))


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
    rng = np.random.default_rng(plan.seed)
    network = SymbolNetwork(shape)
    parameters = list(network.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=plan.learning_rate, weight_decay=plan.weight_decay, fused=True)
    steps = plan.epochs * sum(1 for _ in batches(corpus, plan, np.random.default_rng(0)))
    mean = torch.optim.swa_utils.AveragedModel(network, multi_avg_fn=_average(plan.average)) if plan.average else None
    learned, best, step, bad = Learned(arrays(network)), math.inf, 0, 0
    try:
        for _ in range(plan.epochs):
            total, count, state, begun = 0.0, 0, None, time.perf_counter()
            for codes, targets, carry in batches(corpus, plan, rng):
                optimizer.param_groups[0]["lr"] = plan.learning_rate * one_cycle(step, steps)
                state = _detached(state) if carry else None
                hidden, state = network(_hidden_some(codes, shape, plan, rng), state)
                size = int((targets >= 0).sum())
                loss = network.loss(hidden, targets, _candidates(shape, rng), 1 / size)
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(parameters, plan.clip)
                optimizer.step()
                if mean is not None:
                    mean.update_parameters(network)
                total, count, step = total + float(loss.detach()) * size, count + size, step + 1
                if progress and step % 20 == 0:
                    valid_best = best if plan.patience is not None and math.isfinite(best) else None
                    progress(
                        SymbolReport(step, steps, total / count, valid_best, count / (time.perf_counter() - begun))
                    )
            if not math.isfinite(total):
                raise TrainingError(
                    f"step {step}: the loss is no longer a number; lower learning_rate={plan.learning_rate}"
                )
            kept = mean.module if mean is not None else network
            score = validate(kept, valid, plan) if valid is not None and plan.patience is not None else -step
            learned.history.append((step, total / count, score))
            learned.loss = total / count
            bad = 0 if score < best else bad + 1
            if score < best:
                best, learned.weights = score, arrays(kept)
            if plan.patience is not None and bad > plan.patience:
                learned.stopped = "patience"
                break
    except KeyboardInterrupt:
        learned.stopped = "interrupted"
    return learned


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


def arrays(network: nn.Module) -> Arrays:
    """A copy of all weights by name."""
    return {name: value.detach().cpu().numpy().copy() for name, value in network.state_dict().items()}

"""What follows?  Codes and weights -> logits, surprise and continuations, without torch.

Legend: B rows, T steps, E inputs of the cell, D hidden, K classes, L layers.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stepahead.errors import ConfigError
from stepahead.runtime.cell import State, Stepper, scan

Array = NDArray[Any]
Weights = Mapping[str, Array]

CELLS_AT_ONCE = 1 << 22  # logits held at a time: 32 MiB of doubles


@dataclass(frozen=True)
class Shape:
    """The network that predicts symbols.

    inputs: symbols that can be read (one-hot columns, or rows of the embedding). classes: outcomes.
    embedding: its width, 0 for one-hot. tied: the head uses the embedding's rows, after a projection from D to E.
    """

    cell: str
    inputs: int
    classes: int
    hidden_size: int
    num_layers: int = 1
    embedding: int = 0
    tied: bool = False
    dropout: float = 0.0


@dataclass(frozen=True)
class Engine:
    """A network's arrays, ready to run: cell by torch's names, embedding [inputs + 1, E] whose last row is zero."""

    shape: Shape
    cell: Weights
    embedding: Array
    head: Array  # [K, D]
    bias: Array  # [K]

    @classmethod
    def build(cls, shape: Shape, weights: Weights) -> "Engine":
        """From the weights that training left: embedding, cell.*, head.*, projection where tied."""
        cell = {
            name.removeprefix("cell."): np.ascontiguousarray(w) for name, w in weights.items() if name[:5] == "cell."
        }
        unit = np.eye(shape.inputs, dtype=np.float32) if not shape.embedding else weights["embedding.weight"][:-1]
        # A symbol that was never seen is no one-hot column, and no vector: zeros.
        embedding = np.vstack([unit, np.zeros((1, unit.shape[1]), unit.dtype)])
        head = weights["head.weight"] if not shape.tied else embedding[: shape.classes] @ weights["projection.weight"]
        return cls(shape, cell, embedding, np.ascontiguousarray(head), weights["head.bias"])

    @cached_property
    def stepper(self) -> Stepper:
        """The cell, packed for going step by step."""
        return Stepper(self.shape.cell, self.cell)

    def zero_state(self, rows: int = 1) -> State:
        return self.stepper.zero_state(rows)

    def run(self, codes: Array, state: State | None = None) -> tuple[Array, State]:
        """Read codes [B, T] -> hidden states of the last layer [B, T, D], and the state after them."""
        return scan(self.shape.cell, self.embedding[codes], self.cell, state=state)

    def log_probabilities(self, hidden: Array) -> Array:
        """Hidden [..., D] -> natural log-probabilities [..., K], in double precision."""
        logits = (hidden @ self.head.T + self.bias).astype(np.float64)
        logits -= logits.max(axis=-1, keepdims=True)
        logits -= np.log(np.exp(logits).sum(axis=-1, keepdims=True))
        return logits


@dataclass(frozen=True)
class Told:
    """What a model said of each step: surprise [N] in nats, rank [N] of the true symbol (0: it was first), best [N]."""

    surprise: Array
    rank: Array
    best: Array


def tell(engine: Engine, inputs: Array, targets: Array, offsets: Array, *, unseen: float, skip: int = -1) -> Told:
    """How each target was foreseen, sequence by sequence.

    Args:
        inputs, targets: [N] codes. offsets: [S+1], where sequences start.
        unseen: surprise in nats of a target that is no class.
        skip: a class that cannot be the answer (the end, where it is known that more comes), or -1.
    """
    told = Told(np.empty(len(targets)), np.empty(len(targets), np.int64), np.empty(len(targets), np.int64))
    for places, hidden in walk(engine, inputs, offsets):
        for part in range(0, len(places), max(1, CELLS_AT_ONCE // engine.shape.classes)):
            where = places[part : part + max(1, CELLS_AT_ONCE // engine.shape.classes)]
            scores = engine.log_probabilities(hidden[part : part + len(where)])
            judge(without(scores, skip), targets[where], told, where, unseen)
    return told


def judge(scores: Array, targets: Array, told: Told, where: Array, unseen: float) -> None:
    """Write what log-probabilities [n, K] say of targets [n] into the places `where` [n] of told."""
    known = targets < scores.shape[1]
    target = np.where(known, targets, 0)
    true = np.take_along_axis(scores, target[:, None].astype(np.int64), axis=1)
    told.surprise[where] = np.where(known, -true[:, 0], unseen)
    # Ties go to the earlier class, as argmax gives them.
    ahead = (scores > true).sum(axis=1) + ((scores == true) & (np.arange(scores.shape[1]) < target[:, None])).sum(
        axis=1
    )
    told.rank[where] = np.where(known, ahead, scores.shape[1])
    told.best[where] = scores.argmax(axis=1)


def without(scores: Array, skip: int) -> Array:
    """Log-probabilities [n, K] given that it is not the class `skip`, which may be -1 for none."""
    if skip < 0:
        return scores
    scores[:, skip] = -np.inf
    return scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))


def walk(engine: Engine, inputs: Array, offsets: Array) -> Iterator[tuple[Array, Array]]:
    """Run all sequences -> (places [n], hidden [n, D]) in pieces of bounded size.

    Short sequences of like length go side by side; a long one goes alone, its state carried from piece to piece.
    """
    budget = max(64, CELLS_AT_ONCE // (8 * max(engine.shape.hidden_size, engine.embedding.shape[1])))
    lengths = np.diff(offsets)
    order = np.argsort(lengths, kind="stable")
    order = order[lengths[order] > 0]
    while len(order):
        longest = lengths[order[-1]]
        rows = order[-max(1, budget // longest) :]
        order = order[: -len(rows)]
        state: State | None = None
        for start in range(0, longest, budget):
            steps = np.arange(start, min(start + budget, longest))
            places = offsets[rows][:, None] + steps
            valid = steps < lengths[rows][:, None]
            hidden, state = engine.run(inputs[np.where(valid, places, offsets[rows][:, None])], state)
            yield places[valid], hidden[valid]


class SymbolStream:
    """One sequence, code by code: `push_code` costs the same however many came before.

    state: the hidden state, a value. log_probabilities: [K] natural logs, of what comes next.
    """

    def __init__(self, engine: Engine, state: State | None = None, log_probabilities: Array | None = None) -> None:
        self.engine = engine
        self.state = engine.zero_state() if state is None else state
        self.log_probabilities = log_probabilities

    def push_code(self, code: int) -> Array:
        """Read one symbol; log-probabilities [K] of the next."""
        hidden, self.state = self.engine.stepper.step(self.engine.embedding[[code]], self.state)
        self.log_probabilities = self.engine.log_probabilities(hidden[0])
        return self.log_probabilities


def generate(engine: Engine, state: State, code: int, length: int, end: int) -> Iterator[int]:
    """The likeliest codes after `code`, which the state has not read yet; stops before the class `end` (-1: none).

    As pushing and picking at temperature 0, without the sums that only probabilities need.
    """
    state = tuple(part.copy() for part in state)
    rows = [engine.embedding[[row]] for row in range(min(len(engine.embedding), 4096))]
    hidden = state[0][-1, 0]  # [D], moves with the state
    logits = np.empty(len(engine.bias), engine.bias.dtype)
    advance, head, bias = engine.stepper.advance, engine.head, engine.bias
    for _ in range(length):
        advance(rows[code] if code < len(rows) else engine.embedding[[code]], state)
        np.dot(head, hidden, out=logits)
        np.add(logits, bias, out=logits)
        code = int(logits.argmax())
        if code == end:
            return
        yield code


def pick(
    log_probabilities: Array, rng: np.random.Generator, *, temperature: float, top_k: int | None, top_p: float | None
) -> int:
    """Choose a class: the likeliest at temperature 0, else drawn from those that top_k and top_p leave.

    Source: top_p is nucleus sampling, Holtzman et al. 2020: the fewest classes whose probabilities reach top_p.
    """
    if temperature == 0:
        return int(log_probabilities.argmax())
    order = np.argsort(-log_probabilities, kind="stable")[:top_k]
    scaled = log_probabilities[order] / temperature
    odds = np.exp(scaled - scaled.max())
    odds /= odds.sum()
    if top_p is not None:
        odds = odds[: int(np.searchsorted(np.cumsum(odds), top_p)) + 1]
    return int(order[rng.choice(len(odds), p=odds / odds.sum())])


def check_sampling(temperature: float, top_k: int | None, top_p: float | None) -> None:
    """Refuse what cannot be.

    Raises:
        ConfigError: temperature below 0, top_k below 1, or top_p outside (0, 1].
    """
    if not temperature >= 0 or not np.isfinite(temperature):
        raise ConfigError(f"temperature={temperature}: must be 0 (always the likeliest) or more; 1 samples as learned")
    if top_k is not None and top_k < 1:
        raise ConfigError(f"top_k={top_k}: must be at least 1")
    if top_p is not None and not 0 < top_p <= 1:
        raise ConfigError(f"top_p={top_p}: must lie in (0, 1]")

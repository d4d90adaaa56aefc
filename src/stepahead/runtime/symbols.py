"""What follows?  Codes and weights -> logits, surprise and continuations, without torch.

Legend: B rows, T steps, E inputs of the cell, D hidden, K classes, L layers.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stepahead.errors import ConfigError
from stepahead.parameters import check_whole, is_number
from stepahead.runtime.cell import State, Stepper, cell_shapes, check_shapes, scan

Array = NDArray[Any]
Weights = Mapping[str, Array]

CELLS_AT_ONCE = 1 << 22  # logits held at a time: 32 MiB of doubles
CELLS_IN_CACHE = 1 << 16  # of which so many are gone through again and again: the second cache holds them
AT_A_TIME = 4096  # symbols that are generated before an interrupt is heard


@dataclass(frozen=True)
class Shape:
    """The network that predicts symbols.

    inputs: symbols that can be read (one-hot columns, or rows of the embedding). classes: outcomes.
    embedding: its width, 0 for one-hot. tied: the head uses the embedding's rows, after a projection from D to E.
    times: buckets of the time since the symbol before, whose vectors are added to the symbols'; 0 for none.
    """

    cell: str
    inputs: int
    classes: int
    hidden_size: int
    num_layers: int = 1
    embedding: int = 0
    tied: bool = False
    dropout: float = 0.0
    times: int = 0


def shapes_of(shape: Shape) -> dict[str, tuple[int, ...]]:
    """The shape of each array of a network."""
    width = shape.embedding or shape.inputs + shape.times
    wanted = cell_shapes(shape.cell, width, shape.hidden_size, shape.num_layers, prefix="cell.")
    wanted["head.bias"] = (shape.classes,)
    if shape.embedding:
        wanted["embedding.weight"] = (shape.inputs + 1, width)
    if shape.embedding and shape.times:
        wanted["times.weight"] = (shape.times + 1, width)
    name, rows = ("projection.weight", width) if shape.tied else ("head.weight", shape.classes)
    return wanted | {name: (rows, shape.hidden_size)}


class Reader(Protocol):
    """What reads codes and says what comes next: one network (Engine), or several as one (`symbol_ensemble.Ensemble`).

    width: the widest row of numbers that reading a symbol takes. members: the networks. generator: the kernel's way to
    go on symbol by symbol, or None.
    """

    @property
    def shape(self) -> Shape: ...
    @property
    def width(self) -> int: ...
    @property
    def members(self) -> "tuple[Engine, ...]": ...
    @property
    def generator(self) -> Any: ...
    def zero_state(self, rows: int = 1) -> State:
        """Of rows sequences before their first symbol; parts [.., B, D]."""

    def run(self, codes: Array, state: State | None = None) -> tuple[Array, State]:
        """Read codes [B, T] -> what the heads take, [B, T, H], and the state after them."""

    def advance(self, codes: Array, state: State) -> None:
        """Read one code of each row, [B]; the state itself moves on."""

    def last(self, state: State) -> Array:
        """What the heads take after the symbols that led to a state: [B, H]."""

    def log_probabilities(self, hidden: Array) -> Array:
        """[..., H] -> natural log-probabilities [..., K], in double precision."""

    def log_probabilities_of(self, classes: Array, hidden: Array) -> Array:
        """[n], [n, H] -> of each row that of one class alone, [n]: the same bits, sooner."""


@dataclass(frozen=True)
class Engine:
    """A network's arrays, ready to run: cell by torch's names, embedding [inputs + 1, E] whose last row is zero.

    times: [times + 1, E] whose first row, of a time that is not known, is zero. A code beyond the symbols' says both:
    symbol + (inputs + 1) * bucket.
    """

    shape: Shape
    cell: Weights
    embedding: Array
    head: Array  # [K, D]
    bias: Array  # [K]
    times: Array | None = None

    @classmethod
    def build(cls, shape: Shape, weights: Weights) -> "Engine":
        """From the weights that training left: embedding, cell.*, head.*, projection where tied.

        Raises: ConfigError for one that is absent or of another shape.
        """
        check_shapes(weights, shapes_of(shape))
        cell = {
            name.removeprefix("cell."): np.ascontiguousarray(w) for name, w in weights.items() if name[:5] == "cell."
        }
        width = shape.inputs + shape.times
        unit = weights["embedding.weight"][:-1] if shape.embedding else np.eye(shape.inputs, width, dtype=np.float32)
        # A symbol that was never seen is no one-hot column, and no vector: zeros.
        embedding = np.vstack([unit, np.zeros((1, unit.shape[1]), unit.dtype)])
        times = None
        if shape.times:
            columns = None if shape.embedding else np.eye(shape.times + 1, width, shape.inputs - 1, np.float32)
            times = np.array(weights["times.weight"] if columns is None else columns)
            times[0] = 0
        head = weights["head.weight"] if not shape.tied else embedding[: shape.classes] @ weights["projection.weight"]
        return cls(shape, cell, embedding, np.ascontiguousarray(head), weights["head.bias"], times)

    def __getstate__(self) -> dict[str, Any]:
        """The arrays; a copy packs its own stepper, which holds addresses."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def stepper(self) -> Stepper:
        """The cell, packed for going step by step."""
        return Stepper(self.shape.cell, self.cell)

    @property
    def width(self) -> int:
        return max(self.shape.hidden_size, self.embedding.shape[1])

    @property
    def members(self) -> "tuple[Engine, ...]":
        return (self,)

    @cached_property
    def generator(self) -> Any:
        """The kernel's way to go on symbol by symbol, or None where there is no kernel."""
        return self.stepper.generator(self.embedding, self.head, self.bias)

    def zero_state(self, rows: int = 1) -> State:
        return self.stepper.zero_state(rows)

    def run(self, codes: Array, state: State | None = None) -> tuple[Array, State]:
        """Read codes [B, T] -> hidden states of the last layer [B, T, D], and the state after them."""
        return scan(self.shape.cell, self.vectors(codes), self.cell, state=state)

    def advance(self, codes: Array, state: State) -> None:
        """Read one code of each row, [B]; the state itself moves on."""
        self.stepper.advance(self.vectors(codes), state)

    def last(self, state: State) -> Array:
        """The last layer's hidden state: [B, D]."""
        return state[0][-1]

    def vectors(self, codes: Array) -> Array:
        """What the cell reads for codes: [..., E]."""
        if self.times is None:
            return self.embedding[codes]
        bucket, symbol = np.divmod(codes, len(self.embedding))
        return self.embedding[symbol] + self.times[bucket]

    def log_probabilities(self, hidden: Array) -> Array:
        """Hidden [..., D] -> natural log-probabilities [..., K], in double precision."""
        logits = (hidden @ self.head.T + self.bias).astype(np.float64)
        logits -= logits.max(axis=-1, keepdims=True)
        logits -= np.log(np.exp(logits).sum(axis=-1, keepdims=True))
        return logits

    def log_probabilities_of(self, classes: Array, hidden: Array) -> Array:
        """Classes [n], hidden [n, D] -> log-probability of one class in each row, [n]; bits of `log_probabilities`."""
        logits = hidden @ self.head.T
        logits += self.bias
        found = np.empty(len(classes))
        rows = max(1, CELLS_IN_CACHE // self.shape.classes)
        for start in range(0, len(found), rows):
            part = slice(start, start + rows)
            some = logits[part].astype(np.float64)
            some -= some.max(axis=1, keepdims=True)
            own = np.take_along_axis(some, classes[part, None], axis=1)[:, 0]
            found[part] = own - np.log(np.exp(some, out=some).sum(axis=1))
        return found


@dataclass(frozen=True)
class Told:
    """What a model said of each step: surprise [N] in nats, rank [N] of the true symbol (0: it was first), best [N]."""

    surprise: Array
    rank: Array
    best: Array


def tell(engine: Reader, inputs: Array, targets: Array, offsets: Array, *, unseen: float, skip: int = -1) -> Told:
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


def walk(engine: Reader, inputs: Array, offsets: Array) -> Iterator[tuple[Array, Array]]:
    """Run all sequences -> (places [n], hidden [n, D]) in pieces of bounded size.

    Short sequences of like length go side by side; a long one goes alone, its state carried from piece to piece.
    """
    budget = max(64, CELLS_AT_ONCE // (8 * engine.width))
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

    def __init__(self, engine: Reader, state: State | None = None, log_probabilities: Array | None = None) -> None:
        self.engine = engine
        self.state = engine.zero_state() if state is None else state
        self.log_probabilities = log_probabilities

    def push_code(self, code: int) -> Array:
        """Read one symbol; log-probabilities [K] of the next."""
        state = tuple(np.array(part, np.float32, order="C") for part in self.state)
        self.engine.advance(np.array([code]), state)
        self.state, self.log_probabilities = state, self.engine.log_probabilities(self.engine.last(state)[0])
        return self.log_probabilities


@dataclass(frozen=True)
class Sampling:
    """How the next class is chosen. temperature: 0 always takes the likeliest. top_k, top_p: see `pick`; None: all."""

    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None


def generate(engine: Reader, state: State, code: int, uniforms: Array, end: int, sampling: Sampling) -> Array:
    """The codes that follow `code`, which the state has not read yet: [n] int64, at most one for each of uniforms.

    Args:
        state: a value, left as it is. uniforms: [length] in [0, 1), one for each choice. end: class that stops, or -1.
    """
    state = tuple(part.copy() for part in state)
    codes = np.empty(len(uniforms), np.int64)
    for first in range(0, len(codes), AT_A_TIME):
        part = codes[first : first + AT_A_TIME]
        count = _go_on(engine, state, code, uniforms[first : first + len(part)], end, sampling, part)
        if count < len(part):
            return codes[: first + count]
        code = int(part[-1])
    return codes


def _go_on(engine: Reader, state: State, code: int, uniforms: Array, end: int, sampling: Sampling, codes: Array) -> int:
    """Fill codes and move the state; how many came before the end."""
    if engine.generator is not None:
        drawn = np.ascontiguousarray(uniforms) if sampling.temperature else None
        cell_state = state[1] if engine.shape.cell == "lstm" else None
        top_k, top_p = sampling.top_k or 0, 1.0 if sampling.top_p is None else sampling.top_p
        return engine.generator.generate(
            state[0], cell_state, code, end, drawn, sampling.temperature, top_k, top_p, codes
        )
    for place, uniform in enumerate(uniforms):
        engine.advance(np.array([code]), state)
        code = pick(engine.log_probabilities(engine.last(state)[0]), float(uniform), sampling)
        if code == end:
            return place
        codes[place] = code
    return len(codes)


def pick(log_probabilities: Array, uniform: float, sampling: Sampling) -> int:
    """Choose a class: the likeliest at temperature 0, else the one that uniform in [0, 1) falls on.

    top_k leaves the k likeliest; of these top_p leaves the fewest whose probabilities reach that share.

    Source: nucleus sampling, Holtzman et al. 2020.
    """
    if sampling.temperature == 0:
        return int(log_probabilities.argmax())
    with np.errstate(over="ignore"):  # next to none is colder than any: the odds are 0
        odds = np.exp((log_probabilities - log_probabilities.max()) / sampling.temperature)
    order = np.arange(len(odds))
    if sampling.top_k is not None or sampling.top_p is not None:
        order = likeliest(odds, sampling.top_k)
    reached = np.cumsum(odds[order])
    if sampling.top_p is not None:
        reached = reached[: int(np.searchsorted(reached, sampling.top_p * reached[-1])) + 1]
    place = int(np.searchsorted(reached, uniform * reached[-1], side="right"))
    return int(order[min(place, len(reached) - 1)])


def likeliest(odds: Array, k: int | None) -> Array:
    """The places of the k greatest of odds [K], the greatest first, ties in order; None: of all.

    Of many classes a few are found without sorting the rest.
    """
    if k is None or k >= len(odds):
        return np.argsort(-odds, kind="stable")
    few = np.flatnonzero(odds >= np.partition(odds, len(odds) - k)[len(odds) - k])
    return few[np.argsort(-odds[few], kind="stable")[:k]]


def check_sampling(sampling: Sampling) -> None:
    """Refuse what cannot be.

    Raises:
        ConfigError: temperature below 0, a top_k that is no whole number of at least 1, or top_p outside (0, 1].
    """
    if not is_number(sampling.temperature) or not 0 <= sampling.temperature < np.inf:
        raise ConfigError(
            f"temperature={sampling.temperature!r}: must be 0 (always the likeliest) or more; 1 samples as learned"
        )
    if sampling.top_k is not None:
        check_whole(top_k=(sampling.top_k, 1))
    if sampling.top_p is not None and not (is_number(sampling.top_p) and 0 < sampling.top_p <= 1):
        raise ConfigError(f"top_p={sampling.top_p!r}: must lie in (0, 1]")

"""One sequence that goes on, and what a network shows of itself: the values that a SymbolModel hands out."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stepahead.data.gaps import buckets, gap, moment
from stepahead.data.symbols import Vocabulary
from stepahead.errors import ConfigError, DataError
from stepahead.parameters import check_whole
from stepahead.runtime.symbols import Reader, Sampling, SymbolStream, generate, likeliest, pick

Array = NDArray[Any]


@dataclass(frozen=True)
class Surprise:
    """How surprising each symbol of a sequence was. symbols: [N], "<end>" last where there is one.

    bits: [N], of each symbol, nan for the first of a single text, of which nothing foresees anything. total: their sum.
    """

    symbols: tuple[str, ...]
    bits: Array
    total: float


@dataclass(frozen=True)
class Look:
    """The inside of a network while it reads. symbols: [T]. hidden: [T, D]; told: [D] units, the most telling first.

    next: of each step, the likeliest next symbols with their probabilities.
    """

    symbols: tuple[str, ...]
    hidden: Array
    told: Array
    next: tuple[tuple[tuple[str, float], ...], ...]


class NamedStream(SymbolStream):
    """A stream that speaks in symbols. state: a value to keep or copy; log_probabilities: [K], of what comes next.

    edges: bounds between buckets of time, None for a model that reads no times. moment: when the last symbol came.
    """

    def __init__(self, engine: Reader, vocabulary: Vocabulary, unseen: float, edges: Array | None = None) -> None:
        super().__init__(engine)
        self.vocabulary = vocabulary
        self.unseen = unseen
        self.edges = edges
        self.moment = float("nan")

    def push(self, symbol: Any, time: Any = None) -> float:
        """Read one symbol; how surprising it was, in bits (nan where nothing came before).

        time: when it came, a stamp or a number, for a model that reads times; None where that is not known.
        """
        given = symbol if isinstance(symbol, str) or self.vocabulary.tokens == "chars" else [symbol]
        codes = self.vocabulary.encode(given)
        if len(codes) != 1:
            raise DataError(f"symbol {symbol!r:.40}: push takes one symbol at a time; found {len(codes)}")
        code, before = int(codes[0]), self.log_probabilities
        self.push_code(code + self._waited(time) * (self.engine.shape.inputs + 1))
        if before is None:
            return float("nan")
        return float(-before[code] if code < len(before) else self.unseen) / float(np.log(2))

    def _waited(self, time: Any) -> int:
        """The bucket of the time since the symbol before: 0 where it is not known."""
        if time is not None and self.edges is None:
            raise ConfigError("time: the model reads none; leave it out, or fit on events with a time column")
        if self.edges is None:
            return 0
        before, self.moment = self.moment, float("nan") if time is None else moment(time)
        return int(buckets(np.array(gap(before, self.moment)), self.edges))

    def next(self, k: int | None = None) -> list[tuple[str, float]]:
        """The likeliest next symbols with their probabilities."""
        if self.log_probabilities is None:
            raise DataError("stream: nothing was read yet; push a symbol first")
        return top(self.log_probabilities, self.vocabulary, k)

    def fork(self) -> "NamedStream":
        """Another stream that stands where this one stands."""
        other = NamedStream(self.engine, self.vocabulary, self.unseen, self.edges)
        other.state, other.log_probabilities, other.moment = self.state, self.log_probabilities, self.moment
        return other


def top(log_probabilities: Array, vocabulary: Vocabulary, k: int | None) -> list[tuple[str, float]]:
    """The k likeliest symbols (None: all) with their probabilities, from log-probabilities [K]."""
    if k is not None:
        check_whole(k=(k, 1))
    order = likeliest(log_probabilities, k)
    return [(vocabulary.name(int(code)), float(np.exp(log_probabilities[code]))) for code in order]


def look_inside(engine: Reader, vocabulary: Vocabulary, sequence: Any, k: int) -> Look:
    """See `SymbolModel.look`; of an ensemble the first network is shown."""
    codes = vocabulary.encode(sequence)
    if not len(codes):
        raise DataError("sequence: is empty; give at least one symbol to look at")
    first = engine.members[0]
    state = first.run(np.array([[vocabulary.end_code]]))[1] if vocabulary.end else None
    hidden = first.run(codes[None], state)[0][0]
    telling = hidden.std(axis=0) * np.linalg.norm(first.head, axis=0)
    expected = tuple(tuple(top(row, vocabulary, k)) for row in first.log_probabilities(hidden))
    return Look(tuple(vocabulary.cut(sequence)), hidden, np.argsort(-telling, kind="stable"), expected)


def go_on(stream: NamedStream, length: int, sampling: Sampling, seed: int) -> list[int]:
    """The codes that follow what a stream has read; see `SymbolModel.complete`."""
    if not length:
        return []
    if stream.log_probabilities is None:
        raise DataError("prefix: is empty, and a model of one text knows no beginning; give at least one symbol")
    end = stream.vocabulary.end_code if stream.vocabulary.end else -1
    uniforms = np.random.default_rng(seed).random(length)
    first = pick(stream.log_probabilities, float(uniforms[0]), sampling)
    if first == end:
        return []
    return [first, *generate(stream.engine, stream.state, first, uniforms[1:], end, sampling).tolist()]

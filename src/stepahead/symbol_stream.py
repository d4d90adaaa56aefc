"""One sequence that goes on, and what a network shows of itself: the values that a SymbolModel hands out."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stepahead.data.gaps import buckets, gap, moment
from stepahead.data.symbols import Vocabulary
from stepahead.errors import ConfigError, DataError
from stepahead.runtime.symbols import Engine, SymbolStream

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

    def __init__(self, engine: Engine, vocabulary: Vocabulary, unseen: float, edges: Array | None = None) -> None:
        super().__init__(engine)
        self.vocabulary = vocabulary
        self.unseen = unseen
        self.edges = edges
        self.moment = float("nan")

    def push(self, symbol: Any, time: Any = None) -> float:
        """Read one symbol; how surprising it was, in bits (nan where nothing came before).

        time: when it came, a stamp or a number, for a model that reads times; None where that is not known.
        """
        codes = self.vocabulary.encode(symbol if self.vocabulary.tokens == "chars" else [symbol])
        if len(codes) != 1:
            raise DataError(f"symbol {symbol!r:.40}: push takes one symbol at a time; found {len(codes)}")
        code, before = int(codes[0]), self.log_probabilities
        self.push_code(code + self._waited(time) * len(self.engine.embedding))
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
    if k is not None and k < 1:
        raise ConfigError(f"k={k}: must be at least 1")
    order = np.argsort(-log_probabilities, kind="stable")[:k]
    return [(vocabulary.name(int(code)), float(np.exp(log_probabilities[code]))) for code in order]

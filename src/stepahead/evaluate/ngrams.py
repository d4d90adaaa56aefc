"""What counting alone foresees: interpolated n-grams over symbols, the baseline that a recurrent network has to beat.

Corpus -> NGrams -> Told.  P_k(s | c) = (count(c s) + T(c) P_{k-1}(s | c')) / (N(c) + T(c)), where c' is c without its
oldest symbol, N(c) how often c was followed by anything and T(c) by how many different symbols.

Legend: N steps, K classes, k symbols of context (an n-gram has k = n - 1).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stepahead.data.symbols import Corpus, Vocabulary
from stepahead.runtime.symbols import CELLS_AT_ONCE, Told, judge, without

Array = NDArray[Any]

ORDERS = range(1, 8)


@dataclass(frozen=True)
class Level:
    """All contexts of k symbols.

    keys: (shorter context, newest symbol) as one number, sorted; a context's place is its id.
    first: [contexts + 1], where its followers start; symbols, counts: of the followers.
    weight: T / (N + T) of a context. total: N + T.
    """

    keys: Array
    first: Array
    symbols: Array
    counts: Array
    weight: Array
    total: Array

    def pairs(self, classes: int) -> Array:
        """Context and follower as one number each, ascending."""
        return np.repeat(np.arange(len(self.weight)), np.diff(self.first)) * classes + self.symbols


@dataclass(frozen=True)
class NGrams:
    """Counts of every context up to `order` - 1 symbols; contexts never reach over the start of a sequence."""

    vocabulary: Vocabulary
    order: int
    levels: tuple[Level, ...]

    def at(self, order: int) -> "NGrams":
        """The same counts, used up to a lower order."""
        return NGrams(self.vocabulary, order, self.levels[:order])

    def tell(self, corpus: Corpus, *, unseen: float, skip: int = -1) -> Told:
        """How each symbol of a corpus was foreseen; arguments as `runtime.symbols.tell`."""
        _, targets, _ = corpus.steps()
        told = Told(np.empty(len(targets)), np.empty(len(targets), np.int64), np.empty(len(targets), np.int64))
        for where, odds in self.probabilities(corpus):
            with np.errstate(divide="ignore"):
                scores = np.log(odds)
                scores = without(scores, skip)
            judge(scores, targets[where], told, where, unseen)
        return told

    def surprises(self, corpus: Corpus, *, unseen: float) -> Iterator[Array]:
        """How unforeseen each symbol was, in nats, by n-grams of each order up to this one: [N] an order.

        The same as `tell` at that order says, without the probabilities of all the other symbols.
        """
        inputs, targets, offsets = corpus.steps()
        known, classes = targets < self.vocabulary.classes, self.vocabulary.classes
        odds = np.full(len(inputs), 1 / classes)
        for level, context in zip(self.levels, _contexts(inputs, offsets, self.vocabulary, self.levels), strict=True):
            if len(level.weight):  # else no sequence was so long
                rows = np.flatnonzero((context >= 0) & (level.weight[context] > 0) & known)
                ids, came = context[rows], targets[rows].astype(np.int64)
                place = np.minimum(np.searchsorted(level.pairs(classes), ids * classes + came), len(level.symbols) - 1)
                met = (level.symbols[place] == came) & (place >= level.first[ids]) & (place < level.first[ids + 1])
                odds[rows] = odds[rows] * level.weight[ids] + np.where(met, level.counts[place], 0) / level.total[ids]
            yield np.where(known, -np.log(odds), unseen)

    def probabilities(self, corpus: Corpus) -> Iterator[tuple[Array, Array]]:
        """Of what comes next at each step: (places [n], probabilities [n, K]), piece by piece."""
        inputs, _, offsets = corpus.steps()
        contexts = list(_contexts(inputs, offsets, self.vocabulary, self.levels))
        size = max(1, CELLS_AT_ONCE // self.vocabulary.classes)
        for start in range(0, len(inputs), size):
            where = np.arange(start, min(start + size, len(inputs)))
            odds = np.full((len(where), self.vocabulary.classes), 1 / self.vocabulary.classes)
            for level, context in zip(self.levels, contexts, strict=True):
                _interpolate(odds, level, context[where])
            yield where, odds


def count_ngrams(corpus: Corpus, order: int = ORDERS[-1]) -> NGrams:
    """Count a corpus up to n-grams of `order` symbols (1: how frequent each symbol is).

    Source: Witten and Bell 1991, interpolated as in Chen and Goodman 1999.
    Example: `count_ngrams(read_corpus("abab"), 2).tell(read_corpus("aba"), unseen=9.).surprise`
    """
    inputs, targets, offsets = corpus.steps()
    position = np.arange(len(inputs)) - np.repeat(offsets[:-1], np.diff(offsets))
    vocabulary, levels = corpus.vocabulary, []
    context = np.zeros(len(inputs), np.int64)
    keys = np.zeros(1, np.int64)
    for k in range(order):
        if k:
            pairs, has = _longer(context, inputs, position, k, vocabulary)
            keys, ids = np.unique(pairs[has], return_inverse=True)
            context = np.full(len(inputs), -1)
            context[has] = ids
        levels.append(_level(keys, context, targets, vocabulary))
    return NGrams(vocabulary, order, tuple(levels))


def best_order(ngrams: NGrams, corpus: Corpus, *, unseen: float) -> NGrams:
    """The order that foresees a held-back corpus best."""
    means = [float(surprise.mean()) for surprise in ngrams.surprises(corpus, unseen=unseen)]
    return ngrams.at(1 + means.index(min(means)))


def _longer(context: Array, inputs: Array, position: Array, k: int, vocabulary: Vocabulary) -> tuple[Array, Array]:
    """Contexts of k symbols as (context of k - 1 before the newest symbol, newest symbol); where there is one."""
    before = np.concatenate([[0], context[:-1]]) if k > 1 else np.zeros(len(context), np.int64)
    has = (position >= k - 1) & (before >= 0)
    return before * (vocabulary.unseen + 1) + inputs.astype(np.int64), has


def _level(keys: Array, context: Array, targets: Array, vocabulary: Vocabulary) -> Level:
    seen = (context >= 0) & (targets < vocabulary.classes)
    pairs, counts = np.unique(context[seen] * vocabulary.classes + targets[seen].astype(np.int64), return_counts=True)
    owner, symbols = np.divmod(pairs, vocabulary.classes)
    kinds = np.bincount(owner, minlength=len(keys))
    total = np.bincount(owner, weights=counts, minlength=len(keys)) + kinds
    first = np.concatenate([[0], np.cumsum(kinds)])
    return Level(keys, first, symbols, counts, kinds / np.maximum(total, 1), np.maximum(total, 1))


def _contexts(inputs: Array, offsets: Array, vocabulary: Vocabulary, levels: Sequence[Level]) -> Iterator[Array]:
    """The id of the context before each step, one array a level; -1 where training never met it."""
    position = np.arange(len(inputs)) - np.repeat(offsets[:-1], np.diff(offsets))
    context = np.zeros(len(inputs), np.int64)
    yield context
    for k, level in enumerate(levels[1:], start=1):
        pairs, has = _longer(context, inputs, position, k, vocabulary)
        place = np.minimum(np.searchsorted(level.keys, pairs), max(len(level.keys) - 1, 0))
        met = has & (level.keys[place] == pairs) if len(level.keys) else np.zeros(len(inputs), bool)
        context = np.where(met, place, -1)
        yield context


def _interpolate(odds: Array, level: Level, context: Array) -> None:
    if not len(level.weight):  # no sequence was so long
        return
    rows = np.flatnonzero((context >= 0) & (level.weight[context] > 0))
    ids = context[rows]
    odds[rows] *= level.weight[ids][:, None]
    followers = level.first[ids + 1] - level.first[ids]
    flat = np.repeat(level.first[ids] - np.cumsum(followers) + followers, followers) + np.arange(followers.sum())
    row = np.repeat(rows, followers)
    odds[row, level.symbols[flat]] += level.counts[flat] / np.repeat(level.total[ids], followers)

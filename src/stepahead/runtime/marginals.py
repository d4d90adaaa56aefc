"""The distribution that a head gives each step ahead.  Normal scores -> values, and values -> normal scores.

A normal score says how far into a distribution a value lies: 0 is the median, 1.645 the 95 % quantile, whatever the
distribution.  Held-out rows correct scores, and sampled paths are drawn as scores (runtime/scores.py).

Legend: N windows, H horizon, Q quantiles that are known, K scores asked for.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from stepahead.runtime import normal
from stepahead.runtime.counts import count_quantile, count_range


class Marginals(Protocol):
    """A distribution for each window and step.

    point: [N, H], the forecast. quantile: scores [N or 1, H, K] -> values [N, H, K]. Those that a head learned also
    have score: values [N, H] -> [N, H]; of a value with a probability of its own, anywhere within that by `rng`.
    """

    @property
    def point(self) -> np.ndarray: ...
    def quantile(self, scores: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class Knots:
    """Known quantiles, joined by straight lines over their scores and going on as they end.

    known: [Q] scores, ascending. values: [N, H, Q], ascending along Q.
    """

    point: np.ndarray
    known: np.ndarray
    values: np.ndarray

    def quantile(self, scores: np.ndarray) -> np.ndarray:
        if len(self.known) == 1:
            return np.repeat(self.values, scores.shape[-1], axis=-1)
        shape = (*self.values.shape[:2], scores.shape[-1])
        right = np.clip(np.searchsorted(self.known, scores), 1, len(self.known) - 1)
        share = (scores - self.known[right - 1]) / (self.known[right] - self.known[right - 1])
        right, share = np.broadcast_to(right, shape), np.broadcast_to(share, shape)
        low, high = (np.take_along_axis(self.values, place, axis=-1) for place in (right - 1, right))
        return low + share * (high - low)

    def score(self, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        below = (self.values < y[..., None]).sum(axis=-1)  # [N, H]
        upto = (self.values <= y[..., None]).sum(axis=-1)
        known, last = self.known, len(self.known) - 1
        right = np.clip(below, 1, max(last, 1))
        places = (right - 1, np.minimum(right, last))
        low, high = (np.take_along_axis(self.values, place[..., None], axis=-1)[..., 0] for place in places)
        width = np.maximum(high - low, np.finfo(float).tiny)
        with np.errstate(over="ignore"):
            line = known[places[0]] + (y - low) / width * (known[places[1]] - known[places[0]])
        ends = np.concatenate([[0.0], normal.probability(known), [1.0]])
        first = np.where(below == 0, 0.0, ends[np.minimum(below, last) + 1])
        final = np.where(upto > last, 1.0, ends[upto])
        within = normal.score(first + rng.random(y.shape) * (final - first))
        return np.clip(np.where(upto - below > 1, within, line), -normal.FAR, normal.FAR)


@dataclass(frozen=True)
class Counts:
    """Negative binomial counts: point, the mean, and dispersion [N, H]."""

    point: np.ndarray
    dispersion: np.ndarray

    def quantile(self, scores: np.ndarray) -> np.ndarray:
        shape = (*self.point.shape, scores.shape[-1])
        p = np.broadcast_to(normal.probability(scores), shape).reshape(-1, shape[-1])
        return count_quantile(self.point.ravel(), self.dispersion.ravel(), p).reshape(shape)

    def score(self, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        counts = np.nan_to_num(np.maximum(y, 0.0)).ravel()
        low, high = (p.reshape(y.shape) for p in count_range(counts, self.point.ravel(), self.dispersion.ravel()))
        found = normal.score(low + rng.random(y.shape) * (high - low))
        return np.where(np.isnan(y), np.nan, found)

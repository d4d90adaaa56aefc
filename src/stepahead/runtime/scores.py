"""What held-out rows say about normal scores: how they must be corrected, and how they hang together over the horizon.

Scores of held-out rows [N, H] -> Recalibration, links -> the scores of intervals and of sampled paths.

Intervals: a right forecast would see standard normal scores. Where the held-out ones are others, the score asked for
is replaced by the held-out quantile of it, with the ranks of split conformal prediction, so that intervals cover what
they promise (distributional conformal prediction, Chernozhukov, Wuthrich and Zhu 2021). It holds for counts too, where
widths of zero leave nothing to stretch.

Paths: the scores of one path over the horizon are drawn jointly normal, correlated as the held-out ones were (a
Gaussian copula), then read in each step's own distribution. So each step's draws have the quantiles that its intervals
have. Whole held-out error paths, drawn again (the Schaake shuffle), would give no more paths than were held out.

Legend: N origins, H horizon, G scores that a correction is known for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from stepahead.runtime import normal

FEWEST = 10  # held-out errors a step, below which nothing is corrected
TAILS = (0.0025, 0.005, 0.01, 0.015, 0.025, 0.035, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4)


@dataclass(frozen=True)
class Recalibration:
    """Which score to read in place of one asked for. asked: [G] ascending. read: [H, G]."""

    asked: np.ndarray
    read: np.ndarray

    def apply(self, scores: np.ndarray) -> np.ndarray:
        """Scores [..., H, K] -> those to read. Beyond those known they move as the nearest of them does."""
        if len(self.asked) == 0:
            return scores
        steps = [
            np.interp(scores[..., h, :], self.asked, row - self.asked) + scores[..., h, :]
            for h, row in enumerate(self.read)
        ]
        return np.stack(steps, axis=-2)

    def to_array(self) -> np.ndarray:
        """Scores asked for above those to read: [1 + H, G]."""
        return np.concatenate([self.asked[None], self.read])

    @classmethod
    def from_array(cls, array: np.ndarray) -> "Recalibration":
        """The inverse of to_array."""
        return cls(array[0], array[1:])


AS_LEARNED = Recalibration(np.zeros(0), np.zeros((1, 0)))


def recalibrate(scores: np.ndarray) -> Recalibration:
    """Learn from held-out scores [N, H], NaN where unknown, which to read.

    The k-th of n ascending scores stays below a new one as often as k / (n + 1): lower bounds take the rank rounded
    down, upper ones rounded up.
    """
    fewest = int((~np.isnan(scores)).sum(axis=0).min(initial=len(scores)))
    tails = [p for p in TAILS if np.floor((fewest + 1) * p + 1e-9) >= 1]
    if fewest < FEWEST or not tails:
        return Recalibration(np.zeros(0), np.zeros((scores.shape[1], 0)))
    asked = np.array([normal_score(p) for p in (*tails, 0.5, *(1 - p for p in tails[::-1]))])
    read = np.stack([quantiles_of(np.sort(column[~np.isnan(column)]), tails) for column in scores.T])
    return Recalibration(asked, np.maximum.accumulate(read, axis=1))


def quantiles_of(ascending: np.ndarray, tails: Sequence[float]) -> np.ndarray:
    """Held-out scores at these lower tails, the middle, and the upper tails."""
    n = len(ascending)
    low = [int(np.floor((n + 1) * p + 1e-9)) for p in tails]
    ranks = np.array([*low, *(n + 1 - k for k in low[::-1])]) - 1
    return np.insert(ascending[ranks], len(tails), np.median(ascending))


def links_of(scores: np.ndarray) -> np.ndarray:
    """How steps hang together, from held-out scores [N, H]: the triangle L of the correlations L L', [H, H].

    The correlations of ranks, as normal scores, drawn towards those of a first-order autoregression the more, the fewer
    origins there are.
    """
    n, horizon = scores.shape
    lags = np.abs(np.arange(horizon)[:, None] - np.arange(horizon))
    if n < FEWEST or np.isnan(scores).all(axis=0).any():
        return random_walk_links(horizon)
    z = rank_scores(scores)
    found = z.T @ z / np.maximum((z != 0).T.astype(float) @ (z != 0), 1.0)
    size = np.sqrt(np.maximum(np.diag(found), 1e-12))
    found = found / size[:, None] / size
    near = float(np.clip(np.diag(found, 1).mean(), 0.0, 0.99)) if horizon > 1 else 0.0
    share = horizon / (horizon + n)
    return np.linalg.cholesky((1 - share) * positive(found) + share * near**lags)


def random_walk_links(horizon: int) -> np.ndarray:
    """Where nothing was held out, steps hang together as those of a random walk: [H, H]."""
    steps = np.arange(1, horizon + 1)
    return np.tril(np.ones((horizon, horizon))) / np.sqrt(steps)[:, None]


def rank_scores(scores: np.ndarray) -> np.ndarray:
    """Each column's ranks as normal scores, 0 where nothing is known: [N, H]."""
    known = ~np.isnan(scores)
    ranks = np.argsort(np.argsort(np.where(known, scores, np.inf), axis=0), axis=0)
    return np.where(known, normal.score((ranks + 0.5) / np.maximum(known.sum(axis=0), 1)), 0.0)


def positive(matrix: np.ndarray) -> np.ndarray:
    """The nearest matrix of correlations: gaps can leave one that is none."""
    values, vectors = np.linalg.eigh(matrix)
    mended = (vectors * np.maximum(values, 1e-6)) @ vectors.T
    size = np.sqrt(np.diag(mended))
    return mended / size[:, None] / size


def draw_scores(links: np.ndarray, paths: int, rng: np.random.Generator) -> np.ndarray:
    """Standard normal scores that hang together: [paths, H]."""
    return rng.normal(size=(paths, len(links))) @ links.T


def normal_score(probability: float) -> float:
    return NormalDist().inv_cdf(probability)

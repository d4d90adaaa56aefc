"""Counts whose spread is more than Poisson's: the negative binomial.  Mean, dispersion -> quantiles, probabilities.

Variance: mean + dispersion * mean^2.  Probabilities come from 0 upwards, each from the one before it (Panjer 1981), for
all counts at once.  A mean above LIMIT is read on a coarser lattice of the same relative variance, and as a normal
where there is none: the last digits of a large count say nothing.

Legend: R counts, K probabilities of each.
"""

from dataclasses import dataclass

import numpy as np

from stepahead.limits import DISPERSION
from stepahead.runtime import normal

LIMIT = 500.0  # the largest mean that is counted one by one: exp(-500) is still a number
OFTEN = 32  # terms between two looks at which counts are done


@dataclass
class Lattice:
    """Counts in units of `step`, 1 up to LIMIT. smooth: those that are read as a normal.

    term: [R] the probability of 0. size: 1 / dispersion. factor: what the next term is multiplied by, beside (k + size)
    / (k + 1). last: a count that none exceeds.
    """

    step: np.ndarray
    smooth: np.ndarray
    term: np.ndarray
    size: np.ndarray
    factor: np.ndarray
    last: int


def lattice(mean: np.ndarray, dispersion: np.ndarray) -> Lattice:
    """The counts of these means and dispersions [R], each on its lattice."""
    step = np.maximum(mean / LIMIT, 1.0)
    center = mean / step
    spread = dispersion + 1 / mean - 1 / center  # so that variance over squared mean is the same
    smooth = (step > 1) & (spread < DISPERSION[0])
    spread = np.where(smooth, 1.0, spread)
    deviation = np.sqrt(center + spread * center**2)
    return Lattice(
        step=step,
        smooth=smooth,
        term=np.exp(-np.log1p(spread * center) / spread),
        size=1 / spread,
        factor=spread * center / (1 + spread * center),
        last=int((center + 60 * deviation).max(initial=0)) + 60,
    )


def count_quantile(mean: np.ndarray, dispersion: np.ndarray, p: np.ndarray) -> np.ndarray:
    """The least count that is reached with probability p: mean, dispersion [R], p [R, K] -> [R, K] whole numbers."""
    on = lattice(mean, dispersion)
    goal = np.minimum(p, 1 - 1e-9)
    found = np.zeros(p.shape)
    alive = np.flatnonzero(~on.smooth)
    term, size, factor, wanted = on.term[alive], on.size[alive], on.factor[alive], goal[alive]
    total, counted = term.copy(), found[alive]
    for k in range(on.last):
        below = total[:, None] < wanted
        counted += below
        if k % OFTEN == 0 or k == on.last - 1:
            rest = below.any(axis=1)
            found[alive] = counted
            alive, term, size, factor, wanted, total, counted = (
                a[rest] for a in (alive, term, size, factor, wanted, total, counted)
            )
        if len(alive) == 0:
            break
        term *= (k + size) / (k + 1) * factor
        total += term
    found *= on.step[:, None]
    found[on.smooth] = nearly_normal(mean[on.smooth], dispersion[on.smooth], goal[on.smooth])
    return np.round(found)


def count_range(y: np.ndarray, mean: np.ndarray, dispersion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The probabilities of fewer than y and of at most y: [R] each."""
    on = lattice(mean, dispersion)
    y, term = y / on.step, on.term.copy()
    low, high = np.zeros(len(y)), np.zeros(len(y))
    for k in range(min(on.last, int(y.max(initial=0)) + 1) + 1):
        low += np.where(k < y, term, 0.0)
        high += np.where(k <= y, term, 0.0)
        term *= (k + on.size) / (k + 1) * on.factor
    deviation = np.sqrt(mean + dispersion * mean**2)
    smooth = normal.probability((y * on.step - mean) / deviation)
    low, high = (np.where(on.smooth, smooth, np.minimum(each, 1.0)) for each in (low, high))
    return low, high


def nearly_normal(mean: np.ndarray, dispersion: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Quantiles of large counts of little spread, with the first term of Cornish and Fisher 1937: [R, K]."""
    deviation = np.sqrt(mean + dispersion * mean**2)
    skew = ((1 + 2 * dispersion * mean) / deviation)[:, None]
    z = normal.score(p)
    return np.maximum(mean[:, None] + deviation[:, None] * (z + skew * (z**2 - 1) / 6), 0.0)

"""Conformalised quantile regression: a head's own bounds, moved by what held-out rows say.  Bounds -> bounds that hold.

Legend: N windows, H horizon, L levels, G levels that a correction is known for.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

KNOWN_FOR = (50.0, 60.0, 70.0, 80.0, 90.0, 95.0, 98.0)  # percent; what lies between is interpolated


@dataclass(frozen=True)
class Correction:
    """How far each bound of a head must move. level: [G] percent, ascending. shift: [H, G] in widths of the interval.

    Source: Romano, Patterson and Candes 2019, with the misses in units of the width (Sesia and Candes 2020).
    """

    level: np.ndarray
    shift: np.ndarray

    def apply(self, lo: np.ndarray, hi: np.ndarray, level: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
        """Bounds that cover what they promise: lo, hi [N, H, L] of ascending levels; as they are where G is 0.

        A level beyond those known moves as the nearest of them does: there were too few held-out rows to say more.
        """
        if len(self.level) == 0 or len(level) == 0:
            return lo, hi
        shift = np.stack([np.interp(level, self.level, row) for row in self.shift])  # [H, L]
        moved = (hi - lo) * np.maximum(shift, -0.5)  # at -1/2 the two bounds meet
        # A wider level never lies within a narrower one.
        return np.minimum.accumulate(lo - moved, axis=-1), np.maximum.accumulate(hi + moved, axis=-1)

    def to_array(self) -> np.ndarray:
        """Level above shift: [1 + H, G]."""
        return np.concatenate([self.level[None], self.shift])

    @classmethod
    def from_array(cls, array: np.ndarray) -> "Correction":
        """The inverse of to_array."""
        return cls(array[0], array[1:])


NO_CORRECTION = Correction(np.zeros(0), np.zeros((1, 0)))


def fit_correction(y: np.ndarray, lo: np.ndarray, hi: np.ndarray, level: Sequence[float]) -> Correction:
    """Learn from rows that the model never saw how far its bounds must move.

    y: [N, H], NaN where not observed. lo, hi: [N, H, L] the head's own bounds. level: L ascending coverages in percent;
    those with too few rows are left out.
    """
    width = np.maximum(hi - lo, np.finfo(float).tiny)
    miss = np.maximum(lo - y[..., None], y[..., None] - hi) / width  # [N, H, L]; negative inside
    known = int((~np.isnan(y)).sum(axis=0).min(initial=len(y)))
    told = [i for i, percent in enumerate(level) if np.ceil((known + 1) * percent / 100 - 1e-9) <= known]
    shift = np.zeros((y.shape[1], len(told)))
    for h, i in np.ndindex(*shift.shape):
        misses = np.sort(miss[:, h, told[i]][~np.isnan(y[:, h])])
        rank = int(np.ceil((len(misses) + 1) * level[told[i]] / 100 - 1e-9))
        shift[h, i] = misses[rank - 1]
    return Correction(np.asarray(level, dtype=np.float64)[told], shift)

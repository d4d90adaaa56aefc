"""Intervals from errors that a model made on rows it never saw.  Errors -> Calibration -> how far an interval reaches.

`predict`, `backtest` and streams all take their intervals from here; a stream then keeps them true while data come
(runtime/adaptive.py). Errors of the training part are never used: they are too small.

Legend: N windows, H horizon, L levels, K errors kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stepahead.errors import ConfigError

OFTEN = 0.1  # the share of windows that stand still from which their errors are not told by their own movement
NO_MOVEMENT = 1e-6  # in scaled units: what moves by less stands still


class TooFewErrors(ConfigError):
    """Intervals were asked for that the held-out errors cannot speak for."""


@dataclass(frozen=True)
class Calibration:
    """Split conformal intervals: out-of-sample errors relative to the window's own movement, per step ahead.

    scores: [H, K] float64, ascending along K; K is 0 where nothing was held out. floor: the least movement that counts,
    so that a window which stands still does not promise certainty.
    Source: Lei et al. 2018, "Distribution-free predictive inference for regression", locally weighted.
    """

    scores: np.ndarray
    floor: float

    def radius(self, level: Sequence[float], moved: np.ndarray) -> np.ndarray:
        """How far the interval reaches to either side, in scaled units: [N, H, L].

        level: L coverages in percent. moved: [N] from `movement`.
        Raises: TooFewErrors when too few errors were held out for that level.
        """
        return np.maximum(moved, self.floor)[:, None, None] * self.reach(level)

    def reach(self, level: Sequence[float]) -> np.ndarray:
        """How far the interval reaches for a window that moves by one: [H, L].

        Raises: TooFewErrors when too few errors were held out for that level.
        """
        n, ranks = self.scores.shape[1], self.rank(level)
        if n == 0:
            raise TooFewErrors(
                "intervals need held-out errors, of which there are none: fit with holdout='auto', on more rows where "
                "that held out nothing, or head='quantile'"
            )
        if (ranks > n).any():
            raise TooFewErrors(
                f"level={max(level):g} needs more than the {n} held-out errors; give or hold out more rows"
            )
        return self.scores[:, np.maximum(ranks, 1) - 1]

    def rank(self, level: Sequence[float] | float) -> np.ndarray:
        """Which of the K ascending errors, counted from 1, a new one stays below as often as `level` says."""
        return np.ceil((self.scores.shape[1] + 1) * np.asarray(level) / 100 - 1e-9).astype(int)


def joined(parts: Sequence[Calibration]) -> Calibration:
    """The errors of several probes as one table.  They are in units of their windows' movement, so that they compare.

    parts: the newest first; the floor is that one's. Those without an error count for nothing.
    """
    known = [part.scores for part in parts if part.scores.shape[1]]
    return Calibration(np.sort(np.concatenate(known, axis=1), axis=1), parts[0].floor) if known else parts[0]


def floors_of(moved: Sequence[np.ndarray]) -> list[float]:
    """The least movement that counts, in scaled units, for the windows of each of several probes: moved, [N] of each.

    A tenth of the usual one; where windows stand still often, their root mean square for all probes: a jump out of
    standing still, in units of next to nothing, would make the intervals of every window that moves. Where nothing
    moves at all errors are told as they are.
    """
    own = [max(0.1 * float(np.median(each)), NO_MOVEMENT) for each in moved]
    still = np.concatenate([each < floor for each, floor in zip(moved, own, strict=True)])
    if still.mean() < OFTEN:
        return own
    usual = float(np.sqrt(np.square(np.concatenate(moved)).mean()))
    return [usual if usual > NO_MOVEMENT else 1.0] * len(own)


NOT_CALIBRATED = Calibration(scores=np.zeros((1, 0)), floor=0.0)


def calibrate(errors: np.ndarray, moved: np.ndarray, floor: float) -> Calibration:
    """Learn how wide intervals must be: errors [N, H] scaled, out of sample, NaN where not observed; moved [N].

    At least one error must be known at each step ahead, else there is nothing to calibrate on.
    """
    relative = np.abs(errors) / np.maximum(moved, floor)[:, None]
    known = [np.sort(column[~np.isnan(column)]) for column in relative.T]
    n = min(map(len, known))
    # Steps further ahead have fewer errors: thin out the others evenly, so that one table holds them all.
    return Calibration(
        np.stack([column[np.linspace(0, len(column) - 1, n).round().astype(int)] for column in known]), floor
    )

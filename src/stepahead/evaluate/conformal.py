"""Intervals that hold.  Out-of-sample errors -> how wide an interval must be, and how to keep it so while data come.

Split conformal: the errors of forecasts that the model made on rows it never saw, per step ahead, in units of the
local scale. Conformalised quantiles: the same for a model that gives quantiles. Adaptive: a state that widens after a
miss and narrows after a hit, for live use under drift. Errors of the training part are never used: they are too small.

Legend: N origins, H steps ahead, L levels, K errors kept, * leading axes (none for one stream, [S] for many).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from stepahead.data.panel import Panel
from stepahead.errors import ConfigError
from stepahead.evaluate.baselines import CHUNK, series_start

SCALE_ROWS = 20  # rows that the local scale looks back on
GAMMA = 0.02  # how fast the adaptive state turns
KEPT = 250  # errors that the adaptive state remembers


@dataclass(frozen=True)
class Split:
    """Learned widths. scores: one ascending array a step ahead (H of them): absolute errors in units of the scale."""

    scores: tuple[np.ndarray, ...]

    def interval(
        self, mean: np.ndarray, level: Sequence[float], scale: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Bounds around forecasts.

        mean: [N, H]. level: L coverages in percent. scale: [N] local scale at each origin, as in `fit_split`.
        Returns: lo, hi [N, H, L].
        Raises: ConfigError where too few errors were known for a level.
        """
        unit = np.ones(len(mean)) if scale is None else scale
        reach = np.stack([finite(conformal_quantile(s, level), len(s), level) for s in self.scores])  # [H, L]
        half = unit[:, None, None] * reach
        return mean[..., None] - half, mean[..., None] + half


def fit_split(y: np.ndarray, mean: np.ndarray, scale: np.ndarray | None = None) -> Split:
    """Learn from forecasts of rows that the model never saw how wide intervals must be.

    y, mean: [N, H], NaN in y left out. scale: [N] local scale at each origin; all 1 if None.
    Source: Lei et al. 2018, "Distribution-Free Predictive Inference for Regression", section 5.2.
    Example: `fit_split(y, mean).interval(new_mean, [90])`
    """
    unit = np.ones(len(mean)) if scale is None else scale
    relative = np.abs(y - mean) / unit[:, None]
    return Split(tuple(np.sort(column[~np.isnan(column)]) for column in relative.T))


@dataclass(frozen=True)
class Quantiles:
    """Learned corrections of a model's own bounds. shift: [H, L], in units of the interval's width."""

    level: tuple[float, ...]
    shift: np.ndarray

    def interval(self, lo: np.ndarray, hi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Corrected bounds: lo, hi [N, H, L] -> the same, wider or narrower; never crossing."""
        moved = (hi - lo) * np.maximum(self.shift, -0.5)  # at -1/2 the two bounds meet
        return lo - moved, hi + moved


def fit_quantiles(y: np.ndarray, lo: np.ndarray, hi: np.ndarray, level: Sequence[float]) -> Quantiles:
    """Conformalised quantile regression: how far a model's bounds must move to cover what they promise.

    y: [N, H] of rows that the model never saw. lo, hi: [N, H, L] its bounds. level: L coverages in percent.
    Raises: ConfigError where too few errors are known for a level.
    Source: Romano, Patterson and Candes 2019, with the misses in units of the width (CQR-r, Sesia and Candes 2020).
    """
    width = np.maximum(hi - lo, np.finfo(float).tiny)
    miss = np.maximum(lo - y[..., None], y[..., None] - hi) / width
    shift = np.empty(miss.shape[1:])
    for h, i in np.ndindex(*shift.shape):
        known = np.sort(miss[:, h, i][~np.isnan(miss[:, h, i])])
        shift[h, i] = finite(conformal_quantile(known, level[i : i + 1]), len(known), level)[0]
    return Quantiles(tuple(level), shift)


def conformal_quantile(scores: np.ndarray, level: Sequence[float]) -> np.ndarray:
    """The score that a new one stays below as often as `level` says: the ceil((K + 1) level)-th of K ascending ones.

    Returns: [L]; infinite where K is too small for the level.
    """
    rank = np.ceil((len(scores) + 1) * np.asarray(level, dtype=np.float64) / 100 - 1e-9).astype(int)
    return np.append(scores, np.inf)[np.clip(rank - 1, 0, len(scores))]


def finite(quantiles: np.ndarray, known: int, level: Sequence[float]) -> np.ndarray:
    """The same, unless one is infinite.  Raises: ConfigError saying how many errors there are."""
    if not np.isfinite(quantiles).all():
        raise ConfigError(f"level={max(level):g} needs more than the {known} out-of-sample errors; give more rows")
    return quantiles


def local_scale(panel: Panel, origins: np.ndarray, rows: int = SCALE_ROWS) -> np.ndarray:
    """How much the target moves just before each origin: the mean absolute change of its last rows.

    origins: [N] row positions. rows: how many changes to look at.
    Returns: [N], from rows of the origin's series up to it alone; at least a tenth of the mean change of all its
    rows so far, and 1 where nothing has moved yet, so that a pause does not promise certainty.
    """
    change = np.abs(np.diff(panel.y, prepend=np.nan))
    change[panel.offsets[:-1]] = np.nan
    start, scale = series_start(panel, origins), np.empty(len(origins))
    for begin in range(0, len(origins), CHUNK):
        part = slice(begin, begin + CHUNK)
        back = origins[part, None] - np.arange(rows)
        values = np.where(back > start[part, None], change[np.maximum(back, 0)], np.nan)
        seen = ~np.isnan(values)
        scale[part] = np.where(seen, values, 0.0).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
    floor = 0.1 * running_mean(change, panel)[origins]
    scale = np.maximum(scale, floor)
    return np.where(scale > 0, scale, 1.0)


def running_mean(values: np.ndarray, panel: Panel) -> np.ndarray:
    """The mean of what is known of each series up to each row: [R]; 0 before the first."""
    known, mean = ~np.isnan(values), np.zeros(len(values))
    for s in range(panel.n_series):
        rows = panel.rows(s)
        count = np.cumsum(known[rows])
        mean[rows] = np.cumsum(np.where(known[rows], values[rows], 0.0)) / np.maximum(count, 1)
    return mean


@dataclass(frozen=True)
class Adaptive:
    """Adaptive conformal intervals as a value: `push` returns the next one, nothing changes in place.

    level: L coverages in percent, ascending. gamma: how fast alpha moves. alpha: [*, H, L] the miss rate aimed at now.
    scores: [*, H, K] the newest out-of-sample errors of each step ahead, oldest first, NaN where there are none yet.
    mean, scale, radius: [*, H, H], [*, H], [*, H, H, L] of the last H forecasts, newest first, NaN before the first:
    a forecast h steps ahead meets its truth h rows later.
    """

    level: tuple[float, ...]
    gamma: float
    alpha: np.ndarray
    scores: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    radius: np.ndarray

    def push(
        self, y: np.ndarray | float, mean: np.ndarray, scale: np.ndarray | float = 1.0
    ) -> tuple["Adaptive", np.ndarray, np.ndarray]:
        """Take the newest truth, judge the forecasts made for it, and give bounds for the next forecast.

        y: [*] the value that has just come, NaN if it is missing (or at the very first push). mean: [*, H] the forecast
        made now. scale: [*] the local scale now.
        Returns: the next state, lo and hi [*, H, L].
        """
        state = self._judge(np.asarray(y, dtype=np.float64))
        radius = state._reach() * np.asarray(scale, dtype=np.float64)[..., None, None]
        lo, hi = mean[..., None] - radius, mean[..., None] + radius
        state = replace(
            state,
            mean=newest_first(state.mean, mean, axis=-2),
            scale=newest_first(state.scale, np.broadcast_to(scale, state.scale.shape[:-1]), axis=-1),
            radius=newest_first(state.radius, radius, axis=-3),
        )
        return state, lo, hi

    def _judge(self, y: np.ndarray) -> "Adaptive":
        """Score the forecasts whose truth this is: step h of the forecast made h rows ago."""
        steps = np.arange(self.mean.shape[-1])
        made, reach = self.mean[..., steps, steps], self.radius[..., steps, steps, :]  # [*, H], [*, H, L]
        error = np.abs(y[..., None] - made)
        known = ~np.isnan(error)
        score = error / np.where(known, self.scale, 1.0)
        missed = (error[..., None] > reach).astype(np.float64)
        step = self.gamma * ((100 - np.asarray(self.level)) / 100 - missed)  # Gibbs and Candes 2021, equation 2
        moved = np.concatenate([self.scores[..., 1:], score[..., None]], axis=-1)
        return replace(
            self,
            alpha=np.where(known[..., None], self.alpha + step, self.alpha),
            scores=np.where(known[..., None], moved, self.scores),
        )

    def _reach(self) -> np.ndarray:
        """How far to reach to either side, in units of the scale: [*, H, L], wider for a higher level."""
        ordered = np.sort(self.scores, axis=-1)  # NaN last
        count = (~np.isnan(ordered)).sum(axis=-1)[..., None]
        rank = np.ceil((count + 1) * (1 - self.alpha) - 1e-9).astype(int)
        inside = np.take_along_axis(ordered, np.clip(rank - 1, 0, np.maximum(count - 1, 0)), axis=-1)
        # Beyond the largest error seen the honest answer is "anything"; twice that error is one that can be drawn.
        reach = np.where(rank > count, 2 * inside, np.where(rank < 1, 0.0, inside))
        return np.maximum.accumulate(reach, axis=-1)


def start_adaptive(scores: np.ndarray, level: Sequence[float], *, gamma: float = GAMMA, keep: int = KEPT) -> Adaptive:
    """An adaptive state that begins from known out-of-sample errors.

    scores: [*, H, K] absolute errors in units of the local scale, oldest first, NaN where there are none; the last
    `keep` are kept. level: coverages in percent. gamma: 0 never adapts; .005 to .05 is usual.
    Raises: ConfigError for a level or a gamma that cannot be.
    Example: `state, lo, hi = start_adaptive(errors, [90]).push(np.nan, mean)`
    Source: Gibbs and Candes 2021, "Adaptive Conformal Inference Under Distribution Shift".
    """
    levels = tuple(sorted(float(value) for value in level))
    if not levels or not 0 < levels[0] <= levels[-1] < 100:
        raise ConfigError(f"level={list(level)!r} must be coverages in percent, above 0 and below 100")
    if not 0 <= gamma < 1:
        raise ConfigError(f"gamma={gamma!r} must be at least 0 and below 1")
    *lead, horizon, known = scores.shape
    room = np.full((*lead, horizon, max(keep - known, 0)), np.nan)
    return Adaptive(
        level=levels,
        gamma=gamma,
        alpha=np.broadcast_to((100 - np.asarray(levels)) / 100, (*lead, horizon, len(levels))).copy(),
        scores=np.concatenate([room, np.asarray(scores, dtype=np.float64)], axis=-1)[..., -keep:],
        mean=np.full((*lead, horizon, horizon), np.nan),
        scale=np.full((*lead, horizon), np.nan),
        radius=np.full((*lead, horizon, horizon, len(levels)), np.nan),
    )


def newest_first(kept: np.ndarray, newest: np.ndarray, axis: int) -> np.ndarray:
    """Put the newest before the others along an axis; the oldest goes."""
    others = np.delete(kept, -1, axis=axis)
    return np.concatenate([np.expand_dims(np.asarray(newest, dtype=np.float64), axis), others], axis=axis)

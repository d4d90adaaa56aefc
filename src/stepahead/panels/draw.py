"""Which windows to learn from.  Rows, random numbers -> origins; and the yardsticks that make errors comparable.

Legend: S series, N origins, H horizon.
"""

from dataclasses import dataclass

import numpy as np

from stepahead.panels.windows import Rows

LIMIT = 20.0  # a series' yardstick may be so many times finer than the panel's usual one
SLACK = 0.02  # of the window's mean size: the least sum of sizes that a percentage error is measured by


@dataclass(frozen=True)
class Origins:
    """How origins are drawn: by series, and the later the likelier.

    series: [K] those that can be learned from. share: [K] cumulative probability of each.
    first, last: [K] the rows between which its origins lie.
    """

    series: np.ndarray
    share: np.ndarray
    first: np.ndarray
    last: np.ndarray

    def draw(self, rng: np.random.Generator, count: int, *, ahead: int = 1) -> np.ndarray:
        """Origins with at least `ahead` rows behind them in the panel, where the series is long enough: [count].

        A series is drawn by the square root of its number of origins; within it the place is first + U^(1/3) (n - first).
        """
        k = np.minimum(np.searchsorted(self.share, rng.random(count), side="right"), len(self.share) - 1)
        width = np.maximum(self.last[k] - (ahead - 1) - self.first[k] + 1, 1)
        place = np.minimum((width * np.cbrt(rng.random(count))).astype(np.int64), width - 1)
        return self.first[k] + place


def origins_of(rows: Rows) -> Origins:
    """Where windows of these rows may end: after a season has been seen, or as late as a short series allows."""
    lengths, offsets = rows.panel.lengths, rows.panel.offsets
    series = np.flatnonzero(lengths >= 2)
    first = offsets[series] + np.minimum(rows.season, lengths[series] - 1) - 1
    last = offsets[series + 1] - 2
    weight = np.sqrt(last - first + 1)
    return Origins(series, np.cumsum(weight) / weight.sum(), first, last)


@dataclass(frozen=True)
class Yardsticks:
    """What errors are measured by.

    size: [S] mean absolute seasonal change of each series, MASE's denominator. percent, scaled: the baseline's own mean
    sMAPE-like and MASE-like error over the panel.
    """

    size: np.ndarray
    percent: float
    scaled: float

    def importance(self, rows: Rows, origins: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """How much an error in units of a window's scale weighs as MASE-like error: [N] float32."""
        series = np.searchsorted(rows.panel.offsets, origins, side="right") - 1
        return (0.5 * scale / self.size[series] / self.scaled).astype(np.float32)


def measure(rows: Rows, origins: np.ndarray) -> Yardsticks:
    """The yardsticks of a panel, from sampled origins [N] and the baseline's errors there."""
    size = seasonal_changes(rows)
    y, there = rows.targets(origins)
    base = rows.base(origins, rows.back)
    scale = rows.windows(origins).scale[:, None]
    series = np.searchsorted(rows.panel.offsets, origins, side="right") - 1
    error = np.abs(y - base)[there]
    percent = 2 * error / np.maximum(np.abs(y) + np.abs(base), SLACK * scale)[there]
    scaled = error / np.broadcast_to(size[series][:, None], y.shape)[there]
    return Yardsticks(size, max(float(percent.mean()), 1e-3), max(float(scaled.mean()), 1e-3))


def seasonal_changes(rows: Rows) -> np.ndarray:
    """The mean absolute change over a season of each series, never so small that one series outweighs all: [S]."""
    y, offsets, m = rows.values[rows.window :], rows.panel.offsets, rows.season
    size, mean = np.zeros(rows.panel.n_series), np.zeros(rows.panel.n_series)
    for s in range(rows.panel.n_series):
        values = y[offsets[s] : offsets[s + 1]]
        step = m if len(values) > m else 1
        size[s] = np.abs(values[step:] - values[:-step]).mean() if len(values) > 1 else 0.0
        mean[s] = np.abs(values).mean()
    mean = np.where(mean > 0, mean, 1.0)
    relative = size / mean
    usual = np.median(relative[relative > 0]) if (relative > 0).any() else 1.0
    return np.maximum(relative, usual / LIMIT) * mean


def choose_baseline(rows: Rows, origins: np.ndarray, seasons: tuple[int, ...]) -> int:
    """Rows that the baseline repeats: 1 (naive) or a season, whichever fits these windows best."""
    y, there = rows.targets(origins)
    size = seasonal_changes(rows)[np.searchsorted(rows.panel.offsets, origins, side="right") - 1][:, None]
    errors = {}
    for back in (1, *seasons):
        base = rows.base(origins, back)
        error = np.abs(y - base)
        percent = error / np.maximum(np.abs(y) + np.abs(base), 1e-9)
        errors[back] = float((error / size)[there].mean()), float(percent[there].mean())
    naive = errors[1]
    return min(errors, key=lambda b: errors[b][0] / max(naive[0], 1e-12) + errors[b][1] / max(naive[1], 1e-12))

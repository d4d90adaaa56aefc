"""Which windows to learn from.  Rows, random numbers -> origins; and the yardsticks that make errors comparable.

Legend: S series, N origins, H horizon.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from stepahead.limits import SLACK
from stepahead.panels.windows import Rows, Windows

LIMIT = 20.0  # a series' yardstick may be so many times finer than the panel's usual one


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

        A series is drawn by the square root of its number of origins; within it the place is first + U^(1/3) (n -
        first).
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
        """How much an error in units of a window's scale weighs as MASE-like error: [N]."""
        return 0.5 * scale / self.size[rows.panel.series_of(origins)] / self.scaled


def measure(rows: Rows, origins: np.ndarray) -> Yardsticks:
    """The yardsticks of a panel, from sampled origins [N] and the baseline's errors there."""
    size = seasonal_changes(rows)
    percent, scaled = baseline_errors(rows, origins, size)
    return Yardsticks(size, max(percent, 1e-3), max(scaled, 1e-3))


def relative_losses(yardsticks: Yardsticks, read: Mapping[str, np.ndarray], said: np.ndarray) -> np.ndarray:
    """The loss of nn/panel.py over each window: [N], 0 where no truth is there.

    read: y, there [N, H], importance [N]; y and said [N, H] in units of each window's scale.
    """
    error, size = np.abs(said - read["y"]), np.maximum(np.abs(said) + np.abs(read["y"]), SLACK)
    cost = error * (read["importance"][:, None] + 1 / yardsticks.percent / size) * read["there"]
    found: np.ndarray = cost.sum(axis=1) / np.maximum(read["there"].sum(axis=1), 1)
    return found


def choose_baseline(rows: Rows, origins: np.ndarray, seasons: Sequence[int]) -> int:
    """Rows that the baseline repeats: 1 (naive) or a season, whichever fits these windows best."""
    size = seasonal_changes(rows)
    naive = np.maximum(baseline_errors(replace(rows, back=1), origins, size), 1e-12)
    candidates = (1, *(s for s in seasons if s <= rows.window))
    errors = {back: baseline_errors(replace(rows, back=back), origins, size) / naive for back in candidates}
    return min(errors, key=lambda back: float(errors[back].sum()))


def baseline_errors(rows: Rows, origins: np.ndarray, size: np.ndarray) -> np.ndarray:
    """The baseline's mean sMAPE-like and MASE-like error: [2]. size: [S], MASE's denominators."""
    windows = rows.windows(origins)
    return forecast_errors(rows, windows, windows.base, size)


def forecast_errors(rows: Rows, windows: Windows, said: np.ndarray, size: np.ndarray) -> np.ndarray:
    """The mean sMAPE-like and MASE-like error of what is said of these windows: said [N, H], size [S] -> [2].

    Windows of nothing but zeros count for nothing: they have no scale.
    """
    y, there = rows.targets(windows.origins)
    there = there & windows.x.any(axis=1, keepdims=True)
    if not there.any():
        return np.zeros(2)
    error = np.abs(y - said)
    sizes = np.maximum(np.abs(y) + np.abs(said), SLACK * windows.scale[:, None])
    scaled = error / size[rows.panel.series_of(windows.origins)][:, None]
    return np.array([2 * (error / sizes)[there].mean(), scaled[there].mean()])


def seasonal_changes(rows: Rows) -> np.ndarray:
    """The mean absolute change over a season of each series, never so small that one series outweighs all: [S].

    A series without a change over a season has that from row to row.
    """
    values, true = rows.values[rows.window :], rows.true[rows.window :]
    series = np.repeat(np.arange(rows.panel.n_series), rows.panel.lengths)
    size = mean_change(values, true, series, rows.season, rows.panel.n_series)
    if rows.season > 1:
        size = np.where(size > 0, size, mean_change(values, true, series, 1, rows.panel.n_series))
    mean = by_series(np.abs(values), true, series, rows.panel.n_series)
    mean = np.where(mean > 0, mean, 1.0)
    relative = size / mean
    usual = float(np.median(relative[relative > 0])) if (relative > 0).any() else 1.0
    return np.maximum(relative, usual / LIMIT) * mean


def mean_change(values: np.ndarray, true: np.ndarray, series: np.ndarray, step: int, n_series: int) -> np.ndarray:
    """The mean absolute change over so many rows within each series: [S], 0 where there is none."""
    both = true[step:] & true[:-step] & (series[step:] == series[:-step])
    return by_series(np.abs(values[step:] - values[:-step]), both, series[step:], n_series)


def by_series(values: np.ndarray, there: np.ndarray, series: np.ndarray, n_series: int) -> np.ndarray:
    """The mean of what is there of each series: [S], 0 where nothing is."""
    total = np.bincount(series, weights=values * there, minlength=n_series)
    return total / np.maximum(np.bincount(series, weights=there, minlength=n_series), 1)

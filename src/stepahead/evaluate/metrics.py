"""How wrong a forecast was.  Actual, forecast [N, H] -> scores, overall or by series, step ahead or cutoff.

Legend: N origins, H steps ahead, S series, Q quantiles.
An average is taken within each series first, then over the series, so that a long series counts as much as a short
one; roots (RMSE, RMSSE) and ratios (WAPE) are those of each series. A truth that is missing is left out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from stepahead.errors import ConfigError

GROUPS = ("series", "step", "cutoff")


@dataclass(frozen=True)
class Actual:
    """The truth that forecasts are held against.

    y: [N, H] float64, NaN where it is missing or not there yet. series: [N] int64, position of the series.
    cutoff: [N] int64, position of the origin's time among all distinct ones, in order of time.
    mae_scale, mse_scale: [N] mean absolute and squared error of the (seasonal) naive forecast inside the training part,
    the yardsticks of MASE and RMSSE; NaN where there is none.
    """

    y: np.ndarray
    series: np.ndarray
    cutoff: np.ndarray
    mae_scale: np.ndarray
    mse_scale: np.ndarray

    @classmethod
    def from_arrays(
        cls,
        y: np.ndarray,
        *,
        series: np.ndarray | None = None,
        cutoff: np.ndarray | None = None,
        mae_scale: np.ndarray | None = None,
        mse_scale: np.ndarray | None = None,
    ) -> "Actual":
        """Plain arrays as an Actual: one series with ascending cutoffs and no yardsticks unless they are given."""
        n, unknown = len(y), np.full(len(y), np.nan)
        return cls(
            y=np.asarray(y, dtype=np.float64),
            series=np.zeros(n, dtype=np.int64) if series is None else np.asarray(series, dtype=np.int64),
            cutoff=np.arange(n) if cutoff is None else np.asarray(cutoff, dtype=np.int64),
            mae_scale=unknown if mae_scale is None else np.asarray(mae_scale, dtype=np.float64),
            mse_scale=unknown if mse_scale is None else np.asarray(mse_scale, dtype=np.float64),
        )

    @cached_property
    def n_series(self) -> int:
        return int(self.series.max()) + 1 if len(self.series) else 0

    @cached_property
    def n_cutoffs(self) -> int:
        return int(self.cutoff.max()) + 1 if len(self.cutoff) else 0

    def groups(self, by: str | None) -> tuple[np.ndarray, int]:
        """The group of each point, broadcast to [N, H], and how many groups there are."""
        if by == "step":
            return np.broadcast_to(np.arange(self.y.shape[1]), self.y.shape), self.y.shape[1]
        if by == "cutoff":
            return np.broadcast_to(self.cutoff[:, None], self.y.shape), self.n_cutoffs
        if by in (None, "series"):
            return np.zeros(self.y.shape, dtype=np.int64), 1
        raise ConfigError(f"by={by!r} is not one of {', '.join(map(repr, GROUPS))} or None")


def score(
    actual: Actual, forecast: np.ndarray, *, by: str | None = None, metrics: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
    """All point metrics of one forecast.

    actual: the truth, [N, H]. forecast: [N, H]. by: "series" | "step" | "cutoff", or None for one number each.
    metrics: names out of METRICS; all of them by default.
    Returns: {metric: [groups] float64}, 0-d where by is None; sMAPE in percent, 0 to 200; bias is positive where the
    forecast is too high.
    Raises: ConfigError for a name that is none of these.
    Example: `score(Actual.from_arrays(np.ones((3, 1))), np.zeros((3, 1)))["mae"]` is 1.
    """
    asked: Any = metrics or list(METRICS)
    asked = list(asked) if np.iterable(asked) and not isinstance(asked, str) else [asked]
    for name in asked:
        if name not in list(METRICS):
            raise ConfigError(f"metrics={name!r} is not one of {', '.join(map(repr, METRICS))}")
    return {name: METRICS[name](actual, forecast, by) for name in asked}


def average(
    loss: np.ndarray,
    actual: Actual,
    by: str | None = None,
    *,
    finish: Callable[[np.ndarray], np.ndarray] = np.positive,
    weight: np.ndarray | None = None,
) -> np.ndarray:
    """The mean loss within each series, finished (a root, say), then its mean over the series.

    loss: [N, H]; NaN is left out. weight: [N, H], to divide by the sum of these instead of by the count.
    Returns: [groups], or 0-d where by is None; NaN for a group without a point.
    """
    group, n_groups = actual.groups(by)
    valid = ~np.isnan(loss)
    cell = (actual.series[:, None] * n_groups + group)[valid]
    size = actual.n_series * n_groups
    total = np.bincount(cell, weights=loss[valid], minlength=size)
    count = np.bincount(cell, weights=None if weight is None else weight[valid], minlength=size)
    table = finish(total / np.where(count > 0, count, np.nan)).reshape(actual.n_series, n_groups)
    if by == "series":
        return table[:, 0]
    return mean_of_known(table) if by else mean_of_known(table)[0]


def mean_of_known(table: np.ndarray) -> np.ndarray:
    """The mean over the first axis of what is a number; NaN where nothing is."""
    known = ~np.isnan(table)
    return np.where(known, table, 0.0).sum(axis=0) / np.where(known.any(axis=0), known.sum(axis=0), np.nan)


# What follows takes a truth and a forecast of one shape and gives the loss of each point.


def absolute_error(y: np.ndarray, forecast: np.ndarray) -> np.ndarray:
    """|y - f| of each point."""
    return np.abs(y - forecast)


def squared_error(y: np.ndarray, forecast: np.ndarray) -> np.ndarray:
    """(y - f)^2 of each point."""
    return np.square(y - forecast)


def symmetric_percentage_error(y: np.ndarray, forecast: np.ndarray) -> np.ndarray:
    """200 |y - f| / (|y| + |f|) of each point; 0 where both are 0."""
    size = np.abs(y) + np.abs(forecast)
    return 200 * np.abs(y - forecast) / np.where(size == 0, 1.0, size)


def pinball(y: np.ndarray, forecast: np.ndarray, probability: float) -> np.ndarray:
    """The quantile loss of each point, for a forecast of the quantile at this probability (in (0, 1))."""
    miss = y - forecast
    return np.maximum(probability * miss, (probability - 1) * miss)


def covered(y: np.ndarray, lo: np.ndarray, hi: np.ndarray) -> np.ndarray:
    """1 where the truth lies within the interval, bounds included, 0 where not, NaN where it is missing."""
    return np.where(np.isnan(y), np.nan, ((y >= lo) & (y <= hi)).astype(np.float64))


def width(y: np.ndarray, lo: np.ndarray, hi: np.ndarray) -> np.ndarray:
    """The width of the interval of each point that has a truth."""
    return np.where(np.isnan(y), np.nan, hi - lo)


def insample_errors(y: np.ndarray, season_length: int | None = None) -> tuple[float, float]:
    """Mean absolute and squared error of the (seasonal) naive forecast inside a training part.

    y: [rows] the training part of one series. season_length: steps in a season; 1 if None, or if the part is no longer
    than it.
    Returns: (mae, mse); NaN where there is no difference, or where all of them are 0 (nothing to scale by).
    Source: Hyndman and Koehler 2006.
    """
    season = season_length if season_length and len(y) > season_length else 1
    change = y[season:] - y[:-season]
    change = change[~np.isnan(change)]
    if not change.any():
        return np.nan, np.nan
    squared = float(np.square(change).mean())
    return float(np.abs(change).mean()), squared or np.nan  # squares below 1e-308 are 0


def mae(actual: Actual, forecast: np.ndarray, by: str | None = None) -> np.ndarray:
    """Mean absolute error."""
    return average(absolute_error(actual.y, forecast), actual, by)


def rmse(actual: Actual, forecast: np.ndarray, by: str | None = None) -> np.ndarray:
    """Root mean squared error."""
    return average(squared_error(actual.y, forecast), actual, by, finish=np.sqrt)


def bias(actual: Actual, forecast: np.ndarray, by: str | None = None) -> np.ndarray:
    """Mean of forecast minus truth: positive where the forecast is too high."""
    return average(forecast - actual.y, actual, by)


def smape(actual: Actual, forecast: np.ndarray, by: str | None = None) -> np.ndarray:
    """Symmetric mean absolute percentage error, 0 to 200."""
    return average(symmetric_percentage_error(actual.y, forecast), actual, by)


def mase(actual: Actual, forecast: np.ndarray, by: str | None = None) -> np.ndarray:
    """Mean absolute error in units of the training part's (seasonal) naive error; Hyndman and Koehler 2006."""
    return average(absolute_error(actual.y, forecast) / actual.mae_scale[:, None], actual, by)


def rmsse(actual: Actual, forecast: np.ndarray, by: str | None = None) -> np.ndarray:
    """Root of the squared error in units of the training part's (seasonal) naive squared error."""
    return average(squared_error(actual.y, forecast) / actual.mse_scale[:, None], actual, by, finish=np.sqrt)


def wape(actual: Actual, forecast: np.ndarray, by: str | None = None) -> np.ndarray:
    """Sum of absolute errors over the sum of absolute truths; a fraction."""
    return average(absolute_error(actual.y, forecast), actual, by, weight=np.abs(actual.y))


Metric = Callable[[Actual, np.ndarray, str | None], np.ndarray]

METRICS: dict[str, Metric] = {
    "mae": mae,
    "rmse": rmse,
    "bias": bias,
    "smape": smape,
    "mase": mase,
    "rmsse": rmsse,
    "wape": wape,
}

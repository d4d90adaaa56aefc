"""Forecasts that need no learning, the ones to beat.  Panel, origins -> [N, H].

Legend: N origins (row positions in the panel, the last row that a forecast may know), H steps ahead.
A baseline at an origin reads rows of the origin's own series up to it, and no other row. Only the season may be known
from later ones.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from stepahead.data.panel import Panel
from stepahead.data.season import find_season

Baseline = Callable[[Panel, np.ndarray, int, int | None], np.ndarray]

WINDOW = 7  # rows that `window_mean` averages where there is no season
CHUNK = 1 << 16  # origins averaged at a time, so that memory does not grow with origins x window


def naive(panel: Panel, origins: np.ndarray, horizon: int, season_length: int | None = None) -> np.ndarray:
    """Repeat the last observed value.

    origins: [N] row positions. horizon: steps ahead. season_length: not used; all baselines take the same.
    Returns: [N, H]; NaN where the series has no observed value up to the origin.
    Example: `naive(Panel.from_arrays(np.arange(9.0)), np.array([4]), 2)` is `[[4., 4.]]`.
    """
    last = value_at(panel, last_observed(panel)[origins])
    return np.repeat(last[:, None], horizon, axis=1)


def seasonal_naive(panel: Panel, origins: np.ndarray, horizon: int, season_length: int | None = None) -> np.ndarray:
    """Repeat the last season: the newest observed value one, two, ... whole seasons before the step.

    season_length: steps in a season; None is 1, the naive forecast.
    Returns: [N, H]; the naive forecast where no such value is there yet.
    """
    season = season_length or 1
    ahead = np.arange(1, horizon + 1)
    back = origins[:, None] + (ahead - season * -(-ahead // season))[None, :]  # the same season, at or before origin
    inside = back >= series_start(panel, origins)[:, None]
    rows = np.where(inside, last_observed(panel, season)[np.maximum(back, 0)], -1)
    return np.where(rows >= 0, value_at(panel, rows), naive(panel, origins, horizon))


def drift(panel: Panel, origins: np.ndarray, horizon: int, season_length: int | None = None) -> np.ndarray:
    """Continue the line through the first and the last observed value of the series up to the origin.

    Returns: [N, H]; the naive forecast where a single value was observed so far.
    """
    first, last = first_observed(panel)[origins], last_observed(panel)[origins]
    known = last > first  # two observed values at least: both are rows of the same series
    rise = value_at(panel, last) - value_at(panel, first)
    slope = np.where(known & (first >= 0), rise / np.maximum(last - first, 1), 0.0)
    steps = (origins - last)[:, None] + np.arange(1, horizon + 1)
    return value_at(panel, last)[:, None] + slope[:, None] * steps


def window_mean(panel: Panel, origins: np.ndarray, horizon: int, season_length: int | None = None) -> np.ndarray:
    """The mean of the observed values among the last rows: one season of them, or 7.

    Returns: [N, H]; the naive forecast where none of those rows was observed.
    """
    back = np.arange(season_length or WINDOW)
    start = series_start(panel, origins)
    mean = np.empty(len(origins))
    for chunk in range(0, len(origins), CHUNK):
        part = slice(chunk, chunk + CHUNK)
        rows = origins[part, None] - back
        values = np.where(rows >= start[part, None], panel.y[np.maximum(rows, 0)], np.nan)
        seen = ~np.isnan(values)
        mean[part] = np.where(seen, values, 0.0).sum(axis=1) / np.where(seen.any(axis=1), seen.sum(axis=1), np.nan)
    last = naive(panel, origins, 1)[:, 0]
    return np.repeat(np.where(np.isnan(mean), last, mean)[:, None], horizon, axis=1)


BASELINES: dict[str, Baseline] = {
    "naive": naive,
    "seasonal_naive": seasonal_naive,
    "drift": drift,
    "window_mean": window_mean,
}


def season_to_beat(panel: Panel, found: int | None, params: Mapping[str, Any]) -> int | None:
    """The season of the baselines and of the scaled errors: the model's own, or what the whole table shows.

    found: what the (first) fit found or was given. params: of the model; where they say that there is no season, there
    is none. A training part may be too short to show the season that the rows behind it have. To look there favours a
    baseline, never the model.
    """
    asked = params.get("season_length", "auto")
    return find_season(panel) if found is None and isinstance(asked, str) and asked == "auto" else found


def series_start(panel: Panel, rows: np.ndarray) -> np.ndarray:
    """The first row of the series that each row belongs to: [N] int64."""
    return panel.offsets[panel.series_of(rows)]


def value_at(panel: Panel, rows: np.ndarray) -> np.ndarray:
    """The target at these rows, NaN where the row is -1."""
    return np.where(rows >= 0, panel.y[np.maximum(rows, 0)], np.nan)


def last_observed(panel: Panel, season: int = 1) -> np.ndarray:
    """For each row the newest observed row at or whole seasons before it, in its series, or -1: [R] int64."""
    position = np.arange(panel.n_rows) - np.repeat(panel.offsets[:-1], panel.lengths)
    phase = np.repeat(np.arange(panel.n_series), panel.lengths) * season + position % season
    order = np.argsort(phase, kind="stable")  # rows of one series and phase are neighbours, in time order
    new_phase = np.concatenate([[True], np.diff(phase[order]) > 0])
    begin = np.maximum.accumulate(np.where(new_phase, np.arange(len(order)), 0))
    newest = np.maximum.accumulate(np.where(np.isnan(panel.y[order]), -1, np.arange(len(order))))
    found = np.empty(len(order), dtype=np.int64)
    found[order] = np.where(newest >= begin, order[np.maximum(newest, 0)], -1)
    return found


def first_observed(panel: Panel) -> np.ndarray:
    """For each row the first observed row of its series up to it, or -1: [R] int64."""
    observed = np.where(np.isnan(panel.y), panel.n_rows, np.arange(panel.n_rows))
    first = np.concatenate(
        [np.minimum.accumulate(observed[panel.rows(s)]) for s in range(panel.n_series)] or [np.empty(0, dtype=np.int64)]
    )
    return np.where(first < panel.n_rows, first, -1)

"""The numbers behind a report.  Backtest -> plain values, thin enough for one page.

Legend: N origins, H steps ahead, L levels, S series, R rows of one series, T cutoffs, K lags.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from stepahead.errors import ConfigError
from stepahead.evaluate.metrics import score

if TYPE_CHECKING:
    from stepahead.evaluate.result import Backtest

CELLS = 300_000  # numbers in the picture of truth against forecast, over all series: about 2.5 MB
SERIES = 60  # series in the picker at most
WORST = 10  # series, and moments, in the tables of the worst
CONTEXT = 50  # rows before the test part at least
RESIDUALS = 4_000  # points in the picture of residuals
LAGS = 40  # autocorrelations at most
STEPS = 60  # steps ahead that are compared one by one at most


class WindowCurve(Protocol):
    """What a window search found: the error of each window length, with its noise band.

    windows: W lengths in rows. error, low, high: [W]. chosen: the length chosen. sentence: what it means, in words.
    """

    @property
    def windows(self) -> Sequence[int]: ...
    @property
    def error(self) -> np.ndarray: ...
    @property
    def low(self) -> np.ndarray: ...
    @property
    def high(self) -> np.ndarray: ...
    @property
    def chosen(self) -> int: ...
    @property
    def sentence(self) -> str: ...


@dataclass(frozen=True)
class View:
    """Which forecasts one picture joins: name in words; steps ahead that it shows."""

    name: str
    steps: tuple[int, ...]


def views(result: "Backtest") -> list[View]:
    """Forecasts that do not overlap are one line; of those that do, the nearest and the farthest step are shown."""
    horizon = result.horizon
    if horizon == 1:
        return [View("1 step ahead", (1,))]
    if result.step_size >= horizon:
        return [View(f"steps 1 to {horizon}, as they were made", tuple(range(1, horizon + 1)))]
    return [View("1 step ahead", (1,)), View(f"{horizon} steps ahead", (horizon,))]


def ranked_series(result: "Backtest") -> np.ndarray:
    """Positions of the tested series, the worst first: by RMSSE, or by RMSE where that is not known."""
    found = score(result.actual, result.mean, by="series", metrics=("rmsse", "rmse"))
    error = found["rmse"] if np.isnan(found["rmsse"]).all() else found["rmsse"]
    order = np.argsort(-np.nan_to_num(error, nan=-1.0), kind="stable")
    return order[~np.isnan(found["rmse"])[order]]


def shown_series(ranking: np.ndarray) -> np.ndarray:
    """The worst third of the places for the worst, the others evenly over the ranking; in the order of the ranking."""
    if len(ranking) <= SERIES:
        return ranking
    worst = SERIES // 3
    others = np.linspace(worst, len(ranking) - 1, SERIES - worst).round().astype(int)
    return ranking[np.concatenate([np.arange(worst), others])]


def pictures(result: "Backtest") -> dict[str, Any]:
    """Truth, forecast, best baseline and intervals of the series in the picker."""
    looks, ranking = views(result), ranked_series(result)
    shown = np.sort(shown_series(ranking))
    columns = 4 + 2 * len(result.level)
    points = max(120, CELLS // (columns * len(shown) * len(looks)))
    return {
        "views": [look.name for look in looks],
        "level": list(result.level),
        "worst": int(np.flatnonzero(shown == ranking[0])[0]),
        "series": [
            {"id": result.panel.ids[s], "views": [picture(result, int(s), look, points) for look in looks]}
            for s in shown
        ],
    }


def picture(result: "Backtest", series: int, look: View, points: int) -> dict[str, Any]:
    """One series under one view: columns of equal length, None where there is nothing.  points: rows at most."""
    panel, rows = result.panel, result.panel.rows(series)
    mine = np.flatnonzero(result.actual.series == series)
    columns = np.asarray(look.steps) - 1
    first = int(result.origins[mine].min()) + 1
    begin = max(rows.start, first - max(CONTEXT, rows.stop - first))
    at = result.origins[mine][:, None] + 1 + columns - begin  # [n, steps] rows of the picture
    inside = at < rows.stop - begin

    def spread(values: np.ndarray) -> np.ndarray:
        line = np.full(rows.stop - begin, np.nan)
        line[at[inside]] = values[mine][:, columns][inside]
        return line

    y, forecast = panel.y[begin : rows.stop], spread(result.mean)
    keep = thinned(y, forecast, points)
    baseline = spread(result.baseline_means[result.verdict.baseline])
    return {
        "x": axis(panel.times[begin : rows.stop][keep]),
        "y": short(y[keep]),
        "forecast": short(forecast[keep]),
        "baseline": short(baseline[keep]),
        "lo": [short(spread(result.lo[..., i])[keep]) for i in range(len(result.level))],
        "hi": [short(spread(result.hi[..., i])[keep]) for i in range(len(result.level))],
        "test_from": axis(panel.times[first : first + 1])[0],
        "rows": len(y),
    }


def thinned(y: np.ndarray, forecast: np.ndarray, points: int) -> np.ndarray:
    """Which rows to draw: of each stretch the first, the lowest, the highest and the one with the largest error.

    y, forecast: [R]. Returns: ascending positions, all of them where there are no more than `points`.
    """
    if len(y) <= points:
        return np.arange(len(y))
    bounds = np.linspace(0, len(y), max(2, points // 4) + 1).astype(int)
    error = np.abs(y - forecast)
    keep = set(bounds[:-1]) | {len(y) - 1}
    for begin, end in pairwise(bounds):
        for values in (-y[begin:end], y[begin:end], error[begin:end]):
            if not np.isnan(values).all():
                keep.add(begin + int(np.nanargmax(values)))
    return np.sort(np.fromiter(keep, dtype=np.int64))


def by_step(result: "Backtest") -> dict[str, Any]:
    """RMSE of the model and of each baseline at each step ahead; empty where there is only one step."""
    if result.horizon == 1:
        return {}
    models = {result.name: result.mean, **result.baseline_means}
    error = {name: score(result.actual, f, by="step", metrics=("rmse",))["rmse"] for name, f in models.items()}
    return {"x": list(range(1, result.horizon + 1)), "rmse": {name: short(values) for name, values in error.items()}}


def skill_by_step(result: "Backtest") -> dict[str, Any]:
    """Skill in percent with its interval at each step ahead, against the best baseline."""
    if not 1 < result.horizon <= STEPS:
        return {}
    found = result.comparisons("step")
    columns = {name: short([100 * getattr(c, name) for c in found]) for name in ("skill", "low", "high")}
    return {"x": [c.step for c in found], **columns}


def calibration(result: "Backtest") -> dict[str, Any]:
    """Coverage asked for and reached, in percent, with two binomial standard errors; empty without intervals."""
    if not result.level:
        return {}
    n, share = int((~np.isnan(result.actual.y)).sum()), np.asarray(result.level) / 100
    reached = [100 * float(result.coverage.get(level, np.nan)) for level in result.level]
    own = result.scores[result.name]
    return {
        "x": list(result.level),
        "reached": short(reached),
        "noise": short(200 * np.sqrt(share * (1 - share) / n)),
        "width": short([own.get(f"width-{level:g}", np.nan) for level in result.level]),
        "as_fitted": short(
            [100 * share for share in map(result.coverage_as_fitted.get, result.level) if share is not None]
        ),
    }


def residuals(result: "Backtest") -> dict[str, Any]:
    """Truth less the one-step forecast by cutoff: the median over the series, with their 10th and 90th percentile.

    Of several series each is divided by its mean naive error in the training part, so that they can be laid together.
    """
    error = scaled_errors(result)[:, 0]
    known = ~np.isnan(error)
    order = np.lexsort((error[known], result.actual.cutoff[known]))
    cutoff, error = result.actual.cutoff[known][order], error[known][order]
    present, start, count = np.unique(cutoff, return_index=True, return_counts=True)
    times = np.unique(result.panel.times[result.origins])[present]
    low, middle, high = (error[start + np.round(q * (count - 1)).astype(int)] for q in (0.1, 0.5, 0.9))
    keep = thinned(middle, np.zeros(len(middle)), RESIDUALS)
    several = bool((count > 1).any())
    bounds = {"lo": short(low[keep]), "hi": short(high[keep])} if several else {}
    return {"x": axis(times[keep]), "y": short(middle[keep]), "scaled": several, **bounds}


def scaled_errors(result: "Backtest") -> np.ndarray:
    """Truth less forecast [N, H]; of several series in units of each one's own naive error, where that is known."""
    error, scale = result.actual.y - result.mean, result.actual.mae_scale
    if len(np.unique(result.actual.series)) == 1:
        return error
    return error / np.where(scale > 0, scale, np.nan)[:, None]


def autocorrelation(result: "Backtest") -> dict[str, Any]:
    """Of the one-step residuals from cutoff to cutoff, the mean over the series; empty where there are too few.

    band: what 95 % of the autocorrelations of noise of one series' length stay within.
    """
    error, series = result.actual.y[:, 0] - result.mean[:, 0], result.actual.series
    parts = [error[series == s] for s in shown_series(ranked_series(result))]
    longest = max(map(len, parts))
    lags = min(LAGS, longest // 4)
    if lags < 2:
        return {}
    table = np.array([correlations(part, lags) for part in parts if len(part) > lags])
    known = ~np.isnan(table)
    mean = np.where(known, table, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    band = 1.96 / np.sqrt(np.mean([len(part) for part in parts if len(part) > lags]))
    outside = int((np.abs(mean) > band).sum())
    return {"x": list(range(1, lags + 1)), "r": short(mean), "band": float(f"{band:.4g}"), "outside": outside}


def correlations(error: np.ndarray, lags: int) -> np.ndarray:
    """Autocorrelation at lags 1 to `lags`: error [n], NaN left out -> [K]; NaN where nothing varies."""
    centred = error - np.nanmean(error) if not np.isnan(error).all() else error
    whole = np.where(np.isnan(centred), 0.0, centred)
    total = whole @ whole
    if not total > 0:
        return np.full(lags, np.nan)
    return np.array([whole[k:] @ whole[:-k] for k in range(1, lags + 1)]) / total


def worst_series(result: "Backtest") -> list[list[Any]]:
    """Rows of name, RMSE, RMSE of the best baseline, skill in percent, forecasts; the worst first by RMSSE."""
    ranking = ranked_series(result)[:WORST]
    best = result.baseline_means[result.verdict.baseline]
    own, other = (score(result.actual, f, by="series", metrics=("rmse",))["rmse"] for f in (result.mean, best))
    count = np.bincount(result.actual.series, weights=(~np.isnan(result.actual.y)).sum(axis=1)).astype(int)
    return [
        [result.panel.ids[s], own[s], other[s], 100 * (1 - own[s] / other[s]) if other[s] else np.nan, int(count[s])]
        for s in ranking
    ]


def worst_moments(result: "Backtest") -> list[list[Any]]:
    """Rows of series, time, step ahead, truth, forecast, truth less forecast; the largest error first."""
    size = np.nan_to_num(np.abs(scaled_errors(result)), nan=-1.0)
    if (size < 0).all():  # no series has a yardstick
        size = np.nan_to_num(np.abs(result.actual.y - result.mean), nan=-1.0)
    order = np.argsort(-size, axis=None, kind="stable")[:WORST]
    found = []
    for n, h in zip(*np.unravel_index(order, size.shape), strict=True):
        if size[n, h] < 0:
            break
        truth, forecast = result.actual.y[n, h], result.mean[n, h]
        time = stamp(result.panel.times[result.origins[n] + 1 + h])
        found.append([result.panel.ids[result.actual.series[n]], time, int(h) + 1, truth, forecast, truth - forecast])
    return found


def window_curve(curve: WindowCurve | None) -> dict[str, Any]:
    """A window search as plain values; empty without one."""
    if curve is None:
        return {}
    if not all(hasattr(curve, name) for name in ("windows", "error", "low", "high", "chosen", "sentence")):
        raise ConfigError(f"window_curve={curve!r} must be what choose_window found")
    return {
        "x": [int(window) for window in curve.windows],
        **{name: short(getattr(curve, name)) for name in ("error", "low", "high")},
        "chosen": int(curve.chosen),
        "sentence": str(curve.sentence),
    }


def digest(result: "Backtest") -> str:
    """SHA-256 of the table as it was read: names, times and values; the same rows give the same digits."""
    panel, found = result.panel, hashlib.sha256()
    found.update(repr((panel.ids, panel.schema.past, panel.schema.future, panel.schema.static)).encode())
    for array in (panel.offsets, panel.times, panel.past, panel.future):
        found.update(np.ascontiguousarray(array).tobytes())
    found.update(repr(panel.static.tolist()).encode())
    return found.hexdigest()


def stamp(time: np.generic) -> str:
    """A time as one writes it: no hours where they are all zero."""
    return str(time).removesuffix("T00:00:00.000000").removesuffix(".000000").replace("T", " ")


def axis(times: np.ndarray) -> list[float]:
    """Seconds since 1970 for stamps, the steps themselves otherwise."""
    if np.issubdtype(times.dtype, np.datetime64):
        seconds = times.astype("datetime64[us]").astype(np.int64) / 1e6
        return [int(value) if value == int(value) else float(value) for value in seconds]
    return [int(value) for value in times]


def short(values: Any) -> list[float | None]:
    """Seven significant digits, None for what is no number."""
    return [float(f"{value:.7g}") if np.isfinite(value) else None for value in np.asarray(values, dtype=np.float64)]

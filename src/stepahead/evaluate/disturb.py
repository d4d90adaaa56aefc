"""The same panel with other values.  Panel, cutoff -> Panel, for an audit to see what an answer depends on.

Only past inputs (the target among them) are changed; inputs known ahead are known, and stay. Values that were positive
stay positive, missing ones stay missing.
"""

from typing import Any

import numpy as np

from stepahead.data.panel import Panel


def after(panel: Panel, cutoff: Any, *, skip: int = 0, count: int | None = None) -> np.ndarray:
    """Rows of every series behind the cutoff, without the first `skip`, `count` of them at most: [R] bool."""
    limit = np.asarray(cutoff).astype(panel.times.dtype)
    behind = panel.times > limit
    order = np.cumsum(behind)
    first = np.concatenate([[0], order])[panel.offsets[:-1]]  # those of earlier series
    place = order - np.repeat(first, panel.lengths)  # 1, 2, ... behind the cutoff of each series
    return behind & (place > skip) & (True if count is None else place <= skip + count)


def other_values(panel: Panel, rows: np.ndarray, rng: np.random.Generator) -> Panel:
    """Other values of about the same size in these rows: [R] bool."""
    return changed(panel, rows, lambda v: v * np.exp(rng.normal(scale=0.5, size=v.shape)) + moved(panel, rng, v))


def extreme_values(panel: Panel, rows: np.ndarray, rng: np.random.Generator) -> Panel:
    """Values far above all others in these rows, so that whatever is measured over the table moves."""
    top = 20 * np.nanmax(np.abs(panel.past), axis=0) + 1
    return changed(panel, rows, lambda v: top * (1 + rng.random(v.shape)))


def reordered(panel: Panel, rows: np.ndarray, rng: np.random.Generator) -> Panel:
    """The same values in these rows, in another order within each series: minimum, maximum and mean stay."""
    past = panel.past.copy()
    for s in range(panel.n_series):
        mine = np.flatnonzero(rows[panel.rows(s)]) + panel.offsets[s]
        past[mine] = past[np.roll(mine, len(mine) // 2)][::-1]
    return panel.with_past(past)


def nudged(panel: Panel, rows: np.ndarray, size: float = 0.5) -> Panel:
    """So many standard deviations more in these rows, in all past inputs."""
    past = panel.past.copy()
    past[rows] += size * spread(panel)
    return panel.with_past(past)


def raised(panel: Panel, rows: np.ndarray) -> Panel:
    """Half a standard deviation above all values of their series in these rows, in all past inputs: positions."""
    return replaced(panel, rows, of_each_series(panel, rows, np.fmax) + 0.5 * spread(panel))


def lowered(panel: Panel, rows: np.ndarray) -> Panel:
    """The lowest value of their series in these rows, in all past inputs: positions."""
    return replaced(panel, rows, of_each_series(panel, rows, np.fmin))


def of_each_series(panel: Panel, rows: np.ndarray, extreme: np.ufunc) -> np.ndarray:
    """The fmax or fmin of the series of each row: [rows, P]; missing values where it has none at all."""
    filled = np.flatnonzero(panel.lengths)
    found = extreme.reduceat(panel.past, panel.offsets[filled])
    return found[np.searchsorted(filled, panel.series_of(rows))]


def replaced(panel: Panel, rows: np.ndarray, values: np.ndarray) -> Panel:
    past = panel.past.copy()
    past[rows] = np.where(np.isnan(past[rows]), np.nan, values)
    return panel.with_past(past)


def shaken(panel: Panel, rows: np.ndarray, column: int, rng: np.random.Generator) -> Panel:
    """Up to half a standard deviation more in one past input, in each of these rows another amount."""
    past = panel.past.copy()
    past[rows, column] += 0.5 * spread(panel)[column] * rng.random(int(rows.sum()))
    return panel.with_past(past)


def blanked(panel: Panel, rows: np.ndarray) -> Panel:
    """These rows without any value."""
    past = panel.past.copy()
    past[rows] = np.nan
    return panel.with_past(past)


def changed(panel: Panel, rows: np.ndarray, change: Any) -> Panel:
    past = panel.past.copy()
    past[rows] = np.where(np.isnan(past[rows]), np.nan, change(past[rows]))
    return panel.with_past(past)


def moved(panel: Panel, rng: np.random.Generator, values: np.ndarray) -> np.ndarray:
    """Noise to add: none to inputs that are positive throughout."""
    positive = np.nanmin(panel.past, axis=0) > 0
    return np.where(positive, 0.0, spread(panel)) * rng.normal(size=values.shape)


def spread(panel: Panel) -> np.ndarray:
    """The standard deviation of each past input, 1 for a constant one: [P]."""
    found = np.nanstd(panel.past, axis=0)
    return np.where(found > 0, found, 1.0)

"""Every step has its row.  Panel, Frequency -> Panel with a row at each stamp, its values missing where there was none.

A missing row's past inputs are NaN, so that `missing=` decides what happens; its inputs known ahead are those of the
row before.
"""

import re
from dataclasses import replace
from typing import Any

import numpy as np

from stepahead.data.calendar import DAY, HOUR, Frequency
from stepahead.data.panel import Panel
from stepahead.errors import ConfigError, DataError

UNITS = {
    "s": Frequency("us", HOUR // 3600),
    "min": Frequency("us", HOUR // 60),
    "h": Frequency("us", HOUR),
    "D": Frequency("us", DAY),
    "W": Frequency("us", 7 * DAY),
    "B": Frequency("business"),
    "MS": Frequency("month"),
    "ME": Frequency("month", month_end=True),
    "BME": Frequency("month", month_end=True, business=True),
    "QS": Frequency("month", 3),
    "QE": Frequency("month", 3, month_end=True),
    "YS": Frequency("month", 12),
    "YE": Frequency("month", 12, month_end=True),
}


def parse_frequency(asked: Any, panel: Panel) -> Frequency:
    """What a step is: "auto" (the commonest step), pandas' words ("h", "15min", "D", "W", "B", "MS", "ME", "QE" ...),
    or a number for integer times.

    Raises: ConfigError for another word.
    """
    if asked == "auto":
        return panel.frequency
    if panel.schema.time_kind == "integer":
        if isinstance(asked, int) and not isinstance(asked, bool) and asked > 0:
            return Frequency("step", asked)
        raise ConfigError(f"frequency={asked!r} must be 'auto' or a number of steps: '{panel.schema.time}' counts them")
    found = re.fullmatch(r"(\d*)([A-Za-z]+)(?:-[A-Z]{3})?", asked) if isinstance(asked, str) else None
    if found is None or found[2] not in UNITS or int(found[1] or 1) < 1:
        raise ConfigError(f"frequency={asked!r} is not 'auto' or one of {', '.join(UNITS)}, with a number before it")
    unit = UNITS[found[2]]
    by_clock = unit.unit != "us" or unit.count % DAY == 0
    zone = panel.schema.time_zone if by_clock and panel.schema.time_zone != "UTC" else None
    return replace(unit, count=unit.count * int(found[1] or 1), zone=zone)


def word_of(frequency: Frequency) -> str:
    """What `parse_frequency` reads as this frequency, "15min" say; "auto" for one that has no word."""
    for word, unit in reversed(UNITS.items()):
        count, rest = divmod(frequency.count, unit.count)
        if rest == 0 and replace(unit, count=frequency.count, zone=frequency.zone) == frequency:
            return word if count == 1 else f"{count}{word}"
    return "auto"


def at_each_step(panel: Panel, asked: str | int) -> Panel:
    """The panel with a row at each step; its schema remembers the step for the tables that follow.  asked: see
    parse_frequency.

    Raises: ConfigError for what is no step; DataError naming the first stamp that lies between two steps.
    """
    step = parse_frequency(asked, panel)
    grid = step.count if step.unit == "step" else word_of(step)
    panel = on_grid(panel, step)
    return replace(panel, schema=replace(panel.schema, grid=grid))


def on_grid(panel: Panel, frequency: Frequency) -> Panel:
    """The panel with a row at each step from the first to the last of each series.

    Raises: DataError naming the first stamp that lies between two steps.
    """
    grids, places = [], []
    for s in range(panel.n_series):
        grid, place = grid_of(panel, s, frequency)
        grids.append(grid)
        places.append(place)
    lengths = np.array([len(grid) for grid in grids], dtype=np.int64)
    if (lengths == panel.lengths).all():
        return panel
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    rows = np.concatenate([place + start for place, start in zip(places, offsets[:-1], strict=True)])
    past = np.full((offsets[-1], panel.past.shape[1]), np.nan)
    past[rows] = panel.past
    source = np.maximum.accumulate(np.bincount(rows, weights=np.arange(len(rows)), minlength=len(past)))
    future = panel.future[source.astype(np.int64)]
    return replace(panel, offsets=offsets, times=np.concatenate(grids), past=past, future=future)


def grid_of(panel: Panel, series: int, frequency: Frequency) -> tuple[np.ndarray, np.ndarray]:
    """The stamps of a series with none left out, and the places of its rows among them."""
    times = panel.times[panel.rows(series)]
    most = int((times[-1] - times[0]).astype(np.int64) // shortest(frequency))
    grid = np.concatenate([times[:1], frequency.after(times[:1], most)[0]])
    place = np.minimum(np.searchsorted(grid, times), most)
    off = grid[place] != times
    if off.any():
        raise DataError(
            f"{panel.schema.source}: series '{panel.ids[series]}': {panel.schema.time} {times[off][0]} lies between "
            f"two steps of the frequency; round the times, or leave frequency= out and fit with elapsed=True"
        )
    return grid[: int(place[-1]) + 1], place


def shortest(frequency: Frequency) -> int:
    """The least that a step can be, in microseconds or in the units of integer times."""
    if frequency.unit == "month":
        return 26 * DAY * frequency.count  # a last weekday may come two days before the month's end
    if frequency.unit == "business":
        return DAY * frequency.count
    return frequency.count - (2 * HOUR if frequency.zone else 0)

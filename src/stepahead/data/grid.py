"""Every step has its row.  Panel, Frequency -> Panel with a row at each stamp, its values missing where there was none.

A missing row's past inputs are NaN, so that `missing=` decides what happens; its inputs known ahead are those of the
row before.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from stepahead.data.calendar import Frequency
from stepahead.data.panel import Panel
from stepahead.data.steps import UNITS, frequency_named, word_of
from stepahead.errors import ConfigError, DataError


def parse_frequency(asked: Any, panel: Panel) -> Frequency:
    """What a step is: "auto" (the commonest step), one of the words of `data/steps.py`, or a number for integer times.

    Raises: ConfigError for another word.
    """
    if asked == "auto":
        return panel.frequency
    if panel.schema.time_kind == "integer":
        if isinstance(asked, int) and not isinstance(asked, bool) and asked > 0:
            return Frequency("step", asked)
        raise ConfigError(f"frequency={asked!r} must be 'auto' or a number of steps: '{panel.schema.time}' counts them")
    found = frequency_named(asked, panel.schema.time_zone) if isinstance(asked, str) else None
    if found is None:
        raise ConfigError(f"frequency={asked!r} is not 'auto' or one of {', '.join(UNITS)}, with a number before it")
    return found


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
    most = int((times[-1] - times[0]).astype(np.int64) // frequency.shortest)
    grid = np.concatenate([times[:1], frequency.after(times[:1], most)[0]])
    place = np.minimum(np.searchsorted(grid, times), most)
    off = grid[place] != times
    if off.any():
        raise DataError(
            f"{panel.schema.source}: series '{panel.ids[series]}': {panel.schema.time} {times[off][0]} lies between "
            f"two steps of the frequency; round the times, or leave frequency= out and fit with elapsed=True"
        )
    return grid[: int(place[-1]) + 1], place

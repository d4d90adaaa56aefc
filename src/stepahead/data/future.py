"""Inputs known ahead for the rows to come.  A table, a Panel -> [S, H, K], every value there or a clear error.

Legend: S series, H horizon, K inputs known ahead.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from stepahead.data.calendar import Frequency
from stepahead.data.frames import time_text
from stepahead.data.panel import Panel, Schema, check_zone, preview
from stepahead.data.read import Roles, as_learned, assemble, refuse_other_columns
from stepahead.data.table import open_table
from stepahead.errors import DataError


def read_future(table: Any, panel: Panel, frequency: Frequency, horizon: int) -> np.ndarray:
    """The known-ahead inputs of the next `horizon` rows of each series of the panel.

    table: as `read` takes it, with the panel's names for series, time and inputs; None where nothing was given.
    Returns: [S, H, K] float64. Raises: DataError naming the first series, time and input that is missing.
    """
    names, schema = panel.schema.future, panel.schema
    if table is None:
        raise DataError(f"the model needs {preview(names)} for the next {horizon} rows of each series; pass future=")
    given = table if isinstance(table, Panel) else future_like(table, schema, horizon)
    named = given.ids if given.schema.has_series else ()
    others = [] if schema.has_series else [name for name in named if name != panel.ids[0]]
    if others:
        raise DataError(
            f"{given.schema.source}: '{schema.series}' names {preview(others)}, the model knows one series, "
            f"'{panel.ids[0]}'; give its rows alone in future=, without that column"
        )
    check_zone(given.schema, schema, "the rows before it")
    inputs = named_inputs(given, names)
    position = {name: s for s, name in enumerate(given.ids)}
    wanted = frequency.after(panel.times[panel.offsets[1:] - 1], horizon)
    ahead = np.full((panel.n_series, horizon, len(names)), np.nan)
    for s, name in enumerate(panel.ids):
        where = position.get(name) if schema.has_series else 0
        if where is not None:
            ahead[s] = look_up(given, inputs, where, wanted[s])
    holes = np.isnan(ahead)
    if holes.any():
        s, step, column = (int(i[0]) for i in np.nonzero(holes))
        raise DataError(
            f"{given.schema.source}: '{names[column]}' is missing for series '{panel.ids[s]}' at {schema.time} "
            f"{time_text(wanted[s, step], given.schema)}; future= needs a row for each of the next {horizon} steps"
        )
    return ahead


def future_like(source: Any, schema: Schema, horizon: int, *, time_format: str | None = None) -> Panel:
    """A table of inputs known ahead as a Panel, the last of them in the target's place.

    schema: that of the model. time_format: as in `read`.
    Raises: DataError naming a column that is not there, and as `read` does.
    """
    table, names = open_table(source), schema.future
    need = f"which the model needs in future= for the next {horizon} rows of each series"
    refuse_other_columns(table, replace(schema, past=(), static=()), need)
    series = schema.series if schema.has_series or schema.series in table.frame.columns else None
    roles = Roles(series, schema.time, target=names[-1], past=names[:-1], future=(), static=())
    alone = "; the model knows one series: give the rows of one alone"
    return assemble(table, roles, as_learned(schema, time_format), alone)


def named_inputs(given: Panel, names: Sequence[str]) -> np.ndarray:
    """The columns of these names: [R, K]. Raises: DataError naming the first one that is not there."""
    known = (*given.schema.past, *given.schema.future)
    for name in names:
        if name not in known:
            raise DataError(f"{given.schema.source}: future= has no column '{name}'; add it to {preview(known)}")
    return np.concatenate([given.past, given.future], axis=1)[:, [known.index(name) for name in names]]


def look_up(given: Panel, inputs: np.ndarray, series: int, times: np.ndarray) -> np.ndarray:
    """The inputs of one series at these times: inputs [R, K] -> [H, K], NaN where there is no such row."""
    rows = given.rows(series)
    place = np.minimum(np.searchsorted(given.times[rows], times), rows.stop - rows.start - 1)
    found = given.times[rows][place] == times
    return np.where(found[:, None], inputs[rows][place], np.nan)

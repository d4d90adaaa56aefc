"""Event tables in: CSV, Parquet or a frame with case, activity and time -> activities by case, in order of time, and
how long after one another they came."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from stepahead.data.cells import kind_of
from stepahead.data.panel import preview
from stepahead.data.stamps import COMPACT, iso
from stepahead.data.table import Table, open_csv, open_table
from stepahead.errors import DataError


def event_sequences(
    source: Any, *, case: str, activity: str, time: str | None
) -> tuple[dict[str, list[str]], NDArray[np.float64] | None]:
    """Activities of each case, sorted by time (ties: the file's order); cases in order of first appearance.

    source: as `read_events` takes it, or the bytes of a CSV that came by standard input.
    Also the time since the event before, of all cases end to end, in seconds or the column's own unit; nan for the
    first of each. None without times.

    Raises:
        DataError: as `open_table`, an absent column, an empty cell, or a time that cannot be read, with its row.
    """
    table = open_csv(Path("standard input"), source) if isinstance(source, bytes) else open_table(source)
    columns = {name: _column(table, name) for name in dict.fromkeys(filter(None, (case, activity, time)))}
    if not len(columns[case]):
        raise DataError(f"{table.source}: has no rows; give at least one event")
    events = pl.DataFrame({"case": _names(table, columns[case]), "activity": _names(table, columns[activity])})
    order = events["case"].unique(maintain_order=True)
    if time is not None:
        when = _times(table, columns[time])
        events = events.with_columns(when.alias("when")).sort("when", maintain_order=True)
        events = events.with_columns(pl.col("when").diff().over("case").alias("gap"))
    grouped = events.group_by("case", maintain_order=True).agg(pl.exclude("case"))
    found = dict(zip(grouped["case"], grouped["activity"], strict=True))
    sequences = {name: found[name].to_list() for name in order}
    if time is None:
        return sequences, None
    gaps = dict(zip(grouped["case"], grouped["gap"], strict=True))
    return sequences, np.concatenate([gaps[name].cast(pl.Float64).fill_null(float("nan")).to_numpy() for name in order])


def _column(table: Table, name: str) -> pl.Series:
    """A column without an empty cell.  Raises: DataError for one that is absent, or the first cell that is empty."""
    if name not in table.frame.columns:
        raise DataError(f"{table.source}: no column {name!r}; found {preview(table.frame.columns, 12)}")
    column = table.frame[name]
    empty = column.is_null()
    if column.dtype == pl.String:
        empty |= column == ""
    elif column.dtype.is_float():
        empty |= column.is_nan()
    if empty.any():
        table.refuse(name, empty.arg_max() or 0, "is empty; fill it in or drop the row")
    return column


def _names(table: Table, column: pl.Series) -> pl.Series:
    """A column as text.  Raises: DataError for one that holds no names, such as lists."""
    if column.dtype.is_nested() or column.dtype in (pl.Binary, pl.Duration, pl.Object):
        raise DataError(f"{table.source}: column {column.name!r} holds {kind_of(column)}; give text or numbers")
    return column.cast(pl.String)


def _times(table: Table, column: pl.Series) -> pl.Series:
    """Stamps as seconds since 1970, lengths of time as seconds, numbers as they are; text as what it says."""
    if column.dtype in (pl.Categorical, pl.Enum):
        column = column.cast(pl.String)
    if column.dtype == pl.String:
        column = _written(table, column)
    if column.dtype in (pl.Date, pl.Datetime, pl.Duration):
        kind = pl.Duration("us") if column.dtype == pl.Duration else pl.Datetime("us")
        return column.cast(kind).cast(pl.Int64) / 1e6
    if not column.dtype.is_numeric():
        raise DataError(
            f"{table.source}: column {column.name!r} holds {kind_of(column)}; give stamps, lengths of time or numbers"
        )
    endless = ~column.cast(pl.Float64).is_finite()
    if endless.any():
        row = endless.arg_max() or 0
        table.refuse(column.name, row, f"{column[row]} is no time; correct it or drop the row")
    return column


def _written(table: Table, column: pl.Series) -> pl.Series:
    """Whole numbers, numbers, or ISO stamps from text.  Whether 03/04/2021 is in March or in April is not guessed."""
    text = column.str.strip_chars()
    if text.str.contains(COMPACT).all():
        remedy = "write dates as 2024-01-31, or give the numbers of a frame"
        table.refuse(column.name, 0, f"{column[0]!r} may be a date or a number; {remedy}")
    for kind in (pl.Int64, pl.Float64):
        numbers = text.cast(kind, strict=False)
        if not numbers.null_count():
            return numbers
    return pl.Series(column.name, iso(table, column.name, text, _refuse).values)


def _refuse(table: Table, name: str, text: pl.Series, place: int) -> None:
    """Say that a cell is no time."""
    remedy = "write times as 2026-01-31 13:05:00, or give a frame with stamps"
    table.refuse(name, place, f"{text[place]!r} is neither a number nor an ISO time; {remedy}")

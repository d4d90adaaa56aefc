"""Event tables in: CSV, Parquet or a frame with case, activity and time -> activities by case, in order of time, and
how long after one another they came."""

from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np
import polars as pl
from numpy.typing import NDArray

from stepahead.errors import DataError


def event_sequences(
    source: Any, *, case: str, activity: str, time: str | None
) -> tuple[dict[str, list[str]], NDArray[np.float64] | None]:
    """Activities of each case, sorted by time (ties: the file's order); cases in order of first appearance.

    Also the time since the event before, of all cases end to end, in seconds or the column's own unit; nan for the
    first of each. None without times.

    Raises:
        DataError: an absent column, an empty cell, or a time that cannot be read, with its row.
    """
    where, table = _table(source)
    for column in filter(None, (case, activity, time)):
        if column not in table.columns:
            raise DataError(f"{where}: no column {column!r}; found {', '.join(table.columns)}")
        if table[column].null_count():
            row = table[column].is_null().arg_max() or 0
            raise DataError(f"{where}: column {column!r}, row {row + 1}: is empty; fill it in or drop the row")
    if table.is_empty():
        raise DataError(f"{where}: has no rows; give at least one event")
    order = table[case].cast(pl.String).unique(maintain_order=True)
    if time is None:
        grouped = table.group_by(case, maintain_order=True).agg(activity)
        gaps = None
    else:
        table = table.with_columns(_times(where, table[time]).alias("when")).sort("when", maintain_order=True)
        table = table.with_columns(_numbers(table["when"]).alias("when"))
        grouped = table.group_by(case, maintain_order=True).agg(activity, pl.col("when").diff())
        gaps = dict(zip(grouped[case].cast(pl.String), grouped["when"], strict=True))
    found = dict(zip(grouped[case].cast(pl.String), grouped[activity].cast(pl.List(pl.String)), strict=True))
    sequences = {name: found[name].to_list() for name in order}
    if gaps is None:
        return sequences, None
    return sequences, np.concatenate([gaps[name].cast(pl.Float64).fill_null(float("nan")).to_numpy() for name in order])


def _table(source: Any) -> tuple[str, pl.DataFrame]:
    if isinstance(source, bytes):
        try:
            return "standard input", pl.read_csv(source, infer_schema=False)
        except pl.exceptions.PolarsError as error:
            raise DataError(f"standard input: cannot be read as CSV ({str(error).splitlines()[0]})") from error
    if not isinstance(source, str | Path):
        return "table", nw.from_native(source, eager_only=True).to_polars()
    path = Path(source)
    try:
        if path.suffix in (".parquet", ".pq"):
            return path.name, pl.read_parquet(path)
        return path.name, pl.read_csv(path, infer_schema=False)  # all text: 007 stays 007
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; check the name") from error
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path}: cannot be read as a table ({str(error).splitlines()[0]})") from error


def _times(where: str, column: pl.Series) -> pl.Series:
    """Whole numbers, numbers, or ISO stamps; the rest as polars has it already."""
    if column.dtype != pl.String:
        return column
    for kind in (pl.Int64, pl.Float64):
        numbers = column.cast(kind, strict=False)
        if not numbers.null_count():
            return numbers
    stamps = column.str.to_datetime(strict=False, time_unit="us", time_zone="UTC")
    if stamps.null_count():
        row = stamps.is_null().arg_max() or 0
        raise DataError(
            f"{where}: column {column.name!r}, row {row + 1}: {column[row]!r} is neither a number nor an ISO time;"
            " write times as 2026-01-31 13:05:00"
        )
    return stamps


def _numbers(times: pl.Series) -> pl.Series:
    """Stamps as seconds since 1970, lengths of time as seconds, numbers as they are."""
    if times.dtype == pl.Date:
        times = times.cast(pl.Datetime("us"))
    if times.dtype.is_temporal():
        return times.cast(pl.Duration("us") if times.dtype == pl.Duration else pl.Datetime("us")).cast(pl.Int64) / 1e6
    return times

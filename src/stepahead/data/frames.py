"""Frames out: columns of arrays -> a frame of the kind that came in, its times as the user wrote them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from stepahead.data.panel import Schema
from stepahead.data.zones import database_zone
from stepahead.errors import require
from stepahead.period import offset_minutes

FEW = 1000
NANOSECONDS = np.array(["1677-09-22", "2262-04-11"], "datetime64[us]")  # what 64 bits of them reach


def to_frame(columns: Mapping[str, np.ndarray | Sequence[Any]], schema: Schema) -> Any:
    """Build the frame that answers come in.

    Args:
        columns: name -> [R] values; datetime64 columns are UTC where the schema has a zone.
        schema: its backend says which kind of frame, its time_kind and time_zone what times become.

    Returns:
        A pandas, polars or pyarrow frame.

    Raises:
        MissingExtraError: the library of that frame is not installed.

    Example:
        >>> to_frame({"ds": np.array([1, 2]), "LSTM": np.array([0.5, 0.6])}, Schema()).columns
        ['ds', 'LSTM']
    """
    answers = {n: v if len(v) or not is_text(v) else np.asarray(v, dtype=str) for n, v in columns.items()}
    if schema.series_kind == "integer" and schema.series in answers:
        answers[schema.series] = np.asarray(answers[schema.series]).astype(np.int64)
    return FRAMES[schema.backend](answers, schema)


def is_time(values: Any) -> bool:
    return isinstance(values, np.ndarray) and np.issubdtype(values.dtype, np.datetime64)


def is_text(values: Any) -> bool:
    """Whether a column holds names, which an empty one does not show."""
    return isinstance(values, np.ndarray) and values.dtype == object


def polars_frame(columns: Mapping[str, Any], schema: Schema) -> pl.DataFrame:
    return pl.DataFrame([polars_column(name, values, schema) for name, values in columns.items()])


def polars_column(name: str, values: Any, schema: Schema) -> pl.Series:
    if not is_time(values):
        return polars_series(name, values)
    stamps = polars_series(name, values.astype("datetime64[us]"), pl.Datetime("us"))
    if schema.time_kind == "date":
        return stamps.cast(pl.Date)
    stamps = stamps.cast(pl.Datetime(unit_for(values, schema)))
    if schema.time_zone is None:
        return stamps
    return stamps.dt.replace_time_zone("UTC").dt.convert_time_zone(database_zone(schema.time_zone))


def polars_series(name: str, values: Any, kind: Any = None) -> pl.Series:
    # An array makes polars import numpy.ma, 35 ms of a process that answers in half a second: few values go as a list.
    few = isinstance(values, np.ndarray) and 0 < len(values) <= FEW
    return pl.Series(name, values.tolist() if few else values, dtype=kind)


def pandas_frame(columns: Mapping[str, Any], schema: Schema) -> Any:
    pandas = require("pandas", extra="dev", purpose="a pandas frame")
    return pandas.DataFrame({name: pandas_column(pandas, values, schema) for name, values in columns.items()})


def pandas_column(pandas: Any, values: Any, schema: Schema) -> Any:
    if not is_time(values):
        return pandas.Series(values) if isinstance(values, np.ndarray) else pandas.Series(list(values))
    if schema.time_kind == "date":
        return pandas.Series(values.astype("datetime64[D]").astype(object), dtype=object)
    stamps = pandas.Series(values.astype(f"datetime64[{unit_for(values, schema)}]"))
    if schema.time_zone is None:
        return stamps
    return stamps.dt.tz_localize("UTC").dt.tz_convert(pandas_zone(schema.time_zone))


def pandas_zone(zone: str) -> Any:
    """A name of the database, or the fixed offset itself."""
    from datetime import timedelta, timezone

    return timezone(timedelta(minutes=offset_minutes(zone))) if zone[:1] in "+-" else zone


def pyarrow_frame(columns: Mapping[str, Any], schema: Schema) -> Any:
    pyarrow = require("pyarrow", extra="dev", purpose="a pyarrow table")
    return pyarrow.table({name: pyarrow_column(pyarrow, values, schema) for name, values in columns.items()})


def pyarrow_column(pyarrow: Any, values: Any, schema: Schema) -> Any:
    if not is_time(values):
        return pyarrow.array(values if isinstance(values, np.ndarray) and values.dtype != object else list(values))
    if schema.time_kind == "date":
        return pyarrow.array(values.astype("datetime64[D]"), type=pyarrow.date32())
    unit = unit_for(values, schema)
    return pyarrow.array(values.astype(f"datetime64[{unit}]"), type=pyarrow.timestamp(unit, tz=schema.time_zone))


def unit_for(values: np.ndarray, schema: Schema) -> Any:
    """The unit of the table's own stamps, so that answers can be joined to it; microseconds beyond all nanoseconds."""
    within = (values > NANOSECONDS[0]) & (values < NANOSECONDS[1])
    return schema.time_unit if schema.time_unit != "ns" or within.all() else "us"


def frame_csv(frame: pl.DataFrame) -> str:
    """A polars frame as CSV, its stamps in ISO form as `read` takes them."""
    return plain_times(frame).write_csv()


def frame_rows(frame: pl.DataFrame) -> tuple[list[str], list[list[Any]]]:
    """Column names and rows of a polars frame, times as text."""
    plain = plain_times(frame)
    return plain.columns, [list(row) for row in plain.rows()]


def write_frame(frame: pl.DataFrame, path: Path) -> None:
    """Write a polars frame to a file that ends in .csv or .parquet.

    Raises: OSError where the system refuses.
    """
    if path.suffix.lower() == ".parquet":
        frame.write_parquet(path)
    else:
        path.write_text(frame_csv(frame), encoding="utf-8", newline="")


def plain_times(frame: pl.DataFrame) -> pl.DataFrame:
    """The same frame with dates and stamps as text, stamps with their offset where they have a zone."""
    return frame.with_columns(
        pl.col(name).dt.to_string(
            "%Y-%m-%d" if kind == pl.Date else f"%Y-%m-%d %H:%M:%S%.f{'%:z' if zoned(kind) else ''}"
        )
        for name, kind in frame.schema.items()
        if kind.is_temporal()
    )


def time_text(time: Any, schema: Schema) -> str:
    """A time of the library as answers write it: by the clocks of the schema's zone, with their offset."""
    return str(plain_times(polars_frame({"": np.array([time])}, schema)).item())


def zoned(kind: pl.DataType) -> bool:
    return isinstance(kind, pl.Datetime) and kind.time_zone is not None


FRAMES = {"polars": polars_frame, "pandas": pandas_frame, "pyarrow": pyarrow_frame}

"""Open what the user has.  A path (CSV, plain or gzip; Parquet) or a frame of pandas, polars or pyarrow -> Table.

A CSV is read as text alone: what a cell means is decided later, column by column, so that a bad one can be named.
"""

import csv
import gzip
import io
import math
import os
import stat
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import polars as pl

from stepahead.data.parquet import ParquetColumns, any_offset, first_line, scan
from stepahead.data.zones import offset_name
from stepahead.errors import DataError
from stepahead.period import offset_minutes

BOM = b"\xef\xbb\xbf"
PARQUET = b"PAR1"
UNLESS = "or give the frame pandas.read_csv(path, encoding='cp1252'), or what it is written in"


@dataclass(frozen=True)
class Table:
    """A table as it came.

    frame: the columns; a CSV's are all text, those of a Parquet file are read when they are asked for. source: file
    name or kind of frame, for messages. backend: "pandas" | "polars" | "pyarrow", the kind of frame that answers come
    in. content: the bytes of a CSV, to find line numbers; kept: [rows] which records of the CSV the rows are, None for
    all. dates: columns that held Python dates. units: of the columns of stamps, where the frame is not polars' own.
    """

    frame: pl.DataFrame | ParquetColumns
    source: str
    backend: str = "polars"
    content: bytes | None = None
    kept: np.ndarray | None = None
    dates: frozenset[str] = frozenset()
    units: Mapping[str, str] = field(default_factory=dict)

    def row(self, position: int) -> str:
        """A row for a message: the line in a CSV file, else the position counted from 0."""
        if self.content is None:
            return f"row {position} (counted from 0)"
        record = position if self.kept is None else int(self.kept[position])
        return f"row {line_of_record(self.content, record, self.source)}"

    def refuse(self, column: str, position: int, problem: str) -> NoReturn:
        """Raise the error that names file, column and row."""
        raise DataError(f"{self.source}: column '{column}', {self.row(position)}: {problem}")


def open_table(source: Any) -> Table:
    """A path or a frame -> Table.

    Raises:
        DataError: no such file, a folder, not what its name says, damaged, not UTF-8, or no kind of table.
    """
    table = open_file(Path(source)) if isinstance(source, str | os.PathLike) else open_frame(source)
    check_names(table.frame.columns, table.source)
    if table.frame.height == 0:
        raise DataError(f"{table.source}: the table has no rows; give at least one")
    return table


def open_file(path: Path) -> Table:
    """A file -> Table, by what its first bytes say it is."""
    try:
        kind = os.stat(path).st_mode
        if stat.S_ISDIR(kind):
            raise DataError(f"{path}: is a folder; give one CSV or Parquet file")
        if not stat.S_ISREG(kind) and not stat.S_ISFIFO(kind):
            raise DataError(f"{path}: is neither a file nor a pipe; give one CSV or Parquet file")
        if stat.S_ISREG(kind) and first_bytes(path) == PARQUET:
            return Table(scan(path), str(path))
        content = path.read_bytes()  # once: what a pipe has given does not come again
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(f"{path}: no such file in {path.absolute().parent}; check the name") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check its name and its permissions") from error
    if path.suffix.lower() == ".gz" or content[:2] == b"\x1f\x8b":
        content = unzip(path, content)
    if ".parquet" in (name.lower() for name in path.suffixes[-2:]) or content[:4] == PARQUET:
        return open_parquet(path, content)
    if content[:4] == b"PK\x03\x04":
        raise DataError(f"{path}: is a spreadsheet or a zip archive; save the table as CSV")
    return open_csv(path, content)


def unzip(path: Path, content: bytes) -> bytes:
    try:
        return gzip.decompress(content)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        remedy = "copy it again" if content[:2] == b"\x1f\x8b" else "drop .gz from the name if it is plain text"
        raise DataError(f"{path}: is not a whole gzip file; {remedy}") from error


def first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(PARQUET))


def open_parquet(path: Path, content: bytes) -> Table:
    """A Parquet file that was zipped, or is named so and is none."""
    with any_offset(path):
        return Table(pl.read_parquet(io.BytesIO(content)), str(path))


def open_csv(path: Path, content: bytes) -> Table:
    """Text of a CSV -> Table of text; lines with nothing on them are passed over."""
    content = plain_text(path, content)
    header = read_header(path, content)
    check_names(header, str(path))
    try:
        frame = pl.read_csv(content, infer_schema=False, new_columns=header)
    except pl.exceptions.PolarsError as error:
        refuse_ragged(path, content, len(header))
        raise DataError(f"{path}: is not a readable CSV ({first_line(error)}); save it again") from error
    blank = frame.select(pl.all_horizontal(pl.all().is_null())).to_series()
    if (frame.to_series(-1).is_null() & ~blank).any():
        # polars fills a record that is cut short with nulls; a cell that is there and empty is another matter.
        refuse_ragged(path, content, len(header))
    kept = np.flatnonzero(~blank.to_numpy()) if blank.any() else None
    return Table(frame.filter(~blank), str(path), content=content, kept=kept)


def plain_text(path: Path, content: bytes) -> bytes:
    """The bytes without their mark, checked to be UTF-8, with line ends that are understood."""
    if not content or content.isspace():
        raise DataError(f"{path}: is empty; give a table with a line of column names")
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(f"{path}: is in UTF-16; save it as UTF-8")
    if b"\0" in content:
        raise DataError(f"{path}: is not text (it holds zero bytes); give a CSV or Parquet file")
    content = content.removeprefix(BOM)
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}: row {line} is not in UTF-8; save the file as UTF-8, {UNLESS}") from error
    return content.replace(b"\r", b"\n") if b"\n" not in content else content


def read_header(path: Path, content: bytes) -> list[str]:
    """The column names: the first record that is not blank, outer spaces dropped."""
    header = next((record for _, record in records(content, path) if record), [])
    if len(header) == 1:
        for separator, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
            if separator in header[0]:
                options = f"sep={separator!r}" + (", decimal=','" if separator == ";" else "")
                options += ", skiprows=1" if header[0].startswith("sep=") else ""
                raise DataError(
                    f"{path}: row 1 is separated by {name}; save it with commas, or give the frame "
                    f"pandas.read_csv(path, {options})"
                )
    return [name.strip() for name in header]


def check_names(names: list[str], source: str) -> None:
    """Refuse a column name that comes twice, and several columns without one."""
    for place, name in enumerate(names):
        if name in names[:place]:
            if name == "":
                pair = f"columns {names.index(name) + 1} and {place + 1}"
                remedy = "name them, or take out those that hold nothing, and any line above the names"
                raise DataError(f"{source}: {pair} have no name; {remedy}")
            raise DataError(f"{source}: two columns are named '{name}'; rename one of them")


def refuse_ragged(path: Path, content: bytes, width: int) -> None:
    """Raise for the first record that has more or fewer cells than there are names, or an open quotation mark."""
    for line, record in records(content, path):
        if record and len(record) != width:
            remedy = "put text with commas between quotation marks" if len(record) > width else "give it all its cells"
            raise DataError(f"{path}: row {line} has {len(record)} cells, the header has {width}; {remedy}")


def records(content: bytes, source: Path | str) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of each record, blank lines as no cells; one record may span lines."""
    reader = csv.reader(io.TextIOWrapper(io.BytesIO(content), "utf-8", newline=""), strict=True)
    start = 1
    try:
        for record in reader:
            yield start, record
            start = reader.line_num + 1
    except csv.Error as error:
        problem = f"a quotation mark is not closed ({error}); close it"
        if "field limit" in str(error):
            problem = (
                f"a cell has more than {csv.field_size_limit() >> 10} KiB, or a quotation mark is not closed; mend it"
            )
        raise DataError(f"{source}: row {start}: {problem}") from error


def line_of_record(content: bytes, record: int, source: str) -> int:
    """The line of the file, counted from 1, on which a record (counted from 0, after the header) starts."""
    named = False
    count = 0
    for line, cells in records(content, source):
        if not named:
            named = bool(cells)
        elif count == record:
            return line
        else:
            count += 1
    return record + 2


def open_frame(source: Any) -> Table:
    """A frame of pandas, polars or pyarrow -> Table, through narwhals."""
    import narwhals as nw

    try:
        frame = nw.from_native(nw.to_native(source, pass_through=True), eager_only=True)
    except TypeError as error:
        kind = type(source).__name__
        remedy = "call .collect() first" if kind == "LazyFrame" else "give a path or a pandas, polars or pyarrow frame"
        raise DataError(f"a {kind} is not a table; {remedy}") from error
    except ValueError as error:
        name = f"{type(source).__module__.split('.')[0]} frame"
        check_names([str(column) for column in getattr(source, "column_names", source.columns)], name)
        raise DataError(f"{name}: {first_line(error)}; mend the frame") from error
    backend = frame.implementation.value
    if backend not in ("pandas", "polars", "pyarrow"):
        raise DataError(f"a frame of {backend} is not read; turn it into a pandas, polars or pyarrow frame")
    name = f"{backend} frame"
    for column in frame.columns:
        if not isinstance(column, str):
            raise DataError(f"{name}: the column name {column!r} is not text; rename it")
    if backend == "polars":
        return Table(frame.to_native(), name)
    columns = {column: plain_column(frame[column]) for column in frame.columns}
    dates = {column for column in frame.columns if columns[column].dtype == pl.Date}
    units = {column: unit for column in frame.columns if (unit := unit_of(frame[column]))}
    return Table(pl.DataFrame(columns), name, backend, dates=frozenset(dates), units=units)


def unit_of(column: Any) -> str | None:
    """The unit of a narwhals Series of stamps; None for other columns."""
    import narwhals as nw

    kind = getattr(column.to_native(), "dtype", None)
    if getattr(kind, "tz", None) is not None:  # pandas itself: see `plain_column`
        return str(getattr(kind, "unit", "ns"))
    return column.dtype.time_unit if column.dtype == nw.Datetime else None


def plain_column(column: Any) -> pl.Series:
    """A narwhals Series of another library -> polars, without asking pandas for pyarrow."""
    import narwhals as nw

    kind = column.dtype
    if kind.is_float() or kind.is_decimal():
        return pl.Series(column.cast(nw.Float64).to_numpy(), dtype=pl.Float64, nan_to_null=True)
    if kind.is_integer() and not column.is_null().any():
        return pl.Series(column.to_numpy())
    native = column.to_native()
    if getattr(getattr(native, "dtype", None), "tz", None) is not None:
        # pandas itself: narwhals does not know zones such as America/New_York for what they are.
        utc = native.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy().astype("datetime64[us]")
        return zoned(pl.Series(utc), str(native.dtype.tz))
    if kind == nw.Datetime:
        zone = kind.time_zone
        if zone is not None:
            column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        stamps = pl.Series(column.to_numpy().astype("datetime64[us]"))
        return stamps if zone is None else zoned(stamps, str(zone))
    if kind == nw.Duration:
        return pl.Series(column.to_numpy().astype("timedelta64[us]"))
    return plain_values(column.to_list(), column.is_null().to_numpy())


def zoned(stamps: pl.Series, zone: str) -> pl.Series:
    """UTC stamps with a zone's name; a zone that polars does not know becomes ISO text with its offset."""
    utc = stamps.dt.replace_time_zone("UTC")
    try:
        return utc.dt.convert_time_zone(zone)
    except pl.exceptions.PolarsError:
        minutes = offset_minutes(zone)
        local = stamps.dt.offset_by(f"{minutes}m")
        return local.dt.to_string("%Y-%m-%dT%H:%M:%S%.6f") + offset_name(minutes)


def plain_values(values: list[Any], missing: np.ndarray) -> pl.Series:
    """Python objects -> numbers, booleans, dates or text; stamps become ISO text, which is read like any other,
    and complex numbers text, which is no number.
    """
    from datetime import date, datetime
    from numbers import Real

    cells = [None if gone else value for value, gone in zip(values, missing, strict=True)]
    there = [value for value in cells if value is not None]
    if there and all(isinstance(value, bool | np.bool_) for value in there):
        return pl.Series(cells, dtype=pl.Boolean)
    if there and all(isinstance(value, int | np.integer) and -(2**63) <= value < 2**63 for value in there):
        return pl.Series(cells, dtype=pl.Int64)
    if there and all(isinstance(value, Real) or type(value).__name__ == "Decimal" for value in there):
        return pl.Series([None if value is None else as_float(value) for value in cells], dtype=pl.Float64)
    if there and all(isinstance(value, date) and not isinstance(value, datetime) for value in there):
        return pl.Series(cells, dtype=pl.Date)
    if there and all(isinstance(value, bytes) for value in there):
        return pl.Series(cells, dtype=pl.Binary)
    texts = [cell.isoformat() if isinstance(cell, date) else cell for cell in cells]
    return pl.Series([None if cell is None else str(cell) for cell in texts], dtype=pl.String)


def as_float(value: Any) -> float:
    """A number of any kind; one that is larger than all floats is infinite, and refused as such."""
    try:
        return float(value)
    except OverflowError:
        return math.inf

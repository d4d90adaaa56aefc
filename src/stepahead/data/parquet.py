"""A Parquet file whose columns are read one at a time, when they are asked for.  Path -> ParquetColumns.

Ten million rows of a name, a stamp and a number never lie in memory side by side: each column becomes an array before
the next is read, and columns that nobody asks for are not read at all.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import polars as pl

from stepahead.errors import DataError

# Where bytes were altered, polars may panic: no subclass of Exception.
BROKEN = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)


@dataclass(frozen=True)
class ParquetColumns:
    """The part of a frame that reading needs. schema: the kind of each column. height: rows."""

    path: Path
    schema: pl.Schema
    height: int

    @property
    def columns(self) -> list[str]:
        return self.schema.names()

    def __getitem__(self, name: str) -> pl.Series:
        """One column, read anew at each call, a row group at a time."""
        with any_offset(self.path):
            return pl.scan_parquet(self.path, glob=False).select(pl.col(name)).collect(engine="streaming").to_series()


def scan(path: Path) -> ParquetColumns:
    """What a file says of itself.  Raises: DataError where it is no Parquet file."""
    with any_offset(path):
        found = pl.scan_parquet(path, glob=False)
        return ParquetColumns(path, found.collect_schema(), int(found.select(pl.len()).collect().item()))


@contextmanager
def any_offset(path: Path) -> Iterator[None]:
    """Read a file the zone of whose times may be an offset, +05:30 say: polars knows no such name, and would panic.

    Raises: DataError where it is no Parquet file.
    """
    with OFFSETS:
        try:
            yield
        except BROKEN as error:
            raise DataError(f"{path}: is not a readable Parquet file ({first_line(error)}); write it again") from error


def first_line(error: BaseException) -> str:
    """What an error of another library says first, to stand inside a sentence of ours."""
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__


class Word:
    """A word of the environment that is there as long as any thread is inside."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._lock = Lock()
        self._inside = 0
        self._before: str | None = None

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._before = os.environ.get(self.name)
                os.environ[self.name] = "1"
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0 and self._before is None:
                del os.environ[self.name]
            elif self._inside == 0:
                os.environ[self.name] = str(self._before)


OFFSETS = Word("POLARS_IGNORE_TIMEZONE_PARSE_ERROR")

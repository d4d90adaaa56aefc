"""The Panel: every series of a table in one value.  Arrays in, arrays out; rows of one series are neighbours.

Legend: S series, R rows of all series, P past inputs (the target is the last), K inputs known ahead, J static ones.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from stepahead.data.calendar import Frequency, infer_frequency
from stepahead.data.steps import frequency_named
from stepahead.errors import ConfigError, DataError
from stepahead.limits import LARGEST, LARGEST_STEP, LAST_YEAR

Floats = np.ndarray  # float64
Times = np.ndarray  # datetime64[us] (UTC where there is a zone) or int64 steps


class TooFewRows(DataError):
    """Nothing can be learned from so few rows; a smaller holdout may leave enough."""


@dataclass(frozen=True)
class Schema:
    """How the user's table names things, so that answers speak the same words.

    series, time: column names of the table (series may be absent from a wide table: `has_series` False).
    past: names of the past inputs, the target last. future, static: names of those inputs.
    backend: "pandas" | "polars" | "pyarrow", the kind of frame that came in and goes out.
    source: file name or kind of frame, for messages. time_zone: name of the zone of the stamps, or None.
    notes: what reading decided by itself (text columns left out, say), to be shown once.
    grid: the step that `read` put a row at, as frequency= takes it, or None where rows were taken as they are.
    """

    series: str = "unique_id"
    time: str = "ds"
    past: tuple[str, ...] = ("y",)
    future: tuple[str, ...] = ()
    static: tuple[str, ...] = ()
    has_series: bool = True
    series_kind: str = "text"  # "text" | "integer": ids are text inside, answers hold what came in
    time_kind: str = "integer"  # "integer" | "date" | "datetime"
    time_zone: str | None = None
    time_unit: str = "us"  # of the stamps in the user's frame: "ns" | "us" | "ms" | "s"
    backend: str = "polars"
    source: str = "table"
    notes: tuple[str, ...] = ()
    grid: str | int | None = None

    @property
    def target(self) -> str:
        """The column that is forecast."""
        return self.past[-1]


@dataclass(frozen=True)
class Panel:
    """Many series, sorted by time, as contiguous arrays.

    ids: S names, text. offsets: [S+1] int64, series s owns rows offsets[s]:offsets[s+1].
    times: [R] datetime64[us] or int64, strictly ascending within a series.
    past: [R, P] float64, the target is the last column; NaN is a missing value.
    future: [R, K] float64, inputs known ahead. static: [S, J] float64, or text categories as object.
    """

    ids: tuple[str, ...]
    offsets: np.ndarray
    times: Times
    past: Floats
    future: Floats
    static: np.ndarray
    schema: Schema = field(default_factory=Schema)

    @classmethod
    def from_arrays(
        cls,
        past: np.ndarray,
        *,
        times: np.ndarray | None = None,
        ids: Sequence[str] = ("1",),
        offsets: Sequence[int] | None = None,
        names: Sequence[str] | None = None,
        target: str = "y",
    ) -> "Panel":
        """Build a panel from plain arrays, for tests and for code that has no table.

        past: [R, P] or [R], the target last. times: [R], steps 1, 2, ... of each series if absent.
        Example: `Panel.from_arrays(np.arange(10.0))`
        """
        values = np.atleast_2d(np.asarray(past, dtype=np.float64).T).T
        bounds = np.asarray([0, len(values)] if offsets is None else offsets, dtype=np.int64)
        if times is None:
            times = np.concatenate([np.arange(1, n + 1) for n in np.diff(bounds)])
        past_names = tuple(names) if names else (*(f"x{i + 1}" for i in range(values.shape[1] - 1)), target)
        kind = "integer" if np.issubdtype(np.asarray(times).dtype, np.integer) else "datetime"
        times = times.astype(np.int64 if kind == "integer" else "datetime64[us]")
        return cls(
            ids=tuple(ids),
            offsets=bounds,
            times=times,
            past=values,
            future=np.empty((len(values), 0)),
            static=np.empty((len(bounds) - 1, 0)),
            schema=Schema(past=past_names, time_kind=kind, has_series=len(bounds) > 2),
        )

    @classmethod
    def restored(
        cls,
        schema: Schema,
        *,
        ids: Sequence[str],
        times: np.ndarray,
        past: np.ndarray,
        future: np.ndarray,
        static: np.ndarray,
        offsets: np.ndarray | None = None,
    ) -> "Panel":
        """Build a panel from rows that were kept, whose times are whole numbers.

        times: [R] int64, steps, or microseconds since 1970 where the schema has dates. static: [S, J], or its values in
        a row. offsets: one series if absent.
        Raises: DataError where these do not fit one another.
        """
        bounds = np.array([0, len(times)], dtype=np.int64) if offsets is None else offsets
        rows = times.shape
        if bounds.shape != (len(ids) + 1,) or bounds[0] != 0 or (np.diff(bounds) < 1).any() or rows != (bounds[-1],):
            raise DataError(f"{len(ids)} series do not fit 'offsets' {list(bounds.shape)} and 'times' {list(rows)}")
        for name, found, width in (("past", past, len(schema.past)), ("future", future, len(schema.future))):
            if found.shape != (*rows, width):
                raise DataError(f"'{name}' must be {[*rows, width]}, found {list(found.shape)}")
        return cls(
            ids=tuple(ids),
            offsets=bounds,
            times=times if schema.time_kind == "integer" else times.view("datetime64[us]"),
            past=past,
            future=future,
            static=static.reshape(len(ids), len(schema.static)),
            schema=schema,
        )

    @cached_property
    def frequency(self) -> Frequency:
        """The step from one row to the next, as asked for or inferred from the rows; forecasts go on with it."""
        grid = self.schema.grid
        asked = None if grid is None else frequency_named(grid, self.schema.time_zone)
        return asked or infer_frequency(self.times, self.offsets, self.schema.time_zone)

    @property
    def n_series(self) -> int:
        """How many series there are, S."""
        return len(self.ids)

    @property
    def n_rows(self) -> int:
        """Rows of all series together, R."""
        return len(self.times)

    @property
    def lengths(self) -> np.ndarray:
        """Rows of each series: [S] int64."""
        return np.diff(self.offsets)

    @property
    def y(self) -> Floats:
        """The target of all rows: [R] float64."""
        return self.past[:, -1]

    def series_of(self, rows: np.ndarray | int) -> np.ndarray:
        """The series, by position, that each row belongs to: [N] int64."""
        return np.searchsorted(self.offsets, rows, side="right") - 1

    def rows(self, series: int) -> slice:
        """The rows of one series, by its position."""
        return slice(int(self.offsets[series]), int(self.offsets[series + 1]))

    def targets(self) -> Iterator[Floats]:
        """The target of each series in turn: [rows of that series]."""
        return (self.y[self.rows(s)] for s in range(self.n_series))

    def select(self, ids: str | int | Sequence[str | int]) -> "Panel":
        """Only these series, in this order.  ids: one or several, as the table has them, 7 or "7" where they are whole
        numbers.

        Raises: DataError naming the first id that is not there, or that is asked for twice; ConfigError for no ids.
        """
        if not isinstance(ids, int | np.integer) and not np.iterable(ids):
            raise ConfigError(f"ids={ids!r} names no series; give the name of one, or a list of names")
        position = {name: s for s, name in enumerate(self.ids)}
        chosen: dict[str, int] = {}
        for name in map(str, [ids] if isinstance(ids, str | int | np.integer) else ids):
            if name not in position:
                raise DataError(f"{self.schema.source}: no series '{name}'; there are {preview(self.ids)}")
            if name in chosen:
                raise DataError(f"{self.schema.source}: series '{name}' is asked for twice; name it once")
            chosen[name] = position[name]
        return self._take(list(chosen.values()))

    def until(self, cutoff: Any) -> "Panel":
        """All rows up to and including the cutoff, and no later one.

        cutoff: one time for all series, or [S] times, one for each. A series with no row yet
        is left out.
        """
        limits = np.broadcast_to(self._as_time(cutoff), (self.n_series,))
        stops = [
            self.offsets[s] + np.searchsorted(self.times[self.rows(s)], limits[s], side="right")
            for s in range(self.n_series)
        ]
        return self.cut(self.offsets[:-1], np.asarray(stops, dtype=np.int64))

    def head(self, lengths: Any) -> "Panel":
        """The first rows of each series: lengths one int, or [S]. A series left empty is dropped."""
        return self.cut(self.offsets[:-1], self.offsets[:-1] + self._counts(lengths))

    def tail(self, lengths: Any) -> "Panel":
        """The last rows of each series: lengths one int, or [S]. A series left empty is dropped."""
        return self.cut(self.offsets[1:] - self._counts(lengths), self.offsets[1:])

    def cut(self, starts: np.ndarray, stops: np.ndarray) -> "Panel":
        """Rows starts[s]:stops[s] of each series s (positions in this panel); empty series are dropped."""
        kept = np.flatnonzero(stops > starts)
        if len(kept) == 1:  # one series is a slice: a view, whatever its length
            rows: Any = slice(int(starts[kept[0]]), int(stops[kept[0]]))
        else:
            rows = concatenated_ranges(starts[kept], stops[kept])
        return replace(
            self,
            ids=tuple(self.ids[s] for s in kept),
            offsets=np.concatenate([[0], np.cumsum((stops - starts)[kept])]).astype(np.int64),
            times=self.times[rows],
            past=self.past[rows],
            future=self.future[rows],
            static=self.static[kept],
        )

    def with_past(self, past: Floats) -> "Panel":
        """The same rows with other values: past [R, P]."""
        return replace(self, past=past)

    def _counts(self, lengths: Any) -> np.ndarray:
        asked = np.broadcast_to(np.asarray(lengths, dtype=np.int64), (self.n_series,))
        return np.clip(asked, 0, self.lengths)

    def _take(self, series: Sequence[int]) -> "Panel":
        chosen = np.asarray(series, dtype=np.int64)
        rows = concatenated_ranges(self.offsets[chosen], self.offsets[chosen + 1])
        return replace(
            self,
            ids=tuple(self.ids[s] for s in chosen),
            offsets=np.concatenate([[0], np.cumsum(self.lengths[chosen])]).astype(np.int64),
            times=self.times[rows],
            past=self.past[rows],
            future=self.future[rows],
            static=self.static[chosen],
        )

    def _as_time(self, cutoff: Any) -> np.ndarray:
        """The cutoff as the kind of time that this panel has."""
        found, dates = np.asarray(cutoff), self.schema.time_kind != "integer"
        try:
            # A number becomes a date, and a date a number, without complaint: 2020 is some microseconds after 1970.
            if found.dtype.kind in "MUSO" if dates else found.dtype.kind in "iu":
                limits = found.astype(self.times.dtype)
                if not (dates and np.isnat(limits).any()):
                    return limits
        except (TypeError, ValueError):
            pass
        kind = "a date or time" if dates else "a whole number"
        raise ConfigError(f"cutoff {cutoff!r} is not {kind}, as column '{self.schema.time}' holds")


def concatenated_ranges(starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """The integers of all ranges starts[i]:stops[i], one after the other, without a Python loop."""
    lengths = stops - starts
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(starts - (ends - lengths), lengths)


def check_panel(panel: Any, asked: str) -> None:
    """Raise where something else than a Panel with rows was given.  asked: the function that takes it."""
    if not isinstance(panel, Panel):
        raise ConfigError(f"{asked} takes a Panel, not a {type(panel).__name__}: stepahead.read(table, ...) makes one")
    if panel.n_rows == 0:
        raise DataError(f"{panel.schema.source}: the table has no rows")


def check_size(panel: Panel) -> None:
    """Raise DataError where a value is larger than a network can compute with, or no step can follow a time; reading
    and writing take it.
    """
    check_times(panel)
    for names, values in ((panel.schema.past, panel.past), (panel.schema.future, panel.future)):
        beyond = (values >= LARGEST) | (values <= -LARGEST)  # np.abs would be a second copy of all values
        if beyond.any():
            row, column = (int(i[0]) for i in np.nonzero(beyond))
            series = int(panel.series_of(row))
            raise DataError(
                f"{panel.schema.source}: column '{names[column]}', series '{panel.ids[series]}', {panel.schema.time} "
                f"{panel.times[row]}: {values[row, column]:g} is beyond {LARGEST:g}; correct it, or scale the column"
            )


def check_times(panel: Panel) -> None:
    """Raise DataError for a time that is so far away that the steps after it cannot be written."""
    if panel.schema.time_kind == "integer":
        far, bound = (panel.times > LARGEST_STEP) | (panel.times < -LARGEST_STEP), "2^62"
    else:
        far, bound = panel.times >= np.datetime64(f"{LAST_YEAR + 1}-01-01", "us"), f"the year {LAST_YEAR}"
    if far.any():
        row = int(np.argmax(far))
        series = int(panel.series_of(row))
        raise DataError(
            f"{panel.schema.source}: column '{panel.schema.time}', series '{panel.ids[series]}', row "
            f"{row - int(panel.offsets[series]) + 1} of it: {panel.times[row]} is beyond {bound}, where no step can "
            f"follow; correct it, or leave the row out"
        )


def check_zone(given: Schema, known: Schema, whose: str) -> None:
    """Raise DataError where stamps with a time zone meet others without one; two zones are compared in UTC.

    whose: which stamps the known ones are, for the message.
    """
    if (given.time_zone is None) == (known.time_zone is None):
        return
    if given.time_zone is None:
        found, remedy = f"no time zone, but {whose} have '{known.time_zone}'", "give every stamp its zone or offset"
    else:
        found, remedy = (
            f"the time zone '{given.time_zone}', but {whose} have none",
            "take it off, leaving the clocks' time",
        )
    raise DataError(f"{given.source}: column '{given.time}' has {found}; {remedy}")


def preview(names: Sequence[str], limit: int = 5) -> str:
    """The first names for a message: 'a', 'b', ... and 7 more."""
    shown = ", ".join(f"'{name}'" for name in names[:limit])
    return shown if len(names) <= limit else f"{shown}, ... and {len(names) - limit} more"

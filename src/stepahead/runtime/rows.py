"""The door for live rows.  A mapping of column to value -> a Row, or one clear error and nothing changed.

Legend: P past inputs (the target is the last), K inputs known ahead, H horizon.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stepahead.errors import DataError
from stepahead.limits import DAY, EPOCH, LARGEST, LARGEST_STEP, LAST_YEAR, MICROSECOND
from stepahead.period import first_day, iso_time

Array = NDArray[Any]

MONDAY = 4 * DAY  # 1970-01-05
FIRST_TIME = (datetime.min - EPOCH) // MICROSECOND
END_OF_TIME = (datetime(LAST_YEAR + 1, 1, 1) - EPOCH) // MICROSECOND


class Row(NamedTuple):
    """One observation.  time: steps, or microseconds since 1970.  past: P numbers, NaN where missing.  known: K.

    skipped: the times of the newest steps before it that had no row, where the model has a row at each step.
    """

    time: int
    past: tuple[float, ...]
    known: tuple[float, ...]
    skipped: tuple[int, ...] = ()


class Door:
    """Reads the rows of models that learned from one kind of table.

    schema, frequency: of the model. gaps: whether a value may be missing. reach: how many steps without a row it can
    notice.
    """

    def __init__(self, schema: Any, frequency: Any, horizon: int, *, gaps: bool, reach: int) -> None:
        self.schema, self.frequency, self.horizon, self.gaps, self.reach = schema, frequency, horizon, gaps, reach
        self.on_grid = schema.grid is not None
        self.names = (*schema.past, *schema.future)
        self.counts_steps = schema.time_kind == "integer"
        self.time_type = np.dtype(np.int64 if self.counts_steps else "datetime64[us]")
        self._values = itemgetter(*self.names) if len(self.names) > 1 else lambda row: (row[self.names[0]],)
        self._n_past = len(schema.past)
        self._offsets = self._regular_offsets()
        self._next = [] if self._offsets is None else self._offsets[:, 0].tolist()

    def read(self, row: Mapping[str, Any], series: str, cutoff: int) -> Row:
        """One row of a series whose last row is at `cutoff`.

        Raises: DataError for a column that is unknown, absent or no number, and for a time that is not after the last.
        """
        try:
            values = self._values(row)
        except (KeyError, TypeError) as error:
            raise self._absent(row, series) from error
        written = row.get(self.schema.time)
        if len(row) != len(self.names) + (written is not None):
            self._refuse_unknown(row, series)
        return self.row_of(values, written, series, cutoff)

    def row_of(self, values: Sequence[Any], written: Any, series: str, cutoff: int) -> Row:
        """The same from values in the order of `names`, and the time or None."""
        time = self.next_time(cutoff) if written is None else self.time_of(written, series)
        return self.row_at(time, values, series, cutoff)

    def row_at(self, time: int, values: Sequence[Any], series: str, cutoff: int) -> Row:
        """The same with the time as a number."""
        if time <= cutoff:
            raise DataError(
                f"series '{series}': {self.schema.time} {self.text_of(time)} is not after the last row, "
                f"{self.text_of(cutoff)}; send each row once, in the order of time"
            )
        row = self.seen_at(time, values, series)
        if self.on_grid and time != self.next_time(cutoff):
            return row._replace(skipped=self._skipped(time, series, cutoff))
        return row

    def seen_at(self, time: int, values: Sequence[Any], series: str) -> Row:
        """The same, whatever row came before it."""
        for value in values:
            if value.__class__ is not float or not -LARGEST < value < LARGEST:
                values = self._numbers(values, series)
                break
        return Row(time, tuple(values[: self._n_past]), tuple(values[self._n_past :]))

    def read_ahead(self, rows: Sequence[Mapping[str, Any]] | None, series: str) -> Array | None:
        """The inputs known ahead of the next H rows: [1, H, K], or None for a model that has none.

        Raises: DataError where rows or values are absent.
        """
        names = self.schema.future
        if not names:
            if rows is not None:
                raise DataError(f"series '{series}': the model has no inputs known ahead; leave future= out")
            return None
        if rows is None or len(rows) != self.horizon:
            raise DataError(
                f"series '{series}': the forecast needs {', '.join(map(repr, names))} for each of the next "
                f"{self.horizon} steps; pass future=, a row for each"
            )
        return np.array([[self._known(row, series) for row in rows]])

    def _skipped(self, time: int, series: str, cutoff: int) -> tuple[int, ...]:
        """The steps between two rows of a model that has a row at each step.

        Raises: DataError for a time between two steps, or skipped steps where no value may be missing.
        """
        steps = self.frequency.between(*np.array([cutoff, time]).view(self.time_type), self.reach)
        where = f"series '{series}': {self.schema.time} {self.text_of(time)}"
        if steps is None:
            raise DataError(f"{where} lies between two steps of the frequency; round it")
        if not self.gaps:
            raise DataError(
                f"{where} comes after {self.text_of(self.next_time(cutoff))}, which has no row; send each step, or fit "
                "with missing='ffill' or 'mask' to allow gaps"
            )
        return tuple(steps.view(np.int64).tolist())

    def next_time(self, cutoff: int) -> int:
        """The time of the row after this one, by the frequency."""
        if self._offsets is None:
            return int(self.times_after(cutoff)[0])
        return cutoff + self._next[(cutoff - MONDAY) // DAY % 7]

    def times_after(self, cutoff: int) -> Array:
        """The times of the next H rows: [H] int64."""
        if self._offsets is None:
            return self.frequency.after(np.array([cutoff]).view("datetime64[us]"), self.horizon)[0].view(np.int64)
        return cutoff + self._offsets[(cutoff - MONDAY) // DAY % 7]

    def time_of(self, value: Any, series: str) -> int:
        """A time as it was written -> steps, or microseconds since 1970 (in UTC where the model has a zone).

        Raises: DataError for another kind of time than the model learned from.
        """
        if self.counts_steps:
            whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
            if whole and -LARGEST_STEP <= value <= LARGEST_STEP:
                return int(value)
            raise self._no_time(value, series, "a whole number of at most 2^62")
        time = self._microseconds(value, series)
        if not FIRST_TIME <= time < END_OF_TIME:
            raise self._no_time(value, series, f"a time of the years 1 to {LAST_YEAR}")
        return time

    def _microseconds(self, value: Any, series: str) -> int:
        if isinstance(value, np.datetime64):
            return int(value.astype("datetime64[us]").astype(np.int64))
        try:
            stamp = self._written(value) if isinstance(value, str) else value
            stamp = stamp if isinstance(stamp, datetime) else datetime(stamp.year, stamp.month, stamp.day)
            if stamp != stamp:  # pandas' NaT
                raise ValueError
        except (ValueError, AttributeError) as error:
            raise self._no_time(value, series, "a date or time such as 2021-01-31 or 2021-01-31T10:00:00") from error
        if (stamp.tzinfo is None) != (self.schema.time_zone is None):
            raise self._no_time(
                value,
                series,
                "a time without a zone" if stamp.tzinfo else "a time with its zone, 2021-01-31T10:00Z say",
            )
        return (stamp.replace(tzinfo=None) - EPOCH - (stamp.utcoffset() or timedelta(0))) // MICROSECOND

    def _written(self, text: str) -> datetime | date:
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            day = first_day(text) if self.schema.time_kind == "date" else None
            return iso_time(text) if day is None else day

    def text_of(self, time: int) -> str:
        """A time as one writes it."""
        if self.counts_steps:
            return str(time)
        stamp = EPOCH + timedelta(microseconds=time)
        whole = self.schema.time_kind == "date" and time % DAY == 0
        text = stamp.date().isoformat() if whole else stamp.isoformat()
        return f"{text}Z" if self.schema.time_zone else text

    def _regular_offsets(self) -> Array | None:
        """Microseconds (or steps) from a row to the next H, by its weekday: [7, H]; None where months are counted,
        or the days of a zone's clocks.
        """
        if self.frequency.unit == "month" or self.frequency.zone is not None:
            return None
        steps = self.counts_steps
        week = np.arange(7) if steps else (MONDAY + DAY * np.arange(7)).view("datetime64[us]")
        return (self.frequency.after(week, self.horizon) - week[:, None]).view(np.int64)

    def _numbers(self, values: Sequence[Any], series: str) -> tuple[float, ...]:
        """The values as numbers, the slow and thorough way."""
        return tuple(self._number(n, v, series) for n, v in zip(self.names, values, strict=True))

    def _number(self, name: str, value: Any, series: str) -> float:
        if value is None or (isinstance(value, float | np.floating) and math.isnan(value)):
            if self.gaps and name in self.schema.past:
                return math.nan
            remedy = "; fit with missing='ffill' or 'mask' to allow it" if name in self.schema.past else ""
            raise DataError(f"series '{series}': column '{name}' is missing{remedy}")
        number = isinstance(value, int | float | np.integer | np.floating)
        if not number or (isinstance(value, bool) and name == self.schema.target):
            raise DataError(f"series '{series}': column '{name}': {value!r:.40} is not a number; correct it")
        if abs(value) == math.inf:
            raise DataError(f"series '{series}': column '{name}': {value!r} is not finite; correct it")
        if not -LARGEST < value < LARGEST:
            raise DataError(f"series '{series}': column '{name}' is beyond {LARGEST:g}; correct it")
        return float(value)

    def _known(self, row: Mapping[str, Any], series: str) -> list[float]:
        for name in self.schema.future:
            if not hasattr(row, "keys") or name not in row:
                raise DataError(f"series '{series}': future= lacks column '{name}'; give it for each of the next steps")
        return [self._number(name, row[name], series) for name in self.schema.future]

    def _absent(self, row: Any, series: str) -> DataError:
        if not isinstance(row, Mapping):
            return DataError(f"series '{series}': a row is a mapping of column to value, not a {type(row).__name__}")
        absent = next(name for name in self.names if name not in row)
        return DataError(f"series '{series}': the row has no column '{absent}'; it needs {', '.join(self.names)}")

    def _refuse_unknown(self, row: Mapping[str, Any], series: str) -> None:
        """Raise DataError for a column that the model does not know, or the name of another series."""
        schema = self.schema
        for name, value in row.items():
            if name == schema.series and schema.has_series:
                if str(value) != series:
                    raise DataError(f"series '{series}': the row is of series '{value}'; push it to its own stream")
            elif name != schema.time and name not in self.names:
                raise DataError(
                    f"series '{series}': the model has no column '{name}'; it takes {', '.join(self.names)}, and "
                    f"{schema.time} for the time"
                )

    def _no_time(self, value: Any, series: str, wanted: str) -> DataError:
        shown = str(value) if isinstance(value, np.datetime64) else repr(value)
        return DataError(f"series '{series}': {self.schema.time} {shown:.40} must be {wanted}")

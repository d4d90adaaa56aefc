"""Rows from a pipe, forecasts into one.  Bytes of CSV or JSON lines -> rows; forecasts -> lines.

A source is read as it comes: whatever complete lines are there are handed on, so that nothing waits for a full buffer.
"""

import csv
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from stepahead.data.cells import MISSING
from stepahead.errors import DataError
from stepahead.limits import LARGEST

CHUNK = 1 << 17  # bytes that are read at once
LONGEST_LINE = 1 << 22  # bytes: a row of 100,000 numbers; what is longer has no end


class Cells(NamedTuple):
    """A row as it was written. line: its number, from 1. series: its name or None. time: or None. values: in order."""

    line: int
    series: str | None
    time: Any
    values: list[Any]


class Rows:
    """The rows that come through a file descriptor, as many at a time as are there.

    schema: of the model. names: the columns whose values are wanted, in order. whole: refuse a last line without its
    line break, which may be half of what the sender meant. time_format: how times are written, as `read` takes it.
    form: "csv" or "json" once it is known.
    """

    def __init__(
        self,
        descriptor: int,
        schema: Any,
        names: Sequence[str],
        *,
        whole: bool = False,
        time_format: str | None = None,
    ) -> None:
        self.descriptor, self.schema, self.names, self.whole = descriptor, schema, names, whole
        self.time_format = time_format
        self.form = ""
        self.ignored: list[str] = []
        self.problem: DataError | None = None
        self._line = 0
        self._places: list[int] = []
        self._series = self._time = -1

    def __iter__(self) -> Iterator[list[Cells]]:
        """Lists of rows; a bad row ends them, and is then `problem`."""
        rest = b""
        while self.problem is None:
            try:
                came = os.read(self.descriptor, CHUNK)
            except OSError as error:
                self.problem = DataError(f"standard input: cannot be read ({error.strerror}); give rows by a pipe")
                return
            if not came and rest.strip() and self.whole:
                self.problem = DataError(
                    f"standard input, line {self._line + 1}: the last one, has no line break, so that it may be cut "
                    "short, and was not taken in; send it whole, with its line break"
                )
                return
            whole, _, rest = (rest + came).rpartition(b"\n") if came else (rest, b"", b"")
            rows = self._rows(whole) if whole else []
            if len(rest) > LONGEST_LINE and self.problem is None:
                self.problem = DataError(
                    f"standard input, line {self._line + 1}: is longer than {LONGEST_LINE >> 20} MiB; "
                    "end each row with a line break"
                )
            if self.time_format is not None:
                rows = self._in_format(rows)
            if rows:
                yield rows
            if not came:
                return

    def _rows(self, block: bytes) -> list[Cells]:
        try:
            return self._rows_of(block.decode("utf-8-sig" if self._line == 0 else "utf-8"))
        except UnicodeDecodeError as error:
            whole, end, _ = error.object[: error.start].rpartition(b"\n")
            rows = self._rows_of(whole.decode()) if end else []
            self.problem = self.problem or DataError(f"standard input, line {self._line + 1}: is not UTF-8; convert it")
            return rows

    def _rows_of(self, text: str) -> list[Cells]:
        rows: list[Cells] = []
        try:
            for line in text.split("\n"):
                self._line += 1
                line = line.rstrip("\r")
                if not line or line.isspace():
                    continue
                if not self.form:
                    self.form = "json" if line.lstrip().startswith("{") else "csv"
                    if self.form == "csv":
                        self._read_header(self._split(line))
                        continue
                rows.append(self._from_csv(line) if self.form == "csv" else self._from_json(line))
        except DataError as error:
            self.problem = error
        return rows

    def _read_header(self, header: list[str]) -> None:
        for mark, word in ((";", "semicolons"), ("\t", "tabs")):
            if len(header) == 1 and mark in header[0]:
                raise DataError(f"standard input, line 1: is separated by {word}; separate with commas")
        for name in (*self.names, self.schema.time):
            if header.count(name) > 1:
                raise DataError(f"standard input, line 1: two columns are named '{name}'; rename one of them")
        for name in self.names:
            if name not in header:
                blank = next((found for found in header if found.strip() == name), None)
                remedy = f"the model needs {', '.join(self.names)}"
                if blank is not None:
                    remedy = f"there is {blank!r}, with blanks; leave them out"
                raise DataError(f"standard input, line 1: no column '{name}' in the header; {remedy}")
        self._places = [header.index(name) for name in self.names]
        self._time = header.index(self.schema.time) if self.schema.time in header else -1
        has_series = self.schema.has_series and self.schema.series in header
        self._series = header.index(self.schema.series) if has_series else -1
        known = {*self.names, self.schema.time, self.schema.series}
        self.ignored = [name for name in header if name not in known]
        self._width = len(header)

    def _from_csv(self, line: str) -> Cells:
        cells = self._split(line)
        if len(cells) != self._width:
            raise DataError(
                f"standard input, line {self._line}: has {len(cells)} cells, the header has {self._width}; mend the row"
            )
        try:
            if "_" in line:  # which Python's numbers may hold, and a table's not
                raise ValueError
            values: list[Any] = [float(cells[place]) for place in self._places]
        except ValueError:
            values = [self._number(name, cells[place]) for name, place in zip(self.names, self._places, strict=True)]
        series = cells[self._series] if self._series >= 0 else None
        return Cells(self._line, series, self._as_time(cells[self._time]) if self._time >= 0 else None, values)

    def _from_json(self, line: str) -> Cells:
        try:
            row = json.loads(line, object_pairs_hook=each_once)
        except (ValueError, RecursionError) as error:
            raise DataError(f"standard input, line {self._line}: is no JSON object ({error}); mend the row") from error
        if not isinstance(row, dict):
            raise DataError(f"standard input, line {self._line}: is no JSON object, but {line:.40}; mend the row")
        absent = [name for name in self.names if name not in row]
        if absent:
            raise DataError(f"standard input, line {self._line}: no column '{absent[0]}'; give it, null if missing")
        series = row.get(self.schema.series) if self.schema.has_series else None
        known = {*self.names, self.schema.time, self.schema.series}
        self.ignored += [name for name in row if name not in known and name not in self.ignored]
        values = [float(v) if type(v) is int and abs(v) < LARGEST else v for v in (row[name] for name in self.names)]
        return Cells(self._line, None if series is None else str(series), row.get(self.schema.time), values)

    def _in_format(self, rows: list[Cells]) -> list[Cells]:
        """The rows with their times as the format says; one that is written otherwise ends them, and is `problem`."""
        try:
            return self._with_times(rows)
        except DataError:
            pass
        good: list[Cells] = []
        for row in rows:  # one by one, to see which it is
            try:
                good += self._with_times([row])
            except DataError as error:
                self.problem = error
                break
        return good

    def _with_times(self, rows: list[Cells]) -> list[Cells]:
        """Raises: DataError for a time that is not in the format, or is none of the model's kind."""
        from stepahead.data.stamps import read_written

        dated = [row for row in rows if row.time is not None]
        if not dated:
            return rows
        where = f"standard input, line {dated[0].line}"
        stamps = read_written([str(row.time) for row in dated], self.schema.time, self.time_format, where)
        if (stamps.kind == "integer") != (self.schema.time_kind == "integer"):
            learned = "steps" if self.schema.time_kind == "integer" else "dates"
            raise DataError(
                f"{where}: time_format='{self.time_format}' reads none of the {learned} that the model learned"
            )
        if (stamps.zone is None) != (self.schema.time_zone is None):
            zone = "a zone, %z" if stamps.zone is None else "no zone"
            raise DataError(f"{where}: the times that the model learned have {zone}; give them so in time_format=")
        times = iter(stamps.values.tolist() if stamps.kind == "integer" else stamps.values)
        return [row if row.time is None else row._replace(time=next(times)) for row in rows]

    def _split(self, line: str) -> list[str]:
        """The cells of one line of CSV."""
        if '"' not in line:
            return line.split(",")
        try:
            return next(csv.reader([line]))
        except csv.Error as error:
            if "field limit" in str(error):
                long = f"has a cell of more than {csv.field_size_limit() >> 10} KiB, or a quotation mark is not closed"
                raise DataError(f"standard input, line {self._line}: {long}; mend it") from error
            raise DataError(f"standard input, line {self._line}: is no line of CSV ({error!s:.60}); mend it") from error

    def _number(self, name: str, cell: str) -> float | None:
        if cell.strip().lower() in MISSING:
            return None
        try:
            if "_" not in cell:
                return float(cell)
        except ValueError:
            pass
        raise DataError(f"standard input, line {self._line}: column '{name}': {cell!r:.40} is not a number; correct it")

    def _as_time(self, cell: str) -> Any:
        """A cell of the time column: a whole number where the model counts steps."""
        if self.schema.time_kind != "integer" or "_" in cell:
            return cell
        try:
            return int(cell)
        except ValueError:
            return cell


def each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object.  Raises: ValueError where a name is there twice; the last one would win in silence."""
    row = dict(pairs)
    if len(row) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it names '{twice:.40}' twice")
    return row


class Lines:
    """Forecasts as lines, in the form that the rows came in.

    CSV: a header, then a line for each step ahead: series (where the model has several), time, cutoff, forecast,
    bounds. JSON: one object a row, with all steps. A bound beyond all numbers is inf in CSV, null in JSON.
    """

    def __init__(self, stream: Any, schema: Any, text_of: Any, times_after: Any) -> None:
        self.schema, self.text_of, self.times_after = schema, text_of, times_after
        self.name, self.level = stream.name, stream.level
        widest_first = range(len(self.level) - 1, -1, -1)
        self.columns = [self.name]
        self.columns += [f"{self.name}-lo-{self.level[i]:g}" for i in widest_first]
        self.columns += [f"{self.name}-hi-{level:g}" for level in self.level]

    def header(self) -> str:
        """The first line of CSV."""
        keys = [self.schema.series] if self.schema.has_series else []
        return ",".join([*keys, self.schema.time, "cutoff", *self.columns]) + "\n"

    def csv(self, series: str, cutoff: int, bounds: Any) -> str:
        """The lines of one forecast, a line a step."""
        lead = f"{quoted(series)}," if self.schema.has_series else ""
        known, lines = self.text_of(cutoff), []
        times = self.times_after(cutoff).tolist()
        for time, mean, lo, hi in zip(times, bounds.mean, bounds.lo, bounds.hi, strict=True):
            numbers = ",".join(map(repr, (mean, *lo[::-1], *hi)))
            lines.append(f"{lead}{self.text_of(time)},{known},{numbers}\n")
        return "".join(lines)

    def json(self, stream: Any, cutoff: int, bounds: Any) -> str:
        """One line of JSON."""
        times = [self.plain_time(time) for time in self.times_after(cutoff).tolist()]
        steps = [
            {"ds": time} | dict(zip(self.columns, (mean, *lo[::-1], *hi), strict=True))
            for time, mean, lo, hi in zip(times, bounds.mean, bounds.lo, bounds.hi, strict=True)
        ]
        answer = {"series": stream.series, "cutoff": self.plain_time(cutoff), "forecast": steps}
        try:
            return json.dumps(answer, ensure_ascii=False, allow_nan=False) + "\n"
        except ValueError:  # a bound beyond all numbers, for which JSON has no word
            from stepahead.evaluate.result import plain

            return json.dumps(plain(answer), ensure_ascii=False, allow_nan=False) + "\n"

    def plain_time(self, time: int) -> int | str:
        return time if self.schema.time_kind == "integer" else self.text_of(time)


def quoted(cell: str) -> str:
    """A cell as CSV writes it."""
    return '"' + cell.replace('"', '""') + '"' if set(cell) & set(',"\n\r') else cell

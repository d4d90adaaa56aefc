"""Rows as they come and as they are kept.  JSON rows of a model -> times, packed values, rows of a Stream, Panels.

A kept row is its values as little-endian doubles in the order of `columns`, NaN where one is missing; for a model with
inputs known ahead, those of the next H steps follow. Two rows are the same if the bytes of their own values are.

Legend: P past inputs, K inputs known ahead, H horizon, R rows.
"""

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from stepahead.data.calendar import Frequency
from stepahead.data.grid import at_each_step
from stepahead.data.panel import Panel, Schema, preview
from stepahead.errors import DataError
from stepahead.limits import LARGEST
from stepahead.server.problems import Problem
from stepahead.server.times import as_number, as_stamp, as_text, read_time, shown


@dataclass(frozen=True)
class RowReader:
    """How rows of a model are read.

    columns: the P + K inputs that change from row to row, past ones first. horizon: H. packer: of a kept row.
    """

    schema: Schema
    frequency: Frequency
    horizon: int
    columns: tuple[str, ...]
    packer: struct.Struct

    @classmethod
    def of(cls, schema: Schema, frequency: Frequency, horizon: int) -> "RowReader":
        columns = (*schema.past, *schema.future)
        return cls(
            schema, frequency, horizon, columns, struct.Struct(f"<{len(columns) + horizon * len(schema.future)}d")
        )

    def values(self, row: Mapping[str, Any]) -> list[float]:
        """The inputs of a row, in order.

        Raises: Problem 422 for a column that is missing, unknown or no number.
        """
        try:
            values = [row[name] for name in self.columns]
        except KeyError as error:
            missing = error.args[0]
            raise Problem(422, f"column '{missing}' is missing; a row holds {preview(self.columns, 12)}") from error
        if len(row) != len(values) + (self.schema.time in row):
            self._refuse_unknown(row)
        if None in values:
            values = [math.nan if value is None else value for value in values]
        for name, value in zip(self.columns, values, strict=True):
            if type(value) is not float:
                raise Problem(422, f"column '{name}': {shown(value)} is not a number; give one, or null if missing")
            if abs(value) >= LARGEST:
                raise Problem(422, f"column '{name}': {shown(value)} is beyond {LARGEST:g}; correct it")
        return [value + 0.0 for value in values] if 0.0 in values else values  # -0.0 is 0.0 in other bytes

    def _refuse_unknown(self, row: Mapping[str, Any]) -> None:
        known = (self.schema.time, *self.columns)
        unknown = next(name for name in row if name not in known)
        raise Problem(422, f"column {shown(unknown)} is not one of the model's; a row holds {preview(known, 12)}")

    def time(self, row: Mapping[str, Any], before: int) -> int:
        """The time of a row; the next step after `before` where it has none."""
        value = row.get(self.schema.time)
        return self.after(before) if value is None else read_time(value, self.schema)

    def after(self, time: int) -> int:
        """The time one step later."""
        last = np.asarray([time])
        if self.schema.time_kind != "integer":
            last = last.view("datetime64[us]")
        return as_number(self.frequency.after(last, 1)[0, 0])

    def pack(self, values: Sequence[float], ahead: Sequence[float] = ()) -> bytes:
        """A row to be kept: its values, and the known inputs of the next steps where the model has any."""
        return self.packer.pack(*values, *ahead)

    def own(self, packed: bytes) -> bytes:
        """A kept row less what was known ahead of it, which may be said again in another way, or not at all."""
        return packed[: 8 * len(self.columns)]

    def mapping(self, time: int, packed: bytes) -> dict[str, Any]:
        """A kept row as a Stream takes it."""
        row: dict[str, Any] = dict(zip(self.columns, self.packer.unpack(packed), strict=False))
        row[self.schema.time] = as_stamp(time, self.schema)
        return row

    def future(self, packed: bytes) -> list[dict[str, Any]] | None:
        """The known inputs of the next steps that are kept with a row, as a Stream takes them."""
        names = self.schema.future
        if not names:
            return None
        values = self.packer.unpack(packed)[len(self.columns) :]
        return [dict(zip(names, values[i : i + len(names)], strict=True)) for i in range(0, len(values), len(names))]

    def known(self, row: Mapping[str, Any]) -> list[float]:
        """The inputs known ahead of a row to come. Raises: Problem 422 where one is missing."""
        for name in self.schema.future:
            if type(row.get(name)) is not float:
                raise Problem(422, f"future: column '{name}' needs a number for each of the next {self.horizon} steps")
            if abs(row[name]) >= LARGEST:
                raise Problem(422, f"future: column '{name}': {shown(row[name])} is beyond {LARGEST:g}; correct it")
        return [row[name] + 0.0 for name in self.schema.future]

    def record(self, time: int, packed: bytes) -> dict[str, Any]:
        """A kept row as JSON has it."""
        record: dict[str, Any] = {self.schema.time: as_text(time, self.schema)}
        for name, value in zip(self.columns, self.packer.unpack(packed), strict=False):
            record[name] = None if math.isnan(value) else value
        return record


@dataclass(frozen=True)
class History:
    """The rows that a series begins with. times: [R], ascending. packed: [R]. panel: the same rows."""

    times: tuple[int, ...]
    packed: tuple[bytes, ...]
    panel: Panel


def read_history(reader: RowReader, rows: Sequence[Mapping[str, Any]], series: str) -> History:
    """The rows of one series, in any order, as a History.

    Raises: Problem 422 for a bad cell, two rows of one time, or a static input that changes.
    """
    schema = reader.schema
    static, rows = split_static(schema, rows)
    taken = sorted((read_history_row(reader, row, place) for place, row in enumerate(rows)), key=lambda pair: pair[0])
    times = [time for time, _ in taken]
    for before, after in pairwise(times):
        if before == after:
            raise Problem(422, f"rows: two have the time {as_text(after, schema)}; keep one")
    nothing = [math.nan] * (reader.horizon * len(schema.future))
    values = np.asarray([values for _, values in taken], dtype=np.float64).reshape(len(taken), len(reader.columns))
    try:
        panel = as_panel(schema, series, np.asarray(times, dtype=np.int64), values, static)
    except DataError as error:
        raise Problem(422, str(error)) from error
    return History(times=tuple(times), packed=tuple(reader.pack(values, nothing) for _, values in taken), panel=panel)


def read_history_row(reader: RowReader, row: Mapping[str, Any], place: int) -> tuple[int, list[float]]:
    """One row; steps count from 1 where the model counts steps and the row has no time."""
    value = row.get(reader.schema.time)
    try:
        if value is None and reader.schema.time_kind == "integer":
            return place + 1, reader.values(row)
        return read_time(value, reader.schema), reader.values(row)
    except Problem as problem:
        raise Problem(problem.status, f"row {place} (counted from 0): {problem.detail}") from problem


def split_static(
    schema: Schema, rows: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, Any], Sequence[Mapping[str, Any]]]:
    """The inputs that never change, taken out of the rows."""
    extra = {*schema.static, *((schema.series,) if schema.has_series else ())}
    if not extra:
        return {}, rows
    static: dict[str, Any] = {}
    for name in schema.static:
        found = {row[name] for row in rows if row.get(name) is not None}
        if len(found) != 1:
            raise Problem(422, f"column '{name}' must hold one value in all rows; found {len(found)}")
        static[name] = found.pop()
    return static, [{name: value for name, value in row.items() if name not in extra} for row in rows]


def as_panel(schema: Schema, series: str, times: np.ndarray, values: np.ndarray, static: Mapping[str, Any]) -> Panel:
    """Rows of one series as a Panel: times [R] int64, values [R, P + K].

    It has a row at each step where the model's tables have. Raises: DataError for a time between two steps.
    """
    constant = [static[name] for name in schema.static]
    kind = object if any(isinstance(value, str) for value in constant) else np.float64
    panel = Panel.restored(
        replace(schema, source="rows", notes=()),
        ids=(series,),
        times=times,
        past=np.ascontiguousarray(values[:, : len(schema.past)]),
        future=np.ascontiguousarray(values[:, len(schema.past) :]),
        static=np.asarray(constant, dtype=kind),
    )
    return panel if schema.grid is None else at_each_step(panel, schema.grid)


def learned_history(reader: RowReader, panel: Panel, series: str) -> History:
    """The rows that a model learned from last: panel of one series -> History under another name."""
    values = np.concatenate([panel.past, panel.future], axis=1)
    nothing = [math.nan] * (reader.horizon * len(reader.schema.future))
    return History(
        times=tuple(panel.times.astype(np.int64).tolist()),
        packed=tuple(reader.pack(row, nothing) for row in values.tolist()),
        panel=replace(panel, ids=(series,)),
    )


def rows_of_columns(columns: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Columns of equal length, turned into rows."""
    lengths = {len(values) for values in columns.values()}
    if len(lengths) != 1:
        raise Problem(422, f"columns: have {', '.join(map(str, sorted(lengths)))} values; give each as many")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

"""The door for tables.  A path or a frame, and what its columns are -> Panel.

The user's table is checked here, once: whatever is wrong with it is one DataError with file, column, row and remedy.
"""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from stepahead.data.cells import read_ids, read_numbers, read_static, try_numbers
from stepahead.data.grid import at_each_step
from stepahead.data.panel import Panel, Schema, preview
from stepahead.data.parquet import ParquetColumns
from stepahead.data.skipped import skipped_steps
from stepahead.data.stamps import read_stamps
from stepahead.data.table import Table, open_table
from stepahead.errors import ConfigError, DataError

TIME_NAMES = ("date", "time", "timestamp", "datetime")  # in any case: taken for the time where there is no ds
Order = np.ndarray | slice  # positions of the rows as sorted, or all of them as they came
INDEX_NAMES = ("", "Unnamed: 0")  # what an index that was saved along is called


@dataclass(frozen=True)
class Roles:
    """Which column is what; past: the chosen past inputs without the target, or None for all that hold numbers."""

    series: str | None
    time: str
    target: str
    past: tuple[str, ...] | None
    future: tuple[str, ...]
    static: tuple[str, ...]

    @property
    def taken(self) -> tuple[str, ...]:
        """Columns that have another role than past input."""
        lead = () if self.series is None else (self.series,)
        return (*lead, self.time, self.target, *self.future, *self.static)


def read(
    source: Any,
    *,
    series: str | None = None,
    time: str | None = None,
    target: str | None = None,
    past: Sequence[str] | None = None,
    future: Sequence[str] = (),
    static: Sequence[str] = (),
    time_format: str | None = None,
    frequency: str | int | None = None,
) -> Panel:
    """Read a table of one or many series.

    Args:
        source: path of a CSV (plain or gzip) or Parquet file, or a pandas, polars or pyarrow frame.
        series: column that names the series; `unique_id` where there is one, else the table is one series.
        time: column of dates, stamps or integer steps; `ds`, or else one that is called date or time.
        target: column to forecast; `y`.
        past: input columns known up to now, beside the target's own past; all other columns of numbers if None.
        future: input columns known ahead, such as a holiday.
        static: columns that do not change within a series: numbers, or text as categories.
        time_format: how times are written where not in ISO, such as "%d/%m/%Y"; "integer" for steps like 20210131;
            "decimal_year" for 1960.25, April 1960.
        frequency: None takes the rows as they are, with a note where dates leave steps out; a step ("D", "15min",
            "MS" ..., or a number for integer times), or "auto" for the commonest, puts a row at each step, missing
            where there was none (see `missing=`).

    Returns:
        The Panel: series in order of first appearance, rows sorted by time, missing values as NaN.

    Raises:
        DataError: the table cannot be used; the message names file, column, row and remedy.
        ConfigError: one column in two roles, or no name where one must stand.

    Example:
        >>> import polars as pl
        >>> read(pl.DataFrame({"date": ["2021-01-01", "2021-01-02"], "close": [1.0, 2.0]}), target="close").y
        array([1., 2.])
    """
    for role, given in {"series": series, "time": time, "target": target}.items():
        check_name(given, role)
    table = open_table(source)
    roles = find_roles(
        table,
        series=series,
        time=time,
        target=target,
        past=None if past is None else names(past, "past"),
        future=names(future, "future"),
        static=names(static, "static"),
    )
    several = ", or name the column of series with series= if there are several"
    panel = assemble(table, roles, time_format, several)
    if frequency is not None:
        return at_each_step(panel, frequency)
    notes = skipped_steps(panel)
    return replace(panel, schema=replace(panel.schema, notes=panel.schema.notes + notes)) if notes else panel


def names(given: Sequence[str], role: str) -> tuple[str, ...]:
    """One name or several -> a tuple.  Raises: ConfigError for what is no name."""
    several = (given,) if isinstance(given, str) or not isinstance(given, Iterable) else tuple(given)
    for one in several:
        if not isinstance(one, str):
            raise ConfigError(f"{role}={given!r} must be the name of a column, or a list of names")
    return several


def check_name(given: Any, role: str) -> None:
    """Raises: ConfigError for what names no single column."""
    if given is None or isinstance(given, str):
        return
    wide = role == "target" and isinstance(given, Sequence)
    remedy = "; where each series has a column of its own, make rows of them first (unpivot, or melt in pandas)"
    raise ConfigError(f"{role}={given!r} must be the name of one column" + remedy * wide)


def find_roles(table: Table, **given: Any) -> Roles:
    """Settle which column is what, and refuse a column that is not there or has two roles."""
    columns = table.frame.columns
    series = ("unique_id" if "unique_id" in columns else None) if given["series"] is None else given["series"]
    target = "y" if given["target"] is None else given["target"]
    past = None if given["past"] is None else tuple(name for name in given["past"] if name != target)
    time = find_time(table) if given["time"] is None else given["time"]
    roles = Roles(series, time, target, past, given["future"], given["static"])
    wanted = {"series": [] if series is None else [series], "time": [roles.time], "target": [target]}
    wanted |= {"past": [*(past or ())], "future": [*roles.future], "static": [*roles.static]}
    for role, chosen in wanted.items():
        for name in chosen:
            if name not in columns:
                raise DataError(absent(table, role, name, given[role]))
    refuse_two_roles(wanted)
    return roles


def find_time(table: Table) -> str:
    """The time column where none is named: ds, or the one column that is called date or time."""
    columns = table.frame.columns
    found = ["ds"] if "ds" in columns else [name for name in columns if name.lower() in TIME_NAMES]
    if len(found) == 1:
        return found[0]
    hint = "; call reset_index() if it is the index" if table.backend == "pandas" and not found else ""
    several = f"{preview(found)} may each be the time" if found else "no column 'ds' for the time"
    raise DataError(f"{table.source}: {several}; pass time= one of {preview(columns, 12)}{hint}")


def absent(table: Table, role: str, name: str, given: Any) -> str:
    """The message for a column that is not there."""
    columns = table.frame.columns
    by_lower = {column.lower(): column for column in reversed(columns)}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1)
    if close and given is not None:
        return f"{table.source}: no column '{name}' ({role}=); did you mean '{by_lower[close[0]]}'?"
    index = "; call reset_index() if it is the index" if table.backend == "pandas" and role == "time" else ""
    remedy = f"pass {role}= one of" if given is None else f"choose {role}= among"
    return f"{table.source}: no column '{name}' for {role}; {remedy} {preview(columns, 12)}{index}"


def refuse_two_roles(wanted: dict[str, list[str]]) -> None:
    seen: dict[str, str] = {}
    for role, chosen in wanted.items():
        for name in chosen:
            if name in seen:
                twice = "twice" if seen[name] == role else f"in {seen[name]}= and in {role}="
                raise ConfigError(f"column '{name}' is named {twice}; give it one role")
            seen[name] = role


def assemble(table: Table, roles: Roles, time_format: str | None, several: str) -> Panel:
    """Read the columns by their roles, sort the rows and refuse duplicates.

    several: what to do where a table of one series may hold the rows of several, for a message.
    """
    stamps = read_stamps(table, roles.time, time_format)
    ids, codes = read_series(table, roles)
    target = read_numbers(table, roles.target, flags=False)
    inputs, notes = read_past(table, roles)
    known = [read_numbers(table, name) for name in roles.future]
    static = stack_static([read_static(table, name, codes, ids) for name in roles.static], len(ids))
    order = sorted_rows(codes, stamps.values)
    if isinstance(order, slice) and not isinstance(table.frame, ParquetColumns):
        order = np.arange(len(codes))  # copies: a frame's columns are the user's, who may change them
    schema_past, columns = (*inputs, roles.target), [*inputs.values(), target]
    del target, inputs
    past = stack(columns, order)
    future = stack(known, order) if known else np.empty((len(codes), 0))
    schema = Schema(
        series="unique_id" if roles.series is None else roles.series,
        time=roles.time,
        past=schema_past,
        future=roles.future,
        static=roles.static,
        has_series=roles.series is not None,
        series_kind=series_kind(table, roles.series),
        time_kind=stamps.kind,
        time_zone=stamps.zone,
        time_unit=stamps.unit,
        backend=table.backend,
        source=table.source,
        notes=notes,
    )
    panel = Panel(
        ids=ids,
        offsets=np.concatenate([[0], np.cumsum(np.bincount(codes, minlength=len(ids)))]).astype(np.int64),
        times=stamps.values[order],
        past=past,
        future=future,
        static=static,
        schema=schema,
    )
    refuse_duplicates(table, panel, codes[order], order, several)
    return panel


def refuse_other_columns(table: Table, schema: Schema, need: str = "which the model learned") -> None:
    """Refuse a table without a column that a model learned from: no option names another one.

    need: what for, for the message.
    """
    columns = table.frame.columns
    by_lower = {column.lower(): column for column in reversed(columns)}
    lead = (schema.series,) if schema.has_series else ()
    for name in (*lead, schema.time, *schema.past, *schema.future, *schema.static):
        if name in columns:
            continue
        close = difflib.get_close_matches(name.lower(), by_lower, n=1)
        remedy = f"rename '{by_lower[close[0]]}'" if close else "add it"
        index = "; call reset_index() if it is the index" if table.backend == "pandas" and name == schema.time else ""
        raise DataError(
            f"{table.source}: no column '{name}', {need}; {remedy} (there are {preview(columns, 12)}){index}"
        )


def read_series(table: Table, roles: Roles) -> tuple[tuple[str, ...], np.ndarray]:
    """The names of the series in order of first appearance, and the position of each row's: [R] int32."""
    if roles.series is None:
        return (roles.target,), np.zeros(table.frame.height, dtype=np.int32)
    column = read_ids(table, roles.series)
    distinct = column.unique(maintain_order=True)
    codes = column.cast(pl.Enum(distinct)).to_physical().cast(pl.Int32).to_numpy()
    return tuple(distinct.to_list()), codes


def series_kind(table: Table, name: str | None) -> str:
    """Whether series are named by whole numbers in the user's frame, so that answers can be joined to it."""
    return "integer" if name is not None and table.frame.schema[name].is_integer() else "text"


def read_past(table: Table, roles: Roles) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """The past inputs beside the target, in the table's order unless they were named, and what was left out."""
    if roles.past is not None:
        return {name: read_numbers(table, name) for name in roles.past}, ()
    others = [name for name in table.frame.columns if name not in roles.taken]
    found = {name: None if name in INDEX_NAMES else try_numbers(table, name) for name in others}
    inputs = {name: values for name, values in found.items() if values is not None}
    left_out = [name for name in others if name not in inputs]
    if not left_out:
        return inputs, ()
    note = f"left out {preview(left_out)}: no column of numbers (choose inputs with past=)"
    return inputs, (note,)


def stack(columns: list[np.ndarray], order: Order) -> np.ndarray:
    """Columns [R] each -> [R, n] in the order of the rows; a single one that is in order is not copied.

    The list is emptied on the way, so that no column is held twice for longer than it takes.
    """
    if len(columns) == 1:
        return columns.pop()[order][:, None]
    out = np.empty((len(columns[0]), len(columns)))
    for place in range(len(columns)):
        out[:, place] = columns.pop(0)[order]
    return out


def stack_static(columns: list[np.ndarray], n_series: int) -> np.ndarray:
    """Static columns [S] each -> [S, J], object if any is text."""
    if not columns:
        return np.empty((n_series, 0))
    kind = object if any(column.dtype == object for column in columns) else np.float64
    return np.stack([column.astype(kind) for column in columns], axis=1)


def sorted_rows(codes: np.ndarray, times: np.ndarray) -> Order:
    """Positions of the rows, series after series, each by time; equal rows keep their order."""
    ahead, behind = codes[1:], codes[:-1]
    if ((ahead > behind) | ((ahead == behind) & (times[1:] >= times[:-1]))).all():
        return slice(None)
    return np.lexsort((times, codes))


def refuse_duplicates(table: Table, panel: Panel, codes: np.ndarray, order: Order, several: str) -> None:
    """Refuse two rows of one series at one time, saying whether they agree.  codes [R] and order as sorted."""
    double = (codes[1:] == codes[:-1]) & (panel.times[1:] == panel.times[:-1])
    if not double.any():
        return
    first = int(np.argmax(double))
    one, two = (first, first + 1) if isinstance(order, slice) else (int(order[first]), int(order[first + 1]))
    values = np.concatenate([panel.past[first : first + 2], panel.future[first : first + 2]], axis=1)
    differs = ~((values[0] == values[1]) | (np.isnan(values[0]) & np.isnan(values[1])))
    schema = panel.schema
    where = f"series '{panel.ids[codes[first]]}', " if schema.has_series else ""
    where += f"{schema.time} {table.frame[schema.time][two]}: {table.row(one)} and {table.row(two)}"
    hint = "" if schema.has_series else several
    if not differs.any():
        raise DataError(f"{table.source}: {where} are the same; remove one{hint}")
    column = (*schema.past, *schema.future)[int(np.argmax(differs))]
    pair = " and ".join(f"{value:g}" for value in values[:, int(np.argmax(differs))])
    remedy = SET_BACK if clocks_go_back(panel.times[first], schema) else "keep one of them"
    raise DataError(f"{table.source}: {where} conflict (column '{column}': {pair}); {remedy}{hint}")


SET_BACK = "clocks go back on such a night: give the times in UTC, or with their offset, 2024-10-27T02:00+01:00 say"


def clocks_go_back(moment: np.datetime64, schema: Schema) -> bool:
    """Whether a local time may come twice by the clocks: in an early hour of a Sunday in spring or autumn."""
    if schema.time_kind != "datetime" or schema.time_zone is not None:
        return False
    stamp = moment.astype("datetime64[us]").item()
    return stamp.weekday() == 6 and stamp.hour < 4 and stamp.month in (3, 4, 9, 10, 11)


def read_like(source: Any, schema: Schema, *, time_format: str | None = None) -> Panel:
    """Read another table with the columns that a model learned from.

    schema: the model's; its inputs are taken by name, in its order.

    Raises:
        DataError: as `read` does.
    """
    table = open_table(source)
    refuse_other_columns(table, schema)
    roles = find_roles(
        table,
        series=schema.series if schema.has_series else None,
        time=schema.time,
        target=schema.target,
        past=schema.past[:-1],
        future=schema.future,
        static=schema.static,
    )
    alone = "; the model knows one series: give the rows of one alone"
    panel = assemble(table, roles, as_learned(schema, time_format), alone)
    panel = replace(panel, schema=replace(panel.schema, notes=()))
    return panel if schema.grid is None else at_each_step(panel, schema.grid)


def as_learned(schema: Schema, time_format: str | None) -> str | None:
    """How times are written where nobody says: those of a model of steps are steps, also where they look like dates."""
    return "integer" if time_format is None and schema.time_kind == "integer" else time_format

"""What number, name or category a cell means.  Columns of a Table -> float64 arrays and text; a bad cell is named."""

import re

import numpy as np
import polars as pl

from stepahead.data.table import Table
from stepahead.errors import DataError

UNIT = r"(?:[^\W\d_]|[%°€£$¥])(?:[^\W\d_]|[%°€£$¥/²³23]){0,7}"  # digits are powers alone: 0x1F is no number of x1F
# A currency or a unit, "$1,200.50", "USD 5", "2418.3 kWh", "12 %", or digits in groups, "1'000 000".
WITH_A_MARK = re.compile(rf"\s*[+-]?\s*([$€£¥<>~≈]|[A-Z]{{3}}\s)?\s*[+-]?([0-9][0-9.,'’_\s]*?)(\s*{UNIT})?\s*")
MISSING = ("", "na", "n/a", "nan", "null", "none", "<na>")  # in lower case: a number that is not there


def read_numbers(table: Table, name: str, *, flags: bool = True) -> np.ndarray:
    """A column that must be numbers: [R] float64, NaN where a value is missing.

    flags: whether true and false may stand for 1 and 0.

    Raises:
        DataError: a cell that is no finite number, a column of text or dates, or one without any value.
    """
    column = table.frame[name]
    if flags and (bools := as_flags(column)) is not None:
        return finite(table, name, bools)
    values, bad = as_numbers(column)
    if values is None:
        raise DataError(f"{table.source}: column '{name}' holds {kind_of(column)}; it must hold numbers")
    if bad.any():
        there = ~np.isnan(values) | bad
        refuse_number(table, name, int(np.argmax(bad)), whole=bool((bad == there).all()))
    return finite(table, name, values)


def try_numbers(table: Table, name: str) -> np.ndarray | None:
    """A column that nobody named: its numbers if it holds numbers, None if it holds something else.

    A column that is mostly numbers is taken for one, and its bad cell refused.
    """
    values, bad = as_numbers(table.frame[name])
    if values is None:
        return None
    there = ~np.isnan(values) | bad
    if not there.any():
        return None
    if bad.any():
        place = int(np.argmax(bad))
        if bad.sum() > 0.5 * there.sum() and not decimal_comma(table.frame[name][place]):
            return None
        refuse_number(table, name, place, whole=False, remedy=", or leave the column out with past=")
    return finite(table, name, values)


def as_numbers(column: pl.Series) -> tuple[np.ndarray | None, np.ndarray]:
    """Values [R] float64 and which cells are no number [R] bool; no values at all for a column of another kind."""
    bad = np.zeros(column.len(), dtype=bool)
    if column.dtype.is_numeric():
        return column.cast(pl.Float64).fill_null(np.nan).to_numpy(), bad
    if column.dtype != pl.String:
        return None, bad
    values = column.cast(pl.Float64, strict=False)
    failed = values.is_null() & column.is_not_null()
    if failed.any():
        cells = column.filter(failed).str.strip_chars()
        again = cells.cast(pl.Float64, strict=False)
        values = values.scatter(failed.arg_true(), again)
        bad[failed.to_numpy()] = (again.is_null() & ~cells.str.to_lowercase().is_in(MISSING)).to_numpy()
    return values.fill_null(np.nan).to_numpy(), bad


def as_flags(column: pl.Series) -> np.ndarray | None:
    """True and false as 1 and 0, or None if the column holds anything else."""
    if column.dtype == pl.String:
        words = column.str.strip_chars().str.to_lowercase()
        words = words.set(words.is_in(MISSING), None)
        if words.null_count() == words.len() or not words.drop_nulls().is_in(["true", "false"]).all():
            return None
        column = words == "true"
    if column.dtype != pl.Boolean:
        return None
    return column.cast(pl.Float64).fill_null(np.nan).to_numpy()


def finite(table: Table, name: str, values: np.ndarray) -> np.ndarray:
    endless = np.isinf(values)
    if endless.any():
        place = int(np.argmax(endless))
        cell = f"{table.frame[name][place]!s:.40}"
        table.refuse(name, place, f"{cell} is not finite; leave the cell empty if the value is missing")
    if np.isnan(values).all():
        raise DataError(f"{table.source}: column '{name}' has no value in any row; fill it in or leave it out")
    return values


def refuse_number(table: Table, name: str, place: int, *, whole: bool, remedy: str = "") -> None:
    """Say why a cell is no number, and how to write it."""
    cell = f"{table.frame[name][place]!s:.80}"
    if decimal_comma(cell):
        table.refuse(name, place, f"'{cell}' has a comma; write decimals with a point and thousands without a mark")
    if found := WITH_A_MARK.fullmatch(cell):
        mark = " and ".join(f"'{part.strip()}'" for part in (found[1] or "", found[3] or "") if part.strip())
        write = "write it without, decimals with a point and thousands without a mark"
        table.refuse(name, place, f"'{cell}' is a number with {mark or 'marks'}; {write}{remedy}")
    if whole:
        table.refuse(name, place, f"'{cell}' is text; choose a column of numbers")
    table.refuse(name, place, f"'{cell}' is not a number; correct it, or leave the cell empty if missing{remedy}")


def decimal_comma(cell: str) -> bool:
    return re.fullmatch(r"\s*[+-]?\d[\d.]*(,\d+)+(\.\d+)?\s*", cell) is not None


def kind_of(column: pl.Series) -> str:
    """The kind of a column in plain words."""
    if column.dtype == pl.Boolean:
        return "true and false"
    if column.dtype == pl.Date or isinstance(column.dtype, pl.Datetime):
        return "dates"
    return "text" if column.dtype in (pl.String, pl.Categorical, pl.Enum) else str(column.dtype)


def read_ids(table: Table, name: str) -> pl.Series:
    """The column of series names, as text: '007' stays '007' and 'NA' is a name.

    Raises:
        DataError: a row without a name, or a column that cannot hold names.
    """
    column = table.frame[name]
    if column.dtype in (pl.Categorical, pl.Enum):
        column = column.cast(pl.String)
    missing = column.is_null()
    if column.dtype == pl.String:
        missing |= (column == "").fill_null(False)
    if missing.any():
        table.refuse(name, int(missing.arg_max() or 0), "the series has no name; fill it in or remove the row")
    if not (column.dtype.is_integer() or column.dtype == pl.String):
        raise DataError(
            f"{table.source}: column '{name}' holds {kind_of(column)}; series names are text or whole numbers, "
            "convert the column to text"
        )
    return column.cast(pl.String)


def read_static(table: Table, name: str, codes: np.ndarray, ids: tuple[str, ...]) -> np.ndarray:
    """A column that does not change within a series: [S] float64, or text categories as object.

    codes: [R] which series each row belongs to.

    Raises:
        DataError: a value that changes within its series, or a series without one.
    """
    column = table.frame[name]
    values = categories(column) if is_category(column) else read_numbers(table, name)
    there = np.asarray([value is not None for value in values]) if values.dtype == object else ~np.isnan(values)
    places = np.flatnonzero(there)
    found, first = np.unique(codes[places], return_index=True)
    if len(found) < len(ids):
        absent = int(np.setdiff1d(np.arange(len(ids)), found)[0])
        raise DataError(f"{table.source}: column '{name}': series '{ids[absent]}' has no value; fill it in")
    chosen = values[places[first]]
    differs = there & (values != chosen[codes])
    if differs.any():
        place = int(np.argmax(differs))
        before, value = np.array([chosen[codes[place]], values[place]], dtype=values.dtype).tolist()
        table.refuse(
            name,
            place,
            f"{value!r} changes within series '{ids[codes[place]]}' (it was {before!r}); "
            "name it in past= or future= instead of static=",
        )
    return chosen


def is_category(column: pl.Series) -> bool:
    """Whether a static column is text; digits with a leading zero are a code."""
    if column.dtype in (pl.Categorical, pl.Enum):
        return True
    if column.dtype != pl.String:
        return False
    if column.str.contains(r"^\s*0\d").any():
        return True
    return as_flags(column) is None and bool(as_numbers(column)[1].any())


def categories(column: pl.Series) -> np.ndarray:
    """Text of each row as object, None where there is none."""
    text = column.cast(pl.String)
    return np.asarray(text.set((text == "").fill_null(False), None).to_list(), dtype=object)

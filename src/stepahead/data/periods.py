"""Columns of times that name a whole period.  "1998 Q1", "1987 Jan", "2020 W07", 1960.25 -> the period's first day.

One cell alone, in a stream: stepahead/period.py.
"""

import numpy as np
import polars as pl

from stepahead.data.table import Table
from stepahead.period import MONTH, NUMBERS, QUARTER, SPAN, WEEK

DECIMAL_YEAR = "decimal_year"  # the time_format that says so
WRITTEN = r"^[0-9]{4}\.[0-9]+$"  # what may be one
NEAR = 0.05  # of a month: how far from a month's beginning such a number may lie


def first_days(table: Table, name: str, text: pl.Series) -> np.ndarray | None:
    """The first day of each cell's period, datetime64[D] [R]; None where the first cell names none.

    Raises: DataError naming the first cell that names no period of that kind.
    """
    for pattern, days_of in ((QUARTER, quarters), (WEEK, weeks), (MONTH, months), (SPAN, first_of_span)):
        if not text.head(1).str.contains(pattern).any():
            continue
        fields = text.str.extract_groups(pattern).struct.unnest()
        year, part = (
            pl.select(pl.coalesce(fields[n] for n in fields.columns if n.startswith(word)))[:, 0]
            for word in ("year", "part")
        )
        days = days_of(year, part.str.to_lowercase())
        days[days < np.datetime64("0001-01-01")] = np.datetime64("NaT")
        if np.isnat(days[0]):
            return None
        if np.isnat(days).any():
            place = int(np.isnat(days).argmax())
            table.refuse(name, place, f"'{text[place]}' is no period as '{text[0]}' is; write all times alike")
        return days
    return None


def quarters(year: pl.Series, part: pl.Series) -> np.ndarray:
    return days_of_months(year.cast(pl.Int64), 3 * part.cast(pl.Int64) - 2)


def months(year: pl.Series, part: pl.Series) -> np.ndarray:
    return days_of_months(year.cast(pl.Int64), part.replace_strict(NUMBERS, default=None, return_dtype=pl.Int64))


def days_of_months(year: pl.Series, month: pl.Series) -> np.ndarray:
    """Years and months from 1 -> first days; NaT where one is missing."""
    count = ((year - 1970) * 12 + month - 1).to_numpy().astype(np.float64)
    months = np.nan_to_num(count).astype(np.int64).astype("datetime64[M]").astype("datetime64[D]")
    return np.where(np.isnan(count), np.datetime64("NaT", "D"), months)


def first_of_span(first: pl.Series, last: pl.Series) -> np.ndarray:
    """The first of two days."""
    return first.str.to_date("%Y-%m-%d", strict=False).to_numpy().astype("datetime64[D]")


def weeks(year: pl.Series, part: pl.Series) -> np.ndarray:
    """Years and ISO weeks -> their Mondays."""
    written = pl.select(pl.format("{}-W{}-1", year, part.str.zfill(2)))[:, 0]
    return written.str.to_date("%G-W%V-%u", strict=False).to_numpy().astype("datetime64[D]")


def decimal_years(table: Table, name: str, column: pl.Series) -> np.ndarray:
    """Years with the month as a fraction, 1960.25 for April 1960, as R writes monthly and quarterly series: [R] days.

    Raises: DataError naming a cell that is no such year.
    """
    count = column.cast(pl.Float64, strict=False).to_numpy() * 12
    good = on_months(count) & (count >= 12) & (count < 120_000)
    if not good.all():
        place = int(np.argmin(good))
        table.refuse(
            name, place, f"'{column[place]}' is no year with twelfths, as 1960.25 is for April; write 1960-04-01"
        )
    return (np.round(count).astype(np.int64) - 1970 * 12).astype("datetime64[M]").astype("datetime64[D]")


def may_be_decimal_years(text: pl.Series) -> bool:
    """Whether numbers look like years with twelfths: that is asked about, never guessed."""
    written = text.cast(pl.String)
    return written.str.contains(WRITTEN).all() and bool(on_months(written.cast(pl.Float64).to_numpy() * 12).all())


def on_months(count: np.ndarray) -> np.ndarray:
    """Which numbers of months are whole."""
    finite = np.isfinite(count)
    return finite & (np.abs(np.where(finite, count - np.round(np.where(finite, count, 0)), 1)) < NEAR)

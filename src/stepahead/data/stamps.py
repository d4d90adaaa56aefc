"""What time a cell means.  A column of dates, stamps or integer steps -> Stamps, in UTC where there is a zone.

Understood without being told: ISO's 2021-01-31, 2021/01/31, 2021-01, 2021-01-31T10:00:00+01:00, and names of periods
(data/periods.py). Whether 03/04/2021 is in March or in April is asked, never guessed.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

import numpy as np
import polars as pl

from stepahead.data.cells import MISSING
from stepahead.data.periods import DECIMAL_YEAR, decimal_years, first_days, may_be_decimal_years
from stepahead.data.table import Table
from stepahead.data.zones import offset_name
from stepahead.errors import DataError
from stepahead.period import ISO, offset_minutes

ISO_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
INTEGER = r"^[+-]?[0-9]{1,19}$"
COMPACT = r"^(19|20)[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])$"
THREE_PARTS = r"^([0-9]{1,2})([/.-])([0-9]{1,2})([/.-])([0-9]{4}|[0-9]{2})\b"
DECIMAL_REMEDY = (
    f"is not a date; if it is a year with twelfths for the months, read it with time_format='{DECIMAL_YEAR}'"
)
ORDERS = {"day-first": "dmy", "month-first": "mdy", "year-first": "ymd"}  # of the three parts
SERIAL = (30_000, 60_000)  # days since 1899-12-30, as spreadsheets write 1982 to 2064
CALLED_DATE = re.compile(r"(?<![A-Za-z])(?i:date)|(?<=[a-z])Date")  # a word of it: no update, no candidates
CLOCK = re.compile(r"%[-_0]?[HIklMSTRXrcsf+]|%\.")


@dataclass(frozen=True)
class Stamps:
    """The times of all rows: values [R] datetime64[us] (UTC where there is a zone) or int64 steps.

    kind: "integer" | "date" | "datetime". zone: an IANA name, a fixed offset such as "+05:30", or None. unit: that of
    the frame's own stamps.
    """

    values: np.ndarray
    kind: str
    zone: str | None = None
    unit: str = "us"


def read_stamps(table: Table, name: str, time_format: str | None) -> Stamps:
    """The time column of a table.

    time_format: how text is written, such as "%d/%m/%Y"; "integer" for steps that look like dates; "decimal_year" for
    1960.25, April 1960.

    Raises:
        DataError: a missing, unreadable or ambiguous time, or stamps with and without a zone.
    """
    column = table.frame[name]
    if column.dtype in (pl.Categorical, pl.Enum):
        column = column.cast(pl.String)
    refuse_missing(table, name, column)
    if column.dtype == pl.Date:
        kind = "date" if table.backend != "pandas" or name in table.dates else "datetime"
        return Stamps(within_calendars(table, name, column), kind)
    if isinstance(column.dtype, pl.Datetime):
        # What lies inside is UTC, also where polars does not know the zone.
        utc = column.to_physical().cast(pl.Datetime(column.dtype.time_unit))
        unit = table.units.get(name, column.dtype.time_unit)
        return Stamps(within_calendars(table, name, utc), "datetime", column.dtype.time_zone, unit)
    if time_format == DECIMAL_YEAR:
        return dates_of(table, decimal_years(table, name, column))
    if column.dtype.is_float():
        column = whole_steps(table, name, column)
    if column.dtype.is_integer():
        column = column.cast(pl.String)
    if column.dtype != pl.String:
        raise DataError(f"{table.source}: column '{name}' holds {column.dtype}; give dates, stamps or integer steps")
    # Stamps of a frame whose zone polars does not know have become text, too.
    return replace(read_text(table, name, column.str.strip_chars(), time_format), unit=table.units.get(name, "us"))


def read_written(times: Sequence[str], name: str, time_format: str | None, source: str) -> Stamps:
    """Times that come in a pipe, as `read_stamps` reads those of a table.

    source: where the first of them stands, for messages.
    """
    table = Pipe(pl.DataFrame({name: times}), source)
    return read_stamps(table, name, time_format)


class Pipe(Table):
    """A table whose source says which row it is."""

    def refuse(self, column: str, position: int, problem: str) -> NoReturn:
        raise DataError(f"{self.source}: column '{column}': {problem}")


def within_calendars(table: Table, name: str, column: pl.Series) -> np.ndarray:
    """Dates or stamps in microseconds: [R].  Raises: DataError for one that is too far away to be counted in them."""
    moments = column.cast(pl.Datetime("us"), strict=False)
    if moments.has_nulls():
        table.refuse(name, int(moments.is_null().arg_max() or 0), "the date is beyond all calendars; correct it")
    return moments.to_numpy()


def refuse_missing(table: Table, name: str, column: pl.Series) -> None:
    missing = column.is_null()
    if column.dtype == pl.String:
        missing |= column.str.strip_chars().str.to_lowercase().is_in([*MISSING, "nat"]).fill_null(False)
    elif column.dtype.is_float():
        missing |= column.is_nan().fill_null(False)
    if missing.any():
        place = int(missing.arg_max() or 0)
        table.refuse(name, place, f"there is no time; fill it in or remove the row{if_last(column, place)}")


def whole_steps(table: Table, name: str, column: pl.Series) -> pl.Series:
    """Decimals that are whole numbers, as pandas makes of integers in passing."""
    odd = (column != column.round()) | (column.abs() > 2.0**53)
    if odd.any():
        place = int(odd.arg_max() or 0)
        if may_be_decimal_years(column):
            table.refuse(name, place, f"{column[place]} {DECIMAL_REMEDY}")
        if may_be_serial(column):
            table.refuse(name, place, f"{column[place]} {serial_remedy(column[place])}")
        table.refuse(name, place, f"{column[place]} is not a whole step; give integers, dates or stamps")
    return column.cast(pl.Int64)


def read_text(table: Table, name: str, text: pl.Series, time_format: str | None) -> Stamps:
    if time_format not in (None, "integer"):
        return formatted(table, name, text, str(time_format))
    digits = text.str.contains(INTEGER)
    if time_format == "integer" or digits.all():
        return integers(table, name, text, named=time_format == "integer")
    if text.str.contains(ISO_DATE).all():
        days = text.str.to_date("%Y-%m-%d", strict=False)
        if days.null_count() == 0:
            return dates_of(table, days.to_numpy())
    periods = first_days(table, name, text)
    return iso(table, name, text, refuse_text) if periods is None else dates_of(table, periods)


def dates_of(table: Table, days: np.ndarray) -> Stamps:
    """Days as the table's own kind has them: pandas knows moments alone."""
    return Stamps(days.astype("datetime64[us]"), "datetime" if table.backend == "pandas" else "date")


def integers(table: Table, name: str, text: pl.Series, *, named: bool) -> Stamps:
    """Integer steps; eight digits that all read as a calendar day are asked about first."""
    steps = text.cast(pl.Int64, strict=False)
    if steps.null_count():
        place = int(steps.is_null().arg_max() or 0)
        table.refuse(name, place, f"'{text[place]}' is not a whole step; give integers of up to 18 digits")
    if not named and text.str.contains(COMPACT).all():
        table.refuse(
            name,
            0,
            f"'{text[0]}' may be a date or a step; pass time_format='%Y%m%d', or time_format='integer' for steps",
        )
    if not named and CALLED_DATE.search(name) and may_be_serial(steps):
        table.refuse(name, 0, f"'{text[0]}' {serial_remedy(steps[0])}, or pass time_format='integer' for steps")
    return Stamps(steps.to_numpy(), "integer")


def may_be_serial(column: pl.Series) -> bool:
    """Whether all are numbers as a spreadsheet keeps the dates of our time."""
    numbers = column.cast(pl.Float64, strict=False)
    return bool(numbers.is_between(*SERIAL).fill_null(False).all())


def serial_remedy(number: float) -> str:
    day = np.datetime64("1899-12-30") + int(number)
    return f"may be a spreadsheet's number for {day}; write the dates out, {day}"


def formatted(table: Table, name: str, text: pl.Series, time_format: str) -> Stamps:
    """Text in the form that the user gave; %Y and %Y-%m mean the first day of the year or month."""
    written, pattern = text, time_format
    if not re.search(r"%[-_0]?[djeDFxsc+]", pattern):
        written, pattern = written + " 01", pattern + " %d"
    if not re.search(r"%[-_0]?[mbBhjDFxsc+]", pattern):
        written, pattern = written + " 01", pattern + " %m"
    zoned = "%z" in pattern or "%:z" in pattern or "%#z" in pattern
    clock = CLOCK.search(time_format) is not None
    try:
        moments = written.str.strptime(pl.Datetime("us") if clock else pl.Date, pattern, strict=False)
    except pl.exceptions.PolarsError as error:
        raise DataError(
            f"{table.source}: column '{name}': time_format='{time_format}' is not understood; "
            "use the codes of strptime, such as '%d/%m/%Y %H:%M'"
        ) from error
    if moments.null_count():
        place = int(moments.is_null().arg_max() or 0)
        problem = f"'{text[place]}' is not a time as '{time_format}' says; correct it or time_format="
        table.refuse(name, place, problem + if_last(text, place))
    if zoned and clock:
        moments = moments.dt.replace_time_zone(None)
    kind = "datetime" if clock or table.backend == "pandas" else "date"
    return Stamps(moments.cast(pl.Datetime("us")).to_numpy(), kind, "UTC" if zoned and clock else None)


def iso(table: Table, name: str, text: pl.Series, refuse: Callable[[Table, str, pl.Series, int], None]) -> Stamps:
    """ISO dates and stamps, with or without an offset from UTC: all rows or none.

    refuse: says why a cell is no time, by its place, and how to write it.
    """
    fields = text.str.extract_groups(ISO).struct.unnest()
    year, month, day, hour, minute, second = (
        fields[f"{n}"].cast(pl.Int64).fill_null(int(n == 3)).to_numpy() for n in range(1, 7)
    )
    fraction = fields["7"].fill_null("0").str.pad_end(6, "0").str.slice(0, 6).cast(pl.Int64).to_numpy()
    months = (year - 1970) * 12 + month - 1
    first = months.astype("datetime64[M]")
    length = ((first + 1).astype("datetime64[D]") - first.astype("datetime64[D]")).astype(np.int64)
    good = (month >= 1) & (month <= 12) & (day >= 1) & (day <= length) & (hour < 24) & (minute < 60) & (second < 60)
    good &= (year >= 1) & ~fields["1"].is_null().to_numpy()
    good &= ~(fields["3"].is_null() & fields["4"].is_not_null()).to_numpy()  # a clock needs its day
    if not good.all():
        refuse(table, name, text, int(np.argmin(good)))
    days = first.astype("datetime64[D]").astype("datetime64[us]").astype(np.int64) // 86_400_000_000 + day - 1
    micros = ((days * 24 + hour) * 60 + minute) * 60_000_000 + second * 1_000_000 + fraction
    zone, minutes = offsets(table, name, text, fields["8"])
    values = (micros - minutes * 60_000_000).astype("datetime64[us]")
    kind = "datetime" if table.backend == "pandas" or fields["4"].is_not_null().any() else "date"
    return Stamps(values, kind, zone)


def offsets(table: Table, name: str, text: pl.Series, written: pl.Series) -> tuple[str | None, np.ndarray]:
    """The zone's name and the minutes from UTC of each row; one fixed offset keeps its name, several become UTC."""
    there = written.is_not_null().to_numpy()
    if not there.any():
        return None, np.zeros(len(there), dtype=np.int64)
    if not there.all():
        place = int(np.argmax(there != there[0]))
        without, other = (place, 0) if there[0] else (0, place)
        table.refuse(
            name,
            without,
            f"'{text[without]}' has no time zone, but {table.row(other)} has one ('{text[other]}'); "
            "give every stamp an offset, or none",
        )
    known = {str(zone): offset_minutes(str(zone)) for zone in written.unique()}
    minutes = written.replace_strict(known, return_dtype=pl.Int64).to_numpy()
    distinct = set(known.values())
    return offset_name(distinct.pop()) if len(distinct) == 1 else "UTC", minutes


def refuse_text(table: Table, name: str, text: pl.Series, place: int) -> None:
    """Say why a cell is no time, and how to write it."""
    if may_be_decimal_years(text):
        table.refuse(name, place, f"'{text[place]}' {DECIMAL_REMEDY}")
    if may_be_serial(text):
        table.refuse(name, place, f"'{text[place]}' {serial_remedy(float(text[place]))}")
    digits = text.str.contains(INTEGER)
    if digits.sum() > 0.5 * len(text):
        place = int((~digits).arg_max() or 0)
        table.refuse(name, place, f"'{text[place]}' is not a whole step as the others are; correct it")
    cell = text[place]
    if ways := re.match(THREE_PARTS, cell):
        refuse_order(table, name, text, place, ways)
    if re.fullmatch(INTEGER, cell):
        table.refuse(name, place, f"'{cell}' is a number among dates; write all times alike")
    problem = f"'{cell}' is not a date; write it as 2021-01-31, or pass time_format="
    table.refuse(name, place, problem + if_last(text, place))


def if_last(text: pl.Series, place: int) -> str:
    """What else may be done about the last row of several."""
    return "; the last row: remove it if it holds totals" if 0 < place == len(text) - 1 else ""


def refuse_order(table: Table, name: str, text: pl.Series, place: int, ways: re.Match[str]) -> None:
    """Say in which order day, month and year stand in 13/04/2021, or ask where it is open; nothing for what is no date.

    ways: the cell by THREE_PARTS.
    """
    cell, fits = text[place], fitting_orders(text)
    if not any(fits.row(place)):
        return
    possible = [one for one in ORDERS if fits[one].all()] or ["day-first", "month-first"]
    code = {"d": "%d", "m": "%m", "y": "%Y" if len(ways[5]) == 4 else "%y"}
    form = "{}" + ways[2] + "{}" + ways[4] + "{}" + clock_format(cell[ways.end() :])
    remedy = " or ".join(f"time_format='{form.format(*(code[part] for part in ORDERS[one]))}'" for one in possible)
    if len(possible) > 1:
        table.refuse(name, place, f"'{cell}' may be {' or '.join(possible)}; pass {remedy}")
    sure = fits.sum_horizontal() == 1
    by = "" if sure[place] or not sure.any() else f" as '{text[int(sure.arg_max() or 0)]}' is"
    table.refuse(name, place, f"'{cell}' is {possible[0]}{by}; pass {remedy}")


def fitting_orders(text: pl.Series) -> pl.DataFrame:
    """In which of ORDERS each cell is a date: columns of true and false, true for what has not three parts."""
    parts = text.str.extract_groups(THREE_PARTS).struct.unnest()
    numbers = [parts[group].cast(pl.Int64) for group in "135"]
    fits = {}
    for one, order in ORDERS.items():
        fits[one] = numbers[order.index("m")].is_between(1, 12) & numbers[order.index("d")].is_between(1, 31)
    fits["year-first"] &= parts["1"].str.len_bytes() == 2
    return pl.DataFrame({one: good.fill_null(True) for one, good in fits.items()})


def clock_format(text: str) -> str:
    """How the time of day behind a date is written: ' 17:30' as ' %H:%M'; nothing for what is none."""
    found = re.fullmatch(r" \d{1,2}:\d{2}(:\d{2})?(\.\d+)?(?:(\s?)[AaPp][Mm])?", text)
    if found is None:
        return ""
    seconds, fraction, blank = found.groups()
    half = "" if blank is None else f"{blank}%p"
    return f" {'%I' if half else '%H'}:%M{':%S' if seconds else ''}{'%.f' if fraction else ''}{half}"

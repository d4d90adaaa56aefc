"""Times that name a period, against pandas' periods and ISO weeks."""

from datetime import date, datetime

import numpy as np
import pandas as pd
import polars as pl
import pytest

import stepahead as sa
from stepahead.errors import DataError
from stepahead.period import first_day


def times_of(cells: list[str], **reading: str) -> list[str]:
    panel = sa.read(pl.DataFrame({"ds": cells, "y": np.arange(float(len(cells)))}), **reading)
    return panel.times.astype("datetime64[D]").astype(str).tolist()


@pytest.mark.parametrize("form", ["{y} Q{q}", "{y}-Q{q}", "{y}Q{q}", "Q{q} {y}", "Q{q}/{y}", "{y} q{q}"])
def test_quarters_are_those_of_pandas(form: str) -> None:
    periods = pd.period_range("1997Q3", periods=9, freq="Q")
    cells = [form.format(y=p.year, q=p.quarter) for p in periods]
    assert times_of(cells) == [str(p.start_time.date()) for p in periods]


@pytest.mark.parametrize("form", ["%Y %b", "%Y-%B", "%b %Y", "%B-%Y", "%YM%m", "%Y M%m"])
def test_months_are_those_of_pandas(form: str) -> None:
    days = pd.date_range("1986-11-01", periods=26, freq="MS")
    assert times_of([day.strftime(form) for day in days]) == [str(day.date()) for day in days]


@pytest.mark.parametrize("form", ["{} W{:02d}", "{}-W{:02d}", "{}W{:02d}", "{} W{}"])
def test_weeks_begin_on_the_monday_of_iso(form: str) -> None:
    mondays = [date(2020, 12, 14 + 7 * i) if i < 3 else date(2021, 1, 4 + 7 * (i - 3)) for i in range(5)]
    cells = [form.format(*day.isocalendar()[:2]) for day in mondays]
    assert "53" in cells[2]
    assert times_of(cells) == [day.isoformat() for day in mondays]


@pytest.mark.parametrize("step", ["Q", "M", "W", "W-WED"])
def test_periods_of_pandas_are_read(step: str) -> None:
    periods = pd.period_range("2021-01", periods=5, freq=step)
    panel = sa.read(pd.DataFrame({"ds": periods, "y": np.arange(5.0)}))
    np.testing.assert_array_equal(panel.times, periods.start_time.to_numpy().astype("datetime64[us]"))


@pytest.mark.parametrize(
    "cell",
    [
        *("1998 Q1", "1998-q4", "1998Q2", "Q3 1998", "Q3/1998", "1998 Jan", "1998-December", "sept 1998"),
        *("1998M2", "1998 M12", "2020 W53", "2021W7", "2021-02-01/2021-02-07"),
    ],
)
def test_one_cell_is_read_as_a_column_is(cell: str) -> None:
    assert [str(first_day(f" {cell} "))] == times_of([cell])


@pytest.mark.parametrize(
    "cell", ["1998 Q5", "1998 Foo", "2021 W53", "1998 M13", "2021-13-01/2021-13-07", "1998", "", "Q1"]
)
def test_one_cell_that_names_no_period_is_none(cell: str) -> None:
    assert first_day(cell) is None


def test_periods_step_by_months_and_weeks_and_have_their_seasons() -> None:
    quarters = pl.DataFrame({"ds": [f"{2000 + i // 4} Q{i % 4 + 1}" for i in range(12)], "y": np.arange(12.0)})
    assert sa.read(quarters).frequency.seasons == (4,)
    weeks = pl.DataFrame({"ds": [f"2020 W{i + 1:02d}" for i in range(12)], "y": np.arange(12.0)})
    assert sa.read(weeks).frequency.seasons == (52,)
    assert sa.read(quarters.to_pandas()).schema.time_kind == "datetime"
    assert sa.read(quarters).schema.time_kind == "date"


@pytest.mark.parametrize("month", [1, 3, 12])
def test_decimal_years_are_read_when_they_are_named(month: int) -> None:
    stamps = [datetime(1960 + (i * month) // 12, (i * month) % 12 + 1, 1) for i in range(20)]
    numbers = [round(day.year + (day.month - 1) / 12, 4) for day in stamps]
    for column in (numbers, [f"{number:.4f}" for number in numbers]):
        frame = pl.DataFrame({"ds": column, "y": np.arange(20.0)})
        panel = sa.read(frame, time_format="decimal_year")
        assert panel.times.tolist() == stamps
        if month < 12:  # whole years may be steps
            with pytest.raises(DataError, match=r"row [01] .*: '?1960.*read it with time_format='decimal_year'"):
                sa.read(frame)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["1998 Q1", "1998 Q5"], "row 1 .*: '1998 Q5' is no period as '1998 Q1' is"),
        (["1998 Jan", "1998 Foo"], "row 1 .*: '1998 Foo' is no period as '1998 Jan' is"),
        (["1998 Foo", "1998 Jan"], "row 0 .*: '1998 Foo' is not a date"),
        (["2021 W53", "2022 W01"], "row 0 .*: '2021 W53' is not a date"),
        (["2021 W52", "2021 W53"], "row 1 .*: '2021 W53' is no period"),
        (["1998 Q1", "1998-04-01"], "row 1 .*: '1998-04-01' is no period"),
        (["1998-01-01", "1998 Q2"], "row 1 .*: '1998 Q2' is not a date"),
        (["１９９８ Q1", "１９９８ Q2"], "row 0 .*: '１９９８ Q1' is not a date"),
        (["0000 Q1", "0000 Q2"], "is not a date"),
    ],
)
def test_what_is_no_period_is_named_with_its_row(cells: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        times_of(cells)


@pytest.mark.parametrize("cell", ["1960.1", "x", "0.5", "99999.25", "inf"])
def test_a_decimal_year_between_two_months_is_refused(cell: str) -> None:
    with pytest.raises(DataError, match=f"row 1 .*: '{cell}' is no year with twelfths"):
        times_of(["1960.0", cell], time_format="decimal_year")
    with pytest.raises(DataError, match=r"row 0 .*: '1991\.119' is not a date; write it as"):
        times_of(["1991.1", "1991.119"][::-1])


@pytest.mark.parametrize("first", [30_000, 44_197, 44_197.25, 59_990])
def test_a_spreadsheets_dates_are_told_as_pandas_reads_them(first: float) -> None:
    table = pd.DataFrame({"date": first + np.arange(9), "y": np.arange(9.0)})
    day = pd.to_datetime(first, unit="D", origin="1899-12-30").date()
    with pytest.raises(DataError, match=rf"'?{first}'? may be a spreadsheet's number for {day}; write the dates out"):
        sa.read(table)
    for name in ("Order_Date", "orderDate", "date2"):
        with pytest.raises(DataError, match="may be a spreadsheet's number"):
            sa.read(table.rename(columns={"date": name}), time=name)


def test_steps_that_a_spreadsheet_would_not_write_for_dates_are_steps() -> None:
    steps = (
        ("date", 1),
        ("date", 2001),
        ("date", 29_999),
        ("ds", 44_197),
        ("last_update", 35_000),
        ("candidates", 35_000),
    )
    for name, first in steps:
        table = pd.DataFrame({name: first + np.arange(9), "y": np.arange(9.0)})
        assert sa.read(table, time=name).times[0] == first
    table = pd.DataFrame({"date": 44_197 + np.arange(9), "y": np.arange(9.0)})
    assert sa.read(table, time_format="integer").times[0] == 44_197

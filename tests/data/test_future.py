"""The table of inputs known ahead: every value found by series and time, or a clear error."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from stepahead.data.future import future_like, read_future
from stepahead.data.panel import Panel
from stepahead.data.read import read, read_like
from stepahead.errors import DataError


def made_panel() -> Panel:
    """Daily series "a" to January 4 and "b" to January 6, with promo and price known ahead."""
    frame = pd.DataFrame(
        {
            "shop": ["a"] * 4 + ["b"] * 6,
            "day": [*pd.date_range("2021-01-01", periods=4), *pd.date_range("2021-01-01", periods=6)],
            "sales": np.arange(10.0),
            "promo": 0.0,
            "price": 1.0,
        }
    )
    return read(frame, series="shop", time="day", target="sales", past=[], future=["promo", "price"])


def made_table() -> pd.DataFrame:
    """Promo 100 and price 200 plus the day of the month; two days for each shop, in disorder, and one day too many."""
    days = pd.to_datetime(["2021-01-08", "2021-01-07", "2021-01-05", "2021-01-06", "2021-01-07"])
    frame = pd.DataFrame({"shop": list("bbaaa"), "day": days})
    return frame.assign(price=200.0 + days.day, promo=100.0 + days.day)


def test_values_are_found_by_series_and_time_and_name():
    panel = made_panel()
    found = read_future(made_table(), panel, panel.frequency, 2)
    assert found.tolist() == [[[105, 205], [106, 206]], [[107, 207], [108, 208]]]


def test_a_panel_is_taken_for_a_table_by_its_names():
    panel = made_panel()
    given = read(made_table(), series="shop", time="day", target="promo", past=["price"])
    found = read_future(given, panel, panel.frequency, 2)
    assert found.tolist() == [[[105, 205], [106, 206]], [[107, 207], [108, 208]]]


def test_a_panel_of_other_inputs_is_refused():
    panel = made_panel()
    given = read(made_table(), series="shop", time="day", target="promo", past=[])
    with pytest.raises(DataError, match="'price'"):
        read_future(given, panel, panel.frequency, 2)


def test_a_column_that_is_not_there_is_named_with_the_remedy():
    panel = made_panel()
    missing = (
        r"no column 'price', which the model needs in future= for the next 2 rows of each series; add it \(there are"
    )
    with pytest.raises(DataError, match=missing):
        read_future(made_table().drop(columns="price"), panel, panel.frequency, 2)
    with pytest.raises(DataError, match=r"no column 'price'.*rename 'Price'"):
        read_future(made_table().rename(columns={"price": "Price"}), panel, panel.frequency, 2)
    with pytest.raises(DataError, match="no column 'shop', which the model needs"):
        read_future(made_table().drop(columns="shop"), panel, panel.frequency, 2)


def test_a_missing_row_is_named_with_series_time_and_remedy():
    panel = made_panel()
    with pytest.raises(DataError, match=r"'promo' is missing for series 'b' at day 2021-01-08.*next 2 steps"):
        read_future(made_table().iloc[1:], panel, panel.frequency, 2)


@pytest.mark.parametrize(
    ("stamp", "named"),
    [("2024-01-22T00:00", "2024-01-22 01:00:00;"), ("2024-01-22T00:00-05:00", "2024-01-22 01:00:00-05:00;")],
)
def test_a_missing_row_is_named_by_the_clocks_of_the_table(stamp: str, named: str):
    table = pd.DataFrame({"ds": pd.date_range(end=stamp, periods=4, freq="h"), "y": range(4), "promo": 0.0})
    panel = read(table, future=["promo"])
    given = pd.DataFrame({"ds": table["ds"][-1:] + pd.Timedelta(hours=2), "promo": 1.0})
    with pytest.raises(DataError, match=f"'promo' is missing for series 'y' at ds {named}"):
        read_future(given, panel, panel.frequency, 2)
    days = read(pl.DataFrame({"ds": ["2024-01-01", "2024-01-02"], "y": [1, 2], "promo": [0, 0]}), future=["promo"])
    given = pl.DataFrame({"ds": ["2024-01-04"], "promo": [0]})
    with pytest.raises(DataError, match="at ds 2024-01-03; future="):
        read_future(given, days, days.frequency, 2)


def test_a_missing_value_is_named():
    panel, table = made_panel(), made_table()
    table.loc[3, "price"] = np.nan
    with pytest.raises(DataError, match=r"'price' is missing for series 'a' at day 2021-01-06"):
        read_future(table, panel, panel.frequency, 2)


def test_a_missing_series_is_named():
    panel, table = made_panel(), made_table()
    with pytest.raises(DataError, match="'promo' is missing for series 'a'"):
        read_future(table[table["shop"] == "b"], panel, panel.frequency, 2)


def test_no_table_at_all_says_what_is_needed():
    panel = made_panel()
    with pytest.raises(
        DataError, match=r"the model needs 'promo', 'price' for the next 2 rows of each series; pass fut"
    ):
        read_future(None, panel, panel.frequency, 2)


def test_one_row_is_enough_for_one_step_of_a_wide_table():
    panel = read(
        pd.DataFrame({"t": range(5), "promo": range(5), "y": np.arange(5.0)}), time="t", target="y", future=["promo"]
    )
    found = read_future(pd.DataFrame({"t": [5], "promo": [9]}), panel, panel.frequency, 1)
    assert found.tolist() == [[[9.0]]]


def test_a_table_that_names_another_series_is_refused_where_the_model_knows_one():
    rows = pd.DataFrame({"ds": range(5), "promo": range(5), "y": np.arange(5.0)})
    panel = read(rows, future=["promo"])
    table = pd.DataFrame({"unique_id": ["b"], "ds": [5], "promo": [9]})
    with pytest.raises(DataError, match="'unique_id' names 'b', the model knows one series, 'y'; give its rows alone"):
        read_future(table, panel, panel.frequency, 1)
    with pytest.raises(DataError, match="'unique_id' names 'b', the model knows one series, 'y'; give its rows alone"):
        read_future(read(table, target="promo"), panel, panel.frequency, 1)
    assert read_future(table.assign(unique_id="y"), panel, panel.frequency, 1).tolist() == [[[9.0]]]


@pytest.mark.parametrize("first", [44_197, 20_210_101])
def test_steps_that_look_like_dates_are_steps_to_a_model_of_steps(first):
    rows = pl.DataFrame({"date": first + np.arange(9), "promo": np.arange(9.0), "y": np.arange(9.0)})
    panel = read(rows, future=["promo"], time_format="integer")
    later = rows.with_columns(pl.col("date") + 9)
    assert read_like(later, panel.schema).times.tolist() == later["date"].to_list()
    assert read_future(later.drop("y"), panel, panel.frequency, 2).tolist() == [[[0.0], [1.0]]]
    with pytest.raises(DataError, match="'2021-01-01' is not a whole step; give integers"):
        read_like(rows.with_columns(date=pl.lit("2021-01-01")), panel.schema)


def test_times_are_read_in_the_form_that_was_given(tmp_path):
    (tmp_path / "t.csv").write_text("day,shop,price,promo\n06/01/2021,a,206,106\n05/01/2021,a,205,105\n")
    panel = made_panel().select("a")
    given = future_like(tmp_path / "t.csv", panel.schema, 2, time_format="%d/%m/%Y")
    assert read_future(given, panel, panel.frequency, 2).tolist() == [[[105, 205], [106, 206]]]
    with pytest.raises(DataError, match="day-first or month-first"):
        read_future(tmp_path / "t.csv", panel, panel.frequency, 2)

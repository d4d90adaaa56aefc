"""A row at each step, against pandas' resampling."""

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

import stepahead as sa
from stepahead.data.calendar import HOUR, Frequency
from stepahead.data.elapsed import elapsed_ahead, elapsed_steps
from stepahead.data.read import read_like
from stepahead.errors import ConfigError, DataError
from stepahead.limits import DAY


@pytest.mark.parametrize("alias", ["h", "15min", "D", "2D", "W-SUN", "B", "MS", "ME", "BME", "QS", "YE"])
@pytest.mark.parametrize("zone", [None, "America/New_York"])
def test_left_out_rows_come_back_missing_as_pandas_has_them(alias: str, zone: str | None) -> None:
    whole = pd.date_range("2024-02-25", periods=40, freq=alias, tz=zone)
    kept = np.delete(np.arange(40), [3, 4, 17, 30])
    frame = pd.DataFrame({"ds": whole[kept], "y": kept.astype(float)})
    panel = sa.read(frame, frequency=alias)
    assert panel.schema.time_zone == zone
    expected = frame.set_index("ds").reindex(whole)
    np.testing.assert_array_equal(panel.y, expected["y"])
    utc = whole.tz_convert("UTC").tz_localize(None) if zone else whole
    np.testing.assert_array_equal(panel.times, utc.to_numpy().astype("datetime64[us]"))


def test_each_series_has_its_own_first_and_last_row() -> None:
    table = pl.DataFrame({"unique_id": list("aaabb"), "ds": [1, 2, 5, 7, 9], "y": [1.0, 2, 5, 7, 9]})
    panel = sa.read(table, frequency=1)
    assert panel.times.tolist() == [1, 2, 3, 4, 5, 7, 8, 9]
    assert panel.offsets.tolist() == [0, 5, 8]
    np.testing.assert_array_equal(panel.y, [1, 2, np.nan, np.nan, 5, 7, np.nan, 9])


def test_inputs_known_ahead_are_those_of_the_row_before() -> None:
    table = pl.DataFrame({"ds": [1, 2, 4], "y": [1.0, 2, 4], "promo": [0.0, 1, 0]})
    np.testing.assert_array_equal(sa.read(table, future=["promo"], frequency="auto").future[:, 0], [0, 1, 1, 0])


def test_a_table_without_gaps_stays_as_it_is() -> None:
    table = pl.DataFrame({"ds": [1, 2, 3], "y": [1.0, 2, 3]})
    np.testing.assert_array_equal(sa.read(table, frequency="auto").past, sa.read(table).past)


def test_a_stamp_between_two_steps_is_named() -> None:
    table = pl.DataFrame({"ds": ["2024-01-01 00:00", "2024-01-01 01:00", "2024-01-01 02:20"], "y": [1.0, 2, 3]})
    with pytest.raises(DataError, match=r"2024-01-01T02:20.* lies between two steps"):
        sa.read(table, frequency="h")


@pytest.mark.parametrize("word", ["fortnight", "0h", "", 3.5])
def test_a_word_that_is_no_frequency_is_refused(word: object) -> None:
    with pytest.raises(ConfigError, match="frequency="):
        sa.read(pl.DataFrame({"ds": ["2024-01-01"], "y": [1.0]}), frequency=word)


def test_elapsed_is_counted_in_steps_within_each_series() -> None:
    times = np.datetime64("2024-01-01", "us") + np.array([0, 1, 3, 100, 104]) * np.timedelta64(1, "h")
    found = elapsed_steps(times, np.array([0, 3, 5]), Frequency("us", HOUR))
    np.testing.assert_allclose(np.exp(found), [1, 1, 2, 1, 4])
    ahead = elapsed_ahead(
        times[-1:], times[-1:, None] + np.array([[1, 2]]) * np.timedelta64(1, "D"), Frequency("us", DAY)
    )
    np.testing.assert_allclose(ahead, 0, atol=1e-12)


@pytest.mark.parametrize("asked", ["auto", "MS"])
def test_a_model_s_table_is_put_on_the_steps_that_it_learned(asked: str, tmp_path: Path) -> None:
    """A gap in the table that is forecast moved every season after it by a step."""
    months = pl.date_range(pl.date(2015, 1, 1), pl.date(2020, 12, 1), interval="1mo", eager=True)
    table = pl.DataFrame({"ds": months, "y": 50 + 10 * np.sin(2 * np.pi * np.arange(72) / 12)})
    holed = table.filter(pl.col("ds") != pl.date(2020, 10, 1))
    learned = sa.read(holed, frequency=asked)
    assert learned.schema.grid == "MS"
    model = sa.Forecaster(horizon=3, season_length=12, missing="mask", max_steps=20, holdout=None).fit(learned)
    from_table = model.predict(holed)
    assert from_table.equals(model.predict(learned))
    assert from_table.equals(model.predict())
    model.save(tmp_path / "m.st")
    assert sa.load(tmp_path / "m.st").predict(holed).equals(from_table)
    off = holed.with_columns(
        ds=pl.when(pl.col("ds") == pl.date(2020, 12, 1)).then(pl.date(2020, 12, 15)).otherwise("ds")
    )
    with pytest.raises(DataError, match="2020-12-15"):
        model.predict(off)


def test_rows_taken_as_they_are_stay_so_and_integers_keep_their_step() -> None:
    table = pl.DataFrame({"ds": [0, 10, 30, 40], "y": [1.0, 2, 4, 5]})
    assert sa.read(table).schema.grid is None
    learned = sa.read(table, frequency=10)
    assert (learned.schema.grid, learned.n_rows) == (10, 5)
    assert read_like(table, learned.schema).n_rows == 5
    assert read_like(table, sa.read(table).schema).n_rows == 4

"""A note says which steps a table leaves out, and none where only holidays are."""

from datetime import date

import numpy as np
import pandas as pd
import polars as pl
import pytest

import stepahead as sa
from stepahead.data.grid import parse_frequency
from stepahead.data.panel import Panel
from stepahead.data.skipped import HOLIDAYS, left_out_between, usual_step
from stepahead.data.steps import word_of


def notes_of(times: object, **columns: object) -> tuple[str, ...]:
    frame = pd.DataFrame({"ds": times, "y": np.arange(len(times)), **columns})  # type: ignore[arg-type]
    return sa.read(frame).schema.notes


def test_days_left_out_are_counted_with_the_first_and_what_to_do() -> None:
    days = pd.date_range("2020-01-01", periods=730)
    (note,) = notes_of(days.delete(np.arange(123, 138)))
    assert note == (
        "'ds' leaves out 15 steps, the first after 2020-05-02, and rows are taken for neighbours; read with "
        "frequency='D' and fit with missing='mask', or fit the panel recipe with elapsed=True"
    )
    assert notes_of(days) == ()


def test_the_first_series_is_named_and_the_others_counted() -> None:
    days = pd.date_range("2020-01-01", periods=60)
    times = [*days, *days.delete([7, 9]), *days.delete(5)]
    names = ["a"] * 60 + ["b"] * 58 + ["c"] * 59
    (note,) = notes_of(times, unique_id=names)
    assert "leaves out 3 steps, the first after 2020-01-07 of series 'b' and 1 more," in note


@pytest.mark.parametrize("alias", ["h", "15min", "D", "2D", "W-SUN", "MS", "ME", "BME", "QS", "YE"])
@pytest.mark.parametrize("zone", [None, "America/New_York"])
def test_every_frequency_is_told_and_the_remedy_mends_it(alias: str, zone: str | None) -> None:
    whole = pd.date_range("2024-02-25", periods=400 if alias == "h" else 40, freq=alias, tz=zone)
    assert notes_of(whole) == ()
    frame = pd.DataFrame({"ds": whole.delete([3, 4, 17]), "y": np.arange(len(whole) - 3.0)})
    panel = sa.read(frame)
    assert "leaves out 3 steps" in panel.schema.notes[0]
    word = word_of(panel.frequency)
    assert f"frequency='{word}'" in panel.schema.notes[0]
    mended = sa.read(frame, frequency=word)
    assert mended.schema.notes == ()
    assert mended.n_rows == len(whole)


def test_business_days_may_have_holidays() -> None:
    assert sa.read(sa.samples.path("goog"), time="date", target="close").schema.notes == ()
    days = pd.bdate_range("2021-01-01", periods=300)
    golden_week = np.arange(193, 198)
    assert notes_of(days.delete([0, 100, 150, *golden_week])) == ()
    (note,) = notes_of(days.delete(np.arange(100, 115)))
    assert "leaves out 15 steps" in note
    assert "frequency='B'" in note


def test_months_on_shifting_days_skip_nothing() -> None:
    (note,) = notes_of([date(2020 + m // 12, m % 12 + 1, 5 + m % 3) for m in range(36)])
    assert "leaves out" not in note
    assert note.endswith("(28 to 32 days from row to row); forecasts are dated 32D apart")


def test_weeks_that_end_early_for_a_holiday_skip_nothing() -> None:
    fridays = pd.date_range("2021-01-01", periods=60, freq="W-FRI").to_series()
    fridays.iloc[13] -= pd.Timedelta(days=1)
    assert notes_of(fridays.to_list()) == ()


def test_times_without_a_step_are_told_so() -> None:
    rng = np.random.default_rng(0)
    times = np.datetime64("2021-01-01", "us") + np.cumsum(rng.integers(1, 10**9, size=300)).astype("timedelta64[us]")
    (note,) = notes_of(times)
    assert "keeps to no step" in note
    assert "elapsed=True" in note


def test_integer_times_are_taken_as_they_are() -> None:
    assert sa.read(pl.DataFrame({"ds": [1, 2, 3, 7], "y": [1.0, 2, 3, 4]})).schema.notes == ()


@pytest.mark.parametrize("word", ["s", "15min", "h", "D", "W", "2W", "B", "MS", "ME", "BME", "QS", "2QE", "YS", "YE"])
def test_a_word_is_read_back(word: str) -> None:
    days = Panel.from_arrays(np.arange(2.0), times=np.array(["2021-01-01", "2021-01-02"], dtype="datetime64[us]"))
    assert word_of(parse_frequency(word, days)) == word


@pytest.mark.parametrize(("alias", "said"), [("BMS", "28 to 33 days"), ("WOM-2MON", "28 to 35 days")])
def test_a_calendar_that_is_not_known_is_told(alias: str, said: str) -> None:
    (note,) = notes_of(pd.date_range("2019-10-20", periods=120, freq=alias))
    assert note.startswith(f"'ds' keeps to no known calendar ({said} from row to row); forecasts are dated ")


@pytest.mark.parametrize("alias", ["h", "15min", "D", "2D", "W-SUN", "B", "MS", "ME", "BME", "QS", "YE"])
@pytest.mark.parametrize("zone", [None, "America/New_York"])
def test_two_live_rows_leave_out_what_a_table_of_them_does(alias: str, zone: str | None) -> None:
    stamps = pd.date_range("2023-11-01", periods=40, freq=alias, tz=zone)
    panel = sa.read(pd.DataFrame({"ds": stamps, "y": np.arange(40.0)}))
    times = panel.times.view(np.int64).tolist()
    for later in range(1, 20):
        for first in range(20):
            before, time = times[first], times[first + later]
            told = later - 1 if alias != "B" or later > HOLIDAYS + 1 else 0
            found = left_out_between(before, time, panel.frequency)
            assert found == told
            assert not found or time - before > usual_step(panel.frequency)
            assert found or time - before <= usual_step(panel.frequency) or alias == "B"

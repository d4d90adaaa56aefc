"""Frequencies against pandas' own date offsets."""

import numpy as np
import pandas as pd
import pytest

from stepahead.data.calendar import HOUR, Frequency, infer_frequency
from stepahead.data.panel import Panel
from stepahead.limits import DAY

KNOWN = {  # pandas alias -> the Frequency, the seasons that it suggests
    "D": (Frequency("us", DAY), (7,)),
    "B": (Frequency("business"), (5,)),
    "W-SUN": (Frequency("us", 7 * DAY), (52,)),
    "W-WED": (Frequency("us", 7 * DAY), (52,)),
    "MS": (Frequency("month", 1), (12,)),
    "ME": (Frequency("month", 1, month_end=True), (12,)),
    "QS": (Frequency("month", 3), (4,)),
    "QE": (Frequency("month", 3, month_end=True), (4,)),
    "YS": (Frequency("month", 12), ()),
    "BME": (Frequency("month", 1, month_end=True, business=True), (12,)),
    "YE": (Frequency("month", 12, month_end=True), ()),
    "h": (Frequency("us", HOUR), (24, 168)),
    "30min": (Frequency("us", HOUR // 2), (48, 336)),
    "15min": (Frequency("us", HOUR // 4), (96, 672)),
    "2D": (Frequency("us", 2 * DAY), ()),
}


def stamps(alias: str, n: int, start: str = "2019-11-03") -> np.ndarray:
    return pd.date_range(start, periods=n, freq=alias).to_numpy().astype("datetime64[us]")


def frequency_of(times: np.ndarray) -> Frequency:
    return infer_frequency(times, np.array([0, len(times)]))


@pytest.mark.parametrize("alias", KNOWN)
def test_frequency_and_seasons_are_inferred(alias):
    found = frequency_of(stamps(alias, 30))
    assert (found, found.seasons) == KNOWN[alias]


@pytest.mark.parametrize("alias", KNOWN)
@pytest.mark.parametrize("n", [8, 13, 30])
def test_stamps_go_on_as_pandas_would(alias, n):
    times = stamps(alias, n + 20)
    ahead = frequency_of(times[:n]).after(times[n - 1 : n], 20)
    assert (ahead[0] == times[n:]).all()
    assert ahead.dtype == times.dtype


def test_the_hour_of_business_days_and_months_is_kept():
    for alias in ("B", "MS", "ME"):
        times = stamps(alias, 20) + np.timedelta64(16, "h")
        assert (frequency_of(times[:12]).after(times[11:12], 8)[0] == times[12:]).all(), alias


@pytest.mark.parametrize("day", [5, 15, 28])
def test_months_keep_their_day(day):
    times = np.array([np.datetime64(f"2020-{m:02d}-{day:02d}", "us") for m in range(1, 13)])
    assert (frequency_of(times[:6]).after(times[5:6], 6)[0] == times[6:]).all()


def test_a_leap_day_is_a_month_end():
    frequency = frequency_of(stamps("ME", 6, "2023-09-01"))
    last = np.array(["2024-01-31"], dtype="datetime64[us]")
    assert frequency.after(last, 2)[0].astype("datetime64[D]").astype(str).tolist() == ["2024-02-29", "2024-03-31"]


def test_holidays_do_not_hide_business_days():
    times = np.delete(stamps("B", 40), [3, 17, 18])
    assert frequency_of(times) == Frequency("business")


def test_missing_days_do_not_hide_a_daily_step():
    times = np.delete(stamps("D", 40), [5, 6, 7, 20])
    assert frequency_of(times) == Frequency("us", DAY)


def test_an_irregular_series_takes_its_commonest_step_and_the_smaller_at_a_tie():
    hours = np.array([0, 1, 4, 5, 9, 10, 12, 14, 16, 20])  # steps 1 3 1 4 1 2 2 2 4
    times = np.datetime64("2020-01-01", "us") + hours * np.timedelta64(1, "h")
    assert frequency_of(times) == Frequency("us", HOUR)


@pytest.mark.parametrize(("steps", "count"), [([1, 2, 3], 1), ([10, 20, 30, 40], 10), ([5], 1), ([0, 1, 3, 5], 2)])
def test_integers_step_by_their_commonest_difference(steps, count):
    assert frequency_of(np.array(steps)) == Frequency("step", count)
    assert frequency_of(np.array(steps)).after(np.array(steps[-1:]), 2).tolist() == [
        [steps[-1] + count, steps[-1] + 2 * count]
    ]


def test_a_single_date_steps_by_days():
    assert frequency_of(stamps("D", 1)) == Frequency("us", DAY)


def test_steps_across_series_do_not_count():
    daily, offsets = stamps("D", 6), np.array([0, 2, 4, 6])
    times = np.concatenate([daily[:2], daily[:2], daily[:2]])  # the crossings go back one day each
    assert infer_frequency(times, offsets) == Frequency("us", DAY)


def test_many_series_share_one_frequency():
    months = stamps("MS", 24)
    panel = Panel.from_arrays(np.arange(48.0), times=np.tile(months, 2), ids=("a", "b"), offsets=[0, 24, 48])
    assert panel.frequency == Frequency("month", 1)
    ahead = panel.frequency.after(months[[3, 23]], 1)
    assert ahead.astype("datetime64[D]").astype(str).tolist() == [["2020-04-01"], ["2021-12-01"]]


ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"]
CHANGES = ["2024-03-20", "2024-10-20"]  # the clocks go forward soon after, and back


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("start", CHANGES)
@pytest.mark.parametrize("alias", ["D", "B", "W-SUN", "MS", "ME", "BME", "h"])
def test_days_and_months_are_those_of_the_local_clock(alias: str, start: str, zone: str) -> None:
    local = pd.date_range(start, periods=60, freq=alias, tz=zone)
    times = local.tz_convert("UTC").tz_localize(None).to_numpy().astype("datetime64[us]")
    known = 7 if alias != "h" else 15
    frequency = infer_frequency(times[:known], np.array([0, known]), zone)
    ahead = frequency.after(times[known - 1 : known], 60 - known)[0]
    np.testing.assert_array_equal(ahead, times[known:])


def test_steps_of_hours_stay_in_utc_across_a_change_of_the_clocks() -> None:
    times = np.datetime64("2024-03-30T00", "us") + np.arange(10) * np.timedelta64(6, "h")
    frequency = infer_frequency(times, np.array([0, 10]), "Europe/Berlin")
    assert frequency == Frequency("us", 6 * HOUR)
    np.testing.assert_array_equal(np.diff(frequency.after(times[-1:], 8)[0]).astype(int), 6 * HOUR)


def test_midnights_in_utc_stay_there_whatever_the_zone() -> None:
    times = stamps("D", 30, "2024-03-20")
    assert infer_frequency(times, np.array([0, 30]), "Europe/Berlin").zone is None


def test_an_hour_that_the_clocks_leave_out_is_the_one_after_it() -> None:
    local = pd.DatetimeIndex(["2024-03-28 02:30", "2024-03-29 02:30", "2024-03-30 02:30"]).tz_localize("Europe/Berlin")
    times = local.tz_convert("UTC").tz_localize(None).to_numpy().astype("datetime64[us]")
    ahead = Frequency("us", DAY, zone="Europe/Berlin").after(times[-1:], 2)[0]
    assert ahead.astype(str).tolist() == ["2024-03-31T01:30:00.000000", "2024-04-01T00:30:00.000000"]

"""What the calendar says of a stamp, against the standard library."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from stepahead.data.calendar import DAY, Frequency
from stepahead.data.clock import checked_holidays, clock_names, clock_values
from stepahead.data.panel import Schema
from stepahead.data.zones import local_times
from stepahead.errors import ConfigError


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "UTC"])
def test_local_hours_follow_daylight_saving(zone: str) -> None:
    times = np.datetime64("2024-03-30T00", "us") + np.arange(60 * 24) * np.timedelta64(1, "h") * 6
    found = local_times(times, zone).astype("datetime64[h]").astype(np.int64) % 24
    expected = [datetime.fromtimestamp(int(t) // 10**6, UTC).astimezone(ZoneInfo(zone)).hour for t in times.astype(int)]
    np.testing.assert_array_equal(found, expected)


def test_fixed_offsets_count_too() -> None:
    noon = np.array(["2024-01-01T12:00"], dtype="datetime64[us]")
    assert local_times(noon, "+05:30")[0] == np.datetime64("2024-01-01T17:30")


def test_weekdays_and_holidays_are_those_of_the_local_day() -> None:
    times = np.array(
        ["2024-05-01T23:30", "2024-05-02T10:00"], dtype="datetime64[us]"
    )  # the first is Thursday in Berlin
    values = clock_values(times, ("weekday.2", "weekday.3", "holiday"), "Europe/Berlin", ("2024-05-02",))
    np.testing.assert_array_equal(values, [[0, 1, 1], [0, 1, 1]])


def test_names_are_what_the_frequency_can_tell_apart() -> None:
    schema = Schema(time_kind="datetime")
    kinds = {f.partition(".")[0] for f in clock_names(Frequency("us", DAY), schema, ())}
    assert kinds == {"weekday", "month"}
    assert {f.partition(".")[0] for f in clock_names(Frequency("month"), schema, ("2024-01-01",))} == {
        "month",
        "holiday",
    }
    assert clock_names(Frequency("us", DAY // 24), schema, ())[0] == "hour.sin1"


def test_what_is_no_date_is_refused() -> None:
    assert checked_holidays(["2024-01-02", datetime(2024, 1, 1)]) == ("2024-01-01", "2024-01-02")
    with pytest.raises(ConfigError, match="calendar="):
        checked_holidays(["christmas"])


@pytest.mark.parametrize(
    "bad", [None, pd.NaT, np.datetime64("NaT"), 20241225, 1.5, True, "", "christmas", b"2024-12-25"]
)
def test_holidays_that_are_no_dates_are_refused_one_by_one(bad: object) -> None:
    with pytest.raises(ConfigError, match=r"^calendar=.* holds no date; give holidays as dates"):
        checked_holidays(["2024-01-01", bad])


@pytest.mark.parametrize("whole", [None, 5, "2024-12-25", pd.NaT])
def test_a_calendar_that_is_no_list_of_dates_is_refused(whole: object) -> None:
    with pytest.raises(ConfigError, match=r"^calendar=.* must be True, False or the dates of holidays"):
        checked_holidays(whole)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York"])
def test_holidays_with_a_zone_are_days_there(zone: str) -> None:
    midnight = datetime(2024, 12, 25, tzinfo=ZoneInfo(zone))
    for given in (midnight, pd.Timestamp(midnight), midnight.isoformat()):
        assert checked_holidays([given]) == ("2024-12-25",), given
    assert checked_holidays(pd.date_range("2024-12-25", periods=2, tz=zone)) == ("2024-12-25", "2024-12-26")
    assert checked_holidays(np.array(["2024-12-25T10"], dtype="datetime64[ns]")) == ("2024-12-25",)

"""What the calendar says of a stamp, against the standard library."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from stepahead.data.clock import checked_holidays, clock_names, clock_values
from stepahead.data.panel import Panel
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


def kinds_of(step: str, rows: int, holidays: tuple[str, ...] = ()) -> list[str]:
    """What the clocks tell of so many rows a step apart."""
    times = pd.date_range("2023-01-02", periods=rows, freq=step).to_numpy().astype("datetime64[us]")
    names = clock_names(Panel.from_arrays(np.zeros(rows), times=times), holidays)
    return list(dict.fromkeys(name.partition(".")[0] for name in names))


def test_names_are_what_the_step_can_tell_apart() -> None:
    assert kinds_of("D", 800) == ["weekday", "month"]
    assert kinds_of("MS", 30, ("2024-01-01",)) == ["month", "holiday"]
    assert kinds_of("h", 24 * 800) == ["hour", "weekday", "month"]
    assert kinds_of("B", 600) == ["weekday", "month"]
    assert kinds_of("W", 110) == ["month"]


@pytest.mark.parametrize(
    ("step", "rows", "last_without"),
    [("h", 48, 47), ("h", 336, 335), ("D", 14, 13), ("D", 730, 729), ("B", 10, 9), ("MS", 24, 23), ("W", 105, 104)],
)
def test_a_cycle_counts_from_its_second_time_on(step: str, rows: int, last_without: int) -> None:
    assert len(kinds_of(step, rows)) == len(kinds_of(step, last_without)) + 1


def test_of_several_series_one_that_is_long_enough_is() -> None:
    days = np.datetime64("2023-01-01", "us") + np.arange(20) * np.timedelta64(1, "D")
    panel = Panel.from_arrays(np.zeros(25), times=np.r_[days[:5], days], ids=("a", "b"), offsets=[0, 5, 25])
    assert {name.partition(".")[0] for name in clock_names(panel, ())} == {"weekday"}
    assert clock_names(panel.select(["a"]), ()) == ()
    with pytest.raises(ConfigError, match="counts steps"):
        clock_names(Panel.from_arrays(np.zeros(5)), ())


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

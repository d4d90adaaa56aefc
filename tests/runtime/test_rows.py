"""The door for live rows: what no network and no calendar can hold is refused before anything moves."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
import pytest

import stepahead as sa
from stepahead.data.calendar import Frequency
from stepahead.data.panel import check_size
from stepahead.errors import DataError
from stepahead.limits import LARGEST
from stepahead.runtime.rows import Door

STEPS = sa.Panel.from_arrays(np.arange(20.0))


@pytest.fixture(scope="module")
def dated() -> sa.Panel:
    times = np.datetime64("2024-01-01T00") + np.arange(20).astype("timedelta64[h]")
    return sa.Panel.from_arrays(np.arange(20.0), times=times)


def door(panel: sa.Panel) -> Door:
    frequency = Frequency() if panel is STEPS else Frequency("us", 3_600_000_000)
    return Door(panel.schema, frequency, 1, gaps=False, reach=8)


@pytest.mark.parametrize("value", [1e30, -1e308, 10**400, np.float64(1e200)])
def test_a_value_beyond_what_the_network_holds_is_refused(value: Any) -> None:
    with pytest.raises(DataError, match="column 'y' is beyond 1e\\+30"):
        door(STEPS).read({"y": value}, "s", 19)


def test_a_table_and_a_live_row_are_bounded_alike() -> None:
    below = np.nextafter(LARGEST, 0)
    check_size(sa.Panel.from_arrays([0.0, below]))
    door(STEPS).read({"y": below}, "s", 19)
    with pytest.raises(DataError, match="is beyond 1e\\+30"):
        check_size(sa.Panel.from_arrays([0.0, LARGEST]))
    with pytest.raises(DataError, match="is beyond 1e\\+30"):
        door(STEPS).read({"y": LARGEST}, "s", 19)


def test_a_value_just_within_is_taken() -> None:
    assert door(STEPS).read({"y": 9.9e29}, "s", 19).past == (9.9e29,)


@pytest.mark.parametrize("step", [2**63 - 1, 2**64, -(10**30)])
def test_a_step_after_which_none_can_follow_is_refused(step: int) -> None:
    with pytest.raises(DataError, match="at most 2\\^62"):
        door(STEPS).read({"y": 1.0, "ds": step}, "s", 19)


@pytest.mark.parametrize(
    "stamp", ["9999-12-31", datetime(9001, 1, 1), np.datetime64("NaT"), np.datetime64("20000-01-01")]
)
def test_a_time_that_cannot_be_gone_on_from_is_refused(dated: sa.Panel, stamp: Any) -> None:
    with pytest.raises(DataError, match="of the years 1 to 9000"):
        door(dated).read({"y": 1.0, "ds": stamp}, "s", 0)


def test_a_period_is_its_first_day_where_the_model_learned_from_dates(dated: sa.Panel) -> None:
    days = sa.Panel.from_arrays(np.arange(8.0), times=np.datetime64("2000-01-01") + 90 * np.arange(8))
    quarters = Door(replace(days.schema, time_kind="date"), Frequency("month", 3), 1, gaps=False, reach=8)
    assert quarters.time_of("2005 Q2", "s") == quarters.time_of("2005-04-01", "s")
    with pytest.raises(DataError, match="'2005 Q5' must be a date or time"):
        quarters.time_of("2005 Q5", "s")
    with pytest.raises(DataError, match="'2005 Q2' must be a date or time"):
        door(dated).time_of("2005 Q2", "s")


ISO_WRITTEN = [
    "2017-3-2", "2017/03/02", " 2017-03-02 ", "2017-03", "2017/3", "2017/03/02 10:00", "2017-03-02 9:05:07,25",
    "2017-03-02T10:00:00.123456789",
]  # fmt: skip


@pytest.mark.parametrize("written", ISO_WRITTEN)
def test_a_live_row_reads_the_times_that_a_table_may_have(dated: sa.Panel, written: str) -> None:
    table = sa.read(pl.DataFrame({"ds": [written], "y": [1.0]}))
    assert door(dated).time_of(written, "s") == table.times.view(np.int64)[0]
    for zone in ("Z", " UTC", "+05:30", "-0800", "+01"):
        if ":" in written:
            zoned = sa.read(pl.DataFrame({"ds": [written.strip() + zone], "y": [1.0]}))
            there = Door(replace(dated.schema, time_zone="UTC"), Frequency(), 1, gaps=False, reach=8)
            assert there.time_of(written.strip() + zone, "s") == zoned.times.view(np.int64)[0]


@pytest.mark.parametrize("written", ["2017-13", "2017-02-30", "2017-03 10:00", "2017-03-02 25:00", "17/03/02", ""])
def test_what_a_table_refuses_as_a_time_a_live_row_refuses(dated: sa.Panel, written: str) -> None:
    with pytest.raises(DataError):
        sa.read(pl.DataFrame({"ds": [written], "y": [1.0]}))
    with pytest.raises(DataError, match="must be a date or time"):
        door(dated).time_of(written, "s")

"""to_frame: frames come back in the kind that came in, their times as they were written."""

from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepahead.data.frames import frame_csv, frame_rows, to_frame, write_frame
from stepahead.data.panel import Panel, Schema
from stepahead.data.read import read

BACKENDS = ("polars", "pandas", "pyarrow")


def back(panel: Panel) -> object:
    """The panel's rows as a frame, as forecasts are made."""
    columns = {
        panel.schema.series: np.repeat(np.asarray(panel.ids, dtype=object), panel.lengths),
        panel.schema.time: panel.times,
        "LSTM": panel.y,
    }
    return to_frame(columns, panel.schema)


def same(frame: object, backend: str) -> pl.DataFrame:
    """The frame as polars, after its kind was checked."""
    kinds = {"polars": pl.DataFrame, "pandas": pd.DataFrame, "pyarrow": pa.Table}
    assert isinstance(frame, kinds[backend])
    return frame if isinstance(frame, pl.DataFrame) else pl.DataFrame(frame)


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_series_at_all_still_have_names_of_text(backend: str) -> None:
    columns = {"unique_id": np.array([], dtype=object), "y": np.zeros(0)}
    assert same(to_frame(columns, Schema(backend=backend)), backend).schema["unique_id"] == pl.String


def turn(frame: pl.DataFrame, backend: str) -> object:
    return {"polars": frame, "pandas": frame.to_pandas(), "pyarrow": frame.to_arrow()}[backend]


TIMES = {
    "steps": pl.Series([3, 4]),
    "dates": pl.Series([date(2021, 1, 30), date(2021, 1, 31)]),
    "stamps": pl.Series([datetime(2021, 1, 30, 1), datetime(2021, 1, 30, 2)]),
    "stamps in Berlin": pl.Series([datetime(2021, 3, 28, 0), datetime(2021, 3, 28, 1)])
    .dt.replace_time_zone("UTC")
    .dt.convert_time_zone("Europe/Berlin"),
}


@pytest.mark.parametrize("case", TIMES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_frames_in_are_frames_out(backend: str, case: str) -> None:
    frame = pl.DataFrame({"unique_id": ["a", "a"], "ds": TIMES[case], "y": [1.0, 2.0]})
    given = turn(frame, backend)
    out, came = same(back(read(given)), backend), same(given, backend)
    assert out.columns == ["unique_id", "ds", "LSTM"]
    assert out["ds"].dtype.base_type() == came["ds"].dtype.base_type()
    assert getattr(out["ds"].dtype, "time_zone", None) == getattr(came["ds"].dtype, "time_zone", None)
    assert out["ds"].to_list() == came["ds"].to_list()
    assert out["LSTM"].to_list() == [1.0, 2.0]


@pytest.mark.parametrize("backend", BACKENDS)
def test_forecasts_join_the_table_whatever_its_ids_are(backend: str) -> None:
    for ids in (["7", "8"], [7, 8]):
        frame = turn(pl.DataFrame({"unique_id": ids, "ds": [1, 1], "y": [1.0, 2.0]}), backend)
        panel = read(frame)
        assert panel.ids == ("7", "8")
        assert same(back(panel), backend)["unique_id"].to_list() == ids


def test_pandas_answers_merge_with_what_came_in() -> None:
    times = pd.date_range("2021-03-28", periods=3, freq="h", tz="Europe/Berlin")
    frame = pd.DataFrame({"unique_id": [1, 1, 1], "ds": times, "y": [1.0, 2.0, 3.0]})
    merged = frame.merge(back(read(frame)), on=["unique_id", "ds"])  # type: ignore[arg-type]
    assert merged["LSTM"].tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("minutes", [60, -480, 330])
def test_fixed_offset_keeps_the_moment_and_where_it_can_the_clock(minutes: int) -> None:
    moment = datetime(2021, 1, 1, 12, tzinfo=timezone(timedelta(minutes=minutes)))
    sign = "-" if minutes < 0 else "+"
    zone = f"{sign}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
    for backend in BACKENDS:
        schema = Schema(time_kind="datetime", time_zone=zone, backend=backend)
        times = np.array([moment.astimezone(UTC).replace(tzinfo=None)], dtype="datetime64[us]")
        frame = to_frame({"ds": times}, schema)
        first = frame["ds"][0].as_py() if isinstance(frame, pa.Table) else frame["ds"][0]  # type: ignore[attr-defined]
        assert first == moment
        assert first.hour == 12 or (backend == "polars" and minutes % 60)


def test_cutoffs_are_times_like_the_time_column() -> None:
    times = np.array(["2021-01-01"], dtype="datetime64[us]")
    frame = to_frame({"ds": times, "cutoff": times}, Schema(time_kind="date"))
    assert frame.dtypes == [pl.Date, pl.Date]


def test_csv_of_a_frame_is_read_back_as_it_was(tmp_path: object) -> None:
    schema = Schema(time_kind="datetime", time_zone="Asia/Kolkata")
    times = np.array(["2021-01-01T00:00:00.5", "2021-01-01T01:00"], dtype="datetime64[us]")
    frame = to_frame({"unique_id": ["007", "007"], "ds": times, "y": np.array([1.0, 2.0])}, schema)
    assert frame_csv(frame).splitlines()[2] == "007,2021-01-01 06:30:00+05:30,2.0"
    assert frame_rows(frame)[1][1] == ["007", "2021-01-01 06:30:00+05:30", 2.0]
    for name in ("t.csv", "t.parquet"):
        path = tmp_path / name  # type: ignore[operator]
        write_frame(frame, path)
        panel = read(path)
        np.testing.assert_array_equal(panel.times, times)
        assert panel.ids == ("007",)


STAMPS = st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1))
ZONES = st.sampled_from([None, "UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"])


@settings(max_examples=60, deadline=None)
@given(stamps=st.lists(STAMPS, min_size=1, max_size=8, unique=True), zone=ZONES, backend=st.sampled_from(BACKENDS))
def test_table_to_panel_to_frame_gives_the_stamps_back(stamps: list[datetime], zone: str | None, backend: str) -> None:
    times = pl.Series(stamps).cast(pl.Datetime("us"))
    times = times if zone is None else times.dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
    frame = pl.DataFrame({"ds": times, "y": np.arange(len(stamps)) / 7})
    out = same(back(read(turn(frame, backend))), backend)
    expected = frame.sort("ds")
    assert out["ds"].cast(times.dtype).to_list() == expected["ds"].to_list()
    assert out["LSTM"].to_list() == expected["y"].to_list()


@pytest.mark.parametrize("zone", [None, "Europe/Berlin", "America/New_York"])
@pytest.mark.parametrize("unit", ["ns", "us", "ms", "s"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_stamps_come_back_in_their_unit_so_that_answers_can_be_joined(
    backend: str, unit: str, zone: str | None
) -> None:
    if (backend, unit) == ("polars", "s"):
        return  # which polars does not have
    stamps = pd.date_range("2021-03-28", periods=3, freq="h", unit=unit, tz="UTC").tz_convert(zone)
    frame = pd.DataFrame({"ds": stamps, "y": [1.0, 2.0, 3.0]})
    given = {"pandas": frame, "pyarrow": pa.Table.from_pandas(frame), "polars": pl.from_pandas(frame)}[backend]
    answer = back(read(given))
    if backend == "pandas":
        assert answer["ds"].dtype == given["ds"].dtype
        assert answer["ds"].tolist() == given["ds"].tolist()
    else:
        kind = (lambda f: f.schema["ds"]) if backend == "polars" else (lambda f: f.schema.field("ds").type)
        assert kind(answer) == kind(given)
        assert pl.DataFrame(given).join(pl.DataFrame(answer), on="ds").height == 3


@pytest.mark.parametrize("unit", ["ns", "us", "ms", "s"])
def test_stamps_at_an_offset_which_polars_does_not_know_come_back_in_their_unit(unit: str) -> None:
    stamps = pd.date_range("2021-03-28", periods=3, freq="h", unit=unit, tz="-03:30")
    frame = pd.DataFrame({"ds": stamps, "y": [1.0, 2.0, 3.0]})
    answer = back(read(frame))
    assert answer["ds"].dtype.unit == unit
    assert answer["ds"].tolist() == stamps.tolist()
    table = pa.table({"ds": pa.array(stamps, pa.timestamp(unit, "-03:30")), "y": [1.0, 2.0, 3.0]})
    assert back(read(table))["ds"].type == table["ds"].type
    assert back(read(table)).join(table, "ds").num_rows == 3


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_nanoseconds_cannot_say_comes_in_microseconds(backend: str) -> None:
    times = np.array(["2262-04-01", "2262-05-01"], "datetime64[us]")
    frame = to_frame({"ds": times}, Schema(backend=backend, time_kind="datetime", time_unit="ns"))
    assert pl.DataFrame(frame)["ds"].to_list() == times.tolist()

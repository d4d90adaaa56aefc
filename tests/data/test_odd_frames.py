"""sa.read: frames and files that other programs make, each against what that program holds."""

import gzip
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stepahead.data.read import read
from stepahead.errors import DataError

Y = [1.0, 2.0, 3.0]


def test_whole_numbers_beyond_64_bits_are_numbers_and_not_missing() -> None:
    big = [1, 2**70, None]
    np.testing.assert_array_equal(
        read(pd.DataFrame({"ds": [1, 2, 3], "y": pd.Series(big, dtype=object)})).y, [1, 2.0**70, np.nan]
    )
    endless = pd.DataFrame({"ds": [1, 2, 3], "y": pd.Series([1, 10**400, 3], dtype=object)})
    with pytest.raises(DataError, match=r"column 'y', row 1 .*: inf is not finite"):
        read(endless)


@pytest.mark.parametrize("count", [9 * 10**18, -(9 * 10**18)])
def test_milliseconds_beyond_all_calendars_are_refused_with_their_row(count: int) -> None:
    stamps = pl.Series([0, 1000, count]).cast(pl.Datetime("ms"))
    with pytest.raises(DataError, match=r"column 'ds', row 2 .*: the date is beyond all calendars"):
        read(pl.DataFrame({"ds": stamps, "y": Y}))


def test_a_category_without_a_name_is_refused_as_such_text_is() -> None:
    frame = pl.DataFrame({"unique_id": pl.Series(["a", "", "a"], dtype=pl.Categorical), "ds": [1, 2, 3], "y": Y})
    for column in (frame, frame.with_columns(pl.col("unique_id").cast(pl.String))):
        with pytest.raises(DataError, match=r"column 'unique_id', row 1 .*: the series has no name"):
            read(column)


def test_bytes_are_no_names_of_series() -> None:
    ids = [b"a", b"b", b"a"]
    for frame in (
        pa.table({"unique_id": ids, "ds": [1, 2, 3], "y": Y}),
        pd.DataFrame({"unique_id": ids, "ds": [1, 2, 3], "y": Y}),
    ):
        with pytest.raises(DataError, match="column 'unique_id' holds Binary; series names are text"):
            read(frame)


def test_a_frame_of_narwhals_is_read_and_a_lazy_one_refused() -> None:
    frame = nw.from_native(pl.DataFrame({"ds": [1, 2, 3], "y": Y}))
    assert read(frame).y.tolist() == Y
    with pytest.raises(DataError, match="a LazyFrame is not a table; call"):
        read(frame.lazy())


@pytest.mark.parametrize("minutes", [330, -210, 60, 765])
def test_a_parquet_file_whose_zone_is_an_offset_is_read_and_nobody_panics(tmp_path: Path, minutes: int) -> None:
    zone = timezone(timedelta(minutes=minutes))
    stamps = [datetime(2021, 3, 1, hour, tzinfo=zone) for hour in range(3)]
    path = tmp_path / "offset.parquet"
    pd.DataFrame({"ds": pd.DatetimeIndex(stamps), "y": Y}).to_parquet(path)
    expected = [stamp.astimezone(UTC).replace(tzinfo=None) for stamp in stamps]
    program = f"import stepahead as sa; print(sa.read({str(path)!r}).times.tolist())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == (str(expected), "")
    packed = tmp_path / "offset.parquet.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert read(packed).times.tolist() == expected


def test_a_damaged_zipped_parquet_file_is_one_clear_error(tmp_path: Path) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"ds": [1, 2, 3], "y": Y}), sink)
    content = bytearray(sink.getvalue().to_pybytes())
    content[-60:-8] = bytes(52)
    path = tmp_path / "t.parquet.gz"
    path.write_bytes(gzip.compress(bytes(content)))
    with pytest.raises(DataError, match="is not a readable Parquet file"):
        read(path)


def test_columns_without_a_name_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("ds,y,,\n1,1,,\n2,2,,\n")
    with pytest.raises(DataError, match="columns 3 and 4 have no name; name them, or take out those that hold nothing"):
        read(path)


@pytest.mark.parametrize(
    "written",
    [
        "03/04/2021",
        "3.4.21 17:30",
        "03/04/2021 17:30:05",
        "3-4-2021 5:30 PM",
        "03/04/2021 5:30:05pm",
        "03/04/2021 17:30:05.25",
    ],
)
def test_the_formats_that_a_refusal_names_read_the_cell_as_pandas_does(written: str) -> None:
    frame = pl.DataFrame({"ds": [written], "y": [1.0]})
    with pytest.raises(DataError, match="may be day-first or month-first") as refused:
        read(frame)
    day_first, month_first = re.findall(r"time_format='([^']*)'", str(refused.value))
    for time_format, leads in ((day_first, True), (month_first, False)):
        wanted = pd.to_datetime(written, dayfirst=leads).to_datetime64()
        assert read(frame, time_format=time_format).times.tolist() == [wanted.astype("datetime64[us]").item()]

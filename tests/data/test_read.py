"""sa.read: what a table means, held against pandas' own reading and against values written by hand."""

import gzip
import io
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepahead.data.panel import Panel
from stepahead.data.parquet import ParquetColumns
from stepahead.data.read import read, read_like
from stepahead.errors import ConfigError, DataError

LONG = "shop,day,open,sold,colour\n007,2021-01-02,2,20,red\nNA,2021-01-01,5,50,blue\n007,2021-01-01,1,10,red\n"


def write(folder: Path, text: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def read_text(folder: Path, text: str | bytes, **options: object) -> Panel:
    return read(write(folder, text), **options)  # type: ignore[arg-type]


def days(*dates: str) -> np.ndarray:
    return np.array(dates, dtype="datetime64[us]")


def test_long_table_keeps_ids_as_text_and_sorts_rows(tmp_path: Path) -> None:
    panel = read_text(tmp_path, LONG, series="shop", time="day", target="sold")
    assert panel.ids == ("007", "NA")
    assert panel.offsets.tolist() == [0, 2, 3]
    assert panel.schema.past == ("open", "sold")
    np.testing.assert_array_equal(panel.past, [[1, 10], [2, 20], [5, 50]])
    np.testing.assert_array_equal(panel.times, days("2021-01-01", "2021-01-02", "2021-01-01"))
    assert panel.schema.time_kind == "date"
    assert panel.schema.notes == ("left out 'colour': no column of numbers (choose inputs with past=)",)


def test_target_is_the_last_input_wherever_it_stands(tmp_path: Path) -> None:
    text = "y,ds,b,a\n1,1,2,3\n4,2,5,6\n"
    assert read_text(tmp_path, text).schema.past == ("b", "a", "y")
    assert read_text(tmp_path, text, past=["a", "y", "b"]).schema.past == ("a", "b", "y")
    assert read_text(tmp_path, text, past=[]).schema.past == ("y",)
    assert read_text(tmp_path, text, past="a").schema.past == ("a", "y")


def test_known_ahead_and_static_inputs_have_their_own_place(tmp_path: Path) -> None:
    text = "unique_id,ds,y,promo,size,colour\na,1,1,true,5,red\na,2,2,false,5,red\nb,1,3,true,7,blue\n"
    panel = read_text(tmp_path, text, future=["promo"], static=["size"])
    np.testing.assert_array_equal(panel.future, [[1], [0], [1]])
    np.testing.assert_array_equal(panel.static, [[5], [7]])
    assert panel.static.dtype == np.float64
    mixed = read_text(tmp_path, text, past=[], static=["size", "colour"])
    assert mixed.static.tolist() == [[5.0, "red"], [7.0, "blue"]]


def test_static_digits_with_a_leading_zero_are_a_code(tmp_path: Path) -> None:
    panel = read_text(tmp_path, "unique_id,ds,y,zip\na,1,1,01234\nb,1,2,91234\n", static=["zip"])
    assert panel.static.tolist() == [["01234"], ["91234"]]


@pytest.mark.parametrize("name", ["Date", "TIME", "timestamp", "DateTime"])
def test_an_unmistakable_time_column_needs_no_name(tmp_path: Path, name: str) -> None:
    assert read_text(tmp_path, f"{name},y\n1,2\n2,3\n").schema.time == name


def test_ds_wins_over_other_names(tmp_path: Path) -> None:
    assert read_text(tmp_path, "date,ds,y\n2021-01-01,1,2\n").schema.time == "ds"


def test_a_wide_table_is_one_series_named_after_its_target(tmp_path: Path) -> None:
    panel = read_text(tmp_path, "ds,close\n1,2\n2,3\n", target="close")
    assert panel.ids == ("close",)
    assert not panel.schema.has_series


def test_a_saved_index_is_no_input(tmp_path: Path) -> None:
    panel = read_text(tmp_path, ",ds,y\n0,1,2\n1,2,3\n")
    assert panel.schema.past == ("y",)
    assert "''" in panel.schema.notes[0]


@pytest.mark.parametrize("cell", ["", "NA", "nan", "NaN", "null", "None", "N/A", " "])
def test_missing_values_are_nan(tmp_path: Path, cell: str) -> None:
    panel = read_text(tmp_path, f"ds,y\n1,1\n2,{cell}\n3,3\n")
    np.testing.assert_array_equal(panel.y, [1, np.nan, 3])


@pytest.mark.parametrize(
    ("written", "expected", "kind", "zone"),
    [
        ("2021-01-31", "2021-01-31", "date", None),
        ("2021/01/31", "2021-01-31", "date", None),
        ("2021-03", "2021-03-01", "date", None),
        ("2021-01-31 10:30", "2021-01-31T10:30", "datetime", None),
        ("2021-01-31T10:30:15.25", "2021-01-31T10:30:15.250", "datetime", None),
        ("2021-01-31T10:30:15.123456789", "2021-01-31T10:30:15.123456", "datetime", None),
        ("2021-01-31T10:30Z", "2021-01-31T10:30", "datetime", "UTC"),
        ("2021-01-31 10:30:00+00:00", "2021-01-31T10:30", "datetime", "UTC"),
        ("2021-01-31T10:30:00+05:30", "2021-01-31T05:00", "datetime", "+05:30"),
        ("2021-01-31T22:30:00-0800", "2021-02-01T06:30", "datetime", "-08:00"),
        ("2020-02-29", "2020-02-29", "date", None),
        ("1899-12-31", "1899-12-31", "date", None),
    ],
)
def test_iso_times_are_understood(tmp_path: Path, written: str, expected: str, kind: str, zone: str | None) -> None:
    panel = read_text(tmp_path, f"ds,y\n{written},1\n")
    assert panel.times[0] == np.datetime64(expected, "us")
    assert (panel.schema.time_kind, panel.schema.time_zone) == (kind, zone)


def test_stamps_with_several_offsets_become_utc(tmp_path: Path) -> None:
    panel = read_text(tmp_path, "ds,y\n2021-03-28T01:00+01:00,1\n2021-03-28T03:00+02:00,2\n")
    np.testing.assert_array_equal(panel.times, days("2021-03-28T00:00", "2021-03-28T01:00"))
    assert panel.schema.time_zone == "UTC"


@pytest.mark.parametrize(
    ("time_format", "written", "expected"),
    [
        ("%d/%m/%Y", "03/04/2021", "2021-04-03"),
        ("%m/%d/%Y", "03/04/2021", "2021-03-04"),
        ("%Y%m%d", "20210403", "2021-04-03"),
        ("%d.%m.%y %H:%M", "03.04.21 12:30", "2021-04-03T12:30"),
        ("%Y-%m", "2021-04", "2021-04-01"),
        ("%Y", "2021", "2021-01-01"),
        ("%b %Y", "Apr 2021", "2021-04-01"),
        ("%d/%m/%Y %H:%M %z", "03/04/2021 12:30 +0200", "2021-04-03T10:30"),
    ],
)
def test_time_format_says_how_times_are_written(tmp_path: Path, time_format: str, written: str, expected: str) -> None:
    panel = read_text(tmp_path, f"ds,y\n{written},1\n", time_format=time_format)
    assert panel.times[0] == np.datetime64(expected, "us")


def test_steps_that_look_like_dates_are_taken_when_said(tmp_path: Path) -> None:
    panel = read_text(tmp_path, "ds,y\n20210101,1\n20210102,2\n", time_format="integer")
    assert panel.times.tolist() == [20210101, 20210102]


CLOSE = 'ds,y,note\n1,1.5,"a, b"\n2,2.5,c\n'


@pytest.mark.parametrize(
    "content",
    [
        CLOSE.encode(),
        b"\xef\xbb\xbf" + CLOSE.encode(),
        CLOSE.replace("\n", "\r\n").encode(),
        CLOSE.replace("\n", "\r").encode(),
        gzip.compress(CLOSE.encode()),
        ("\n\n" + CLOSE.replace("\n", "\n\n")).encode(),
        CLOSE.replace("ds,y", " ds , y").replace("1.5", " 1.5 ").encode(),
        CLOSE.replace("a, b", 'a\n""b""').encode(),
        CLOSE.rstrip("\n").encode(),
    ],
    ids=["plain", "mark", "CRLF", "CR", "gzip", "blank lines", "spaces", "quoted line end", "no last line end"],
)
def test_the_dress_of_a_csv_changes_nothing(tmp_path: Path, content: bytes) -> None:
    panel = read_text(tmp_path, content)
    np.testing.assert_array_equal(panel.y, [1.5, 2.5])
    assert panel.times.tolist() == [1, 2]


def test_row_is_the_line_of_the_file_behind_blank_lines_and_quoted_line_ends(tmp_path: Path) -> None:
    path = write(tmp_path, 'ds,y,note\n\n1,1,"two\nlines"\n\n2,x,\n3,3,\n')
    with pytest.raises(DataError, match=r"column 'y', row 6: 'x' is not a number"):
        read(path)


def test_reads_numbers_as_pandas_does(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=500) * 10.0 ** rng.integers(-300, 300, 500)
    path = write(tmp_path, pd.DataFrame({"ds": np.arange(500), "y": values}).to_csv(index=False))
    expected = pd.read_csv(path, converters={"y": float})  # float() rounds correctly in every version of pandas
    np.testing.assert_array_equal(read(path).y, expected["y"])
    np.testing.assert_array_equal(read(path).times, expected["ds"])


def test_the_columns_of_a_parquet_file_are_read_once_each_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = pl.DataFrame({"unique_id": ["b", "b", "a"], "ds": [2, 1, 1], "y": [1.0, 2.0, 3.0], "x": [4, 5, 6]})
    frame = frame.with_columns(z=pl.lit(0))
    frame.write_parquet(tmp_path / "t.parquet")
    asked, reads = [], ParquetColumns.__getitem__
    monkeypatch.setattr(ParquetColumns, "__getitem__", lambda table, name: (asked.append(name), reads(table, name))[1])
    panel = read(tmp_path / "t.parquet", past=["x"])
    assert sorted(asked) == ["ds", "unique_id", "x", "y"]
    assert panel.ids == ("b", "a")
    assert panel.past.tolist() == [[5, 2], [4, 1], [6, 3]]


def test_a_parquet_file_over_which_polars_panics_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pl.DataFrame({"ds": [1, 2], "y": [1.0, 2.0]}).write_parquet(tmp_path / "t.parquet")

    def panic(*_: object, **__: object) -> None:
        raise pl.exceptions.PanicException("Thrift out of range")  # as an altered byte does; no Exception

    monkeypatch.setattr(pl.LazyFrame, "collect", panic)
    with pytest.raises(DataError, match=r"t.parquet: is not a readable Parquet file \(Thrift out of range\)"):
        read(tmp_path / "t.parquet")


@pytest.mark.parametrize("days", [2**31 - 1, -(2**31)])
def test_a_date_beyond_all_calendars_is_refused_with_its_row(days: int) -> None:
    dates = pl.Series("ds", [0, days], dtype=pl.Int32).cast(pl.Date)
    with pytest.raises(DataError, match="column 'ds', row 1"):
        read(pl.DataFrame({"ds": dates, "y": [1.0, 2.0]}))


def test_what_a_user_does_to_a_frame_later_changes_no_panel() -> None:
    values = np.arange(5.0)
    panel = read(pd.DataFrame({"ds": np.arange(5), "y": values}, copy=False))
    values[:] = -1
    assert panel.y.tolist() == [0, 1, 2, 3, 4]


def test_parquet_is_read_like_its_csv(tmp_path: Path) -> None:
    csv = write(tmp_path, LONG)
    frame = pl.read_csv(csv, schema_overrides={"shop": pl.String}, try_parse_dates=True)
    frame.write_parquet(tmp_path / "t.parquet")
    names = {"series": "shop", "time": "day", "target": "sold"}
    one, other = read(csv, **names), read(tmp_path / "t.parquet", **names)
    assert (one.ids, one.schema.past, one.schema.time_kind) == (other.ids, other.schema.past, other.schema.time_kind)
    np.testing.assert_array_equal(one.past, other.past)
    np.testing.assert_array_equal(one.times, other.times)


def frames(data: dict[str, list]) -> dict[str, object]:
    polars = pl.DataFrame(data)
    return {"polars": polars, "pandas": pd.DataFrame(data), "pyarrow": polars.to_arrow()}


@pytest.mark.parametrize("backend", ["polars", "pandas", "pyarrow"])
def test_each_kind_of_frame_gives_the_same_panel(backend: str) -> None:
    data = {
        "unique_id": ["b", "b", "a"],
        "ds": [pd.Timestamp("2021-01-02"), pd.Timestamp("2021-01-01"), pd.Timestamp("2021-01-01")],
        "open": [1, 2, 3],
        "y": [1.5, None, 3.5],
    }
    panel = read(frames(data)[backend])
    assert panel.ids == ("b", "a")
    np.testing.assert_array_equal(panel.past, [[2, np.nan], [1, 1.5], [3, 3.5]])
    np.testing.assert_array_equal(panel.times, days("2021-01-01", "2021-01-02", "2021-01-01"))
    assert (panel.schema.backend, panel.schema.time_kind) == (backend, "datetime")


PANDAS_TIMES = {
    "stamps in Berlin": (pd.date_range("2021-03-28", periods=3, freq="h", tz="Europe/Berlin"), "Europe/Berlin"),
    "a fixed offset": (pd.date_range("2021-03-28", periods=3, freq="h", tz="UTC+05:30"), "+05:30"),
    "nanoseconds": (pd.date_range("2021-03-28", periods=3, freq="h").astype("datetime64[ns]"), None),
    "ISO text": (pd.Index(["2021-03-28", "2021-03-29", "2021-03-30"]), None),
    "Python dates": (pd.Index(pd.date_range("2021-03-28", periods=3).date), None),
}


@pytest.mark.parametrize("case", PANDAS_TIMES)
def test_pandas_times_are_read_in_utc(case: str) -> None:
    times, zone = PANDAS_TIMES[case]
    panel = read(pd.DataFrame({"ds": times, "y": [1.0, 2.0, 3.0]}))
    expected = pd.to_datetime(pd.Series(times))
    expected = expected.dt.tz_convert("UTC").dt.tz_localize(None) if zone else expected
    np.testing.assert_array_equal(panel.times, expected.to_numpy().astype("datetime64[us]"))
    assert panel.schema.time_zone == zone


def test_pandas_types_of_all_sorts_are_read() -> None:
    from decimal import Decimal

    frame = pd.DataFrame(
        {
            "unique_id": pd.Categorical(["007", "NA"]),
            "ds": pd.array([1, 2], dtype="Int64"),
            "a": pd.array([1, None], dtype="Int64"),
            "b": [Decimal("1.5"), Decimal("2")],
            "c": np.array([1, 2], dtype=np.float32),
            "flag": [True, False],
            "y": pd.array([None, 2.5], dtype="Float64"),
        }
    )
    panel = read(frame, future=["flag"])
    assert panel.ids == ("007", "NA")
    assert panel.schema.past == ("a", "b", "c", "y")
    np.testing.assert_array_equal(panel.past, [[1, 1.5, 1, np.nan], [np.nan, 2, 2, 2.5]])
    np.testing.assert_array_equal(panel.future, [[1], [0]])


BAD_FRAMES = {
    "an array": (np.ones(3), "a ndarray is not a table"),
    "a mapping": ({"ds": [1], "y": [1]}, "a dict is not a table"),
    "a lazy frame": (pl.LazyFrame({"ds": [1], "y": [1]}), r"call .collect\(\) first"),
    "an index of time": (pd.DataFrame({"y": [1.0]}, index=pd.DatetimeIndex(["2021-01-01"], name="ds")), "reset_index"),
    "numbers as names": (pd.DataFrame({0: [1.0], "ds": [1]}), "column name 0 is not text"),
    "a name twice": (pd.DataFrame([[1, 2, 3]], columns=["ds", "y", "y"]), "pandas frame: two columns are named 'y'"),
    "no rows": (pl.DataFrame({"ds": [], "y": []}), "has no rows"),
    "decimal ids": (pl.DataFrame({"unique_id": [1.0], "ds": [1], "y": [1.0]}), "text or whole numbers"),
    "a null id": (pl.DataFrame({"unique_id": ["a", None], "ds": [1, 2], "y": [1.0, 2.0]}), r"row 1 \(counted from 0\)"),
    "a null time": (pd.DataFrame({"ds": [pd.Timestamp("2021-01-01"), pd.NaT], "y": [1.0, 2.0]}), "row 1 .* no time"),
    "durations": (pl.DataFrame({"ds": [1], "y": [1.0]}).with_columns(ds=pl.duration(days="ds")), "holds Duration"),
    "a target of dates": (pl.DataFrame({"ds": [1], "y": [pd.Timestamp("2021-01-01")]}), "column 'y' holds dates"),
    "a target of flags": (pl.DataFrame({"ds": [1], "y": [True]}), "column 'y' holds true and false"),
    "infinity": (pd.DataFrame({"ds": [1, 2], "y": [1.0, np.inf]}), "column 'y', row 1 .* not finite"),
    "lists": (pl.DataFrame({"ds": [1], "y": [[1.0]]}), "column 'y' holds List"),
}


@pytest.mark.parametrize("case", BAD_FRAMES)
def test_bad_frame_is_named(case: str) -> None:
    frame, said = BAD_FRAMES[case]
    with pytest.raises(DataError, match=said):
        read(frame)


def test_one_column_in_two_roles_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="column 'y' is named in target= and in static="):
        read(pl.DataFrame({"ds": [1], "y": [1.0]}), static=["y"])


def test_another_table_is_read_with_the_columns_of_the_first(tmp_path: Path) -> None:
    first = read_text(tmp_path, LONG, series="shop", time="day", target="sold")
    other = LONG.replace("colour", "extra").replace("red", "1").replace("blue", "2")
    panel = read_like(write(tmp_path, other), first.schema)
    assert panel.schema.past == ("open", "sold")
    assert panel.schema.notes == ()


IDS = st.text(st.characters(codec="utf-8", exclude_characters="\x00\r\n", exclude_categories=["Cs", "Cc"]), min_size=1)
VALUES = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False))


@settings(max_examples=60, deadline=None)
@given(rows=st.dictionaries(st.tuples(IDS, st.integers(-(10**6), 10**6)), VALUES, min_size=1, max_size=20))
def test_csv_to_panel_loses_nothing(rows: dict[tuple[str, int], float | None], tmp_path_factory: object) -> None:
    if all(value is None for value in rows.values()):
        rows[next(iter(rows))] = 0.0
    ids, times = zip(*rows, strict=True)
    file = io.BytesIO()
    pl.DataFrame(
        {"unique_id": ids, "ds": times, "y": list(rows.values())}, schema_overrides={"y": pl.Float64}
    ).write_csv(file)
    path = tmp_path_factory.mktemp("csv") / "t.csv"  # type: ignore[attr-defined]
    path.write_bytes(file.getvalue())
    panel = read(path)
    assert panel.ids == tuple(dict.fromkeys(ids))
    found = {}
    for s, name in enumerate(panel.ids):
        rows_of = panel.rows(s)
        assert (np.diff(panel.times[rows_of]) > 0).all()
        found |= {(name, int(t)): v for t, v in zip(panel.times[rows_of], panel.y[rows_of], strict=True)}
    assert found.keys() == rows.keys()
    assert all((v is None and np.isnan(found[k])) or found[k] == v for k, v in rows.items())


SCRAPS = st.sampled_from(
    [*"0179,;\"'\n\r\t .-+:/Ta", "\r\n", '""', "NA", "inf", "é", "\ufeff", "2021-01-01", "-0", "1e9"]
)


@settings(max_examples=400, deadline=None)
@given(scraps=st.lists(SCRAPS, max_size=40), header=st.sampled_from(["ds,y", "unique_id,ds,y", "date,a,y", ""]))
def test_whatever_the_text_says_it_is_a_panel_or_a_data_error(
    scraps: list[str], header: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "scraps.csv"
    path.write_bytes(f"{header}\n{''.join(scraps)}".encode())
    said = ""
    try:
        panel = read(path)
    except DataError as error:
        said = str(error)
    if said:
        assert said.startswith(str(path))
        assert "\n" not in said
    else:
        assert np.isfinite(panel.past[~np.isnan(panel.past)]).all()
        assert all(panel.ids)


@pytest.mark.parametrize(
    ("stamp", "remedy"),
    [
        ("2024-10-27T02:00:00", "give the times in UTC, or with their offset"),
        ("2024-04-07T02:00:00", "give the times in UTC, or with their offset"),
        ("2024-10-28T02:00:00", "keep one of them"),
        ("2024-10-27T12:00:00", "keep one of them"),
        ("2024-10-27", "keep one of them"),
    ],
)
def test_an_hour_that_clocks_repeat_is_told_of(stamp: str, remedy: str) -> None:
    with pytest.raises(DataError, match=f"conflict .*; .*{remedy}"):
        read(pl.DataFrame({"ds": [stamp, stamp], "y": [1.0, 2.0]}))


def test_complex_numbers_are_no_target() -> None:
    frame = pd.DataFrame({"ds": range(5), "y": np.arange(5) + 1j})
    with pytest.raises(DataError, match=r"column 'y'.*1j"):
        read(frame, time="ds", target="y")


def test_a_column_without_a_name_is_taken_by_it():
    frame = pl.DataFrame({"ds": [1, 2], "": [3.0, 4.0]})
    assert read(frame, target="").y.tolist() == [3, 4]
    stamps = pl.DataFrame({"": [1, 2], "ds": [7, 7], "y": [3.0, 4.0]})
    assert read(stamps, time="", past=[]).times.tolist() == [1, 2]
    shops = pl.DataFrame({"": ["a", "b"], "ds": [7, 7], "y": [3.0, 4.0]})
    assert read(shops, series="").ids == ("a", "b")
    with pytest.raises(DataError, match=r"no column '' for target; choose target= among 'a'"):
        read(pl.DataFrame({"a": [1]}), target="", time="a")


@pytest.mark.parametrize("role", ["series", "time", "target"])
@pytest.mark.parametrize("given", [["a", "b"], 3, {"a": 1}])
def test_a_role_that_names_no_single_column_is_refused(role, given):
    table = pl.DataFrame({"ds": [1, 2], "a": [1.0, 2.0], "b": [1.0, 2.0], "y": [1.0, 2.0]})
    with pytest.raises(ConfigError, match=f"{role}=.* must be the name of one column"):
        read(table, **{role: given})


def test_columns_that_are_series_of_their_own_are_sent_to_be_turned_into_rows():
    with pytest.raises(
        ConfigError, match=r"target=\['a', 'b'\] .* make rows of them first \(unpivot, or melt in pandas"
    ):
        read(pl.DataFrame({"ds": [1, 2], "a": [1.0, 2.0], "b": [1.0, 2.0]}), target=["a", "b"])


@pytest.mark.parametrize("role", ["past", "future", "static"])
@pytest.mark.parametrize("given", [3, [3], b"a"])
def test_inputs_that_are_no_names_are_refused(role, given):
    table = pl.DataFrame({"ds": [1, 2], "a": [1.0, 2.0], "y": [1.0, 2.0]})
    with pytest.raises(ConfigError, match=f"{role}=.* must be the name of a column, or a list of names"):
        read(table, **{role: given})

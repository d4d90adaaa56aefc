"""A Panel cuts, picks and orders rows as a plain list of dictionaries would."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepahead.data.panel import Panel, concatenated_ranges, preview
from stepahead.data.read import read
from stepahead.errors import ConfigError, DataError

IDS = ("b", "a", "007")


def made_panel(lengths: tuple[int, ...] = (4, 2, 5)) -> Panel:
    """Series of these lengths; the target is 10 * series + row, so that every row can be told from every other."""
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    y = np.concatenate([10.0 * s + np.arange(n) for s, n in enumerate(lengths)])
    return Panel.from_arrays(np.stack([-y, y], axis=1), ids=IDS[: len(lengths)], offsets=offsets)


def as_lists(panel: Panel) -> dict[str, list[float]]:
    return {name: list(y) for name, y in zip(panel.ids, panel.targets(), strict=True)}


def naive(panel: Panel) -> dict[str, list[tuple[int, float]]]:
    """Each series as pairs of time and target, by a plain loop."""
    rows: dict[str, list[tuple[int, float]]] = {}
    for s, name in enumerate(panel.ids):
        for row in range(panel.offsets[s], panel.offsets[s + 1]):
            rows.setdefault(name, []).append((int(panel.times[row]), float(panel.past[row, -1])))
    return rows


@settings(max_examples=50, deadline=None)
@given(st.tuples(*[st.integers(1, 6)] * 3), st.integers(0, 8), st.integers(0, 8))
def test_until_head_and_tail_equal_a_naive_loop(lengths, cutoff, count):
    panel = made_panel(lengths)
    rows = naive(panel)
    kept = {name: [pair for pair in pairs if pair[0] <= cutoff] for name, pairs in rows.items()}
    assert naive(panel.until(cutoff)) == {name: pairs for name, pairs in kept.items() if pairs}
    assert naive(panel.head(count)) == {name: pairs[:count] for name, pairs in rows.items() if count}
    assert naive(panel.tail(count)) == {name: pairs[-count:] for name, pairs in rows.items() if count}


def test_until_keeps_the_cutoff_row_and_no_later_one():
    assert as_lists(made_panel().until(2)) == {"b": [0, 1], "a": [10, 11], "007": [20, 21]}


def test_until_takes_one_cutoff_for_each_series():
    assert as_lists(made_panel().until([1, 0, 3])) == {"b": [0], "007": [20, 21, 22]}


@pytest.mark.parametrize("cutoff", [np.datetime64("2020-01-02"), "2020-01-02", np.datetime64("2020-01-02T23:59")])
def test_until_reads_dates_of_any_kind(cutoff):
    times = np.arange("2020-01-01", "2020-01-05", dtype="datetime64[D]")
    assert as_lists(Panel.from_arrays(np.arange(4.0), times=times).until(cutoff)) == {"1": [0, 1]}


@pytest.mark.parametrize("cutoff", ["soon", "2020-13-01", None])
def test_until_refuses_what_is_no_time(cutoff):
    times = np.arange("2020-01-01", "2020-01-05", dtype="datetime64[D]")
    with pytest.raises(ConfigError, match="cutoff"):
        Panel.from_arrays(np.arange(4.0), times=times).until(cutoff)


def test_until_refuses_a_step_where_there_are_dates_and_a_date_where_there_are_steps():
    times = np.arange("2020-01-01", "2020-01-05", dtype="datetime64[D]")
    with pytest.raises(ConfigError, match="cutoff 2020 is not a date or time, as column 'ds' holds"):
        Panel.from_arrays(np.arange(4.0), times=times).until(2020)
    with pytest.raises(ConfigError, match="is not a whole number"):
        Panel.from_arrays(np.arange(4.0)).until(np.datetime64("2020-01-02"))


def test_head_and_tail_take_a_length_for_each_series():
    panel = made_panel()
    assert as_lists(panel.head([1, 9, 0])) == {"b": [0], "a": [10, 11]}
    assert as_lists(panel.tail([0, 1, 2])) == {"a": [11], "007": [23, 24]}


def test_head_and_tail_of_a_negative_length_are_empty():
    assert made_panel().head(-1).n_rows == made_panel().tail(-1).n_rows == 0


def test_select_keeps_the_order_that_was_asked_for():
    panel = made_panel().select(["007", "b"])
    assert as_lists(panel) == {"007": [20, 21, 22, 23, 24], "b": [0, 1, 2, 3]}
    assert panel.offsets.tolist() == [0, 5, 9]


def test_select_refuses_a_series_that_is_asked_for_twice():
    with pytest.raises(DataError, match="series 'b' is asked for twice; name it once"):
        made_panel().select(["b", "007", "b"])


def test_select_takes_whole_numbers_where_the_table_has_them():
    table = pl.DataFrame({"unique_id": [1, 1, 2, 2], "ds": [1, 2, 1, 2], "y": [1.0, 2.0, 3.0, 4.0]})
    assert read(table).select([2]).y.tolist() == [3.0, 4.0]


def test_select_takes_a_single_name():
    assert made_panel().select("007").ids == ("007",)  # and not the series '0', '0' and '7'
    table = pl.DataFrame({"unique_id": [1, 1, 2, 2], "ds": [1, 2] * 2, "y": [1.0, 2, 3, 4]})
    assert read(table).select(2).ids == read(table).select(np.int64(2)).ids == ("2",)


def test_select_names_the_first_series_that_is_absent():
    with pytest.raises(DataError, match="no series '7'; there are 'b', 'a', '007'"):
        made_panel().select(["b", "7", "8"])


def test_cuts_carry_known_ahead_and_static_inputs_along():
    panel = made_panel()
    panel = replace(panel, future=panel.past[:, -1:] + 100, static=np.array([["x"], ["y"], ["z"]], dtype=object))
    cut = panel.until([0, 1, 2])
    assert cut.future[:, 0].tolist() == [110, 120, 121]
    assert cut.static[:, 0].tolist() == ["y", "z"]
    assert panel.select(["007"]).static[:, 0].tolist() == ["z"]


def test_a_cut_of_one_series_copies_nothing():
    panel = Panel.from_arrays(np.arange(10.0))
    assert np.shares_memory(panel.tail(3).past, panel.past)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 5)), max_size=6))
def test_concatenated_ranges_equal_a_naive_loop(pairs):
    starts = np.array([start for start, _ in pairs], dtype=np.int64)
    stops = np.array([start + length for start, length in pairs], dtype=np.int64)
    expected = [i for start, length in pairs for i in range(start, start + length)]
    assert concatenated_ranges(starts, stops).tolist() == expected


@pytest.mark.parametrize("bad", [2.0, np.float64(2), None, object])
def test_what_names_no_series_is_refused(bad):
    panel = Panel.from_arrays(np.arange(6.0), ids=["1", "2"], offsets=[0, 3, 6])
    with pytest.raises(ConfigError, match=r"^ids=.* names no series; give the name of one, or a list of names$"):
        panel.select(bad)
    assert panel.select(2).ids == panel.select(np.int64(2)).ids == panel.select("2").ids == ("2",)


def test_preview_counts_the_names_that_it_leaves_out():
    assert preview(list("abcdefg")) == "'a', 'b', 'c', 'd', 'e', ... and 2 more"
    assert preview(["a"]) == "'a'"

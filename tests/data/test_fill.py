"""Missing values against pandas, and nothing from after an origin."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stepahead.data.fill import fill
from stepahead.data.panel import Panel
from stepahead.errors import ConfigError, DataError

nan = np.nan
GAPPY = arrays(np.float64, (9, 2), elements=st.sampled_from([nan, nan, 1.0, 2.5, -3.0, 7.0]))


def panel_of(past: np.ndarray) -> Panel:
    """Two series: rows 0..3 and 4..8."""
    return Panel.from_arrays(past, ids=("a", "b"), offsets=[0, 4, 9])


def by_pandas(past: np.ndarray, how: str) -> np.ndarray:
    """Series by series: how, then the first value backwards, then 0."""
    parts = []
    for rows in (slice(0, 4), slice(4, 9)):
        frame = pd.DataFrame(past[rows])
        frame = frame.ffill() if how == "ffill" else frame.interpolate(limit_area="inside").ffill()
        parts.append(frame.bfill().fillna(0.0).to_numpy())
    return np.concatenate(parts)


@settings(max_examples=200, deadline=None)
@given(GAPPY)
def test_filling_equals_pandas(past):
    for missing in ("ffill", "mask"):
        assert np.array_equal(fill(panel_of(past), missing).values, by_pandas(past, "ffill"))
    lines = fill(panel_of(past), "interpolate")
    # pandas adds up the same line in another order.
    assert np.abs(lines.values - by_pandas(past, "interpolate")).max() < 1e-12
    assert np.array_equal(lines.carried, by_pandas(past, "ffill"))


@settings(max_examples=100, deadline=None)
@given(GAPPY)
def test_last_seen_and_ready_equal_a_naive_loop(past):
    filled = fill(panel_of(past), "ffill")
    for start, stop in ((0, 4), (4, 9)):
        newest = [-1, -1]
        for row in range(start, stop):
            newest = [row if not np.isnan(past[row, p]) else newest[p] for p in range(2)]
            if filled.last_seen is not None:
                assert filled.last_seen[row].tolist() == newest
            assert filled.ready[row] == all(n >= 0 for n in newest)
    assert np.array_equal(filled.observed, ~np.isnan(past))


def test_gaps_at_both_ends_and_inside():
    past = np.array([nan, 2.0, nan, 4.0, nan, nan, 7.0, nan, nan])
    panel = Panel.from_arrays(past)
    assert fill(panel, "ffill").values[:, 0].tolist() == [2, 2, 2, 4, 4, 4, 7, 7, 7]
    assert fill(panel, "interpolate").values[:, 0].tolist() == [2, 2, 3, 4, 5, 6, 7, 7, 7]
    assert fill(panel, "mask").observed[:, 0].tolist() == [False, True, False, True, False, False, True, False, False]
    assert fill(panel, "mask").ready.tolist() == [False] + [True] * 8


def test_nothing_crosses_from_one_series_to_the_next():
    past = np.array([1.0, 2.0, 3.0, nan, nan, 50.0, nan, 60.0, nan])
    panel = Panel.from_arrays(past, ids=("a", "b"), offsets=[0, 4, 9])
    assert fill(panel, "ffill").values[:, 0].tolist() == [1, 2, 3, 3, 50, 50, 50, 60, 60]
    assert fill(panel, "interpolate").values[:, 0].tolist() == [1, 2, 3, 3, 50, 50, 55, 60, 60]


def test_without_gaps_nothing_is_copied():
    panel = Panel.from_arrays(np.arange(5.0))
    for missing in ("error", "ffill", "interpolate", "mask"):
        assert fill(panel, missing).values is panel.past


def test_error_names_place_count_and_choices():
    past = np.array([[1.0, 2.0], [nan, 3.0], [4.0, nan]])
    with pytest.raises(
        DataError, match=r"column 'x1' is missing in series '1' at ds 2 \(2 missing values in all\)"
    ) as e:
        fill(Panel.from_arrays(past), "error")
    assert all(choice in str(e.value) for choice in ("'ffill'", "'interpolate'", "'mask'"))


def test_an_unknown_choice_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"missing='drop' is not one of 'error', 'ffill', 'interpolate', 'mask'"):
        fill(Panel.from_arrays(np.arange(5.0)), "drop")

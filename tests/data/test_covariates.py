"""Inputs known ahead and static ones, beside each window, against numbers worked by hand."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

import stepahead as sa
from stepahead.data.covariates import fit_covariates
from stepahead.data.panel import Panel
from stepahead.errors import DataError
from stepahead.panels.statics import statics_of


def made_panel() -> Panel:
    """Two series, rows 0..4 and 5..8; one known-ahead input, a static number and a static category."""
    panel = Panel.from_arrays(np.arange(9.0), ids=("a", "b"), offsets=[0, 5, 9])
    static = np.array([[10.0, "north"], [30.0, "south"]], dtype=object)
    schema = replace(panel.schema, future=("promo",), static=("size", "region"))
    return replace(panel, future=10 + np.arange(9.0)[:, None], static=static, schema=schema)


def test_context_is_the_horizon_s_inputs_then_the_series_own():
    panel = made_panel()
    found = fit_covariates(panel).context(panel, np.array([1, 6]), horizon=2)
    middle, spread = panel.future.mean(), panel.future.std()
    ahead = [(panel.future[rows, 0] - middle) / spread for rows in ([2, 3], [7, 8])]
    assert np.allclose(found[0], [*ahead[0], -1, 1, 0])  # sizes 10 and 30: mean 20, deviation 10
    assert np.allclose(found[1], [*ahead[1], 1, 0, 1])
    assert found.dtype == np.float32


def test_width_counts_horizon_times_inputs_and_one_column_a_category():
    assert fit_covariates(made_panel()).width(3) == 3 + 1 + 2


def test_given_inputs_replace_the_panel_s_own_rows():
    panel = made_panel()
    fitted = fit_covariates(panel)
    given = panel.future[[[2, 3]]]
    assert np.array_equal(
        fitted.context(panel, np.array([4]), 2, given)[0, :2], fitted.context(panel, np.array([1]), 2)[0, :2]
    )


def test_a_horizon_that_leaves_the_series_is_refused_and_never_borrows_from_the_next():
    panel = made_panel()
    with pytest.raises(
        DataError, match=r"series 'a': the forecast needs 'promo' for each of the next 2 steps; pass fu"
    ):
        fit_covariates(panel).context(panel, np.array([3]), horizon=2)


def test_an_unknown_category_is_all_zeros():
    panel = made_panel()
    other = replace(panel, static=np.array([[20.0, "north"], [20.0, "west"]], dtype=object))
    found = fit_covariates(panel).context(other, np.array([0, 5]), horizon=1)
    assert found[:, 1:].tolist() == [[0, 1, 0], [0, 0, 0]]


def test_scaling_is_learned_from_the_rows_given_alone():
    panel = made_panel()
    early = fit_covariates(panel.head(2))
    assert early.center[0] == pytest.approx(np.mean([10, 11, 15, 16]))


def test_a_constant_input_becomes_zero():
    panel = made_panel()
    flat = replace(panel, future=np.full((9, 1), 7.0), static=np.array([[3.0], [3.0]]))
    assert (fit_covariates(flat).context(flat, np.array([0]), horizon=2) == 0).all()


def test_without_such_inputs_the_context_is_empty():
    panel = Panel.from_arrays(np.arange(9.0))
    assert fit_covariates(panel).context(panel, np.array([8]), horizon=3).shape == (1, 0)
    assert fit_covariates(panel).row_features(panel).shape == (9, 0)


def test_a_hole_in_a_known_ahead_input_is_refused_with_its_place():
    panel = made_panel()
    panel.future[6, 0] = np.nan
    with pytest.raises(DataError, match=r"column 'promo' is given as known ahead, but is missing at ds 2"):
        fit_covariates(panel)


@pytest.mark.parametrize("hole", [None, float("nan"), np.nan])
def test_a_hole_in_a_static_input_is_refused_with_its_series(hole):
    panel = made_panel()
    for column, name in enumerate(("size", "region")):
        static = panel.static.copy()
        static[1, column] = hole
        with pytest.raises(DataError, match=f"static input '{name}' is missing for series 'b'"):
            fit_covariates(replace(panel, static=static))


def kinds(*values: object) -> sa.Panel:
    """A series of two rows for each value of a static input."""
    table = pl.DataFrame({"unique_id": [f"s{i}" for i in range(len(values))], "kind": list(values)})
    days = pl.DataFrame({"ds": ["2024-01-01", "2024-01-02"], "y": [1.0, 2.0]})
    return sa.read(table.join(days, how="cross"), static=["kind"], past=[])


def test_a_category_of_digits_is_known_again_in_a_table_of_digits_alone():
    learned = fit_covariates(kinds("1", "2", "soup"))
    alone = kinds("2")  # read as a number
    assert alone.static.dtype == np.float64
    np.testing.assert_array_equal(learned.context(alone, np.array([1]), 1), [[0, 1, 0]])
    assert statics_of(alone, learned).codes.tolist() == [[1]]


def test_text_where_a_static_number_was_learned_is_refused_with_its_series():
    learned = fit_covariates(kinds(1.0, 2.5))
    for read in (lambda panel: learned.context(panel, np.array([1]), 1), lambda panel: statics_of(panel, learned)):
        with pytest.raises(DataError, match=r"'kind' is 'big' for series 's0'.*give a number"):
            read(kinds("big"))

"""A trained model's forecasts: what they may know, what they hang on, and what is refused."""

from dataclasses import replace
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepahead import fitted as module
from stepahead.choices import CELLS
from stepahead.data.panel import Panel
from stepahead.data.scale import DIFFERENCES, SCALERS
from stepahead.errors import ConfigError, DataError
from stepahead.fitted import Fitted
from stepahead.fitted_file import pack, unpack
from stepahead.forecast import Forecast
from stepahead.learn import Training, learn
from stepahead.recipe import resolve

TINY: dict[str, Any] = {"recipe": "classic", "window": 5, "hidden_size": 3, "max_steps": 2, "horizon": 2}
ROWS = 24
HEADS = ("mse", "mae", "huber", "quantile", "student_t")
ALL = list(product(CELLS, SCALERS, DIFFERENCES, HEADS, ("error", "ffill", "interpolate", "mask")))


def made_panel(missing: str = "error", seed: int = 0) -> Panel:
    """Two series of three positive inputs, with gaps where they are allowed; the first rows are whole."""
    random = np.random.default_rng(seed)
    past = np.exp(0.2 * random.standard_normal((2 * ROWS, 3)).cumsum(axis=0))
    if missing != "error":
        past[random.random(past.shape) < 0.3] = np.nan
        past[[0, ROWS]] = 1.5
    return Panel.from_arrays(past, ids=("a", "b"), offsets=[0, ROWS, 2 * ROWS])


@cache
def made_model(cell: str, scaler: str | None, difference: bool | str, head: str, missing: str) -> Fitted:
    choice = {"cell": cell, "scaler": scaler, "difference": difference, "head": head, "missing": missing}
    panel = made_panel(missing)
    return learn(panel, resolve(TINY | choice, panel), Training())[0]


def forecast(fitted: Fitted, panel: Panel, origins: list[int]) -> Forecast:
    level = (80.0,) if fitted.reading.has_quantiles else ()
    return fitted.forecast(fitted.source(panel), np.asarray(origins, dtype=np.int64), level=level)


def assert_same(one: Forecast, other: Forecast, rows: slice = slice(None)) -> None:
    for name in ("mean", "lo", "hi"):
        np.testing.assert_array_equal(getattr(one, name)[rows], getattr(other, name)[rows], err_msg=name)


def rewritten(panel: Panel, rows: slice, missing: str, seed: int) -> Panel:
    """Other values in these rows: far away, of any sign, and missing where that is allowed."""
    random, past = np.random.default_rng(seed), panel.past.copy()
    later = past[rows]
    later[:] = random.standard_normal(later.shape) * 1e3
    if missing != "error":
        later[random.random(later.shape) < 0.4] = np.nan
    return panel.with_past(past)


def check_later_rows(choice: tuple, origin: int, seed: int) -> None:
    fitted, missing = made_model(*choice), choice[-1]
    panel = made_panel(missing)
    changed = rewritten(panel, slice(origin + 1, ROWS), missing, seed)
    assert_same(forecast(fitted, panel, [origin]), forecast(fitted, changed, [origin]))


def check_other_rows(choice: tuple, origin: int, seed: int) -> None:
    """Beside another series and another origin, at the same shape of the batch."""
    fitted, missing = made_model(*choice), choice[-1]
    panel = made_panel(missing)
    past = panel.past.copy()
    past[ROWS + 1 :] = np.roll(past[ROWS + 1 :], seed, axis=0) * 1.7
    one = forecast(fitted, panel, [origin, 40, 45])
    other = forecast(fitted, panel.with_past(past), [origin, 33 + seed % 9, 46])
    assert_same(one, other, slice(0, 1))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.sampled_from(ALL), st.integers(4, ROWS - 2), st.integers(0, 1000))
def test_rows_after_an_origin_change_no_bit_of_its_forecast(choice, origin, seed):
    check_later_rows(choice, origin, seed)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.sampled_from(ALL), st.integers(4, ROWS - 2), st.integers(0, 1000))
def test_other_series_and_origins_change_no_bit_of_a_forecast(choice, origin, seed):
    check_other_rows(choice, origin, seed)


@pytest.mark.soak
@pytest.mark.parametrize("part", range(20))
def test_no_combination_leaks(part):
    for i in range(part, len(ALL), 20):
        check_later_rows(ALL[i], 4 + i % (ROWS - 5), i)
        check_other_rows(ALL[i], 4 + i % (ROWS - 5), i)


PLAIN = ("gru", "standard", True, "mse", "error")


@pytest.mark.parametrize("missing", ["ffill", "interpolate", "mask"])
def test_a_forecast_equals_the_one_from_a_panel_that_ends_at_its_origin(missing):
    fitted = made_model("gru", "standard", True, "mse", missing)
    panel = made_panel(missing)
    for origin in range(4, ROWS):
        short = panel.head([origin + 1, 0])
        assert_same(forecast(fitted, panel, [origin]), forecast(fitted, short, [origin]))


def test_a_forecast_in_pieces_equals_one_call(monkeypatch):
    fitted, panel = made_model(*PLAIN), made_panel()
    origins = list(range(4, ROWS))
    whole = forecast(fitted, panel, origins)
    monkeypatch.setattr(module, "CHUNK", 7)
    # Rows of a matrix product may be summed in another order at another batch shape: float32.
    assert np.abs(forecast(fitted, panel, origins).mean - whole.mean).max() < 1e-5


def test_a_forecast_says_who_when_and_what_follows():
    found = forecast(made_model(*PLAIN), made_panel(), [5, ROWS + 9])
    assert found.name == "GRU"
    assert found.ids.tolist() == ["a", "b"]
    assert found.cutoffs.tolist() == [6, 10]
    assert found.times.tolist() == [[7, 8], [11, 12]]
    assert found.mean.shape == (2, 2)
    assert found.lo.shape == found.hi.shape == (2, 2, 0)


def test_no_origins_give_no_forecasts():
    found = forecast(made_model(*PLAIN), made_panel(), [])
    assert found.mean.shape == (0, 2)


@pytest.mark.parametrize("origin", [-1, 2 * ROWS, 10**6])
def test_an_origin_that_is_no_row_is_refused(origin):
    with pytest.raises(ConfigError, match=f"origin {origin} is no row of the panel: rows are 0 to 47"):
        forecast(made_model(*PLAIN), made_panel(), [10, origin])


@pytest.mark.parametrize(("origin", "series", "rows"), [(3, "a", 4), (ROWS, "b", 1)])
def test_a_window_that_would_begin_before_its_series_is_refused(origin, series, rows):
    with pytest.raises(
        DataError, match=f"series '{series}' has {rows} rows, the window is 5.*more history.*recipe='panel'"
    ):
        forecast(made_model(*PLAIN), made_panel(), [10, origin])


def test_an_input_never_seen_is_refused_with_its_series():
    panel = made_panel("ffill")
    panel.past[:7, 1] = np.nan
    with pytest.raises(DataError, match="series 'a' has an input without a single value up to ds 6"):
        forecast(made_model("gru", "standard", True, "mse", "ffill"), panel, [5])


def test_a_value_without_a_logarithm_is_refused_where_it_is_known_and_nowhere_else():
    fitted, panel = made_model("gru", "standard", "log", "mse", "error"), made_panel()
    panel.past[12, -1] = 0.0
    assert np.isfinite(forecast(fitted, panel, [11, 13]).mean).all()
    with pytest.raises(DataError, match="column 'y' holds 0, but the model learned log-returns"):
        forecast(fitted, panel, [12])


@pytest.mark.parametrize("level", [[0], [100], [-5], [101], ["90"], [True], [None], [float("nan")], 90, 0.5])
def test_a_level_that_is_no_coverage_is_refused(level):
    fitted = made_model("gru", "standard", True, "quantile", "error")
    with pytest.raises(ConfigError, match=r"^level="):
        fitted.forecast(fitted.source(made_panel()), np.array([10]), level=level)


def test_levels_are_sorted_and_nested():
    fitted = made_model("gru", "standard", "log", "student_t", "error")
    found = fitted.forecast(fitted.source(made_panel()), np.arange(4, 20), level=np.array([95, 50, 80]))
    assert found.level == (50, 80, 95)
    assert (np.diff(found.hi, axis=-1) > 0).all()
    assert (np.diff(found.lo, axis=-1) < 0).all()
    assert (found.lo[..., 0] < found.mean).all()
    assert (found.mean < found.hi[..., 0]).all()


def test_other_inputs_or_another_kind_of_time_are_refused():
    fitted, panel = made_model(*PLAIN), made_panel()
    renamed = replace(panel, schema=replace(panel.schema, past=("x2", "x1", "y")))
    with pytest.raises(DataError, match="trained on past inputs 'x1', 'x2', 'y', the table gives 'x2', 'x1', 'y'"):
        fitted.source(renamed)
    days = np.tile(np.datetime64("2020-01-01", "us") + np.arange(ROWS) * np.timedelta64(1, "D"), 2)
    dated = replace(panel, times=days, schema=replace(panel.schema, time_kind="date"))
    with pytest.raises(DataError, match="column 'ds' holds date times, the model was trained on integer ones"):
        fitted.source(dated)


def test_members_are_combined_as_the_recipe_says():
    panel = made_panel()
    fitted, _ = learn(panel, resolve(TINY | {"ensemble": 3, "combine": "median"}, panel), Training())
    batch = fitted.source(panel).batch(np.array([10, 30]))
    alone = [replace(fitted, members=(member,)).output(batch) for member in fitted.members]
    assert np.array_equal(fitted.output(batch), np.median(alone, axis=0))


def test_shrinkage_scales_the_forecast_change():
    fitted, panel = made_model(*PLAIN), made_panel()
    whole, half, none = (forecast(replace(fitted, shrinkage=s), panel, [10]).mean for s in (1.0, 0.5, 0.0))
    assert np.allclose(half - panel.y[10], (whole - panel.y[10]) / 2, rtol=1e-6)
    assert np.array_equal(none, np.full((1, 2), panel.y[10]))


@pytest.mark.parametrize(
    "choice", [PLAIN, ("lstm", "minmax", "log", "student_t", "mask"), ("rnn", "window", False, "quantile", "error")]
)
def test_packing_keeps_every_bit(choice):
    fitted = made_model(*choice)
    tensors, saved = pack(fitted)
    panel = made_panel(choice[-1])
    assert_same(forecast(unpack(tensors, saved), panel, [20, 40]), forecast(fitted, panel, [20, 40]))

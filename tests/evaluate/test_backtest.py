"""One split, one step after the other, on rows that the model never saw."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
import utilsforecast.losses as theirs
from evaluate_fakes import FakeModel
from hypothesis import given, settings
from hypothesis import strategies as st

import stepahead as sa
from stepahead.data.panel import Panel, Schema
from stepahead.errors import ConfigError, DataError, TrainingError
from stepahead.evaluate.backtest import backtest, holdout_verdict
from stepahead.evaluate.folds import train_lengths

WALK = np.cumsum(np.random.default_rng(2).normal(size=100)) + 30


def test_the_first_rows_train_and_every_later_row_is_forecast_from_the_row_before() -> None:
    model = FakeModel(slope=0.5, shift=True)
    result = backtest(model, Panel.from_arrays(WALK), test_size=0.3)
    assert len(model.fits) == 1
    np.testing.assert_array_equal(model.fits[0], WALK[:70])
    learned = np.diff(WALK[:70]).mean()
    expected = WALK[69:-1] + 0.5 * np.diff(WALK)[68:-1] + learned
    np.testing.assert_allclose(result.mean[:, 0], expected, rtol=1e-14)
    np.testing.assert_array_equal(result.actual.y[:, 0], WALK[70:])


@pytest.mark.parametrize(
    ("rows", "test_size", "n_train"),
    [(732, 0.3, 512), (10, 0.3, 7), (10, 0.9, 1), (10, 0.7, 3), (50, 12, 38)],
)
def test_the_training_part_is_rounded_down_but_not_by_rounding_errors(
    rows: int, test_size: float, n_train: int
) -> None:
    assert train_lengths(Panel.from_arrays(np.zeros(rows)), test_size).tolist() == [n_train]


@pytest.mark.parametrize("bad", [0, -0.1, 1.5, True, "half"])
def test_a_test_size_that_cannot_be_is_refused(bad: object) -> None:
    with pytest.raises(ConfigError, match="test_size="):
        backtest(FakeModel(), Panel.from_arrays(WALK), test_size=bad)  # type: ignore[arg-type]


def test_too_few_rows_and_no_truth_are_one_clear_line() -> None:
    with pytest.raises(DataError, match="no series has rows to train and rows to test, the longest has 1"):
        backtest(FakeModel(), Panel.from_arrays(np.ones(1)))
    gone = WALK.copy()
    gone[70:] = np.nan
    with pytest.raises(DataError, match="column 'y' has no value in the rows to test on"):
        backtest(FakeModel(), Panel.from_arrays(gone))


def test_clones_hold_rows_out_for_intervals_alone() -> None:
    model = FakeModel()
    backtest(model, Panel.from_arrays(WALK))
    backtest(model, Panel.from_arrays(WALK), level=[90])
    assert model.holdouts == [None, "auto"]


def test_the_model_itself_stays_as_it_was() -> None:
    model = FakeModel(shift=True)
    backtest(model, Panel.from_arrays(WALK))
    assert model.holdout == "auto"
    assert model.fitted_on_ == 0


def test_scores_stand_beside_their_baselines(ragged: Panel) -> None:
    result = backtest(FakeModel(season_length=4), ragged)
    assert set(result.scores) == {"FAKE"}
    assert set(result.baselines) == {"naive", "seasonal_naive", "drift"}
    for scores in (result.scores["FAKE"], *result.baselines.values()):
        assert {"mae", "rmse", "smape", "mase"} <= set(scores)
    assert result.scores["FAKE"] == result.baselines["naive"]  # without slope the fake repeats the last value
    assert (result.skill, result.p_value, result.beats, result.echo) == (0.0, 1.0, False, True)
    assert set(backtest(FakeModel(), ragged).baselines) == {"naive", "drift"}  # no season, no seasonal naive


def test_the_forecast_frame_is_read_by_utilsforecast_as_it_is(ragged: Panel) -> None:
    result = backtest(FakeModel(slope=0.3), ragged, level=[80, 95])
    frame = result.forecasts
    assert isinstance(frame, pl.DataFrame)
    bounds = ["FAKE-lo-80", "FAKE-hi-80", "FAKE-lo-95", "FAKE-hi-95"]
    assert frame.columns == ["unique_id", "ds", "cutoff", "y", "FAKE", *bounds]
    per_series = theirs.rmse(frame.drop("cutoff"), models=["FAKE"])["FAKE"]
    assert result.scores["FAKE"]["rmse"] == pytest.approx(per_series.mean(), rel=1e-12)
    per_series = theirs.coverage(frame.drop("cutoff"), models=["FAKE"], level=80)["FAKE"]
    assert result.scores["FAKE"]["coverage-80"] == pytest.approx(per_series.mean(), rel=1e-12)


def test_more_steps_are_all_scored_where_there_is_a_truth() -> None:
    result = backtest(FakeModel(slope=0.5, horizon=3), Panel.from_arrays(WALK))
    there = ~np.isnan(result.actual.y)
    assert there.sum(axis=1).tolist() == [3] * 28 + [2, 1]
    frame = result.forecasts
    assert len(frame) == 28 * 3 + 3
    assert (frame["ds"] - frame["cutoff"]).to_list() == [*([1, 2, 3] * 28), 1, 2, 1]
    assert frame["y"].to_list() == [WALK[ds - 1] for ds in frame["ds"]]


def test_missing_truths_are_left_out(ragged: Panel) -> None:
    result = backtest(FakeModel(), ragged)
    truth = result.forecasts["y"].to_numpy()
    assert np.isfinite(truth).all()
    assert len(truth) == 12 + 3 + 8 - 1  # the test part of 40, 7 and 25 rows; one of these rows has no value


def test_json_has_plain_values_and_the_promised_names(ragged: Panel) -> None:
    said = json.loads(json.dumps(backtest(FakeModel(), ragged, level=[90]).to_json(), allow_nan=False))
    assert {"scores", "baselines", "skill", "p_value", "echo", "beats", "verdict"} <= set(said)
    assert said["beats"] is False
    assert said["echo"] is True
    assert said["verdict"].startswith("Does not beat repeating the last value")
    assert said["scores"]["FAKE"]["rmse"] == said["baselines"]["naive"]["rmse"]


def test_curves_carry_what_a_picture_needs(ragged: Panel) -> None:
    result = backtest(FakeModel(horizon=2, slope=0.1), ragged, level=[90])
    curves = result.curves("c", step=2)
    assert len(curves.times) == len(curves.y) == 25
    assert curves.test_from == 18  # 17 of 25 rows train
    assert curves.ahead_times.tolist() == list(range(19, 26))
    assert curves.forecast.shape == curves.baseline.shape == (7,)
    assert curves.lo.shape == (7, 1)
    assert result.curves().id == "a"
    with pytest.raises(ConfigError, match="no series 'z'"):
        result.curves("z")


def test_scores_by_step_hold_every_model(ragged: Panel) -> None:
    frame = backtest(FakeModel(horizon=2), ragged).scores_by("step", metrics=["mae"])
    assert frame.columns == ["step", "model", "mae"]
    assert frame["model"].to_list() == ["FAKE", "FAKE", "naive", "naive", "drift", "drift"]


def test_a_holdout_is_judged_by_the_same_code() -> None:
    panel = Panel.from_arrays(WALK)
    fitted = FakeModel(slope=0.2, holdout=None).fit(panel.head(70))
    held, tested = holdout_verdict(fitted, panel, 70), backtest(FakeModel(slope=0.2), panel)
    assert held.verdict == tested.verdict
    assert held.scores == tested.scores


def test_a_forecast_that_is_not_a_number_is_an_error_not_a_score() -> None:
    class Broken(FakeModel):
        def forecast(self, panel, origins, *, level=()):
            found = super().forecast(panel, origins, level=level)
            found.mean[5] = np.nan
            return found

    with pytest.raises(TrainingError, match="FAKE: the forecast for series '1' at ds 75 is not a number"):
        backtest(Broken(), Panel.from_arrays(WALK))


def test_days_are_called_days() -> None:
    days = np.arange("2024-01-01", "2024-04-10", dtype="datetime64[D]")
    panel = Panel.from_arrays(WALK, times=days, target="close")
    said = str(backtest(FakeModel(), panel).verdict)
    assert said.startswith("Does not beat repeating the last close")
    assert said.endswith("the plot only echoes yesterday's value.")


def test_frames_come_back_in_the_kind_that_came_in_under_the_names_promised() -> None:
    panel = Panel.from_arrays(WALK)
    schema = Schema(series="shop", time="week", backend="pandas")
    frame = backtest(FakeModel(), Panel(**{**vars_of(panel), "schema": schema})).forecasts
    assert list(frame.columns) == ["unique_id", "ds", "cutoff", "y", "FAKE"]
    assert type(frame).__module__.startswith("pandas")


@pytest.mark.parametrize(("series", "time"), [("FAKE", "cutoff"), ("y", "FAKE"), ("cutoff", "y"), ("ds", "unique_id")])
def test_no_column_of_the_forecasts_takes_the_place_of_another(series: str, time: str) -> None:
    panel = Panel.from_arrays(WALK)
    plain = backtest(FakeModel(), panel).forecasts
    named = Panel(**{**vars_of(panel), "schema": replace(panel.schema, series=series, time=time)})
    assert backtest(FakeModel(), named).forecasts.equals(plain)


Given = Callable[[Any, Any], Any]
GIVEN: dict[str, Given] = {
    "backtest": lambda model, panel: sa.backtest(model, panel),
    "choose_window": lambda model, panel: sa.choose_window(model, panel, [1, 2]),
    "tune": lambda model, panel: sa.tune(model, panel, n_trials=1),
    "audit": lambda model, panel: sa.audit(model, panel),
}


@pytest.mark.parametrize("name", sorted(GIVEN))
def test_what_is_no_panel_or_no_model_is_one_clear_line(name: str) -> None:
    frame, panel = pl.DataFrame({"ds": [1, 2], "y": [1.0, 2.0]}), Panel.from_arrays(WALK)
    with pytest.raises(ConfigError, match=rf"{name} takes a Panel, not a DataFrame: stepahead.read\(table, \.\.\.\)"):
        GIVEN[name](FakeModel(), frame)
    with pytest.raises(DataError, match="the table has no rows"):
        GIVEN[name](FakeModel(), panel.head(np.array([0])))
    for model, told in ((FakeModel, "is a class"), (sa.SymbolModel(), "a SymbolModel")):
        with pytest.raises(ConfigError, match=told):
            GIVEN[name](model, panel)
    with pytest.raises(ConfigError, match="a int"):
        GIVEN[name](3, panel)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": -1}, "seed=-1 must be a whole number of at least 0"),
        ({"seed": "x"}, "seed='x' must be a whole number of at least 0"),
        ({"baselines": 5}, "baselines=5 must be a list out of 'auto_ets'"),
        ({"baselines": [5]}, "baselines=5 is not one of"),
        ({"checkpoint": 5}, "checkpoint=5 must be the name of a file"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_fitted(options: dict[str, Any], message: str) -> None:
    model = FakeModel()
    with pytest.raises(ConfigError, match=message):
        backtest(model, Panel.from_arrays(WALK), **options)
    assert model.fits == []


def test_groups_and_metrics_that_are_none_are_one_clear_line() -> None:
    result = backtest(FakeModel(), Panel.from_arrays(WALK))
    with pytest.raises(ConfigError, match="by=None is not one of 'series', 'step', 'cutoff'"):
        result.scores_by(None)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="by='foo' is not one of 'series', 'step', 'cutoff' or None"):
        result.coverage_by("foo")  # without intervals, too
    for wrong in (["x"], "x", 5):
        with pytest.raises(ConfigError, match=r"metrics=('x'|5) is not one of 'mae'"):
            result.scores_by("step", metrics=wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="window_curve=5 must be what choose_window found"):
        result.report("page.html", window_curve=5)  # type: ignore[arg-type]


def vars_of(panel: Panel) -> dict[str, object]:
    return {n: getattr(panel, n) for n in ("ids", "offsets", "times", "past", "future", "static")}


@given(seed=st.integers(0, 2**32 - 1), cutoff=st.integers(70, 99))
@settings(max_examples=50, deadline=None)
def test_rewriting_all_rows_after_a_cutoff_changes_no_forecast_made_by_then(seed: int, cutoff: int) -> None:
    check_nothing_leaks(lambda: FakeModel(slope=0.4, shift=True, horizon=3), WALK, cutoff, seed)


def check_nothing_leaks(make: Callable[[], FakeModel], values: np.ndarray, cutoff: int, seed: int) -> None:
    """The same bits before and after the rewrite; test_size is in rows so that both split alike."""
    panel, rewritten = Panel.from_arrays(values), values.copy()
    rewritten[cutoff:] = np.random.default_rng(seed).normal(size=len(values) - cutoff) * 1e6
    before = backtest(make(), panel)
    after = backtest(make(), panel.with_past(rewritten[:, None]))
    kept = before.origins < cutoff
    assert kept.any()
    np.testing.assert_array_equal(before.mean[kept], after.mean[kept])
    for name, means in before.baseline_means.items():
        np.testing.assert_array_equal(means[kept], after.baseline_means[name][kept])

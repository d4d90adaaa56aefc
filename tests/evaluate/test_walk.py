"""Walk-forward: where it fits, where it forecasts, and that a killed walk goes on to the same bits."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from evaluate_fakes import FakeModel
from hypothesis import given, settings
from hypothesis import strategies as st
from utilsforecast.evaluation import evaluate
from utilsforecast.losses import coverage, mae, rmse

from stepahead.data.panel import Panel
from stepahead.data.read import read
from stepahead.errors import ConfigError, DataError
from stepahead.evaluate.backtest import backtest
from stepahead.evaluate.folds import walk_forward
from stepahead.evaluate.walk import Walked
from stepahead.forecaster import Forecaster

WALK = np.cumsum(np.random.default_rng(12).normal(size=60)) + 30
PANEL = Panel.from_arrays(WALK)


def spans(**options) -> list[tuple[int, int, list[int]]]:
    """Training rows and origins of each fold of the one series."""
    folds = walk_forward(PANEL, 2, n_windows=4, step_size=5, **options)
    return [(int(f.starts[0]), int(f.stops[0]), f.origins.tolist()) for f in folds]


def test_the_last_cutoff_is_the_horizon_before_the_end_and_earlier_ones_every_step() -> None:
    assert spans() == [(0, 43, [42]), (0, 48, [47]), (0, 53, [52]), (0, 58, [57])]


def test_a_sliding_window_trains_on_as_many_rows_as_asked() -> None:
    assert spans(train_rows=20) == [(23, 43, [42]), (28, 48, [47]), (33, 53, [52]), (38, 58, [57])]


def test_refit_once_or_at_every_third() -> None:
    assert spans(refit=False) == [(0, 43, [42, 47, 52, 57])]
    assert spans(refit=3, train_rows=10) == [(33, 43, [42, 47, 52]), (48, 58, [57])]


def test_fits_see_the_rows_up_to_their_cutoff_and_forecasts_follow_them() -> None:
    model = FakeModel(slope=0.5, shift=True)
    result = backtest(model, PANEL, horizon=2, n_windows=3, step_size=5, train_rows=20)
    for seen, stop in zip(model.fits, (48, 53, 58), strict=True):
        np.testing.assert_array_equal(seen, WALK[stop - 20 : stop])
    learned = [np.diff(seen).mean() for seen in model.fits]
    expected = [WALK[o] + 0.5 * (WALK[o] - WALK[o - 1]) + m for o, m in zip((47, 52, 57), learned, strict=True)]
    np.testing.assert_allclose(result.mean[:, 0], expected, rtol=1e-13)
    assert result.n_fits == 3
    assert set(result.baselines) == {"naive", "drift", "window_mean"}


def test_one_fit_for_many_series_answers_by_series_and_by_time_too() -> None:
    two = Panel.from_arrays(np.concatenate([WALK, WALK]), ids=("a", "b"), offsets=[0, 60, 120])
    result = backtest(FakeModel(), two, n_windows=3, step_size=2, refit=False)
    assert result.origins.tolist() == [54, 56, 58, 114, 116, 118]


def test_windows_fill_the_test_part_where_no_number_is_given() -> None:
    result = backtest(FakeModel(horizon=3), PANEL, step_size=3, refit=False)  # 18 test rows
    assert (result.panel.times[result.origins] == [42, 45, 48, 51, 54, 57]).all()


def test_a_series_too_short_for_a_cutoff_is_left_out_of_that_one(ragged: Panel) -> None:
    result = backtest(FakeModel(), ragged, n_windows=8, step_size=2)
    counts = np.bincount(result.actual.series)
    assert counts.tolist() == [8, 3, 8]


def test_the_frame_is_read_by_utilsforecast_evaluate_as_it_is() -> None:
    clean = Panel.from_arrays(np.concatenate([WALK, WALK[::-1]]), ids=("a", "b"), offsets=[0, 60, 120])
    result = backtest(FakeModel(slope=0.2, horizon=4), clean, n_windows=5, step_size=4, level=[80])
    table = evaluate(result.forecasts, metrics=[mae, rmse, coverage], level=[80], models=["FAKE"])
    means = table.group_by("metric").agg(pl.col("FAKE").mean())
    peers = dict(means.iter_rows())
    assert result.scores["FAKE"]["mae"] == pytest.approx(peers["mae"], rel=1e-12)
    assert result.scores["FAKE"]["coverage-80"] == pytest.approx(peers["coverage_level80"], rel=1e-12)


def test_the_frame_of_a_table_with_other_names_is_read_by_utilsforecast_too() -> None:
    days = pd.date_range("2024-01-01", periods=60, freq="D")
    frames = [pd.DataFrame({"shop": shop, "day": days, "sold": y}) for shop, y in ((7, WALK), (9, WALK[::-1]))]
    panel = read(pd.concat(frames), series="shop", time="day", target="sold")
    result = backtest(FakeModel(slope=0.2, horizon=4), panel, n_windows=5, step_size=4, level=[80])
    table = evaluate(result.forecasts, metrics=[mae, rmse, coverage], level=[80], models=["FAKE"])
    assert set(table["unique_id"]) == {7, 9}
    means = table.groupby("metric")["FAKE"].mean()
    for ours, theirs in (("mae", "mae"), ("coverage-80", "coverage_level80")):
        assert result.scores["FAKE"][ours] == pytest.approx(means[theirs], rel=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_windows": 0}, "n_windows=0 must be a whole number of at least 1"),
        ({"n_windows": 2.5}, "n_windows=2.5 must be"),
        ({"n_windows": 3, "step_size": -1}, "step_size=-1 must be"),
        ({"n_windows": 3, "horizon": True}, "horizon=True must be"),
        ({"n_windows": 3, "refit": 0}, "refit=0 must be"),
        ({"n_windows": 3, "train_rows": 0}, "train_rows=0 must be"),
        ({"n_windows": 3, "test_size": 0.2}, "n_windows= and test_size= both say"),
        ({"train_rows": 10}, "train_rows= belongs to a walk-forward"),
    ],
)
def test_arguments_that_cannot_be_are_one_clear_line(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        backtest(FakeModel(), PANEL, **options)  # type: ignore[arg-type]


def test_more_windows_than_rows_is_one_clear_line() -> None:
    with pytest.raises(DataError, match="the longest series has 60 rows; 20 windows of horizon 1 every 5 rows need 97"):
        backtest(FakeModel(), PANEL, n_windows=20, step_size=5)


@pytest.mark.parametrize("options", [{"n_windows": 10**12}, {"n_windows": 2, "step_size": 10**27}, {"horizon": 10**27}])
def test_numbers_beyond_all_memory_are_more_windows_than_rows(options: dict[str, int]) -> None:
    with pytest.raises(DataError, match=r"the longest series has 60 rows; .* pass fewer windows"):
        backtest(FakeModel(), PANEL, **({"n_windows": 1} | options))  # type: ignore[arg-type]


def test_more_training_rows_than_there_are_is_all_rows() -> None:
    assert spans(train_rows=10**27) == spans()
    assert backtest(FakeModel(), PANEL, n_windows=1, step_size=10**27).origins.tolist() == [58]
    with pytest.raises(DataError, match="no series has rows to train and rows to test, the longest has 60"):
        backtest(FakeModel(), PANEL, test_size=10**27)


def test_too_few_training_rows_for_the_model_blame_train_rows() -> None:
    said = "the longest series has 3 rows; .* need 8 with a target; .*; each fit was given the train_rows=3 rows before"
    with pytest.raises(DataError, match=said):
        backtest(Forecaster(recipe="classic", max_steps=2), PANEL, n_windows=2, train_rows=3)


@pytest.mark.parametrize("refit", [True, False])
def test_a_flag_of_numpy_is_a_flag(refit: bool) -> None:
    once = backtest(FakeModel(), PANEL, n_windows=3, refit=np.bool_(refit))  # type: ignore[arg-type]
    assert once.n_fits == (3 if refit else 1)


def test_progress_tells_what_is_done_and_what_time_is_left() -> None:
    said: list[Walked] = []
    backtest(FakeModel(), PANEL, n_windows=4, progress=said.append)
    assert [(w.done, w.total) for w in said] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert said[0].seconds_left > 0
    assert said[-1].seconds_left == 0


class Killed(FakeModel):
    """Dies at the third fit, as a process would."""

    def fit(self, panel: Panel, **options):
        if len(self.fits) == 2:
            raise KeyboardInterrupt
        return super().fit(panel, **options)


def test_a_killed_walk_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    path = tmp_path / "walk.safetensors"
    options = {"n_windows": 5, "step_size": 3, "horizon": 2, "level": [80]}
    whole = backtest(FakeModel(slope=0.3, shift=True), PANEL, **options)
    with pytest.raises(KeyboardInterrupt):
        backtest(Killed(slope=0.3, shift=True), PANEL, checkpoint=path, **options)
    again = FakeModel(slope=0.3, shift=True)
    resumed = backtest(again, PANEL, checkpoint=path, **options)
    assert 3 <= len(again.fits) <= 4  # a write may have been put off; the first fold is always written
    for name in ("origins", "mean", "lo", "hi"):
        np.testing.assert_array_equal(getattr(resumed, name), getattr(whole, name))
    assert resumed.to_json() == whole.to_json()
    finished = FakeModel(slope=0.3, shift=True)
    assert backtest(finished, PANEL, checkpoint=path, **options).to_json() == whole.to_json()
    assert finished.fits == []


@pytest.mark.parametrize("change", ["model", "rows", "folds", "level"])
def test_a_checkpoint_of_another_backtest_is_refused(tmp_path: Path, change: str) -> None:
    path = tmp_path / "walk.safetensors"
    backtest(FakeModel(), PANEL, n_windows=2, checkpoint=path)
    model = FakeModel(slope=0.1 if change == "model" else 0.0)
    panel = Panel.from_arrays(WALK + (1e-9 if change == "rows" else 0))
    with pytest.raises(ConfigError, match="holds another backtest"):
        backtest(
            model,
            panel,
            n_windows=3 if change == "folds" else 2,
            level=[90] if change == "level" else (),
            checkpoint=path,
        )


class Together(FakeModel):
    """Fits several at once."""

    fleets: list[int]

    def fit_each(self, panels, **_):
        Together.fleets.append(len(panels))
        return [self.clone().fit(panel) for panel in panels]


def test_a_model_that_can_fits_many_folds_together_and_answers_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stepahead.evaluate.walk.FLEET_ROWS", 120)
    Together.fleets = []
    options = {"n_windows": 7, "step_size": 2}
    together = backtest(Together(slope=0.3, shift=True), PANEL, **options)
    alone = backtest(FakeModel(slope=0.3, shift=True), PANEL, **options)
    assert together.to_json() == alone.to_json()
    assert Together.fleets == [2, 2, 2]  # 47 to 59 rows each, so two at a time; the last one fits by itself


class Interrupted(FakeModel):
    """Ctrl-C ends a training, and what it has so far is kept with a warning, as the Forecaster does."""

    def fit(self, panel: Panel, **options):
        if len(self.fits) == 1:
            warnings.warn("interrupted after 3 steps: the best weights so far are kept", stacklevel=1)
        return super().fit(panel, **options)


def test_half_a_training_is_never_scored(tmp_path: Path) -> None:
    path = tmp_path / "walk.safetensors"
    with pytest.raises(KeyboardInterrupt):
        backtest(Interrupted(), PANEL, n_windows=3, checkpoint=path)
    again = FakeModel()
    backtest(again, PANEL, n_windows=3, checkpoint=path)
    assert len(again.fits) == 2


class Choosy(FakeModel):
    """Needs 10 rows behind an origin."""

    def ready_at(self, panel: Panel, origins: np.ndarray) -> np.ndarray:
        start = panel.offsets[np.searchsorted(panel.offsets, origins, side="right") - 1]
        return origins - start + 1 >= 10


def test_origins_that_a_model_cannot_answer_are_counted_not_scored(ragged: Panel) -> None:
    result = backtest(Choosy(), ragged)
    assert result.n_skipped == 3  # the three test rows of the series of 7
    assert set(result.actual.series.tolist()) == {0, 2}
    assert np.isfinite(result.scores["FAKE"]["rmse"])
    with pytest.raises(DataError, match="no row to forecast from has a full window behind it"):
        backtest(Choosy(), ragged.select(["b"]))


@given(seed=st.integers(0, 2**32 - 1), window=st.integers(0, 4), refit=st.sampled_from([True, False, 2]))
@settings(max_examples=40, deadline=None)
def test_rewriting_rows_after_a_cutoff_changes_no_forecast_made_by_then(
    seed: int, window: int, refit: bool | int
) -> None:
    options = {"horizon": 3, "n_windows": 5, "step_size": 4, "refit": refit, "train_rows": 25}
    before = backtest(FakeModel(slope=0.4, shift=True), PANEL, **options)
    cutoff = before.origins[window]
    rewritten = WALK.copy()
    rewritten[cutoff + 1 :] = np.random.default_rng(seed).normal(size=59 - cutoff) * 1e6
    after = backtest(FakeModel(slope=0.4, shift=True), Panel.from_arrays(rewritten), **options)
    np.testing.assert_array_equal(before.mean[: window + 1], after.mean[: window + 1])

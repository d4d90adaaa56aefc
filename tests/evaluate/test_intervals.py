"""Scores of intervals against naive loops, the levels that are always told, and bounds that turn as a stream's do."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluate_fakes import FakeModel
from scipy.stats import norm

import stepahead as sa
from stepahead.data.panel import Panel
from stepahead.errors import ConfigError
from stepahead.evaluate.backtest import backtest
from stepahead.evaluate.folds import split_at
from stepahead.evaluate.intervals import interval_losses
from stepahead.evaluate.metrics import Actual
from stepahead.evaluate.turning import record_of, turned
from stepahead.evaluate.walk import ARRAYS, answer
from stepahead.runtime.adaptive import Bounds

RNG = np.random.default_rng(5)
WALK = Panel.from_arrays(np.concatenate([RNG.normal(size=80).cumsum(), RNG.normal(size=60).cumsum()]) + 60,
                         ids=("a", "b"), offsets=[0, 80, 140])  # fmt: skip


def test_losses_of_bounds_equal_a_loop_over_their_quantiles() -> None:
    y, mean = RNG.normal(size=(2, 30, 1))
    half = np.array([0.5, 1.5])  # of 50 and 90 %
    losses = interval_losses(Actual.from_arrays(y), mean, (50, 90), mean[..., None] - half, mean[..., None] + half)
    quantiles = {0.05: mean - 1.5, 0.25: mean - 0.5, 0.5: mean, 0.75: mean + 0.5, 0.95: mean + 1.5}
    shares = {0.05: 0.15, 0.25: 0.225, 0.5: 0.25, 0.75: 0.225, 0.95: 0.15}  # of the probabilities nearest to each
    for n in range(30):
        each = {p: max(p * (y[n, 0] - q[n, 0]), (p - 1) * (y[n, 0] - q[n, 0])) for p, q in quantiles.items()}
        assert losses["pinball"][n, 0] == pytest.approx(sum(each.values()) / 5, rel=1e-12)
        assert losses["crps"][n, 0] == pytest.approx(2 * sum(each[p] * shares[p] for p in each), rel=1e-12)
        assert losses["coverage-90"][n, 0] == float(abs(y[n, 0] - mean[n, 0]) <= 1.5)
        assert losses["width-50"][n, 0] == pytest.approx(1.0)


def test_crps_of_the_four_usual_levels_is_near_the_closed_form_of_the_normal() -> None:
    """A right forecast N(0, 1) has the mean CRPS 1/sqrt(pi), Gneiting and Raftery 2007; nine quantiles: 3 % less."""
    z, y = np.array([0.67449, 1.28155, 1.64485, 1.95996]), np.random.default_rng(0).normal(size=(100_000, 1))
    bounds = np.broadcast_to(z, (*y.shape, 4))
    losses = interval_losses(Actual.from_arrays(y), np.zeros_like(y), (50, 80, 90, 95), -bounds, bounds)
    assert losses["crps"].mean() == pytest.approx(np.pi**-0.5, rel=0.04)


def test_crps_of_many_levels_nears_the_closed_form_of_the_normal() -> None:
    """CRPS of N(0, 1) at y: y (2 Phi(y) - 1) + 2 phi(y) - 1 / sqrt(pi)."""
    y, level = np.array([[-1.3, 0.0, 0.4, 2.0]]), np.arange(0.1, 100, 0.1)
    half = np.broadcast_to(norm.ppf(0.5 + level / 200), (*y.shape, len(level)))
    exact = y * (2 * norm.cdf(y) - 1) + 2 * norm.pdf(y) - 1 / np.sqrt(np.pi)
    found = interval_losses(Actual.from_arrays(y), np.zeros_like(y), level, -half, half)["crps"]
    np.testing.assert_allclose(found, exact, atol=1e-3)  # the tails beyond 99.9 % are cut off


def test_with_any_level_the_coverage_of_four_is_told_and_the_frame_has_those_asked_for() -> None:
    result = backtest(FakeModel(slope=0.2), WALK, level=[80])
    assert list(result.coverage) == [50, 80, 90, 95]
    assert {"coverage-50", "coverage-95", "width-90", "pinball", "crps"} <= set(result.scores["FAKE"])
    assert [c for c in result.forecasts.columns if "-lo-" in c] == ["FAKE-lo-80"]
    assert result.level == (80,)
    assert result.coverage[80.0] == pytest.approx(float(result.coverage_by()[80]))
    assert json.loads(json.dumps(result.to_json()))["coverage"]["95"] == result.coverage[95.0]
    assert backtest(FakeModel(), WALK).coverage == {}


def test_levels_come_in_order_and_each_once_and_none_that_cannot_be() -> None:
    result = backtest(FakeModel(), WALK, level=[95, 80.0, 80])
    assert result.level == (80, 95)
    assert [c for c in result.forecasts.columns if "-lo-" in c] == ["FAKE-lo-80", "FAKE-lo-95"]
    for level, message in (
        ([100], "level=100 must be a coverage"),
        (["x"], "level='x' must be"),
        (90, "level=90 must"),
    ):
        with pytest.raises(ConfigError, match=message):
            backtest(FakeModel(), WALK, level=level)  # type: ignore[arg-type]


class Few(FakeModel):
    """Cannot give more than 90 %, as a model with few held-out errors."""

    def forecast(self, panel, origins, *, level=()):
        if any(one > 90 for one in level):
            raise ConfigError("level=95 needs more than the 12 held-out errors; hold out more rows")
        return super().forecast(panel, origins, level=level)


def test_a_level_that_a_fit_cannot_give_is_left_out_unless_it_was_asked_for() -> None:
    result = backtest(Few(), WALK, level=[80])
    assert list(result.coverage) == [50, 80, 90]
    assert result.coverage == {k: v for k, v in backtest(FakeModel(), WALK, level=[80]).coverage.items() if k < 95}
    with pytest.raises(ConfigError, match="level=95 needs"):
        backtest(Few(), WALK, level=[80, 95])


def test_scores_by_series_step_and_cutoff_tell_of_intervals_too() -> None:
    result = backtest(FakeModel(horizon=2), WALK, n_windows=4, step_size=3, level=[50, 90])
    for by, groups in (("series", 2), ("step", 2), ("cutoff", 8)):
        frame = result.scores_by(by)
        own = frame.filter(frame["model"] == "FAKE")
        assert len(own) == groups
        np.testing.assert_allclose(own["coverage-90"], result.coverage_by(by)[90])
        assert {"pinball", "crps", "width-50", "coverage-95"} <= set(frame.columns)
        if by == "step":  # as many truths each: the overall score is their mean
            for name in ("pinball", "crps", "coverage-80"):
                assert own[name].mean() == pytest.approx(result.scores["FAKE"][name])
        assert np.isnan(frame.filter(frame["model"] == "naive")["crps"].to_numpy()).all()


MODELS = {
    "price": {"recipe": "price", "max_steps": 20},
    "classic, several steps": {"recipe": "classic", "max_steps": 10, "horizon": 3},
    "panel": {"recipe": "panel", "max_steps": 6, "horizon": 2, "window": 8, "ensemble": 1},
}


@pytest.mark.parametrize("params", MODELS.values(), ids=list(MODELS))
def test_adaptive_bounds_are_those_of_a_stream_pushed_row_by_row(params: dict[str, object]) -> None:
    model = sa.Forecaster(**params, season_length=None, holdout=0.5)  # type: ignore[arg-type]
    result = backtest(model, WALK, level=[50, 80], adaptive=True)
    fitted = model.clone().fit(WALK.head(np.array([56, 42])))
    mine = result.origins < 80
    stream = fitted.stream(WALK.select(["a"]).head(np.array([56])), level=(50, 80))
    said = [stream.forecast()]
    said += [stream.push({"y": float(value)}) for value in WALK.y[56:79]]
    np.testing.assert_allclose(result.lo[mine], [one.lo[0] for one in said], rtol=1e-5)
    np.testing.assert_allclose(result.hi[mine], [one.hi[0] for one in said], rtol=1e-5)


@pytest.mark.parametrize("params", MODELS.values(), ids=list(MODELS))
def test_a_split_learns_from_each_truth_unless_it_is_told_not_to(params: dict[str, object], tmp_path: Path) -> None:
    model = sa.Forecaster(**params, season_length=None, holdout=0.5)  # type: ignore[arg-type]
    told, learned, fitted = (backtest(model, WALK, level=[50, 80], adaptive=a) for a in (None, True, False))
    assert told.forecasts.equals(learned.forecasts)
    assert not told.forecasts.equals(fitted.forecasts)
    assert told.coverage_as_fitted == learned.coverage_as_fitted == fitted.coverage
    assert fitted.coverage_as_fitted == {} == backtest(model, WALK).coverage_as_fitted
    assert json.loads(json.dumps(told.to_json()))["coverage_as_fitted"].keys() == {"50", "80", "90", "95"}
    # One file of the fits done serves all three.
    path = tmp_path / "done"
    for adaptive, expected in ((False, fitted), (None, told), (True, learned)):
        again = backtest(model, WALK, level=[50, 80], adaptive=adaptive, checkpoint=path)
        assert again.forecasts.equals(expected.forecasts)
    fits = backtest(model, WALK, level=[80], n_windows=4, step_size=1, refit=False)
    assert fits.coverage_as_fitted
    assert not backtest(model, WALK, level=[80], n_windows=2, step_size=1).coverage_as_fitted


def test_intervals_learn_across_rows_that_the_model_cannot_answer_from() -> None:
    """Origins 60 to 64 of the first series are taken away: their truths are seen, and nothing was forecast there."""
    model = sa.Forecaster(recipe="classic", max_steps=5, season_length=None, holdout=0.5, horizon=2)
    fitted = model.clone().fit(WALK.head(np.array([56, 42])))
    whole = answer(fitted, WALK, split_at(WALK, np.array([56, 42])), (80,))
    kept = ~np.isin(whole.origins, np.arange(60, 65))
    part = replace(whole, **{name: getattr(whole, name)[kept] for name in ARRAYS})
    found, without = turned(WALK, part), turned(WALK, whole)
    early = part.origins < 60
    np.testing.assert_array_equal(found.hi[early], without.hi[kept][early])
    record = record_of(whole, np.array([0]))
    for n, origin in enumerate(part.origins[part.origins < 80]):
        for row in range(55 if n == 0 else part.origins[n - 1], origin):
            record.judge(float(WALK.y[row + 1]))
            if row + 1 < origin:
                record.skip(1)
        bounds = record.stretch(Bounds(*(x[n].tolist() for x in (part.mean, part.lo, part.hi))))
        np.testing.assert_array_equal(found.lo[n], bounds.lo)


def test_adaptive_bounds_know_no_later_truth() -> None:
    past = WALK.past.copy()
    past[70:80] = 500  # of the first series; its origins are 55 to 78
    model = sa.Forecaster(recipe="classic", max_steps=5, season_length=None, holdout=0.5)
    one, other = (backtest(model, p, level=[80], adaptive=True) for p in (WALK, WALK.with_past(past)))
    early, late = one.origins < 70, (one.origins >= 70) & (one.origins < 80)
    np.testing.assert_array_equal(one.hi[early], other.hi[early])
    assert (one.hi[late] != other.hi[late]).any()


def test_adaptive_bounds_need_a_single_fit_with_forecasts_a_row_apart() -> None:
    model = sa.Forecaster(recipe="classic", max_steps=5, season_length=None, holdout=0.5)
    with pytest.raises(ConfigError, match="adaptive='x' must be True, False or None"):
        backtest(model, WALK, level=[80], adaptive="x")  # type: ignore[arg-type]
    wrong: list[tuple[Any, dict[str, Any]]] = [
        (model, {}),
        (model, {"level": [80], "n_windows": 3}),
        (model, {"level": [80], "n_windows": 3, "step_size": 2, "refit": False}),
        (FakeModel(), {"level": [80]}),
    ]
    for asked, plan in wrong:
        with pytest.raises(ConfigError, match="of a Forecaster, of a single fit with a forecast at every row"):
            backtest(asked, WALK, adaptive=True, **plan)


def test_with_a_level_folds_train_together_in_the_bits_that_each_has_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    fits: list[int] = []
    whole = sa.Forecaster.fit_each
    monkeypatch.setattr(sa.Forecaster, "fit_each", lambda s, p, **more: fits.append(len(p)) or whole(s, p, **more))
    model = sa.Forecaster(recipe="classic", max_steps=8, season_length=None)
    plan = {"n_windows": 4, "step_size": 3, "level": [80]}
    together = backtest(model, WALK, **plan)  # type: ignore[arg-type]
    assert fits == [4]
    monkeypatch.setattr("stepahead.evaluate.walk.FLEET_ROWS", 0)
    alone = backtest(model, WALK, **plan)  # type: ignore[arg-type]
    assert fits == [4]
    assert together.forecasts.equals(alone.forecasts)
    assert together.coverage == alone.coverage


def test_a_fold_too_short_to_hold_out_goes_without_as_it_does_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of these folds has 10 rows: 8 of them are a window and its horizon, and nothing can be held out."""
    model = sa.Forecaster(recipe="classic", max_steps=4, season_length=None, head="quantile")
    short = WALK.select(["a"]).head(np.array([20]))
    plan = {"n_windows": 6, "step_size": 2, "level": [80]}
    together = backtest(model, short, **plan)  # type: ignore[arg-type]
    monkeypatch.setattr("stepahead.evaluate.walk.FLEET_ROWS", 0)
    assert together.forecasts.equals(backtest(model, short, **plan).forecasts)  # type: ignore[arg-type]


@pytest.mark.parametrize("n_windows", [5, 1])
def test_a_training_part_too_short_for_intervals_is_told_what_helps(n_windows: int) -> None:
    """The first of five holds nothing out; the one has a few errors, and 99 % needs more."""
    short = WALK.select(["a"]).head(np.array([16 if n_windows == 5 else 42]))
    model = sa.Forecaster(recipe="classic", max_steps=2)
    with pytest.raises(ConfigError, match="rows is too short to hold out what intervals of level=99 need; give more"):
        backtest(model, short, level=[99], n_windows=n_windows)
    with pytest.raises(ConfigError, match="fit with holdout='auto'"):
        backtest(model.set_params(holdout=None), short, level=[80], n_windows=n_windows)

"""Classical baselines: the forecasts of statsforecast itself, from rows up to each origin alone."""

import json
import sys
from typing import Any

import numpy as np
import pytest
from evaluate_fakes import FakeModel

import stepahead as sa
from stepahead.data.panel import Panel
from stepahead.errors import ConfigError, MissingExtraError
from stepahead.evaluate.backtest import backtest

T = np.arange(96)
SEASONAL = 20 + 3 * np.sin(2 * np.pi * T / 12) + np.random.default_rng(0).normal(scale=0.5, size=96)
PANEL = Panel.from_arrays(np.concatenate([SEASONAL, SEASONAL[::-1]]), ids=("a", "b"), offsets=[0, 96, 192])
NAMES = ("auto_ets", "auto_arima", "theta")


def walk(panel: Panel, season: int | None = None, **options: Any) -> Any:
    """Without a season AutoARIMA takes a tenth of a second a fit, with one some seconds."""
    plan = {"n_windows": 3, "step_size": 4, "baselines": NAMES} | options
    return backtest(FakeModel(horizon=2, season_length=season), panel, **plan)


def test_they_are_what_statsforecast_says_at_each_cutoff() -> None:
    models = pytest.importorskip("statsforecast.models")
    plain, seasonal = walk(PANEL, baselines=["auto_arima"]), walk(PANEL, 12, baselines=["auto_ets", "theta"])
    for result, name, kind, season in (
        (plain, "auto_arima", models.AutoARIMA, 1),
        (seasonal, "auto_ets", models.AutoETS, 12),
        (seasonal, "theta", models.Theta, 12),
    ):
        known = [y[:stop] for y in (SEASONAL, SEASONAL[::-1]) for stop in (86, 90, 94)]
        expected = [kind(season_length=season).fit(y.copy()).predict(h=2)["mean"] for y in known]
        np.testing.assert_allclose(result.baseline_means[name], expected, rtol=1e-12, err_msg=name)
        assert name in result.baselines


def test_without_a_refit_the_parameters_of_the_first_fit_are_applied_to_the_rows_since() -> None:
    models = pytest.importorskip("statsforecast.models")
    result = walk(PANEL, 12, refit=False, baselines=["theta"])
    fitted = models.Theta(season_length=12).fit(SEASONAL[:86])
    expected = [fitted.predict(h=2)["mean"], *(fitted.forward(y=SEASONAL[:s], h=2)["mean"] for s in (90, 94))]
    np.testing.assert_allclose(result.baseline_means["theta"][:3], expected, rtol=1e-12)


def test_rewriting_later_rows_changes_no_forecast_made_before_them() -> None:
    past = PANEL.past.copy()
    past[91:96], past[96 + 91 :] = 1e6, -1e6
    for refit, names in ((True, ("auto_ets", "theta")), (False, NAMES)):
        before, after = (walk(p, refit=refit, baselines=names) for p in (PANEL, PANEL.with_past(past)))
        early = PANEL.times[before.origins] <= 90
        assert early.sum() == 4
        for name in names:
            np.testing.assert_array_equal(before.baseline_means[name][early], after.baseline_means[name][early])


@pytest.mark.parametrize("y", [SEASONAL * 0 + 3, SEASONAL - 25, np.where(T % 5 == 2, np.nan, SEASONAL), SEASONAL[:14]])
def test_constant_negative_gappy_and_short_series_are_forecast_by_numbers(y: np.ndarray) -> None:
    result = walk(Panel.from_arrays(y), n_windows=2, step_size=1)
    for name in NAMES:
        assert np.isfinite(result.baseline_means[name]).all(), name


def test_a_series_too_short_for_a_fit_gets_the_naive_forecast() -> None:
    result = walk(Panel.from_arrays(SEASONAL[:9]), n_windows=2, step_size=1)
    np.testing.assert_array_equal(result.baseline_means["auto_ets"], result.baseline_means["naive"])


def test_they_can_be_the_best_baseline_and_the_verdict_names_them() -> None:
    result = walk(PANEL, 12, baselines=["theta"], n_windows=10, step_size=1)
    assert result.verdict.baseline == "theta"
    assert "the Theta method" in str(result.verdict)
    json.dumps(result.to_json())


def test_an_unknown_name_is_one_clear_line() -> None:
    with pytest.raises(ConfigError, match="baselines='arima' is not one of 'auto_ets', 'auto_arima', 'theta'"):
        walk(PANEL, baselines=["arima"])


def test_without_statsforecast_the_extra_is_asked_for_before_any_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "statsforecast.models", None)  # an import of it fails as if it were not there
    model = FakeModel()
    with pytest.raises(MissingExtraError, match=r"pip install 'stepahead\[stats\]'"):
        backtest(model, PANEL, baselines=["theta"])
    assert model.fits == []
    assert sa.backtest(model, PANEL).n_fits == 1

"""Metrics against utilsforecast.losses, a package of others, and against loops."""

from functools import partial

import numpy as np
import polars as pl
import pytest
import utilsforecast.losses as theirs

from stepahead.errors import ConfigError
from stepahead.evaluate.intervals import quantile_losses
from stepahead.evaluate.metrics import (
    METRICS,
    Actual,
    average,
    covered,
    insample_errors,
    pinball,
    score,
    width,
)

S, C, H, SEASON = 3, 5, 4, 6
RNG = np.random.default_rng(3)
HISTORY = np.cumsum(RNG.normal(size=(S, 60)), axis=1) * np.array([[1.0], [10.0], [0.1]]) + 20
SERIES = np.repeat(np.arange(S), C)
CUTOFF = np.tile(np.arange(C), S)
ORIGIN = 35 + H * CUTOFF  # a cutoff every H rows: the windows do not share rows
Y = np.stack([HISTORY[s, o + 1 : o + 1 + H] for s, o in zip(SERIES, ORIGIN, strict=True)])
FORECAST = Y + RNG.normal(size=Y.shape)
SPREAD = np.abs(RNG.normal(size=Y.shape))
TRAIN = HISTORY[:, :36]
SCALES = np.array([insample_errors(row, SEASON) for row in TRAIN])[SERIES]
ACTUAL = Actual(Y, SERIES, CUTOFF, *SCALES.T)

LONG = pl.DataFrame(
    {
        "unique_id": np.repeat(SERIES, H),
        "ds": (ORIGIN[:, None] + np.arange(1, H + 1)).ravel(),
        "cutoff": np.repeat(CUTOFF, H),
        "step": np.tile(np.arange(H), S * C),
        "y": Y.ravel(),
        "LSTM": FORECAST.ravel(),
        "LSTM-lo-90": (FORECAST - SPREAD).ravel(),
        "LSTM-hi-90": (FORECAST + SPREAD).ravel(),
    }
)
TRAIN_LONG = pl.DataFrame(
    {"unique_id": np.repeat(np.arange(S), 36), "ds": np.tile(np.arange(36), S), "y": TRAIN.ravel()}
)
PEERS = {
    "mae": theirs.mae,
    "rmse": theirs.rmse,
    "bias": theirs.bias,
    "smape": lambda df, models: theirs.smape(df, models).with_columns(pl.col("LSTM") * 200),
    "mase": partial(theirs.mase, seasonality=SEASON, train_df=TRAIN_LONG),
    "rmsse": partial(theirs.rmsse, seasonality=SEASON, train_df=TRAIN_LONG),
    "wape": theirs.wape,
}


def by_peer(loss, by: str | None) -> np.ndarray:
    """The same grouping through their functions: the group takes the place of their id where it splits a series."""
    flat = LONG.drop("cutoff")
    if by in (None, "series"):
        per_series = loss(flat, models=["LSTM"]).sort("unique_id")["LSTM"].to_numpy()
        return per_series if by else per_series.mean()
    key = {"step": "step", "cutoff": "cutoff"}[by]
    parts = [loss(part.drop("cutoff"), models=["LSTM"]) for _, part in sorted(LONG.group_by(key))]
    return np.array([part["LSTM"].mean() for part in parts])


@pytest.mark.parametrize("by", [None, "series", "step", "cutoff"])
@pytest.mark.parametrize("name", sorted(METRICS))
def test_each_metric_equals_utilsforecast_in_each_grouping(name: str, by: str | None) -> None:
    ours = score(ACTUAL, FORECAST, by=by, metrics=[name])[name]
    np.testing.assert_allclose(ours, by_peer(PEERS[name], by), rtol=1e-12)


def naive_loop(name: str, y: np.ndarray, f: np.ndarray, scale: tuple[float, float]) -> float:
    pairs = [(a, b) for a, b in zip(y.ravel(), f.ravel(), strict=True) if not np.isnan(a)]
    n = len(pairs)
    sums = {
        "mae": sum(abs(a - b) for a, b in pairs) / n,
        "rmse": (sum((a - b) ** 2 for a, b in pairs) / n) ** 0.5,
        "bias": sum(b - a for a, b in pairs) / n,
        "smape": sum(200 * abs(a - b) / (abs(a) + abs(b)) if a or b else 0.0 for a, b in pairs) / n,
        "mase": sum(abs(a - b) for a, b in pairs) / n / scale[0],
        "rmsse": (sum((a - b) ** 2 for a, b in pairs) / n / scale[1]) ** 0.5,
        "wape": sum(abs(a - b) for a, b in pairs) / sum(abs(a) for a, _ in pairs),
    }
    return sums[name]


@pytest.mark.parametrize("name", sorted(METRICS))
def test_each_metric_equals_a_loop_that_leaves_missing_truths_out(name: str) -> None:
    y = Y.copy()
    y[0, 1], y[4], y[7, 2], y[8, 3] = np.nan, np.nan, 0.0, 0.0
    forecast = FORECAST.copy()
    forecast[7, 2] = 0.0  # both are 0: no percentage error
    actual = Actual(y, SERIES, CUTOFF, *SCALES.T)
    rows = [np.flatnonzero(s == SERIES) for s in range(S)]
    per_series = [naive_loop(name, y[r], forecast[r], SCALES[r[0]]) for r in rows]
    np.testing.assert_allclose(score(actual, forecast, by="series")[name], per_series, rtol=1e-12)
    np.testing.assert_allclose(score(actual, forecast)[name], np.mean(per_series), rtol=1e-12)


@pytest.mark.parametrize("q", [0.05, 0.5, 0.9])
def test_pinball_equals_utilsforecast(q: float) -> None:
    expected = theirs.quantile_loss(LONG.drop("cutoff"), models={"LSTM": "LSTM"}, q=q)["LSTM"].mean()
    assert float(average(pinball(Y, FORECAST, q), ACTUAL)) == pytest.approx(expected, rel=1e-12)


def test_pinball_of_bounds_equals_utilsforecast_before_its_scaling() -> None:
    """What they call CRPS is twice the mean pinball loss of the quantiles."""
    names, probabilities = ["LSTM-lo-90", "LSTM", "LSTM-hi-90"], np.array([0.05, 0.5, 0.95])
    scaled = theirs.scaled_crps(LONG.drop("cutoff"), models={"LSTM": names}, quantiles=probabilities).sort("unique_id")
    unscaled = scaled["LSTM"].to_numpy() * np.abs(Y).reshape(S, -1).mean(axis=1)
    bounds = (FORECAST - SPREAD)[..., None], (FORECAST + SPREAD)[..., None]
    found = average(quantile_losses(Y, FORECAST, [90.0], *bounds)["pinball"], ACTUAL, "series")
    np.testing.assert_allclose(2 * found, unscaled, rtol=1e-9)  # they add an epsilon to the divisor


def test_coverage_and_width_equal_utilsforecast_and_a_loop() -> None:
    lo, hi = FORECAST - SPREAD, FORECAST + SPREAD
    expected = theirs.coverage(LONG.drop("cutoff"), models=["LSTM"], level=90)["LSTM"].mean()
    assert float(average(covered(Y, lo, hi), ACTUAL)) == pytest.approx(expected, rel=1e-12)
    assert float(average(width(Y, lo, hi), ACTUAL)) == pytest.approx(2 * SPREAD.mean(), rel=1e-12)


def test_changes_whose_squares_are_below_all_numbers_give_no_yardstick_of_squares() -> None:
    absolute, squared = insample_errors(1e-300 * np.arange(9.0))
    assert absolute == pytest.approx(1e-300)
    assert np.isnan(squared)


def test_a_series_without_a_yardstick_is_left_out_of_mase_alone() -> None:
    constant = insample_errors(np.ones(9))
    assert np.isnan(constant).all()
    scales = np.array([constant, insample_errors(TRAIN[1]), insample_errors(TRAIN[2])])[SERIES]
    found = score(Actual(Y, SERIES, CUTOFF, *scales.T), FORECAST, by="series")
    assert np.isnan(found["mase"][0])
    assert not np.isnan(found["mae"]).any()
    overall = score(Actual(Y, SERIES, CUTOFF, *scales.T), FORECAST)["mase"]
    assert overall == pytest.approx(found["mase"][1:].mean(), rel=1e-12)


def test_a_group_without_a_truth_has_no_score_and_others_keep_theirs() -> None:
    y = Y.copy()
    y[:, 3] = np.nan
    found = score(Actual(y, SERIES, CUTOFF, *SCALES.T), FORECAST, by="step")["rmse"]
    assert np.isnan(found[3])
    assert not np.isnan(found[:3]).any()


def test_an_unknown_grouping_is_refused() -> None:
    with pytest.raises(ConfigError, match="by='window' is not one of 'series', 'step', 'cutoff' or None"):
        score(ACTUAL, FORECAST, by="window")


def test_a_part_no_longer_than_its_season_is_measured_by_its_steps() -> None:
    y = np.random.default_rng(0).normal(size=24)
    assert insample_errors(y, 24) == insample_errors(y)
    assert insample_errors(y, 23) != insample_errors(y)

"""Intervals against worked numbers, and against their own promise on rows that nobody saw."""

import numpy as np
import pytest

from stepahead.data.panel import Panel
from stepahead.errors import ConfigError
from stepahead.evaluate.conformal import (
    conformal_quantile,
    fit_quantiles,
    fit_split,
    local_scale,
    start_adaptive,
)

LEVELS = (50.0, 80.0, 90.0, 95.0)
S, T, H = 60, 500, 3
TRAINED, CALIBRATED = 250, 350  # rows to fit on, and where calibration ends


def processes(kind: str) -> np.ndarray:
    """S series of T rows: AR(1); with a wandering variance; with a season; with growing variance and a trend."""
    rng, t = np.random.default_rng(0), np.arange(T)
    shocks = rng.normal(size=(S, T))
    if kind == "heteroscedastic":
        shocks = shocks * np.exp(0.8 * np.sin(2 * np.pi * t / 120 + rng.uniform(0, 6, size=(S, 1))))
    if kind == "drifting":
        shocks = shocks * np.exp(2 * t / T)
    y = np.zeros((S, T))
    for i in range(1, T):
        y[:, i] = 0.7 * y[:, i - 1] + shocks[:, i]
    trend = {"seasonal": 5 * np.sin(2 * np.pi * t / 12), "drifting": 0.02 * t}.get(kind, 0 * t)
    return y + trend


def forecasts(y: np.ndarray) -> np.ndarray:
    """[S, T, H]: an autoregression of 13 lags, fitted by least squares on the training part, iterated."""
    lags, found = 13, np.full((*y.shape, H), np.nan)
    for s, series in enumerate(y):
        windows = np.lib.stride_tricks.sliding_window_view(series, lags)
        x = np.column_stack([windows, np.ones(len(windows))])
        weights = np.linalg.lstsq(x[: TRAINED - lags], series[lags:TRAINED], rcond=None)[0]
        for h in range(H):
            found[s, lags - 1 :, h] = step = x @ weights
            x = np.column_stack([x[:, 1:lags], step, x[:, -1]])
    return found


def setting(kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    y = processes(kind)
    truth = np.full((S, T, H), np.nan)
    for h in range(H):
        truth[:, : T - 1 - h, h] = y[:, 1 + h :]
    panel = Panel.from_arrays(y.ravel(), ids=[str(s) for s in range(S)], offsets=np.arange(S + 1) * T)
    return y, truth, forecasts(y), local_scale(panel, np.arange(S * T)).reshape(S, T)


def share_inside(truth: np.ndarray, lo: np.ndarray, hi: np.ndarray) -> np.ndarray:
    """[H, L] of truths [..., H] within bounds [..., H, L]."""
    inside = np.where(np.isnan(truth)[..., None], np.nan, (truth[..., None] >= lo) & (truth[..., None] <= hi))
    return np.nanmean(inside.reshape(-1, *inside.shape[-2:]), axis=0)


KNOWN, TESTED = slice(TRAINED - 1, CALIBRATED - 1 - H), slice(CALIBRATED - 1, T)


@pytest.mark.parametrize("kind", ["autoregressive", "heteroscedastic", "seasonal", "drifting"])
def test_split_intervals_cover_what_they_say(kind: str) -> None:
    """30,000 truths, correlated within a series: 90 % must come out between 88 and 92 %."""
    _, truth, mean, scale = setting(kind)
    bounds = [
        fit_split(truth[s, KNOWN], mean[s, KNOWN], scale[s, KNOWN]).interval(mean[s, TESTED], [90], scale[s, TESTED])
        for s in range(S)
    ]
    found = share_inside(truth[:, TESTED], *(np.stack(side) for side in zip(*bounds, strict=True)))
    assert (np.abs(found - 0.9) < 0.02).all(), found


@pytest.mark.parametrize("kind", ["autoregressive", "heteroscedastic", "seasonal", "drifting"])
def test_adaptive_intervals_cover_what_they_say_at_every_level_and_step(kind: str) -> None:
    y, truth, mean, scale = setting(kind)
    errors = np.swapaxes(np.abs(truth - mean)[:, KNOWN] / scale[:, KNOWN, None], 1, 2)
    state, bounds = start_adaptive(errors, LEVELS), []
    for t in range(CALIBRATED - 1, T):
        state, lo, hi = state.push(y[:, t], mean[:, t], scale[:, t])
        bounds.append((lo, hi))
    found = share_inside(truth[:, TESTED], *(np.stack(side, axis=1) for side in zip(*bounds, strict=True)))
    np.testing.assert_allclose(found, np.broadcast_to(np.array(LEVELS) / 100, (H, 4)), atol=0.02)


def test_adaptation_holds_where_a_fixed_width_fails() -> None:
    """Errors that grow threefold after calibration, without the help of a local scale."""
    rng = np.random.default_rng(1)
    y = rng.normal(size=(40, 800)) * np.linspace(1, 3, 800)
    state, fixed = (start_adaptive(np.abs(y[:, None, :200]), [90], gamma=g, keep=200) for g in (0.05, 0.0))
    radius = np.quantile(np.abs(y[:, :200]), 0.9)
    inside = []
    for t in range(200, 799):
        state, lo, hi = state.push(y[:, t], np.zeros((40, 1)))
        fixed, _, _ = fixed.push(y[:, t], np.zeros((40, 1)))
        inside.append((y[:, t + 1] >= lo[:, 0, 0]) & (y[:, t + 1] <= hi[:, 0, 0]))
    assert abs(np.mean(inside) - 0.9) < 0.02
    assert (np.abs(y[:, 201:]) <= radius).mean() < 0.7
    assert (fixed.alpha == 0.1).all()


def test_the_quantile_is_the_rank_that_the_theory_asks_for() -> None:
    """Of 9 scores 1..9 the ceil(10 x .9) = 9th covers 90 %, the ceil(10 x .5) = 5th half, none covers 95 %."""
    assert conformal_quantile(np.arange(1.0, 10.0), [50, 90, 95]).tolist() == [5.0, 9.0, np.inf]


def test_split_is_per_step_and_in_units_of_the_scale() -> None:
    y, mean = np.zeros((9, 2)), np.column_stack([np.arange(1.0, 10.0), 2 * np.arange(1.0, 10.0)])
    lo, hi = fit_split(y, mean, np.full(9, 2.0)).interval(np.zeros((1, 2)), [90], np.array([10.0]))
    assert hi[0, :, 0].tolist() == [45.0, 90.0]
    assert (lo == -hi).all()


def test_too_few_errors_for_a_level_are_said() -> None:
    with pytest.raises(ConfigError, match="level=95 needs more than the 9 out-of-sample errors"):
        fit_split(np.zeros((9, 1)), np.ones((9, 1))).interval(np.zeros((1, 1)), [95])


def test_quantiles_that_promise_too_much_are_widened_and_too_little_narrowed() -> None:
    """A normal truth, bounds at 0.5 and at 2.5 deviations for 80 %: both come to about 1.28."""
    y = np.random.default_rng(2).normal(size=(20_000, 1))
    for bound in (0.5, 2.5):
        hi = np.full((20_000, 1, 1), bound)
        lo, hi = fit_quantiles(y[:10_000], -hi[:10_000], hi[:10_000], [80]).interval(-hi[10_000:], hi[10_000:])
        assert hi[0, 0, 0] == pytest.approx(1.2816, abs=0.04)
        assert abs(((y[10_000:, 0] >= lo[:, 0, 0]) & (y[10_000:, 0] <= hi[:, 0, 0])).mean() - 0.8) < 0.015


def test_pushing_by_hand_moves_alpha_as_the_paper_says() -> None:
    """alpha = .1, gamma = .1: a miss takes it to .1 + .1 (.1 - 1) = .01, a hit to .01 + .1 x .1 = .02."""
    start = start_adaptive(np.arange(1.0, 20.0)[None], [90], gamma=0.1)
    state, lo, hi = start.push(np.nan, np.array([0.0]))
    assert (lo[0, 0], hi[0, 0]) == (-18.0, 18.0)  # ceil(20 x .9) = 18th
    state, lo, hi = state.push(25.0, np.array([0.0]))
    assert state.alpha[0, 0] == pytest.approx(0.01)
    assert hi[0, 0] == 50.0  # ceil(21 x .99) = 21st of 20: beyond the largest, 25, hence twice it
    state, _, _ = state.push(0.0, np.array([0.0]))
    assert state.alpha[0, 0] == pytest.approx(0.02)
    assert start.alpha[0, 0] == 0.1  # the first state is still what it was


def test_a_missing_truth_teaches_nothing() -> None:
    state, *_ = start_adaptive(np.ones((1, 30)), [80]).push(np.nan, np.array([0.0]))
    after, *_ = state.push(np.nan, np.array([0.0]))
    np.testing.assert_array_equal(after.alpha, state.alpha)
    np.testing.assert_array_equal(after.scores, state.scores)


def test_many_streams_together_equal_each_by_itself() -> None:
    rng = np.random.default_rng(3)
    scores, y, mean = rng.random((4, 2, 40)), rng.normal(size=(4, 50)), rng.normal(size=(4, 50, 2))
    together = start_adaptive(scores, LEVELS)
    alone = [start_adaptive(scores[s], LEVELS) for s in range(4)]
    for t in range(50):
        together, lo, hi = together.push(y[:, t], mean[:, t])
        for s in range(4):
            alone[s], lo_s, hi_s = alone[s].push(y[s, t], mean[s, t])
            np.testing.assert_array_equal(lo[s], lo_s)
            np.testing.assert_array_equal(hi[s], hi_s)


def test_wider_levels_are_never_narrower() -> None:
    rng = np.random.default_rng(4)
    state = start_adaptive(rng.random((1, 60)), LEVELS, gamma=0.2)
    for _ in range(300):
        state, lo, hi = state.push(rng.normal() * 2, np.zeros(1))
        assert (np.diff(hi[0]) >= 0).all()
        assert (np.diff(lo[0]) <= 0).all()


@pytest.mark.parametrize(("level", "gamma"), [([0], 0.01), ([100], 0.01), ([], 0.01), ([90], -0.1), ([90], 1.0)])
def test_levels_and_rates_that_cannot_be_are_refused(level: list[float], gamma: float) -> None:
    with pytest.raises(ConfigError):
        start_adaptive(np.ones((1, 9)), level, gamma=gamma)


def test_the_local_scale_looks_back_only_and_survives_pauses_and_gaps() -> None:
    y = np.concatenate([np.cumsum(np.arange(30.0)), np.full(40, 7.0), np.array([7.0, np.nan, 9.0])])
    panel = Panel.from_arrays(np.concatenate([y, y[::-1]]), ids=("a", "b"), offsets=[0, 73, 146])
    scale = local_scale(panel, np.arange(73))
    assert scale[10] == pytest.approx(np.arange(1, 11).mean())
    assert scale[0] == 1.0
    assert scale[69] > 0  # nothing has moved for 20 rows, a tenth of what was usual remains
    later = panel.past.copy()
    later[40:] = 1e6
    np.testing.assert_array_equal(local_scale(panel.with_past(later), np.arange(40)), scale[:40])

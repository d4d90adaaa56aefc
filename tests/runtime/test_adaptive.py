"""Adaptive intervals against their promise, and the alarm against drifts that were made."""

import numpy as np
import pytest

from stepahead.runtime.adaptive import Adaptive, Bounds, make_yardstick, normal_yardstick

LEVELS = (80.0, 90.0)
HALF = (1.2816, 1.6449)  # of a standard normal


def run(errors: np.ndarray, horizon: int = 1, *, learns: bool = True) -> tuple[np.ndarray, Adaptive]:
    """Forecasts of zero by a model that believes in standard normal errors: [N, L] hits of one-step bounds."""
    adaptive = Adaptive(LEVELS, horizon, yard=normal_yardstick(80.0), learns=learns)
    own = Bounds([0.0] * horizon, [[-h for h in HALF]] * horizon, [list(HALF)] * horizon)
    hits = []
    bounds = adaptive.stretch(own)
    for error in errors.tolist():
        hits.append([lo <= error <= hi for lo, hi in zip(bounds.lo[-1], bounds.hi[-1], strict=True)])
        adaptive.judge(error)
        bounds = adaptive.stretch(own)
    return np.array(hits), adaptive


@pytest.mark.parametrize("drift", ["growing", "shrinking", "waves", "jump", "heavy tails", "bias"])
def test_adaptive_intervals_of_90_percent_cover_88_to_92_under_drift(drift: str) -> None:
    rng, t = np.random.default_rng(0), np.arange(3000) / 3000
    noise = rng.normal(size=3000)
    errors = {
        "growing": noise * np.exp(2 * t),
        "shrinking": noise * np.exp(-2 * t),
        "waves": noise * np.exp(np.sin(20 * t)),
        "jump": noise * np.where(t > 0.5, 3, 1),
        "heavy tails": rng.standard_t(2.5, size=3000),
        "bias": noise + 2 * t,
    }[drift]
    hits, _ = run(errors)
    fixed, _ = run(errors, learns=False)
    assert 0.88 <= hits[:, 1].mean() <= 0.92
    assert 0.78 <= hits[:, 0].mean() <= 0.82
    assert abs(hits[:, 1].mean() - 0.9) <= abs(fixed[:, 1].mean() - 0.9)


@pytest.mark.parametrize("factor", [0.6, 1.7])
def test_widths_that_were_wrong_are_those_of_the_errors_themselves_after_100_rows(factor: float) -> None:
    """Held-out errors larger and smaller than live ones; the yardstick is the quantile of the live ones."""
    off = []
    for seed in range(40):
        errors = factor * np.random.default_rng(seed).normal(size=100)
        _, adaptive = run(errors)
        reached = np.exp(adaptive.widths[0]) * HALF
        off.append(np.log(reached / np.quantile(np.abs(errors), [0.8, 0.9])))
    # 100 errors know their 90 % quantile within .11 (one standard error); the mean of 40 runs has a sixth of that.
    assert np.abs(np.mean(off, axis=0)).max() < 0.1, np.mean(off, axis=0)
    assert np.std(off, axis=0).max() < 0.3


def test_gamma_falls_as_truths_come_and_stays_at_its_floor() -> None:
    gammas = [run(np.zeros(n))[1].gamma for n in range(60)]
    assert gammas[0] == pytest.approx(3 / 11)
    assert gammas == sorted(gammas, reverse=True)
    assert gammas[-1] == gammas[-20] == 0.08
    _, adaptive = run(np.zeros(1))
    assert adaptive.widths[0] == pytest.approx([-0.2 * 3 / 11, -0.1 * 3 / 11])  # of a hit at 80 and 90 %


def test_each_step_ahead_learns_from_the_truth_that_was_meant_for_it() -> None:
    adaptive = Adaptive((50.0,), 2, learns=True)
    adaptive.stretch(Bounds([0.0, 10.0], [[-1.0], [9.0]], [[1.0], [11.0]]))
    adaptive.judge(0.0)
    assert adaptive.widths[0][0] < 0
    assert adaptive.widths[1][0] == 0
    adaptive.stretch(Bounds([0.0, 0.0], [[-1.0], [-1.0]], [[1.0], [1.0]]))
    adaptive.judge(10.0)  # inside what was said two rows ago, outside of what was said last
    assert adaptive.widths[1][0] < 0
    assert adaptive.coverage == {50.0: pytest.approx(2 / 3)}


def test_the_alarm_is_silent_without_drift_rings_soon_after_one_and_ends_with_it() -> None:
    rng = np.random.default_rng(4)
    yard = make_yardstick((np.abs(rng.normal(size=400)) / HALF[0]).tolist())
    own = Bounds([0.0], [[-h for h in HALF]], [list(HALF)])
    for shift, spread in ((1.5, 1.0), (-1.5, 1.0), (0.0, 3.0)):
        adaptive = Adaptive(LEVELS, 1, yard=yard)
        adaptive.stretch(own)
        for error in rng.normal(size=5000).tolist():
            adaptive.judge(error)
            adaptive.stretch(own)
            assert not adaptive.drifting
        for _, error in zip(range(60), (shift + spread * rng.normal(size=60)).tolist(), strict=True):
            adaptive.judge(error)
            adaptive.stretch(own)
        assert adaptive.drifting, (shift, spread)
        for error in (0.7 * rng.normal(size=60)).tolist():
            adaptive.judge(error)
            adaptive.stretch(own)
        assert not adaptive.drifting


def test_a_missing_truth_teaches_nothing() -> None:
    _, adaptive = run(np.full(5, np.nan))
    assert adaptive.coverage is None
    assert adaptive.widths == [[0.0, 0.0]]


def test_bounds_of_a_positive_target_stay_positive_and_wider_levels_stay_wider() -> None:
    adaptive = Adaptive(LEVELS, 1, logs=True)
    own = Bounds([2.0], [[1.8, 1.7]], [[2.2, 2.4]])
    for _ in range(40):
        bounds = adaptive.stretch(own)
        assert 0 < bounds.lo[0][1] <= bounds.lo[0][0] <= 2.0 <= bounds.hi[0][0] <= bounds.hi[0][1]
        adaptive.judge(1000.0)


def test_a_target_that_stood_still_for_long_is_soon_forgotten() -> None:
    hits, _ = run(np.append(np.zeros(20_000), np.resize([-1.0, 1.0], 600)))
    assert hits[:20_000].all()
    assert hits[-200:].mean() > 0.5  # else it would take some thousand misses


def test_a_target_that_no_width_can_reach_ends_in_no_overflow() -> None:
    adaptive = Adaptive((95.0,), 1)
    own = Bounds([0.0], [[0.0]], [[0.0]])  # a model whose held-out errors were all nothing
    for _ in range(10_000):
        adaptive.stretch(own)
        adaptive.judge(1.0)
    assert adaptive.stretch(own) == own


def test_bounds_of_a_positive_target_that_are_beyond_all_numbers_stay_there() -> None:
    adaptive = Adaptive(LEVELS, 1, logs=True)
    adaptive.widths = [[1.0, 1.0]]
    bounds = adaptive.stretch(Bounds([20.0], [[1e-300, 0.0]], [[1e300, np.inf]]))
    assert bounds == Bounds([20.0], [[0.0, 0.0]], [[np.inf, np.inf]])
    adaptive.judge(25.0)
    assert all(width < 1 for width in adaptive.widths[0])

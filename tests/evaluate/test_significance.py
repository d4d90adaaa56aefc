"""Tests of equal accuracy against worked numbers, and against their own promise: a size of 5 %."""

import numpy as np
import pytest
from scipy import stats

from stepahead.evaluate.significance import (
    block_weights,
    diebold_mariano,
    holm,
    long_run_variance,
    resampled_rmse,
    skill_interval,
)


def test_one_step_is_a_t_test_of_the_differences_worked_by_hand() -> None:
    """d = 1, 2, 3, 6: mean 3, variance (4 + 1 + 0 + 9) / 4 = 3.5; DM = 3 / sqrt(3.5 / 4) = 3.2071; the correction
    sqrt((4 + 1 - 2) / 4) makes it 2.7775, which with 3 degrees of freedom has p = .0691."""
    found = diebold_mariano(np.array([1.0, 2.0, 3.0, 6.0]), np.zeros(4))
    assert found.statistic == pytest.approx(2.7775, abs=1e-4)
    assert found.p_value == pytest.approx(0.0691, abs=1e-4)
    assert found.statistic == pytest.approx(stats.ttest_1samp([1.0, 2.0, 3.0, 6.0], 0).statistic, rel=1e-12)


def test_two_steps_worked_by_hand() -> None:
    """d = 2, 1, 3, 2, 4, 3: mean 2.5; centred -.5 -1.5 .5 -.5 1.5 .5; gamma0 = 5.5 / 6; gamma1 = (.75 - .75 - .25
    - .75 + .75) / 6 = -.25 / 6; V = (5.5 - .5) / 6 = 5 / 6; DM = 2.5 / sqrt(5 / 36) = 6.7082; the correction
    sqrt((6 + 1 - 4 + 2 / 6) / 6) = .74536 makes it 5.0. Of six losses, neighbours of which overlap by two, three are
    independent: Student's t with 2 degrees of freedom."""
    found = diebold_mariano(np.array([2.0, 1.0, 3.0, 2.0, 4.0, 3.0]), np.zeros(6), overlap=2)
    assert found.statistic == pytest.approx(5.0, abs=1e-12)
    assert found.p_value == pytest.approx(2 * stats.t.sf(5.0, 2), rel=1e-12)


def test_swapping_the_two_forecasts_turns_the_sign_alone() -> None:
    a, b = np.random.default_rng(0).random((2, 40))
    one, other = diebold_mariano(a, b, overlap=3), diebold_mariano(b, a, overlap=3)
    assert one.statistic == -other.statistic
    assert one.p_value == other.p_value


@pytest.mark.parametrize("noise", [0.0, 1e-13])
def test_losses_that_do_not_differ_have_p_one(noise: float) -> None:
    losses = np.random.default_rng(1).random(50)
    found = diebold_mariano(losses * (1 + noise), losses)
    assert (found.statistic, found.p_value) == (0.0, 1.0)


def test_too_few_times_prove_nothing_and_a_constant_difference_everything() -> None:
    assert diebold_mariano(np.array([1.0]), np.array([9.0])).p_value == 1.0
    assert diebold_mariano(np.empty(0), np.empty(0)).p_value == 1.0
    assert diebold_mariano(np.zeros(30), np.ones(30)).p_value == 0.0


def test_a_negative_variance_is_mended_by_bartletts_weights() -> None:
    zigzag = np.tile([1.0, -1.0], 20)
    assert long_run_variance(zigzag, 2) == pytest.approx(1 - 39 / 40)  # 1 - 2 * 39/40 < 0, Bartlett halves the second


@pytest.mark.parametrize("overlap", [1, 4])
def test_the_size_is_about_five_percent(overlap: int) -> None:
    """2,000 pairs of equally good forecasts over 150 times; overlapping horizons make a moving average of differences.
    Binomial standard error of 5 % is .5 %; the rectangular kernel at 4 steps is known to be a little too free."""
    rng = np.random.default_rng(5)
    shocks = rng.normal(size=(2000, 150 + overlap - 1))
    difference = np.lib.stride_tricks.sliding_window_view(shocks, overlap, axis=1).sum(axis=2)
    rejected = [diebold_mariano(d + 10, np.full(len(d), 10.0), overlap=overlap).p_value < 0.05 for d in difference]
    low, high = (0.037, 0.063) if overlap == 1 else (0.035, 0.075)
    assert low < np.mean(rejected) < high, np.mean(rejected)


@pytest.mark.parametrize(("horizon", "n"), [(24, 4), (12, 5), (6, 15), (6, 18), (24, 120)])
def test_few_overlapping_origins_prove_hardly_anything(horizon: int, n: int) -> None:
    """Losses of two equally good forecasts, whose errors are random walks from each origin: 1,000 pairs. A test with
    n - 1 degrees of freedom says p < .05 in 33, 20, 15, 15 and 13 % of them; two standard errors of 5 % are 1.4 %."""
    rng, rejected = np.random.default_rng(0), []
    for _ in range(1000):
        shocks = np.lib.stride_tricks.sliding_window_view(rng.normal(size=(2, n + horizon)), horizon, axis=1)[:, :n]
        own, other = np.square(shocks.cumsum(axis=2)).mean(axis=2)
        rejected.append(diebold_mariano(own, other, overlap=horizon).p_value < 0.05)
    assert np.mean(rejected) < 0.07, np.mean(rejected)
    assert diebold_mariano(own, other, overlap=horizon).few is (n < 3 * horizon)


def test_without_the_autocovariances_overlap_would_fool_the_test() -> None:
    rng = np.random.default_rng(6)
    shocks = rng.normal(size=(500, 153))
    difference = np.lib.stride_tricks.sliding_window_view(shocks, 4, axis=1).sum(axis=2)
    rejected = [diebold_mariano(d + 10, np.full(len(d), 10.0), overlap=1).p_value < 0.05 for d in difference]
    assert np.mean(rejected) > 0.2


def test_holm_on_worked_numbers() -> None:
    """Of .01, .04, .03, .005: sorted .005 x 4, .01 x 3, .03 x 2, .04 x 1, then never falling."""
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]).tolist() == [1.0, 1.0]
    assert holm([]).tolist() == []


def test_resampling_by_weights_equals_picking_the_rows() -> None:
    rng = np.random.default_rng(2)
    losses = rng.random((12, 2))
    weights = block_weights(np.random.default_rng(9), 12, 5, 3)
    assert (weights.sum(axis=1) == 12).all()
    for row, found in zip(weights, resampled_rmse(weights, losses), strict=True):
        picked = np.repeat(losses, row.astype(int), axis=0)
        assert found == pytest.approx(np.sqrt(picked.mean(axis=0)).mean(), rel=1e-12)


def test_the_interval_repeats_with_its_seed_and_holds_the_skill() -> None:
    rng = np.random.default_rng(3)
    model, other = np.square(rng.normal(size=200)), np.square(rng.normal(size=200) * 1.3)
    low, high = skill_interval(model, other, seed=4)
    assert (low, high) == skill_interval(model, other, seed=4)
    assert (low, high) != skill_interval(model, other, seed=5)
    assert low < 1 - np.sqrt(model.mean() / other.mean()) < high


def test_the_interval_covers_the_true_skill_about_as_often_as_it_says() -> None:
    """300 pairs with true skill 1 - 1 / 1.5, errors autocorrelated; blocks of 6 of 200 times fall a little short of
    95 % as block bootstraps do, and must stay above 88 % (two standard errors are 2.5 %)."""
    rng, hits = np.random.default_rng(8), 0
    for trial in range(300):
        shocks = rng.normal(size=(2, 202))
        errors = (shocks[:, :-2] + shocks[:, 1:-1] + shocks[:, 2:]) / np.sqrt(3)
        low, high = skill_interval(errors[0] ** 2, (1.5 * errors[1]) ** 2, resamples=300, seed=trial)
        hits += low < 1 - 1 / 1.5 < high
    assert 0.88 < hits / 300 < 0.99, hits / 300

"""The linear skip's closed form."""

import numpy as np
import pytest

from stepahead.panels.skip import fit_skip

FOLD = np.arange(600) % 5


def sample(noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(600, 8)).astype(np.float32)
    true = rng.normal(size=(8, 3))
    target = z @ true + noise * rng.standard_t(df=2, size=(600, 3))
    return z, target.astype(np.float32), true


def test_recovers_a_linear_rule_despite_heavy_tails() -> None:
    z, target, true = sample(noise=0.3)
    found = fit_skip(z, target, np.ones_like(target), FOLD).weights
    squares = np.linalg.lstsq(z, target, rcond=None)[0]
    assert np.abs(found - true).mean() < 0.8 * np.abs(squares - true).mean()


def test_is_zero_where_nothing_can_be_learned() -> None:
    z, _, _ = sample(noise=0.0)
    target = np.random.default_rng(1).normal(size=(600, 3)).astype(np.float32)
    found = fit_skip(z, target, np.ones_like(target), FOLD).weights
    assert np.abs(found).max() < 0.1


def test_missing_truth_pulls_nowhere() -> None:
    z, target, true = sample(noise=0.01)
    weight = np.ones_like(target)
    weight[::3, 1] = 0.0
    target[::3, 1] = 1e3
    found = fit_skip(z, target, weight, FOLD).weights
    np.testing.assert_allclose(found, true, atol=0.05)


def test_a_negative_fold_is_never_held_back() -> None:
    z, target, true = sample(noise=0.01)
    found = fit_skip(z, target, np.ones_like(target), np.where(np.arange(600) >= 480, 0, -1)).weights
    np.testing.assert_allclose(found, true, atol=0.05)


def test_rows_before_every_series_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    # A season of 300 on 80 rows is a window of 900, and the regression is cubic in what it reads: 40 s.
    z, target, _ = sample(noise=0.3)
    blank = np.concatenate([np.zeros((600, 40), dtype=np.float32), z], axis=1)
    with_all = fit_skip(blank + np.float32(1e-30), target, np.ones_like(target), FOLD).weights
    sizes: list[int] = []
    eigh = np.linalg.eigh
    monkeypatch.setattr(np.linalg, "eigh", lambda gram: sizes.append(len(gram)) or eigh(gram))
    found = fit_skip(blank, target, np.ones_like(target), FOLD).weights
    assert set(sizes) == {8}
    assert not found[:40].any()
    np.testing.assert_allclose(found, with_all, atol=1e-5)


def test_windows_of_zeros_teach_nothing() -> None:
    found = fit_skip(
        np.zeros((600, 8), dtype=np.float32), np.ones((600, 3), np.float32), np.ones((600, 3)), FOLD
    ).weights
    np.testing.assert_array_equal(found, np.zeros((8, 3)))


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_what_is_left_of_the_baselines_cost_is_that_on_windows_held_back(noise: float) -> None:
    """Against plain least squares on the windows of each other fold, which costs about as much."""
    z, target, true = sample(noise=0.0)
    target = target + noise * np.random.default_rng(3).normal(size=target.shape).astype(np.float32)
    left = fit_skip(z, target, np.ones_like(target), FOLD).left
    errors = []
    for k in np.unique(FOLD):
        seen, held = k != FOLD, k == FOLD
        errors.append(np.abs(target[held] - z[held] @ np.linalg.lstsq(z[seen], target[seen], rcond=None)[0]).sum())
    assert left == pytest.approx(sum(errors) / np.abs(target).sum(), rel=0.02, abs=1e-3)
    assert np.abs(true).mean() > 0.5


def test_all_is_left_where_nothing_is_learned_or_held_back() -> None:
    z, target, _ = sample(noise=0.0)
    noise = np.random.default_rng(1).normal(size=(600, 3)).astype(np.float32)
    assert fit_skip(z, noise, np.ones_like(noise), FOLD).left > 0.95
    assert fit_skip(z, target, np.ones_like(target), np.full(600, -1)).left == 1.0

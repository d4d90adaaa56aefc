"""Scaling against scikit-learn's scalers, and back again."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from stepahead.data.scale import DIFFERENCES, SCALERS, fit_scale
from stepahead.errors import ConfigError, DataError

SKLEARN = {"minmax": MinMaxScaler, "standard": StandardScaler, "robust": RobustScaler}
STARTS = np.array([0, 7])  # two series: rows 0..6 and 7..11
ROWS = arrays(np.float64, (12, 3), elements=st.floats(0.01, 1e6))
SIGNED = arrays(np.float64, (12, 3), elements=st.floats(-1e6, 1e6))
ALL = list(product(SCALERS, DIFFERENCES))


def made_values(seed: int = 0) -> np.ndarray:
    return np.exp(np.random.default_rng(seed).standard_normal((12, 3)).cumsum(axis=0))


def changes_by_hand(values: np.ndarray, difference: bool | str) -> np.ndarray:
    """Differences within each series, without its first row."""
    if not difference:
        return values
    levels = np.log(values) if difference == "log" else values
    return np.concatenate([np.diff(levels[:7], axis=0), np.diff(levels[7:], axis=0)])


@pytest.mark.parametrize("kind", SKLEARN)
def test_levels_are_scaled_as_scikit_learn_does(kind):
    values = made_values()
    scale = fit_scale(values, STARTS, kind=kind, difference=False)
    expected = SKLEARN[kind]().fit_transform(values)
    assert np.abs(scale.features(values, STARTS) - expected).max() < 1e-12  # rounding


@pytest.mark.parametrize("kind", SKLEARN)
@pytest.mark.parametrize("difference", [True, "log"])
def test_differences_are_scaled_as_scikit_learn_does_without_its_centre(kind, difference):
    values = made_values()
    changes = changes_by_hand(values, difference)
    scale = fit_scale(values, STARTS, kind=kind, difference=difference)
    found = np.delete(scale.features(values, STARTS), STARTS, axis=0)
    if kind == "minmax":
        expected = MinMaxScaler().fit_transform(changes)
    else:
        expected = changes / SKLEARN[kind]().fit(changes).scale_  # no change stays zero
    assert np.abs(found - expected).max() < 1e-12  # rounding


@settings(max_examples=30, deadline=None)
@given(values=ROWS, horizon=st.integers(1, 3))
@pytest.mark.parametrize(("kind", "difference"), ALL)
def test_scaling_inverts(kind, difference, values, horizon):
    assert_inverts(kind, difference, values, horizon)


@settings(max_examples=30, deadline=None)
@given(values=SIGNED, horizon=st.integers(1, 3))
@pytest.mark.parametrize(("kind", "difference"), ALL)
def test_scaling_inverts_where_values_are_not_positive(kind, difference, values, horizon):
    assert_inverts(kind, difference, values, horizon)


def assert_inverts(kind: str | None, difference: bool | str, values: np.ndarray, horizon: int) -> None:
    scale = fit_scale(values, STARTS, kind=kind, difference=difference, level_rows=2)
    windows = scale.features(values, STARTS)[None, :7]
    level, size = scale.measure(windows)
    base, unit = scale.anchors(values[6:7, -1], level[:, 0, -1], size[:, 0, -1])
    y = values[7 : 7 + horizon, -1][None]
    back = scale.invert(scale.target(y, base, unit), base, unit)
    # Errors of rounding grow with the largest number on the way, not with y; a logarithm turns them into factors.
    room = 1e-9 * (np.abs(y) if scale.log_target else np.abs(values[:, -1]).max() + np.abs(y))
    assert (np.abs(back - y) <= room + 1e-300).all(), (back - y, kind, difference)


@pytest.mark.parametrize(("kind", "difference"), ALL)
def test_intervals_invert_beside_their_middle(kind, difference):
    scale = fit_scale(made_values(), STARTS, kind=kind, difference=difference)
    base, unit = np.array([0.3, 1.2]), np.array([0.5, 2.0])
    scaled = np.random.default_rng(1).standard_normal((2, 3, 4))
    whole = scale.invert(scaled, base, unit)
    for level in range(4):
        assert np.array_equal(whole[..., level], scale.invert(scaled[..., level], base, unit))


def test_the_base_of_a_differenced_target_is_its_last_value():
    values = made_values()
    for kind, difference in product(("standard", "robust", "window", None), (True, "log")):
        scale = fit_scale(values, STARTS, kind=kind, difference=difference)
        base, unit = scale.anchors(values[6:7, -1], np.zeros(1), np.ones(1))
        assert scale.invert(np.zeros((1, 1)), base, unit)[0, 0] == pytest.approx(values[6, -1], rel=1e-14)


def test_nothing_is_differenced_across_series():
    values = np.concatenate([np.full((7, 1), 5.0), np.full((5, 1), 900.0)])
    scale = fit_scale(values, STARTS, kind=None, difference=True)
    assert (scale.features(values, STARTS) == 0).all()


def test_a_column_that_is_not_positive_is_differenced_plainly_beside_one_that_is():
    values = np.stack([np.linspace(-3, 3, 12), np.linspace(1, 9, 12)], axis=1)
    scale = fit_scale(values, np.array([0]), kind=None, difference="log")
    found = scale.features(values, np.array([0]))[1:]
    expected = np.stack([np.diff(values[:, 0]), np.diff(np.log(values[:, 1]))], axis=1)
    assert scale.logs.tolist() == [False, True]
    assert np.abs(found - expected).max() < 1e-12


def test_logarithms_go_on_below_the_smallest_training_value():
    scale = fit_scale(np.array([[4.0], [5.0], [6.0]]), np.array([0]), kind=None, difference="log")
    later = np.array([[4.0], [3.0], [2.0], [1.0]])
    assert np.allclose(scale.features(later, np.array([0]))[1:], np.diff(np.log(later), axis=0), atol=1e-15)


def test_an_input_that_has_no_logarithm_later_is_no_infinity():
    scale = fit_scale(np.array([[4.0, 1.0], [5.0, 2.0], [6.0, 3.0]]), np.array([0]), kind="standard", difference="log")
    assert np.isfinite(scale.features(np.array([[4.0, 1.0], [0.0, 2.0], [-1.0, 3.0]]), np.array([0]))).all()


def test_a_target_that_has_no_logarithm_later_is_refused_with_a_remedy():
    scale = fit_scale(np.array([[4.0], [5.0], [6.0]]), np.array([0]), kind=None, difference="log")
    with pytest.raises(DataError, match=r"column 'close' holds -1, .* fit it again .* difference=True"):
        scale.check_target(np.array([4.0, -1.0]), "close")


@pytest.mark.parametrize(("kind", "difference"), ALL)
@pytest.mark.parametrize("constant", [0.0, 1.0, 1e-9, 123456.789, -7.25])
def test_a_constant_column_stays_finite_and_inverts(kind, difference, constant):
    values = np.full((12, 2), constant)
    assert np.isfinite(fit_scale(values, STARTS, kind=kind, difference=difference).features(values, STARTS)).all()
    assert_inverts(kind, difference, values, 2)


@pytest.mark.parametrize("kind", SKLEARN)
def test_a_spread_far_below_the_column_s_largest_value_is_none(kind):
    values = np.array([[0.0], [0.0], [1e-310], [2e-310], [3e-310], [1e6]])
    assert np.isfinite(fit_scale(values, np.array([0]), kind=kind, difference=False).features(values, [0])).all()


@pytest.mark.parametrize("kind", [k for k in SCALERS if k != "window"])
def test_clip_holds_features_and_leaves_the_target_alone(kind):
    values = made_values()
    free = fit_scale(values, STARTS, kind=kind, difference=True)
    held = fit_scale(values, STARTS, kind=kind, difference=True, clip=0.5)
    assert np.array_equal(held.features(values, STARTS), np.clip(free.features(values, STARTS), -0.5, 0.5))
    assert np.array_equal(held.spread, free.spread)
    assert np.array_equal(*(s.target(values[:3], np.zeros(3), np.ones(3)) for s in (free, held)))


def test_a_window_s_own_level_and_size_equal_sums_by_hand():
    values = made_values()
    scale = fit_scale(values, STARTS, kind="window", difference=False, level_rows=3)
    windows = values[None, :7]
    level, size = scale.measure(windows)
    assert np.allclose(level[0, 0], values[4:7].mean(axis=0), rtol=1e-15)
    assert np.allclose(size[0, 0], np.abs(values[:7]).mean(axis=0), rtol=1e-15)


def test_only_the_rows_given_decide():
    values = made_values()
    scale = fit_scale(values[:9], STARTS, kind="minmax", difference=False)
    assert scale.features(values, STARTS)[:9].min() == 0.0
    assert scale.features(values, STARTS)[:9].max() == 1.0


def test_unknown_choices_are_refused_by_name():
    with pytest.raises(ConfigError, match=r"scaler='max' is not one of 'minmax', 'standard', 'robust', 'window', None"):
        fit_scale(made_values(), STARTS, kind="max", difference=False)
    with pytest.raises(ConfigError, match=r"difference='diff' is not one of False, True, 'log'"):
        fit_scale(made_values(), STARTS, kind=None, difference="diff")


def test_windows_next_to_zero_are_not_divided_by() -> None:
    """Found by the property above: a size of 2e-309 took what came after it, 1, beyond all numbers."""
    values = np.full((12, 1), 2.22507386e-309)
    values[8:] = 1.0
    assert_inverts("window", False, values, 3)

"""The network without torch, against torch, scipy and sums by hand."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from stepahead.choices import CELLS, QUANTILES
from stepahead.errors import ConfigError
from stepahead.nn.network import Network
from stepahead.runtime.conformal import NOT_CALIBRATED, calibrate, floors_of
from stepahead.runtime.network import Reading, between, combine_members, movement, network_output

NO_TABLE = np.zeros((0, 2))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("layers", [1, 2])
def test_the_answer_equals_torch_s(cell, layers):
    torch.manual_seed(0)
    network = Network(
        cell=cell,
        n_features=3,
        n_context=2,
        hidden_size=5,
        num_layers=layers,
        dropout=0.3,
        horizon=4,
        outputs=2,
        zero_head=False,
    ).eval()
    random = np.random.default_rng(1)
    x, context = (random.standard_normal(shape).astype(np.float32) for shape in ((6, 8, 3), (6, 2)))
    weights = {name: value.numpy() for name, value in network.state_dict().items()}
    with torch.no_grad():
        expected = network(torch.as_tensor(x), torch.as_tensor(context)).numpy()
    found = network_output(cell, weights, x, context, horizon=4)
    assert found.shape == (6, 4, 2)
    difference = np.abs(found - expected).max()
    assert difference < 2e-6, difference  # float32, sums in another order over 8 steps


def test_members_are_combined_by_mean_or_median():
    outputs = [np.full((2, 1, 1), v) for v in (1.0, 2.0, 9.0)]
    assert combine_members(outputs, "mean")[0, 0, 0] == 4
    assert combine_members(outputs, "median")[0, 0, 0] == 2
    assert combine_members(outputs[:1], "mean") is outputs[0]


def test_a_point_head_s_point_is_its_number():
    output = np.arange(6, dtype=np.float32).reshape(3, 2, 1)
    assert np.array_equal(Reading("mse", QUANTILES, NO_TABLE).point(output), output[..., 0])


@pytest.mark.parametrize("wanted", [[0.1], [0.5], [0.3], [0.05, 0.95], [0.0999999999999, 0.95]])
def test_quantiles_between_those_trained_are_interpolated(wanted):
    known = (0.05, 0.1, 0.5, 0.9, 0.95)
    output = np.sort(np.random.default_rng(0).standard_normal((4, 2, 5)), axis=-1)
    found = Reading("quantile", known, NO_TABLE).quantile(output, wanted)
    expected = [[np.interp(wanted, known, output[n, h]) for h in range(2)] for n in range(4)]
    assert np.abs(found - expected).max() < 1e-12


def test_quantiles_that_cross_are_sorted():
    output = np.array([[[3.0, 1.0, 2.0]]])
    reading = Reading("quantile", (0.1, 0.5, 0.9), NO_TABLE)
    assert reading.quantile(output, [0.1, 0.5, 0.9]).tolist() == [[[1, 2, 3]]]
    assert reading.point(output).tolist() == [[2]]


def test_a_single_quantile_is_the_median_alone():
    assert between(np.array([[7.0]]), np.array([0.5]), np.array([0.5])).tolist() == [[7]]


def test_a_level_wider_than_trained_is_refused_with_the_widest():
    with pytest.raises(ConfigError, match="at most 80 percent"):
        Reading("quantile", (0.1, 0.5, 0.9), NO_TABLE).quantile(np.zeros((1, 1, 3)), [0.05])
    with pytest.raises(ConfigError, match="at most 80 percent"):
        Reading("quantile", (0.1, 0.5, 0.95), NO_TABLE).quantile(np.zeros((1, 1, 3)), [0.05])


def test_student_t_quantiles_equal_scipy_s():
    probabilities = np.arange(1, 200) / 200
    reading = Reading("student_t", QUANTILES, np.stack([probabilities, stats.t.ppf(probabilities, 4.5)], axis=1))
    output = np.random.default_rng(0).standard_normal((5, 2, 2))
    scale = np.log1p(np.exp(output[..., 1])) + 1e-4
    for p in (0.025, 0.1, 0.5, 0.9):
        expected = stats.t.ppf(p, 4.5, loc=output[..., 0], scale=scale)
        assert np.abs(reading.quantile(output, [p])[..., 0] - expected).max() < 1e-12  # on the table's own points
    assert np.array_equal(reading.point(output), output[..., 0])


def test_conformal_ranks_equal_those_counted_by_hand():
    scores = np.arange(1.0, 20.0)  # 19 errors: the smallest k of 20 with k / 20 >= level
    calibration = calibrate(scores[:, None], np.ones(19), floor=1e-6)
    for level, rank in ((90, 18), (50, 10), (95, 19), (80, 16), (1, 1)):
        assert rank == math.ceil(20 * level / 100)
        assert calibration.radius([level], np.ones(1))[0, 0, 0] == scores[rank - 1], level


def test_too_few_errors_for_a_level_are_said():
    calibration = calibrate(np.ones((9, 1)), np.ones(9), floor=1e-6)
    assert calibration.radius([90], np.ones(1)).shape == (1, 1, 1)
    with pytest.raises(ConfigError, match="level=95 needs more than the 9 held-out errors"):
        calibration.radius([80, 95], np.ones(1))
    with pytest.raises(ConfigError, match=r"fit with holdout='auto', on more rows .* or head='quantile'"):
        NOT_CALIBRATED.radius([80], np.ones(1))


def test_conformal_intervals_cover_as_promised_where_spread_follows_movement():
    random = np.random.default_rng(0)
    moved = np.exp(random.standard_normal(4000))
    errors = moved[:, None] * random.standard_normal((4000, 2)) * [1, 3]
    calibration = calibrate(errors[:2000], moved[:2000], floor=1e-6)
    radius = calibration.radius([50, 80, 95], moved[2000:])
    covered = (np.abs(errors[2000:, :, None]) <= radius).mean(axis=0)
    # Binomial: 3 standard errors of 2,000 draws, twice over for the calibration's own.
    assert np.abs(covered - [0.5, 0.8, 0.95]).max() < 3 * np.sqrt(0.25 / 2000) * np.sqrt(2)


def test_steps_with_fewer_errors_are_calibrated_too():
    errors = np.array([[1.0, np.nan], [2.0, 5.0], [3.0, np.nan], [4.0, 6.0]])
    assert calibrate(errors, np.ones(4), floor=1e-6).scores.tolist() == [[1, 4], [5, 6]]


def test_a_window_that_stands_still_has_the_floor_s_width():
    calibration = calibrate(np.ones((99, 1)), np.ones(99), floor=0.5)
    assert calibration.radius([50], np.array([0.0, 0.1, 2.0]))[:, 0, 0].tolist() == [0.5, 0.5, 2.0]


def test_movement_is_the_mean_absolute_change_of_the_target():
    x = np.array([[[9.0, 1.0], [9.0, 3.0], [9.0, 0.0]]])
    assert movement(x, differenced=False).tolist() == [2.5]
    assert movement(x, differenced=True).tolist() == pytest.approx([4 / 3])
    assert movement(x[:, :1], differenced=False).tolist() == [1.0]


def test_where_windows_rarely_stand_still_the_floor_is_a_tenth_of_the_usual_movement():
    moved = np.random.default_rng(0).uniform(0.5, 1.5, (2, 40))
    moved[:, :3] = 0.01  # 7.5 % of them
    assert floors_of(list(moved)) == [0.1 * np.median(each) for each in moved]


def test_where_windows_often_stand_still_the_floor_is_their_size_for_all_probes():
    """One jump after a flat window was an error of 1e6 of its movement, and so of all others."""
    moved = [np.repeat([0.0, 1.0], [18, 2]), np.repeat([0.0, 3.0], [19, 1])]
    assert floors_of(moved) == [np.sqrt(11 / 40)] * 2
    assert floors_of([np.zeros(9), np.full(9, 1e-9)]) == [1.0, 1.0]  # nothing moves: errors as they are

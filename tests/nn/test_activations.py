"""tanh and the logistic function inside the kernel, seen through cells whose weights let them pass."""

import numpy as np
import torch

import stepahead.nn


def tanh(x: np.ndarray) -> np.ndarray:
    """What an RNN of one unit makes of x by weight 1; x [N] float32 -> [N]"""
    layer = stepahead.nn.RNN(1, 1, bias=False, batch_first=True)
    with torch.inference_mode():
        layer.weight_ih_l0.fill_(1)
        layer.weight_hh_l0.fill_(0)
        return layer(torch.from_numpy(x).reshape(-1, 1, 1))[0].numpy().ravel()


def logistic(x: np.ndarray) -> np.ndarray:
    """The output gate of an LSTM of one unit whose cell is full; x [N] float32 -> [N]"""
    layer = stepahead.nn.LSTM(1, 1, batch_first=True)
    with torch.inference_mode():
        layer.weight_ih_l0.copy_(torch.tensor([[0.0], [0.0], [0.0], [1.0]]))
        layer.weight_hh_l0.fill_(0)
        layer.bias_ih_l0.copy_(torch.tensor([-40.0, 40.0, 0.0, 0.0]))
        layer.bias_hh_l0.fill_(0)
        state = torch.zeros(1, len(x), 1), torch.full((1, len(x), 1), 30.0)
        return layer(torch.from_numpy(x).reshape(-1, 1, 1), state)[0].numpy().ravel()


GRID = np.concatenate([np.linspace(0, 20, 400_001), 10 ** np.linspace(-37, 0, 20_001)]).astype(np.float32)


def test_tanh_is_within_a_few_last_bits():
    found = tanh(GRID)
    assert np.abs(found - np.tanh(GRID.astype(np.float64))).max() < 4e-7
    assert 1 <= found.max() < 1 + 2e-7
    assert np.diff(found[:400_001]).min() > -6e-7


def test_small_numbers_stay_themselves():
    small = np.float32([0, 1e-37, 1e-20, 1e-5])
    np.testing.assert_allclose(tanh(small), small, rtol=2e-6)


def test_tanh_is_odd():
    assert np.array_equal(tanh(-GRID), -tanh(GRID))


def test_tanh_of_what_is_no_number_and_of_infinity():
    found = tanh(np.float32([np.nan, np.inf, -np.inf, 3e38, -3e38]))
    assert np.isnan(found[0])
    assert found[1:].tolist() == [1, -1, 1, -1]


def test_the_logistic_function_is_within_a_few_last_bits():
    both = np.concatenate([-GRID, GRID])
    found = logistic(both)
    assert np.abs(found - 1 / (1 + np.exp(-both.astype(np.float64)))).max() < 2.5e-7
    assert np.isnan(logistic(np.float32([np.nan]))[0])
    assert logistic(np.float32([3e38, -3e38])).tolist() == [1, 0]

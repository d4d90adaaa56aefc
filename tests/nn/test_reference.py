"""The textbook cells against torch.nn and against numbers worked by hand."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from stepahead.nn import reference

TORCH = {"rnn_tanh": torch.nn.RNN, "rnn_relu": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}


def make(cell: str, inputs: int, hidden: int) -> torch.nn.RNNBase:
    options = {"nonlinearity": "relu"} if cell == "rnn_relu" else {}
    return TORCH[cell](inputs, hidden, dtype=torch.float64, **options)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize("cell", TORCH)
def test_reference_equals_torch(cell: str) -> None:
    torch.manual_seed(1)
    layer, x = make(cell, 3, 4), torch.randn(6, 2, 3, dtype=torch.float64)
    start = tuple(torch.randn(1, 2, 4, dtype=torch.float64) for _ in range(2 if cell == "lstm" else 1))
    outputs, state = layer(x, start if cell == "lstm" else start[0])
    ours, ours_state = reference.scan(cell, x, tuple(part[0] for part in start), *layer._flat_weights)
    torch.testing.assert_close(ours, outputs, rtol=0, atol=1e-14)
    for mine, theirs in zip(ours_state, state if cell == "lstm" else (state,), strict=True):
        torch.testing.assert_close(mine, theirs[0], rtol=0, atol=1e-14)


@pytest.mark.parametrize("cell", TORCH)
def test_lengths_equal_torch_packed(cell: str) -> None:
    torch.manual_seed(2)
    layer, x, lengths = make(cell, 3, 4), torch.randn(5, 3, 3, dtype=torch.float64), torch.tensor([2, 5, 1])
    packed, state = layer(pack_padded_sequence(x, lengths, enforce_sorted=False))
    start = (torch.zeros(3, 4, dtype=torch.float64),) * (2 if cell == "lstm" else 1)
    ours, ours_state = reference.scan(cell, x, start, *layer._flat_weights, lengths=lengths)
    torch.testing.assert_close(ours, pad_packed_sequence(packed)[0], rtol=0, atol=1e-14)
    torch.testing.assert_close(ours_state[0], (state if cell == "lstm" else (state,))[0][0], rtol=0, atol=1e-14)


@pytest.mark.parametrize("cell", TORCH)
def test_reverse_reads_the_flipped_sequence(cell: str) -> None:
    torch.manual_seed(3)
    layer, x = make(cell, 3, 4), torch.randn(5, 2, 3, dtype=torch.float64)
    start = (torch.zeros(2, 4, dtype=torch.float64),) * (2 if cell == "lstm" else 1)
    backward, last = reference.scan(cell, x, start, *layer._flat_weights, reverse=True)
    forward, _ = reference.scan(cell, x.flip(0), start, *layer._flat_weights)
    assert torch.equal(backward, forward.flip(0))
    assert torch.equal(backward[0], last[0])


def one_step(cell: str, gates: int, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """One unit, one input of 1: gate g has input weight g+1, state weight (g+1)/10, no bias."""
    weight_ih = torch.arange(1.0, gates + 1, dtype=torch.float64)[:, None]
    return reference.scan(cell, torch.ones(1, 1, 1, dtype=torch.float64), state, weight_ih, weight_ih / 10)[1]


def test_one_step_by_hand() -> None:
    h, c = torch.full((1, 1), 0.5, dtype=torch.float64), torch.full((1, 1), 2.0, dtype=torch.float64)
    i, f, g, o = (k + 0.05 * k for k in (1, 2, 3, 4))
    cell_state = sigmoid(f) * 2 + sigmoid(i) * math.tanh(g)
    assert one_step("lstm", 4, (h, c))[1].item() == pytest.approx(cell_state, abs=1e-15)
    assert one_step("lstm", 4, (h, c))[0].item() == pytest.approx(sigmoid(o) * math.tanh(cell_state), abs=1e-15)
    z, n = sigmoid(2.1), math.tanh(3 + sigmoid(1.05) * 0.15)
    assert one_step("gru", 3, (h,))[0].item() == pytest.approx((1 - z) * n + z * 0.5, abs=1e-15)
    assert one_step("rnn_tanh", 1, (h,))[0].item() == pytest.approx(math.tanh(1.05), abs=1e-15)
    assert one_step("rnn_relu", 1, (h,))[0].item() == pytest.approx(1.05, abs=1e-15)

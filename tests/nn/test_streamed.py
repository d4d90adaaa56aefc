"""Layers that keep more than the caches hold: what goes past them is as right as what does not."""

import numpy as np
import pytest
import torch

import stepahead.nn
from stepahead.nn import lent, stack

pytestmark = pytest.mark.skipif(stack._native is None, reason="the native kernel is not built")

LARGE = 8 << 20  # bytes: scan.h, cached_bytes


def pair(cell: str, inputs: int, hidden: int, dtype: torch.dtype) -> tuple[torch.nn.Module, torch.nn.Module]:
    """One of ours and torch's, with the same weights."""
    torch.manual_seed(1)
    ours = getattr(stepahead.nn, cell)(inputs, hidden, batch_first=True, dtype=dtype)
    theirs = getattr(torch.nn, cell)(inputs, hidden, batch_first=True, dtype=dtype)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def gradients(layer: torch.nn.Module, x: torch.Tensor, slope: torch.Tensor) -> list[torch.Tensor]:
    outputs, _ = layer(x)
    return [outputs, *torch.autograd.grad((outputs * slope).sum(), [x, *layer.parameters()])]


@pytest.mark.parametrize(("cell", "mode"), [("LSTM", "lstm"), ("GRU", "gru"), ("RNN", "rnn_tanh")])
@pytest.mark.parametrize("rows", [321, 512])  # 321: lanes that stand for no row
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_as_torch(cell: str, mode: str, rows: int, dtype: torch.dtype) -> None:
    steps, inputs, hidden = 50, 3, 31
    if mode != "rnn_tanh":  # which keeps its states alone
        assert stack._sizes(mode, steps, rows, inputs, hidden, dtype is torch.float64)[0] * dtype.itemsize > LARGE
    ours, theirs = pair(cell, inputs, hidden, dtype)
    x = torch.randn(rows, steps, inputs, dtype=dtype, requires_grad=True)
    slope = torch.randn(rows, steps, hidden, dtype=dtype) / rows
    rtol, atol = (2e-5, 2e-6) if dtype is torch.float32 else (1e-11, 1e-12)
    for _ in range(2):  # the second time in memory that is lent again
        for found, expected in zip(gradients(ours, x, slope), gradients(theirs, x, slope), strict=True):
            torch.testing.assert_close(found, expected, rtol=rtol, atol=atol)


def test_rows_of_unequal_lengths() -> None:
    ours, theirs = pair("LSTM", 3, 32, torch.float64)
    lengths = torch.arange(200) % 40 + 1
    x = torch.randn(200, 40, 3, dtype=torch.float64)
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    found, expected = (
        torch.autograd.grad(layer(packed)[0].data.square().sum(), list(layer.parameters())) for layer in (ours, theirs)
    )
    for own, other in zip(found, expected, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("behind", [0, 1, 8])
def test_memory_that_is_not_aligned(behind: int) -> None:
    """By the arrays' door, where what is kept may begin anywhere: the same bits."""
    assert stack._native is not None
    rng, (steps, rows, inputs, hidden) = np.random.default_rng(0), (40, 300, 2, 32)
    shapes = (steps, rows, inputs), (4 * hidden, inputs), (4 * hidden, hidden)
    x, ih, hh = (rng.normal(size=shape).astype(np.float32) / 3 for shape in shapes)
    size = stack._native.saved_size("lstm", 1, steps, rows, inputs, hidden, double=False)
    assert size * 4 > LARGE
    grads = []
    for offset in (0, behind):
        memory = np.empty(size + 64, np.float32)
        first = -memory.ctypes.data % 64 // 4 + offset
        saved, outputs = memory[first : first + size], np.empty((steps, rows, hidden), np.float32)
        blank = [None] * 5
        stack._native.scan_forward("lstm", x, ih, hh, *blank, False, outputs, None, None, saved)
        grad_ih, grad_hh = np.empty_like(ih), np.empty_like(hh)
        given, wanted = (saved, outputs, None, None, None), (grad_ih, grad_hh, None, None, None, None)
        stack._native.scan_backward("lstm", steps, ih, hh, None, False, *given, *wanted)
        grads.append((outputs, grad_ih, grad_hh))
    for one, other in zip(*grads, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_loop_that_keeps_its_losses_has_its_memory_again() -> None:
    """Small tensors that live on would else settle in what each step frees, and the next had to look elsewhere."""
    lent.release()
    layer, x, losses = stepahead.nn.LSTM(3, 32, batch_first=True), torch.randn(256, 40, 3), []
    for _ in range(6):
        loss = layer(x)[0].square().mean()
        loss.backward()
        losses.append(loss.detach())
        assert len(lent.blocks.all) == 1
    lent.release()

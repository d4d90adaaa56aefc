"""stepahead.nn against torch.nn over a grid: outputs, states and every gradient.

float64 agrees to 1e-12. In float32 torch itself is off by rounding: an error against float64 of at most twice torch's
own passes, or 2e-6 + 2e-5 relative (a few units in the last place, summed over the steps).
"""

from dataclasses import dataclass
from itertools import product

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence

import stepahead.nn

CELLS = {"rnn_tanh": "RNN", "rnn_relu": "RNN", "lstm": "LSTM", "gru": "GRU"}
SIZES = [  # T steps, B rows, F features, D hidden
    (1, 1, 1, 1),
    (3, 0, 2, 4),
    (4, 3, 1, 2),
    (2, 1, 7, 17),
    (7, 5, 5, 10),
    (5, 9, 3, 8),
    (3, 33, 2, 5),
    (2, 3, 19, 33),
    (12, 4, 6, 7),
]
GRID = list(product((1, 2), (False, True), (False, True), (False, True), (False, True), (False, True)))


@dataclass(frozen=True)
class Case:
    """One call of a layer, with or without a given state and unequal lengths."""

    cell: str
    size: tuple[int, int, int, int]
    layers: int
    bidirectional: bool
    bias: bool
    batch_first: bool
    packed: bool
    given_state: bool


def make(case: Case, library: object, dtype: torch.dtype) -> torch.nn.RNNBase:
    options = {"nonlinearity": "relu"} if case.cell == "rnn_relu" else {}
    _, _, features, hidden = case.size
    return getattr(library, CELLS[case.cell])(
        features,
        hidden,
        case.layers,
        bias=case.bias,
        batch_first=case.batch_first,
        bidirectional=case.bidirectional,
        dtype=dtype,
        **options,
    )


def draw(case: Case) -> tuple[dict[str, Tensor], Tensor, list[Tensor], Tensor]:
    """Weights, input, state and lengths in float64, exactly representable in float32."""
    generator = torch.Generator().manual_seed(sum(case.size) + case.layers)
    steps, rows, features, hidden = case.size
    layer = make(case, torch.nn, torch.float64)
    bound = hidden**-0.5
    names = layer.state_dict()
    weights = {name: (torch.rand(w.shape, generator=generator) * 2 - 1) * bound for name, w in names.items()}
    shape = (rows, steps, features) if case.batch_first else (steps, rows, features)
    state_shape = (case.layers * (1 + case.bidirectional), rows, hidden)
    states = [torch.randn(state_shape, generator=generator) for _ in range(2 if case.cell == "lstm" else 1)]
    lengths = torch.randint(1, steps + 1, (rows,), generator=generator)
    return weights, torch.randn(shape, generator=generator), states, lengths


def results(case: Case, library: object, dtype: torch.dtype) -> list[tuple[str, Tensor]]:
    """Outputs, states and gradients by name, in float64."""
    weights, x, states, lengths = draw(case)
    layer = make(case, library, dtype)
    layer.load_state_dict({name: w.to(dtype) for name, w in weights.items()})
    x = x.to(dtype).requires_grad_()
    states = [state.to(dtype).requires_grad_() for state in states]
    given = (tuple(states) if case.cell == "lstm" else states[0]) if case.given_state else None
    entering = pack_padded_sequence(x, lengths, case.batch_first, enforce_sorted=False) if case.packed else x
    outputs, final = layer(entering, given)
    outputs = outputs.data if case.packed else outputs
    leaving = [("outputs", outputs), *zip(("h_n", "c_n"), final if case.cell == "lstm" else (final,), strict=False)]
    # Each element with a weight of its own, so that no two places can be swapped unseen.
    loss = sum((part * torch.linspace(-1, 1, part.numel(), dtype=dtype).view_as(part)).sum() for _, part in leaving)
    sources = {"x": x, **dict(layer.named_parameters())}
    if case.given_state:
        sources |= {f"state {n}": state for n, state in enumerate(states)}
    grads = torch.autograd.grad(loss, list(sources.values()))
    leaving += [(f"gradient of {name}", grad) for name, grad in zip(sources, grads, strict=True)]
    return [(name, part.detach().double()) for name, part in leaving]


def cases(cell: str, size: tuple[int, int, int, int]) -> list[Case]:
    return [Case(cell, size, *rest) for rest in GRID if size[1] or not rest[4]]  # nothing can be packed from no rows


def test_the_grid_has_two_thousand_cases() -> None:
    assert 2 * sum(len(cases(cell, size)) for cell in CELLS for size in SIZES) >= 2_000


def compare(case: Case) -> None:
    exact = results(case, torch.nn, torch.float64)
    single = results(case, torch.nn, torch.float32)
    kernel = results(case, stepahead.nn, torch.float64)
    kernel_single = results(case, stepahead.nn, torch.float32)
    for (name, truth), (_, torch32), (_, ours), (_, ours32) in zip(exact, single, kernel, kernel_single, strict=True):
        assert ours.shape == truth.shape, (case, name)
        if not truth.numel():
            continue
        off = (ours - truth).abs() - 1e-12 * truth.abs()
        assert off.max() <= 1e-12, (case, name, off.max().item(), off.argmax().item())
        error = (ours32 - truth).abs()
        near = bool((error <= 2e-6 + 2e-5 * truth.abs()).all())
        assert near or error.max() <= 2 * (torch32 - truth).abs().max(), (case, name, error.max().item())


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("cell", CELLS)
def test_kernel_agrees_with_torch(cell: str, size: tuple[int, int, int, int]) -> None:
    for number, case in enumerate(cases(cell, size)):
        if number % 4 == sum(size) % 4:  # a quarter in the quick run, another quarter for each size
            compare(case)


@pytest.mark.soak
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("cell", CELLS)
def test_kernel_agrees_with_torch_everywhere(cell: str, size: tuple[int, int, int, int]) -> None:
    for case in cases(cell, size):
        compare(case)

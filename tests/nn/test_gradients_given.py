"""What autograd may hand to a layer's backward: negated views, zeros without memory, tangents, changed biases."""

import pytest
import torch
import torch.autograd.forward_ad as forward_mode
from test_recurrent import NAMES, assert_same, pair

# What autograd's forward mode loads scripts functions of its own.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")

every_kind = pytest.mark.parametrize(
    ("name", "options"),
    [(name, options) for name in NAMES for options in ({}, {"num_layers": 2, "bidirectional": True})],
    ids=str,
)
both_kinds = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


@every_kind
@both_kinds
@pytest.mark.parametrize("batch_first", [False, True])
def test_a_gradient_that_is_minus_its_memory(name: str, options: dict, dtype: torch.dtype, batch_first: bool) -> None:
    """The imaginary part of a conjugate: what spectral losses leave behind."""
    layers = pair(name, 3, 4, batch_first=batch_first, dtype=dtype, **options)
    x = torch.randn(5, 2, 3, dtype=dtype)
    for layer in layers:
        outputs, state = layer(x)
        state = state[1] if isinstance(state, tuple) else state
        for part in (outputs, state):
            z = torch.complex(torch.zeros_like(part), part)
            (z.conj() * (1 + 2j)).real.sum().backward(retain_graph=True)
    assert_same(*([p.grad for p in layer.parameters()] for layer in layers))


@every_kind
def test_zeros_without_memory(name: str, options: dict) -> None:
    ours, theirs = pair(name, 3, 4, dtype=torch.float64, **options)
    nothing = torch._efficientzerotensor((5, 2, 3), dtype=torch.float64)
    assert_same(ours(nothing)[0], theirs(torch.zeros(5, 2, 3, dtype=torch.float64))[0])
    outputs, _ = ours(torch.randn(5, 2, 3, dtype=torch.float64))
    given = torch._efficientzerotensor(outputs.shape, dtype=torch.float64)
    (grad,) = torch.autograd.grad(outputs, ours.weight_hh_l0, given)
    assert torch.equal(grad, torch.zeros_like(grad))


@every_kind
def test_tangents_of_a_gradient_pass_through_backward(name: str, options: dict) -> None:
    found = []
    x = torch.randn(5, 2, 3, dtype=torch.float64, requires_grad=True)
    for layer in pair(name, 3, 4, dtype=torch.float64, **options):
        outputs, _ = layer(x)
        with forward_mode.dual_level():
            ones = torch.ones_like(outputs)
            (grad,) = torch.autograd.grad(outputs, x, forward_mode.make_dual(ones, 2 * ones))
            found.append(forward_mode.unpack_dual(grad))
    assert_same(found[0].primal.detach(), found[1].primal.detach())
    assert_same(found[0].tangent.detach(), found[1].tangent.detach())


@every_kind
def test_a_bias_changed_in_place_is_no_silent_mistake_of_a_second_derivative(name: str, options: dict) -> None:
    layer, _ = pair(name, 3, 4, **options)
    x = torch.randn(5, 2, 3, requires_grad=True)
    outputs, _ = layer(x)
    with torch.no_grad():
        layer.bias_hh_l0.mul_(5)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.grad(outputs.sum(), x, create_graph=True)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("units", [4, 64])
def test_a_sequence_without_steps_is_torch_s_own_error(name: str, units: int) -> None:
    said = []
    for layer in pair(name, 3, units):
        with pytest.raises(RuntimeError) as raised:
            layer(torch.zeros(0, 2, 3))
        said.append(str(raised.value))
    assert said[0] == said[1]


@every_kind
def test_a_first_derivative_within_forward_mode_keeps_no_graph(name: str, options: dict) -> None:
    layer, _ = pair(name, 3, 4, **options)
    x = torch.randn(5, 2, 3, requires_grad=True)
    with forward_mode.dual_level():
        (grad,) = torch.autograd.grad(layer(x)[0].sum(), x)
        outputs, _ = pair(name, 3, 4, **options)[0](x.detach().requires_grad_())
    assert not grad.requires_grad
    assert outputs.requires_grad

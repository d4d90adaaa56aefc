"""The registered operator: opcheck, derivatives of both orders, vmap over models, compile and export."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

import stepahead.nn
from stepahead.nn import ops
from stepahead.nn.stack import _native

pytestmark = pytest.mark.skipif(_native is None, reason="the native kernel is not built")

GATES = {"rnn_tanh": 1, "rnn_relu": 1, "lstm": 4, "gru": 3}
every_cell = pytest.mark.parametrize("cell", GATES)
every_layer = pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])


def sample(cell: str, *, bias: bool = True, lengths: bool = False, reverse: bool = False) -> tuple[Any, ...]:
    """Arguments of `scan` for two models."""
    torch.manual_seed(0)
    gates = GATES[cell] * 4

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, dtype=torch.float64, requires_grad=True)

    biases = (draw(2, gates), draw(2, gates)) if bias else (None, None)
    valid = torch.tensor([[1, 3], [2, 2]]) if lengths else None
    state = (draw(2, 2, 4), draw(2, 2, 4) if cell == "lstm" else None)
    return draw(2, 3, 2, 3), *state, draw(2, gates, 3), draw(2, gates, 4), *biases, valid, cell, reverse, True


def differentiable(arguments: tuple[Any, ...]) -> tuple[Any, list[Tensor]]:
    """`scan` as a function of its differentiable inputs alone."""
    inputs = [part for part in arguments[:7] if part is not None]

    def run(*given: Tensor) -> tuple[Tensor, ...]:
        found = iter(given)
        full = [None if part is None else next(found) for part in arguments[:7]]
        results = ops.scan(*full, *arguments[7:])
        return results[:3] if arguments[8] == "lstm" else results[:2]

    return run, inputs


@every_cell
@pytest.mark.parametrize("kind", [{}, {"bias": False}, {"lengths": True, "reverse": True}], ids=str)
def test_opcheck(cell: str, kind: dict[str, bool]) -> None:
    arguments = sample(cell, **kind)
    torch.library.opcheck(torch.ops.stepahead.scan.default, arguments)
    outputs, _, c_n, saved = ops.scan(*arguments)
    grads = (torch.ones_like(outputs), None, torch.ones_like(c_n) if cell == "lstm" else None)
    torch.library.opcheck(
        torch.ops.stepahead.scan_backward.default,
        (*arguments[:8], saved.detach(), *grads, *arguments[8:10]),
        test_utils=("test_schema", "test_faketensor"),
    )


@every_cell
@pytest.mark.parametrize("kind", [{}, {"bias": False}, {"lengths": True, "reverse": True}], ids=str)
def test_first_and_second_derivatives(cell: str, kind: dict[str, bool]) -> None:
    run, inputs = differentiable(sample(cell, **kind))
    assert torch.autograd.gradcheck(run, inputs, fast_mode=bool(kind))
    assert torch.autograd.gradgradcheck(run, inputs, fast_mode=True)


@every_cell
def test_saved_size_bounds_the_kernel_s(cell: str) -> None:
    for steps, rows, inputs, hidden in ((1, 1, 1, 1), (7, 32, 5, 10), (3, 17, 2, 33), (9, 100, 8, 24), (2, 49, 1, 2)):
        for double in (False, True):
            needed = _native.saved_size(cell, 1, steps, rows, inputs, hidden, double=double)
            assert needed <= ops.saved_size(cell, steps, rows, inputs, hidden)


def grads_of(layer: torch.nn.Module, x: Tensor) -> list[Tensor]:
    """Gradients of the size of the first gradients: double backward."""
    outputs, state = layer(x)
    final = state[0] if isinstance(state, tuple) else state
    sources = [x, *layer.parameters()]
    first = torch.autograd.grad(outputs.square().sum() + final.sin().sum(), sources, create_graph=True)
    return list(torch.autograd.grad(sum(grad.square().sum() for grad in first), sources))


@every_layer
@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True, "batch_first": True}], ids=str)
def test_double_backward_of_a_layer_equals_torch(name: str, options: dict[str, Any]) -> None:
    torch.manual_seed(1)
    theirs = getattr(torch.nn, name)(3, 4, dtype=torch.float64, **options)
    ours = getattr(stepahead.nn, name)(3, 4, dtype=torch.float64, **options)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(5, 2, 3, dtype=torch.float64, requires_grad=True)
    for mine, other in zip(grads_of(ours, x), grads_of(theirs, x), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-10, atol=1e-12)


def ensemble(name: str) -> tuple[list[torch.nn.Module], dict[str, Tensor], Any]:
    """Three layers, their stacked parameters, and a call of one by parameters."""
    torch.manual_seed(2)
    models = [getattr(stepahead.nn, name)(3, 4, 2, batch_first=True, dtype=torch.float64) for _ in range(3)]
    parameters, _ = torch.func.stack_module_state(models)
    base = copy.deepcopy(models[0]).to("meta")
    return models, parameters, lambda own, x: torch.func.functional_call(base, own, (x,))[0]


@every_layer
def test_vmap_over_models_equals_each_alone(name: str) -> None:
    models, parameters, call = ensemble(name)
    x = torch.randn(5, 7, 3, dtype=torch.float64)
    together = torch.vmap(call, (0, None))(parameters, x)
    torch.testing.assert_close(together, torch.stack([model(x)[0] for model in models]), rtol=0, atol=1e-14)


@every_layer
def test_gradients_under_vmap_equal_each_alone(name: str) -> None:
    models, parameters, call = ensemble(name)
    x = torch.randn(3, 5, 7, 3, dtype=torch.float64)
    found = torch.vmap(torch.func.grad(lambda own, x: call(own, x).square().sum()))(parameters, x)
    for number, model in enumerate(models):
        expected = torch.autograd.grad(model(x[number])[0].square().sum(), list(model.parameters()))
        for (key, _), grad in zip(model.named_parameters(), expected, strict=True):
            torch.testing.assert_close(found[key][number], grad, rtol=1e-12, atol=1e-12)


def test_hessian_vector_products_by_torch_func() -> None:
    models, parameters, call = ensemble("GRU")
    own = {key: value[0].detach() for key, value in parameters.items()}
    x = torch.randn(2, 3, 3, dtype=torch.float64)

    def slope(x: Tensor) -> Tensor:
        return torch.func.grad(lambda x: call(own, x).square().sum())(x).square().sum()

    again = x.clone().requires_grad_()
    (first,) = torch.autograd.grad(models[0](again)[0].square().sum(), again, create_graph=True)
    (expected,) = torch.autograd.grad(first.square().sum(), again)
    torch.testing.assert_close(torch.func.grad(slope)(x), expected, rtol=1e-10, atol=1e-12)


def test_forward_mode_under_torch_func_refuses_clearly() -> None:
    models, _, _ = ensemble("LSTM")
    x = torch.randn(2, 3, 3, dtype=torch.float64)
    with pytest.raises(NotImplementedError, match="jvp"):
        torch.func.jvp(lambda x: models[0](x)[0], (x,), (x,))


class Net(torch.nn.Module):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.cell = getattr(stepahead.nn, name)(3, 4, 2, batch_first=True, bidirectional=True)
        self.head = torch.nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cell(x)[0][:, -1])


@every_layer
def test_export_holds_the_operator_and_dynamic_sizes(name: str) -> None:
    torch.manual_seed(3)
    net = Net(name).eval()
    sizes = {0: torch.export.Dim("rows", min=2), 1: torch.export.Dim("steps", min=2)}
    program = torch.export.export(net, (torch.randn(2, 5, 3),), dynamic_shapes={"x": sizes})
    assert sum(node.target is torch.ops.stepahead.scan.default for node in program.graph.nodes) == 4
    x = torch.randn(6, 9, 3)
    torch.testing.assert_close(program.module()(x), net(x))


@pytest.fixture
def dynamo() -> Iterator[Any]:
    torch._dynamo.reset()
    yield torch._dynamo.config
    torch._dynamo.config.allow_rnn = False
    torch._dynamo.reset()


@every_layer
@pytest.mark.parametrize("whole", [False, True], ids=["broken graph", "one graph"])
def test_compiled_equals_eager(name: str, whole: bool, dynamo: Any) -> None:
    dynamo.allow_rnn = whole  # torch's switch: without it dynamo leaves every RNN, LSTM and GRU to eager
    torch.manual_seed(4)
    net = Net(name)
    compiled = torch.compile(net, fullgraph=whole, backend="aot_eager")
    for rows in (2, 3, 6):
        x = torch.randn(rows, 5, 3)
        outputs, expected = compiled(x), net(x)
        torch.testing.assert_close(outputs, expected)
        found = torch.autograd.grad(outputs.sum(), list(net.parameters()))
        torch.testing.assert_close(found, torch.autograd.grad(expected.sum(), list(net.parameters())))


def test_traced_errors_are_torch_s() -> None:
    layer = stepahead.nn.LSTM(3, 4)
    state = (torch.zeros(1, 2, 4), torch.zeros(1, 9, 4))
    with pytest.raises(RuntimeError, match=r"Expected hidden\[1\] size \(1, 2, 4\), got \[1, 9, 4\]"):
        torch.vmap(lambda x: layer(x, state)[0])(torch.zeros(3, 5, 2, 3))
    with pytest.raises(RuntimeError, match="Expected 3, got 9"):
        torch.vmap(lambda x: layer(x)[0])(torch.zeros(3, 5, 2, 9))

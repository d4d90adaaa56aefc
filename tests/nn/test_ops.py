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


def pair(name: str, **options: Any) -> tuple[torch.nn.Module, torch.nn.Module]:
    """One of ours and torch's own with the same parameters."""
    torch.manual_seed(5)
    ours = getattr(stepahead.nn, name)(3, 4, dtype=torch.float64, **options)
    theirs = getattr(torch.nn, name)(3, 4, dtype=torch.float64, **options)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


DEEP = {"num_layers": 2, "bidirectional": True, "batch_first": True}
shallow_and_deep = pytest.mark.parametrize("options", [{}, DEEP], ids=["shallow", "deep"])


@every_layer
@shallow_and_deep
def test_vmap_over_backward_alone_equals_each_alone(name: str, options: dict[str, Any]) -> None:
    ours, theirs = pair(name, **options)
    x, ways = torch.randn(5, 2, 3, dtype=torch.float64), []
    cotangents = torch.randn(3, 5, 2, 4 * (2 if options else 1), dtype=torch.float64)
    for layer in (ours, theirs):
        _, pull = torch.func.vjp(lambda x, layer=layer: layer(x)[0], x)
        each = torch.stack([pull(cotangent)[0] for cotangent in cotangents])
        ways += [each, torch.vmap(pull)(cotangents)[0]]
        nested = torch.vmap(torch.vmap(pull, in_dims=2))(cotangents.unsqueeze(1).expand(3, 2, 5, 2, -1).movedim(1, 3))
        ways += [nested[0][:, 0], nested[0][:, 1]]
    for found in ways:
        torch.testing.assert_close(found, ways[-1], rtol=1e-12, atol=1e-12)


@every_layer
@pytest.mark.parametrize("rows", [2, 17, 50])  # one tile partly filled, and several
def test_jacrev_equals_torch(name: str, rows: int) -> None:
    ours, theirs = pair(name)
    x = torch.randn(3, rows, 3, dtype=torch.float64)
    found, expected = (torch.func.jacrev(lambda x, m=m: m(x)[0][-1].sum(0))(x) for m in (ours, theirs))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@every_layer
def test_weight_gradients_of_many_targets_equal_each_alone(name: str) -> None:
    ours, _ = pair(name)
    x, targets = torch.randn(5, 2, 3, dtype=torch.float64), torch.randn(3, 5, 2, 4, dtype=torch.float64)
    own = {key: value.detach() for key, value in ours.named_parameters()}

    def slope(target: Tensor) -> dict[str, Tensor]:
        return torch.func.grad(lambda p: (torch.func.functional_call(ours, p, (x,))[0] - target).square().sum())(own)

    together, each = torch.vmap(slope)(targets), [slope(target) for target in targets]
    for key in own:
        torch.testing.assert_close(together[key], torch.stack([one[key] for one in each]), rtol=1e-12, atol=1e-12)


@every_layer
def test_saved_of_each_model_is_its_own(name: str) -> None:
    """Models go through forward in one order and through backward in another: a row of `saved` is one model's."""
    cell = {"RNN": "rnn_tanh"}.get(name, name.lower())
    arguments = tuple(part.detach() if isinstance(part, Tensor) else part for part in sample(cell))
    outputs, _, _, saved = ops.scan(*arguments)
    ones = torch.ones_like(outputs)
    expected = ops.scan_backward(*arguments[:8], saved, ones, None, None, *arguments[8:10])
    for m in range(2):
        alone = [part[m : m + 1] if isinstance(part, Tensor) else part for part in arguments]
        found = ops.scan_backward(*alone[:8], saved[m : m + 1], ones[:1], None, None, *alone[8:10])
        for mine, other in zip(found, expected, strict=True):
            torch.testing.assert_close(mine, other[m : m + 1], rtol=1e-12, atol=1e-12)


def gradients_of_many(layer: torch.nn.Module, x: Tensor, cotangents: Any, **how: Any) -> tuple[Tensor, ...]:
    outputs, state = layer(x)
    finals = state if isinstance(state, tuple) else (state,)
    used = (outputs, *finals)[: len(cotangents)]
    return torch.autograd.grad(used, [x, *layer.parameters()], cotangents, is_grads_batched=True, **how)


@every_layer
@shallow_and_deep
@pytest.mark.parametrize("create_graph", [False, True])
def test_batched_gradients_of_eager_layers_equal_torch(name: str, options: dict[str, Any], create_graph: bool) -> None:
    ours, theirs = pair(name, **options)
    x = torch.randn(5, 2, 3, dtype=torch.float64, requires_grad=True)
    outputs, state = theirs(x)
    first = state[0] if isinstance(state, tuple) else state
    cotangents = [torch.randn(3, *part.shape, dtype=torch.float64) for part in (outputs, first)]
    for given in (cotangents, cotangents[:1]):
        found, expected = (gradients_of_many(m, x, given, create_graph=create_graph) for m in (ours, theirs))
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-12)
    if create_graph:
        sources = [x, *ours.parameters()]
        again = torch.autograd.grad(sum(grad.square().sum() for grad in found), sources)
        sources = [x, *theirs.parameters()]
        torch.testing.assert_close(
            again, torch.autograd.grad(sum(grad.square().sum() for grad in expected), sources), rtol=1e-9, atol=1e-10
        )


@every_layer
@shallow_and_deep
def test_vectorized_jacobians_and_hessians_of_eager_layers_equal_torch(name: str, options: dict[str, Any]) -> None:
    ours, theirs = pair(name, **options)
    x = torch.randn(3, 2, 3, dtype=torch.float64)
    jacobian, hessian = torch.autograd.functional.jacobian, torch.autograd.functional.hessian
    found, expected = (jacobian(lambda x, m=m: m(x)[0], x, vectorize=True) for m in (ours, theirs))
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-12)
    found, expected = (hessian(lambda x, m=m: m(x)[0].square().sum(), x, vectorize=True) for m in (ours, theirs))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)


@every_layer
@shallow_and_deep
def test_vmap_over_autograd_grad_of_eager_layers_equals_each_alone(name: str, options: dict[str, Any]) -> None:
    layer, _ = pair(name, bias=False, **options)
    x, directions = torch.randn(5, 2, 3, dtype=torch.float64), 2 if options else 1
    rows, layers = (5, 4) if options else (2, 1)
    state = [torch.randn(layers, rows, 4, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    outputs, _ = layer(x, tuple(state) if name == "LSTM" else state[0])
    sources = [*state[: 2 if name == "LSTM" else 1], *layer.parameters()]

    def pull(cotangent: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad(outputs, sources, cotangent, retain_graph=True)

    cotangents = torch.randn(3, 2, 5, 2, 4 * directions, dtype=torch.float64)
    each = [torch.stack(parts) for parts in zip(*map(pull, cotangents.flatten(0, 1)), strict=True)]
    once, twice = torch.vmap(pull)(cotangents[:, 0]), torch.vmap(torch.vmap(pull))(cotangents)
    for expected, one, two in zip(each, once, twice, strict=True):
        torch.testing.assert_close(one, expected[::2], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(two.flatten(0, 1), expected, rtol=1e-12, atol=1e-12)


@every_cell
def test_vmap_of_the_operators_themselves(cell: str) -> None:
    arguments = tuple(part.detach() if isinstance(part, Tensor) else part for part in sample(cell))
    many = torch.randn(3, *arguments[0].shape, dtype=torch.float64)
    together = torch.vmap(lambda x: torch.ops.stepahead.scan(x, *arguments[1:]))(many)
    for number, x in enumerate(many):
        for mine, other in zip(together, torch.ops.stepahead.scan(x, *arguments[1:]), strict=True):
            torch.testing.assert_close(mine[number], other, rtol=0, atol=1e-14)

    def pull(grad: Tensor) -> tuple[Tensor, ...]:
        saved = together[3][1]
        return torch.ops.stepahead.scan_backward(many[1], *arguments[1:8], saved, grad, None, None, *arguments[8:10])

    cotangents = torch.randn_like(together[0])
    found, expected = torch.vmap(pull)(cotangents), [pull(cotangent) for cotangent in cotangents]
    for mine, others in zip(found, zip(*expected, strict=True), strict=True):
        torch.testing.assert_close(mine, torch.stack(others), rtol=1e-12, atol=1e-12)


def test_batched_gradients_of_packed_rows_with_dropout() -> None:
    ours, theirs = pair("GRU", num_layers=2, dropout=0.5)
    rows = torch.nn.utils.rnn.pack_sequence([torch.randn(n, 3, dtype=torch.float64) for n in (4, 2)])
    cotangents = torch.randn(3, 6, 4, dtype=torch.float64)
    for mode in (torch.nn.Module.train, torch.nn.Module.eval):
        results = []
        for layer in (ours, theirs):
            torch.manual_seed(6)
            outputs = mode(layer)(rows)[0].data
            results.append(torch.autograd.grad(outputs, list(layer.parameters()), cotangents, is_grads_batched=True))
        torch.testing.assert_close(*results, rtol=1e-11, atol=1e-12)


@every_layer
def test_forward_mode_under_torch_func_is_torch_s(name: str) -> None:
    x = torch.randn(2, 3, 3, dtype=torch.float64)
    found = []
    for library in (stepahead.nn, torch.nn):
        torch.manual_seed(3)
        layer = getattr(library, name)(3, 4).double()
        found.append(torch.func.jvp(lambda x, layer=layer: layer(x)[0], (x,), (x,)))
    torch.testing.assert_close(*found)


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


FAULTS: dict[str, tuple[dict[int, Any], type[Exception], str]] = {
    "half": ({0: lambda x: x.half()}, TypeError, "x: expected float32 or float64, found torch.float16"),
    "integers": ({0: lambda x: x.long()}, TypeError, "x: expected float32 or float64"),
    "other weights": ({3: lambda w: w.float()}, TypeError, "weight_ih: expected torch.float64"),
    "other state": ({1: lambda h: h.float()}, TypeError, "h0: expected torch.float64"),
    "other lengths": ({7: lambda n: n.int()}, TypeError, "lengths: expected torch.int64"),
    "no models": ({0: lambda x: x[0]}, ValueError, r"x: expected four axes"),
    "no steps": ({0: lambda x: x[:, :0]}, ValueError, r"x: expected at least one step"),
    "no models in h0": ({1: lambda h: h[0]}, ValueError, r"h0: expected three axes"),
    "rows of h0": ({1: lambda h: h[:, :1]}, ValueError, r"h0: expected \[2, 2, 4\], found \[2, 1, 4\]"),
    "models of h0": ({1: lambda h: h[:1]}, ValueError, r"h0: expected \[2, 2, 4\]"),
    "units of c0": ({2: lambda c: c[..., :3]}, ValueError, r"c0: expected \[2, 2, 4\]"),
    "no c0": ({2: lambda _: None}, ValueError, r"c0: expected \[2, 2, 4\], found None"),
    "small weight_ih": ({3: lambda w: w[:, :5]}, ValueError, r"weight_ih: expected \[2, 16, 3\]"),
    "narrow weight_hh": ({4: lambda w: w[..., :3]}, ValueError, r"weight_hh: expected \[2, 16, 4\]"),
    "short bias": ({5: lambda b: b[:, :5]}, ValueError, r"bias_ih: expected \[2, 16\]"),
    "bias without models": ({6: lambda b: b[0]}, ValueError, r"bias_hh: expected \[2, 16\]"),
    "lengths of a row": ({7: lambda n: n[:, :1]}, ValueError, r"lengths: expected \[2, 2\]"),
    "long": ({7: lambda n: n + 1}, ValueError, r"lengths: expected 0 to 3, found 4"),
    "negative": ({7: lambda n: n - 2}, ValueError, r"lengths: expected 0 to 3, found -1"),
    "cell": ({8: lambda _: "mgu"}, ValueError, "cell: expected one of rnn_tanh, rnn_relu, lstm, gru; found 'mgu'"),
    "c0 of a gru": ({8: lambda _: "gru"}, ValueError, "c0: expected None"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_the_kernel_cannot_read_is_refused_at_the_door(fault: str) -> None:
    changes, kind, message = FAULTS[fault]
    arguments = list(sample("lstm", lengths=True))
    outputs, *_, saved = ops.scan(*arguments)
    for place, change in changes.items():
        arguments[place] = change(arguments[place])
    with pytest.raises(kind, match=message):
        torch.ops.stepahead.scan(*arguments)
    with pytest.raises(kind, match=message):
        torch.ops.stepahead.scan_backward(*arguments[:8], saved, outputs, None, None, *arguments[8:10])


BACKWARD_FAULTS: dict[str, tuple[int, Any, type[Exception], str]] = {
    "forward without train": (8, lambda s: s[:, :0], ValueError, r"saved: .* scan\(train=True\)"),
    "saved of one model": (8, lambda s: s[:1], ValueError, "saved: expected"),
    "saved as float32": (8, lambda s: s.float(), TypeError, "saved: expected torch.float64"),
    "gradient of fewer steps": (9, lambda g: g[:, :2], ValueError, r"grad_outputs: expected \[2, 3, 2, 4\]"),
    "gradient as float32": (9, lambda g: g.float(), TypeError, "grad_outputs: expected torch.float64"),
    "grad_h": (10, lambda _: torch.zeros(2, 2, 5).double(), ValueError, r"grad_h: expected \[2, 2, 4\]"),
    "grad_c": (11, lambda _: torch.zeros(2, 4).double(), ValueError, r"grad_c: expected \[2, 2, 4\]"),
}


@pytest.mark.parametrize("fault", BACKWARD_FAULTS)
def test_backward_refuses_what_is_no_gradient(fault: str) -> None:
    place, change, kind, message = BACKWARD_FAULTS[fault]
    arguments = sample("lstm")
    outputs, *_, saved = ops.scan(*arguments)
    given = [*arguments[:8], saved, outputs, None, None, *arguments[8:10]]
    given[place] = change(given[place])
    with pytest.raises(kind, match=message):
        torch.ops.stepahead.scan_backward(*given)


def test_gradients_of_a_scan_that_kept_nothing_are_refused() -> None:
    run = torch.ops.stepahead.scan(*sample("gru")[:10], False)
    with pytest.raises(ValueError, match=r"scan\(train=True\)"):
        run[0].sum().backward()


@every_cell
def test_strides_and_a_single_bias_are_read_right(cell: str) -> None:
    arguments = list(sample(cell))
    expected = ops.scan(*arguments[:6], torch.zeros_like(arguments[6]), *arguments[7:])[0]
    for place in (0, 1, 3, 4, 5):
        arguments[place] = arguments[place].detach().transpose(0, -1).contiguous().transpose(0, -1)
    torch.testing.assert_close(ops.scan(*arguments[:6], None, *arguments[7:])[0], expected, rtol=0, atol=1e-14)

"""What looks at a layer from outside and knows torch's own operators and layers alone, held against torch.nn."""

from typing import Any

import pytest
import torch
import torch.onnx
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

import stepahead.nn

NAMES = ("RNN", "LSTM", "GRU")
every_layer = pytest.mark.parametrize("name", NAMES)
OPTIONS: dict[str, Any] = {"num_layers": 2, "bidirectional": True, "batch_first": True}


def pair(name: str, **options: Any) -> tuple[torch.nn.RNNBase, torch.nn.RNNBase]:
    """One of ours and torch's own with the same parameters."""
    torch.manual_seed(0)
    theirs = getattr(torch.nn, name)(3, 4, **options)
    ours = getattr(stepahead.nn, name)(3, 4, **options)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


class Twice(torch.nn.Module):
    """A layer that is called with and without a state."""

    def __init__(self, cell: torch.nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor) -> Tensor:
        outputs, state = self.cell(x)
        return outputs + self.cell(x + 1, state)[0]


@every_layer
def test_export_for_onnx_holds_no_operator_of_ours(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layer, theirs = pair(name, **OPTIONS)
    x = torch.randn(2, 5, 3)
    monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda: True)  # as torch.onnx.export(dynamo=True) has it
    program = torch.export.export(layer, (x,))
    assert not [node for node in program.graph.nodes if "stepahead" in str(node.target)]
    torch.testing.assert_close(program.module()(x), theirs(x))


def values_of(layer: torch.nn.Module) -> tuple[Tensor, dict[str, Tensor]]:
    """A loss by functionalize, and its gradients by a graph of that."""
    weights = {key: weight.detach() for key, weight in layer.named_parameters()}

    def loss(weights: dict[str, Tensor], x: Tensor) -> Tensor:
        return torch.func.functional_call(layer, weights, (x,))[0].square().sum()

    x = torch.linspace(-1, 1, 30).reshape(2, 5, 3)
    graph = make_fx(torch.func.functionalize(torch.func.grad(loss)))(weights, x)
    return torch.func.functionalize(loss)(weights, x), graph(weights, 2 * x)


@every_layer
def test_functionalize_gives_what_torch_gives(name: str) -> None:
    ours, theirs = pair(name, **OPTIONS)
    torch.testing.assert_close(values_of(ours), values_of(theirs))


@every_layer
def test_a_layer_is_one_node_of_an_fx_graph(name: str) -> None:
    ours, theirs = (torch.fx.symbolic_trace(Twice(layer)) for layer in pair(name, **OPTIONS))
    assert [node.op for node in ours.graph.nodes] == [node.op for node in theirs.graph.nodes]
    x = torch.randn(2, 5, 3)
    torch.testing.assert_close(ours(x), theirs(x))


class OnlyItsState(torch.nn.Module):
    """A layer whose input is fixed, so that fx stands in for its state alone."""

    def __init__(self, cell: torch.nn.RNNBase) -> None:
        super().__init__()
        self.cell, self.x = cell, torch.linspace(-1, 1, 30).reshape(5, 2, 3)

    def forward(self, h: Tensor, c: Tensor) -> Tensor:
        return self.cell(self.x, (h, c) if self.cell.mode == "LSTM" else h)[0]


@every_layer
def test_a_layer_is_one_node_where_only_its_state_is_traced(name: str) -> None:
    ours, theirs = (torch.fx.symbolic_trace(OnlyItsState(layer)) for layer in pair(name))
    assert [node.op for node in ours.graph.nodes] == [node.op for node in theirs.graph.nodes]
    h, c = torch.randn(2, 1, 2, 4)
    torch.testing.assert_close(ours(h, c), theirs(h, c))


@every_layer
def test_a_layer_traced_by_itself_is_refused_as_torch_refuses_it(name: str) -> None:
    said = []
    for layer in pair(name):
        with pytest.raises(torch.fx.proxy.TraceError) as error:
            torch.fx.symbolic_trace(layer)
        said.append(str(error.value))
    assert said[0] == said[1]


class Doubled(stepahead.nn.GRU):
    """A forward of its own, which fx would trace through, and a leaf would do again."""

    def forward(self, input: Any, hx: Tensor | None = None) -> Any:
        return super().forward(2 * input, hx)


@pytest.mark.parametrize("kind", ["subclass", "hook"])
def test_fx_never_does_twice_what_surrounds_a_layer(kind: str) -> None:
    layer = Doubled(3, 4) if kind == "subclass" else stepahead.nn.GRU(3, 4)
    if kind == "hook":
        layer.register_forward_pre_hook(lambda _, args: (2 * args[0], *args[1:]))
    with pytest.raises(torch.fx.proxy.TraceError):  # as of any subclass of torch's layers
        torch.fx.symbolic_trace(Twice(layer))


@every_layer
def test_batch_first_inputs_made_in_inference_mode_can_be_learned_from(name: str) -> None:
    found = []
    for layer in pair(name, batch_first=True):
        with torch.inference_mode():
            x = torch.linspace(-1, 1, 30).reshape(2, 5, 3)
        layer(x)[0].square().sum().backward()
        found.append([weight.grad for weight in layer.parameters()])
    torch.testing.assert_close(*found)

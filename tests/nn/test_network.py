"""The network against the same layers put together by hand in torch.nn."""

import pytest
import torch
from torch import nn

from stepahead.nn.network import Network, Wrapped, call_wrapped

TORCH = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU, "rnn_relu": nn.RNN}


def made_network(cell: str = "lstm", **changes: object) -> Network:
    options: dict = {"n_features": 3, "n_context": 2, "hidden_size": 4, "num_layers": 1, "dropout": 0.0}
    options |= {"horizon": 3, "outputs": 2, "zero_head": False}
    return Network(cell=cell, **(options | changes))


@pytest.mark.parametrize("cell", TORCH)
@pytest.mark.parametrize("layers", [1, 2])
def test_the_network_is_torch_s_cell_and_a_linear_layer_on_its_last_output(cell, layers):
    torch.manual_seed(0)
    network = made_network(cell, num_layers=layers).eval()
    extra = {"nonlinearity": "relu"} if cell == "rnn_relu" else {}
    by_hand = TORCH[cell](3, 4, num_layers=layers, batch_first=True, **extra)
    by_hand.load_state_dict(network.cell.state_dict())
    x, context = torch.randn(5, 7, 3), torch.randn(5, 2)
    last = by_hand(x)[0][:, -1]
    flat = torch.cat([last, context], dim=1) @ network.head.weight.T + network.head.bias
    found = network(x, context)
    assert found.shape == (5, 3, 2)
    assert torch.allclose(found, flat.reshape(5, 3, 2), atol=1e-6)


def test_parameters_are_initialised_as_torch_does():
    torch.manual_seed(7)
    network = made_network()
    torch.manual_seed(7)
    cell, head = nn.LSTM(3, 4, batch_first=True), nn.Linear(6, 6)
    by_hand = {f"cell.{n}": p for n, p in cell.named_parameters()} | {
        f"head.{n}": p for n, p in head.named_parameters()
    }
    found = dict(network.named_parameters())
    assert set(found) == set(by_hand) | {"tail"}
    assert all(torch.equal(found[name], value) for name, value in by_hand.items())


def test_a_zero_head_says_no_change_whatever_the_window():
    assert (made_network(zero_head=True)(torch.randn(5, 7, 3), torch.randn(5, 2)) == 0).all()


def test_one_layer_takes_dropout_without_a_warning(recwarn):
    made_network(dropout=0.5)
    assert len(recwarn) == 0
    assert made_network(dropout=0.5, num_layers=2).cell.dropout == 0.5


def test_a_wrapped_module_is_a_copy():
    module = nn.Sequential(nn.Flatten(), nn.Linear(21, 3))
    wrapped = Wrapped(module, horizon=3, outputs=1)
    with torch.no_grad():
        wrapped.module[1].weight.zero_()
    assert (module[1].weight != 0).all()


def test_calling_a_wrapped_module_equals_calling_it_by_hand():
    module = nn.Sequential(nn.Flatten(), nn.Linear(21, 3), nn.Dropout(0.9))
    trained = Wrapped(module, horizon=3, outputs=1)
    with torch.no_grad():
        trained.module[1].weight.add_(1.0)
    weights = {name: value.numpy() for name, value in trained.state_dict().items()}
    x = torch.randn(4, 7, 3)
    found = call_wrapped(module, horizon=3, outputs=1)(weights, x.numpy())
    assert torch.equal(torch.as_tensor(found[..., 0]), trained.eval().module(x).detach())

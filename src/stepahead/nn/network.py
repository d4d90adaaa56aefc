"""The forecasting network: a recurrent cell over the window, a linear head on its last output.

(x [N, T, F], context [N, C]) -> [N, H, O].  Legend: N windows, T steps, F features, C context numbers, D hidden,
H horizon, O numbers a step ahead.
"""

import copy
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from stepahead.errors import ConfigError, ModelFileError
from stepahead.nn.recurrent import GRU, LSTM, RNN


class Network(nn.Module):
    """One recurrent stack and a linear head over [last output D, context C].

    cell: "rnn" | "rnn_relu" | "lstm" | "gru". zero_head: the head starts at zero, so that the first forecast is the
    window's base. Parameters are named as torch names them: cell.weight_ih_l0, ..., head.weight, head.bias.
    """

    def __init__(
        self,
        *,
        cell: str,
        n_features: int,
        n_context: int,
        hidden_size: int,
        num_layers: int,
        dropout: float,
        horizon: int,
        outputs: int,
        zero_head: bool,
    ) -> None:
        super().__init__()
        self.cell = make_cell(cell, n_features, hidden_size, num_layers, dropout)
        self.head = nn.Linear(hidden_size + n_context, horizon * outputs)
        self.tail = nn.Parameter(torch.tensor(3.0))  # of Student's t; other heads leave it alone
        self.shape = (horizon, outputs)
        if zero_head:
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """x [N, T, F], context [N, C] -> [N, H, O]."""
        outputs, _ = self.cell(x)
        last = torch.cat([outputs[:, -1], context], dim=1)  # [N, D+C]
        return self.head(last).unflatten(1, self.shape)


class Wrapped(nn.Module):
    """A user's own module, (N, window, inputs) to (N, horizon), in the place of a Network."""

    def __init__(self, module: nn.Module, horizon: int, outputs: int) -> None:
        super().__init__()
        if not isinstance(module, nn.Module):
            raise ConfigError(f"network={module!r} must be a torch.nn.Module, from (N, window, inputs) to (N, horizon)")
        self.module = copy.deepcopy(module)  # fitting does not change the one that was given
        self.tail = nn.Parameter(torch.tensor(3.0))
        self.shape = (horizon, outputs)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """x [N, T, F] -> [N, H, O]; the context is not for a module that does not know of it."""
        output = self.module(x)
        horizon, numbers = self.shape
        if (
            not isinstance(output, Tensor)
            or output.shape[:1] != x.shape[:1]
            or output.numel() != x.shape[0] * horizon * numbers
        ):
            found = list(output.shape) if isinstance(output, Tensor) else f"a {type(output).__name__}"
            each = f"{horizon}" if numbers == 1 else f"{horizon} * {numbers}"
            raise ConfigError(f"network= gives {found} for windows {list(x.shape)}; it must give [N, {each}]")
        return output.reshape(len(x), *self.shape)


def weights_of(network: nn.Module) -> dict[str, np.ndarray]:
    """A copy of all weights as they are now, by name."""
    return {name: value.detach().cpu().numpy().copy() for name, value in network.state_dict().items()}


def make_cell(cell: str, n_features: int, hidden_size: int, num_layers: int, dropout: float) -> nn.RNNBase:
    """A recurrent stack by name, batch first."""
    between = dropout if num_layers > 1 else 0.0  # torch warns of dropout that has no layer to sit between
    shared = {"num_layers": num_layers, "dropout": between, "batch_first": True}
    if cell == "lstm":
        return LSTM(n_features, hidden_size, **shared)
    if cell == "gru":
        return GRU(n_features, hidden_size, **shared)
    return RNN(n_features, hidden_size, nonlinearity="relu" if cell == "rnn_relu" else "tanh", **shared)


def call_wrapped(
    module: nn.Module, horizon: int, outputs: int
) -> Callable[[Mapping[str, np.ndarray], np.ndarray], np.ndarray]:
    """A user's module as a function: (weights by name, x [N, T, F]) -> [N, H, O], without gradients."""
    wrapped = Wrapped(module, horizon, outputs).cpu().eval()

    @torch.no_grad()
    def call(weights: Mapping[str, np.ndarray], x: np.ndarray) -> np.ndarray:
        try:
            wrapped.load_state_dict({name: torch.as_tensor(array) for name, array in weights.items()})
        except RuntimeError as error:
            raise ModelFileError(
                "the weights do not fit the module given as network=; give the one of the fit"
            ) from error
        return wrapped(torch.as_tensor(x), torch.zeros(len(x), 0)).numpy()

    return call

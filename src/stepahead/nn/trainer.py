"""The fused training step: what the networks of a fleet have in common, and who does the sums.

FleetShape -> a trainer with `steps` and `losses` over flat parameters: the native kernel's, or TorchTrainer's where the
kernel could not be built.  Legend: M models, S steps, B windows of a batch, W windows, R rows, T rows of a window,
F features, D hidden, H horizon, O numbers of a forecast (H, or H times quantiles), P parameters of one model.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stepahead.cell_names import GATES, KERNEL_NAMES
from stepahead.errors import ConfigError
from stepahead.nn import reference
from stepahead.nn.heads import HUBER_DELTA, make_head, weighted_mean
from stepahead.nn.stack import _native as native

Array = np.ndarray

LOSSES = {"mse": "mse", "mae": "mae", "huber": "huber", "quantile": "pinball"}  # our heads -> the kernel's losses
PARTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "head_weight", "head_bias")


@dataclass(frozen=True)
class FleetShape:
    """What the networks of a fleet have in common: one recurrent layer, a linear head on its last output.

    cell: "rnn" | "rnn_relu" | "lstm" | "gru". head: "mse" | "mae" | "huber" | "quantile".
    clip: largest norm of one model's gradient, 0 for none.
    """

    cell: str
    n_features: int
    hidden_size: int
    horizon: int
    head: str = "mse"
    quantiles: tuple[float, ...] = ()
    clip: float = 0.0

    def __post_init__(self) -> None:
        for name, value, known in (("cell", self.cell, GATES), ("head", self.head, LOSSES)):
            if value not in known:
                raise ConfigError(f"a fleet's {name}={value!r}: must be one of {', '.join(known)}")

    @property
    def outputs(self) -> int:
        """O: the numbers of one forecast."""
        return self.horizon * (len(self.quantiles) if self.head == "quantile" else 1)

    @property
    def parts(self) -> dict[str, tuple[int, ...]]:
        """The shapes of one model's parameters, in the order in which they lie in memory."""
        gates, hidden = GATES[self.cell] * self.hidden_size, self.hidden_size
        cell = ((gates, self.n_features), (gates, hidden), (gates,), (gates,))
        return dict(zip(PARTS, (*cell, (self.outputs, hidden), (self.outputs,)), strict=True))

    @property
    def n_parameters(self) -> int:
        """P."""
        return sum(int(np.prod(shape)) for shape in self.parts.values())


def pack(shape: FleetShape, parts: Mapping[str, Array]) -> Array:
    """One model's parameters [P] from arrays by the names of PARTS."""
    for name, wanted in shape.parts.items():
        if parts[name].shape != wanted:
            raise ConfigError(f"a fleet's {name}: expected {wanted}, found {parts[name].shape}")
    return np.concatenate([np.asarray(parts[name], np.float32).ravel() for name in PARTS])


def unpack(shape: FleetShape, parameters: Any) -> dict[str, Any]:
    """One model's parameters [P] (an array or a tensor) -> views by the names of PARTS."""
    views, begin = {}, 0
    for name, wanted in shape.parts.items():
        end = begin + int(np.prod(wanted))
        views[name], begin = parameters[begin:end].reshape(wanted), end
    return views


def make_trainer(shape: FleetShape, models: int, threads: int = 0) -> Any:
    """The native trainer, or torch's where the kernel could not be built."""
    if native is None:
        return TorchTrainer(shape)
    return native.Trainer(
        KERNEL_NAMES[shape.cell], shape.n_features, shape.hidden_size, shape.horizon,
        models=models, loss=LOSSES[shape.head], delta=HUBER_DELTA, quantiles=list(shape.quantiles),
        decoupled=True, clip=shape.clip, threads=threads,
    )  # fmt: skip


class TorchTrainer:
    """_native.Trainer's sums in torch, one model after the other: slow, and the same to rounding."""

    betas, eps = (0.9, 0.999), 1e-8

    def __init__(self, shape: FleetShape) -> None:
        self.shape = shape
        self.head = make_head(shape.head, shape.quantiles)

    def steps(
        self, parameters: Array, moments: Array, taken: Array, rows: Array, starts: Array, targets: Array, order: Array,
        steps: int, weights: Array | None, scales: Array | None, learning_rate: Array, weight_decay: Array,
        losses: Array,
    ) -> None:  # fmt: skip
        """As _native.Trainer.steps."""
        for s, m in np.ndindex(*learning_rate.shape):
            batch, rate = order[s, m][order[s, m] >= 0], float(learning_rate[s, m])
            if not len(batch) or rate == 0:
                continue
            flat = torch.from_numpy(parameters[m]).clone().requires_grad_()
            loss = self._loss(flat, self._gather(rows, starts, targets, weights, scales, batch, steps))
            loss.backward()
            losses[s, m], taken[m] = loss.item(), taken[m] + 1
            assert flat.grad is not None
            self._adam(parameters[m], moments[:, m], flat.grad, int(taken[m]), rate, float(weight_decay[m]))

    @torch.no_grad()
    def losses(
        self, parameters: Array, rows: Array, starts: Array, targets: Array, order: Array, steps: int,
        weights: Array | None, scales: Array | None, out_losses: Array, out_predictions: None,
    ) -> None:  # fmt: skip
        """As _native.Trainer.losses, the forecasts left out, which a fleet does not ask for."""
        for m, windows in enumerate(order):
            batch = windows[windows >= 0]
            if not len(batch):
                continue
            parts = self._gather(rows, starts, targets, weights, scales, batch, steps)
            out_losses[m] = self._loss(torch.from_numpy(parameters[m]), parts).item()

    def _gather(
        self, rows: Array, starts: Array, targets: Array, weights: Array | None, scales: Array | None,
        batch: Array, steps: int,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        """x [T, B, F], targets and weights [B, H]."""
        x = rows[starts[batch] + np.arange(steps)[:, None]]
        if scales is not None:
            x = (x - scales[batch, 0]) * scales[batch, 1]
        target = torch.from_numpy(targets[batch])
        weight = torch.ones_like(target) if weights is None else torch.from_numpy(weights[batch])
        return torch.from_numpy(x), target, weight

    def _loss(self, flat: Tensor, parts: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """The batch's loss."""
        (x, target, weight), own = parts, unpack(self.shape, flat)
        zeros = x.new_zeros(x.shape[1], self.shape.hidden_size)
        state = (zeros, zeros) if self.shape.cell == "lstm" else (zeros,)
        cell = [own[name] for name in PARTS[:4]]
        _, (last, *_) = reference.scan(KERNEL_NAMES[self.shape.cell], x, state, *cell)
        forecast = torch.nn.functional.linear(last, own["head_weight"], own["head_bias"])
        steps_ahead = forecast.unflatten(1, (self.shape.horizon, -1))
        return weighted_mean(self.head.loss(steps_ahead, target, x.new_zeros(())), weight)

    def _adam(self, parameters: Array, moments: Array, gradient: Tensor, t: int, rate: float, decay: float) -> None:
        """AdamW (Loshchilov and Hutter 2019) in place, the gradient's norm clipped before."""
        if self.shape.clip:
            gradient = gradient * min(1.0, self.shape.clip / (float(gradient.norm()) + 1e-6))
        g, (beta1, beta2) = gradient.numpy(), self.betas
        moments[0] += (1 - beta1) * (g - moments[0])
        moments[1] += (1 - beta2) * (g * g - moments[1])
        parameters *= 1 - rate * decay
        parameters -= rate / (1 - beta1**t) * moments[0] / (np.sqrt(moments[1] / (1 - beta2**t)) + self.eps)

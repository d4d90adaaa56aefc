"""A fleet: M networks of one shape trained side by side, each on its own windows, by the native fused step.

Windows and starting parameters -> Fleet; `run` takes optimizer steps, `losses` measures, `fit` does both and stops
early.  Forward, head, loss, backward, clipping and AdamW are one call of the kernel for all steps and models; where the
kernel could not be built, TorchTrainer does the same sums. Nothing a member gets depends on the others beside it.
Legend: M models, S steps, B windows of a batch, W windows, R rows, T rows of a window, F features, D hidden, H horizon,
O numbers of a forecast (H, or H times quantiles), P parameters of one model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stepahead.errors import ConfigError, TrainingError
from stepahead.nn import reference
from stepahead.nn.heads import HUBER_DELTA, make_head, weighted_mean
from stepahead.nn.stack import _native

Array = np.ndarray

GATES = {"rnn": 1, "rnn_relu": 1, "lstm": 4, "gru": 3}
KERNEL_CELLS = {"rnn": "rnn_tanh", "rnn_relu": "rnn_relu", "lstm": "lstm", "gru": "gru"}
KERNEL_LOSSES = {"mse": "mse", "mae": "mae", "huber": "huber", "quantile": "pinball"}
PARTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "head_weight", "head_bias")


@dataclass(frozen=True)
class Shape:
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
        for name, value, known in (("cell", self.cell, KERNEL_CELLS), ("head", self.head, KERNEL_LOSSES)):
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


@dataclass(frozen=True)
class Windows:
    """What there is to learn from, shared by all members: window w is rows[starts[w] : starts[w] + steps].

    rows: [R, F] float32, scaled. starts: [W] int64. steps: T. targets: [W, H] float32.
    weights: [W, H] float32, the share of each target in the loss; None means ones.
    """

    rows: Array
    starts: Array
    steps: int
    targets: Array
    weights: Array | None = None

    def __post_init__(self) -> None:
        rows, starts = self.rows, self.starts
        if rows.ndim != 2 or self.targets.shape[0] != len(starts) or self.targets.ndim != 2:
            found = f"rows {rows.shape}, starts {starts.shape}, targets {self.targets.shape}"
            raise ConfigError(f"a fleet's windows: rows are [R, F], starts [W], targets [W, H]; found {found}")
        if len(starts) and (starts.min() < 0 or starts.max() + self.steps > len(rows)):
            found = f"{starts.min()}..{starts.max()} with {self.steps} steps and {len(rows)} rows"
            raise ConfigError(f"a fleet's windows: starts must lie in 0..rows-steps; found {found}")
        if self.weights is not None and self.weights.shape != self.targets.shape:
            found = f"{self.weights.shape} for targets {self.targets.shape}"
            raise ConfigError(f"a fleet's windows: weights are shaped as targets; found {found}")


@dataclass
class Fitted:
    """What `Fleet.fit` found, for each member.

    parameters: [M, P], the best on the validation windows, or the last where there are none. best: [M] their
    validation loss. steps: [M] taken. history: (step, training losses [M], validation losses [M]) at each check.
    """

    parameters: Array
    best: Array
    steps: Array
    history: list[tuple[int, Array, Array]] = field(default_factory=list)


class Fleet:
    """M networks in training: their parameters [M, P], moments [2, M, P] and steps taken [M], updated in place.

    Args:
        shape: what the networks have in common.
        windows: what they learn from; each step says which windows a member sees.
        parameters: [M, P] float32 starting values, a member's as `pack` lays them; copied.
        weight_decay: decoupled as AdamW's, one for all or [M].
        threads: 0 for all.

    Raises:
        ConfigError: arrays whose shapes do not fit one another.

    Example:
        >>> rows = np.sin(np.arange(100, dtype=np.float32))[:, None]
        >>> windows = Windows(rows, np.arange(90), 8, rows[8:98])
        >>> fleet = Fleet(Shape("lstm", 1, 4, 1), windows, start(Shape("lstm", 1, 4, 1), seeds=[0, 1]))
        >>> losses = fleet.run(np.tile(np.arange(90), (20, 2, 1)), np.full((20, 2), 0.01))
        >>> losses.shape, bool((losses[-1] < losses[0]).all())
        ((20, 2), True)
    """

    def __init__(
        self,
        shape: Shape,
        windows: Windows,
        parameters: Array,
        *,
        weight_decay: float | Sequence[float] = 0.0,
        threads: int = 0,
    ) -> None:
        models = len(parameters)
        if parameters.shape != (models, shape.n_parameters):
            raise ConfigError(f"a fleet's parameters: expected [M, {shape.n_parameters}], found {parameters.shape}")
        if windows.rows.shape[1] != shape.n_features or windows.targets.shape[1] != shape.horizon:
            wanted = f"{shape.n_features} features and {shape.horizon} targets"
            found = f"{windows.rows.shape[1]} and {windows.targets.shape[1]}"
            raise ConfigError(f"a fleet's windows: expected {wanted}; found {found}")
        self.shape, self.windows = shape, windows
        self.parameters = np.array(parameters, np.float32, order="C")
        self.moments = np.zeros((2, models, shape.n_parameters), np.float32)
        self.taken = np.zeros(models, np.int64)
        self.weight_decay = np.ascontiguousarray(np.broadcast_to(np.float32(weight_decay), models))
        self._data = (_single(windows.rows), np.ascontiguousarray(windows.starts, np.int64), _single(windows.targets))
        self._weights = None if windows.weights is None else _single(windows.weights)
        self._trainer = make_trainer(shape, models, threads)

    def run(self, order: Array, rates: Array) -> Array:
        """Take S steps.

        order: [S, M, B] int64, the windows of each batch; a shorter batch ends with -1, an empty one is passed by.
        rates: [S, M] learning rates; 0 passes a model by. Returns: losses before each step [S, M]; 0 where passed by.
        """
        order = self._checked(order, 3)
        if rates.shape != order.shape[:2]:
            raise ConfigError(f"a fleet's rates: expected {order.shape[:2]} as the order's, found {rates.shape}")
        losses = np.zeros(rates.shape, np.float32)
        rows, starts, targets = self._data
        self._trainer.steps(
            self.parameters, self.moments, self.taken, rows, starts, targets, order, self.windows.steps,
            self._weights, None, _single(rates), self.weight_decay, losses,
        )  # fmt: skip
        return losses

    def losses(self, order: Array) -> Array:
        """The loss of each model over its windows, without a step: order [M, B], ends with -1 -> [M]."""
        return self._measure(order, None)

    def predict(self, order: Array) -> Array:
        """What each model forecasts for its windows: order [M, B] -> [M, B, O]."""
        predictions = np.zeros((*order.shape, self.shape.outputs), np.float32)
        self._measure(order, predictions)
        return predictions

    def fit(
        self,
        order: Array,
        rates: Array,
        *,
        valid: Array | None = None,
        check_every: int = 25,
        patience: int | None = None,
    ) -> Fitted:
        """Take all steps, stopping each member early.

        order: [S, M, B], rates: [S, M], as `run`'s. valid: [M, V] windows to validate on after every `check_every`
        steps; a member stops after `patience` checks without gain (None: never) and its best parameters are kept.
        Raises: TrainingError when a member's loss is not a number.
        """
        models = len(self.parameters)
        fitted = Fitted(self.parameters.copy(), np.full(models, np.inf), np.zeros(models, np.int64))
        waited, going = np.zeros(models, np.int64), np.ones(models, bool)
        for step in range(0, len(order), check_every):
            stop = min(step + check_every, len(order))
            losses = self.run(order[step:stop], np.where(going, rates[step:stop], 0))
            broken = ~np.isfinite(losses).all(axis=0)
            if broken.any():
                where = f"member {int(np.argmax(broken))}, by step {stop}"
                raise TrainingError(f"{where}: the loss is not a number; try a smaller learning rate or clip=1")
            scores = self.losses(valid) if valid is not None else np.full(models, np.nan, np.float32)
            better = going & ((scores < fitted.best) | (valid is None))
            fitted.parameters[better], fitted.best[better] = self.parameters[better], scores[better]
            fitted.steps[going] = stop
            fitted.history.append((stop, losses[-1], scores))
            waited = np.where(better, 0, waited + 1)
            if patience is not None and valid is not None:
                going &= waited < patience
            if not going.any():
                break
        return fitted

    def _measure(self, order: Array, predictions: Array | None) -> Array:
        losses = np.zeros(len(order), np.float32)
        rows, starts, targets = self._data
        self._trainer.losses(
            self.parameters, rows, starts, targets, self._checked(order, 2), self.windows.steps,
            self._weights, None, losses, predictions,
        )  # fmt: skip
        return losses

    def _checked(self, order: Array, dimensions: int) -> Array:
        if order.ndim != dimensions or order.shape[-2] != len(self.parameters):
            wanted = "[S, M, B]" if dimensions == 3 else "[M, B]"
            raise ConfigError(f"a fleet's order: expected {wanted} with M={len(self.parameters)}, found {order.shape}")
        if order.size and (order.min() < -1 or order.max() >= len(self.windows.starts)):
            found = f"{order.min()}..{order.max()} of {len(self.windows.starts)} windows"
            raise ConfigError(f"a fleet's order: windows are counted from 0, -1 is none; found {found}")
        return np.ascontiguousarray(order, np.int64)


def start(shape: Shape, seeds: Sequence[int]) -> Array:
    """Parameters [M, P] drawn as torch draws them: uniform within 1/sqrt(hidden), one seed for each member."""
    bound = shape.hidden_size**-0.5
    draws = [np.random.default_rng(seed).uniform(-bound, bound, shape.n_parameters) for seed in seeds]
    return np.stack(draws).astype(np.float32)


def pack(shape: Shape, parts: Mapping[str, Array]) -> Array:
    """One model's parameters [P] from arrays by the names of PARTS."""
    for name, wanted in shape.parts.items():
        if parts[name].shape != wanted:
            raise ConfigError(f"a fleet's {name}: expected {wanted}, found {parts[name].shape}")
    return np.concatenate([np.asarray(parts[name], np.float32).ravel() for name in PARTS])


def unpack(shape: Shape, parameters: Any) -> dict[str, Any]:
    """One model's parameters [P] (an array or a tensor) -> views by the names of PARTS."""
    views, begin = {}, 0
    for name, wanted in shape.parts.items():
        end = begin + int(np.prod(wanted))
        views[name], begin = parameters[begin:end].reshape(wanted), end
    return views


def make_trainer(shape: Shape, models: int, threads: int = 0) -> Any:
    """The native trainer, or torch's where the kernel could not be built."""
    if _native is None:
        return TorchTrainer(shape)
    return _native.Trainer(
        KERNEL_CELLS[shape.cell], shape.n_features, shape.hidden_size, shape.horizon,
        models=models, loss=KERNEL_LOSSES[shape.head], delta=HUBER_DELTA, quantiles=list(shape.quantiles),
        decoupled=True, clip=shape.clip, threads=threads,
    )  # fmt: skip


class TorchTrainer:
    """_native.Trainer's sums in torch, one model after the other: slow, and the same to rounding."""

    betas, eps = (0.9, 0.999), 1e-8

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.head = make_head(shape.head, shape.quantiles)

    def steps(
        self, parameters: Array, moments: Array, taken: Array, rows: Array, starts: Array, targets: Array, order: Array,
        steps: int, weights: Array | None, scales: None, learning_rate: Array, weight_decay: Array, losses: Array,
    ) -> None:  # fmt: skip
        """As _native.Trainer.steps."""
        for s, m in np.ndindex(*learning_rate.shape):
            batch, rate = order[s, m][order[s, m] >= 0], float(learning_rate[s, m])
            if not len(batch) or rate == 0:
                continue
            flat = torch.from_numpy(parameters[m]).clone().requires_grad_()
            loss, _ = self._loss(flat, self._gather(rows, starts, targets, weights, batch, steps))
            loss.backward()
            losses[s, m], taken[m] = loss.item(), taken[m] + 1
            assert flat.grad is not None
            self._adam(parameters[m], moments[:, m], flat.grad, int(taken[m]), rate, float(weight_decay[m]))

    @torch.no_grad()
    def losses(
        self, parameters: Array, rows: Array, starts: Array, targets: Array, order: Array, steps: int,
        weights: Array | None, scales: None, out_losses: Array, out_predictions: Array | None,
    ) -> None:  # fmt: skip
        """As _native.Trainer.losses."""
        for m, windows in enumerate(order):
            batch = windows[windows >= 0]
            if not len(batch):
                continue
            parts = self._gather(rows, starts, targets, weights, batch, steps)
            loss, forecast = self._loss(torch.from_numpy(parameters[m]), parts)
            out_losses[m] = loss.item()
            if out_predictions is not None:
                out_predictions[m, : len(batch)] = forecast.numpy()

    def _gather(
        self, rows: Array, starts: Array, targets: Array, weights: Array | None, batch: Array, steps: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """x [T, B, F], targets and weights [B, H]."""
        x = rows[starts[batch] + np.arange(steps)[:, None]]
        target = torch.from_numpy(targets[batch])
        weight = torch.ones_like(target) if weights is None else torch.from_numpy(weights[batch])
        return torch.from_numpy(x), target, weight

    def _loss(self, flat: Tensor, parts: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """The batch's loss and the forecasts [B, O]."""
        (x, target, weight), own = parts, unpack(self.shape, flat)
        zeros = x.new_zeros(x.shape[1], self.shape.hidden_size)
        state = (zeros, zeros) if self.shape.cell == "lstm" else (zeros,)
        cell = [own[name] for name in PARTS[:4]]
        _, (last, *_) = reference.scan(KERNEL_CELLS[self.shape.cell], x, state, *cell)
        forecast = torch.nn.functional.linear(last, own["head_weight"], own["head_bias"])
        steps_ahead = forecast.unflatten(1, (self.shape.horizon, -1))
        return weighted_mean(self.head.loss(steps_ahead, target, x.new_zeros(())), weight), forecast

    def _adam(self, parameters: Array, moments: Array, gradient: Tensor, t: int, rate: float, decay: float) -> None:
        """AdamW (Loshchilov and Hutter 2019) in place, the gradient's norm clipped before."""
        if self.shape.clip:
            gradient = gradient * min(1.0, self.shape.clip / (float(gradient.norm()) + 1e-6))
        g, (beta1, beta2) = gradient.numpy(), self.betas
        moments[0] += (1 - beta1) * (g - moments[0])
        moments[1] += (1 - beta2) * (g * g - moments[1])
        parameters *= 1 - rate * decay
        parameters -= rate / (1 - beta1**t) * moments[0] / (np.sqrt(moments[1] / (1 - beta2**t)) + self.eps)


def _single(array: Array) -> Array:
    return np.ascontiguousarray(array, np.float32)

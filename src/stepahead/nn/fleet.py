"""A fleet: M networks of one shape trained side by side, each on its own windows, by the native fused step.

Windows and starting parameters -> Fleet: `run` takes optimizer steps, `losses` measures.  FleetTeam puts a fleet behind
the training loop of train.py.  Forward, head, loss, backward, clipping and AdamW are one call for all steps and models;
nothing that a member gets depends on the others beside it, not in the last bit.
Legend: M models, S steps, B windows of a batch, W windows, R rows, T rows of a window, F features, H horizon,
P parameters of one model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from stepahead.errors import ConfigError
from stepahead.nn.loop import Arrays, Descent
from stepahead.nn.trainer import LOSSES, PARTS, FleetShape, make_trainer, native, pack, unpack

__all__ = ["LOSSES", "Fleet", "FleetShape", "FleetTeam", "FleetWindows", "Member", "native", "pack", "unpack"]

Array = np.ndarray

ORDER_LIMIT = 1 << 22  # window numbers handed over in one call: memory must not grow with steps times windows
NAMES = dict(
    zip(
        PARTS,
        ("cell.weight_ih_l0", "cell.weight_hh_l0", "cell.bias_ih_l0", "cell.bias_hh_l0", "head.weight", "head.bias"),
        strict=True,
    )
)


@dataclass(frozen=True)
class FleetWindows:
    """What there is to learn from, shared by all members: window w is rows[starts[w] : starts[w] + steps].

    rows: [R, F] float32, scaled. starts: [W] int64. steps: T. targets: [W, H] float32.
    weights: [W, H] float32, the share of each target in the loss; None means ones.
    scales: [W, 2, F] float32: a window's x becomes (x - scales[w, 0]) * scales[w, 1]; None leaves it as it is.
    """

    rows: Array
    starts: Array
    steps: int
    targets: Array
    weights: Array | None = None
    scales: Array | None = None

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
        if self.scales is not None and self.scales.shape != (len(starts), 2, rows.shape[1]):
            wanted = f"[{len(starts)}, 2, {rows.shape[1]}]"
            raise ConfigError(f"a fleet's windows: scales are {wanted}; found {self.scales.shape}")


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
        >>> windows = FleetWindows(rows, np.arange(90), 8, rows[8:98])
        >>> shape = FleetShape("lstm", 1, 4, 1)
        >>> parameters = np.random.default_rng(0).uniform(-0.5, 0.5, (2, shape.n_parameters))
        >>> fleet = Fleet(shape, windows, parameters)
        >>> losses = fleet.run(np.tile(np.arange(90), (20, 2, 1)), np.full((20, 2), 0.01))
        >>> losses.shape, bool((losses[-1] < losses[0]).all())
        ((20, 2), True)
    """

    def __init__(
        self,
        shape: FleetShape,
        windows: FleetWindows,
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
        self.weight_decay = np.ascontiguousarray(np.broadcast_to(np.asarray(weight_decay, np.float32), models))
        self._data = (_single(windows.rows), np.ascontiguousarray(windows.starts, np.int64), _single(windows.targets))
        self._beside = tuple(None if part is None else _single(part) for part in (windows.weights, windows.scales))
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
            *self._beside, _single(rates), self.weight_decay, losses,
        )  # fmt: skip
        return losses

    def losses(self, order: Array) -> Array:
        """The loss of each model over its windows, without a step: order [M, B], ends with -1 -> [M]."""
        losses = np.zeros(len(order), np.float32)
        rows, starts, targets = self._data
        self._trainer.losses(
            self.parameters, rows, starts, targets, self._checked(order, 2), self.windows.steps,
            *self._beside, losses, None,
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


@dataclass(frozen=True)
class Member:
    """What one network of a FleetTeam learns from; members that share the object share its memory.

    rows: [R, F] float32. origins: [N] int64 ascending, the last row of each window. targets, weights: [N, H] float32.
    scales: [N, 2, F] float32, what a window's rows are moved by and multiplied with, or None.
    """

    rows: Array
    origins: Array
    targets: Array
    weights: Array
    scales: Array | None = None


class FleetTeam:
    """A Team (nn.loop) whose networks train side by side in the native kernel.

    It serves networks of one recurrent layer and a linear head without context, on the CPU, under the heads of LOSSES.

    Args:
        networks: where each member starts; parameters beside cell and head (Student's tail) stay as they are.
        members: what each learns from.
        steps: T, rows of a window.
        cell, head, quantiles: as FleetShape's.
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        members: Sequence[Member],
        *,
        steps: int,
        cell: str,
        head: str,
        quantiles: Sequence[float] = (),
        descent: Descent,
        threads: int = 0,
    ) -> None:
        states = [{name: array.numpy() for name, array in network.state_dict().items()} for network in networks]
        hidden, features = states[0]["cell.weight_hh_l0"].shape[1], states[0]["cell.weight_ih_l0"].shape[1]
        horizon, clip = members[0].targets.shape[1], descent.gradient_clip or 0.0
        shape = FleetShape(cell, features, hidden, horizon, head, tuple(quantiles) if head == "quantile" else (), clip)
        self._rest = [{n: a.copy() for n, a in state.items() if n not in NAMES.values()} for state in states]
        parameters = np.stack([pack(shape, {part: state[name] for part, name in NAMES.items()}) for state in states])
        windows, self._places = join(members, steps)
        self.fleet = Fleet(shape, windows, parameters, weight_decay=descent.weight_decay, threads=threads)

    def run(self, blocks: Sequence[Sequence[Array] | None], rates: Array) -> Array:
        """K steps of each network: blocks M x K x [B] origins (None: not this one), rates [K] -> losses [M, K]."""
        losses = np.full((len(blocks), len(rates)), np.nan)
        for group, size in by_size({m: len(block[0]) for m, block in enumerate(blocks) if block is not None}):
            going = np.isin(np.arange(len(blocks)), group)
            at_once = max(1, ORDER_LIMIT // (len(blocks) * size))
            for first in range(0, len(rates), at_once):
                part = slice(first, first + at_once)
                order = np.full((len(rates[part]), len(blocks), size), -1, np.int64)
                for m in group:
                    order[:, m] = self._windows(m, (blocks[m] or ())[part])
                losses[going, part] = self.fleet.run(order, rates[part, None] * going).T[going]
        return losses

    def losses(self, origins: Mapping[int, Array]) -> list[float]:
        """The mean loss of these networks over some windows, without a step."""
        found = np.zeros(len(self._rest))
        for group, size in by_size({m: len(wanted) for m, wanted in origins.items()}):
            order = np.full((len(self._rest), size), -1, np.int64)
            for m in group:
                order[m] = self._windows(m, [origins[m]])[0]
            found[group] = self.fleet.losses(order)[group]
        return [float(found[m]) for m in origins]

    def weights(self, m: int) -> Arrays:
        """A copy of the parameters of one network, by torch's names."""
        own = unpack(self.fleet.shape, self.fleet.parameters[m])
        return {NAMES[part]: array.copy() for part, array in own.items()} | self._rest[m]

    def load(self, m: int, weights: Arrays) -> None:
        """Put parameters back that `weights` gave."""
        self.fleet.parameters[m] = pack(self.fleet.shape, {part: weights[name] for part, name in NAMES.items()})
        self._rest[m] = {name: weights[name].copy() for name in self._rest[m]}

    def state(self, m: int) -> Arrays:
        """The optimizer's moments and the steps taken."""
        return {"moments": self.fleet.moments[:, m].copy(), "taken": self.fleet.taken[m : m + 1].copy()}

    def load_state(self, m: int, state: Arrays) -> None:
        """Put back what `state` gave."""
        self.fleet.moments[:, m], self.fleet.taken[m] = state["moments"], state["taken"][0]

    def _windows(self, m: int, batches: Sequence[Array]) -> Array:
        """The numbers of a member's windows by their origins: K x [B] -> [K, B]."""
        known, first = self._places[m]
        if all(batch is batches[0] for batch in batches):  # a full batch is the same array at every step
            return np.repeat(first + np.searchsorted(known, batches[0])[None], len(batches), axis=0)
        return first + np.searchsorted(known, np.stack(batches))


def join(members: Sequence[Member], steps: int) -> tuple[FleetWindows, list[tuple[Array, int]]]:
    """All members' windows one after the other; and for each member its origins and its first window."""
    apart = list({id(member): member for member in members}.values())
    first_row = np.cumsum([0, *(len(member.rows) for member in apart)])
    first_window = np.cumsum([0, *(len(member.origins) for member in apart)])
    starts = [member.origins - steps + 1 + row for member, row in zip(apart, first_row[:-1], strict=True)]
    rows, targets, weights = (
        np.concatenate([getattr(member, name) for member in apart]) for name in ("rows", "targets", "weights")
    )
    scales = None if apart[0].scales is None else np.concatenate([member.scales for member in apart])
    windows = FleetWindows(rows, np.concatenate(starts), steps, targets, weights, scales)
    places = {id(m): (m.origins, int(first)) for m, first in zip(apart, first_window[:-1], strict=True)}
    return windows, [places[id(member)] for member in members]


def by_size(sizes: Mapping[int, int]) -> list[tuple[list[int], int]]:
    """Members with batches of one size together, and that size: a padded batch would differ in its last bits."""
    found: dict[int, list[int]] = {}
    for m, size in sizes.items():
        found.setdefault(size, []).append(m)
    return [(group, size) for size, group in found.items()]


def _single(array: Array) -> Array:
    return np.ascontiguousarray(array, np.float32)

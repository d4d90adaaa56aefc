"""A window that moves on, for the plain networks: the quick way of runtime/history.py, with the same bits.

The last rows lie scaled in one small array, so that a push scales one row, runs the network over a slice and reads
the head. Many streams go through the network together.

Legend: N streams, T steps, F features, P past inputs, H horizon, L levels, D hidden.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from stepahead.cell_names import CODES, KERNEL_NAMES
from stepahead.runtime.adaptive import Bounds
from stepahead.runtime.cell import Pass, Stepper, Weights, _native, has_kernel, passes, scan
from stepahead.runtime.history import Tail
from stepahead.runtime.network import combine_members, movement, recurrent
from stepahead.runtime.rows import Row

Array = NDArray[Any]


class LastState:
    """A recurrent network over windows, up to its last hidden units.  x [N, T, F] float32 -> [N, D]."""

    def __init__(self, cell: str, weights: Weights) -> None:
        self.cell = cell
        self.weights = recurrent(weights)
        self.layers = [layer[0].cast(np.float32) for layer in passes(cell, self.weights)]
        self.hidden = self.layers[0].weight_hh.shape[1]
        self.code = CODES[KERNEL_NAMES[cell]]
        self.addresses = addresses_of(self.layers[0])

    def __call__(self, x: Array) -> Array:
        if not has_kernel() or len(self.layers) > 1:
            return scan(self.cell, x, self.weights)[0][:, -1]
        x = np.ascontiguousarray(x)
        state = self.room(len(x))
        self.run(address(x), x.shape, address(state))
        return state[1]

    def room(self, rows: int) -> Array:
        """Where one run of so many rows writes: zeros to begin with, the last hidden units, the last cell state."""
        return np.zeros((3, rows, self.hidden), np.float32)

    def run(self, x: int, shape: tuple[int, ...], state: int) -> None:
        """The native scan of one layer, by address: x of shape [N, T, F], state from `room`."""
        rows, steps, width = shape
        size = 4 * rows * self.hidden
        c0, c_n = (state, state + 2 * size) if self.code == 2 else (0, 0)
        _native.scan_forward_at(
            *(self.code, False, 1, steps, rows, width, self.hidden, False, 0),
            *(x, 0, width, steps * width, 1),
            *self.addresses,
            *(state, c0, 0),
            *(0, 0, 0, 0),
            *(state + size, c_n, 0),
        )


def addresses_of(layer: Pass) -> tuple[int, int, int, int]:
    """Where the weights of a layer lie."""
    return address(layer.weight_ih), address(layer.weight_hh), address(layer.bias_ih), address(layer.bias_hh)


def address(array: Array | None) -> int:
    return 0 if array is None else array.__array_interface__["data"][0]


@dataclass(frozen=True)
class WindowModel:
    """A plain network as its streams need it. fitted: what was learned. level: L coverages in percent."""

    fitted: Any
    level: tuple[float, ...]

    @cached_property
    def networks(self) -> list[tuple[LastState, Array, Array]]:
        """Of each member: the recurrent part, the head's weight [D, H*O] and bias."""
        cell = self.fitted.config.cell
        return [(LastState(cell, w), w["head.weight"].T, w["head.bias"]) for w in self.fitted.members]

    @cached_property
    def steppers(self) -> list[Stepper]:
        """Of each member: the recurrent part, a step at a time; for a state that is carried."""
        return [Stepper(self.fitted.config.cell, recurrent(w)) for w in self.fitted.members]

    @cached_property
    def window(self) -> int:
        return self.fitted.config.window

    @cached_property
    def steps(self) -> int:
        """T: the window's rows, one fewer when they are differenced."""
        return self.window - bool(self.fitted.scale.difference)

    @cached_property
    def is_fixed(self) -> bool:
        """Whether rows are scaled by fixed numbers and the head gives a point: then plain numbers do, no arrays."""
        return self.fitted.scale.kind != "window" and not self.fitted.reading.has_quantiles

    @cached_property
    def reach(self) -> list[list[float]]:
        """How far the intervals reach for a window that moves by one: H rows of L."""
        if not self.level:
            return [[]] * self.fitted.config.horizon
        return self.fitted.calibration.reach(self.level).tolist()

    @cached_property
    def columns(self) -> list[tuple[float, float]]:
        """Center and spread of each past input."""
        scale = self.fitted.scale
        return list(zip(scale.center.tolist(), scale.spread.tolist(), strict=True))

    def features(self, past: Array, before: Array) -> Array:
        """Rows as the network reads them: past [N, P], and the rows before them -> [N, P], as Scale.features."""
        scale = self.fitted.scale
        changes = self._levels(past) - self._levels(before) if scale.difference else past
        scaled = (changes - scale.center) / scale.spread
        return scaled if scale.clip is None or scale.kind == "window" else scale.clipped(scaled)

    def row_features(self, past: tuple[float, ...], before: Array) -> Any:
        """The same for one row: P numbers."""
        if self.fitted.scale.difference:
            return self.features(np.array([past]), before[None])[0]
        clip = self.fitted.scale.clip
        scaled = [(value - center) / spread for value, (center, spread) in zip(past, self.columns, strict=True)]
        return scaled if clip is None or not self.is_fixed else [min(max(value, -clip), clip) for value in scaled]

    def scaled_window(self, x: Array) -> tuple[Array, Array, Array]:
        """Windows [N, T, F] by their own level and size, where that is how they are scaled; level, size [N, 1, F]."""
        scale = self.fitted.scale
        if scale.kind != "window":
            nothing = np.zeros((len(x), 1, x.shape[2]))
            return x, nothing, nothing
        level, size = scale.measure(x)
        return scale.clipped((x - level) / size).astype(np.float32), level, size

    def output(self, states: Sequence[Array]) -> Array:
        """What the members' last hidden units [N, D] say together: [N, H, O], as Fitted.output."""
        horizon, fitted = self.fitted.config.horizon, self.fitted
        outputs = [
            (state @ weight + bias).reshape(len(state), horizon, -1)
            for state, (_, weight, bias) in zip(states, self.networks, strict=True)
        ]
        output = outputs[0] if len(outputs) == 1 else combine_members(outputs, fitted.config.combine)
        return output if fitted.shrinkage == 1.0 else fitted.shrinkage * output

    def answer(self, x: Array, last: Array, states: Sequence[Array] | None = None) -> list[Bounds]:
        """Forecasts: x [N, T, F] as `features` gave them, last [N] the newest target -> N Bounds.

        states: the last hidden units [N, D] of each member; None runs the network over the windows.
        The same sums as Fitted.forecast, in the same order.
        """
        fitted, scale = self.fitted, self.fitted.scale
        x, level, size = self.scaled_window(x)
        output = self.output([network(x) for network, _, _ in self.networks] if states is None else states)
        base, unit = scale.anchors(last, level[:, 0, -1], size[:, 0, -1])
        middle = fitted.reading.point(output)
        lo = hi = np.empty((*middle.shape, 0))
        if self.level and fitted.reading.has_quantiles:
            lo, hi = fitted.reading.interval(output, self.level)
        elif self.level:
            reach = fitted.calibration.radius(self.level, movement(x, bool(scale.difference)))
            lo, hi = middle[..., None] - reach, middle[..., None] + reach
        parts = (scale.invert(values, base, unit).tolist() for values in (middle, lo, hi))
        return [Bounds(*each) for each in zip(*parts, strict=True)]

    def answer_many(self, x: Array, last: list[float], states: Sequence[Array] | None = None) -> list[Bounds]:
        """`answer` by the shorter way where there is one."""
        if not self.is_fixed:
            return self.answer(x, np.array(last), states)
        states = [network(x) for network, _, _ in self.networks] if states is None else states
        said = self.fitted.reading.point(self.output(states)).tolist()
        windows = x[:, :, -1].tolist() if self.level else [[]] * len(x)
        return [self.bounds(*each) for each in zip(said, last, windows, strict=True)]

    def bounds(self, middle: list[float], last: float, window: list[float]) -> Bounds:
        """`answer` for one window that was scaled by fixed numbers, from what the head says: H numbers.

        last: the newest target. window: the T scaled values of the target.
        """
        scale, level, unit = self.fitted.scale, self.level, self.columns[-1][1]
        base = self.columns[-1][0]
        if scale.difference and not scale.log_target:
            base += last
        moved = max(moved_by(window, bool(scale.difference)), self.fitted.calibration.floor) if level else 0.0
        lo, hi = [], []
        for point, reach in zip(middle, self.reach, strict=True):
            lo.append([base + unit * (point - moved * each) for each in reach])
            hi.append([base + unit * (point + moved * each) for each in reach])
        mean = [base + unit * point for point in middle]
        if scale.log_target:  # changes so far
            return Bounds(*((last * np.exp(each)).tolist() for each in (mean, lo, hi)))
        return Bounds(mean, lo, hi)

    def _levels(self, values: Array) -> Array:
        scale = self.fitted.scale
        if scale.difference != "log" or not scale.logs.any():
            return values
        return np.where(scale.logs, np.log(np.where(values > 0, values, scale.floor)), values)


def moved_by(window: list[float], differenced: bool) -> float:
    """`movement` of one window: the mean absolute change of its T numbers from row to row."""
    if differenced:
        return sum(map(abs, window)) / len(window)
    changes = len(window) - 1
    return sum([abs(b - a) for a, b in pairwise(window)]) / changes if changes else 1.0


class WindowHistory:
    """The last rows of one series, raw and scaled.

    model: shared by all streams of it. times [W], past [W, P]: the last rows of the series, a window of them at least.
    """

    __slots__ = ("model", "past", "place", "rooms", "scaled", "static", "stop", "times")

    def __init__(self, model: WindowModel, times: Array, past: Array, static: Array) -> None:
        window, width = model.window, past.shape[1]
        room = 2 * window + 8
        self.model, self.static, self.stop = model, static, window
        self.times, self.past = np.empty(room, np.int64), np.empty((room, width))
        self.scaled = np.empty((room, width), np.float64 if model.fitted.scale.kind == "window" else np.float32)
        self.times[:window], self.past[:window] = times[-window:], past[-window:]
        # A differenced row needs the one before it: the window has a row more than the network reads.
        before = past[np.maximum(np.arange(len(past) - window, len(past)) - 1, 0)]
        self.scaled[:window] = model.features(self.past[:window], before)
        self.place = address(self.scaled)
        self.rooms: list[tuple[Array, int]] = []

    def look(self, ahead: Array | None) -> Bounds:
        """The forecast from the rows so far."""
        last = self.past[self.stop - 1 : self.stop, -1]
        if not self.model.is_fixed or not has_kernel():
            return self.model.answer(self.window[None], last)[0]
        return self._bounds(self._states(), last.item())

    def take(self, row: Row, ahead: Array | None) -> Bounds:
        """One row more, and the forecast from it."""
        self.check(row)
        self._append(row)
        return self.look(ahead)

    @staticmethod
    def take_many(histories: "Sequence[WindowHistory]", rows: Sequence[Row]) -> list[Bounds]:
        """One row more for each of several series, and the forecasts: one run of the network over all of them."""
        for history, row in zip(histories, rows, strict=True):
            history.check(row)
        for history, row in zip(histories, rows, strict=True):
            history._append(row)
        x = np.array([history.window for history in histories])
        return histories[0].model.answer_many(x, [row.past[-1] for row in rows])

    def take_rows(self, rows: Sequence[Row]) -> list[Bounds]:
        """Several rows more, and the forecast from each: one run of the network over all of their windows."""
        kept, steps = self.model.window, self.model.steps
        past = np.array([row.past for row in rows])
        before = np.concatenate([self.past[self.stop - 1 : self.stop], past[:-1]])
        scaled = self.model.features(past, before).astype(self.scaled.dtype, copy=False)
        joined = np.concatenate([self.window[1:], scaled])
        windows = np.ascontiguousarray(sliding_window_view(joined, steps, axis=0).transpose(0, 2, 1))
        answers = self.model.answer_many(windows, past[:, -1].tolist())
        old, times = slice(self.stop - kept, self.stop), [row.time for row in rows]
        for array, new in ((self.times, times), (self.past, past), (self.scaled, scaled)):
            array[:kept] = np.concatenate([array[old], new])[-kept:]
        self.stop = kept
        return answers

    def rows(self) -> Tail:
        """The rows that a snapshot must hold."""
        kept = slice(self.stop - self.model.window, self.stop)
        return Tail(self.times[kept], self.past[kept], np.empty((self.model.window, 0)), self.static)

    def extra(self) -> dict[str, Array]:
        """What a snapshot holds beside the rows."""
        return {}

    def copy(self) -> "WindowHistory":
        kept = self.rows()
        return WindowHistory(self.model, kept.times, kept.past, self.static)

    @property
    def window(self) -> Array:
        """The rows that the network reads: [T, F]."""
        return self.scaled[self.stop - self.model.steps : self.stop]

    @property
    def hidden(self) -> Array | None:
        """The hidden units of the first member after the last row: [D]."""
        return self.model.networks[0][0](self.model.scaled_window(self.window[None])[0])[0]

    def check(self, row: Row) -> None:
        """Raise DataError for a row that the model cannot read."""
        if row.past[-1] <= 0:
            self.model.fitted.scale.check_target(np.array(row.past[-1:]), self.model.fitted.schema.target)

    def _append(self, row: Row) -> None:
        """Put one row behind the others; where the room is used up, the last window moves to its front."""
        stop, kept = self.stop, self.model.window
        if stop == len(self.times):
            for array in (self.times, self.past, self.scaled):
                array[:kept] = array[-kept:]
            stop = kept
        self.scaled[stop] = self.model.row_features(row.past, self.past[stop - 1])
        self.times[stop], self.past[stop] = row.time, row.past
        self.stop = stop + 1

    def _states(self) -> list[Array]:
        """The last hidden units of each member: [1, D]; run by address, over a slice of what lies here."""
        networks, (steps, width) = self.model.networks, (self.model.steps, self.scaled.shape[1])
        if len(networks[0][0].layers) > 1:
            return [network(self.window[None]) for network, _, _ in networks]
        if not self.rooms:
            rooms = [network.room(1) for network, _, _ in networks]
            self.rooms = [(room[1], address(room)) for room in rooms]
        x = self.place + 4 * width * (self.stop - steps)
        for (network, _, _), (_, state) in zip(networks, self.rooms, strict=True):
            network.run(x, (1, steps, width), state)
        return [state for state, _ in self.rooms]

    def _bounds(self, states: list[Array], last: float) -> Bounds:
        model = self.model
        said = model.output(states)[0, :, 0].tolist()
        return model.bounds(said, last, self.window[:, -1].tolist() if model.level else [])

"""A live series of a plain network in the native module: its rows, its intervals, its record in one small block.

One call takes a row in and runs the network, one learns and puts the bounds about what the head says; the head itself
is NumPy's product, as in `predict`, so that the bits are the same. runtime/window.py and runtime/adaptive.py do these
sums in Python, and say why each is there; native/push.h is their copy.

Legend: N streams or rows, M members, T steps, W rows of a window, P past inputs, H horizon, L levels, D hidden.
"""

from collections.abc import Mapping, Sequence
from math import inf
from threading import local
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stepahead.cell_names import KERNEL_NAMES
from stepahead.runtime.adaptive import ALARM, ALLOWANCE, FARTHEST, GAIN, GAMMA, MOST, RECENT, TRUST, Adaptive, Bounds
from stepahead.runtime.cell import _native, has_kernel
from stepahead.runtime.history import Tail
from stepahead.runtime.rows import Row
from stepahead.runtime.window import LastState, WindowModel, address

Array = NDArray[Any]

NO_STATIC = np.empty((1, 0), object)


class Room(local):
    """Where the networks of one model write, a thread at a time: M arrays [1, D] in one block."""

    def __init__(self, widths: Sequence[int]) -> None:
        block = np.empty(sum(widths), np.float32)
        self.states = [part[None] for part in np.split(block, np.cumsum(widths)[:-1])]
        self.address = address(block)


class LaneModel:
    """What all lanes of a model have in common. model: its network; record: an Adaptive that has seen nothing."""

    def __init__(self, model: WindowModel, record: Adaptive) -> None:
        scale, yard = model.fitted.scale, record.yard
        self.window = model
        self.level = record.level
        self.horizon = len(record.widths)
        self.width = len(scale.center)
        self.room = Room([network.hidden for network, _, _ in model.networks])
        self.course = _native.Course(
            members=[stepper_of(network) for network, _, _ in model.networks],
            window=model.window,
            horizon=self.horizon,
            difference=bool(scale.difference),
            clip=inf if scale.clip is None else scale.clip,
            center=scale.center.tolist(),
            spread=scale.spread.tolist(),
            reach=[each for row in model.reach for each in row],
            floor=model.fitted.calibration.floor,
            learns=record.learns,
            gamma=GAMMA,
            gain=GAIN,
            trust=TRUST,
            farthest=FARTHEST,
            shares=record.shares,
            ratios=list(yard.ratios) if yard else [],
            lean=list(yard.lean) if yard else [],
            grown=list(yard.grown) if yard else [],
            allowance=ALLOWANCE,
            most=MOST,
            recent=RECENT,
        )

    @staticmethod
    def serves(model: WindowModel) -> bool:
        """Whether it can do what a model asks: rows scaled by fixed numbers, no logarithms, a head of points."""
        return has_kernel() and hasattr(_native, "Lane") and model.is_fixed and not model.fitted.scale.logs.any()

    def say(self, states: Sequence[Array]) -> Array:
        """The head over the members' last hidden units [N, D]: [N, H] float64, in scaled units."""
        return self.window.fitted.reading.point(self.window.output(states))

    def run(self, x: Array) -> list[Array]:
        """Each member's last hidden units [N, D] after windows [N, T, P] float32."""
        return [network(x) for network, _, _ in self.window.networks]

    def advance(self, cores: list[Any], rows: Sequence[Row], *, tell: bool) -> list[Any] | None:
        """A row to each core, the network over all of them at once; the forecasts if they are to be told.

        A core may be there with several rows, in their order.
        """
        rows = list(rows)
        x = np.empty((len(rows), self.window.steps, self.width), np.float32)
        _native.take_many(cores, rows, x)
        said = np.ascontiguousarray(self.say(self.run(x)))
        return _native.learn_many(cores, rows, x, said, tell)


class Lane:
    """One series. model: shared by all of one Course. core: the native part."""

    __slots__ = ("core", "model", "static")

    def __init__(self, model: LaneModel, core: Any, static: Array) -> None:
        self.model, self.core, self.static = model, core, static if static.size else NO_STATIC

    @classmethod
    def begin(cls, model: LaneModel, tail: Tail, arrays: Mapping[str, Array] | None = None) -> "Lane":
        """From the last rows of a series, W of them; arrays: what `arrays` gave, if it goes on from there."""
        past = np.ascontiguousarray(tail.past, np.float64)
        core = _native.Lane(model.course, np.ascontiguousarray(tail.times, np.int64), past)
        lane = cls(model, core, tail.static)
        if arrays is not None:
            lane._restore(arrays)
        if arrays is None or len(arrays["mean"]) == 0:
            core.learn(model.say(model.run(lane.window))[0].tolist(), False)
        return lane

    @property
    def present(self) -> Bounds:
        return Bounds(*self.core.bounds())

    def take(self, row: Row, ahead: Array | None) -> Bounds:
        model, room = self.model, self.model.room
        model.course.take(self.core, row, room.address)
        self.core.learn(model.say(room.states)[0].tolist(), True)
        return Bounds(*self.core.bounds())

    def take_rows(self, rows: Sequence[Row], *, tell: bool) -> list[Bounds]:
        told = self.model.advance([self.core] * len(rows), rows, tell=tell)
        return [Bounds(*each) for each in told or ()]

    @staticmethod
    def take_many(tracks: "Sequence[Lane]", rows: Sequence[Row]) -> None:
        tracks[0].model.advance([track.core for track in tracks], rows, tell=False)

    def what_if(self, ahead: Array | None) -> Bounds:
        return self.present  # these models have no inputs known ahead

    def check(self, row: Row) -> None:
        """These models read every number."""

    @property
    def coverage(self) -> dict[float, float] | None:
        judged, *hits = self.core.record()
        return {level: hit / judged for level, hit in zip(self.model.level, hits, strict=True)} if judged else None

    @property
    def drifting(self) -> bool:
        return max(self.core.sums()) > ALARM

    @property
    def window(self) -> Array:
        """What the network reads: [1, T, P] float32."""
        return np.frombuffer(self.core.window(), np.float32).reshape(1, -1, self.model.width)

    @property
    def hidden(self) -> Array | None:
        return self.model.window.networks[0][0](self.window)[0]

    def rows(self) -> Tail:
        past = np.frombuffer(self.core.past()).reshape(-1, self.model.width)
        return Tail(np.frombuffer(self.core.times(), np.int64), past, np.empty((len(past), 0)), self.static)

    def arrays(self) -> dict[str, Array]:
        """As `Adaptive.arrays`: a snapshot goes on with the native module or without."""
        waiting, widths, sums, record, seen = self.core.state()
        horizon, levels = self.model.horizon, len(self.model.level)
        table = np.frombuffer(waiting).reshape(-1, horizon * (1 + 2 * levels) + 2)
        mean, lo, hi, own = np.split(table, np.cumsum([horizon, horizon * levels, horizon * levels]), axis=1)
        return {
            "mean": mean,
            "lo": lo.reshape(len(table), horizon, levels),
            "hi": hi.reshape(len(table), horizon, levels),
            "own": own,
            "widths": np.frombuffer(widths).reshape(horizon, levels),
            "record": np.frombuffer(record, np.int16).reshape(-1, 1 + levels),
            "sums": np.append(np.frombuffer(sums), seen),
        }

    def copy(self) -> "Lane":
        return Lane(self.model, self.core.copy(), self.static)

    def _restore(self, arrays: Mapping[str, Array]) -> None:
        """Put back what `arrays` gave."""
        made = len(arrays["mean"])
        table = [np.reshape(arrays[name], (made, -1)) for name in ("mean", "lo", "hi", "own")] if made else []
        waiting = np.concatenate(table, axis=1) if table else np.empty(0)
        *sums, seen = arrays["sums"].tolist()
        record = np.ascontiguousarray(arrays["record"], np.int16)
        parts = (waiting, arrays["widths"], np.array(sums), record)
        self.core.restore(*(part.tobytes() for part in parts), int(seen))


def stepper_of(network: LastState) -> Any:
    """A network's weights, packed for one step of one row."""
    layers = [(p.weight_ih, p.weight_hh, p.bias_ih, p.bias_hh) for p in network.layers]
    return _native.Stepper(KERNEL_NAMES[network.cell], layers)

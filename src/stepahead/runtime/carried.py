"""A state that is carried: each row moves the network on by one step, and nothing else of the past is needed.

The last window of rows stays beside it for the interval alone, whose width follows the target's newest movement.

Legend: N streams, M members, D hidden.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stepahead.runtime.adaptive import Bounds
from stepahead.runtime.cell import State
from stepahead.runtime.rows import Row
from stepahead.runtime.window import WindowHistory, WindowModel

Array = NDArray[Any]


class CarriedHistory(WindowHistory):
    """The state of each member, (h,) or (h, c), each [layers, 1, D], after the last row."""

    __slots__ = ("states",)

    def __init__(self, model: WindowModel, times: Array, past: Array, static: Array, states: list[State]) -> None:
        super().__init__(model, times, past, static)
        self.states = [tuple(np.array(part, np.float32, order="C") for part in state) for state in states]

    def look(self, ahead: Array | None) -> Bounds:
        """The forecast from the state."""
        last = self.past[self.stop - 1 : self.stop, -1]
        if self.model.is_fixed:
            return self._bounds(self._states(), last.item())
        return self.model.answer(self.window[None], last, self._states())[0]

    @staticmethod
    def take_many(histories: "Sequence[CarriedHistory]", rows: Sequence[Row]) -> list[Bounds]:  # type: ignore[override]
        """One row more for each of several series: one step of the network over all of them."""
        for history, row in zip(histories, rows, strict=True):
            history.check(row)
        for history, row in zip(histories, rows, strict=True):
            WindowHistory._append(history, row)
        model = histories[0].model
        x = np.array([history.scaled[history.stop - 1] for history in histories])
        outputs = []
        for member, stepper in enumerate(model.steppers):
            parts = zip(*(history.states[member] for history in histories), strict=True)
            state = tuple(np.concatenate(part, axis=1) for part in parts)
            stepper.advance(x, state)
            for n, history in enumerate(histories):
                for own, moved in zip(history.states[member], state, strict=True):
                    own[:, 0] = moved[:, n]
            outputs.append(state[0][-1])
        windows = np.array([history.window for history in histories])
        return model.answer_many(windows, [row.past[-1] for row in rows], outputs)

    def take_rows(self, rows: Sequence[Row]) -> list[Bounds]:
        """Several rows more, and the forecast from each."""
        return [self.take(row, None) for row in rows]

    def copy(self) -> "CarriedHistory":
        kept = self.rows()
        return CarriedHistory(self.model, kept.times, kept.past, self.static, self.states)

    def extra(self) -> dict[str, Array]:
        """What a snapshot holds beside the rows."""
        return {f"state.{m}.{i}": part for m, state in enumerate(self.states) for i, part in enumerate(state)}

    @property
    def hidden(self) -> Array | None:
        """The hidden units of the first member after the last row: [D]."""
        return self.states[0][0][-1, 0].copy()

    def _append(self, row: Row) -> None:
        super()._append(row)
        x = self.scaled[self.stop - 1 : self.stop]
        for stepper, state in zip(self.model.steppers, self.states, strict=True):
            stepper.advance(x, state)

    def _states(self) -> list[Array]:
        return [state[0][-1] for state in self.states]


def states_in(arrays: Mapping[str, Array], members: int) -> list[State]:
    """The states that `extra` gave."""
    return [tuple(arrays[f"state.{m}.{i}"] for i in range(2) if f"state.{m}.{i}" in arrays) for m in range(members)]

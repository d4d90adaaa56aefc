"""What moves in a stream: its history, and the intervals that learn from it.  Row -> the forecast that holds.

`Together` joins the two for every model; runtime/lane.py does the same sums natively for the plain networks.

Legend: H horizon, L levels, K inputs known ahead, D hidden.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from stepahead.runtime.adaptive import Adaptive, Bounds
from stepahead.runtime.history import Tail
from stepahead.runtime.rows import Row

Array = NDArray[Any]


class History(Protocol):
    """What a stream remembers of its series. Bounds are the model's own."""

    def look(self, ahead: Array | None) -> Bounds: ...
    def take(self, row: Row, ahead: Array | None) -> Bounds: ...
    def take_rows(self, rows: Sequence[Row]) -> list[Bounds]: ...
    def take_many(self, histories: Sequence[Any], rows: Sequence[Row]) -> list[Bounds]: ...
    def check(self, row: Row) -> None: ...
    def rows(self) -> Tail: ...
    def extra(self) -> dict[str, Array]: ...
    def copy(self) -> Any: ...
    @property
    def hidden(self) -> Array | None: ...


class Track(Protocol):
    """What a Stream asks of the part that moves. Rows come checked; Bounds are those that hold."""

    @property
    def present(self) -> Bounds | None:
        """The present forecast; None where the inputs known ahead were not told yet."""

    @property
    def coverage(self) -> dict[float, float] | None: ...
    @property
    def drifting(self) -> bool: ...
    @property
    def hidden(self) -> Array | None: ...
    def take(self, row: Row, ahead: Array | None) -> Bounds:
        """One row more, and the forecast from it. ahead: [1, H, K], or None."""

    def take_rows(self, rows: Sequence[Row], *, tell: bool) -> list[Bounds]:
        """Several rows more, and the forecast from each if it is to be told."""

    def take_many(self, tracks: Sequence[Any], rows: Sequence[Row]) -> None:
        """One row more for each of several tracks of one model: all of them or, with an error, none."""

    def what_if(self, ahead: Array | None) -> Bounds:
        """The forecast from other inputs known ahead; nothing is remembered."""

    def check(self, row: Row) -> None:
        """Raise DataError for a row that the model cannot read."""

    def rows(self) -> Tail: ...
    def arrays(self) -> dict[str, Array]:
        """What a snapshot holds beside the rows."""

    def copy(self) -> Any: ...


class Together:
    """Any history, and an Adaptive beside it.

    begins: whether a forecast is made at once, as can be where no inputs are known ahead.
    """

    __slots__ = ("adaptive", "history", "present")

    def __init__(self, history: History, adaptive: Adaptive, *, begins: bool) -> None:
        self.history, self.adaptive = history, adaptive
        newest = adaptive.pending[0] if adaptive.pending else None
        self.present: Bounds | None = newest[0] if newest else None
        if self.present is None and begins:
            self.present = adaptive.stretch(history.look(None))

    def take(self, row: Row, ahead: Array | None) -> Bounds:
        return self._learn(row, self.history.take(row, ahead))

    def take_rows(self, rows: Sequence[Row], *, tell: bool) -> list[Bounds]:
        return [self._learn(row, own) for row, own in zip(rows, self.history.take_rows(rows), strict=True)]

    @staticmethod
    def take_many(tracks: "Sequence[Together]", rows: Sequence[Row]) -> None:
        found = tracks[0].history.take_many([track.history for track in tracks], rows)
        for track, row, own in zip(tracks, rows, found, strict=True):
            track._learn(row, own)

    def what_if(self, ahead: Array | None) -> Bounds:
        return self.adaptive.copy().stretch(self.history.look(ahead))

    def check(self, row: Row) -> None:
        self.history.check(row)

    @property
    def coverage(self) -> dict[float, float] | None:
        return self.adaptive.coverage

    @property
    def drifting(self) -> bool:
        return self.adaptive.drifting

    @property
    def hidden(self) -> Array | None:
        return self.history.hidden

    def rows(self) -> Tail:
        return self.history.rows()

    def arrays(self) -> dict[str, Array]:
        return self.history.extra() | self.adaptive.arrays()

    def copy(self) -> "Together":
        other = object.__new__(Together)
        other.history, other.adaptive, other.present = self.history.copy(), self.adaptive.copy(), self.present
        return other

    def _learn(self, row: Row, own: Bounds) -> Bounds:
        """What follows a row that was taken in: widths learn from it, and the forecast gets its bounds."""
        if row.skipped:
            self.adaptive.skip(len(row.skipped))
        self.adaptive.judge(row.past[-1])
        self.present = self.adaptive.stretch(own)
        return self.present

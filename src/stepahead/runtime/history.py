"""What a stream remembers, in the model's own words: the newest rows, forecast from anew at each push.

Serves every model that reads a window: the whole way of `predict`, on the last rows alone.  runtime/window.py does
the same sums for the plain networks and is quicker.

Legend: H horizon, L levels, P past inputs, K inputs known ahead, D hidden.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stepahead.errors import StepaheadError
from stepahead.runtime.adaptive import Bounds
from stepahead.runtime.rows import Row

Array = NDArray[Any]


class Tail(NamedTuple):
    """The last rows of a series: times [W] int64, past [W, P], future [W, K], static [1, J]."""

    times: Array
    past: Array
    future: Array
    static: Array


class PanelHistory:
    """The last rows of one series as a panel.

    fitted: what was learned, with `source` and `forecast`. panel: of one series, its rows so far; as many are kept as
    the next forecast reads.
    """

    def __init__(self, fitted: Any, panel: Any, level: tuple[float, ...]) -> None:
        self.fitted, self.level = fitted, level
        self.panel = self._kept(panel)

    def look(self, ahead: Array | None) -> Bounds:
        """The forecast from the rows so far. ahead: [1, H, K], or None."""
        return self._look(self.panel, ahead)

    def take(self, row: Row, ahead: Array | None) -> Bounds:
        """One row more, and the forecast from it; where that cannot be, an error, and all stays as it was.

        Steps that it skips become rows without values, as `read` has them: known ahead is what was before.
        """
        panel, left_out = self.panel, len(row.skipped)
        times = np.append(panel.times.view(np.int64), (*row.skipped, row.time)).view(panel.times.dtype)
        longer = replace(
            panel,
            offsets=np.array([0, len(times)]),
            times=times,
            past=np.vstack([panel.past, np.full((left_out, panel.past.shape[1]), np.nan), row.past]),
            future=np.vstack([panel.future, np.repeat(panel.future[-1:], left_out, axis=0), row.known]),
        )
        bounds = self._look(longer, ahead)
        self.panel = self._kept(longer)
        return bounds

    def take_rows(self, rows: Sequence[Row]) -> list[Bounds]:
        """Several rows more, and the forecast from each."""
        return [self.take(row, None) for row in rows]

    def check(self, row: Row) -> None:
        """Whatever a row may hold, `take` says."""

    @staticmethod
    def take_many(histories: "Sequence[PanelHistory]", rows: Sequence[Row]) -> "list[Bounds]":
        """One row more for each of several series; where one cannot be, an error, and all stay as they were."""
        before = [history.panel for history in histories]
        try:
            return [history.take(row, None) for history, row in zip(histories, rows, strict=True)]
        except StepaheadError:
            for history, panel in zip(histories, before, strict=True):
                history.panel = panel
            raise

    def rows(self) -> Tail:
        """The rows that a snapshot must hold."""
        panel = self.panel
        return Tail(panel.times.view(np.int64), panel.past, panel.future, panel.static)

    def extra(self) -> dict[str, Array]:
        """What a snapshot holds beside the rows."""
        return {}

    def copy(self) -> "PanelHistory":
        return PanelHistory(self.fitted, self.panel, self.level)  # a panel never changes

    @property
    def hidden(self) -> Array | None:
        if self.panel.schema.future:  # known ahead of the last row, and not kept
            return None
        return self.fitted.hidden(self.fitted.source(self.panel), self.panel.n_rows - 1)

    def _look(self, panel: Any, ahead: Array | None) -> Bounds:
        found = self.fitted.forecast(
            self.fitted.source(panel), np.array([panel.n_rows - 1]), level=self.level, future=ahead
        )
        return Bounds(found.mean[0].tolist(), found.lo[0].tolist(), found.hi[0].tolist())

    def _kept(self, panel: Any) -> Any:
        """The last rows that a forecast reads: a window's, and what is carried into a gap that it begins with."""
        window = self.fitted.config.window
        first = panel.n_rows - window
        if first <= 0:
            return panel
        gaps = np.isnan(panel.past[first])
        for column in np.flatnonzero(gaps):
            seen = np.flatnonzero(~np.isnan(panel.past[:first, column]))
            first = min(first, int(seen[-1]) if len(seen) else first)
        return panel.tail(panel.n_rows - first)

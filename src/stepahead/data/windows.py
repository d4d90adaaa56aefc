"""Cut a Panel into windows.  Panel -> WindowSource -> Batch; or, for reading, Panel -> Windows of x and y.

Windows overlap, so they are never stored: rows are prepared once, and a batch gathers its own windows from them.
An *origin* is the last row that a forecast may know.

Legend: R rows, N windows, T steps that the network reads, F features, P past inputs, H horizon, C context numbers.
"""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from stepahead.data.covariates import Covariates
from stepahead.data.fill import Filled, fill
from stepahead.data.panel import Panel, concatenated_ranges
from stepahead.data.scale import Scale
from stepahead.errors import DataError
from stepahead.parameters import check_whole

CHUNK = 4096  # windows that are gathered at once where all are looked at


@dataclass(frozen=True)
class Batch:
    """Windows as a network takes them, with what the way back needs.

    x: [N, T, F] float32, the target is the last feature. context: [N, C] float32, known-ahead and static inputs.
    base, unit: [N] float64, from Scale.anchors. behind: rows [R, F], offsets [S+1] and origins [N], for a network that
    reads more than the window.
    """

    x: np.ndarray
    context: np.ndarray
    base: np.ndarray
    unit: np.ndarray
    behind: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None


@dataclass(frozen=True)
class WindowSource:
    """The rows of a panel, prepared for windows to be gathered from.

    features: [R, F] float32 after Scale.features (float64 under the "window" scaler, whose windows are scaled one by
    one). carried: the same with open gaps filled forward, or None where that makes no difference.
    """

    panel: Panel
    filled: Filled
    scale: Scale
    covariates: Covariates
    window: int
    horizon: int
    features: np.ndarray
    carried: np.ndarray | None

    @property
    def steps(self) -> int:
        """T: the window's rows, one fewer when they are differenced."""
        return self.window - 1 if self.scale.difference else self.window

    @property
    def n_features(self) -> int:
        return self.features.shape[1]

    def origins(self) -> np.ndarray:
        """All origins with a full window behind them: [N] int64, in row order."""
        starts = self.panel.offsets[:-1] + self.window - 1
        rows = concatenated_ranges(np.minimum(starts, self.panel.offsets[1:]), self.panel.offsets[1:])
        return rows[self.filled.ready[rows]]

    def training_origins(self) -> np.ndarray:
        """Origins with a full window behind and the whole horizon ahead, one target of it observed at least."""
        origins = self._with_horizon(self.origins())
        return origins[self.filled.observed[self.ahead(origins), -1].any(axis=1)]

    def answerable(self) -> np.ndarray:
        """Origins that can be forecast from the panel alone: with inputs known ahead, those with the whole horizon."""
        return self._with_horizon(self.origins()) if self.panel.schema.future else self.origins()

    def _with_horizon(self, origins: np.ndarray) -> np.ndarray:
        ends = np.repeat(self.panel.offsets[1:], self.panel.lengths)
        return origins[origins + self.horizon < ends[origins]]

    def ahead(self, origins: np.ndarray) -> np.ndarray:
        """The rows that each origin forecasts: [N, H]."""
        return origins[:, None] + np.arange(1, self.horizon + 1)

    def batch(self, origins: np.ndarray, future: np.ndarray | None = None) -> Batch:
        """Gather the windows that end at these rows: origins [N] -> Batch.

        future: [N, H, K] known-ahead inputs of the rows to come; None takes them from the panel's later rows.
        """
        rows = origins[:, None] + np.arange(1 - self.steps, 1)  # [N, T]
        x = self.features[rows]
        if self.carried is not None:
            x = self._close_open_gaps(x, rows, origins)
        past = x[..., -self.panel.past.shape[1] :]
        level = size = np.zeros((len(origins), 1, past.shape[2]))
        if self.scale.kind == "window":
            level, size = self.scale.measure(past)
            past[...] = self.scale.clipped((past - level) / size)
        last = self.filled.carried[origins, -1]
        base, unit = self.scale.anchors(last, level[:, 0, -1], size[:, 0, -1])
        context = self.covariates.context(self.panel, origins, self.horizon, future)
        behind = (self.features, self.panel.offsets, origins)
        return Batch(x.astype(np.float32, copy=False), context, base, unit, behind)

    def measures(self, origins: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Each window's own level and size [N, P] (0 and 1 but under "window"), its base and unit [N]."""
        inputs = self.panel.past.shape[1]
        level, size = np.zeros((len(origins), inputs)), np.ones((len(origins), inputs))
        if self.scale.kind == "window":
            for start in range(0, len(origins), CHUNK):
                part = slice(start, start + CHUNK)
                rows = origins[part, None] + np.arange(1 - self.steps, 1)
                found = self.scale.measure(self.features[rows][..., -inputs:])
                level[part], size[part] = found[0][:, 0], found[1][:, 0]
        return level, size, *self.scale.anchors(self.filled.carried[origins, -1], level[:, -1], size[:, -1])

    def targets(self, origins: np.ndarray, base: np.ndarray, unit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What is to be forecast, scaled, and which of it was observed: two arrays [N, H] float32."""
        rows = self.ahead(origins)
        observed = self.filled.observed[rows, -1]
        y = np.where(observed, self.panel.y[rows], self.filled.carried[origins, -1:])
        scaled = np.where(observed, self.scale.target(y, base, unit), 0.0)
        return scaled.astype(np.float32), observed.astype(np.float32)

    def _close_open_gaps(self, x: np.ndarray, rows: np.ndarray, origins: np.ndarray) -> np.ndarray:
        """Under "interpolate" a gap still open at the origin is filled forward: its other end is not known yet."""
        assert self.carried is not None
        assert self.filled.last_seen is not None
        newest = self.filled.last_seen[origins][:, None, :]  # [N, 1, P]
        still_open = rows[:, :, None] > newest  # [N, T, P]
        inputs = still_open.shape[2]
        x[..., -inputs:] = np.where(still_open, self.carried[rows][..., -inputs:], x[..., -inputs:])
        return x


def window_source(
    panel: Panel, *, scale: Scale, covariates: Covariates, window: int, horizon: int, missing: str
) -> WindowSource:
    """Prepare a panel's rows for windows under a fitted Scale."""
    filled = fill(panel, missing)
    features = prepare_features(panel, filled, filled.values, scale, covariates, missing)
    carried = None
    if filled.carried is not filled.values:
        carried = prepare_features(panel, filled, filled.carried, scale, covariates, missing)
    return WindowSource(panel, filled, scale, covariates, window, horizon, features, carried)


def prepare_features(
    panel: Panel, filled: Filled, values: np.ndarray, scale: Scale, covariates: Covariates, missing: str
) -> np.ndarray:
    """Known-ahead inputs, the observed mask if asked, and the scaled past inputs side by side: [R, F]."""
    parts = [covariates.row_features(panel)]
    if missing == "mask":
        parts.append(filled.observed.astype(np.float64))
    parts.append(scale.features(values, panel.offsets[:-1]))
    joined = np.concatenate(parts, axis=1) if sum(p.shape[1] for p in parts[:-1]) else parts[-1]
    return joined if scale.kind == "window" else joined.astype(np.float32)


@dataclass(frozen=True)
class Windows:
    """Pairs to look at: x [N, window, P] and y [N, horizon], unscaled; `print` shows the first ones.

    With one series x is a view into the panel's rows, not a copy. ids: [N] the series of each pair.
    """

    x: np.ndarray
    y: np.ndarray
    ids: np.ndarray
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.x)

    def __str__(self) -> str:
        lines = [f"{len(self)} windows: x {self.x.shape} of {', '.join(self.names)} -> y {self.y.shape}"]
        for x, y in zip(self.x[:3], self.y[:3], strict=True):
            lines.append(f"{np.array2string(x, precision=4, suppress_small=True)} -> {y}")
        return "\n".join(lines)


def windows(panel: Panel, window: int = 7, horizon: int = 1) -> Windows:
    """The pairs that a network learns from: the last `window` rows -> the next `horizon` values of the target.

    Returns: Windows with x [N, window, P] and y [N, horizon], in the table's own units.
    Raises: DataError when no series has window + horizon rows; ConfigError where one of them is no count.
    Example: `sa.windows(panel, window=7).x.shape`
    """
    check_whole(window=(window, 1), horizon=(horizon, 1))
    span = window + horizon
    long_enough = [s for s in range(panel.n_series) if panel.lengths[s] >= span]
    if not long_enough:
        raise DataError(
            f"{panel.schema.source}: the longest series has {panel.lengths.max(initial=0)} rows; "
            f"window {window} and horizon {horizon} need {span}"
        )
    xs, ys, ids = [], [], []
    for s in long_enough:
        past = panel.past[panel.rows(s)]
        count = len(past) - span + 1
        xs.append(sliding_window_view(past, window, axis=0)[:count].transpose(0, 2, 1))
        ys.append(sliding_window_view(past[window:, -1], horizon)[:count])
        ids.append(np.full(count, panel.ids[s], dtype=object))
    x, y = (parts[0] if len(parts) == 1 else np.concatenate(parts) for parts in (xs, ys))
    return Windows(x, y, np.concatenate(ids), panel.schema.past)

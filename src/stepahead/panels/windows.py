"""Windows of a panel by their own level.  Panel -> Rows -> Windows -> what a linear or a log member reads.

Windows overlap and are never stored: the rows are prepared once, a batch copies its own out of them.  A window that
begins before its series is padded and masked, so that a series of one row has one too.

Legend: R rows, N origins, L rows of a window, H horizon, m the leading season.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from stepahead.data.panel import Panel

LOG_FLOOR = 0.02  # of the window's mean size: the least value that has a logarithm


@dataclass(frozen=True)
class Rows:
    """The target of a panel, ready for windows to be copied from.

    season: m. back: the baseline repeats the last so many rows, 1 for the last value.
    values: [window + R] float64 without holes, the first `window` are padding. observed: [window + R] bool.
    starts: [R] int64, the first row of each row's series.
    """

    panel: Panel
    window: int
    horizon: int
    season: int
    back: int
    values: np.ndarray
    observed: np.ndarray
    starts: np.ndarray

    @cached_property
    def complete(self) -> bool:
        """Whether no target is missing."""
        return bool(self.observed[self.window :].all())

    @cached_property
    def views(self) -> tuple[np.ndarray, np.ndarray]:
        """All windows as views: values and observed [R + 1, L]; the window that ends at row r is number r + 1."""
        return sliding_window_view(self.values, self.window), sliding_window_view(self.observed, self.window)

    def windows(self, origins: np.ndarray) -> "Windows":
        """Copy the windows that end at these rows: origins [N]."""
        x = self.views[0][origins + 1]
        known = np.minimum(origins - self.starts[origins] + 1, self.window)
        mask = np.arange(self.window) >= (self.window - known)[:, None]
        if not self.complete:
            mask &= self.views[1][origins + 1]
        whole = bool(mask.all())
        if not whole:
            x[~mask] = 0.0
        count = np.maximum(mask.sum(axis=1), 1)
        scale = np.abs(x).sum(axis=1) / count
        scale = np.where(scale > 0, scale, 1.0)
        last = self.values[origins + self.window]
        level = self._level(x, mask, last)
        return Windows(x, mask, whole, level, scale, last, self.base(origins, self.back), mask.mean(axis=1), self.season)

    def _level(self, x: np.ndarray, mask: np.ndarray, last: np.ndarray) -> np.ndarray:
        """The mean of the observed among the last m values; the last known value where none is."""
        count = mask[:, -self.season :].sum(axis=1)
        return np.where(count > 0, x[:, -self.season :].sum(axis=1) / np.maximum(count, 1), last)

    def base(self, origins: np.ndarray, back: int) -> np.ndarray:
        """The last `back` rows repeated: [N, H]; the last value where the series is shorter than that."""
        rows = origins[:, None] - back + 1 + np.arange(self.horizon) % back
        rows = np.where(rows >= self.starts[origins][:, None], rows, origins[:, None])
        return self.values[rows + self.window]

    def targets(self, origins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The next rows and which of them are there and observed: y, mask [N, H]."""
        ends = self.panel.offsets[np.searchsorted(self.panel.offsets, origins, side="right")]
        rows = origins[:, None] + np.arange(1, self.horizon + 1)
        inside = rows < ends[:, None]
        places = np.minimum(rows, self.panel.n_rows - 1) + self.window
        return self.values[places], inside & self.observed[places]


@dataclass(frozen=True)
class Windows:
    """Windows with their measures: x, mask [N, L]; level, scale, last, share [N]; base [N, H], the baseline's forecast.

    whole: nothing is masked. level: mean of the last m. scale: mean absolute value. share: fraction observed.
    """

    x: np.ndarray
    mask: np.ndarray
    whole: bool
    level: np.ndarray
    scale: np.ndarray
    last: np.ndarray
    base: np.ndarray
    share: np.ndarray
    season: int

    def linear(self) -> "Seen":
        """As linear members read: (x - level) / scale."""
        level, scale = self.level[:, None], self.scale[:, None]
        z = self._masked((self.x - level) / scale)
        context = self._context(z, self.level / self.scale - 1)
        zero = np.zeros(len(self.x), dtype=np.float32)
        return Seen(z, (self.base - level) / scale, context, self.level / self.scale, zero, False)

    def log(self) -> "Seen":
        """As log members read: log(x / scale + c) less its level, c = max(0, .1 mean - min) in units of the scale."""
        r = self.x / self.scale[:, None]
        low = (r if self.whole else np.where(self.mask, r, np.inf)).min(axis=1)
        c = np.maximum(0.0, 0.1 - np.where(np.isfinite(low), low, 0.0)).astype(np.float32)
        forward = lambda values: np.log(np.maximum(values + c[:, None], LOG_FLOOR))  # noqa: E731
        z = forward(r.astype(np.float32))  # of padding too: what is masked is put to zero below
        if not self.whole:
            z[~self.mask] = 0.0
        m = self.season
        last = forward(self.last[:, None] / self.scale[:, None])[:, 0]
        count = self.mask[:, -m:].sum(axis=1)
        level = np.where(count > 0, z[:, -m:].sum(axis=1) / np.maximum(count, 1), last)
        z = self._masked(z - level[:, None])
        base = forward(self.base / self.scale[:, None]) - level[:, None]
        return Seen(z, base, self._context(z, np.zeros(len(z))), level, c, True)

    def _masked(self, z: np.ndarray) -> np.ndarray:
        z = z.astype(np.float32)
        if not self.whole:
            z[~self.mask] = 0.0
        return z

    def _context(self, z: np.ndarray, place: np.ndarray) -> np.ndarray:
        """Three numbers: log of the seasonal variability / 3 + 1, the level's place, the share observed: [N, 3]."""
        m = self.season
        changes = np.abs(z[:, m:] - z[:, :-m])
        pairs = np.full(len(z), max(changes.shape[1], 1))
        if not self.whole:
            both = self.mask[:, m:] & self.mask[:, :-m]
            changes, pairs = changes * both, np.maximum(both.sum(axis=1), 1)
        moved = changes.sum(axis=1) / pairs
        return np.stack([np.log(moved + 1e-4) / 3 + 1, place, self.share], axis=1).astype(np.float32)


@dataclass(frozen=True)
class Seen:
    """Windows as one kind of member reads them, float32.

    z [N, L], base [N, H] the baseline's forecast, context [N, 3]. level, offset [N]: the way back, a
    forecast f is level + f, or exp(level + f) - offset where logs, in units of the window's scale.
    """

    z: np.ndarray
    base: np.ndarray
    context: np.ndarray
    level: np.ndarray
    offset: np.ndarray
    logs: bool

    def forward(self, y: np.ndarray) -> np.ndarray:
        """Values in units of the scale as this member would say them: y [N, H] -> [N, H]."""
        if self.logs:
            y = np.log(np.maximum(y + self.offset[:, None], LOG_FLOOR))
        return y - self.level[:, None]


def prepare_rows(panel: Panel, *, window: int, horizon: int, season: int, back: int = 1) -> Rows:
    """Fill the target's holes from what came before, and pad the front.

    A hole holds the value of one season earlier, or the last one where there is none; before the first value, that
    value's place holds zero: it is masked.
    """
    observed = ~np.isnan(panel.y)
    values = panel.y if observed.all() else filled_from_before(panel, observed, season)
    return Rows(
        panel=panel,
        window=window,
        horizon=horizon,
        season=season,
        back=back,
        values=np.concatenate([np.zeros(window), values]),
        observed=np.concatenate([np.zeros(window, dtype=bool), observed]),
        starts=np.repeat(panel.offsets[:-1], panel.lengths),
    )


def filled_from_before(panel: Panel, observed: np.ndarray, season: int) -> np.ndarray:
    """Holes filled from the season before, or the last value: [R]."""
    values = panel.y.copy()
    broken = np.unique(np.searchsorted(panel.offsets, np.flatnonzero(~observed), side="right") - 1)
    for s in broken:
        y = values[panel.rows(s)]  # a view
        for t in np.flatnonzero(np.isnan(y)):
            before = y[t - season] if t >= season else y[t - 1] if t else 0.0
            y[t] = before
    return values

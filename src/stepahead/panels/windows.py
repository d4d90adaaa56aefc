"""Windows of a panel by their own level.  Panel -> Rows -> Windows -> what a linear or a log member reads.

Windows overlap and are never stored: the rows are prepared once, a batch copies its own out of them.  A window that
begins before its series is padded and masked, so that a series of one row has one too.  All that a forecast needs of
the past lies within its window.

Legend: R rows, N origins, L rows of a window, H horizon, m the leading season, E other inputs of a row.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from stepahead.data.fill import fill
from stepahead.data.panel import Panel
from stepahead.limits import LOG_FLOOR
from stepahead.panels.statics import Statics

CLIP = 5.0  # another past input is held within so many of its deviations in the window


@dataclass(frozen=True)
class Rows:
    """A panel, ready for windows to be copied from.

    season: m, 1 for none. back: the baseline repeats the last so many rows, 1 for the last value.
    values: [window + R] float64, zero where missing; the first `window` are padding. observed: [window + R] bool, what
    counts as known; true: [window + R] bool, what was in the table and can be learned.
    starts: [R] int64, the first row of each row's series. newest: [R] the newest observed row up to each, where gaps
    are joined by lines and a gap still open at an origin must not be, else None.
    others: [window + R, P-1] the other past inputs. known: [window + R, K] inputs known ahead, scaled. opening: what
    the last of these is in a window's first row, where it looks a row back. statics: of each series, None for none.
    """

    panel: Panel
    window: int
    horizon: int
    season: int
    back: int
    values: np.ndarray
    observed: np.ndarray
    true: np.ndarray
    starts: np.ndarray
    newest: np.ndarray | None
    others: np.ndarray
    known: np.ndarray
    opening: float | None = None
    statics: Statics | None = None

    @cached_property
    def complete(self) -> bool:
        """Whether no target is missing."""
        return bool(self.observed[self.window :].all())

    def origins(self) -> np.ndarray:
        """All rows whose window holds a value: [N] int64."""
        rows = np.arange(self.panel.n_rows)
        newest = np.maximum.accumulate(np.where(self.observed[self.window :], rows, -1))
        return rows[newest >= np.maximum(self.starts, rows - self.window + 1)]

    def answerable(self) -> np.ndarray:
        """Origins that can be forecast from the panel alone: with inputs known ahead, those with a step of them."""
        origins = self.origins()
        return origins[self.ahead(origins)[1].any(axis=1)] if self.panel.schema.future else origins

    def training_origins(self) -> np.ndarray:
        """Those with the whole horizon ahead, one target of it observed at least."""
        origins = self.origins()
        origins = origins[self.ahead(origins)[1][:, -1]]
        return origins[self.targets(origins)[1].any(axis=1)]

    def windows(self, origins: np.ndarray, keep: np.ndarray | None = None) -> "Windows":
        """Copy the windows that end at these rows: origins [N]. keep: [N] rows that are seen of each, None for all."""
        x = sliding_window_view(self.values, self.window)[origins + 1]
        inside = mask = self._inside(origins, keep)
        if not self.complete:
            mask = mask & sliding_window_view(self.observed, self.window)[origins + 1]
        if self.newest is not None:
            self._close_open_gaps(x, origins)
        whole = bool(mask.all())
        if not whole:
            x[~mask] = 0.0
        count = mask.sum(axis=1)
        scale = np.abs(x).sum(axis=1) / np.maximum(count, 1)
        last = x[np.arange(len(x)), self.window - 1 - mask[:, ::-1].argmax(axis=1)]
        return Windows(
            x=x,
            mask=mask,
            whole=whole,
            level=level_of(x, mask, self.season, last),
            scale=np.where(scale > 0, scale, 1.0),
            last=last,
            base=self._base(x, mask, whole, last),
            share=count / self.window,
            season=self.season,
            rows=self,
            origins=origins,
            inside=inside,
        )

    def targets(self, origins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The next rows, 0 for those that are not there or not observed, and which are: y, mask [N, H]."""
        rows, inside = self.ahead(origins)
        there = inside & self.true[rows + self.window]
        # Behind a series lies the next one: in units of this one's scale its values may be beyond float32.
        return np.where(there, self.values[rows + self.window], 0.0), there

    def ahead(self, origins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The rows that each origin forecasts, held within the panel, and whether they are its series': [N, H]."""
        ends = self.panel.offsets[self.panel.series_of(origins) + 1]
        rows = origins[:, None] + np.arange(1, self.horizon + 1)
        return np.minimum(rows, self.panel.n_rows - 1), rows < ends[:, None]

    def repeated(self, origins: np.ndarray, keep: np.ndarray | None = None) -> np.ndarray:
        """The rows that the baseline repeats, the last one where that is before the series, or what is kept of it:
        [N, H].
        """
        rows = origins[:, None] - self.back + 1 + np.arange(self.horizon) % self.back
        first = self.starts[origins] if keep is None else np.maximum(self.starts[origins], origins - keep + 1)
        return np.where(rows >= first[:, None], rows, origins[:, None])

    def _inside(self, origins: np.ndarray, keep: np.ndarray | None) -> np.ndarray:
        """Which places of each window lie within its series, and within what is kept of it: [N, L]."""
        known = origins - self.starts[origins] + 1
        known = known if keep is None else np.minimum(known, keep)
        return np.arange(self.window) >= (self.window - known)[:, None]

    def _close_open_gaps(self, x: np.ndarray, origins: np.ndarray) -> None:
        """A gap that is open at the origin repeats the last value: its other end is not known yet."""
        assert self.newest is not None
        newest = np.maximum(self.newest[origins], 0)
        beyond = origins[:, None] + np.arange(1 - self.window, 1) > newest[:, None]
        x[...] = np.where(beyond, self.values[newest + self.window][:, None], x)

    def _base(self, x: np.ndarray, mask: np.ndarray, whole: bool, last: np.ndarray) -> np.ndarray:
        """The last `back` rows repeated: [N, H]; for a missing one that of a season before, at last the last value."""
        n, back = len(x), self.back
        repeat = np.arange(self.horizon) % back
        if whole:
            return x[:, self.window - back :][:, repeat]
        if back == 1:
            return np.repeat(last[:, None], self.horizon, axis=1)
        cycles = self.window // back
        values = x[:, -cycles * back :].reshape(n, cycles, back)[:, ::-1]
        seen = mask[:, -cycles * back :].reshape(n, cycles, back)[:, ::-1]
        first = seen.argmax(axis=1)  # [N, back]
        found = np.take_along_axis(values, first[:, None], axis=1)[:, 0]
        return np.where(seen.any(axis=1), found, last[:, None])[:, repeat]

    def extra(self, origins: np.ndarray, inside: np.ndarray) -> np.ndarray | None:
        """The other inputs of each row: [N, L, E] float32, or None where there are none. inside: [N, L]."""
        n_others, n_known = self.others.shape[1], self.known.shape[1]
        if n_others + n_known == 0:
            return None
        out = np.empty((len(origins), self.window, n_others + n_known), dtype=np.float32)
        if n_others:
            rows = origins[:, None] + np.arange(self.window) + 1
            out[..., :n_others] = by_own_deviation(self.others[rows], inside[..., None])
        if n_known:
            for window, row in zip(out, origins + 1, strict=True):  # ten times as quick as known[rows] of all of them
                window[:, n_others:] = self.known[row : row + self.window]
            if self.opening is not None:
                out[:, 0, -1] = self.opening
        if not inside.all():
            out[~inside] = 0.0
        return out


def level_of(x: np.ndarray, mask: np.ndarray, season: int, last: np.ndarray) -> np.ndarray:
    """The mean of the observed among the last m values; the last known value where none of them is: [N]."""
    count = mask[:, -season:].sum(axis=1)
    return np.where(count > 0, x[:, -season:].sum(axis=1) / np.maximum(count, 1), last)


def by_own_deviation(values: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Each input less its mean in the window, in its deviations, clipped; 0 where it is missing: [N, L, P-1]."""
    there = inside & ~np.isnan(values)
    values = np.where(there, values, 0.0)
    count = np.maximum(there.sum(axis=1, keepdims=True), 1)
    centred = np.where(there, values - values.sum(axis=1, keepdims=True) / count, 0.0)
    spread = np.sqrt(np.square(centred).sum(axis=1, keepdims=True) / count)
    least = 1e-9 * np.abs(values).max(axis=1, keepdims=True) + 1e-300  # rounding is no deviation
    return np.clip(np.where(spread > least, centred / np.maximum(spread, least), 0.0), -CLIP, CLIP)


@dataclass(frozen=True)
class Windows:
    """Windows with their measures: x, mask [N, L]; level, scale, last, share [N]; base [N, H], the baseline's forecast.

    whole: nothing is masked. level: mean of the last m. scale: mean absolute value. share: fraction observed.
    rows, origins, inside: where they are from, and which of their places lie within the series.
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
    rows: Rows
    origins: np.ndarray
    inside: np.ndarray

    @cached_property
    def extra(self) -> np.ndarray | None:
        """The other inputs, [N, L, E] float32 or None: much the largest part, so that they are read where wanted."""
        return self.rows.extra(self.origins, self.inside)

    def linear(self) -> "Seen":
        """As linear members read: (x - level) / scale."""
        level, scale = self.level[:, None], self.scale[:, None]
        z = self._masked(((self.x - level) / scale).astype(np.float32))
        place = self.level / self.scale
        base = (self.base - level) / scale
        return Seen(z, base, self._context(z, place - 1), place, np.zeros(len(z)))

    def log(self) -> "Seen":
        """As log members read: log(x / scale + c) less its level, c = max(0, .1 mean - min) in units of the scale."""
        r = self.x / self.scale[:, None]
        low = (r if self.whole else np.where(self.mask, r, np.inf)).min(axis=1)
        c = np.maximum(0.0, 0.1 - np.where(np.isfinite(low), low, 0.0))[:, None].astype(np.float32)
        z = self._masked(logarithm(r.astype(np.float32) + c))
        last = logarithm((self.last / self.scale)[:, None] + c)[:, 0]
        level = level_of(z, self.mask, self.season, last)
        z = self._masked(z - level[:, None])
        base = logarithm(self.base / self.scale[:, None] + c) - level[:, None]
        return Seen(z, base, self._context(z, np.zeros(len(z))), level, c[:, 0])

    def _masked(self, z: np.ndarray) -> np.ndarray:
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
    """Windows as one kind of member reads them.

    z [N, L], base [N, H] the baseline's forecast, context [N, 3]. level, offset [N]: the way back, a forecast f is
    level + f, or exp(level + f) - offset of a log member, in units of the window's scale.
    """

    z: np.ndarray
    base: np.ndarray
    context: np.ndarray
    level: np.ndarray
    offset: np.ndarray


def logarithm(values: np.ndarray) -> np.ndarray:
    """The logarithm, with a floor under what has none."""
    return np.log(np.maximum(values, LOG_FLOOR))


def prepare_rows(
    panel: Panel,
    *,
    window: int,
    horizon: int,
    season: int,
    back: int = 1,
    missing: str = "mask",
    known: np.ndarray | None = None,
    opening: float | None = None,
    statics: Statics | None = None,
) -> Rows:
    """Prepare a panel's rows for windows.

    season, back: rows, at most the window. missing: "error" | "ffill" | "interpolate" | "mask"; all but "mask" give
    values that count as observed. known: [R, K] inputs known ahead, scaled. opening: of the last of these, see Rows.
    Raises: DataError where a value is missing and the choice is "error".
    """
    filled = fill(panel, missing)
    seen = filled.observed[:, -1] if missing == "mask" or filled.last_seen is None else filled.last_seen[:, -1] >= 0
    lines = missing == "interpolate" and filled.last_seen is not None
    values = np.zeros(window + panel.n_rows)
    np.copyto(values[window:], filled.values[:, -1], where=seen)  # the one copy of the target that is made
    return Rows(
        panel=panel,
        window=window,
        horizon=horizon,
        season=season,
        back=back,
        values=values,
        observed=behind(window, seen),
        true=behind(window, filled.observed[:, -1]),
        starts=np.repeat(panel.offsets[:-1], panel.lengths),
        newest=filled.last_seen[:, -1] if lines and filled.last_seen is not None else None,
        others=behind(window, panel.past[:, :-1] if missing == "mask" else filled.carried[:, :-1]),
        known=behind(window, np.zeros((panel.n_rows, 0)) if known is None else known),
        opening=opening,
        statics=statics,
    )


def behind(padding: int, values: np.ndarray) -> np.ndarray:
    """Rows with some of zeros before them, so that every window begins inside the array."""
    return np.concatenate([np.zeros((padding, *values.shape[1:]), dtype=values.dtype), values])

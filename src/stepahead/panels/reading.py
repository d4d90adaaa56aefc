"""What a member reads.  Windows -> the arrays that nn/panel.py learns from and runtime/panel.py forecasts from.

Legend: N windows, L rows of a window, p rows of a patch, T = L / p, H horizon, E other inputs of a row, K inputs known
ahead, C context numbers.
"""

from dataclasses import dataclass

import numpy as np

from stepahead.data.covariates import Covariates
from stepahead.panels.windows import Rows, Seen, Windows

Arrays = dict[str, np.ndarray]

USUAL_UNIT, LEAST_UNIT = 0.1, 1e-3  # of the window's scale: of a window with one value, and of one that stands still


@dataclass(frozen=True)
class Ahead:
    """What is known beside the window. context: [N, K*H]; shift: [N, H, K], the inputs of each row ahead less those of
    the row that the baseline repeats for it. statics: numbers [N, J] and codes [N, C] of the series, or nothing.
    """

    context: np.ndarray
    shift: np.ndarray
    statics: Arrays


def look_ahead(
    rows: Rows,
    covariates: Covariates,
    origins: np.ndarray,
    future: np.ndarray | None = None,
    keep: np.ndarray | None = None,
) -> Ahead:
    """The inputs known ahead and the static ones of these origins.

    keep: rows that are seen of each window, see Rows.windows.
    future: [N, H, K] as given by the user; None takes the panel's own later rows, and zeros behind its end.
    """
    n, k = len(origins), len(covariates.center)
    statics = static_inputs(rows, origins)
    if k == 0:
        return Ahead(np.zeros((n, 0), dtype=np.float32), np.zeros((n, rows.horizon, 0)), statics)
    places, inside = rows.ahead(origins)
    if future is None:
        ahead = np.where(inside[..., None], rows.known[places + rows.window], 0.0)
    else:
        ahead, inside = (future - covariates.center) / covariates.spread, np.ones_like(inside)
    shift = np.where(inside[..., None], ahead - rows.known[rows.repeated(origins, keep) + rows.window], 0.0)
    return Ahead(ahead.reshape(n, -1), shift, statics)


def static_inputs(rows: Rows, origins: np.ndarray) -> Arrays:
    """What never changes within the series of these origins: static [N, J] and codes [N, C], where there is any."""
    if rows.statics is None or rows.statics.none:
        return {}
    series = rows.panel.series_of(origins)
    return {"static": rows.statics.numbers[series], "codes": rows.statics.codes[series]}


def context_width(covariates: Covariates, horizon: int) -> int:
    """C: three numbers of the window and the inputs known ahead."""
    return 3 + len(covariates.center) * horizon


def reading(seen: Seen, windows: Windows, ahead: Ahead, patch: int | None, *, spread: bool = False) -> Arrays:
    """What one kind of member reads: patches [N, T, (2+E)p], z, base, context [N, C], shift, level, offset; static and
    codes where there are static inputs.

    patch: None for no patches, which a linear start does not read. spread: for a head that gives a distribution, also
    the unit of its spread.
    """
    more = {"unit": spread_unit(seen, windows)} if spread else {}
    more |= {} if patch is None else {"patches": patched(seen, windows, patch)}
    return (
        more
        | ahead.statics
        | {
            "z": seen.z,
            "base": seen.base,
            "context": np.concatenate([seen.context, ahead.context], axis=1),
            "shift": ahead.shift,
            "level": seen.level,
            "offset": seen.offset,
        }
    )


def spread_unit(seen: Seen, windows: Windows) -> np.ndarray:
    """What a distribution's spread is measured in: the usual change over a season as this member sees it, [N].

    The usual distance from the level where there is no such change to see; never quite zero.
    """
    m, mask = windows.season, windows.mask
    both = mask[:, m:] & mask[:, :-m]
    pairs = both.sum(axis=1)
    moved = (np.abs(seen.z[:, m:] - seen.z[:, :-m]) * both).sum(axis=1) / np.maximum(pairs, 1)
    apart = (np.abs(seen.z) * mask).sum(axis=1) / np.maximum(mask.sum(axis=1), 1)
    unit = np.where(pairs > 0, moved, np.where(apart > 0, apart, USUAL_UNIT))
    return np.maximum(unit, LEAST_UNIT).astype(np.float32)


def patched(seen: Seen, windows: Windows, patch: int) -> np.ndarray:
    """A window in patches, each with its mask and its other inputs: [N, T, (2+E)p] float32."""
    n, length = seen.z.shape
    parts = 2 if windows.extra is None else 2 + windows.extra.shape[2]
    out = np.empty((n, length // patch, parts * patch), dtype=np.float32)
    out[..., :patch] = seen.z.reshape(n, -1, patch)
    out[..., patch : 2 * patch] = windows.mask.reshape(n, -1, patch)
    if windows.extra is not None:
        out[..., 2 * patch :] = windows.extra.reshape(n, length // patch, -1)
    return out

"""What a member reads.  Windows -> the arrays that nn/panel.py learns from and runtime/panel.py forecasts from.

Legend: N windows, L rows of a window, p rows of a patch, T = L / p, H horizon, E other inputs of a row, K inputs known
ahead, C context numbers.
"""

from dataclasses import dataclass

import numpy as np

from stepahead.data.covariates import Covariates
from stepahead.panels.windows import Rows, Seen, Windows

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Ahead:
    """What is known beside the window. context: [N, K*H + statics]; shift: [N, H, K], the inputs of each row ahead less
    those of the row that the baseline repeats for it.
    """

    context: np.ndarray
    shift: np.ndarray


def look_ahead(rows: Rows, covariates: Covariates, origins: np.ndarray, future: np.ndarray | None = None) -> Ahead:
    """The inputs known ahead and the static ones of these origins.

    future: [N, H, K] as given by the user; None takes the panel's own later rows, and zeros behind its end.
    """
    n, k = len(origins), len(covariates.center)
    statics = covariates.context(rows.panel, origins, 0, np.zeros((n, 0, k)))
    if k == 0:
        return Ahead(statics, np.zeros((n, rows.horizon, 0)))
    places, inside = rows.ahead(origins)
    if future is None:
        ahead = np.where(inside[..., None], rows.known[places + rows.window], 0.0)
    else:
        ahead, inside = (future - covariates.center) / covariates.spread, np.ones_like(inside)
    shift = np.where(inside[..., None], ahead - rows.known[rows.repeated(origins) + rows.window], 0.0)
    return Ahead(np.concatenate([ahead.reshape(n, -1), statics], axis=1), shift)


def context_width(covariates: Covariates, horizon: int) -> int:
    """C: three numbers of the window, the inputs known ahead, the static ones."""
    return 3 + covariates.width(horizon)


def reading(seen: Seen, windows: Windows, ahead: Ahead, patch: int) -> Arrays:
    """What one kind of member reads: patches [N, T, (2+E)p], z, base, context [N, C], shift, level, offset."""
    return {
        "patches": patched(seen, windows, patch),
        "z": seen.z,
        "base": seen.base,
        "context": np.concatenate([seen.context, ahead.context], axis=1),
        "shift": ahead.shift,
        "level": seen.level,
        "offset": seen.offset,
    }


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

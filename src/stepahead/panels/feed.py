"""Batches for all members.  Rows, origins -> the arrays that nn/panel.py learns from and runtime/panel.py forecasts
from.

Legend: M members, N windows, L rows of a window, p rows of a patch, T = L / p, H horizon, E other inputs of a row,
K inputs known ahead, C context numbers.
"""

from dataclasses import dataclass

import numpy as np

from stepahead.data.covariates import Covariates
from stepahead.panels.draw import Origins, Yardsticks
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


@dataclass(frozen=True)
class Source:
    """All that batches are made from."""

    rows: Rows
    covariates: Covariates
    yardsticks: Yardsticks
    patch: int

    def readings(self, origins: np.ndarray, kinds: tuple[str, ...]) -> list[Arrays]:
        """The windows that end at these rows, as each kind of member reads them, with the truth: [N, ...] each."""
        windows = self.rows.windows(origins)
        ahead = look_ahead(self.rows, self.covariates, origins)
        y, there = self.rows.targets(origins)
        truth = {
            "y": y / windows.scale[:, None],
            "there": there,
            "importance": self.yardsticks.importance(self.rows, origins, windows.scale),
        }
        return [reading(getattr(windows, kind)(), windows, ahead, self.patch) | truth for kind in kinds]


def batch_of_step(source: Source, origins: Origins, kinds: tuple[str, ...], size: int, seed: int, step: int) -> Arrays:
    """The batch of a step, a function of seed and step alone: [M, N, ...] each.

    kinds: of the M members, the linear ones first. The n-th linear and the n-th log member share their windows.
    """
    rng = np.random.default_rng([seed, 1, step])
    n_linear, n_log = kinds.count("linear"), kinds.count("log")
    parts: dict[str, list[Arrays]] = {"linear": [], "log": []}
    for k in range(max(n_linear, n_log)):
        pair = ("linear",) * (k < n_linear) + ("log",) * (k < n_log)
        for kind, part in zip(pair, source.readings(origins.draw(rng, size), pair), strict=True):
            parts[kind].append(part)
    return stacked(parts["linear"] + parts["log"])


def stacked(parts: list[Arrays]) -> Arrays:
    """Several readings side by side, float32."""
    return {name: np.stack([part[name] for part in parts], dtype=np.float32, casting="unsafe") for name in parts[0]}

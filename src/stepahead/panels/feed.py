"""Batches for all members.  Rows, origins -> the arrays that nn/panel.py learns from.

Legend: M members, N windows, L rows of a window, p rows of a patch, T = L / p, H horizon.
"""

from collections.abc import Iterator

import numpy as np

from stepahead.panels.draw import Origins, Yardsticks
from stepahead.panels.windows import Rows, Seen, Windows

Arrays = dict[str, np.ndarray]


def patched(seen: Seen, windows: Windows, patch: int) -> np.ndarray:
    """A window in patches, each with its mask: [N, T, 2p] float32."""
    n, length = seen.z.shape
    out = np.empty((n, length // patch, 2 * patch), dtype=np.float32)
    out[..., :patch] = seen.z.reshape(n, -1, patch)
    out[..., patch:] = windows.mask.reshape(n, -1, patch)
    return out


def batch(rows: Rows, yardsticks: Yardsticks, origins: np.ndarray, kinds: tuple[str, ...], patch: int) -> Arrays:
    """The windows that end at these rows, as each of these kinds of members reads them: [len(kinds), N, ...] each."""
    windows = rows.windows(origins)
    y, there = rows.targets(origins)
    y = y / windows.scale[:, None]
    importance = yardsticks.importance(rows, origins, windows.scale)
    parts = []
    for kind in kinds:
        seen: Seen = getattr(windows, kind)()
        parts.append(
            {
                "patches": patched(seen, windows, patch),
                "z": seen.z,
                "base": seen.base,
                "context": seen.context,
                "level": seen.level,
                "offset": seen.offset,
                "y": y,
                "there": there,
                "importance": importance,
            }
        )
    return {name: np.stack([part[name] for part in parts]).astype(np.float32, copy=False) for name in parts[0]}


def feeds(
    rows: Rows, yardsticks: Yardsticks, origins: Origins, kinds: tuple[str, ...], patch: int, size: int, seed: int
) -> Iterator[Arrays]:
    """Endless batches: the n-th linear and the n-th log member share their windows. kinds: of the M members, in order."""
    rng = np.random.default_rng(seed)
    n_linear, n_log = kinds.count("linear"), kinds.count("log")
    while True:
        groups = []
        for k in range(max(n_linear, n_log)):
            pair = ("linear",) * (k < n_linear) + ("log",) * (k < n_log)
            groups.append((pair, batch(rows, yardsticks, origins.draw(rng, size), pair, patch)))
        yield joined(groups)


def joined(groups: list[tuple[tuple[str, ...], Arrays]]) -> Arrays:
    """Groups side by side, the linear members first."""
    order = [(g, pair.index(kind)) for kind in ("linear", "log") for g, (pair, _) in enumerate(groups) if kind in pair]
    return {name: np.stack([groups[g][1][name][i] for g, i in order]) for name in groups[0][1]}

"""Batches for all members.  Rows, a step's number -> the arrays that nn/panel.py learns from.

Legend: M members, N windows.
"""

from dataclasses import dataclass

import numpy as np

from stepahead.data.covariates import Covariates
from stepahead.panels.draw import Origins, Yardsticks
from stepahead.panels.reading import Arrays, look_ahead, reading
from stepahead.panels.statics import forgetful
from stepahead.panels.windows import Rows

BEGINNINGS = 0.2  # of the windows, where there are static inputs, show a series' first rows alone
BEGIN = 4  # so many of them at most, or a season


@dataclass(frozen=True)
class Source:
    """All that batches are made from. spread: for a head that gives a distribution. from_zeros: whether windows of
    nothing but zeros are learned from, which have no scale: counts are; else zero goes on, whatever is learned.
    """

    rows: Rows
    covariates: Covariates
    yardsticks: Yardsticks
    patch: int
    spread: bool = False
    from_zeros: bool = False

    def readings(
        self, origins: np.ndarray, kinds: tuple[str, ...], keep: np.ndarray | None = None, *, patches: bool = True
    ) -> list[Arrays]:
        """The windows that end at these rows, as each kind of member reads them, with the truth: [N, ...] each.

        keep: [N] rows that are seen of each window, None for all. patches: whether they are wanted.
        """
        windows = self.rows.windows(origins, keep)
        ahead = look_ahead(self.rows, self.covariates, origins, keep=keep)
        y, there = self.rows.targets(origins)
        truth = {
            "y": y / windows.scale[:, None],
            "there": there if self.from_zeros else there & windows.x.any(axis=1, keepdims=True),
            "importance": self.yardsticks.importance(self.rows, origins, windows.scale),
        }
        if self.spread:
            truth["size"] = windows.scale
        patch = self.patch if patches else None
        return [reading(getattr(windows, kind)(), windows, ahead, patch, spread=self.spread) | truth for kind in kinds]


def batch_of_step(source: Source, origins: Origins, kinds: tuple[str, ...], size: int, seed: int, step: int) -> Arrays:
    """The batch of a step, a function of seed and step alone: [M, N, ...] each.

    kinds: of the M members, the linear ones first. There are half as many sets of windows as members; the n-th member
    of a kind sees the n-th, and after the last the first again, so that a window is prepared once for two of them.
    """
    rng = np.random.default_rng([seed, 1, step])
    n_sets = -(-len(kinds) // 2)
    seen = [(kind, kinds[:m].count(kind) % n_sets) for m, kind in enumerate(kinds)]  # by each member
    read: dict[tuple[str, int], Arrays] = {}
    known, other = source.rows.statics, np.random.default_rng([seed, 2, step])
    for k in range(n_sets):
        present = tuple(dict.fromkeys(kind for kind, n in seen if n == k))
        keep = None if known is None else beginnings(size, source.rows, other)
        for kind, part in zip(present, source.readings(origins.draw(rng, size), present, keep), strict=True):
            read[kind, k] = part
    batch = stacked([read[place] for place in seen])
    if known is not None and "codes" in batch:
        batch["codes"] = forgetful(batch["codes"], known.unseen, other)
    return batch


def beginnings(count: int, rows: Rows, rng: np.random.Generator) -> np.ndarray:
    """Rows that are kept of each window: some are read as if their series had just begun, for it is then that static
    inputs say most: [count].
    """
    few = rng.integers(1, max(rows.season, BEGIN) + 1, size=count)
    return np.where(rng.random(count) < BEGINNINGS, few, rows.window)


def stacked(parts: list[Arrays]) -> Arrays:
    """Several readings side by side, float32."""
    return {name: np.stack([part[name] for part in parts], dtype=np.float32, casting="unsafe") for name in parts[0]}

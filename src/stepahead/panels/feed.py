"""Batches for all members.  Rows, a step's number -> the arrays that nn/panel.py learns from.

Legend: M members, N windows.
"""

from dataclasses import dataclass

import numpy as np

from stepahead.data.covariates import Covariates
from stepahead.panels.draw import Origins, Yardsticks
from stepahead.panels.reading import Arrays, look_ahead, reading
from stepahead.panels.windows import Rows


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

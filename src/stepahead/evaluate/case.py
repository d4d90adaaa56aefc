"""What an audit asks about, and what it may find.

Legend: S series, H steps.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from stepahead.data.panel import Panel
from stepahead.evaluate.subjects import Subject


@dataclass(frozen=True)
class Finding:
    """Something is wrong.

    check: which question found it. evidence: what was changed, and what that did. cause: what this usually comes from.
    """

    check: str
    evidence: str
    cause: str

    def __str__(self) -> str:
        return f"{self.check}: {self.evidence}; likely cause: {self.cause}"


class Skip(Exception):
    """A question that this subject has no answer to."""


@dataclass(frozen=True)
class Case:
    """What a check works on. depth: rows back whose influence is asked for."""

    subject: Subject
    panel: Panel
    cutoff: Any
    depth: int
    seed: int

    @cached_property
    def base(self) -> np.ndarray:
        """The answer on the panel as it is: [S, H]."""
        return self.ask(self.panel)

    def ask(self, panel: Panel) -> np.ndarray:
        return self.subject.forecast(panel, self.cutoff)

    def rng(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)

    def difference(self, answer: np.ndarray) -> str | None:
        """Where an answer differs most from the base, in words; None where every bit is the same."""
        if np.array_equal(self.base, answer, equal_nan=True):
            return None
        gap = np.abs(np.where(np.isnan(answer) == np.isnan(self.base), answer - self.base, np.inf))
        s, h = np.unravel_index(int(np.nanargmax(gap)), gap.shape)
        return (
            f"the forecast of series '{self.panel.ids[s]}' at step {h + 1} went from {self.base[s, h]:.6g} to "
            f"{answer[s, h]:.6g}"
        )

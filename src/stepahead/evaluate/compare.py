"""A forecast against each baseline, and against the best at each step.  Actual, forecasts -> Comparisons.

Where several are compared at once the p-values are corrected by Holm's method: of twenty steps one has p < .05 by luck.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from stepahead.evaluate.metrics import Actual, rmse
from stepahead.evaluate.significance import diebold_mariano, holm
from stepahead.evaluate.verdict import bootstrap, losses_over_time, skill_of


@dataclass(frozen=True)
class Comparison:
    """One forecast against one baseline.

    baseline: its name. step: steps ahead, None for all together. rmse, baseline_rmse: in the target's unit. skill: 1
    less their ratio; low, high: its 95 % interval by block bootstrap. p_value: Diebold-Mariano, two-sided; p_holm:
    corrected for all comparisons made beside this one.
    """

    baseline: str
    step: int | None
    rmse: float
    baseline_rmse: float
    skill: float
    low: float
    high: float
    p_value: float
    p_holm: float


def against_each(
    actual: Actual,
    forecast: np.ndarray,
    baselines: Mapping[str, np.ndarray],
    *,
    overlap: int | None = None,
    seed: int = 0,
) -> list[Comparison]:
    """All steps together against every baseline: actual and forecast [N, H], baselines {name: [N, H]}.

    overlap: how many neighbouring cutoffs forecast some time in common, by default those of rows that are all origins.
    seed: of the bootstrap.
    """
    overlap = actual.y.shape[1] if overlap is None else overlap
    return corrected([compare(actual, forecast, name, f, None, overlap, seed) for name, f in baselines.items()])


def at_each_step(
    actual: Actual,
    forecast: np.ndarray,
    baseline: str,
    means: np.ndarray,
    *,
    overlaps: Sequence[int] | None = None,
    seed: int = 0,
) -> list[Comparison]:
    """Each step ahead by itself against one baseline: forecast and means [N, H].

    overlaps: [H], of each step, as for `against_each`.
    """
    found = []
    for h in range(actual.y.shape[1]):
        overlap = h + 1 if overlaps is None else overlaps[h]
        here, column = replace(actual, y=actual.y[:, h : h + 1]), slice(h, h + 1)
        found.append(compare(here, forecast[:, column], baseline, means[:, column], h + 1, overlap, seed))
    return corrected(found)


def compare(
    actual: Actual, forecast: np.ndarray, name: str, means: np.ndarray, step: int | None, overlap: int, seed: int
) -> Comparison:
    """One comparison, not corrected for others."""
    own, other = float(rmse(actual, forecast)), float(rmse(actual, means))
    test = diebold_mariano(*losses_over_time(actual, forecast, means), overlap=overlap)
    low, high = bootstrap(actual, forecast, means, overlap, seed)
    return Comparison(name, step, own, other, skill_of(own, other), low, high, test.p_value, test.p_value)


def corrected(comparisons: list[Comparison]) -> list[Comparison]:
    """The same, with p-values corrected for one another."""
    adjusted = holm([c.p_value for c in comparisons])
    return [replace(c, p_holm=float(p)) for c, p in zip(comparisons, adjusted, strict=True)]

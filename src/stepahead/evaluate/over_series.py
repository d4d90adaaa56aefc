"""The verdict over many series: on how many the forecast wins, and the names of those on which it loses.

Backtest -> SeriesVerdict.  Each series is tested against its seasonal naive forecast (naive where there is no
season), and the p-values are corrected for being many.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stepahead.data.panel import preview
from stepahead.evaluate.metrics import absolute_error, mean_of_known
from stepahead.evaluate.significance import SIGNIFICANT, diebold_mariano, holm

if TYPE_CHECKING:
    from stepahead.evaluate.result import Backtest  # polars with it, which a loaded model need not wait for

QUARTILES = (0.25, 0.5, 0.75)
EXACT = 1e-9  # of a series' level: a baseline's error below this is rounding, and no forecast can be better
EQUAL = 1e-3  # of the level: beside such a baseline an error below this is as good
WORST = -10.0  # the least skill, so that no series outweighs all others


@dataclass(frozen=True)
class SeriesVerdict:
    """How a forecast fares on each series against a baseline.

    ids: [S] the series that were tested. baseline: its name. skill: [S], 1 - MAE / MAE of the baseline, at least -10;
    where the baseline makes no error at all, as on a constant series, NaN for a forecast that is as good to .1 % of the
    level, else -inf. p_value: [S], two-sided, Holm-corrected over the series.
    """

    ids: tuple[str, ...]
    baseline: str
    skill: np.ndarray
    p_value: np.ndarray

    @property
    def judged(self) -> np.ndarray:
        """Where the baseline errs, so that a forecast can be better: [S] bool; shares and means are of these."""
        return np.isfinite(self.skill)

    @property
    def mean_skill(self) -> float:
        return self._mean(self.skill)

    @property
    def quartiles(self) -> tuple[float, ...]:
        """The skill of a lower, a middle and an upper series."""
        known = self.skill[self.judged]
        return tuple(float(q) for q in np.quantile(known, QUARTILES)) if len(known) else (float("nan"),) * 3

    @property
    def won(self) -> float:
        """Share of series with a skill above 0."""
        return self._mean(self.skill > 0)

    @property
    def proven(self) -> float:
        """Share of series that are won and not by luck, after correction."""
        return self._mean((self.skill > 0) & (self.p_value < SIGNIFICANT))

    def _mean(self, values: np.ndarray) -> float:
        return float(values[self.judged].mean()) if self.judged.any() else float("nan")

    @property
    def loses(self) -> tuple[str, ...]:
        """The series on which the baseline is better, the worst first."""
        order = np.argsort(self.skill, kind="stable")
        return tuple(self.ids[i] for i in order if self.skill[i] < 0)

    def __str__(self) -> str:
        name = self.baseline.replace("_", " ")
        low, middle, high = self.quartiles
        judged = int(self.judged.sum())
        exact = len(self.ids) - judged
        parts = []
        if judged:
            parts += [
                f"better than {name} by MAE on {self.won:.0%} of {judged} series ({self.proven:.0%} beyond luck)",
                f"skill {self.mean_skill:.1%} in the mean, {middle:.1%} in the middle, half between {low:.1%} and "
                f"{high:.1%}",
            ]
        if exact:
            parts.append(
                f"{exact} more left out, which {name} foresees without error"
                if judged
                else f"{name} foresees all {exact} series without error, so that nothing can be better"
            )
        if self.loses:
            parts.append(f"loses on {preview(self.loses)}")
        text = "; ".join(parts)
        return f"{text[:1].upper()}{text[1:]}."


def over_series(result: "Backtest") -> SeriesVerdict:
    """The verdict over the series of a backtest.

    Example: `print(over_series(model.backtest_))`
    """
    baseline = "seasonal_naive" if "seasonal_naive" in result.baseline_means else "naive"
    own = absolute_error(result.actual.y, result.mean)
    other = absolute_error(result.actual.y, result.baseline_means[baseline])
    there = (~np.isnan(own) & ~np.isnan(other)).any(axis=1)
    own, other, series = own[there], other[there], result.actual.series[there]
    order = np.argsort(series, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(series[order])) + 1)
    overlap = -(-result.horizon // result.step_size)
    ids, skill, p_values = [], [], []
    for rows in groups:
        s = int(series[rows[0]])
        ids.append(result.panel.ids[s])
        level = float(np.nanmean(np.abs(result.panel.y[result.panel.rows(s)])))
        skill.append(skill_of(float(np.nanmean(own[rows])), float(np.nanmean(other[rows])), level))
        p_values.append(
            diebold_mariano(mean_of_known(own[rows].T), mean_of_known(other[rows].T), overlap=overlap).p_value
        )
    return SeriesVerdict(tuple(ids), baseline, np.asarray(skill), holm(p_values))


def skill_of(error: float, reference: float, level: float) -> float:
    """1 - error / reference, at least -10; see SeriesVerdict for a baseline without any error."""
    if reference <= EXACT * level:
        return float("nan") if error <= EQUAL * level else -float("inf")
    return max(1 - error / reference, WORST)

"""The verdict over many series: on how many the forecast wins, and the names of those on which it loses.

Backtest -> SeriesVerdict.  Each series is tested against its seasonal naive forecast (naive where there is no
season), and the p-values are corrected for being many.
"""

from dataclasses import dataclass

import numpy as np

from stepahead.data.panel import preview
from stepahead.evaluate.metrics import absolute_error, mean_of_known
from stepahead.evaluate.result import Backtest
from stepahead.evaluate.significance import diebold_mariano, holm

SIGNIFICANT = 0.05
QUARTILES = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class SeriesVerdict:
    """How a forecast fares on each series against a baseline.

    ids: [S] the series that were tested. baseline: its name. skill: [S], 1 - MAE / MAE of the baseline.
    p_value: [S], two-sided, Holm-corrected over the series.
    """

    ids: tuple[str, ...]
    baseline: str
    skill: np.ndarray
    p_value: np.ndarray

    @property
    def mean_skill(self) -> float:
        return float(self.skill.mean())

    @property
    def quartiles(self) -> tuple[float, ...]:
        """The skill of a lower, a middle and an upper series."""
        return tuple(float(q) for q in np.quantile(self.skill, QUARTILES))

    @property
    def won(self) -> float:
        """Share of series with a skill above 0."""
        return float((self.skill > 0).mean())

    @property
    def proven(self) -> float:
        """Share of series that are won and not by luck, after correction."""
        return float(((self.skill > 0) & (self.p_value < SIGNIFICANT)).mean())

    @property
    def loses(self) -> tuple[str, ...]:
        """The series on which the baseline is better, the worst first."""
        order = np.argsort(self.skill, kind="stable")
        return tuple(self.ids[i] for i in order if self.skill[i] < 0)

    def __str__(self) -> str:
        name = self.baseline.replace("_", " ")
        low, middle, high = self.quartiles
        text = (
            f"Better than {name} on {self.won:.0%} of {len(self.ids)} series ({self.proven:.0%} beyond luck); skill "
            f"{self.mean_skill:.1%} in the mean, {middle:.1%} in the middle, half between {low:.1%} and {high:.1%}"
        )
        return f"{text}; loses on {preview(self.loses)}." if self.loses else f"{text}."


def over_series(result: Backtest) -> SeriesVerdict:
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
        ids.append(result.panel.ids[series[rows[0]]])
        skill.append(skill_of(float(np.nanmean(own[rows])), float(np.nanmean(other[rows]))))
        p_values.append(
            diebold_mariano(mean_of_known(own[rows].T), mean_of_known(other[rows].T), overlap=overlap).p_value
        )
    return SeriesVerdict(tuple(ids), baseline, np.asarray(skill), holm(p_values))


def skill_of(error: float, reference: float) -> float:
    """1 - error / reference, at least -10; against a baseline without any error 0 or that."""
    if reference == 0:
        return 0.0 if error == 0 else -10.0
    return max(1 - error / reference, -10.0)

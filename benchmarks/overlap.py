"""The claim: cutoffs that forecast the same times are not counted as independent evidence.

Tables of white noise that all series of a table share, with 5 % of their own, walked through by a model that is exactly
as good as the baseline: the mean of the seven rows before the last seven, beside the mean of the last seven. How often
is p < .05 said, and how often "beats"? Beside it the same if cutoffs were counted in rows, each series by itself, and
Student's t had as many degrees of freedom as there are cutoffs, less one. Exits with status 1 where "beats" is said in
more than 5 % by more than two binomial errors.

    python benchmarks/overlap.py [--tables 300] [--seed 0]
"""

import argparse
import sys
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

import stepahead as sa
import timing
from stepahead.evaluate.significance import SIGNIFICANT, long_run_variance, two_sided
from stepahead.evaluate.verdict import losses_over_time

BACK = 7  # rows of a mean
ASKED = 0.05


@dataclass(frozen=True)
class Case:
    """Series with a row every `every` days from their starts on, walked through by so many windows."""

    says: str
    starts: tuple[int, ...]
    every: int
    horizon: int
    n_windows: int
    step_size: int


CASES = [
    Case("12 series that end together, horizon 12, 3 windows 12 rows apart", (0,) * 12, 1, 12, 3, 12),
    Case("the same, ending one row apart", tuple(range(12)), 1, 12, 3, 12),
    Case("the same with 12 windows", tuple(range(12)), 1, 12, 12, 12),
    Case("7 weekly series of one weekday, horizon 1, 30 windows", (0,) * 7, 7, 1, 30, 1),
    Case("7 weekly series of seven weekdays", tuple(range(7)), 7, 1, 30, 1),
    Case("1 series, horizon 24, 4 windows one row apart", (0,), 1, 24, 4, 1),
    Case("1 series, horizon 6, 60 windows one row apart", (0,), 1, 6, 60, 1),
]


@dataclass(frozen=True)
class Said:
    """A model's answers without intervals: mean [N, H]."""

    mean: np.ndarray
    level: tuple[float, ...]
    lo: np.ndarray
    hi: np.ndarray


class OlderMean:
    """The mean of the seven rows before the last seven, for all steps; it learns nothing."""

    name = "older_mean"
    season_length_ = None

    def __init__(self, horizon: int = 1) -> None:
        self.horizon = horizon

    def clone(self) -> Self:
        return type(self)(self.horizon)

    def get_params(self) -> dict[str, Any]:
        return {"horizon": self.horizon}

    def set_params(self, **params: Any) -> Self:
        self.horizon = params.get("horizon", self.horizon)
        return self

    def fit(self, panel: sa.Panel, *, progress: Any = None) -> Self:
        return self

    def forecast(self, panel: sa.Panel, origins: np.ndarray, *, level: Any = ()) -> Said:
        mean = panel.y[origins[:, None] - BACK - np.arange(BACK)].mean(axis=1)
        mean = np.repeat(mean[:, None], self.horizon, axis=1)
        return Said(mean, (), *np.zeros((2, *mean.shape, 0)))


def table(rng: np.random.Generator, case: Case) -> sa.Panel:
    """White noise about 10 for all windows of a case and some rows before them."""
    rows = 2 * BACK + 6 + case.horizon + (case.n_windows - 1) * case.step_size
    count = len(case.starts)
    days = np.array(case.starts)[:, None] + case.every * np.arange(rows)
    moments = days // case.every  # in which all series share what happens
    noise = rng.normal(size=moments.max() + 1)[moments] + 0.05 * rng.normal(size=moments.shape) + 10
    return sa.Panel.from_arrays(
        noise.ravel(),
        ids=[f"s{s}" for s in range(count)],
        offsets=rows * np.arange(count + 1),
        times=np.datetime64("2020-01-01", "us") + days.ravel().astype("timedelta64[D]"),
    )


def by_rows(losses: np.ndarray, reference: np.ndarray, lags: int) -> float:
    """p of the test as it would be with an overlap of so many cutoffs, and T - 1 degrees of freedom."""
    difference = losses - reference
    n, lags = len(difference), min(lags, len(difference) - 1)
    variance = long_run_variance(difference, lags)
    correction = np.sqrt((n + 1 - 2 * lags + lags * (lags - 1) / n) / n)
    return two_sided(float(correction * difference.mean() / np.sqrt(variance / n)), n - 1)


def rates(case: Case, tables: int, seed: int) -> np.ndarray:
    """Shares of the tables: p < .05 and beats; the same counted in rows: [4]."""
    rng, said = np.random.default_rng(seed), []
    walk = {"n_windows": case.n_windows, "step_size": case.step_size, "refit": False}
    for _ in range(tables):
        result = sa.backtest(OlderMean(case.horizon), table(rng, case), **walk)
        baselines = result.baseline_means
        equal = next(c for c in result.comparisons() if c.baseline == "window_mean")
        in_rows = [
            by_rows(*losses_over_time(result.actual, result.mean, baselines[name]), -(-case.horizon // case.step_size))
            for name in ("window_mean", result.verdict.baseline)
        ]
        said.append(
            [
                equal.p_value < SIGNIFICANT,
                result.beats,
                in_rows[0] < SIGNIFICANT,
                result.skill > 0 and in_rows[1] < SIGNIFICANT,
            ]
        )
    return np.mean(said, axis=0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(timing.machine(), "\n")
    print(f"| {options.tables} tables each | p < .05 | *beats* | both, if cutoffs were counted in rows |")
    print("|---|---|---|---|", flush=True)
    most = ASKED + 2 * np.sqrt(ASKED * (1 - ASKED) / options.tables)
    held = True
    for case in CASES:
        proven, beats, rows_proven, rows_beats = rates(case, options.tables, options.seed)
        held &= beats <= most
        print(f"| {case.says} | {proven:.1%} | {beats:.1%} | {rows_proven:.1%}, {rows_beats:.1%} |", flush=True)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())

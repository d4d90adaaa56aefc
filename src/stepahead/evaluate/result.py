"""What a backtest found.  Forecasts beside their truth -> scores, verdict, frames, curves, JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stepahead.data.frames import to_frame
from stepahead.data.panel import Panel
from stepahead.errors import ConfigError
from stepahead.evaluate.compare import Comparison, against_each, at_each_step
from stepahead.evaluate.folds import overlap_of
from stepahead.evaluate.intervals import interval_losses, interval_scores
from stepahead.evaluate.metrics import GROUPS, Actual, average, covered, score
from stepahead.evaluate.verdict import Verdict

if TYPE_CHECKING:
    from stepahead.show.report_data import WindowCurve


@dataclass(frozen=True)
class Curves:
    """One series as a picture shows it.

    id: name of the series. times, y: [n] all its rows, training part and test part. test_from: time of the first
    forecast row. ahead_times, forecast, baseline: [m] forecasts at one step ahead, by the time they are for.
    baseline_name: of the best baseline. level: [L] coverage in percent; lo, hi: [m, L] interval bounds.
    """

    id: str
    times: np.ndarray
    y: np.ndarray
    test_from: Any
    ahead_times: np.ndarray
    forecast: np.ndarray
    baseline: np.ndarray
    baseline_name: str
    level: tuple[float, ...]
    lo: np.ndarray
    hi: np.ndarray


@dataclass(frozen=True)
class Intervals:
    """All intervals that a model told. level: [L] in percent; lo, hi: [N, H, L], NaN where one could not be given."""

    level: tuple[float, ...]
    lo: np.ndarray
    hi: np.ndarray


@dataclass(frozen=True)
class Backtest:
    """Forecasts of rows that the model never saw, held against the truth and against baselines.

    name: the model's column, "LSTM". panel: the table that was tested. origins: [N] row positions, the last row that
    each forecast knew. actual: the truth [N, H] with its groups. mean: [N, H]. level, lo, hi:
    [L], [N, H, L], [N, H, L], as asked for.
    baseline_means: {name: [N, H]}. scores: {name: {"mae": .., "rmse": ..}}, with intervals also "coverage-90",
    "width-90", ..., "pinball" and "crps". baselines: the same for each baseline, without intervals.
    told: the intervals that are scored, of 50, 80, 90, 95 % and what was asked for. coverage: {90.0: share of truths
    inside} of these; empty without intervals. coverage_as_fitted: where they learned from each truth as it came, the
    same of the intervals that `predict` gives; else empty.
    verdict: the sentence and its numbers. season_length: of the seasonal baseline, None where there is none.
    step_size: rows from one origin to the next. n_fits: how often the model was fitted. n_skipped: origins without
    enough rows behind them for this model. asked: what was asked for, "model", "params" and "backtest", so that a
    report can say how to repeat it. notes: what to know of how it was tested, later rows of other series, say.
    `print(result)` is the verdict with these.
    """

    name: str
    panel: Panel
    origins: np.ndarray
    actual: Actual
    mean: np.ndarray
    level: tuple[float, ...]
    lo: np.ndarray
    hi: np.ndarray
    told: Intervals
    baseline_means: Mapping[str, np.ndarray]
    scores: dict[str, dict[str, float]]
    baselines: dict[str, dict[str, float]]
    verdict: Verdict
    season_length: int | None
    step_size: int = 1
    n_fits: int = 1
    n_skipped: int = 0
    asked: Mapping[str, Any] = field(default_factory=dict)
    coverage: Mapping[float, float] = field(default_factory=dict)
    coverage_as_fitted: Mapping[float, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join([str(self.verdict), *(f"note: {note}" for note in self.notes)])

    @property
    def skill(self) -> float:
        """1 - RMSE / RMSE of the best baseline: above 0 is better than it."""
        return self.verdict.skill

    @property
    def p_value(self) -> float:
        """Of equal accuracy with the best baseline, two-sided (Diebold-Mariano)."""
        return self.verdict.p_value

    @property
    def echo(self) -> bool:
        """Whether the one-step forecast fits the value before better than the one that it forecasts."""
        return self.verdict.echo

    @property
    def beats(self) -> bool:
        """Whether skill is above 0 and p_value below .05."""
        return self.verdict.beats

    @property
    def horizon(self) -> int:
        """Steps ahead, H."""
        return self.mean.shape[1]

    @cached_property
    def forecasts(self) -> Any:
        """Rows with a truth, a frame of the kind that came in: unique_id, ds, cutoff, y, the model, its bounds.

        Whatever the table calls its columns: so utilsforecast reads it as it is, and no name can take another's place.
        """
        there = ~np.isnan(self.actual.y)
        origin = np.broadcast_to(self.origins[:, None], there.shape)[there]
        row = origin + np.nonzero(there)[1] + 1
        schema = replace(self.panel.schema, series="unique_id", time="ds")
        ids = np.asarray(self.panel.ids, dtype=object)
        columns: dict[str, Any] = {
            schema.series: ids[self.panel.series_of(origin)],
            schema.time: self.panel.times[row],
            "cutoff": self.panel.times[origin],
            "y": self.actual.y[there],
            self.name: self.mean[there],
        }
        for i, level in enumerate(self.level):
            columns[f"{self.name}-lo-{level:g}"] = self.lo[..., i][there]
            columns[f"{self.name}-hi-{level:g}"] = self.hi[..., i][there]
        return to_frame(columns, schema)

    def scores_by(self, by: str, *, metrics: Sequence[str] | None = None) -> Any:
        """Scores of the model and of each baseline by "series", "step" or "cutoff", as a long frame.

        metrics: names of point metrics; all of them by default, and what there is to say of the intervals.
        Returns: a frame of the group's column, "model", and one column a metric; NaN where a baseline has no intervals.
        Raises: ConfigError for a group or a metric that there is not.
        """
        if by not in list(GROUPS):
            raise ConfigError(f"by={by!r} is not one of {', '.join(map(repr, GROUPS))}")
        groups = self._group_names(by)
        models = {self.name: self.mean, **self.baseline_means}
        tables = [score(self.actual, values, by=by, metrics=metrics) for values in models.values()]
        if metrics is None:
            losses = interval_losses(self.actual, self.mean, self.told.level, self.told.lo, self.told.hi)
            own = interval_scores(self.actual, losses, by)
            tables = [table | (own if i == 0 else unknown(own)) for i, table in enumerate(tables)]
        columns: dict[str, Any] = {
            by: np.tile(groups, len(models)),
            "model": np.repeat(np.asarray(list(models), dtype=object), len(groups)),
        }
        columns |= {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
        return to_frame(columns, self.panel.schema)

    def coverage_by(self, by: str | None = None) -> dict[float, np.ndarray]:
        """The fraction of truths inside the interval of each level, overall or by "series", "step", "cutoff".

        Returns: {level in percent: fraction}, 0-d or [groups]. Raises: ConfigError for a group that there is not.
        """
        if by not in (None, *GROUPS):
            raise ConfigError(f"by={by!r} is not one of {', '.join(map(repr, GROUPS))} or None")
        told = self.told
        return {
            level: average(covered(self.actual.y, told.lo[..., i], told.hi[..., i]), self.actual, by)
            for i, level in enumerate(told.level)
            if level in self.coverage
        }

    def comparisons(self, by: str | None = None, *, seed: int = 0) -> list[Comparison]:
        """Skill, its interval and p-values: against each baseline, or by "step" against the best baseline.

        seed: of the bootstrap. Raises: ConfigError for another `by`.
        """
        if by is None:
            overlap = overlap_of(self.panel, self.origins, self.actual.y)
            return against_each(self.actual, self.mean, self.baseline_means, overlap=overlap, seed=seed)
        if by != "step":
            raise ConfigError(f"by={by!r} is not 'step' or None")
        best = self.verdict.baseline
        truth = self.actual.y
        overlaps = [overlap_of(self.panel, self.origins, truth[:, h : h + 1], h + 1) for h in range(self.horizon)]
        return at_each_step(self.actual, self.mean, best, self.baseline_means[best], overlaps=overlaps, seed=seed)

    def curves(self, series: str | None = None, *, step: int = 1) -> Curves:
        """One series as a picture shows it: the first by default, forecasts `step` rows ahead.

        Raises: ConfigError for a series that is not there, or a step beyond the horizon.
        """
        if series is not None and series not in self.panel.ids:
            raise ConfigError(f"no series '{series}' in the backtest of {self.panel.schema.source}")
        if not 1 <= step <= self.horizon:
            raise ConfigError(f"step={step} is not within the horizon, 1 to {self.horizon}")
        position = int(self.actual.series.min()) if series is None else self.panel.ids.index(series)
        rows = self.panel.rows(position)
        mine = np.flatnonzero((self.actual.series == position) & (self.origins + step < rows.stop))
        ahead = self.panel.times[self.origins[mine] + step]
        first = self.origins[self.actual.series == position]
        return Curves(
            id=self.panel.ids[position],
            times=self.panel.times[rows],
            y=self.panel.y[rows],
            test_from=self.panel.times[first.min() + 1] if len(first) else None,
            ahead_times=ahead,
            forecast=self.mean[mine, step - 1],
            baseline=self.baseline_means[self.verdict.baseline][mine, step - 1],
            baseline_name=self.verdict.baseline,
            level=self.level,
            lo=self.lo[mine, step - 1],
            hi=self.hi[mine, step - 1],
        )

    def plot(self, path: str | Path | None = None, **options: Any) -> Any:
        """Truth, forecast and best baseline; saved as PNG or SVG where a path is given.  Needs matplotlib.

        Returns: the matplotlib Figure. options: series, step, zoom, see `stepahead.show.plots.plot`.
        Raises: ConfigError for one of these that cannot be, or a file that cannot be written; MissingExtraError.
        """
        from stepahead.show.plots import plot  # late: importing a result must not import matplotlib

        return plot(self, path, **options)

    def report(
        self, path: str | Path, *, window_curve: "WindowCurve | None" = None, command: str | None = None
    ) -> None:
        """Write everything that this result says as one HTML page that works offline.

        window_curve: what a window search found. command: the line to repeat it with; the Python call by default.
        Raises: ConfigError where the file cannot be written.
        """
        from stepahead.show.report import report  # late: a result does not need its report

        report(self, path, window_curve=window_curve, command=command)

    def to_json(self) -> dict[str, Any]:
        """Plain values for `json.dumps`: scores, baselines, coverage, skill, p_value, verdict, what was tested."""
        verdict = self.verdict
        return plain(
            {
                "scores": self.scores,
                "baselines": self.baselines,
                "coverage": {f"{level:g}": share for level, share in self.coverage.items()},
                "coverage_as_fitted": {f"{level:g}": share for level, share in self.coverage_as_fitted.items()},
                "skill": verdict.skill,
                "skill_interval": list(verdict.interval),
                "p_value": verdict.p_value,
                "echo": verdict.echo,
                "beats": verdict.beats,
                "verdict": verdict.sentence,
                "outcome": verdict.outcome,
                "best_baseline": verdict.baseline,
                "rmse_to_previous": verdict.rmse_to_previous,
                "rmse_to_next": verdict.rmse_to_next,
                "horizon": self.horizon,
                "season_length": self.season_length,
                "n_series": self.panel.n_series,
                "n_forecasts": int((~np.isnan(self.actual.y)).sum()),
                "step_size": self.step_size,
                "n_fits": self.n_fits,
                "n_skipped": self.n_skipped,
                "notes": list(self.notes),
            }
        )

    def _group_names(self, by: str) -> np.ndarray:
        if by == "series":
            return np.asarray(self.panel.ids[: self.actual.n_series], dtype=object)
        if by == "cutoff":
            return np.unique(self.panel.times[self.origins])
        return np.arange(1, self.actual.groups(by)[1] + 1)


def unknown(scores: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same names without a number."""
    return {name: np.full_like(values, np.nan) for name, values in scores.items()}


def plain(value: Any) -> Any:
    """JSON's own types; a number that is none (NaN, infinity) becomes null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value

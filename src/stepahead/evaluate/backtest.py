"""Test a model on rows that it never saw.  Model, Panel -> Backtest.

Everything that is fitted receives the training part of its fold and no later row; a forecast at an origin receives the
rows of its series up to it.  `backtest` clones the unfitted model, so whatever it learned before does not count.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np

from stepahead.data.panel import Panel
from stepahead.errors import DataError, TrainingError
from stepahead.evaluate.baselines import BASELINES, naive, series_of
from stepahead.evaluate.folds import Fold, one_split, split_at, training
from stepahead.evaluate.metrics import Actual, insample_errors, score
from stepahead.evaluate.result import Backtest, interval_scores
from stepahead.evaluate.verdict import judge

STANDARD = ("naive", "seasonal_naive", "drift")  # the baselines that a verdict is held against


class Forecasts(Protocol):
    """What a model answers: mean [N, H], level [L], lo and hi [N, H, L]."""

    @property
    def mean(self) -> np.ndarray: ...
    @property
    def level(self) -> tuple[float, ...]: ...
    @property
    def lo(self) -> np.ndarray: ...
    @property
    def hi(self) -> np.ndarray: ...


class Model(Protocol):
    """What a backtest asks of a model; `stepahead.Forecaster` is one."""

    @property
    def name(self) -> str: ...
    @property
    def season_length_(self) -> int | None: ...
    def clone(self) -> Self: ...
    def set_params(self, **params: Any) -> Self: ...
    def fit(self, panel: Panel, *, progress: Callable[[Any], None] | None = None) -> Self: ...
    def forecast(self, panel: Panel, origins: np.ndarray, *, level: Sequence[float] = ()) -> Forecasts: ...


@dataclass(frozen=True)
class Answers:
    """Forecasts of all folds in one: origins [N], mean [N, H], lo and hi [N, H, L], and each origin's training rows."""

    origins: np.ndarray
    starts: np.ndarray
    stops: np.ndarray
    mean: np.ndarray
    level: tuple[float, ...]
    lo: np.ndarray
    hi: np.ndarray


def backtest(
    model: Model,
    panel: Panel,
    *,
    test_size: float = 0.3,
    level: Sequence[float] = (),
    seed: int = 0,
    progress: Callable[[Any], None] | None = None,
) -> Backtest:
    """Fit on the first rows of each series, forecast every later row from the rows before it, and judge.

    model: unfitted or fitted, it is cloned. panel: the whole table. test_size: fraction in (0, 1) of each series' rows
    at its end, or a number of rows; the training part is rounded down. level: interval coverages in percent.
    seed: of the bootstrap in the verdict. progress: handed to `model.fit`.
    Returns: Backtest. A model of more steps is scored on all of its steps that have a truth.
    Raises: ConfigError, DataError; what `model.fit` raises; TrainingError where a forecast is not a number.
    Example: `backtest(Forecaster(window=7), panel).verdict`
    """
    folds = [one_split(panel, test_size)]
    fitted = list(fit_many(unfitted(model, level), (training(panel, fold) for fold in folds), progress))
    answers = join([answer(one, panel, fold, level) for one, fold in zip(fitted, folds, strict=True)])
    season = fitted[-1].season_length_
    return assess(fitted[-1].name, panel, answers, season, n_fits=len(folds), seed=seed)


def holdout_verdict(
    fitted: Model, panel: Panel, n_train: np.ndarray | int, *, level: Sequence[float] = (), seed: int = 0
) -> Backtest:
    """Judge a model that was fitted on the first n_train rows of each series on the rows behind them.

    n_train: a number of rows, or [S].
    Returns: Backtest; its `.verdict` and `.scores` are what `Forecaster.fit` keeps.
    """
    fold = split_at(panel, np.broadcast_to(np.asarray(n_train, dtype=np.int64), (panel.n_series,)))
    return assess(fitted.name, panel, answer(fitted, panel, fold, level), fitted.season_length_, seed=seed)


def fit_many(model: Model, panels: Iterable[Panel], progress: Callable[[Any], None] | None = None) -> Iterator[Model]:
    """Fit one clone of the model to each panel, in turn."""
    watching: dict[str, Any] = {} if progress is None else {"progress": progress}
    for panel in panels:
        yield model.clone().fit(panel, **watching)


def unfitted(model: Model, level: Sequence[float]) -> Model:
    """A clone for a backtest.  Only intervals need rows held out of the training part, to learn their width from."""
    return model.clone() if len(level) else model.clone().set_params(holdout=None)


def answer(fitted: Model, panel: Panel, fold: Fold, level: Sequence[float]) -> Answers:
    """The forecasts of one fit at its fold's origins.

    Raises: TrainingError naming the first origin whose forecast is not a number.
    """
    found = fitted.forecast(panel, fold.origins, level=tuple(level))
    series = series_of(panel, fold.origins)
    broken = np.flatnonzero(~np.isfinite(found.mean).all(axis=1))
    if len(broken):
        at = broken[0]
        raise TrainingError(
            f"{fitted.name}: the forecast for series '{panel.ids[series[at]]}' at {panel.schema.time} "
            f"{panel.times[fold.origins[at]]} is not a number ({len(broken)} of {len(series)} such); check its inputs"
        )
    return Answers(
        origins=fold.origins,
        starts=fold.starts[series],
        stops=fold.stops[series],
        mean=np.asarray(found.mean, dtype=np.float64),
        level=tuple(found.level),
        lo=np.asarray(found.lo, dtype=np.float64),
        hi=np.asarray(found.hi, dtype=np.float64),
    )


def join(parts: Sequence[Answers]) -> Answers:
    """The answers of all folds, by series and by time."""
    if len(parts) == 1:
        return parts[0]
    order = np.argsort(np.concatenate([part.origins for part in parts]), kind="stable")
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts])[order]
        for name in ("origins", "starts", "stops", "mean", "lo", "hi")
    }
    return Answers(level=parts[0].level, **columns)


def assess(
    name: str,
    panel: Panel,
    answers: Answers,
    season_length: int | None,
    *,
    baselines: Sequence[str] = STANDARD,
    step_size: int = 1,
    n_fits: int = 1,
    seed: int = 0,
) -> Backtest:
    """Hold answers against the truth and the baselines.

    baselines: names out of BASELINES; seasonal_naive is left out without a season. step_size: rows from one origin to
    the next.
    """
    horizon = answers.mean.shape[1]
    actual = actual_of(panel, answers, season_length)
    if np.isnan(actual.y).all():
        raise DataError(f"{panel.schema.source}: column '{panel.schema.target}' has no value in the rows to test on")
    means = baseline_means(panel, answers.origins, horizon, season_length, baselines)
    verdict = judge(
        actual,
        answers.mean,
        means,
        target=panel.schema.target,
        season_length=season_length,
        daily=daily(panel),
        overlap=-(-horizon // step_size),
        seed=seed,
    )
    return Backtest(
        name=name,
        panel=panel,
        origins=answers.origins,
        actual=actual,
        mean=answers.mean,
        level=answers.level,
        lo=answers.lo,
        hi=answers.hi,
        baseline_means=means,
        scores={
            name: numbers(score(actual, answers.mean)) | interval_scores(actual, answers.level, answers.lo, answers.hi)
        },
        baselines={key: numbers(score(actual, values)) for key, values in means.items()},
        verdict=verdict,
        season_length=season_length,
        n_fits=n_fits,
    )


def baseline_means(
    panel: Panel, origins: np.ndarray, horizon: int, season_length: int | None, names: Sequence[str]
) -> dict[str, np.ndarray]:
    """The forecasts of each baseline at the same origins: {name: [N, H]}."""
    wanted = [name for name in names if name != "seasonal_naive" or (season_length or 1) > 1]
    return {name: BASELINES[name](panel, origins, horizon, season_length) for name in wanted}


def actual_of(panel: Panel, answers: Answers, season_length: int | None) -> Actual:
    """The truth behind each origin, with the yardsticks of each training part."""
    horizon = answers.mean.shape[1]
    series = series_of(panel, answers.origins)
    y = truth(panel, answers.origins, horizon)
    known = ~np.isnan(naive(panel, answers.origins, 1)[:, 0])
    cutoffs = np.unique(panel.times[answers.origins], return_inverse=True)[1]
    spans, inverse = np.unique(np.stack([answers.starts, answers.stops], axis=1), axis=0, return_inverse=True)
    scales = np.array([insample_errors(panel.y[start:stop], season_length) for start, stop in spans])
    mae_scale, mse_scale = scales[inverse.reshape(-1)].T
    # Before the first observed value no baseline can answer: such an origin counts for nobody.
    return Actual(np.where(known[:, None], y, np.nan), series, cutoffs, mae_scale, mse_scale)


def truth(panel: Panel, origins: np.ndarray, horizon: int) -> np.ndarray:
    """The target of the next rows of each origin's series: [N, H], NaN behind its end."""
    rows = origins[:, None] + np.arange(1, horizon + 1)
    inside = rows < panel.offsets[series_of(panel, origins) + 1][:, None]
    return np.where(inside, panel.y[np.minimum(rows, panel.n_rows - 1)], np.nan)


def numbers(scores: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Overall scores as plain numbers."""
    return {name: float(value) for name, value in scores.items()}


def daily(panel: Panel) -> bool:
    """Whether a row is a day, so that the row before is yesterday's."""
    step = panel.frequency
    return step.unit == "business" or (step.unit == "us" and step.count == 86_400_000_000)

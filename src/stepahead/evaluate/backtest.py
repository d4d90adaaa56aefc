"""Test a model on rows that it never saw.  Model, Panel -> Backtest.

Everything that is fitted receives the training part of its fold and no later row; a forecast at an origin receives the
rows of its series up to it.  `backtest` clones the unfitted model, so whatever it learned before does not count.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any

import numpy as np

from stepahead.data.panel import Panel, check_panel
from stepahead.errors import ConfigError, DataError
from stepahead.evaluate.baselines import BASELINES, naive, season_to_beat
from stepahead.evaluate.classical import check_classical, classical_means
from stepahead.evaluate.folds import (
    Fold,
    check_count,
    later_rows_note,
    one_split,
    overlap_of,
    split_at,
    train_lengths,
    walk_forward,
)
from stepahead.evaluate.intervals import REPORTED, interval_losses, interval_scores
from stepahead.evaluate.metrics import Actual, insample_errors, score
from stepahead.evaluate.result import Backtest, Intervals
from stepahead.evaluate.turning import turned
from stepahead.evaluate.verdict import judge
from stepahead.evaluate.walk import Answers, Model, answer, check_model, walk
from stepahead.fitted import checked_levels
from stepahead.parameters import check_whole

STANDARD = ("naive", "seasonal_naive", "drift")  # the baselines of one split
WALKING = (*STANDARD, "window_mean")  # those of a walk


def backtest(
    model: Model,
    panel: Panel,
    *,
    test_size: float | None = None,
    horizon: int | None = None,
    n_windows: int | None = None,
    step_size: int | None = None,
    refit: bool | int | None = None,
    train_rows: int | None = None,
    level: Sequence[float] = (),
    adaptive: bool | None = None,
    baselines: Sequence[str] = (),
    checkpoint: str | PathLike[str] | None = None,
    seed: int = 0,
    progress: Callable[[Any], None] | None = None,
) -> Backtest:
    """Forecast rows that the model never saw, and judge.

    One split (the default): fit on the first rows of each series, forecast at every later row from the rows before it.
    Walk-forward (with n_windows or step_size): the last cutoff lies `horizon` rows before the end of each series, the
    earlier ones every step_size rows; at each cutoff the next `horizon` steps are forecast.

    Args:
        model: unfitted or fitted, it is cloned.
        panel: the whole table.
        test_size: share in (0, 1) of each series' rows at its end, or a number of rows, 0.3 by default; the training
            part is rounded down. In a walk without n_windows, the part that its windows fill.
        horizon: steps ahead; the model's own by default.
        n_windows, step_size: number of cutoffs, and rows from one to the next (the horizon by default).
        refit: in a walk, True (the default) fits anew at each cutoff, False once at the first, k at every k-th.
        train_rows: None trains on all rows up to the cutoff, a number on that many.
        level: interval coverages in percent; with any, the coverage reached for 50, 80, 90 and 95 is told too.
        adaptive: True for intervals that learn from each truth as it comes, as those of a stream do; False for those of
            `predict`; None learns where a stream would, of a single fit whose forecasts are a row apart, and tells
            beside it what the others cover.
        baselines: classical models beside the simple ones: "auto_ets", "auto_arima", "theta", out of statsforecast.
        checkpoint: file that holds the folds done; a backtest that was killed goes on from it, to the same bits.
        seed: of the bootstrap in the verdict.
        progress: called with `walk.Walked`: fits done and time left; handed to `model.fit` where there is one fit.

    Returns:
        Backtest. Where a model answers more steps than there are rows left, those with a truth are scored.

    Raises:
        ConfigError: arguments that cannot be, or a checkpoint of another backtest.
        DataError: too few rows; and what `model.fit` raises.
        TrainingError: a forecast is not a number.

    Example:
        >>> import numpy as np, stepahead as sa
        >>> panel = sa.Panel.from_arrays(np.cumsum(np.random.default_rng(0).normal(size=100)))
        >>> result = sa.backtest(sa.Forecaster(recipe="classic", max_steps=5), panel)
        >>> result.beats
        False
    """
    check_model(model, "backtest")
    check_panel(panel, "backtest")
    check_whole(seed=(seed, 0))
    refit = bool(refit) if isinstance(refit, np.bool_) else refit
    level = checked_levels(level)
    unfitted = prepared(model, horizon, level)
    steps = check_count("horizon", unfitted.get_params()["horizon"])
    classical = check_classical(baselines)
    plan = planned(panel, steps, test_size, n_windows, step_size, refit, train_rows)
    check_adaptive(adaptive, able=bool(level) and plan.as_a_stream and hasattr(model, "stream"))
    answers = answered(unfitted, panel, plan, level, train_rows, checkpoint, progress)
    answers = replace(answers, season_length=season_to_beat(panel, answers.season_length, unfitted.get_params()))
    learns = bool(level) and plan.as_a_stream and answers.live is not None and adaptive is not False
    found = assess(
        panel,
        turned(panel, answers) if learns else answers,
        as_fitted=answers if learns else None,
        level=level,
        baselines=plan.baselines + classical,
        step_size=plan.step,
        n_fits=len(plan.folds),
        n_asked=sum(len(fold.origins) for fold in plan.folds),
        seed=seed,
    )
    said: dict[str, Any] = {"test_size": test_size, "horizon": horizon, "n_windows": n_windows, "step_size": step_size}
    said |= {"refit": refit, "train_rows": train_rows, "level": level, "seed": seed}
    said |= ({"baselines": classical} if classical else {}) | ({} if adaptive is None else {"adaptive": adaptive})
    whole_call = {"model": type(model).__name__, "params": model.get_params(), "backtest": said}
    return replace(found, asked=whole_call, notes=later_rows_note(panel, plan.folds))


@dataclass(frozen=True)
class BacktestPlan:
    """Where to fit and to forecast.  step: rows from one origin to the next. baselines: the simple ones beside it."""

    folds: list[Fold]
    step: int
    baselines: tuple[str, ...]

    @property
    def as_a_stream(self) -> bool:
        """Whether one fit forecasts at every row."""
        return len(self.folds) == 1 and self.step == 1


def planned(
    panel: Panel,
    horizon: int,
    test_size: float | None,
    n_windows: int | None,
    step_size: int | None,
    refit: bool | int | None,
    train_rows: int | None,
) -> BacktestPlan:
    """One split, or a walk where its windows or its steps are asked for."""
    if n_windows is None and step_size is None:
        for name, value in (("train_rows", train_rows), ("refit", refit)):
            if value is not None:
                raise ConfigError(f"{name}= belongs to a walk-forward backtest: pass n_windows= or step_size= too")
        return BacktestPlan([one_split(panel, 0.3 if test_size is None else test_size)], 1, STANDARD)
    step = horizon if step_size is None else check_count("step_size", step_size)
    count = windows_in(panel, test_size, n_windows, horizon, step)
    every = True if refit is None else refit
    folds = walk_forward(panel, horizon, n_windows=count, step_size=step, refit=every, train_rows=train_rows)
    return BacktestPlan(folds, step, WALKING)


def windows_in(panel: Panel, test_size: float | None, n_windows: int | None, horizon: int, step_size: int) -> int:
    """How many cutoffs a walk has: as asked, or as many as the test part of the longest series holds."""
    if n_windows is not None:
        if test_size is not None:
            raise ConfigError("n_windows= and test_size= both say how much is tested: pass one of them")
        return check_count("n_windows", n_windows)
    longest = int(np.argmax(panel.lengths))
    tested = int(panel.lengths[longest] - train_lengths(panel, 0.3 if test_size is None else test_size)[longest])
    return max(1, (tested - horizon) // step_size + 1)


def prepared(model: Model, horizon: int | None, level: Sequence[float]) -> Model:
    """An unfitted clone.  Only intervals need rows held out of the training part, to learn their width from."""
    changes: dict[str, Any] = {} if len(level) else {"holdout": None}
    if horizon is not None:
        changes["horizon"] = check_count("horizon", horizon)
    return model.clone().set_params(**changes)


def check_adaptive(adaptive: bool | None, *, able: bool) -> None:
    """Raise ConfigError where intervals are to learn as a stream's do and cannot.  able: whether they can."""
    if adaptive not in (None, True, False):
        raise ConfigError(f"adaptive={adaptive!r} must be True, False or None")
    if adaptive and not able:
        raise ConfigError(
            "adaptive=True is for intervals of a Forecaster, of a single fit with a forecast at every row: pass level= "
            "and one split, or step_size=1 and refit=False"
        )


def answered(
    unfitted: Model,
    panel: Panel,
    plan: BacktestPlan,
    level: Sequence[float],
    train_rows: int | None,
    checkpoint: str | PathLike[str] | None,
    progress: Callable[[Any], None] | None,
) -> Answers:
    """What a model says along the plan; with a level its intervals at the reported ones, too."""
    told = checked_levels((*level, *REPORTED)) if level else ()
    try:
        return walk(unfitted, panel, plan.folds, level=told, needed=level, checkpoint=checkpoint, progress=progress)
    except DataError as error:  # it speaks of a series with as few rows as a fit was given
        if train_rows is None:
            raise
        raise DataError(f"{error}; each fit was given the train_rows={train_rows} rows before its cutoff") from error


def holdout_verdict(
    fitted: Model, panel: Panel, n_train: np.ndarray | int, *, level: Sequence[float] = (), seed: int = 0
) -> Backtest:
    """Judge a model that was fitted on the first n_train rows of each series on the rows behind them.

    n_train: a number of rows, or [S].
    Returns: Backtest; its `.verdict` and `.scores` are what `Forecaster.fit` keeps.
    """
    fold: Fold = split_at(panel, np.broadcast_to(np.asarray(n_train, dtype=np.int64), (panel.n_series,)))
    answers = answer(fitted, panel, fold, level)
    answers = replace(answers, season_length=season_to_beat(panel, answers.season_length, fitted.get_params()))
    return assess(panel, answers, level=checked_levels(level), n_asked=len(fold.origins), seed=seed)


def assess(
    panel: Panel,
    answers: Answers,
    *,
    n_asked: int,
    as_fitted: Answers | None = None,
    level: Sequence[float] = (),
    baselines: Sequence[str] = STANDARD,
    step_size: int = 1,
    n_fits: int = 1,
    seed: int = 0,
) -> Backtest:
    """Hold answers against the truth and the baselines.

    level: coverages whose bounds the result holds; those of the other levels answered are scored alone.
    baselines: names out of BASELINES and CLASSICAL; seasonal_naive is left out without a season. step_size: rows from
    one origin to the next. n_asked: origins that were asked for, with those that the model could not answer. as_fitted:
    the same answers before their bounds learned from the truths, where they did.
    Raises: DataError where there is no truth at all.
    """
    season = answers.season_length
    actual = actual_of(panel, answers, season)
    if np.isnan(actual.y).all():
        raise DataError(f"{panel.schema.source}: column '{panel.schema.target}' has no value in the rows to test on")
    means = baseline_means(panel, answers, baselines)
    verdict = judge(
        actual,
        answers.mean,
        means,
        target=panel.schema.target,
        season_length=season,
        daily=daily(panel),
        overlap=overlap_of(panel, answers.origins, actual.y),
        seed=seed,
    )
    own = scores_of(actual, answers)
    kept = [answers.level.index(one) for one in level]
    return Backtest(
        name=answers.name,
        panel=panel,
        origins=answers.origins,
        actual=actual,
        mean=answers.mean,
        level=tuple(level),
        lo=answers.lo[..., kept],
        hi=answers.hi[..., kept],
        told=Intervals(answers.level, answers.lo, answers.hi),
        baseline_means=means,
        scores={answers.name: own},
        baselines={key: numbers(score(actual, values)) for key, values in means.items()},
        verdict=verdict,
        season_length=season,
        step_size=step_size,
        n_fits=n_fits,
        n_skipped=n_asked - len(answers.origins),
        coverage=coverage_in(own, answers.level),
        coverage_as_fitted={} if as_fitted is None else coverage_in(scores_of(actual, as_fitted), answers.level),
    )


def scores_of(actual: Actual, answers: Answers) -> dict[str, float]:
    """All that there is to say of forecasts and their intervals, over everything."""
    losses = interval_losses(actual, answers.mean, answers.level, answers.lo, answers.hi)
    return numbers(score(actual, answers.mean)) | numbers(interval_scores(actual, losses))


def coverage_in(scores: Mapping[str, float], level: Sequence[float]) -> dict[float, float]:
    """The share of truths inside the interval of each level that could be given."""
    return {one: scores[f"coverage-{one:g}"] for one in level if np.isfinite(scores[f"coverage-{one:g}"])}


def baseline_means(panel: Panel, answers: Answers, names: Sequence[str]) -> dict[str, np.ndarray]:
    """The forecasts of each baseline at the same origins: {name: [N, H]}."""
    origins, horizon, season = answers.origins, answers.mean.shape[1], answers.season_length
    wanted = [name for name in names if name != "seasonal_naive" or (season or 1) > 1]
    return {
        name: BASELINES[name](panel, origins, horizon, season)
        if name in BASELINES
        else classical_means(name, panel, origins, horizon, season, answers.starts, answers.stops)
        for name in wanted
    }


def actual_of(panel: Panel, answers: Answers, season_length: int | None) -> Actual:
    """The truth behind each origin, with the yardsticks of each training part."""
    horizon = answers.mean.shape[1]
    series = panel.series_of(answers.origins)
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
    inside = rows < panel.offsets[panel.series_of(origins) + 1][:, None]
    return np.where(inside, panel.y[np.minimum(rows, panel.n_rows - 1)], np.nan)


def numbers(scores: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Overall scores as plain numbers."""
    return {name: float(value) for name, value in scores.items()}


def daily(panel: Panel) -> bool:
    """Whether a row is a day, so that the row before is yesterday's."""
    step = panel.frequency
    return step.unit == "business" or (step.unit == "us" and step.count == 86_400_000_000)

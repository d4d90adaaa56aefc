"""How many rows should a forecast look back on?  Model, Panel -> WindowChoice.

Each length walks forward through the last stretch of the given panel, the fits of one length as one fleet; all are
judged at the same origins, by what they lose to the best of them there.

Legend: W lengths, T times, N origins, H steps ahead.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stepahead.data.panel import Panel, TooFewRows, check_panel
from stepahead.errors import ConfigError, DataError
from stepahead.evaluate.backtest import actual_of, windows_in
from stepahead.evaluate.folds import Fold, check_count, overlap_of, training, walk_forward
from stepahead.evaluate.metrics import Actual, average, squared_error
from stepahead.evaluate.significance import SIGNIFICANT, diebold_mariano, holm, p_words
from stepahead.evaluate.verdict import distinct, losses_over_time
from stepahead.evaluate.walk import ARRAYS, Answers, Clock, Model, Walked, check_model, walk
from stepahead.recipe import resolve

WINDOWS = (1, 2, 3, 5, 7, 14, 28, 56)
TOO_FEW = "There are too few rows to say whether the length matters: the shortest is taken."


@dataclass(frozen=True)
class WindowChoice:
    """What each window length was worth, and which one to take; `str(choice)` is the sentence.

    windows: W lengths in rows, ascending. error: [W] RMSE of each, the mean over the series. noise: [W] standard error
    of how far it lies from the best one's, 0 for the best. chosen: the shortest within one standard error of the best.
    matters: whether a longer window than the shortest is chosen, and one beats the shortest by more than luck.
    p_value: of the clearest gain over the shortest, corrected by Holm for having tried all; matters needs .05.
    n_forecasts: judged for each length. notes: lengths that were left out, and why. sentence: the answer in words.
    """

    windows: tuple[int, ...]
    error: np.ndarray
    noise: np.ndarray
    chosen: int
    matters: bool
    p_value: float
    n_forecasts: int
    notes: tuple[str, ...]
    sentence: str

    def __str__(self) -> str:
        return self.sentence

    @property
    def best(self) -> int:
        """The length with the smallest error."""
        return self.windows[int(np.argmin(self.error))]

    @property
    def low(self) -> np.ndarray:
        """One standard error below each error: [W]."""
        return self.error - self.noise

    @property
    def high(self) -> np.ndarray:
        """One standard error above each error: [W]."""
        return self.error + self.noise


def choose_window(
    model: Model,
    panel: Panel,
    windows: Sequence[int] = WINDOWS,
    *,
    n_folds: int = 3,
    test_size: float = 0.3,
    progress: Callable[[Any], None] | None = None,
) -> WindowChoice:
    """Try window lengths inside a panel, and say which one to take and whether it matters.

    Give the training part alone: rows that a later test shall judge must not have chosen the window.

    Args:
        model: a Forecaster, unfitted or fitted; it is cloned, and its other parameters stay as they are.
        panel: the rows to search in.
        windows: lengths in rows.
        n_folds: fits of each length; each fit sees the rows before its share of the last stretch, and forecasts there.
        test_size: that last stretch: a share in (0, 1) of the longest series, or a number of rows.
        progress: called with `walk.Walked`: fits done and time left.

    Returns:
        WindowChoice. All lengths are judged at the same origins, those that the longest can answer.

    Raises:
        ConfigError: arguments that cannot be. DataError: too few rows; and what `model.fit` raises.

    Source:
        The one-standard-error rule: Breiman, Friedman, Olshen and Stone 1984; here on paired differences.

    Example:
        >>> import numpy as np, stepahead as sa
        >>> panel = sa.Panel.from_arrays(np.cumsum(np.random.default_rng(0).normal(size=100)))
        >>> choice = sa.choose_window(sa.Forecaster(recipe="classic", max_steps=5), panel, [1, 2])
        >>> choice.windows
        (1, 2)
    """
    check_model(model, "choose_window")
    check_panel(panel, "choose_window")
    lengths = checked_windows(windows)
    base = model.clone().set_params(holdout=None)
    horizon = check_count("horizon", base.get_params()["horizon"])
    folds = folds_of(panel, horizon, check_count("n_folds", n_folds), test_size)
    lengths, notes = possible(base, panel, folds, lengths, horizon)
    clock = Clock(progress, len(lengths) * len(folds), 0)
    answers = []
    for i, window in enumerate(lengths):
        tried = base.clone().set_params(window=window)
        answers.append(walk(tried, panel, folds, progress=within(clock, i * len(folds), len(folds))))
        clock.tell((i + 1) * len(folds))
    return judged(panel, lengths, at_the_same_origins(answers, panel), horizon, notes)


def checked_windows(windows: Sequence[int]) -> list[int]:
    """The lengths in ascending order, each once. Raises: ConfigError for none, or one that is no number of rows."""
    lengths = list(windows) if np.iterable(windows) else []
    if not lengths:
        raise ConfigError(f"windows={windows!r} must be a list of lengths in rows, [1, 7, 28] say")
    return sorted({check_count("windows", window) for window in lengths})


def folds_of(panel: Panel, horizon: int, n_folds: int, test_size: float) -> list[Fold]:
    """The last stretch of each series in n_folds parts, each forecast row by row from a fit on the rows before it."""
    rows = windows_in(panel, test_size, None, horizon, 1)
    each = rows // n_folds
    if each < 1:
        raise TooFewRows(
            f"{panel.schema.source}: the last stretch has {rows} rows to forecast from, fewer than n_folds={n_folds}; "
            f"give more rows, a larger test_size or fewer folds"
        )
    return walk_forward(panel, horizon, n_windows=n_folds * each, step_size=1, refit=each)


def possible(
    model: Model, panel: Panel, folds: Sequence[Fold], lengths: Sequence[int], horizon: int
) -> tuple[list[int], tuple[str, ...]]:
    """The lengths that can be learned in every fold, and a note on the others. Raises: DataError where none can."""
    longest = int((folds[0].stops - folds[0].starts).max()) - horizon
    kept, notes = [n for n in lengths if n <= longest], []
    if kept != list(lengths):
        out = ", ".join(str(n) for n in lengths if n > longest)
        notes.append(f"left out {out}: the first fit has {longest + horizon} rows to learn from")
    if 1 in kept and differences(model, panel, folds, max(kept)):
        kept.remove(1)
        notes.append("left out 1: a change needs 2 rows")
    if not kept:
        raise TooFewRows(f"{panel.schema.source}: no window length can be tried: {'; '.join(notes)}")
    return kept, tuple(notes)


def differences(model: Model, panel: Panel, folds: Sequence[Fold], window: int) -> bool:
    """Whether the model learns changes rather than levels, in any fold: then a window of one row says nothing."""
    asked = model.get_params() | {"window": max(2, window)}
    return "difference" in asked and any(bool(resolve(asked, training(panel, fold)).difference) for fold in folds)


def within(clock: Clock, done: int, fits: int) -> Callable[[Any], None] | None:
    """What the walk of one length reports to."""
    if fits == 1 or clock.progress is None:  # a walk of one fit hands on what the training says
        return clock.within(done, fits)

    def tell(walked: Walked) -> None:
        reached = fits * walked.seconds / max(walked.seconds + walked.seconds_left, 1e-9)
        clock.tell(done + walked.done, max(0.0, reached - walked.done))

    return tell


def at_the_same_origins(answers: Sequence[Answers], panel: Panel) -> list[Answers]:
    """The answers of each length at those origins that all of them could answer."""
    common = answers[0].origins
    for one in answers[1:]:
        common = np.intersect1d(common, one.origins)
    if len(common) == 0:
        raise DataError(
            f"{panel.schema.source}: there is no row from which all window lengths can forecast; give more rows, or "
            f"leave out the longest"
        )
    return [at_origins(one, common) for one in answers]


def at_origins(answers: Answers, origins: np.ndarray) -> Answers:
    """The answers at some of the origins."""
    kept = np.isin(answers.origins, origins)
    return replace(answers, **{name: getattr(answers, name)[kept] for name in ARRAYS})


def judged(
    panel: Panel, lengths: Sequence[int], answers: Sequence[Answers], horizon: int, notes: tuple[str, ...]
) -> WindowChoice:
    """Hold the lengths against one another, at the same origins."""
    actual = actual_of(panel, answers[0], None)
    if np.isnan(actual.y).all():
        raise DataError(f"{panel.schema.source}: column '{panel.schema.target}' has no value in the rows to judge by")
    span = max(horizon, overlap_of(panel, answers[0].origins, actual.y))
    means = [one.mean for one in answers]
    error = np.array([average(squared_error(actual.y, mean), actual, finish=np.sqrt) for mean in means], dtype=float)
    best = int(np.argmin(error))
    noise = np.array([standard_error(actual, mean, means[best], span) for mean in means])
    chosen = int(np.flatnonzero(error - error[best] <= noise)[0])
    p_value = clearest_gain(actual, means, error, span)
    matters = chosen > 0 and p_value < SIGNIFICANT
    return WindowChoice(
        windows=tuple(lengths),
        error=error,
        noise=noise,
        chosen=lengths[chosen],
        matters=matters,
        p_value=p_value,
        n_forecasts=int((~np.isnan(actual.y)).sum()),
        notes=notes,
        sentence=say(lengths, error, chosen, matters, p_value) if np.isfinite(noise).all() else TOO_FEW,
    )


def standard_error(actual: Actual, forecast: np.ndarray, best: np.ndarray, horizon: int) -> float:
    """Of the difference between two RMSEs, from blocks of time: 0 where there is none, infinite with a single block."""
    first, second = losses_in_blocks(actual, forecast, best, horizon)
    difference = first - second
    if not difference.any():
        return 0.0
    return float(difference.std(ddof=1) / np.sqrt(len(difference))) if len(difference) > 1 else np.inf


def clearest_gain(actual: Actual, means: Sequence[np.ndarray], error: np.ndarray, horizon: int) -> float:
    """How likely luck alone gives what the clearest winner over the shortest length gained; 1 where nothing did."""
    tests = [diebold_mariano(*losses_in_blocks(actual, mean, means[0], horizon)) for mean in means[1:]]
    if not tests:
        return 1.0
    corrected = holm([test.p_value for test in tests])
    return float(np.where(error[1:] < error[0], corrected, 1.0).min())


def losses_in_blocks(
    actual: Actual, forecast: np.ndarray, reference: np.ndarray, horizon: int
) -> tuple[np.ndarray, np.ndarray]:
    """The losses of two forecasts, neighbouring times together: their errors share a part of the future, or a fit.

    Returns: two arrays with one mean a block; all blocks are as long, up to one row.
    """
    losses = losses_over_time(actual, forecast, reference)
    n = len(losses[0])
    count = max(1, n // max(horizon, int(np.ceil(n ** (1 / 3)))))
    first, second = ([part.mean() for part in np.array_split(loss, count)] for loss in losses)
    return np.array(first), np.array(second)


# The words.


def say(lengths: Sequence[int], error: np.ndarray, chosen: int, matters: bool, p_value: float) -> str:
    """The sentence. chosen: position in lengths."""
    if len(lengths) == 1:
        return f"Only {rows(lengths[0])} could be tried: nothing to choose from."
    best, shortest = int(np.argmin(error)), rows(lengths[0])
    if chosen == 0:
        does = "do" if lengths[0] > 1 else "does"
        other = str(lengths[best]) if best else "any longer window"
        return f"The length does not matter: {shortest} {does} as well as {other}."
    own, other = distinct(float(error[chosen]), float(error[0]))
    measured = f"RMSE {own} with {rows(lengths[chosen])} against {other} with {shortest}"
    if not matters:
        return f"The length does not matter beyond luck: {measured} ({p_words(p_value)})."
    tail = "" if chosen == best else f", no worse than with {lengths[best]} beyond the noise"
    return f"The length matters: {measured} ({p_words(p_value)}){tail}."


def rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"

"""Which learning rate, which size?  Model, Panel -> Tuning, by random search with successive halving.

Each trial walks forward through the last stretch of the given panel, its fits as one fleet.  All trials train for a few
steps, the best third for three times as many, and so on up to the model's own number; the model's own values take part
in every round, and are what a winner must beat.

Legend: N origins, H steps ahead.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stepahead.choices import CELLS
from stepahead.config import Config
from stepahead.data.frames import to_frame
from stepahead.data.panel import Panel, check_panel
from stepahead.errors import ConfigError, DataError, TrainingError
from stepahead.evaluate.backtest import actual_of
from stepahead.evaluate.choose import at_the_same_origins, folds_of, losses_in_blocks, standard_error, within
from stepahead.evaluate.folds import Fold, check_count, overlap_of, training
from stepahead.evaluate.metrics import average, squared_error
from stepahead.evaluate.significance import SIGNIFICANT, diebold_mariano, p_words
from stepahead.evaluate.verdict import distinct
from stepahead.evaluate.walk import Answers, Clock, Model, check_model, walk
from stepahead.parameters import check_whole
from stepahead.recipe import resolve

KEEP = 3  # one trial in so many goes on to the next round, which has so many times the steps
FEWEST_STEPS = 20  # of the first round: fewer would tell trials apart by their starting weights
RATES = (1e-4, 1e-1)
SIZES = (4, 8, 16, 32, 64)


@dataclass(frozen=True)
class Trial:
    """One set of values. params: their names and values. steps: optimizer steps of its last round.

    error: RMSE there, the mean over the series; infinite where the training broke down.
    """

    params: Mapping[str, Any]
    steps: int
    error: float


@dataclass(frozen=True)
class Tuning:
    """What a search found; `str(tuning)` is the sentence.

    trials: all that were tried, the model's own values first. chosen: the values to take. model: an unfitted clone with
    them. improves: they are better than the model's own by more than luck. p_value: of that, corrected for the number
    of trials. error, own_error: RMSE of the chosen and of the model's own values. noise: standard error of the distance
    between the best and the model's own. n_forecasts: judged for each trial. table: a frame with a row a trial, those
    that came furthest first. sentence: the answer in words.
    """

    trials: tuple[Trial, ...]
    chosen: Mapping[str, Any]
    model: Any
    improves: bool
    p_value: float
    error: float
    own_error: float
    noise: float
    n_forecasts: int
    table: Any
    sentence: str

    def __str__(self) -> str:
        return self.sentence


def tune(
    model: Model,
    panel: Panel,
    *,
    learning_rate: tuple[float, float] | None = RATES,
    hidden_size: Sequence[int] = SIZES,
    cell: Sequence[str] = (),
    dropout: Sequence[float] = (),
    n_trials: int = 16,
    n_folds: int = 3,
    test_size: float = 0.3,
    seed: int = 0,
    progress: Callable[[Any], None] | None = None,
) -> Tuning:
    """Search for the learning rate and the size of a model inside a panel, and say whether they matter.

    Give the training part alone: rows that a later test shall judge must not have chosen the values.

    Args:
        model: a Forecaster, unfitted or fitted; it is cloned, and its other parameters stay as they are.
        panel: the rows to search in.
        learning_rate: lowest and highest, drawn evenly on a logarithmic scale; None leaves the model's own.
        hidden_size, cell, dropout: values to draw from; none leaves the model's own. dropout is refused where it has no
            place to act: in a single layer, but for the panel recipe's network.
        n_trials: how many sets of values are drawn.
        n_folds: fits of each trial; each sees the rows before its share of the last stretch, and forecasts there.
        test_size: that last stretch: a share in (0, 1) of the longest series, or a number of rows.
        seed: of the draws.
        progress: called with `walk.Walked`: fits done and time left.

    Returns:
        Tuning. The model's own values are chosen unless others are better by more than one standard error.

    Raises:
        ConfigError: arguments that cannot be. DataError: too few rows; and what `model.fit` raises.

    Source:
        Successive halving: Jamieson and Talwalkar 2016; a third goes on, as in Li et al. 2018.

    Example:
        >>> import numpy as np, stepahead as sa
        >>> panel = sa.Panel.from_arrays(np.sin(np.arange(120) / 3))
        >>> found = sa.tune(sa.Forecaster(recipe="classic", max_steps=40), panel, n_trials=3)
        >>> sorted(found.chosen)
        ['hidden_size', 'learning_rate']
    """
    check_model(model, "tune")
    check_panel(panel, "tune")
    check_whole(seed=(seed, 0))
    base = searched(model)
    horizon = check_count("horizon", base.get_params()["horizon"])
    folds = folds_of(panel, horizon, check_count("n_folds", n_folds), test_size)
    own = resolve(base.get_params(), training(panel, folds[0]))
    space = checked_space(own, learning_rate, hidden_size, cell, dropout)
    drawn = draw(space, check_count("n_trials", n_trials), seed)
    found = halving(base, panel, folds, own, [own_values(own, space), *drawn], progress)
    return judged(model, panel, found, horizon)


def searched(model: Model) -> Model:
    """The clone that trials are made of: nothing held out, and a window that stays what it is through all of them."""
    base = model.clone().set_params(holdout=None)
    if base.get_params()["window"] == "search":
        raise ConfigError("tune: window='search' would be searched anew in every trial; set the window first")
    return base


def checked_space(
    own: Config,
    learning_rate: tuple[float, float] | None,
    hidden_size: Sequence[int],
    cell: Sequence[str],
    dropout: Sequence[float],
) -> dict[str, Any]:
    """What there is to draw from: {name: values, or the two ends of the rates}.  Raises: ConfigError."""
    space: dict[str, Any] = {}
    if learning_rate is not None:
        ends = listed("learning_rate", learning_rate)
        if len(ends) != 2 or not all(map(is_number, ends)) or not 0 < ends[0] < ends[1] < np.inf:
            raise ConfigError(f"learning_rate={learning_rate!r} must be the lowest and the highest, (1e-4, 1e-1) say")
        space["learning_rate"] = (float(ends[0]), float(ends[1]))
    if sizes := listed("hidden_size", hidden_size):
        space["hidden_size"] = [check_count("hidden_size", size) for size in sizes]
    if cells := listed("cell", cell):
        unknown = [name for name in cells if name not in list(CELLS)]
        if unknown:
            raise ConfigError(f"cell={unknown[0]!r} is not one of {', '.join(map(repr, CELLS))}")
        space["cell"] = cells
    if shares := listed("dropout", dropout):
        wrong = [share for share in shares if not is_number(share) or not 0 <= share < 1]
        if wrong:
            raise ConfigError(f"dropout={wrong[0]!r} must be a share in [0, 1)")
        if own.num_layers == 1 and own.backbone == "plain":
            raise ConfigError("dropout= acts between layers, and there is one: pass num_layers=2, or leave it out")
        space["dropout"] = [float(share) for share in shares]
    if not space:
        raise ConfigError("tune: nothing to search for; pass learning_rate=, hidden_size=, cell= or dropout=")
    return space


def listed(name: str, values: Any) -> list[Any]:
    """The values to draw from.  Raises: ConfigError for one alone."""
    if isinstance(values, str) or not np.iterable(values):
        raise ConfigError(f"{name}={values!r} must be a list of values to draw from, [{values!r}, ...] say")
    return list(values)


def is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def own_values(own: Config, space: Mapping[str, Any]) -> dict[str, Any]:
    """What the model has for the names of the space."""
    return {name: getattr(own, name) for name in space}


def draw(space: Mapping[str, Any], n_trials: int, seed: int) -> list[dict[str, Any]]:
    """So many sets of values; a rate is drawn evenly on a logarithmic scale and rounded to two digits."""
    rng = np.random.default_rng(seed)
    trials = []
    for _ in range(n_trials):
        rate = float(f"{np.exp(rng.uniform(*np.log(space.get('learning_rate', RATES)))):.2g}")
        trials.append({n: rate if n == "learning_rate" else v[rng.integers(len(v))] for n, v in space.items()})
    return trials


@dataclass(frozen=True)
class Found:
    """What the rounds left. trials: all. last: positions of those of the last round, and their answers."""

    trials: list[Trial]
    last: list[int]
    answers: list[Answers]


def halving(
    base: Model,
    panel: Panel,
    folds: Sequence[Fold],
    own: Config,
    values: Sequence[dict[str, Any]],
    progress: Callable[[Any], None] | None,
) -> Found:
    """All rounds.  values: of each trial, the model's own first, which are never left out.

    Raises: TrainingError where even the model's own values break down in the last round.
    """
    steps = rounds(own.max_steps, len(values) - 1)
    going, trials = list(range(len(values))), [Trial(v, 0, np.inf) for v in values]
    clock, done = Clock(progress, len(folds) * fits(len(values) - 1, len(steps)), 0), 0
    answers: dict[int, Answers] = {}
    for i, count in enumerate(steps):
        answers = {}
        for trial in going:
            tried = base.clone().set_params(**values[trial], max_steps=count)
            try:
                answers[trial] = walk(tried, panel, folds, progress=within(clock, done, len(folds)))
            except TrainingError:
                if trial == 0 and count == own.max_steps:
                    raise
            done += len(folds)
            clock.tell(done)
        trials = measured(panel, trials, going, answers, count)
        if i + 1 < len(steps):
            best = sorted((t for t in going if t), key=lambda t: trials[t].error)
            going = [0, *best[: -(-len(best) // KEEP)]]
    last = [trial for trial in going if trial in answers]
    return Found(trials, last, at_the_same_origins([answers[trial] for trial in last], panel))


def rounds(max_steps: int, n_trials: int) -> list[int]:
    """Optimizer steps of each round, up to max_steps: while there are enough trials and steps to leave some out."""
    steps = [max_steps]
    while n_trials >= KEEP and steps[0] // KEEP >= FEWEST_STEPS:
        steps.insert(0, steps[0] // KEEP)
        n_trials //= KEEP
    return steps


def fits(n_trials: int, n_rounds: int) -> int:
    """How many trials are fitted over all rounds, the model's own values among them."""
    total = 0
    for _ in range(n_rounds):
        total += n_trials + 1
        n_trials = -(-n_trials // KEEP)
    return total


def measured(
    panel: Panel, trials: Sequence[Trial], going: Sequence[int], answers: Mapping[int, Answers], steps: int
) -> list[Trial]:
    """The trials with the errors of a round, at the origins that all of them could answer."""
    new = {trial: Trial(trials[trial].params, steps, np.inf) for trial in going}
    if answers:
        common = at_the_same_origins(list(answers.values()), panel)
        actual = actual_of(panel, common[0], None)
        for trial, one in zip(answers, common, strict=True):
            error = float(average(squared_error(actual.y, one.mean), actual, finish=np.sqrt))
            new[trial] = Trial(trials[trial].params, steps, error)
    return [new.get(i, trial) for i, trial in enumerate(trials)]


def judged(model: Model, panel: Panel, found: Found, horizon: int) -> Tuning:
    """Hold the last round's best against the model's own values."""
    actual = actual_of(panel, found.answers[0], None)
    if np.isnan(actual.y).all():
        raise DataError(f"{panel.schema.source}: column '{panel.schema.target}' has no value in the rows to judge by")
    span = max(horizon, overlap_of(panel, found.answers[0].origins, actual.y))
    errors = [found.trials[trial].error for trial in found.last]
    own, best = found.answers[0].mean, found.answers[int(np.argmin(errors))].mean
    noise = standard_error(actual, own, best, span)
    chosen = found.trials[found.last[int(np.argmin(errors))] if errors[0] - min(errors) > noise else 0]
    p_value = corrected_p(losses_in_blocks(actual, best, own, span), len(found.trials) - 1)
    improves = chosen is not found.trials[0] and p_value < SIGNIFICANT
    return Tuning(
        trials=tuple(found.trials),
        chosen=chosen.params,
        model=model.clone().set_params(**chosen.params),
        improves=improves,
        p_value=p_value,
        error=chosen.error,
        own_error=errors[0],
        noise=noise,
        n_forecasts=int((~np.isnan(actual.y)).sum()),
        table=table_of(found.trials, panel),
        sentence=say(found.trials, chosen, min(errors), improves, p_value),
    )


def corrected_p(losses: tuple[np.ndarray, np.ndarray], n_trials: int) -> float:
    """Of the best against the model's own, times the number of trials: the best of many is the best by luck too."""
    return float(min(1.0, n_trials * diebold_mariano(*losses).p_value))


def table_of(trials: Sequence[Trial], panel: Panel) -> Any:
    """A frame with a row a trial: its values, "steps", "rmse", "own"; those that came furthest first."""
    order = sorted(range(len(trials)), key=lambda t: (-trials[t].steps, trials[t].error))
    names = list(trials[0].params)
    columns: dict[str, Any] = {name: np.array([trials[t].params[name] for t in order]) for name in names}
    columns |= {"steps": np.array([trials[t].steps for t in order]), "rmse": np.array([trials[t].error for t in order])}
    return to_frame(columns | {"own": np.array([t == 0 for t in order])}, panel.schema)


# The words.


def say(trials: Sequence[Trial], chosen: Trial, best: float, improves: bool, p_value: float) -> str:
    """The sentence."""
    count, own = f"{len(trials) - 1} trials", trials[0]
    if chosen is own:
        if best >= own.error:
            return f"The model's own values ({values(own)}) are the best of {count}: RMSE {own.error:#.3g}."
        first, second = distinct(best, own.error)
        return (
            f"The model's own values ({values(own)}) stay: the best of {count} has RMSE {first} against {second}, no "
            f"more than noise."
        )
    first, second = distinct(chosen.error, own.error)
    measure = f"RMSE {first} against {second} with the model's own ({p_words(p_value)}, corrected for {count})"
    if improves:
        return f"Better with {values(chosen)}: {measure}."
    return f"{values(chosen)} is chosen, and not proven better: {measure}."


def values(trial: Trial) -> str:
    return ", ".join(f"{name}={value}" for name, value in trial.params.items())

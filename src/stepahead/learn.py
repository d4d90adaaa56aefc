"""From a panel and a Config to a Fitted model.  Everything here sees the training part alone.

fit the scale and the covariates -> cut origins into train and validation -> train the members -> shrink -> Fitted.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stepahead.checkpoint import Job, Trained
from stepahead.config import Config
from stepahead.data.covariates import fit_covariates
from stepahead.data.fill import fill
from stepahead.data.panel import Panel, TooFewRows
from stepahead.data.scale import fit_scale
from stepahead.data.windows import WindowSource, window_source
from stepahead.errors import TrainingError, require
from stepahead.fitted import Fitted
from stepahead.panels.fitted import PanelFitted
from stepahead.panels.held_out import HeldOut, joined_held
from stepahead.parameters import SEED_STRIDE
from stepahead.runtime.conformal import NOT_CALIBRATED, Calibration, calibrate, floors_of, joined
from stepahead.runtime.correction import KNOWN_FOR, NO_CORRECTION, Correction, fit_correction
from stepahead.runtime.network import Reading, movement

if TYPE_CHECKING:
    from stepahead.train import Report


@dataclass(frozen=True)
class Training:
    """How to train, beside what the Config says. network: a user's own module, or None."""

    device: str = "cpu"
    network: Any = None
    checkpoint: Path | None = None
    progress: "Callable[[Report], None] | None" = None


def learn(panel: Panel, config: Config, training: Training) -> tuple[Fitted | PanelFitted, list[Trained]]:
    """Train a forecaster on all rows of a panel.

    Returns: the fitted model, and how each member's training went.
    Raises: DataError where there is too little to learn from; TrainingError where the loss is no longer a number.
    """
    return learn_together([panel], config, training)[0]


def learn_together(
    panels: Sequence[Panel], config: Config, training: Training
) -> list[tuple[Fitted | PanelFitted, list[Trained]]]:
    """Train one forecaster on each panel, all members of all of them side by side; each as if it were alone."""
    if config.backbone == "panel":
        from stepahead.panels.learn import learn_panel

        return [learn_panel(panel, config, training) for panel in panels]
    if config.memory == "carried":
        from stepahead.carried import learn_carried

        return [learn_carried(panel, config, training) for panel in panels]
    train = require("stepahead.train", extra="train", purpose="fit")
    teams = [make_jobs(prepare(panel, config), config) for panel in panels]
    jobs = [job for team in teams for job in team]
    try:
        results = train.train(
            jobs,
            config,
            network=training.network,
            device=training.device,
            checkpoint=training.checkpoint,
            progress=training.progress,
        )
    except TrainingError as error:
        error.kept = assemble(teams[0], config, error.kept[: len(teams[0])], training.network)
        raise
    train.warn_interrupted(results)
    shares = [list(results[i : i + config.ensemble]) for i in range(0, len(results), config.ensemble)]
    return [(assemble(team, config, share, training.network), share) for team, share in zip(teams, shares, strict=True)]


def prepare(panel: Panel, config: Config) -> WindowSource:
    """Learn the scale and the covariates of a training part, and prepare its rows."""
    filled = fill(panel, config.missing)
    starts = panel.offsets[:-1]
    scale = fit_scale(
        filled.values,
        starts,
        kind=config.scaler,
        difference=config.difference,
        clip=config.clip,
        level_rows=min(config.season_length or config.window, config.window),
    )
    return window_source(
        panel,
        scale=scale,
        covariates=fit_covariates(panel),
        window=config.window,
        horizon=config.horizon,
        missing=config.missing,
    )


def make_jobs(source: WindowSource, config: Config) -> list[Job]:
    """One job a member: the same windows, different seeds.

    Raises: DataError when no series is long enough for one window.
    """
    origins = source.training_origins()
    if len(origins) == 0:
        raise TooFewRows(
            f"{source.panel.schema.source}: the longest series has {source.panel.lengths.max(initial=0)} rows; "
            f"window {config.window} and horizon {config.horizon} need {config.window + config.horizon} with a target; "
            f"give a smaller window=, or recipe='panel', which needs two rows"
        )
    learned, validated = split_tail(source, origins, config)
    return [Job(source, learned, validated, (config.seed * SEED_STRIDE + m) % 2**63) for m in range(config.ensemble)]


def split_tail(source: WindowSource, origins: np.ndarray, config: Config) -> tuple[np.ndarray, np.ndarray]:
    """Keep the last origins of each series for validation, with no target in common with the others.

    A series too short for both learns only.
    Raises: DataError where nothing could be validated at all.
    """
    if config.patience is None:
        return origins, origins[:0]
    series = source.panel.series_of(origins)
    first, count = np.unique(series, return_index=True, return_counts=True)[1:]
    place = np.arange(len(origins)) - np.repeat(first, count)  # 0, 1, ... within each series
    held = np.floor(count * config.validation_size).astype(int)
    held = np.where(count - held - (config.horizon - 1) >= 1, held, 0)
    cut = np.repeat(count - held, count)
    validated = place >= cut
    learned = place < np.where(np.repeat(held, count) > 0, cut - (config.horizon - 1), cut)
    if not validated.any():
        raise TooFewRows(
            f"{source.panel.schema.source}: {len(origins)} windows are too few to keep some for validation; "
            f"give more rows, a smaller window, or patience=None"
        )
    return origins[learned], origins[validated]


def assemble(team: Sequence[Job], config: Config, results: Sequence[Trained], network: Any) -> Fitted:
    """Trained weights of the members and what was learned around them, as one value."""
    source, members = team[0].source, [result.weights for result in results]
    if source.scale.difference == "log" and not source.scale.log_target:
        config = replace(config, difference=True)  # what was used for a target that is not positive throughout
    fitted = Fitted(
        config=config,
        schema=source.panel.schema,
        frequency=source.panel.frequency,
        scale=source.scale,
        covariates=source.covariates,
        members=tuple(members),
        reading=Reading(config.head, config.quantiles, t_table(config, members)),
        calibration=NOT_CALIBRATED,
        own=None if network is None else own_network(network, config),
    )
    if not config.shrink:
        return fitted
    return replace(fitted, shrinkage=supported_share(fitted, source, team[0].valid))


def supported_share(fitted: Fitted, source: WindowSource, valid: np.ndarray) -> float:
    """How much of the forecast change the validation part supports: its slope less one standard error, in 0..1.

    The slope is that of true changes on forecast changes, through the origin.
    """
    batch = source.batch(valid)
    target, observed = source.targets(valid, batch.base, batch.unit)
    known = observed[:, 0] > 0
    truth, said = target[known, 0].astype(np.float64), fitted.reading.point(fitted.output(batch))[known, 0]
    power = float(said @ said)
    if power == 0 or len(truth) < 3:
        return 0.0
    slope = float(said @ truth) / power
    error = np.sqrt(np.square(truth - slope * said).sum() / (len(truth) - 1) / power)
    return float(np.clip(slope - error, 0.0, 1.0))


def calibration_of(asked: Sequence[tuple[Any, Any, np.ndarray]]) -> Calibration | Correction | HeldOut:
    """Errors of models at origins that they never saw -> how wide intervals must be, or by how much wider.

    asked: the newest first: fitted, its source, origins. Errors of all count alike: they are in units of a window's
    movement, or of an interval's width.
    """
    first = asked[0][0]
    if isinstance(first, PanelFitted):
        return joined_held([fitted.held_out_at(source, origins) for fitted, source, origins in asked])
    known = [each for each in asked if len(each[2])]
    if first.reading.has_quantiles:
        return correction_of(known)
    if not known:
        return NOT_CALIBRATED
    errors, moved = zip(*[errors_of(*each) for each in known], strict=True)
    return joined([calibrate(*each) for each in zip(errors, moved, floors_of(moved), strict=True)])


def errors_of(fitted: Fitted, source: WindowSource, origins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Errors of a point head at these origins, [N, H] scaled, NaN where not observed; movement of their windows [N]."""
    batch = source.batch(origins)
    target, observed = source.targets(origins, batch.base, batch.unit)
    errors = np.where(observed > 0, target - fitted.reading.point(fitted.output(batch)), np.nan)
    return errors, movement(batch.x, bool(fitted.scale.difference))


def correction_of(asked: Sequence[tuple[Fitted, WindowSource, np.ndarray]]) -> Correction:
    """How far the bounds of a head with quantiles must move."""
    if not asked:
        return NO_CORRECTION
    levels = [level for level in KNOWN_FOR if all(fitted.reading.reaches(level) for fitted, _, _ in asked)]
    parts = []
    for fitted, source, origins in asked:
        batch = source.batch(origins)
        target, observed = source.targets(origins, batch.base, batch.unit)
        bounds = replace(fitted.reading, correction=NO_CORRECTION).interval(fitted.output(batch), levels)
        parts.append((np.where(observed > 0, target, np.nan), *bounds))
    y, lo, hi = (np.concatenate(part) for part in zip(*parts, strict=True))
    return fit_correction(y, lo, hi, levels)


def t_table(config: Config, members: Sequence[Mapping[str, np.ndarray]]) -> np.ndarray:
    """Student's t at the learned degrees of freedom: [K, 2] probability, quantile; empty for other heads."""
    if config.head != "student_t":
        return np.zeros((0, 2))
    stats = require("scipy.stats", extra="train", purpose="head='student_t'")
    freedom = 2 + np.logaddexp(0, np.mean([w["tail"] for w in members]))
    probabilities = np.concatenate([[0.0005, 0.001, 0.0025], np.arange(1, 200) / 200, [0.9975, 0.999, 0.9995]])
    return np.stack([probabilities, stats.t.ppf(probabilities, freedom)], axis=1)


def own_network(network: Any, config: Config) -> Any:
    """A user's module as a function of weights and windows."""
    from stepahead.nn.heads import make_head
    from stepahead.nn.network import call_wrapped

    return call_wrapped(network, config.horizon, make_head(config.head, config.quantiles).outputs)

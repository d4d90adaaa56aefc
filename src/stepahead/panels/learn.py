"""From a panel and a Config to a PanelFitted.  Everything here sees the training part alone.

seasons, window (recipe) -> baseline -> yardsticks -> linear starts -> members, trained together -> their shares in each
series -> PanelFitted.
"""

import hashlib
import json
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from stepahead import store
from stepahead.checkpoint import Trained
from stepahead.data.covariates import fit_covariates
from stepahead.data.panel import Panel
from stepahead.errors import ConfigError, DataError, TrainingError, require
from stepahead.learn import t_table
from stepahead.panels.draw import Origins, choose_baseline, measure, origins_of, relative_losses
from stepahead.panels.feed import Source, batch_of_step
from stepahead.panels.fitted import CHUNK, PanelFitted, not_below, reading_of, rows_of, with_clock
from stepahead.panels.reading import Arrays, context_width
from stepahead.panels.shares import BOLD, CAUTIOUS, EQUAL, Shares, parts_by_losses, shares_by_losses
from stepahead.panels.simple import choose_simple, share_of_simple
from stepahead.panels.start import Lines, fit_lines
from stepahead.recipe import Config
from stepahead.runtime.panel_heads import DISTRIBUTIONS

CLEARLY = 0.98  # members are believed boldly where that leaves so much of the loss
SAMPLE = 4000  # windows that the baseline and the yardsticks are chosen by, and that choice
WHOLE = 4096  # windows of a batch where all were asked for


@dataclass(frozen=True)
class Plan:
    """What the members learn from and how they see it. kinds: "linear" | "log", the linear ones first; lines: where
    their linear parts start. simple: what their forecast is averaged with, see panels/simple.py.
    """

    config: Config
    source: Source
    origins: Origins
    kinds: tuple[str, ...]
    lines: tuple[Lines, ...]
    simple: str

    def fitted(self, members: list[dict[str, np.ndarray]]) -> PanelFitted:
        """Trained weights and what was learned around them, as one value."""
        panel = self.source.rows.panel
        found = PanelFitted(
            config=self.config,
            schema=panel.schema,
            frequency=panel.frequency,
            covariates=self.source.covariates,
            members=tuple(members),
            kinds=self.kinds,
            back=self.source.rows.back,
            simple=self.simple,
            reading=reading_of(self.config, t_table(self.config, members) if self.source.spread else None),
        )
        return replace(found, shares=learn_shares(found, self.source)) if self.config.combine == "by_series" else found


def learn_panel(panel: Panel, config: Config, training: Any) -> tuple[PanelFitted, list[Trained]]:
    """Train the panel recipe on all rows of a panel.

    training: a stepahead.learn.Training, how to train beside what the Config says.
    Returns: the fitted model, and how each member's training went. Ctrl-C ends it early and keeps the weights so far.
    Raises: DataError where there is too little to learn from; TrainingError where the loss is no longer a number, with
    the last good weights.
    """
    loop = require("stepahead.train", extra="train", purpose="fit")
    rng = np.random.default_rng([config.seed, 0])
    plan = make_plan(panel, config, rng)
    with loop.torch_seeded(config.seed):
        team = make_team(plan, training.device)
        with team.alone():
            results = descend(plan, team, loop, training)
    loop.warn_interrupted(results)
    return plan.fitted([r.weights for r in results]), results


def make_plan(panel: Panel, config: Config, rng: np.random.Generator) -> Plan:
    """Choose the baseline and the yardsticks of a training part, and how the members see it.

    Raises: DataError when no series has two rows.
    """
    if config.head == "negative_binomial":
        check_counts(panel)
    panel = with_clock(panel, config, panel.frequency, panel.schema.time_zone)
    covariates = fit_covariates(panel)
    rows = rows_of(panel, config, covariates, back=1)
    if panel.lengths.max(initial=0) < 2 or not rows.true.any():
        raise DataError(f"{panel.schema.source}: no series has two rows to learn from; give more history")
    origins = origins_of(rows)
    sample = origins.draw(rng, SAMPLE, ahead=config.horizon)
    rows = rows_of(panel, config, covariates, back=choose_baseline(rows, sample, config.seasons))
    source = Source(rows, covariates, measure(rows, sample), config.patch, spread=config.head in DISTRIBUTIONS)
    pools = require("threadpoolctl", extra="train", purpose="fit")
    with pools.threadpool_limits(1, user_api="blas"):  # its sums depend on the number of threads
        lines = fit_lines(source, origins, able_kinds(panel), rng)
    kinds = kinds_of(tuple(lines), config.ensemble)
    simple = choose_simple(rows, sample) if config.blend else "carried_on"
    share = share_of_simple(config.blend, float(np.mean([line.left for line in lines.values()])))
    return Plan(replace(config, blend=share), source, origins, kinds, tuple(lines[kind] for kind in kinds), simple)


def check_counts(panel: Panel) -> None:
    """Raise DataError where the target holds something that is no count."""
    odd = np.flatnonzero((panel.y < 0) | (panel.y != np.round(panel.y)) & ~np.isnan(panel.y))
    if len(odd):
        series = int(np.searchsorted(panel.offsets, odd[0], side="right")) - 1
        raise DataError(
            f"{panel.schema.source}: column '{panel.schema.target}', series '{panel.ids[series]}', {panel.schema.time} "
            f"{panel.times[odd[0]]}: {panel.y[odd[0]]:g} is no count; head='negative_binomial' is for counts, pass "
            f"head='quantile' or 'student_t'"
        )


def able_kinds(panel: Panel) -> tuple[str, ...]:
    """How members may read their windows: as they are, or in logarithms; as they are where values are negative."""
    return ("linear",) if bool((panel.y < 0).any()) else ("linear", "log")


def kinds_of(able: tuple[str, ...], members: int) -> tuple[str, ...]:
    """How each member reads its windows: half of them as they are, half in logarithms, where these are able."""
    n_log = members // 2 if "log" in able else 0
    return ("linear",) * (members - n_log) + ("log",) * n_log


def learn_shares(fitted: PanelFitted, source: Source) -> Shares:
    """How far each member is believed on each series that is longer than a horizon: by its losses on the last one."""
    panel, horizon = source.rows.panel, fitted.config.horizon
    series = np.flatnonzero(panel.lengths > horizon)
    if len(fitted.members) == 1 or len(series) == 0:
        return EQUAL
    origins = panel.offsets[series + 1] - 1 - horizon
    losses = [tried(fitted, source, origins[i : i + CHUNK])[0] for i in range(0, len(origins), CHUNK)]
    power = BOLD if boldness_pays(fitted, source) else CAUTIOUS
    return shares_by_losses([panel.ids[s] for s in series], np.concatenate(losses), power)


def boldness_pays(fitted: PanelFitted, source: Source) -> bool:
    """Whether bold parts by the last horizon but one foresee the last one clearly better than cautious ones."""
    panel, horizon = source.rows.panel, fitted.config.horizon
    series = np.flatnonzero(panel.lengths > 2 * horizon)
    if len(series) == 0:
        return False
    ends = panel.offsets[series[:: -(-len(series) // SAMPLE)] + 1] - 1
    losses = tried(fitted, source, ends - 2 * horizon)[0]
    _, said, truth = tried(fitted, source, ends - horizon)
    mixed = [np.einsum("nm,mnh->nh", parts_by_losses(losses, power), said) for power in (BOLD, CAUTIOUS)]
    bold, cautious = (relative_losses(source.yardsticks, truth, point).sum() for point in mixed)
    return bool(bold < CLEARLY * cautious)


def tried(fitted: PanelFitted, source: Source, origins: np.ndarray) -> tuple[np.ndarray, np.ndarray, Arrays]:
    """What the members would have said at these origins: losses, above zero, 1 where nothing is seen [N, M]; forecasts
    in units of each window's scale [M, N, H]; the truth.
    """
    kinds = tuple(dict.fromkeys(fitted.kinds))
    read = dict(zip(kinds, source.readings(origins, kinds), strict=True))
    truth, windows = read[kinds[0]], source.rows.windows(origins)
    said = np.stack([not_below(windows, point) for point in fitted.points(read)])
    losses = np.stack([relative_losses(source.yardsticks, truth, point) for point in said], axis=1)
    return np.where(windows.share[:, None] > 0, losses + 1e-9, 1.0), said, truth


def make_team(plan: Plan, device: str) -> Any:
    """The members before their first step: nn/panel.py's Members."""
    net = require("stepahead.nn.panel", extra="train", purpose="fit")
    heads = require("stepahead.nn.panel_heads", extra="train", purpose="fit")
    config, source = plan.config, plan.source
    statics = source.rows.statics
    distribution, spread = heads.make_distribution(config.head, config.quantiles)
    shape = net.Shape(
        members=len(plan.kinds),
        window=config.window,
        patch=config.patch,
        horizon=config.horizon,
        context=context_width(source.covariates, config.horizon),
        hidden=config.hidden_size,
        cell=config.cell,
        dropout=config.dropout,
        extras=source.rows.others.shape[1] + source.rows.known.shape[1],
        ahead=len(source.covariates.center),
        spread=0 if spread is None else len(spread),
        tail=config.head == "student_t",
        table=0 if statics is None else statics.rows,
        numbers=0 if statics is None else statics.numbers.shape[1],
    )
    start = net.Start(
        np.stack([line.skip for line in plan.lines]), np.stack([line.effect for line in plan.lines]), spread
    )
    descent = net.Descent(
        config.weight_decay,
        config.gradient_clip,
        plan.kinds.count("log"),
        source.yardsticks.percent,
        distribution=distribution,
    )
    return net.Members(shape, start, descent, seed=config.seed, device=device)


def descend(plan: Plan, team: Any, loop: Any, training: Any) -> list[Trained]:
    """The training loop: steps in blocks; after a block a note, the checkpoint, the progress."""
    config = plan.config
    results = [Trained(weights) for weights in team.weights()]
    rates = loop.learning_rates(config)
    step = resume(training.checkpoint, plan, team, results)
    batches = batches_ahead(plan, step)
    try:
        while step < config.max_steps:
            stop, started = min(step + config.check_every, config.max_steps), time.perf_counter()
            losses = np.stack(
                [checked(plan, team.step(next(batches), float(rates[n])), n, results) for n in range(step, stop)]
            )
            step = stop
            note(results, team, step, losses[-1])
            if training.checkpoint is not None:
                keep(training.checkpoint, plan, team, results, step)
            if training.progress is not None:
                seen = len(losses) * len(results) * batch_size(config) / (time.perf_counter() - started)
                training.progress(loop.Report(step, config.max_steps, float(losses[-1].mean()), None, seen))
    except KeyboardInterrupt:
        if step == 0:
            raise  # nothing is learned yet, so there is nothing to keep
        note(results, team, step, np.full(len(results), np.nan))
        for result in results:
            result.stopped = "interrupted"
    finally:
        batches.close()
    for result in results:
        result.stopped = result.stopped or "max_steps"
    return results


def batches_ahead(plan: Plan, start: int) -> Generator[dict[str, np.ndarray], None, None]:
    """The batches of the steps from `start` on, each made while the members take the step before."""
    config = plan.config

    def make(step: int) -> dict[str, np.ndarray]:
        return batch_of_step(plan.source, plan.origins, plan.kinds, batch_size(config), config.seed, step)

    with ThreadPoolExecutor(max_workers=1) as maker:
        waiting = maker.submit(make, start)
        for step in range(start, config.max_steps):
            batch = waiting.result()
            waiting = maker.submit(make, step + 1)
            yield batch


def checked(plan: Plan, losses: np.ndarray, step: int, results: list[Trained]) -> np.ndarray:
    """The losses of a step [M]. Raises: TrainingError at the first that is not a number."""
    if not np.isfinite(losses).all():
        raise TrainingError(
            f"the loss is not a number at step {step + 1}; the weights of step {results[0].steps} are kept; "
            f"try a smaller learning_rate or gradient_clip=1",
            kept=plan.fitted([r.weights for r in results]),
        )
    return losses


def batch_size(config: Config) -> int:
    """Windows of a batch; windows are drawn at random, so that "all" is a large number of them."""
    return config.batch_size or WHOLE


def note(results: list[Trained], team: Any, step: int, losses: np.ndarray) -> None:
    """Write down where each member stands."""
    for result, weights, loss in zip(results, team.weights(), losses, strict=True):
        result.weights, result.steps = weights, step
        result.history.append((step, float(loss), float("nan")))


def keep(path: Path, plan: Plan, team: Any, results: list[Trained], step: int) -> None:
    """Write where the run stands after `step` steps, replacing an older checkpoint in one step."""
    tensors = {f"state.{name}": array for name, array in team.state().items()}
    history = np.asarray([r.history for r in results], dtype=np.float64)
    saved = {"kind": "checkpoint", "run": fingerprint(plan), "step": step}
    store.save(path, tensors | {"history": history}, saved)


def resume(path: Path | None, plan: Plan, team: Any, results: list[Trained]) -> int:
    """Put a run back where its checkpoint stands; returns the step.

    Raises: ConfigError when the checkpoint is of another run; ModelFileError when the file is damaged.
    """
    if path is None or not path.exists():
        return 0
    tensors, saved = store.load(path)
    if saved.get("kind") != "checkpoint" or saved["run"] != fingerprint(plan):
        raise ConfigError(f"{path}: is the checkpoint of another run; delete it, or give another checkpoint=")
    team.load_state({n.removeprefix("state."): a for n, a in tensors.items() if n.startswith("state.")})
    for result, weights, history in zip(results, team.weights(), tensors["history"], strict=True):
        result.weights, result.steps = weights, saved["step"]
        result.history = [(int(s), float(l), float(v)) for s, l, v in history]
    return saved["step"]


def fingerprint(plan: Plan) -> str:
    """A digest of all that decides how a run goes: parameters and rows."""
    rows = plan.source.rows
    digest = hashlib.sha256(json.dumps(plan.config.to_json(), sort_keys=True).encode())
    statics = () if rows.statics is None else (rows.statics.codes, rows.statics.numbers)
    for array in (rows.values, rows.true, rows.panel.offsets, rows.others, rows.known, *statics):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()

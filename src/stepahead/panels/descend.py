"""The members' training.  Plan -> what each learned, and its checkpoint.

Legend: M members.
"""

import hashlib
import json
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stepahead import store
from stepahead.checkpoint import Trained
from stepahead.config import Config
from stepahead.errors import ConfigError, not_a_number, require
from stepahead.panels.feed import batch_of_step
from stepahead.panels.reading import context_width

if TYPE_CHECKING:
    from stepahead.panels.learn import Plan

WHOLE = 4096  # windows of a batch where all were asked for


def descend(plan: "Plan", team: Any, loop: Any, training: Any) -> list[Trained]:
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


def make_team(plan: "Plan", device: str) -> Any:
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


def batches_ahead(plan: "Plan", start: int) -> Generator[dict[str, np.ndarray], None, None]:
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


def checked(plan: "Plan", losses: np.ndarray, step: int, results: list[Trained]) -> np.ndarray:
    """The losses of a step [M]. Raises: TrainingError at the first that is not a number."""
    if not np.isfinite(losses).all():
        raise not_a_number(step + 1, results[0].steps, kept=plan.fitted([r.weights for r in results]))
    return losses


def batch_size(config: Config) -> int:
    """Windows of a batch; windows are drawn at random, so that "all" is a large number of them."""
    return config.batch_size or WHOLE


def note(results: list[Trained], team: Any, step: int, losses: np.ndarray) -> None:
    """Write down where each member stands."""
    for result, weights, loss in zip(results, team.weights(), losses, strict=True):
        result.weights, result.steps = weights, step
        result.history.append((step, float(loss), float("nan")))


def keep(path: Path, plan: "Plan", team: Any, results: list[Trained], step: int) -> None:
    """Write where the run stands after `step` steps, replacing an older checkpoint in one step."""
    tensors = {f"state.{name}": array for name, array in team.state().items()}
    history = np.asarray([r.history for r in results], dtype=np.float64)
    saved = {"kind": "checkpoint", "run": fingerprint(plan), "step": step}
    store.save(path, tensors | {"history": history}, saved)


def resume(path: Path | None, plan: "Plan", team: Any, results: list[Trained]) -> int:
    """Put a run back where its checkpoint stands; returns the step.

    Raises: ConfigError when the checkpoint is of another run; ModelFileError when the file is damaged.
    """
    if path is None or not path.exists():
        return 0
    tensors, saved = store.load(path)
    if saved.get("kind") != "checkpoint" or saved["run"] != fingerprint(plan):
        raise ConfigError(f"{path}: is the checkpoint of another run; delete it, or give another checkpoint=")
    team.load_state(store.under(tensors, "state."))
    for result, weights, history in zip(results, team.weights(), tensors["history"], strict=True):
        result.weights, result.steps = weights, saved["step"]
        result.history = [(int(s), float(l), float(v)) for s, l, v in history]
    return saved["step"]


def fingerprint(plan: "Plan") -> str:
    """A digest of all that decides how a run goes: parameters and rows."""
    rows = plan.source.rows
    digest = hashlib.sha256(json.dumps(plan.config.to_json(), sort_keys=True).encode())
    statics = () if rows.statics is None else (rows.statics.codes, rows.statics.numbers)
    for array in (rows.values, rows.true, rows.panel.offsets, rows.others, rows.known, *statics):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()

"""The training loop.  Jobs (windows and a seed) and a Config -> Trained networks.

Every network takes its steps in blocks; after a block the validation part is measured, the best weights are kept, the
checkpoint is written. Batches are a function of (seed, epoch) and of nothing else, so a resumed run draws the same
ones and ends in the same bits.

Legend: M networks, K steps of a block, N training windows, B windows of a batch.
"""

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from stepahead.checkpoint import Job, Trained, fingerprint, resume, write_checkpoint
from stepahead.config import Config
from stepahead.data.windows import WindowSource
from stepahead.errors import ConfigError, not_a_number
from stepahead.nn import fleet
from stepahead.nn.fleet import FleetTeam
from stepahead.nn.heads import make_head
from stepahead.nn.loop import Descent, Feed, Team, TorchLoop, TorchTeam
from stepahead.nn.network import Network, Wrapped

Progress = Callable[["Report"], None]


@dataclass(frozen=True)
class Report:
    """Where the training stands. loss: of the last step; valid: of the last check, or None."""

    step: int
    max_steps: int
    loss: float
    valid: float | None
    rows_per_second: float


def train(
    jobs: Sequence[Job],
    config: Config,
    *,
    network: torch.nn.Module | None = None,
    device: str = "cpu",
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> list[Trained]:
    """Train one network for each job.

    network: a user's own module to train in place of the recipe's; each job trains a copy of it.
    checkpoint: file that holds the run; an existing one of the same run is gone on with.
    Returns: Trained for each job, in order. Ctrl-C ends the training and keeps the best so far; before the first check
        it is raised.
    Raises:
        TrainingError: a loss is no longer a number; its `kept` holds the results with the last good weights.
        ConfigError: a device that is not here, a network that is none, or the checkpoint of another run.
    """
    check_device(device)
    with torch_seeded(jobs[0].seed):
        team = make_team(jobs, config, network, device)
        results = [Trained(weights=team.weights(m)) for m in range(len(jobs))]
        rates = learning_rates(config)
        run = fingerprint(jobs, config, team) if checkpoint else ""
        step = resume(checkpoint, run, team, results) if checkpoint and checkpoint.exists() else 0
        if step == 0 and config.patience is not None:
            check(jobs, config, team, results, step)  # checkpoint zero: the networks before any step
        try:
            while step < config.max_steps and not all(r.stopped for r in results):
                started, stop = time.perf_counter(), min(step + config.check_every, config.max_steps)
                blocks = [
                    None if r.stopped else batches(job, config, step, stop)
                    for job, r in zip(jobs, results, strict=True)
                ]
                losses = team.run(blocks, rates[step:stop])  # [M, K], NaN for a network that stopped before
                stop_at_nan(losses, step, results)
                if config.patience is None:  # else the validation part tells whether the newest weights are good
                    stop_at_nan(losses_now(team, blocks), stop, results)
                check(jobs, config, team, results, stop, losses[:, -1])
                step = stop
                if checkpoint:
                    write_checkpoint(checkpoint, run, team, results, step)
                if progress:
                    windows = sum(len(batch) for block in blocks if block for batch in block)
                    progress(report(results, config, step, windows / (time.perf_counter() - started)))
        except KeyboardInterrupt:
            if step == 0:
                raise  # nothing is learned yet, so there is nothing to keep
            for result in results:
                result.stopped = result.stopped or "interrupted"
    for result in results:
        result.stopped = result.stopped or "max_steps"
    return results


def make_team(jobs: Sequence[Job], config: Config, network: torch.nn.Module | None, device: str) -> Team:
    """The networks of all jobs, each initialised by its seed and fed from its windows: a fleet where it can be."""
    head = make_head(config.head, config.quantiles)
    descent = Descent(config.weight_decay, config.gradient_clip)
    plain = network is None and device == "cpu" and fits_fleet(jobs, config)
    modules = []
    for job in jobs:
        torch.manual_seed(job.seed)
        own = Wrapped(network, config.horizon, head.outputs) if network is not None else None
        modules.append(own or build(job.source, config, head.outputs))
    if plain:
        return FleetTeam(
            modules,
            members(jobs),
            cell=config.cell,
            head=config.head,
            quantiles=config.quantiles,
            steps=jobs[0].source.steps,
            descent=descent,
        )
    return TorchTeam(
        [
            TorchLoop(module, head, feed_of(job.source), descent, device, seed=job.seed)
            for module, job in zip(modules, jobs, strict=True)
        ]
    )


def fits_fleet(jobs: Sequence[Job], config: Config) -> bool:
    """Whether the native trainer can do what is asked: the plain network on windows that are plain cuts of rows."""
    return (
        fleet.native is not None
        and config.head in fleet.LOSSES
        and config.num_layers == 1
        and all(job.source.carried is None and job.source.covariates.width(config.horizon) == 0 for job in jobs)
        and not (config.scaler == "window" and config.clip is not None)
    )


def members(jobs: Sequence[Job]) -> list[fleet.Member]:
    """What each member of a fleet learns from; jobs on the same windows share the arrays."""
    known: dict[int, fleet.Member] = {}
    for job in jobs:
        if id(job.source) not in known:
            known[id(job.source)] = member(job)
    return [known[id(job.source)] for job in jobs]


def member(job: Job) -> fleet.Member:
    """The rows of a job's windows, their targets, and each window's own measure where it has one."""
    source, origins = job.source, np.sort(np.concatenate([job.train, job.valid]))
    level, size, base, unit = source.measures(origins)
    targets, weights = source.targets(origins, base, unit)
    scales = None
    if source.scale.kind == "window":
        others = source.n_features - level.shape[1]  # inputs beside the past ones are not scaled by the window
        shift, factor = np.pad(level, ((0, 0), (others, 0))), np.pad(1 / size, ((0, 0), (others, 0)), constant_values=1)
        scales = np.stack([shift, factor], axis=1).astype(np.float32)
    return fleet.Member(source.features.astype(np.float32, copy=False), origins, targets, weights, scales)


def feed_of(source: WindowSource) -> Feed:
    """Origins -> what a loop trains on: x, context, target, weight."""

    def feed(origins: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        batch = source.batch(origins)
        return batch.x, batch.context, *source.targets(origins, batch.base, batch.unit)

    return feed


def build(source: WindowSource, config: Config, outputs: int) -> Network:
    """The recipe's network for these windows."""
    return Network(
        cell=config.cell,
        n_features=source.n_features,
        n_context=source.covariates.width(config.horizon),
        hidden_size=config.hidden_size,
        num_layers=config.num_layers,
        dropout=config.dropout,
        horizon=config.horizon,
        outputs=outputs,
        zero_head=config.zero_head,
    )


def batches(job: Job, config: Config, start: int, stop: int) -> list[np.ndarray]:
    """The origins of each step from start to stop: K x [B]; all of them where the batch is full."""
    n, size = len(job.train), config.batch_size
    if size is None or size >= n:
        return [job.train] * (stop - start)
    per_epoch = n // size
    steps = np.arange(start, stop)
    orders = {e: np.random.default_rng([job.seed, e]).permutation(n) for e in np.unique(steps // per_epoch)}
    slots = (steps % per_epoch) * size
    return [job.train[orders[s // per_epoch][slot : slot + size]] for s, slot in zip(steps, slots, strict=True)]


def learning_rates(config: Config) -> np.ndarray:
    """The rate of every step: constant, or one cycle (Smith 2018): up over a fifth of the steps, down by a cosine."""
    steps = config.max_steps
    if config.schedule == "constant":
        return np.full(steps, config.learning_rate)
    t = np.arange(steps) / max(steps - 1, 1)
    rise = 0.2
    up = 0.04 + 0.96 * (1 - np.cos(np.pi * np.clip(t / rise, 0, 1))) / 2
    down = 1e-4 + (1 - 1e-4) * (1 + np.cos(np.pi * np.clip((t - rise) / (1 - rise), 0, 1))) / 2
    return config.learning_rate * np.where(t < rise, up, down)


def check(
    jobs: Sequence[Job],
    config: Config,
    team: Team,
    results: Sequence[Trained],
    step: int,
    losses: np.ndarray | None = None,
) -> None:
    """Measure the networks still in training; keep the weights that are the best so far, or the newest."""
    going = [m for m, r in enumerate(results) if not r.stopped]
    valid = dict.fromkeys(going, float("nan"))
    if config.patience is not None:
        valid = dict(zip(going, team.losses({m: jobs[m].valid for m in going}), strict=True))
    for m in going:
        result = results[m]
        result.steps = step
        result.history.append((step, float("nan") if losses is None else float(losses[m]), valid[m]))
        if config.patience is None or valid[m] < result.best:
            result.weights, result.best, result.checks_without_gain = team.weights(m), valid[m], 0
            continue
        result.checks_without_gain += 1
        if result.checks_without_gain >= config.patience:
            result.stopped = "patience"


def losses_now(team: Team, blocks: Sequence[Sequence[np.ndarray] | None]) -> np.ndarray:
    """The loss of each network over its last batch with its newest weights: [M, 1], NaN for one that stopped before."""
    last = {m: block[-1] for m, block in enumerate(blocks) if block is not None}
    losses = np.full((len(blocks), 1), np.nan)
    losses[list(last), 0] = team.losses(last)
    return losses


def stop_at_nan(losses: np.ndarray, step: int, results: Sequence[Trained]) -> None:
    """Raise TrainingError at the first loss of a network in training that is not a number: losses [M, K]."""
    going = [m for m, r in enumerate(results) if not r.stopped]
    bad = ~np.isfinite(losses[going])
    if not bad.any():
        return
    first = int(np.flatnonzero(bad.any(axis=0))[0])
    raise not_a_number(step + first + 1, results[going[0]].steps, kept=results)


def check_device(device: str) -> None:
    """Raise ConfigError unless torch can put a tensor there."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0].split(";")[0]
        raise ConfigError(
            f"device={device!r} cannot be used here ({reason}); pass 'cpu', or 'cuda' where torch finds a GPU"
        ) from error


def report(results: list[Trained], config: Config, step: int, speed: float) -> Report:
    loss, valid = (float(np.mean([r.history[-1][i] for r in results])) for i in (1, 2))
    return Report(step, config.max_steps, loss, None if np.isnan(valid) else valid, speed)


@contextmanager
def torch_seeded(seed: int) -> Iterator[None]:
    """Torch's random numbers by this seed inside, as they were outside."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def warn_interrupted(results: Sequence[Trained]) -> None:
    """Say once that Ctrl-C ended the training early."""
    steps = [r.steps for r in results if r.stopped == "interrupted"]
    if steps:
        warnings.warn(f"interrupted after {min(steps)} steps: the best weights so far are kept", stacklevel=3)

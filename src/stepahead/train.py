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

from stepahead.checkpoint import Job, Trained, resume, write_checkpoint
from stepahead.data.windows import WindowSource
from stepahead.errors import TrainingError
from stepahead.nn.heads import make_head
from stepahead.nn.loop import Descent, Feed, Team, TorchLoop, TorchTeam
from stepahead.nn.network import Network, Wrapped
from stepahead.recipe import Config

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
    Returns: Trained for each job, in order. Ctrl-C ends the training and keeps the best so far.
    Raises: TrainingError when a loss is no longer a number; its `kept` holds the results with the last good weights.
    """
    with torch_seeded(jobs[0].seed):
        team = make_team(jobs, config, network, device)
        results = [Trained(weights=team.weights(m)) for m in range(len(jobs))]
        rates = learning_rates(config)
        step = resume(checkpoint, jobs, config, team, results) if checkpoint and checkpoint.exists() else 0
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
                check(jobs, config, team, results, stop, losses[:, -1])
                step = stop
                if checkpoint:
                    write_checkpoint(checkpoint, jobs, config, team, results, step)
                if progress:
                    windows = sum(len(batch) for block in blocks if block for batch in block)
                    progress(report(results, config, step, windows / (time.perf_counter() - started)))
        except KeyboardInterrupt:
            for result in results:
                result.stopped = result.stopped or "interrupted"
    for result in results:
        result.stopped = result.stopped or "max_steps"
    return results


def make_team(jobs: Sequence[Job], config: Config, network: torch.nn.Module | None, device: str) -> Team:
    """The networks of all jobs, each initialised by its seed and fed from its windows."""
    head = make_head(config.head, config.quantiles)
    descent = Descent(config.weight_decay, config.gradient_clip)
    loops = []
    for job in jobs:
        torch.manual_seed(job.seed)
        if network is None:
            module: torch.nn.Module = build(job.source, config, head.outputs)
        else:
            module = Wrapped(network, config.horizon, head.outputs)
        loops.append(TorchLoop(module, head, feed_of(job.source), descent, device))
    return TorchTeam(loops)


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


def stop_at_nan(losses: np.ndarray, step: int, results: Sequence[Trained]) -> None:
    """Raise TrainingError at the first loss of a network in training that is not a number: losses [M, K]."""
    going = [m for m, r in enumerate(results) if not r.stopped]
    bad = ~np.isfinite(losses[going])
    if not bad.any():
        return
    first = int(np.flatnonzero(bad.any(axis=0))[0])
    raise TrainingError(
        f"the loss is not a number at step {step + first + 1}; the weights of step {results[going[0]].steps} are kept; "
        f"try a smaller learning_rate or gradient_clip=1",
        kept=results,
    )


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

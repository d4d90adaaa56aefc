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
from stepahead.nn.loop import Descent, TorchLoop
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
    Raises: TrainingError when a loss is no longer a number; its `kept` holds the results so far, with the last good weights.
    """
    with torch_seeded(jobs[0].seed):
        loops = [make_loop(job, config, network, device) for job in jobs]
        results = [Trained(weights=loop.weights()) for loop in loops]
        rates = learning_rates(config)
        step = resume(checkpoint, jobs, config, loops, results) if checkpoint and checkpoint.exists() else 0
        if step == 0 and config.patience is not None:
            for job, loop, result in zip(jobs, loops, results, strict=True):
                keep_best(result, loop, config, 0, float("nan"), loop.loss(job.valid))  # checkpoint zero: no step yet
        try:
            while step < config.max_steps and not all(r.stopped for r in results):
                started, stop = time.perf_counter(), min(step + config.check_every, config.max_steps)
                rows = 0
                for job, loop, result in zip(jobs, loops, results, strict=True):
                    if result.stopped:
                        continue
                    block = list(batches(job, config, step, stop))
                    losses = loop.run(block, rates[step:stop])
                    stop_at_nan(losses, step, result, results)
                    valid = loop.loss(job.valid) if config.patience is not None else float("nan")
                    keep_best(result, loop, config, stop, float(losses[-1]), valid)
                    rows += sum(map(len, block))
                step = stop
                if checkpoint:
                    write_checkpoint(checkpoint, jobs, config, loops, results, step)
                if progress:
                    progress(report(results, config, step, rows / (time.perf_counter() - started)))
        except KeyboardInterrupt:
            for result in results:
                result.stopped = result.stopped or "interrupted"
    for result in results:
        result.stopped = result.stopped or "max_steps"
    return results


def make_loop(job: Job, config: Config, network: torch.nn.Module | None, device: str) -> TorchLoop:
    """A network initialised by the job's seed, fed from the job's windows."""
    source, head = job.source, make_head(config.head, config.quantiles)

    def feed(origins: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        batch = source.batch(origins)
        return batch.x, batch.context, *source.targets(origins, batch.base, batch.unit)

    torch.manual_seed(job.seed)
    module = (
        Wrapped(network, config.horizon, head.outputs) if network is not None else build(source, config, head.outputs)
    )
    return TorchLoop(module, head, feed, Descent(config.weight_decay, config.gradient_clip), device)


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


def batches(job: Job, config: Config, start: int, stop: int) -> Iterator[np.ndarray]:
    """The origins of each step from start to stop: [B] each; all of them where the batch is full."""
    n, size = len(job.train), config.batch_size
    if size is None or size >= n:
        yield from (job.train for _ in range(start, stop))
        return
    per_epoch = n // size
    order, shuffled = np.empty(0, dtype=np.int64), -1
    for step in range(start, stop):
        epoch, slot = divmod(step, per_epoch)
        if epoch != shuffled:
            order, shuffled = np.random.default_rng([job.seed, epoch]).permutation(n), epoch
        yield job.train[order[slot * size : (slot + 1) * size]]


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


def keep_best(result: Trained, loop: TorchLoop, config: Config, step: int, loss: float, valid: float) -> None:
    """Note a check; keep the weights if they are the best so far, or the newest where nothing is validated."""
    result.steps = step
    result.history.append((step, loss, valid))
    if config.patience is None:
        result.weights = loop.weights()
    elif valid < result.best:
        result.weights, result.best, result.checks_without_gain = loop.weights(), valid, 0
    else:
        result.checks_without_gain += 1
        if result.checks_without_gain >= config.patience:
            result.stopped = "patience"


def stop_at_nan(losses: np.ndarray, step: int, result: Trained, results: list[Trained]) -> None:
    """Raise TrainingError at the first loss that is not a number."""
    bad = np.flatnonzero(~np.isfinite(losses))
    if len(bad) == 0:
        return
    result.stopped = "nan"
    raise TrainingError(
        f"the loss is not a number at step {step + int(bad[0]) + 1}; the weights of step {result.steps} are kept; "
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

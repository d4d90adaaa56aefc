"""memory="carried": from a panel to a network that has read every row of it.  Panel, Config -> Fitted.

The network sees each series from its first row to its last, forecasts at every row, and is never shown a window; its
state is the memory. Scaling is by fixed numbers of the training part: no row is scaled by a later one.

Legend: R rows, S strands, L rows of a strand, H horizon, F features.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from stepahead.checkpoint import Job, Trained
from stepahead.config import Config
from stepahead.data.panel import Panel, TooFewRows
from stepahead.data.windows import WindowSource
from stepahead.errors import ConfigError, TrainingError, require
from stepahead.parameters import SEED_STRIDE

if TYPE_CHECKING:
    from stepahead.fitted import Fitted
    from stepahead.learn import Training
    from stepahead.nn.carried import Strands

SPANS = 8  # of a strand: longer series are cut, so that several of their parts train side by side


def learn_carried(panel: Panel, config: Config, training: "Training") -> "tuple[Fitted, list[Trained]]":
    """Train each member on all rows of a panel, one after the other.

    Returns: the fitted model and how each training went. Ctrl-C ends it and keeps the members so far, before the first
    check it is raised.
    Raises: DataError where no series has a row with its whole horizon behind a window; TrainingError where a loss is
    no longer a number, with the last good weights.
    """
    from stepahead.learn import assemble, prepare

    train = require("stepahead.train", extra="train", purpose="fit")
    loop = require("stepahead.nn.carried", extra="train", purpose="fit")
    if training.network is not None or training.checkpoint is not None:
        raise ConfigError("memory='carried' trains its own network in one go; leave network= and checkpoint= out")
    train.check_device(training.device)
    source = prepare(panel, config)
    origins = source.training_origins()
    if len(origins) == 0:
        raise TooFewRows(
            f"{panel.schema.source}: the longest series has {panel.lengths.max(initial=0)} rows; memory='carried' with "
            f"window {config.window} and horizon {config.horizon} needs {config.window + config.horizon}"
        )
    strands, job = cut_strands(source, config), Job(source, origins, origins[:0], config.seed)
    outputs, rates = train.make_head(config.head, config.quantiles).outputs, train.learning_rates(config)
    results: list[Trained] = []
    try:
        for member in range(config.ensemble):
            seed = (config.seed * SEED_STRIDE + member) % 2**63
            with train.torch_seeded(seed):
                network = train.build(source, config, outputs)
                result = Trained(weights=loop.weights_of(network))
                results.append(result)
                loop.train_carried(
                    strands, network, config, rates, seed, training.device, note(result, training, config)
                )
            result.stopped = "max_steps"
    except KeyboardInterrupt:
        results = [one for one in results if one.steps]
        if not results:
            raise  # nothing is learned yet, so there is nothing to keep
        results[-1].stopped = "interrupted"
    except TrainingError as error:
        error.kept = assemble([job], replace(config, ensemble=len(results)), results, None)
        raise
    train.warn_interrupted(results)
    return assemble([job], replace(config, ensemble=len(results)), results, None), results


def note(result: Trained, training: "Training", config: Config) -> Callable[[int, float, dict[str, np.ndarray]], None]:
    """What to do at each check: keep the weights, remember the loss, tell the progress."""

    from stepahead.train import Report

    def tell(step: int, loss: float, weights: dict[str, np.ndarray]) -> None:
        result.steps, result.weights = step, weights
        result.history.append((step, loss, float("nan")))
        if training.progress:
            training.progress(Report(step, config.max_steps, loss, None, 0.0))

    return tell


def cut_strands(source: WindowSource, config: Config) -> "Strands":
    """All rows in strands of SPANS spans at most, padded to the longest."""
    from stepahead.nn.carried import Strands

    panel, length = source.panel, SPANS * config.window
    ends = np.repeat(panel.offsets[1:], panel.lengths)
    rows = np.arange(panel.n_rows)
    whole = rows[rows + config.horizon < ends]
    target, weight = np.zeros((2, panel.n_rows, config.horizon), np.float32)
    nothing = np.zeros(len(whole))
    base, unit = source.scale.anchors(source.filled.carried[whole, -1], nothing, nothing)
    target[whole], weight[whole] = source.targets(whole, base, unit)
    context = np.zeros((panel.n_rows, source.covariates.width(config.horizon)), np.float32)
    context[whole] = source.covariates.context(panel, whole, config.horizon)
    places = [
        (s, min(s + length, int(stop)))
        for first, stop in zip(panel.offsets[:-1], panel.offsets[1:], strict=True)
        for s in range(int(first), int(stop), length)
    ]
    longest = max(stop - start for start, stop in places)
    index = np.array([np.minimum(np.arange(start, start + longest), stop - 1) for start, stop in places])  # [S, L]
    there = np.array([np.arange(start, start + longest) < stop for start, stop in places])
    return Strands(source.features[index], context[index], target[index], weight[index] * there[..., None])

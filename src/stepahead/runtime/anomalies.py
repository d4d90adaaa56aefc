"""Which sequences are unlike those that were learned.  Told -> Anomalies.

Legend: S sequences, N steps of all of them.
"""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stepahead.errors import ConfigError
from stepahead.runtime.symbols import Told

Array = NDArray[Any]


@dataclass(frozen=True)
class Anomalies:
    """alarm: [S] bool. score: [S], of each sequence, in bits, or ranks with top_g. where: [S] its most surprising step.

    level: scores above it are alarms.
    """

    alarm: Array
    score: Array
    where: Array
    level: float


def find_anomalies(
    told: Told, offsets: Array, clean: Array, *, false_alarms: float, top_g: int | None, level: float | None
) -> Anomalies:
    """Score sequences and compare with a level.

    Args:
        told: of all steps. offsets: [S+1]. clean: scores of clean sequences, for the conformal level.
        false_alarms, top_g, level: see `SymbolModel.anomalies`.
    """
    if top_g is not None and level is not None:
        raise ConfigError("top_g and level are two rules; pass one of them, or neither and false_alarms")
    if top_g is not None:
        if top_g < 1:
            raise ConfigError(f"top_g={top_g}: must be at least 1")
        score = _worst(told.rank + 1.0, offsets)
        return Anomalies(score > top_g, score, _place(told.rank, offsets), float(top_g))
    if level is not None and not np.isfinite(level):
        raise ConfigError(f"level={level}: must be a number of bits")
    score = sequence_scores(told, offsets)
    bound = conformal_level(clean, false_alarms) if level is None else float(level)
    return Anomalies(score > bound, score, _place(told.surprise, offsets), bound)


def sequence_scores(told: Told, offsets: Array) -> Array:
    """The two largest surprises of each sequence together, in bits: [S].

    What is out of place shows at once and again one symbol later; one surprise alone is often only rare.
    """
    parts = np.split(told.surprise / np.log(2), offsets[1:-1])
    return np.array(
        [float(np.partition(part, -2)[-2:].sum()) if len(part) > 1 else float(part.sum()) for part in parts]
    )


def conformal_level(clean: Array, false_alarms: float) -> float:
    """The level that a clean sequence exceeds with a chance of at most `false_alarms`.

    Source: split conformal prediction, Vovk et al. 2005: the ceil((n + 1)(1 - a))-th smallest clean score.
    Example: `conformal_level(np.arange(99.0), 0.05)` is 94.0.
    """
    if not 0 < false_alarms < 1:
        raise ConfigError(f"false_alarms={false_alarms}: must lie in (0, 1)")
    place = int(np.ceil((len(clean) + 1) * (1 - false_alarms) - 1e-9))
    if place > len(clean):
        raise ConfigError(
            f"false_alarms={false_alarms}: so rare an alarm takes {int(np.ceil(1 / false_alarms - 1e-9)) - 1} clean"
            f" sequences to calibrate, found {len(clean)}; pass more to calibrate(), or level="
        )
    return float(np.sort(clean)[place - 1])


def _worst(values: Array, offsets: Array) -> Array:
    return np.maximum.reduceat(values, offsets[:-1])


def _place(values: Array, offsets: Array) -> Array:
    return np.array([int(values[start:stop].argmax()) for start, stop in itertools.pairwise(offsets)])

"""Which sequences are unlike those that were learned.  Told and what repairs save -> Anomalies.

Legend: S sequences, N steps of all of them.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stepahead.errors import ConfigError
from stepahead.parameters import check_whole, is_number
from stepahead.runtime.repairs import Repair
from stepahead.runtime.symbols import Told

Array = NDArray[Any]


@dataclass(frozen=True)
class Anomalies:
    """alarm: [S] bool. score: [S], of each sequence, in bits, or ranks with top_g. where: [S] its most surprising step.

    level: scores above it are alarms. repairs: of each sequence the one that saves so many bits, or None.
    """

    alarm: Array
    score: Array
    where: Array
    level: float
    repairs: tuple[Repair | None, ...]


def find_anomalies(
    told: Told, offsets: Array, score: Array, repairs: Sequence[Repair | None], clean: Array, *, false_alarms: float,
    level: float | None,
) -> Anomalies:  # fmt: skip
    """Compare what the best repairs save with a level.

    Args:
        told: of all steps. offsets: [S+1]. score: [S] bits that repairs save. clean: the same of clean sequences, for
            the conformal level.
        false_alarms, level: see `SymbolModel.anomalies`.
    """
    if level is not None and not (is_number(level) and np.isfinite(level)):
        raise ConfigError(f"level={level!r}: must be a number of bits")
    bound = conformal_level(clean, false_alarms) if level is None else float(level)
    return Anomalies(score > bound, score, _place(told.surprise, offsets), bound, tuple(repairs))


def outranked(told: Told, offsets: Array, top_g: int) -> Anomalies:
    """Alarm where a symbol is not among the g likeliest."""
    check_whole(top_g=(top_g, 1))
    score = np.maximum.reduceat(told.rank + 1.0, offsets[:-1])
    none = (None,) * len(score)
    return Anomalies(score > top_g, score, _place(told.rank, offsets), float(top_g), none)


def conformal_level(clean: Array, false_alarms: float) -> float:
    """The level that a clean sequence exceeds with a chance of at most `false_alarms`.

    Source: split conformal prediction, Vovk et al. 2005: the ceil((n + 1)(1 - a))-th smallest clean score.
    Example: `conformal_level(np.arange(99.0), 0.05)` is 94.0.
    """
    if not (is_number(false_alarms) and 0 < false_alarms < 1):
        raise ConfigError(f"false_alarms={false_alarms!r}: must lie in (0, 1)")
    place = int(np.ceil((len(clean) + 1) * (1 - false_alarms) - 1e-9))
    if place > len(clean):
        raise ConfigError(
            f"false_alarms={false_alarms}: so rare an alarm takes {int(np.ceil(1 / false_alarms - 1e-9)) - 1} clean"
            f" sequences to calibrate, found {len(clean)}; pass more to calibrate(), or level="
        )
    return float(np.sort(clean)[place - 1])


def _place(values: Array, offsets: Array) -> Array:
    return np.array([int(values[start:stop].argmax()) for start, stop in itertools.pairwise(offsets)])

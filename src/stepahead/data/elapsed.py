"""How long since the row before.  Stamps -> the steps between two rows, in logarithms: an input for irregular data."""

import numpy as np

from stepahead.data.calendar import Frequency
from stepahead.limits import DAY

MONTH = 30.436875 * DAY  # the mean month


def elapsed_steps(times: np.ndarray, offsets: np.ndarray, frequency: Frequency) -> np.ndarray:
    """The logarithm of the steps since the row before: [R] float64, 0 for one step and for a series' first row.

    times: [R]. offsets: [S+1], where the series begin. frequency: what a step is, of the training part.
    """
    gaps = np.diff(times, prepend=times[:1]).astype(np.int64).astype(np.float64)
    first = np.zeros(len(times), dtype=bool)
    first[np.asarray(offsets[:-1], dtype=np.int64)[np.diff(offsets) > 0]] = True
    return np.log(np.where(first, 1.0, np.maximum(gaps / length_of(frequency), 1e-9)))


def elapsed_ahead(cutoffs: np.ndarray, times: np.ndarray, frequency: Frequency) -> np.ndarray:
    """The same of the rows to come: cutoffs [N], times [N, H] -> [N, H]."""
    gaps = np.diff(np.concatenate([cutoffs[:, None], times], axis=1), axis=1).astype(np.int64)
    return np.log(np.maximum(gaps / length_of(frequency), 1e-9))


def length_of(frequency: Frequency) -> float:
    """A step, in microseconds or in the units of integer times."""
    return frequency.count * {"step": 1.0, "us": 1.0, "business": float(DAY), "month": MONTH}[frequency.unit]

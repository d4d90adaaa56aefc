"""Where to fit and where to forecast.  Panel -> folds, each one training part and the origins that its fit serves.

Legend: S series, N origins.  Rows are positions in the whole panel.  A fold's fit sees `training(panel, fold)` and
nothing else; every origin of the fold lies at or after the last row of that.
"""

from dataclasses import dataclass

import numpy as np

from stepahead.data.panel import Panel, concatenated_ranges
from stepahead.errors import ConfigError, DataError


@dataclass(frozen=True)
class Fold:
    """One fit. starts, stops: [S] its training rows of each series. origins: [N] last rows that its forecasts know."""

    starts: np.ndarray
    stops: np.ndarray
    origins: np.ndarray


def training(panel: Panel, fold: Fold) -> Panel:
    """The rows that the fold's fit may see."""
    return panel.cut(fold.starts, fold.stops)


def one_split(panel: Panel, test_size: float) -> Fold:
    """Train on the first rows of each series, forecast one after the other all rows behind them.

    test_size: fraction in (0, 1), or a number of rows.
    Raises: ConfigError, DataError where no row is left to train or to test.
    """
    return split_at(panel, train_lengths(panel, test_size))


def train_lengths(panel: Panel, test_size: float) -> np.ndarray:
    """How many rows of each series train: [S] int64, rounded down."""
    if isinstance(test_size, bool) or not isinstance(test_size, int | float | np.number) or not test_size > 0:
        raise ConfigError(f"test_size={test_size!r} must be a fraction in (0, 1) or a number of rows")
    if test_size >= 1:
        if test_size != int(test_size):
            raise ConfigError(f"test_size={test_size!r} must be a fraction in (0, 1) or a whole number of rows")
        return np.maximum(panel.lengths - int(test_size), 0)
    return np.floor(panel.lengths * (1 - test_size) + 1e-9).astype(np.int64)  # 0.7 of 10 is 7, not 6.999...


def split_at(panel: Panel, n_train: np.ndarray) -> Fold:
    """The fold that trains on the first n_train [S] rows of each series and forecasts every later row."""
    stops = panel.offsets[:-1] + np.clip(n_train, 0, panel.lengths)
    tested = (stops > panel.offsets[:-1]) & (stops < panel.offsets[1:])
    if not tested.any():
        raise DataError(
            f"{panel.schema.source}: no series has rows to train and rows to test, the longest has "
            f"{int(panel.lengths.max(initial=0))}; pass more rows or another test_size"
        )
    origins = concatenated_ranges(stops[tested] - 1, panel.offsets[1:][tested] - 1)
    return Fold(panel.offsets[:-1], stops, origins)

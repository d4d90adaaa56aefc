"""Where to fit and where to forecast.  Panel -> folds, each one training part and the origins that its fit serves.

Legend: S series, N origins.  Rows are positions in the whole panel.  A fold's fit sees `training(panel, fold)` and
nothing else; every origin of the fold lies at or after the last row of that.
"""

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stepahead.data.panel import Panel, TooFewRows, concatenated_ranges
from stepahead.errors import DataError
from stepahead.holdout import check_part
from stepahead.parameters import check_between


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
    check_part("test_size", test_size)
    if test_size >= 1:
        return np.maximum(panel.lengths - min(int(test_size), panel.n_rows), 0)
    return np.floor(panel.lengths * (1 - test_size) + 1e-9).astype(np.int64)  # 0.7 of 10 is 7, not 6.999...


def split_at(panel: Panel, n_train: np.ndarray) -> Fold:
    """The fold that trains on the first n_train [S] rows of each series and forecasts every later row."""
    stops = panel.offsets[:-1] + np.clip(n_train, 0, panel.lengths)
    tested = (stops > panel.offsets[:-1]) & (stops < panel.offsets[1:])
    if not tested.any():
        raise TooFewRows(
            f"{panel.schema.source}: no series has rows to train and rows to test, the longest has "
            f"{int(panel.lengths.max(initial=0))}; pass more rows, or another test_size="
        )
    origins = concatenated_ranges(stops[tested] - 1, panel.offsets[1:][tested] - 1)
    return Fold(panel.offsets[:-1], stops, origins)


def walk_forward(
    panel: Panel,
    horizon: int,
    *,
    n_windows: int,
    step_size: int,
    refit: bool | int = True,
    train_rows: int | None = None,
) -> list[Fold]:
    """Cutoffs that walk towards the end of each series, the last one `horizon` rows before it.

    n_windows: how many cutoffs. step_size: rows from one to the next. refit: True fits at each cutoff, False once at
    the first, k at every k-th. train_rows: None trains on all rows up to the cutoff, a number on that many.
    Cutoffs are counted from the end of each series by itself; a series without a row at a cutoff is left out of it.
    Raises: ConfigError, DataError where no series reaches back to the first cutoff.
    """
    for name, value in (("horizon", horizon), ("n_windows", n_windows), ("step_size", step_size)):
        check_count(name, value)
    if train_rows is not None:
        check_count("train_rows", train_rows)
    every = n_windows if refit is False else 1 if refit is True else check_count("refit", refit)
    longest, needed = int(panel.lengths.max(initial=0)), horizon + step_size * (n_windows - 1) + 1
    if longest < needed:  # before there are arrays as long as what was asked for
        raise DataError(
            f"{panel.schema.source}: the longest series has {longest} rows; {n_windows} windows of horizon {horizon} "
            f"every {step_size} rows need {needed} at least; pass fewer windows"
        )
    back = horizon + min(step_size, longest) * np.arange(n_windows - 1, -1, -1)  # one window may have any step
    origins = panel.offsets[1:] - 1 - back[:, None]  # [windows, S]
    there = origins >= panel.offsets[:-1]
    folds = []
    for first in range(0, n_windows, every):
        stops = np.where(there[first], origins[first] + 1, panel.offsets[:-1])
        starts = np.maximum(panel.offsets[:-1], stops - min(train_rows or longest, longest))
        served = slice(first, first + every)
        known = there[served] & there[first]  # what was not there to train on is not forecast by this fit
        folds.append(Fold(starts, stops, origins[served][known]))
    return folds


def check_count(name: str, value: Any) -> int:
    """The value, if it is a whole number above 0.  Raises: ConfigError."""
    check_between(name, value, 1, most=None)
    return operator.index(value)


def seen_later(panel: Panel, folds: Sequence[Fold]) -> int:
    """How many rows of another series, after the cutoff of a forecast, its fit learned from, at most; 0 for none.

    Cutoffs are counted in each series' own rows. Where series end at other times, so do the training parts of one fold.
    """
    most = 0
    for fold in folds:
        earliest = panel.times[fold.origins].min()
        trained = np.flatnonzero(fold.stops > fold.starts)
        for s in trained[panel.times[fold.stops[trained] - 1] > earliest]:
            known = panel.times[fold.starts[s] : fold.stops[s]]
            most = max(most, len(known) - int(np.searchsorted(known, earliest, side="right")))
    return most


def later_rows_note(panel: Panel, folds: Sequence[Fold]) -> tuple[str, ...]:
    """What a result says of that: one note, or none."""
    rows = seen_later(panel, folds)
    if rows == 0:
        return ()
    return (
        f"the rows to learn from end up to {rows} {'row' if rows == 1 else 'rows'} apart: a model that learns from all "
        f"of them has seen later rows of others when it forecasts series that end earlier; let all end at one time, "
        f"and test as many rows of each, to rule that out",
    )


def overlap_of(panel: Panel, origins: np.ndarray, truth: np.ndarray, steps: int | None = None) -> int:
    """How many neighbouring cutoffs forecast some time in common: their errors are not independent.

    origins: [N] rows. truth: [N, H], NaN where there is none; an origin without any counts for nobody. steps: how far
    ahead is looked, H by default.
    Returns: the cutoffs at or after one, by its stamps, and before the last row that is forecast from it; 1 where none
    but itself. Nine of ten forecasts have no more: one long gap in one series must not hide what the others prove.
    """
    origins = origins[~np.isnan(truth).all(axis=1)]
    if len(origins) == 0:
        return 1
    ends = panel.offsets[np.searchsorted(panel.offsets, origins, side="right")] - 1
    last = np.minimum(origins + (steps or truth.shape[1]), ends)
    cutoffs = np.unique(panel.times[origins])
    first, beyond = (np.searchsorted(cutoffs, panel.times[rows]) for rows in (origins, last))
    return max(1, int(np.quantile(beyond - first, 0.9, method="higher")))

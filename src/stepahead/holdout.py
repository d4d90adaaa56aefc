"""What `fit` holds out at the end of each series for its verdict and its intervals.  Panel -> rows that stay.

A *probe* is the model trained without the held-out rows: what it errs by there is what intervals are made of.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from stepahead.choices import check_count
from stepahead.config import Config
from stepahead.data.panel import Panel, TooFewRows
from stepahead.errors import ConfigError
from stepahead.panels.held_out import HeldOut
from stepahead.runtime.correction import Correction
from stepahead.runtime.panel_heads import DISTRIBUTIONS

ENOUGH = 2000  # origins over all series that a verdict on a panel needs
FEW_MOVE = 200_000  # origins over all series, at most, so that enough are of series that move
ENOUGH_ERRORS = 250  # the share of truths that K errors cover varies by sqrt(.09 / K) at 90 %: by 1.9 points
UNJUDGED = "no verdict, and no errors to measure intervals by"  # how the warning begins where nothing is held out
HOLDOUT = 0.2  # the share of each series' rows that "auto" holds out for the verdict


def rows_to_keep(panel: Panel, holdout: Any, horizon: Any) -> np.ndarray | None:
    """Rows of each series that stay when the holdout is taken away: [S] int64, or None to skip it.

    Raises: ConfigError for a holdout that is no share, no number of rows, "auto" or None, or that leaves nothing.
    """
    if holdout is None:
        return None
    share = HOLDOUT if holdout == "auto" else holdout
    check_part("holdout", share, ", 'auto' or None")
    check_count({"horizon": horizon}, "horizon", least=1)
    longest = int(panel.lengths.max(initial=0))
    held = np.floor(panel.lengths * share) if share < 1 else np.full(panel.n_series, min(int(share), longest))
    kept = np.maximum(panel.lengths - np.maximum(held.astype(np.int64), horizon), 0)
    if holdout != "auto" and not kept.any():
        raise ConfigError(
            f"holdout={holdout!r}, a horizon of {horizon} at least, leaves no rows to learn from: no series has more "
            f"than {longest}; give a smaller one, or holdout=None"
        )
    return kept


@contextmanager
def naming_holdout(holdout: Any) -> Iterator[None]:
    """Name the holdout that was asked for where nothing can be learned from the rows that it leaves."""
    try:
        yield
    except TooFewRows as error:
        if holdout is None or holdout == "auto":
            raise
        raise TooFewRows(f"{error}; holdout={holdout!r} left no more: give a smaller one, or holdout=None") from error


def enough_rows(panel: Panel, config: Config) -> int:
    """Rows to hold out of each series of a panel, so that there are some ENOUGH origins in all, a whole horizon at
    least; and ENOUGH_ERRORS of series that move, whose errors are not those of dead ones, within FEW_MOVE in all.
    """
    moving = int(moves(panel).sum())
    for_the_moving = min(-(-ENOUGH_ERRORS // moving), FEW_MOVE // panel.n_series) if moving else 0
    return max(config.horizon, -(-ENOUGH // panel.n_series), for_the_moving)


def moves(panel: Panel) -> np.ndarray:
    """Which series have a target that changes among their last HOLDOUT: [S] bool."""
    known = np.flatnonzero(~np.isnan(panel.y))  # across a gap a value has moved, too
    series = panel.series_of(known)
    late = known >= (panel.offsets[1:] - np.floor(panel.lengths * HOLDOUT))[series]
    changed = late[1:] & (series[1:] == series[:-1]) & (np.diff(panel.y[known]) != 0)
    return np.bincount(series[1:][changed], minlength=panel.n_series) > 0


def check_part(name: str, part: Any, others: str = "") -> None:
    """Raise ConfigError for what is no share below 1 and no whole number of rows.  others: what else may be given."""
    number = isinstance(part, int | float | np.number) and not isinstance(part, bool) and 0 < part < np.inf
    if not number or (part >= 1 and part != int(part)) or (part == 1 and not isinstance(part, int | np.integer)):
        one = "; 1 is one row" if number and part == 1 else ""
        raise ConfigError(f"{name}={part!r} must be a share in (0, 1) or a whole number of rows{others}{one}")


def earlier_rows(panel: Panel, kept: np.ndarray, horizon: int) -> np.ndarray | None:
    """Where a second probe ends: [S] rows, as much before `kept` [S] as that is before the end.

    None where the first probe's errors are enough, or less than half of the rows would be left to learn from.
    """
    errors = np.maximum(panel.lengths - kept - (horizon - 1), 0).sum()
    earlier = 2 * kept - panel.lengths
    return None if errors >= ENOUGH_ERRORS or (2 * earlier < panel.lengths).any() else earlier


def lighter(config: Config) -> dict[str, Any]:
    """What the panel recipe's probe is: half of the members and half of the steps, a quarter of the time; half of the
    members alone where a distribution is learned.

    Its verdict is a cautious one: the model that is trained on all rows is the better one.
    """
    fewer = {"ensemble": -(-config.ensemble // 2)}
    # A spread that is learned narrows with the steps: its errors must be those of as many.
    return fewer if config.head in DISTRIBUTIONS else fewer | {"max_steps": -(-config.max_steps // 2)}


def with_calibration(fitted: Any, found: Any) -> Any:
    """The fitted model with intervals by what held-out rows said."""
    if isinstance(found, Correction):
        return replace(fitted, reading=replace(fitted.reading, correction=found))
    return replace(fitted, **{"held" if isinstance(found, HeldOut) else "calibration": found})


def held_out(fitted: Any, panel: Panel, kept: np.ndarray) -> tuple[Any, Any, np.ndarray]:
    """The model, its source of the panel, and the origins behind the first kept [S] rows that have a whole horizon.

    A series that was not learned from at all counts for nothing.
    """
    source = fitted.source(panel)
    origins = source.training_origins()
    series = panel.series_of(origins)
    behind = (kept[series] > 0) & (origins >= (panel.offsets[:-1] + kept)[series] - 1)
    return fitted, source, origins[behind]

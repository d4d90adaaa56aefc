"""What `fit` holds out at the end of each series for its verdict and its intervals.  Panel -> rows that stay."""

from dataclasses import replace
from typing import Any

import numpy as np

from stepahead.data.panel import Panel
from stepahead.errors import ConfigError
from stepahead.recipe import Config, check_count
from stepahead.runtime.correction import Correction

ENOUGH = 2000  # origins over all series that a verdict on a panel needs
HOLDOUT = 0.2  # the share of each series' rows that "auto" holds out for the verdict


def rows_to_keep(panel: Panel, holdout: Any, horizon: Any) -> np.ndarray | None:
    """Rows of each series that stay when the holdout is taken away: [S] int64, or None to skip it.

    Raises: ConfigError for a holdout that is no share, no number of rows, "auto" or None.
    """
    if holdout is None:
        return None
    share = HOLDOUT if holdout == "auto" else holdout
    if isinstance(share, bool) or not isinstance(share, int | float | np.number) or not 0 < share < np.inf:
        raise ConfigError(f"holdout={holdout!r} must be a share in (0, 1), a number of rows, 'auto' or None")
    check_count({"horizon": horizon}, "horizon", least=1)
    held = np.full(panel.n_series, int(share)) if share >= 1 else np.floor(panel.lengths * share).astype(np.int64)
    return np.maximum(panel.lengths - np.maximum(held, horizon), 0)


def enough_rows(panel: Panel, config: Config) -> int:
    """Rows to hold out of each series of a panel, so that there are some ENOUGH origins in all, a whole horizon at
    least.
    """
    return max(config.horizon, -(-ENOUGH // panel.n_series))


def lighter(config: Config) -> dict[str, Any]:
    """What the panel recipe's probe is: half of the members and half of the steps, a quarter of the time.

    Its verdict is a cautious one: the model that is trained on all rows is the better one.
    """
    return {"ensemble": -(-config.ensemble // 2), "max_steps": -(-config.max_steps // 2)}


def with_calibration(fitted: Any, found: Any) -> Any:
    """The fitted model with intervals by what `calibrated` found."""
    if isinstance(found, Correction):
        return replace(fitted, reading=replace(fitted.reading, correction=found))
    return replace(fitted, calibration=found)


def calibrated(fitted: Any, panel: Panel, origins: np.ndarray) -> Any:
    """The calibration, or correction, that the held-out origins give: those whose whole horizon is there."""
    from stepahead.learn import calibration_of

    source = fitted.source(panel)
    return calibration_of(fitted, source, np.intersect1d(origins, source.training_origins()))

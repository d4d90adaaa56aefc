"""Intervals as a live stream would give them.  Answers of one fit -> the same forecasts, with bounds that turn.

At each origin the bounds have learned from the truths up to it, and from no later one (runtime/adaptive.py).

Legend: N origins, H steps ahead, L levels.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from stepahead.data.panel import Panel
from stepahead.errors import ConfigError
from stepahead.evaluate.baselines import series_of
from stepahead.evaluate.walk import Answers
from stepahead.fitted import Fitted
from stepahead.panels.fitted import PanelFitted
from stepahead.runtime.adaptive import Adaptive, Bounds


def turned(fitted: Any, panel: Panel, answers: Answers) -> Answers:
    """The answers of a fitted Forecaster with adaptive bounds.

    Returns: Answers with the same mean; lo and hi are those of `fitted.stream(...)` pushed row by row.
    Raises: ConfigError where the model has no streams, or a series has an origin without its neighbour.
    """
    if not hasattr(fitted, "fitted_"):
        raise ConfigError(f"adaptive=True is for a Forecaster, not a {type(fitted).__name__}")
    learned: Fitted | PanelFitted = fitted.fitted_
    series = series_of(panel, answers.origins)
    lo, hi = answers.lo.copy(), answers.hi.copy()
    levels = np.flatnonzero(~np.isnan(lo).any(axis=(0, 1)))  # a level that the fit cannot give stays unknown
    for s in np.unique(series):
        mine = np.flatnonzero(series == s)
        if (np.diff(answers.origins[mine]) != 1).any():
            raise ConfigError("adaptive=True needs a forecast at every row: one split, or step_size=1 and refit=False")
        turn(record_of(learned, answers, levels), panel, answers, mine, levels, lo, hi)
    return replace(answers, lo=lo, hi=hi)


def record_of(fitted: Fitted | PanelFitted, answers: Answers, levels: np.ndarray) -> Adaptive:
    """The state that a stream of this model begins with, for some of the levels."""
    logs = isinstance(fitted, Fitted) and fitted.scale.log_target
    level = [answers.level[i] for i in levels]
    return Adaptive(level, answers.mean.shape[1], logs=logs, positive=isinstance(fitted, PanelFitted))


def turn(
    record: Adaptive,
    panel: Panel,
    answers: Answers,
    mine: np.ndarray,
    levels: np.ndarray,
    lo: np.ndarray,
    hi: np.ndarray,
) -> None:
    """Walk through the origins of one series: positions `mine`, ascending; writes their bounds into lo and hi."""
    for n in mine:
        if n != mine[0]:
            record.judge(float(panel.y[answers.origins[n]]))
        own = (answers.mean[n], answers.lo[n][:, levels], answers.hi[n][:, levels])
        bounds = record.stretch(Bounds(*(part.tolist() for part in own)))
        lo[n][:, levels], hi[n][:, levels] = bounds.lo, bounds.hi

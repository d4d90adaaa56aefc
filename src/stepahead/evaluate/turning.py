"""Intervals as a live stream would give them.  Answers of one fit -> the same forecasts, with bounds that learn.

At each origin the bounds have learned from the truths up to it, and from no later one (runtime/adaptive.py).

Legend: N origins, H steps ahead, L levels.
"""

from dataclasses import replace
from itertools import pairwise

import numpy as np

from stepahead.data.panel import Panel
from stepahead.evaluate.walk import Answers
from stepahead.runtime.adaptive import Adaptive, Bounds


def turned(panel: Panel, answers: Answers) -> Answers:
    """The answers of a fit that has streams, with adaptive bounds.

    Returns: Answers with the same mean; lo and hi are those of `fitted.stream(...)` pushed row by row.
    """
    series = panel.series_of(answers.origins)
    lo, hi = answers.lo.copy(), answers.hi.copy()
    levels = np.flatnonzero(~np.isnan(lo).any(axis=(0, 1)))  # a level that the fit cannot give stays unknown
    for s in np.unique(series):
        mine = np.flatnonzero(series == s)
        turn(record_of(answers, levels), panel, answers, mine, levels, lo, hi)
    return replace(answers, lo=lo, hi=hi)


def record_of(answers: Answers, levels: np.ndarray) -> Adaptive:
    """The state that a stream of this model begins with, for some of the levels."""
    logs, positive = answers.live or (False, False)
    return Adaptive([answers.level[i] for i in levels], answers.mean.shape[1], logs=logs, positive=positive)


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
    for before, n in pairwise([mine[0], *mine]):
        for row in range(answers.origins[before] + 1, answers.origins[n] + 1):
            record.judge(float(panel.y[row]))
            if row < answers.origins[n]:  # where the model cannot answer
                record.skip(1)
        own = (answers.mean[n], answers.lo[n][:, levels], answers.hi[n][:, levels])
        bounds = record.stretch(Bounds(*(part.tolist() for part in own)))
        lo[n][:, levels], hi[n][:, levels] = bounds.lo, bounds.hi

"""How long since the event before, as a symbol model reads it.  Gaps in time -> buckets, as many events in each.

A gap is nan where it is not known: at the first event of a case, and wherever no time was given.
"""

import datetime as dt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stepahead.errors import DataError
from stepahead.period import iso_time

Array = NDArray[Any]

BUCKETS = 16  # of gaps above zero; finer ones learn no better from some ten thousand events


def fit_edges(gaps: Array) -> Array:
    """Bounds between buckets: the quantiles of the gaps above zero, so that no unit of time need be known.

    Each is a gap that was seen, and one was seen below the first: a bucket that no event fell into would say of a gap
    what nobody has learned.
    """
    known = gaps[gaps > 0]
    if not len(known):
        return np.empty(0)
    edges = np.unique(np.quantile(known, np.arange(1, BUCKETS) / BUCKETS, method="higher"))
    return edges[edges > known.min()]


def bucket_count(edges: Array) -> int:
    """How many buckets there are: one for no time at all, and those between and around the edges."""
    return len(edges) + 2


def buckets(gaps: Array, edges: Array) -> Array:
    """0 where a gap is unknown, 1 at zero, from 2 on above it: int64, as gaps."""
    above = 2 + np.searchsorted(edges, gaps, side="right")
    return np.where(np.isnan(gaps), 0, np.where(gaps <= 0, 1, above))


def moment(time: Any) -> float:
    """A time as a number: stamps as seconds since 1970, UTC where no zone is given; numbers as they are.

    Raises: DataError for what is neither.
    """
    if isinstance(time, np.datetime64):
        time = time.astype("datetime64[us]").item()
    if isinstance(time, str):
        try:
            time = iso_time(time)
        except ValueError as error:
            raise DataError(f"time {time!r:.40}: is no ISO time; write it as 2026-01-31 13:05:00") from error
    if isinstance(time, dt.datetime):
        return (time if time.tzinfo else time.replace(tzinfo=dt.UTC)).timestamp()
    if isinstance(time, dt.date):
        return moment(dt.datetime.combine(time, dt.time()))
    if isinstance(time, bool) or not isinstance(time, int | float | np.number) or not np.isfinite(time):
        raise DataError(f"time {time!r:.40}: expected a stamp or a finite number, found {type(time).__name__}")
    return float(time)


def gap(before: float, after: float) -> float:
    """The time between two events; nan where one is not known.

    Raises: DataError where the second comes before the first.
    """
    if after < before:
        raise DataError(f"time: {after - before:g} after the event before it; give events in order of time")
    return after - before


def gaps_of(times: Any) -> Array:
    """Gaps [T] of the times of one sequence; None stands for a time that is not known.

    Raises: DataError for what is no time, or times out of order.
    """
    moments = [float("nan") if time is None else moment(time) for time in times]
    return np.array([float("nan"), *map(gap, moments, moments[1:])][: len(moments)])

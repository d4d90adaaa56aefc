"""Missing values inside a series, by an explicit choice.  Panel -> Filled, every value of which is a number.

"error" refuses them; "ffill" repeats the last observed value; "interpolate" joins the observed neighbours by a line;
"mask" repeats the last value and tells the network which ones were observed.
Nothing here looks past a forecast's origin: a gap that is still open at an origin is filled forward for that origin,
also under "interpolate".
"""

from dataclasses import dataclass

import numpy as np

from stepahead.data.panel import Panel
from stepahead.errors import ConfigError, DataError

MISSING = ("error", "ffill", "interpolate", "mask")


@dataclass(frozen=True)
class Filled:
    """Values without holes: R rows, P past inputs.

    values: [R, P] float64 as the choice fills them. carried: [R, P] with the last observed value repeated; the same
    array as `values` but for "interpolate". observed: [R, P] bool. last_seen: [R, P] int64, the newest observed row
    up to each row, or None where nothing is missing. ready: [R] bool, every input has been seen at least once.
    """

    values: np.ndarray
    carried: np.ndarray
    observed: np.ndarray
    last_seen: np.ndarray | None
    ready: np.ndarray


def fill(panel: Panel, missing: str) -> Filled:
    """Fill the past inputs of a panel.

    missing: "error" | "ffill" | "interpolate" | "mask".
    Raises:
        DataError: a value is missing and the choice is "error"; names series, time, column and the choices.
    """
    if missing not in MISSING:
        raise ConfigError(f"missing={missing!r} is not one of {', '.join(map(repr, MISSING))}")
    observed = ~np.isnan(panel.past)
    if observed.all():
        everything = np.ones(panel.n_rows, dtype=bool)
        return Filled(panel.past, panel.past, observed, None, everything)
    if missing == "error":
        raise DataError(describe_first_gap(panel, observed))
    last_seen = newest_observed(panel, observed)
    carried = carry_forward(panel, observed, last_seen)
    values = join_by_lines(panel, observed) if missing == "interpolate" else carried
    return Filled(values, carried, observed, last_seen, np.all(last_seen >= 0, axis=1))


def describe_first_gap(panel: Panel, observed: np.ndarray) -> str:
    """One line on the first missing value: where it is, how many there are, and what can be chosen."""
    row, column = (int(i[0]) for i in np.nonzero(~observed))
    series = panel.ids[int(panel.series_of(row))]
    names, count = panel.schema, int((~observed).sum())
    return (
        f"{names.source}: column '{names.past[column]}' is missing in series '{series}' at {names.time} "
        f"{panel.times[row]} ({count} missing values in all); fit with missing='ffill', 'interpolate' or 'mask'"
    )


def newest_observed(panel: Panel, observed: np.ndarray) -> np.ndarray:
    """For each row and input the newest observed row of the same series up to it, or -1: [R, P] int64."""
    index = np.where(observed, np.arange(panel.n_rows)[:, None], -1)
    newest = np.maximum.accumulate(index, axis=0)
    start = np.repeat(panel.offsets[:-1], panel.lengths)[:, None]
    return np.where(newest >= start, newest, -1)


def carry_forward(panel: Panel, observed: np.ndarray, last_seen: np.ndarray) -> np.ndarray:
    """The last observed value repeated; before the first one, that first value (0 if there is none at all)."""
    columns = np.arange(panel.past.shape[1])
    first = first_observed_values(panel, observed)
    return np.where(last_seen >= 0, panel.past[last_seen, columns], np.repeat(first, panel.lengths, axis=0))


def first_observed_values(panel: Panel, observed: np.ndarray) -> np.ndarray:
    """The first observed value of each series and input: [S, P]; 0 where a series has none."""
    first = np.zeros((panel.n_series, panel.past.shape[1]))
    for s in range(panel.n_series):
        seen = observed[panel.rows(s)]
        rows = seen.argmax(axis=0)
        first[s] = np.where(seen.any(axis=0), panel.past[panel.rows(s)][rows, np.arange(seen.shape[1])], 0.0)
    return first


def join_by_lines(panel: Panel, observed: np.ndarray) -> np.ndarray:
    """Gaps joined by straight lines in row order, flat before the first and after the last observed value."""
    values = panel.past.copy()
    for s in range(panel.n_series):
        rows = panel.rows(s)
        block, seen = values[rows], observed[rows]
        steps = np.arange(len(block))
        for column in np.flatnonzero(~seen.all(axis=0)):
            known = seen[:, column]
            filled = np.interp(steps, steps[known], block[known, column]) if known.any() else 0.0
            block[:, column] = np.where(known, block[:, column], filled)
    return values

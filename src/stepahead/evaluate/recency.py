"""Does the first forecast respond to the newest rows?  Case -> Findings.

Legend: S series, K rows back from the cutoff.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from stepahead.data.calendar import HOUR, Frequency
from stepahead.data.panel import Panel
from stepahead.data.season import STEP_SEASONS
from stepahead.evaluate.case import Case, Finding
from stepahead.evaluate.disturb import after, lowered, nudged, raised
from stepahead.evaluate.subjects import last_rows
from stepahead.limits import DAY

FAINT = 0.05  # through a fit every row acts a little: less than this share of the largest is only that
MOST = 0.2  # what a row moves that is read itself, where the others act through a fit alone
TINY = 0.01  # standard deviations: too little to change an order, so a median is moved by the row in its middle alone
CUTOFFS = 5  # at which tiny nudges are tried

Changes = Sequence[Callable[[Panel, np.ndarray], Panel]]
NUDGE: Changes = (nudged,)
STRONG: Changes = (nudged, raised, lowered)


def recency(case: Case) -> list[Finding]:
    """The first forecast must respond to the newest row, if it responds to the ones before it."""
    case = at_known_row(case)
    response = responses(case)
    unfelt = response[0] == 0
    if unfelt:  # a median or a tree does not feel each nudge
        response = responses(case, changes=STRONG)
    if not response.any():
        if (responses(case, [m - 1 for m in calendar_seasons(case.panel.frequency)], STRONG) > 0).any():
            return []  # seasons that are longer than the rows asked about
        if not felt_together(case):
            evidence = f"none of the last {len(response)} rows has any influence on the first forecast"
            return [Finding("recency", evidence, "a constant forecast, or inputs that never reach the network")]
        elsewhere = (responses(one, changes=STRONG) for one in some_cutoffs(case))
        response = next((found for found in elsewhere if found.any()), response)
    gap, how = suspected(response, case)
    if gap and unfelt and newest_felt(case, gap):
        gap = 0
    if not gap and not case.subject.retrains:
        gap, how = rarely_felt(case), "move the first forecast at few cutoffs, the row before them at every one"
    cause = "the newest rows dropped from the window, or a direct multi-step shift of it"
    return [Finding("recency", f"the newest {gap} rows {how}", cause)] if gap else []


def suspected(response: np.ndarray, case: Case) -> tuple[int, str]:
    """How many of the newest rows are not felt here, or hardly, and the words for it; 0 where whole seasons count."""
    if not response.any() or (response[0] > 0 and not case.subject.retrains):
        return 0, ""
    counts = np.flatnonzero(response > FAINT * response.max())
    gap, felt = int(counts[0]), response[: counts[0]].max(initial=0)
    how = f"move the first forecast at most {felt / response.max():.1%} as far as the row before them"
    if felt == 0:
        how = "have no influence on the first forecast, the row before them has"
    most = np.flatnonzero(response > MOST * response.max()) if response[0] else counts
    return 0 if seasonal(most + 1, case) else gap, how


def at_known_row(case: Case) -> Case:
    """The case at its newest row that has a target: a missing value stays missing, whatever is done to its row."""
    known, newest = ~np.isnan(case.panel.y) & ~after(case.panel, case.cutoff), last_rows(case.panel, case.cutoff)
    if not known.any() or known[newest[newest >= 0]].any():
        return case
    earlier = replace(case, cutoff=case.panel.times[known].max())
    return earlier if answers(earlier) else case


def newest_felt(case: Case, gap: int) -> bool:
    """Whether the newest row counts at several cutoffs, or the row so many back at hardly one either."""
    felt = np.array([responses(one, [0, gap], STRONG) for one in some_cutoffs(case, gap + 1)])  # [cutoffs, 2]
    newest, before = felt.mean(axis=0)
    once = (felt[:, 1] > 0).sum() < min(2, len(felt))  # as by luck: it was chosen for being felt
    return bool(newest > FAINT * before or once)


def felt_together(case: Case) -> bool:
    """Whether the rows asked about count when all are changed at once, as for a median of many."""
    first = np.maximum(last_rows(case.panel, case.cutoff) - case.depth + 1, case.panel.offsets[:-1])
    rows = ~after(case.panel, case.cutoff) & (np.arange(case.panel.n_rows) >= np.repeat(first, case.panel.lengths))
    return any(case.difference(case.ask(change(case.panel, np.flatnonzero(rows)))) is not None for change in STRONG)


def rarely_felt(case: Case) -> int:
    """How many of the newest rows act at few cutoffs only, as through a median, where the next one acts at all."""
    depth = min(case.depth, case.base.shape[1] + 8, longest(case))
    tiny, cases = (partial(nudged, size=TINY),), some_cutoffs(case, depth)
    if len(cases) < CUTOFFS:  # at one cutoff a median has its row in the middle, too
        return 0
    each = [(responses(one, range(depth), tiny, each=True) > 0).mean(axis=1) for one in cases]
    felt = np.mean(each, axis=0)  # [K]
    always = np.flatnonzero(felt > 0.9)
    if len(always) == 0 or seasonal(always + 1, case) or (felt[: always[0]] > 0.5).any():
        return 0
    return int(always[0])


def some_cutoffs(case: Case, rows: int = 1) -> list[Case]:
    """The case at its cutoff and at a few before it, where a series has so many rows and the subject an answer."""
    before = np.unique(case.panel.times[case.panel.times <= case.cutoff])
    apart = min(max((len(before) - rows) // CUTOFFS, 1), 4)
    cases = [replace(case, cutoff=moment) for moment in before[::-apart][:CUTOFFS]]
    return [one for one in cases if longest(one) >= rows and answers(one)]


def longest(case: Case) -> int:
    """Rows of the longest series up to the cutoff."""
    return int((last_rows(case.panel, case.cutoff) - case.panel.offsets[:-1] + 1).max())


def answers(case: Case) -> bool:
    """Whether there are rows enough up to the cutoff."""
    try:
        return not np.isnan(case.base).all()
    except Exception:  # whatever the subject raises
        return False


def responses(
    case: Case, backs: Sequence[int] | None = None, changes: Changes = NUDGE, *, each: bool = False
) -> np.ndarray:
    """How far the first forecast moves when the row K back is changed: [K], or of each series [K, S].

    backs: rows back, 0 the newest; to the case's depth if None. Those that no series has are left out.
    changes: what is done to the row; the answer that moves furthest counts.
    """
    rows, moved, most = last_rows(case.panel, case.cutoff), [], longest(case)
    backs = [back for back in (range(case.depth) if backs is None else backs) if back < most]
    for back in backs:
        there = rows - back >= case.panel.offsets[:-1]
        places = (rows - back)[there & (rows >= 0)]
        said = [case.ask(change(case.panel, places)) for change in changes]
        moved.append(np.nan_to_num([np.abs(answer - case.base)[:, 0] for answer in said]).max(axis=0))
    found = np.asarray(moved).reshape(-1, case.panel.n_series)
    if each:
        return found
    sensed = getattr(case.subject, "gradients", None)
    found = found.max(axis=1)
    if sensed is None:
        return found
    slopes = np.append(sensed(case.panel, case.cutoff), 0.0)  # and nothing behind the window
    return np.maximum(found, slopes[np.minimum(backs, len(slopes) - 1).astype(int)])


def seasonal(lags: Any, case: Case) -> bool:
    """Whether these lags are whole seasons: where only such rows count, the newest may well not.

    The seasons that the stamps name; the usual ones, too, where they name none.
    """
    usual = calendar_seasons(case.panel.frequency)
    if not case.panel.frequency.seasons:
        usual += STEP_SEASONS
    return any(np.all(lags % m == 0) for m in usual)


def calendar_seasons(step: Frequency) -> tuple[int, ...]:
    """Rows in an hour, a day, a week, a quarter and a year, where they are whole and 3 at least."""
    if step.unit == "business":
        return (5, 260, 261)
    spans = {"month": (3, 12), "us": (HOUR, *(days * DAY for days in (1, 7, 91, 364, 365, 366)))}
    return tuple(n // step.count for n in spans.get(step.unit, ()) if n % step.count == 0 and n > 2 * step.count)

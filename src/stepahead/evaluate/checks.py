"""The questions of an audit.  Case -> findings; each asks the subject on changed panels and compares the answers.

Legend: S series, H steps, K rows back from the cutoff.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from stepahead.data.calendar import HOUR, Frequency
from stepahead.data.panel import Panel
from stepahead.data.season import STEP_SEASONS
from stepahead.evaluate.disturb import (
    after,
    blanked,
    extreme_values,
    lowered,
    nudged,
    other_values,
    raised,
    reordered,
    shaken,
)
from stepahead.evaluate.metrics import Actual
from stepahead.evaluate.subjects import CallableSubject, ModelSubject, Subject, last_rows
from stepahead.evaluate.verdict import echo_errors
from stepahead.limits import DAY

NEIGHBOUR = 1e-5  # a batch may change its members' results by rounding, relative to the size of the numbers
FAINT = 0.05  # through a fit every row acts a little: less than this share of the largest is only that
MOST = 0.2  # what a row moves that is read itself, where the others act through a fit alone
TINY = 0.01  # standard deviations: too little to change an order, so a median is moved by the row in its middle alone
CUTOFFS = 5  # at which tiny nudges are tried
RANDOM = "dropout or other random numbers in forecasting, or a training without a fixed seed"
NEAR = 6  # rows behind the cutoff that a shifted target or a centred window would reach

Changes = Sequence[Callable[[Panel, np.ndarray], Panel]]
NUDGE: Changes = (nudged,)
STRONG: Changes = (nudged, raised, lowered)


@dataclass(frozen=True)
class Finding:
    """Something is wrong.

    check: which question found it. evidence: what was changed, and what that did. cause: what this usually comes from.
    """

    check: str
    evidence: str
    cause: str

    def __str__(self) -> str:
        return f"{self.check}: {self.evidence}; likely cause: {self.cause}"


class Skip(Exception):
    """A question that this subject has no answer to."""


@dataclass(frozen=True)
class Case:
    """What a check works on. depth: rows back whose influence is asked for."""

    subject: Subject
    panel: Panel
    cutoff: Any
    depth: int
    seed: int

    @cached_property
    def base(self) -> np.ndarray:
        """The answer on the panel as it is: [S, H]."""
        return self.ask(self.panel)

    def ask(self, panel: Panel) -> np.ndarray:
        return self.subject.forecast(panel, self.cutoff)

    def rng(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)

    def difference(self, answer: np.ndarray) -> str | None:
        """Where an answer differs most from the base, in words; None where every bit is the same."""
        if np.array_equal(self.base, answer, equal_nan=True):
            return None
        gap = np.abs(np.where(np.isnan(answer) == np.isnan(self.base), answer - self.base, np.inf))
        s, h = np.unravel_index(int(np.nanargmax(gap)), gap.shape)
        return (
            f"the forecast of series '{self.panel.ids[s]}' at step {h + 1} went from {self.base[s, h]:.6g} to "
            f"{answer[s, h]:.6g}"
        )


def determinism(case: Case) -> list[Finding]:
    """The same question twice, and for a model that trains here the same training twice."""
    difference = case.difference(case.ask(case.panel))
    if difference:
        return [Finding("determinism", f"asked twice with the same table, {difference}", RANDOM)]
    if not isinstance(case.subject, ModelSubject):
        return []
    difference = case.difference(case.subject.refitted(case.panel, case.cutoff).forecast(case.panel, case.cutoff))
    cause = "random numbers of the training that its seed does not fix"
    return [Finding("determinism", f"trained twice on the same rows, {difference}", cause)] if difference else []


class OwnBacktest:
    """A model of another package through that package's own backtest, which is handed later rows too."""

    retrains, takes_columns = True, False

    def __init__(self, subject: Any) -> None:
        self.forecast = subject.backtest

    def together(self, panel: Panel, cutoffs: Sequence[Any]) -> None:
        return None


def later_rows(case: Case) -> list[Finding]:
    """Whatever stands behind the cutoff, the forecast must be the same to the last bit."""
    if hasattr(case.subject, "backtest"):
        case = replace(case, subject=OwnBacktest(case.subject))
        if repeated := case.difference(case.ask(case.panel)):
            return [
                Finding("determinism", f"in its own backtest, twice: {repeated}", "a training without a fixed seed")
            ]
    panel, behind = case.panel, after(case.panel, case.cutoff)
    rewrites = {
        "were replaced by others": other_values(panel, behind, case.rng()),
        "were made extreme": extreme_values(panel, behind, case.rng()),
    }
    for what, rewritten in rewrites.items():
        difference = case.difference(case.ask(rewritten))
        if difference:
            time = f"{panel.schema.time} {case.cutoff}"
            return [Finding("later rows", f"when the rows after {time} {what}, {difference}", leak_cause(case))]
    return []


def leak_cause(case: Case) -> str:
    """Which of the later rows matter, and how, tells where they come in."""
    panel, far = case.panel, after(case.panel, case.cutoff, skip=NEAR)
    if case.difference(case.ask(extreme_values(panel, far, case.rng()))) is None:
        return "a later value among the inputs: a target shifted the wrong way, or smoothing centred on the row"
    if case.difference(case.ask(reordered(panel, far, case.rng()))) is None:
        return "a scaler or another statistic fitted on rows after the cutoff"
    return "a model, trend or difference fitted on the whole table, or a split that shuffles rows in time"


def gaps(case: Case) -> list[Finding]:
    """A gap that is still open at the cutoff must not be closed from behind."""
    panel, rows = case.panel, last_rows(case.panel, case.cutoff)
    open_gap = blanked(panel, rows[rows >= 0])
    try:
        first = case.ask(open_gap)
        second = case.ask(other_values(open_gap, after(panel, case.cutoff), case.rng()))
    except Exception as error:  # whatever the subject raises: most refuse missing values, and may
        raise Skip(f"it does not take missing values ({error})") from error
    if np.array_equal(first, second, equal_nan=True):
        return []
    moved = f"from {np.nanmax(first):.6g} to {np.nanmax(second):.6g}"
    evidence = f"with the row at {case.cutoff} missing, rewriting the rows after it moved the largest forecast {moved}"
    return [Finding("gaps", evidence, "missing values filled backwards, or joined to values after the cutoff")]


def times(case: Case) -> list[Finding]:
    """The first forecast must be for the row after the cutoff."""
    if not isinstance(case.subject, CallableSubject):
        raise Skip("its forecasts come without times")
    said = case.subject.with_times(case.panel, case.cutoff)[1][:, 0]
    rows = last_rows(case.panel, case.cutoff)
    for s in np.flatnonzero((rows >= 0) & (rows + 1 < case.panel.offsets[1:]) & ~np.isnan(case.base[:, 0])):
        due = case.panel.times[rows[s] + 1]
        if said[s] <= case.panel.times[rows[s]] or said[s] > due:
            evidence = (
                f"the first forecast of series '{case.panel.ids[s]}' after {case.cutoff} is for {said[s]}, not {due}"
            )
            return [Finding("times", evidence, "forecasts that begin a row early or late, as after a dropped row")]
    return []


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


def columns(case: Case) -> list[Finding]:
    """Each past input must count, at least where one beside the target does."""
    names = case.panel.schema.past
    known = ~after(case.panel, case.cutoff)
    used = {
        name: case.difference(case.ask(shaken(case.panel, known, i, case.rng()))) is not None
        for i, name in enumerate(names)
    }
    others = names[:-1]
    unused = [name for name in others if not used[name]]
    if not unused or not (case.subject.takes_columns or any(used[name] for name in others)):
        return []
    evidence = f"changing {', '.join(map(repr, unused))} in all known rows changes no forecast"
    return [Finding("columns", evidence, "an input dropped on the way, or filled with a constant")]


def neighbours(case: Case) -> list[Finding]:
    """A forecast must not depend on what else is forecast in the same batch."""
    moments = np.unique(case.panel.times[case.panel.times <= case.cutoff])[-4:]
    together = case.subject.together(case.panel, list(moments))
    if together is None:
        raise Skip("it takes one cutoff at a time")
    again = case.subject.together(case.panel, list(moments))
    assert again is not None
    if not np.array_equal(together, again, equal_nan=True):  # then it says nothing about the batch
        gap = np.nanmax(np.abs(again - together))
        return [Finding("determinism", f"asked twice for the same batch, the forecasts differ by {gap:.3g}", RANDOM)]
    size = np.nanmax(np.abs(together))
    for moment, answer in zip(moments, together, strict=True):
        if np.isnan(answer).all():  # too few rows so far
            continue
        try:
            alone = case.subject.forecast(case.panel, moment)
        except Exception as error:  # whatever a module raises
            evidence = f"a batch of {len(moments)} is answered, one alone fails: {error}"
            return [Finding("neighbours", evidence, "batch normalisation in training mode")]
        gap = np.nanmax(np.abs(alone - answer)) / max(size, np.finfo(float).tiny)
        if gap > NEIGHBOUR:
            evidence = f"the forecast at {moment} differs by {gap:.1e} of its size when others are in its batch"
            return [Finding("neighbours", evidence, "batch normalisation in training mode, or a scale over the batch")]
    return []


def echo(case: Case) -> dict[str, Any]:
    """Whether the one-step forecasts lie closer to the last known value than to the truth.  A measurement."""
    panel, subject = case.panel, case.subject
    moments = np.unique(panel.times[panel.times >= case.cutoff])[:-1]
    moments = moments[:: max(1, len(moments) // 5)][:5] if subject.retrains else moments[:200]
    batch = subject.together(panel, list(moments))
    answers = np.stack([subject.forecast(panel, m) for m in moments]) if batch is None else batch
    rows = np.stack([last_rows(panel, moment) for moment in moments])  # [C, S]
    said, there = answers[..., 0], (rows >= 0) & (rows + 1 < panel.offsets[1:]) & ~np.isnan(answers[..., 0])
    series = np.broadcast_to(np.arange(panel.n_series), rows.shape)[there]
    actual = Actual.from_arrays(panel.y[rows[there] + 1][:, None], series=series)
    to_previous, to_next = echo_errors(actual, said[there][:, None], panel.y[rows[there]][:, None])
    return {"echo": bool(to_previous < to_next), "rmse_to_previous": to_previous, "rmse_to_next": to_next}


Check = Callable[[Case], list[Finding]]

CHECKS: dict[str, Check] = {
    "neighbours": neighbours,
    "determinism": determinism,
    "later rows": later_rows,
    "gaps": gaps,
    "times": times,
    "recency": recency,
    "columns": columns,
}
SAME = {"gaps": "later rows"}  # a check that says nothing new where the other one found something
DECISIVE = {"neighbours": "a single forecast depends on its batch", "determinism": "the answers do not repeat"}

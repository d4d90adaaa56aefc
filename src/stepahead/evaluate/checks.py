"""The questions of an audit.  Case -> findings; each asks the subject on changed panels and compares the answers.

Legend: S series, H steps.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from stepahead.data.panel import Panel
from stepahead.evaluate.case import Case, Finding, Skip
from stepahead.evaluate.disturb import after, blanked, extreme_values, other_values, reordered, shaken
from stepahead.evaluate.metrics import Actual
from stepahead.evaluate.recency import recency
from stepahead.evaluate.subjects import CallableSubject, ModelSubject, last_rows
from stepahead.evaluate.verdict import echo_errors

NEIGHBOUR = 1e-5  # a batch may change its members' results by rounding, relative to the size of the numbers
RANDOM = "dropout or other random numbers in forecasting, or a training without a fixed seed"
NEAR = 6  # rows behind the cutoff that a shifted target or a centred window would reach


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

"""Whether to believe a forecast, in one sentence.  Actual, forecast, baselines -> Verdict.

The skill is 1 - RMSE / RMSE of the best baseline.  The test that goes with it compares squared errors, each series
weighted by 1 / (its RMSE + its baseline's RMSE): the mean of these differences is exactly the difference of the two
RMSEs that are reported, so the test and the skill never disagree about who is ahead.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite

import numpy as np

from stepahead.evaluate.baselines import WINDOW
from stepahead.evaluate.metrics import Actual, average, mean_of_known, rmse, squared_error
from stepahead.evaluate.significance import SIGNIFICANT, Test, diebold_mariano, p_words, skill_interval, too_few

CLOSE = 0.02  # a skill within this of 0 is called close
RESAMPLED_TIMES = 20_000_000  # times drawn by the bootstrap at most, over all resamples of a long test part


@dataclass(frozen=True)
class Verdict:
    """Does the forecast beat doing nothing clever?

    sentence: the answer in words, also `str(verdict)`. beats: skill above 0 and p below .05.
    skill: 1 - rmse / baseline_rmse. p_value: two-sided, of equal accuracy (Diebold-Mariano). interval: 95 % of the
    skill by block bootstrap. echo: the one-step forecast fits the value before better than the one it forecasts.
    baseline: name of the best baseline. outcome: "beats" | "unproven" (ahead, maybe by luck) | "tie" (not ahead) |
    "same" (no difference at all) | "worse" (behind, and not by luck).
    rmse, baseline_rmse: over all steps, in the target's unit. rmse_to_previous, rmse_to_next: of the one-step forecast
    against the last value that it knew, and against the truth; the echo compares these two.
    """

    sentence: str
    beats: bool
    skill: float
    p_value: float
    echo: bool
    baseline: str
    outcome: str
    interval: tuple[float, float]
    rmse: float
    baseline_rmse: float
    rmse_to_previous: float
    rmse_to_next: float

    def __str__(self) -> str:
        return self.sentence


def judge(
    actual: Actual,
    forecast: np.ndarray,
    baselines: Mapping[str, np.ndarray],
    *,
    target: str = "y",
    season_length: int | None = None,
    daily: bool = False,
    overlap: int = 1,
    seed: int = 0,
) -> Verdict:
    """Hold a forecast against the best of its baselines.

    actual: the truth, [N, H]. forecast: [N, H]. baselines: {name: [N, H]}, "naive" among them; the best is the one of
    least RMSE here. target, season_length, daily: for the words. overlap: how many neighbouring cutoffs forecast some
    time in common. seed: of the bootstrap.
    Returns: Verdict.
    """
    errors = {name: float(rmse(actual, values)) for name, values in baselines.items()}
    best = min(errors, key=lambda name: (np.isnan(errors[name]), errors[name]))
    own = float(rmse(actual, forecast))
    test = diebold_mariano(*losses_over_time(actual, forecast, baselines[best]), overlap=overlap)
    simple = diebold_mariano(*losses_over_time(actual, forecast, baselines["naive"]), overlap=overlap)
    against_naive = skill_of(own, errors["naive"])
    to_previous, to_next = echo_errors(actual, forecast, baselines["naive"])
    skill, echo = skill_of(own, errors[best]), bool(to_previous < to_next)
    outcome = outcome_of(skill, test.p_value)
    also_naive = best != "naive" and same_holds(outcome, outcome_of(against_naive, simple.p_value), against_naive)
    words = describe(best, target, season_length, also_naive=also_naive)
    return Verdict(
        sentence=say(outcome, words, own, errors[best], skill, test, echo, daily),
        beats=outcome == "beats",
        skill=0.0 if outcome == "same" else skill,
        p_value=test.p_value,
        echo=echo,
        baseline=best,
        outcome=outcome,
        interval=bootstrap(actual, forecast, baselines[best], overlap, seed),
        rmse=own,
        baseline_rmse=errors[best],
        rmse_to_previous=to_previous,
        rmse_to_next=to_next,
    )


def skill_of(error: float, reference: float) -> float:
    """1 - error / reference; against a baseline without any error 0 or minus infinity."""
    if reference == 0:
        return 0.0 if error == 0 else -np.inf
    return 1 - error / reference


def outcome_of(skill: float, p_value: float) -> str:
    """The four answers, and "same" where there is no difference to speak of."""
    if p_value == 1.0 and abs(skill) < 1e-6:
        return "same"
    if p_value < SIGNIFICANT:
        return "beats" if skill > 0 else "worse"
    return "unproven" if skill > 0 else "tie"


def losses_over_time(actual: Actual, forecast: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted squared errors of two forecasts, all series and steps of one cutoff together: [T], [T].

    The difference of their means is the difference of the two RMSEs (mean over series of each series' RMSE).
    """
    own, other = squared_error(actual.y, forecast), squared_error(actual.y, reference)
    roots = [average(loss, actual, "series", finish=np.sqrt) for loss in (own, other)]
    points = np.bincount(actual.series, weights=(~np.isnan(own)).sum(axis=1), minlength=actual.n_series)
    size = (roots[0] + roots[1]) * points
    share = np.where(size > 0, 1 / np.where(size > 0, size, 1.0), 0.0) / max(1, int((points > 0).sum()))
    there = ~np.isnan(own).all(axis=1)
    times, position = np.unique(actual.cutoff[there], return_inverse=True)
    weight = share[actual.series[there]] * len(times)
    first, second = (
        np.bincount(position, weights=weight * np.nansum(loss[there], axis=1), minlength=len(times))
        for loss in (own, other)
    )
    return first, second


def echo_errors(actual: Actual, forecast: np.ndarray, naive: np.ndarray) -> tuple[float, float]:
    """RMSE of the one-step forecast against the last value that it knew, and against the truth."""
    truth = actual.y[:, :1]
    known = np.where(np.isnan(truth), np.nan, naive[:, :1])  # the same points on both sides
    truth = np.where(np.isnan(known), np.nan, truth)
    to_previous, to_next = (
        average(squared_error(values, forecast[:, :1]), first_step(actual), finish=np.sqrt) for values in (known, truth)
    )
    return float(to_previous), float(to_next)


def first_step(actual: Actual) -> Actual:
    """The truth one step ahead alone."""
    return Actual(actual.y[:, :1], actual.series, actual.cutoff, actual.mae_scale, actual.mse_scale)


def bootstrap(
    actual: Actual, forecast: np.ndarray, reference: np.ndarray, overlap: int, seed: int
) -> tuple[float, float]:
    """95 % interval of the skill, from squared errors by time and series."""
    own, other = (by_time_and_series(squared_error(actual.y, f), actual) for f in (forecast, reference))
    n = max(1, len(own))
    if too_few(n, overlap):  # blocks as long as that leave hardly anything to draw anew
        return float("nan"), float("nan")
    return skill_interval(
        own,
        other,
        block=max(overlap, int(np.ceil(n ** (1 / 3)))),
        resamples=int(np.clip(RESAMPLED_TIMES // n, 200, 1000)),
        seed=seed,
    )


def by_time_and_series(loss: np.ndarray, actual: Actual) -> np.ndarray:
    """The mean loss over the steps of each cutoff and series: [T, S], NaN where a series has no forecast."""
    table = np.full((actual.n_cutoffs, actual.n_series), np.nan)
    table[actual.cutoff, actual.series] = mean_of_known(loss.T)
    return table[~np.isnan(table).all(axis=1)]


def same_holds(outcome: str, of_naive: str, skill: float) -> bool:
    """Whether what is said of the best baseline holds for naive too, so that it may be named beside it."""
    if outcome in ("worse", "unproven"):
        return of_naive == outcome and skill < CLOSE
    return outcome in ("tie", "same") and of_naive != "beats" and skill < CLOSE


# The words.


def describe(baseline: str, target: str, season_length: int | None, *, also_naive: bool = False) -> str:
    """What a baseline does, said with the target's own name; also_naive names the plainest one before it."""
    what = "value" if target == "y" else target
    words = {
        "naive": f"repeating the last {what}",
        "seasonal_naive": f"repeating the {what} of one season ({season_length} steps) before",
        "drift": "the straight line of its drift",
        "window_mean": f"the mean of the last {season_length or WINDOW} rows",
        "auto_ets": "exponential smoothing (AutoETS)",
        "auto_arima": "an ARIMA model (AutoARIMA)",
        "theta": "the Theta method",
    }.get(baseline, baseline)
    return f"repeating the last {what} or {words}" if also_naive else words


def say(
    outcome: str,
    baseline: str,
    error: float,
    reference: float,
    skill: float,
    test: Test,
    echo: bool,
    daily: bool,
) -> str:
    """The sentence; baseline in words."""
    own, other = distinct(error, reference)
    proof = "too few independent cutoffs to prove anything" if test.few else p_words(test.p_value)
    measured = f"RMSE {own} against {other} (skill {percent(skill)}, {proof})"
    answer = {
        "beats": f"Beats {baseline}: {measured}",
        "unproven": f"Not proven to beat {baseline}: {measured}",
        "tie": f"Does not beat {baseline}: {measured}",
        "same": f"Does not beat {baseline}, it makes no difference: RMSE {own} for both",
        "worse": f"Does not beat {baseline}, and is clearly worse: {measured}",
    }[outcome]
    if outcome == "unproven" and skill < CLOSE:
        answer = f"Close to {baseline}, and not proven better: {measured}"
    before, now = ("yesterday's value", "today's") if daily else ("the value before", "the one it forecasts")
    if not echo:
        return f"{answer}."
    if outcome == "beats":
        return f"{answer}; even so the plot lies closer to {before} than to {now}."
    return f"{answer}; the plot only echoes {before}."


def distinct(first: float, second: float) -> tuple[str, str]:
    """Two numbers with as few digits as tell them apart: three, up to six; three again where none does."""
    for digits in (3, 4, 5, 6, 3):
        shown = f"{first:#.{digits}g}".rstrip("."), f"{second:#.{digits}g}".rstrip(".")
        if shown[0] != shown[1]:
            break
    return shown


def percent(fraction: float) -> str:
    """A fraction in percent with one decimal, or with as many as keep it from reading 0."""
    if not isfinite(fraction):
        return "minus infinity"
    for digits in (1, 2, 3, 4):
        shown = f"{100 * fraction:.{digits}f}"
        if float(shown) != 0:
            return f"{shown} %"
    return "0 %"

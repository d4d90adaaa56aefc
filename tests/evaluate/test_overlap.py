"""Cutoffs that forecast the same time are no independent evidence, whatever series they are of."""

import json

import numpy as np
import pytest
from evaluate_fakes import FakeForecasts, FakeModel

from stepahead.data.panel import Panel
from stepahead.evaluate.backtest import backtest
from stepahead.evaluate.folds import overlap_of
from stepahead.evaluate.significance import diebold_mariano
from stepahead.evaluate.verdict import losses_over_time


def shared_noise(rng: np.random.Generator, rows: int, starts: np.ndarray, step: int) -> Panel:
    """Series of white noise that all share, with 5 % of their own, one row every `step` days from their start on."""
    noise = rng.normal(size=rows) + 0.05 * rng.normal(size=(len(starts), rows)) + 10
    days = starts[:, None] + step * np.arange(rows)
    times = np.datetime64("2020-01-01", "us") + days.ravel().astype("timedelta64[D]")
    ids = [f"s{i}" for i in range(len(starts))]
    return Panel.from_arrays(noise.ravel(), ids=ids, offsets=np.arange(len(starts) + 1) * rows, times=times)


class OlderMean(FakeModel):
    """The mean of the 7 rows before the last 7: of white noise exactly as good as the mean of the last 7."""

    def forecast(self, panel, origins, *, level=()):
        mean = panel.y[origins[:, None] - 7 - np.arange(7)].mean(axis=1)
        mean = np.repeat(mean[:, None], self.horizon, axis=1)
        return FakeForecasts(mean, (), *np.zeros((2, *mean.shape, 0)))


def test_series_on_other_weekdays_are_no_more_evidence_than_on_one() -> None:
    """7 weekly series, 30 weeks, 100 tables: counted as 210 independent cutoffs, the test says p < .05 in 45 %. Two
    standard errors of 5 % are 4.4 %. On one weekday the overlap is 1 and nothing is new."""
    rng, said = np.random.default_rng(0), []
    for _ in range(100):
        result = backtest(OlderMean(), shared_noise(rng, 50, np.arange(7), 7), n_windows=30, step_size=1, refit=False)
        losses = losses_over_time(result.actual, result.mean, result.baseline_means["window_mean"])
        overlap = overlap_of(result.panel, result.origins, result.actual.y)
        said.append(diebold_mariano(*losses, overlap=overlap).p_value < 0.05)
    assert np.mean(said) < 0.094, np.mean(said)
    assert overlap == 7
    assert (
        result.p_value
        == diebold_mariano(
            *losses_over_time(result.actual, result.mean, result.baseline_means[result.verdict.baseline]), overlap=7
        ).p_value
    )
    same = shared_noise(rng, 50, np.zeros(7), 7)
    assert overlap_of(same, result.origins, result.actual.y) == 1


def test_overlap_is_counted_in_time_as_a_loop_counts_it() -> None:
    """Rows one to three days apart, other in each series: nine of ten forecasts overlap with no more."""
    rng = np.random.default_rng(1)
    for steps in (1, 4):
        days = np.cumsum(rng.integers(1, 4, size=(3, 40)), axis=1)
        times = np.datetime64("2020-01-01", "us") + days.ravel().astype("timedelta64[D]")
        panel = Panel.from_arrays(np.zeros(120), ids=list("abc"), offsets=[0, 40, 80, 120], times=times)
        origins = np.concatenate([np.arange(20, 40 - steps) + 40 * s for s in range(3)])
        counts = [
            len(
                {panel.times[o] for o in origins if panel.times[origin] <= panel.times[o] < panel.times[origin + steps]}
            )
            for origin in origins
        ]
        found = overlap_of(panel, origins, np.zeros((len(origins), steps)))
        assert np.mean(np.array(counts) <= found) >= 0.9
        assert np.mean(np.array(counts) < found) < 0.9


@pytest.mark.parametrize(("horizon", "step", "overlap"), [(1, 1, 1), (6, 6, 1), (6, 8, 1), (6, 1, 6), (6, 4, 2)])
def test_of_series_that_end_together_it_is_what_the_rows_say(horizon: int, step: int, overlap: int) -> None:
    panel = shared_noise(np.random.default_rng(0), 120, np.zeros(2), 1)
    result = backtest(OlderMean(horizon=horizon), panel, n_windows=7, step_size=step, refit=False)
    assert overlap_of(panel, result.origins, result.actual.y) == overlap


def test_too_few_independent_cutoffs_prove_nothing_and_the_words_say_so() -> None:
    """Four forecasts of 24 steps a row apart, nearly perfect: one piece of evidence."""
    panel = Panel.from_arrays(np.cumsum(np.random.default_rng(0).normal(size=80)))

    class Prophet(FakeModel):
        def forecast(self, panel, origins, *, level=()):
            mean = panel.y[origins[:, None] + np.arange(1, self.horizon + 1)] + 0.01
            return FakeForecasts(mean, (), *np.zeros((2, *mean.shape, 0)))

    few = backtest(Prophet(horizon=24), panel, n_windows=4, step_size=1)
    assert (few.verdict.outcome, few.p_value, few.beats) == ("unproven", 1.0, False)
    assert "too few independent cutoffs to prove anything" in str(few.verdict)
    assert np.isnan(few.verdict.interval).all()
    json.dumps(few.to_json(), allow_nan=False)
    enough = backtest(Prophet(horizon=2), panel, n_windows=30, step_size=1)
    assert enough.beats
    assert "p < 0.001" in str(enough.verdict)

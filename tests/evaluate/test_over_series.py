"""The verdict over many series, on answers made by hand."""

from dataclasses import replace

import numpy as np
import pytest

from stepahead.data.panel import Panel
from stepahead.evaluate.backtest import assess
from stepahead.evaluate.over_series import SeriesVerdict, over_series
from stepahead.evaluate.walk import Answers


def verdict(own_error: list[float]) -> SeriesVerdict:
    """Series that step up by 1, so that naive errs by 1; the forecast errs by so much on each, with a little jitter."""
    n, rng = 60, np.random.default_rng(0)
    s = len(own_error)
    steps = 1 + 0.1 * rng.normal(size=(s, n))
    panel = Panel.from_arrays(
        np.cumsum(steps, axis=1).ravel(), ids=[f"s{i}" for i in range(s)], offsets=np.arange(s + 1) * n
    )
    origins = np.concatenate([np.arange(30, n - 1) + i * n for i in range(s)])
    series = origins // n
    mean = panel.y[origins + 1, None] + np.asarray(own_error)[series, None] * (
        1 + 0.1 * rng.normal(size=(len(origins), 1))
    )
    empty = np.zeros((len(origins), 1, 0))
    answers = Answers("GRU", None, origins, series * n, series * n + 30, mean, (), empty, empty)
    return over_series(assess(panel, answers, n_asked=len(origins)))


def test_names_the_series_on_which_it_loses_worst_first() -> None:
    found = verdict([0.1, 1.5, 0.2, 3.0])
    assert found.loses == ("s3", "s1")
    assert found.won == 0.5
    assert found.proven == 0.5
    assert "loses on 's3', 's1'" in str(found)


def test_skill_is_that_of_the_mean_absolute_error() -> None:
    np.testing.assert_allclose(verdict([0.5, 2.0]).skill, [0.5, -1.0], atol=0.05)


def test_luck_is_corrected_for_many_series() -> None:
    # Errors as large as the baseline's: of 40 tests at 5 % some would be "significant", corrected ones hardly ever.
    found = verdict([1.0] * 40)
    assert (found.p_value < 0.05).mean() < 0.05


def test_a_perfect_baseline_cannot_be_beaten() -> None:
    found = verdict([0.5])
    worst = replace(found, skill=np.array([-10.0]))
    assert worst.mean_skill == pytest.approx(-10)

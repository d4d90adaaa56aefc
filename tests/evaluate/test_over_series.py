"""The verdict over many series, on answers made by hand."""

import numpy as np
import pytest

from stepahead.data.panel import Panel
from stepahead.evaluate.backtest import assess
from stepahead.evaluate.over_series import SeriesVerdict, over_series
from stepahead.evaluate.walk import Answers


def verdict(own_error: list[float], constant: int = 0) -> SeriesVerdict:
    """Series that step up by 1, so that naive errs by 1; the forecast errs by so much on each, with a little jitter.

    constant: so many of them, the first, stay at 5, but for rounding.
    """
    n, rng = 60, np.random.default_rng(0)
    s = len(own_error)
    steps = 1 + 0.1 * rng.normal(size=(s, n))
    values = np.cumsum(steps, axis=1)
    values[:constant] = 5 + 1e-15 * rng.normal(size=(constant, n))
    panel = Panel.from_arrays(values.ravel(), ids=[f"s{i}" for i in range(s)], offsets=np.arange(s + 1) * n)
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


def test_a_series_that_the_baseline_foresees_without_error_is_left_out() -> None:
    found = verdict([0.0002, 0.5, 2.0, 0.5], constant=1)  # 4.9998 where naive says 5
    np.testing.assert_array_equal(found.judged, [False, True, True, True])
    assert found.won == pytest.approx(2 / 3)
    assert found.mean_skill == pytest.approx(0.0, abs=0.05)
    assert found.quartiles[1] == pytest.approx(0.5, abs=0.05)
    assert found.loses == ("s2",)
    assert str(found).startswith("Better than naive by MAE on 67% of 3 series (67% beyond luck); skill ")
    assert "; 1 more left out, which naive foresees without error; loses on 's2'." in str(found)


def test_a_forecast_that_errs_where_the_baseline_does_not_loses() -> None:
    found = verdict([0.5, 2.0, 0.5], constant=1)
    assert found.loses == ("s0", "s1")
    assert found.mean_skill == pytest.approx(-0.25, abs=0.05)  # and is no part of the skill


def test_nothing_can_be_better_than_no_error() -> None:
    found = verdict([0.0002, 0.0001], constant=2)
    assert str(found) == "Naive foresees all 2 series without error, so that nothing can be better."
    assert np.isnan([found.mean_skill, found.won, found.proven, *found.quartiles]).all()

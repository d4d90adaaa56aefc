"""Many comparisons at once."""

import numpy as np
import pytest
from evaluate_fakes import FakeModel

from stepahead.data.panel import Panel
from stepahead.errors import ConfigError
from stepahead.evaluate.backtest import backtest
from stepahead.evaluate.compare import against_each, at_each_step
from stepahead.evaluate.metrics import Actual
from stepahead.evaluate.significance import diebold_mariano, holm

RNG = np.random.default_rng(4)
Y = RNG.normal(size=(150, 3))
ACTUAL = Actual.from_arrays(Y)


def test_each_step_is_tested_with_its_own_overlap_and_corrected_for_the_others() -> None:
    forecast, other = Y + RNG.normal(size=Y.shape), Y + 1.1 * RNG.normal(size=Y.shape)
    found = at_each_step(ACTUAL, forecast, "naive", other)
    plain = [
        diebold_mariano((Y - forecast)[:, h] ** 2, (Y - other)[:, h] ** 2, overlap=h + 1).p_value for h in range(3)
    ]
    np.testing.assert_allclose([c.p_value for c in found], plain, rtol=1e-9)
    np.testing.assert_allclose([c.p_holm for c in found], holm(plain), rtol=1e-9)
    assert [c.step for c in found] == [1, 2, 3]
    for h, c in enumerate(found):
        assert c.skill == pytest.approx(
            1 - np.sqrt(((Y - forecast)[:, h] ** 2).mean() / ((Y - other)[:, h] ** 2).mean())
        )
        assert c.low < c.skill < c.high


def test_against_each_baseline_in_turn() -> None:
    baselines = {"naive": np.roll(Y, 1, axis=0), "drift": Y + 0.1}
    naive, drift = against_each(ACTUAL, Y + 0.5 * RNG.normal(size=Y.shape), baselines)
    assert (naive.baseline, drift.baseline) == ("naive", "drift")
    assert naive.skill > 0 > drift.skill
    assert naive.p_holm >= naive.p_value


def test_of_many_steps_without_a_difference_few_are_called_significant() -> None:
    """100 backtests of 10 steps where both forecasts are as good: without the correction about 40 % of them would
    show a significant step; with it at most about 5 %, plus two standard errors."""
    rng, raw, mended = np.random.default_rng(0), 0, 0
    for _ in range(100):
        own, other = np.square(rng.normal(size=(2, 10, 120)))
        p_values = [diebold_mariano(a, b).p_value for a, b in zip(own, other, strict=True)]
        raw += min(p_values) < 0.05
        mended += min(holm(p_values)) < 0.05
    assert raw > 25
    assert mended <= 10


def test_a_backtest_compares_by_step_or_against_all() -> None:
    walk = Panel.from_arrays(np.cumsum(RNG.normal(size=80)))
    result = backtest(FakeModel(slope=0.3, horizon=2), walk)
    assert [c.baseline for c in result.comparisons()] == ["naive", "drift"]
    assert [c.step for c in result.comparisons("step")] == [1, 2]
    best = next(c for c in result.comparisons() if c.baseline == result.verdict.baseline)
    assert (best.skill, best.p_value) == (result.skill, result.p_value)
    assert (best.low, best.high) == result.verdict.interval
    with pytest.raises(ConfigError, match="by='series' is not 'step' or None"):
        result.comparisons("series")

"""Windows that stand still, beside others that move: each has intervals of its own."""

from pathlib import Path

import numpy as np
import pytest

import stepahead as sa

LENGTH, EACH, HORIZON = 100, 40, 3


@pytest.fixture(scope="module")
def fitted() -> tuple[sa.Forecaster, np.ndarray]:
    """Forty series of noise, forty of nothing but zeros, and what follows."""
    rows = 50 + np.random.default_rng(0).normal(size=(EACH, LENGTH + HORIZON))
    rows = np.concatenate([rows, np.zeros_like(rows)])
    panel = sa.Panel.from_arrays(
        rows[:, :LENGTH].ravel(), ids=[f"s{i}" for i in range(2 * EACH)], offsets=LENGTH * np.arange(2 * EACH + 1)
    )
    asked = {"recipe": "panel", "season_length": None, "window": 20, "max_steps": 20, "blend": 0}
    return sa.Forecaster(horizon=HORIZON, **asked).fit(panel), rows[:, LENGTH:]


def test_those_that_stand_still_do_not_narrow_the_others_intervals(fitted: tuple[sa.Forecaster, np.ndarray]) -> None:
    model, truth = fitted
    panel = model.panel_
    said = model.forecast(panel, panel.offsets[1:] - 1, level=[80])
    inside = (said.lo[..., 0] <= truth) & (truth <= said.hi[..., 0])
    assert inside[:EACH].mean() > 0.68  # 120 truths of .8: three and a half deviations; it was near .6 together
    np.testing.assert_array_equal(said.lo[EACH:], 0)
    np.testing.assert_array_equal(said.hi[EACH:], 0)
    # The noise is normal: 80 % of it lie within 1.28 to either side, and what is forecast of it errs a little more.
    width = said.hi[:EACH, :, 0] - said.lo[:EACH, :, 0]
    assert 2.2 < np.median(width) < 3.4


def test_paths_and_a_saved_model_have_the_same_ones(fitted: tuple[sa.Forecaster, np.ndarray], tmp_path: Path) -> None:
    model = fitted[0]
    model.save(tmp_path / "m")
    loaded = sa.load(tmp_path / "m")
    assert loaded.predict(level=[80]).equals(model.predict(level=[80]))
    drawn = loaded.sample(2000, ids=["s0", "s50"])["GRU"].to_numpy().reshape(2, 2000, HORIZON)
    said = model.predict(level=[80], ids="s0")
    np.testing.assert_allclose(np.quantile(drawn[0], 0.9, axis=0), said["GRU-hi-80"].to_numpy(), rtol=0.01)
    np.testing.assert_array_equal(drawn[1], 0)


def test_one_that_stands_still_reaches_as_far_as_such_ones_moved_on() -> None:
    # Some series are zero, and from a row on 5: as often among the rows held out as behind the end.
    rng, starts = np.random.default_rng(1), []
    for _ in range(120):
        rows = np.zeros(100)
        if rng.random() < 0.4:
            rows[rng.integers(60, 100) :] = 5.0
        starts.append(rows)
    starts += [20 + rng.normal(size=100) for _ in range(40)]
    panel = sa.Panel.from_arrays(
        np.concatenate(starts), ids=[f"s{i}" for i in range(160)], offsets=100 * np.arange(161)
    )
    asked = {"recipe": "panel", "season_length": None, "window": 20, "max_steps": 20, "blend": 0}
    model = sa.Forecaster(horizon=3, **asked).fit(panel)
    still = [s for s, rows in enumerate(starts) if not rows[-20:].any()]
    said = model.forecast(panel, panel.offsets[1:][still] - 1, level=[50, 99.5])
    np.testing.assert_allclose(said.hi[0, :, 0], 0, atol=1e-9)  # most of them go on as they are
    np.testing.assert_allclose(said.hi[0, :, 1], 5)  # some one in a hundred begins at the next row

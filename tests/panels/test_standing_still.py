"""Windows that stand still, beside others that move: each has intervals of its own."""

from pathlib import Path

import numpy as np
import pytest

import stepahead as sa
from stepahead.errors import ConfigError
from stepahead.holdout import moves

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


def dead_but(few: int, series: int = 1000, length: int = 60) -> sa.Panel:
    """A few series of noise, the others of nothing but zeros."""
    rows = np.zeros((series, length))
    rows[:few] = 20 + np.random.default_rng(0).normal(size=(few, length))
    return sa.Panel.from_arrays(
        rows.ravel(), ids=[f"s{i}" for i in range(series)], offsets=length * np.arange(series + 1)
    )


FEW = {"recipe": "panel", "season_length": None, "window": 12, "max_steps": 5, "ensemble": 1, "hidden_size": 4}


def test_a_few_that_move_among_many_dead_ones_have_errors_enough() -> None:
    model = sa.Forecaster(**FEW).fit(dead_but(6))
    # A thousand series have 2 rows each held out; of six that move these were 12 errors, and 95 % need 19.
    assert model.fitted_.held.calibration.scores.shape == (1, 6 * 12)  # a fifth of 60 rows
    said = model.predict(level=[95])
    assert (said["GRU-hi-95"] > said["GRU-lo-95"]).to_list() == [True] * 6 + [False] * 994
    # Where an eighth of the series move and more, as many rows are held out as before.
    model = sa.Forecaster(**FEW).fit(dead_but(125))
    assert model.fitted_.held.calibration.scores.shape == (1, 125 * 2)


def test_no_more_is_held_out_where_nothing_moves() -> None:
    model = sa.Forecaster(**FEW).fit(dead_but(0))
    assert model.fitted_.held.calibration.scores.shape == (1, 1000 * 2)


def test_a_series_moves_across_its_gaps() -> None:
    panel = dead_but(3, series=5)
    y = panel.y.copy()
    y[1::2] = np.nan  # no two rows beside one another
    y[2 * 60 : 3 * 60][-30:] = np.nan  # the third one ends
    gappy = sa.Panel.from_arrays(y, ids=panel.ids, offsets=panel.offsets)
    assert moves(panel).tolist() == [True, True, True, False, False]
    assert moves(gappy).tolist() == [True, True, False, False, False]


def test_dead_ones_are_answered_where_too_few_that_move_were_held_out() -> None:
    model = sa.Forecaster(**FEW, holdout=2).fit(dead_but(6))
    said = model.predict(level=[95], ids=["s6", "s999"])
    assert said["GRU-lo-95"].to_list() == said["GRU-hi-95"].to_list() == [0, 0]
    with pytest.raises(ConfigError, match="level=95 needs more than the 12 held-out errors"):
        model.predict(level=[95])


@pytest.mark.parametrize("head", ["auto", "quantile"])
def test_the_unit_of_the_target_is_no_matter_where_windows_are_all_zero(head: str) -> None:
    # Such a window has no scale. What followed it was learned in the target's own units: 6 % more error in small ones.
    rng = np.random.default_rng(0)
    rows = rng.uniform(5, 50, size=(20, 1)) * np.exp(0.2 * rng.normal(size=(20, 60)))
    rows *= np.repeat(rng.random((20, 4)) < 0.5, 15, axis=1)  # spells of fifteen rows
    asked = FEW | {"max_steps": 20, "holdout": None} | ({} if head == "auto" else {"head": head})
    said = []
    for unit in (1.0, 2.0**-20, 2.0**20):
        panel = sa.Panel.from_arrays(rows.ravel() * unit, ids=[f"s{i}" for i in range(20)], offsets=60 * np.arange(21))
        model = sa.Forecaster(**asked).fit(panel)
        assert (model.fitted_.source(panel).windows(np.arange(panel.n_rows)).x == 0).all(axis=1).any()
        said.append(model.forecast(panel, panel.offsets[1:] - 1).mean / unit)
    np.testing.assert_array_equal(said[1], said[0])  # powers of two change no digit
    np.testing.assert_array_equal(said[2], said[0])

"""Intervals of series that begin: one row says nothing of how much a series moves, others do."""

from pathlib import Path

import numpy as np
import pytest

import stepahead as sa
from stepahead.fitted_file import pack, unpack
from stepahead.panels.fitted import movement, usual_movement


def noisy(series: int, rows: int, seed: int) -> np.ndarray:
    """Levels of their own with a tenth of noise: [series, rows]."""
    rng = np.random.default_rng(seed)
    return rng.uniform(5, 50, (series, 1)) * (1 + 0.1 * rng.normal(size=(series, rows)))


def panel_of(y: np.ndarray) -> sa.Panel:
    series, rows = y.shape
    return sa.Panel.from_arrays(y.ravel(), ids=[f"s{s}" for s in range(series)], offsets=np.arange(series + 1) * rows)


@pytest.fixture(scope="module")
def model() -> sa.Forecaster:
    options = {"recipe": "panel", "horizon": 3, "season_length": None, "ensemble": 2, "hidden_size": 8}
    return sa.Forecaster(**options, max_steps=100).fit(panel_of(noisy(40, 66, seed=0)))


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_intervals_of_new_series_cover_about_as_promised(model: sa.Forecaster, rows: int) -> None:
    y = noisy(300, rows + 3, seed=1)
    said = model.predict(panel_of(y[:, :rows]), level=[90])
    lo, hi = (said[f"GRU-{side}-90"].to_numpy().reshape(300, 3) for side in ("lo", "hi"))
    covered = ((y[:, rows:] >= lo) & (y[:, rows:] <= hi)).mean()
    # Below .9: the forecast from one row errs by that row's noise too, which no held-out window of many rows does.
    assert 0.6 < covered < 1, covered


def test_a_panel_of_short_series_has_intervals_as_wide_as_its_errors() -> None:
    """Its held-out windows have few pairs themselves: each is measured as it is when it is forecast."""
    lengths = np.random.default_rng(3).integers(2, 9, 200)
    short = panel_of(noisy(200, 9, seed=4)).head(lengths)
    options = {"recipe": "panel", "horizon": 1, "season_length": None, "ensemble": 2, "hidden_size": 8}
    model = sa.Forecaster(**options, max_steps=100).fit(short)
    for rows in (1, 2, 8):
        y = noisy(300, rows + 1, seed=5)
        said = model.predict(panel_of(y[:, :rows]), level=[90])
        lo, hi = said["GRU-lo-90"].to_numpy(), said["GRU-hi-90"].to_numpy()
        covered = ((y[:, -1] >= lo) & (y[:, -1] <= hi)).mean()
        assert 0.75 < covered < 1, (rows, covered)
        # The noise is a tenth: the errors' sd is .1 to .14 of the level, 1.64 times that .16 to .23.
        assert 0.12 < np.mean((hi - lo) / (hi + lo)) < 0.35, rows


def test_a_saved_model_keeps_it_and_a_file_of_before_does_without(model: sa.Forecaster, tmp_path: Path) -> None:
    one = panel_of(noisy(1, 1, seed=2))
    model.save(tmp_path / "m.safetensors")
    assert sa.load(tmp_path / "m.safetensors").predict(one, level=[90]).equals(model.predict(one, level=[90]))
    tensors, config = pack(model.fitted_)
    del config["usual"]
    assert unpack(tensors, config).held.usual == 0.0


def test_only_windows_of_few_pairs_are_drawn_to_the_usual() -> None:
    """By hand: |changes| of 1, 3, 2 at a mean of 3; alone at a level of 10; one pair of 4 and 8; zeros."""
    y = np.array([2.0, 3, 6, 4, 10, 4, 8, 0])
    panel = sa.Panel.from_arrays(y, ids=list("abcd"), offsets=[0, 4, 5, 7, 8])
    made = sa.Forecaster(recipe="panel", horizon=1, window=4, season_length=None, max_steps=1, holdout=None, ensemble=1)
    source = made.fit(panel).fitted_.source(panel)
    windows = source.windows(panel.offsets[1:] - 1)
    assert usual_movement(windows) == pytest.approx(2 / 3.75)
    np.testing.assert_allclose(movement(windows, 0.0), [2, 1e-2, 4, 1e-3])
    np.testing.assert_allclose(movement(windows, 0.5), [2, 5, 4 / 3 + 2 / 3 * 3, 1e-3])
    np.testing.assert_array_equal(movement(windows, 0.5)[0], movement(windows, 0.0)[0])
    assert usual_movement(source.windows(panel.offsets[2:] - 1)) == 0.0

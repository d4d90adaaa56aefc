"""Probes of a fit, where a season shows in some of the rows and not in others."""

import warnings
from typing import cast

import numpy as np
import pytest

import stepahead as sa
from stepahead.forecaster import Forecaster
from stepahead.panels.fitted import PanelFitted
from stepahead.recipe import resolve
from stepahead.together import probes_of

# Seeds of series: the recipe that Forecaster() takes of the first three fifths of the rows, of four fifths, of all.
CASES = {
    170: ("price", "price", "panel"),
    489: ("price", "panel", "panel"),
    623: ("panel", "panel", "price"),
    1774: ("panel", "price", "price"),
    150: ("price", "panel", "price"),
    1309: ("panel", "panel", "panel"),
}


def spell(seed: int) -> sa.Panel:
    """A year of twelve steps that ends, or begins, somewhere among some hundred rows."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(60, 160))
    t = np.arange(n)
    y = 50 + rng.uniform(1, 3) * np.sin(2 * np.pi * t / 12) + rng.normal(size=n)
    cut = rng.uniform(0.3, 0.95)
    if rng.random() < 0.6:
        y = np.where(t < n * cut, y, 50 + rng.uniform(1, 5) * rng.normal(size=n))
    else:
        y = np.where(t > n * (1 - cut), y, 50 + rng.normal(size=n))
    return sa.Panel.from_arrays(y)


def first(panel: sa.Panel, share: float) -> sa.Panel:
    return panel.head(np.floor(panel.lengths * share).astype(np.int64))


@pytest.mark.parametrize(("seed", "recipes"), CASES.items())
def test_a_season_that_some_rows_show_alone(seed: int, recipes: tuple[str, str, str]) -> None:
    panel = spell(seed)
    assert tuple(resolve({}, first(panel, share)).recipe for share in (0.6, 0.8, 1.0)) == recipes
    model = sa.Forecaster(max_steps=2)
    (together,) = model.fit_each([panel])
    model.fit(panel)
    assert model.config_.recipe == recipes[2]
    frame = model.predict(level=[80])
    assert np.isfinite(frame.drop("unique_id", "ds").to_numpy()).all()
    assert frame.width == 5
    assert (frame.to_numpy() == together.predict(level=[80]).to_numpy()).all()
    assert len(model.sample(5)) == 5
    assert model.verdict_ == together.verdict_


@pytest.mark.parametrize(("seed", "recipes"), CASES.items())
def test_the_judge_finds_its_own_season_and_intervals_are_of_the_model_that_is_given(
    seed: int, recipes: tuple[str, str, str]
) -> None:
    panel = spell(seed)
    model = cast("Forecaster", sa.Forecaster(max_steps=2))
    model._begin(panel)
    probes = probes_of(model, panel, np.floor(panel.lengths * 0.8).astype(np.int64))
    assert resolve(probes.judge.model.get_params(), probes.judge.panel).recipe == recipes[1]
    for probe in probes.measure:
        probe.model.fit(probe.panel)
        assert isinstance(probe.model.fitted_, PanelFitted) == (recipes[2] == "panel")
        assert probe.model.config_.seasons == resolve({}, panel).seasons
    assert (probes.measure[0] is probes.judge) == (recipes[1] == recipes[2])
    assert [len(probe.panel.y) for probe in probes.measure] == sorted(
        (len(probe.panel.y) for probe in probes.measure), reverse=True
    )


def test_intervals_are_left_out_where_nothing_can_measure_them(monkeypatch: pytest.MonkeyPatch) -> None:
    fit = Forecaster.fit

    def refusing(self: Forecaster, panel: sa.Panel, **rest: object) -> Forecaster:
        if self.holdout is None and self.recipe == "panel":
            raise sa.errors.DataError("too few")
        return fit(self, panel, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Forecaster, "fit", refusing)
    model = sa.Forecaster(max_steps=2).fit(spell(170))
    assert model.verdict_ is not None
    assert np.isfinite(model.predict()["GRU"].to_numpy()).all()
    with pytest.raises(sa.errors.ConfigError, match="intervals need held-out errors"):
        model.predict(level=[80])


@pytest.mark.parametrize("rows", [42, 45, 50])
def test_the_judge_has_the_recipe_of_the_model_though_it_has_fewer_rows(rows: int) -> None:
    """The first four fifths alone would be too short for the price recipe."""
    panel = sa.Panel.from_arrays(50 + np.random.default_rng(rows).normal(size=rows).cumsum())
    model = sa.Forecaster()
    model._begin(panel)
    probes = probes_of(model, panel, np.array([rows * 4 // 5]))
    assert resolve(probes.judge.model.get_params(), probes.judge.panel).recipe == "price"
    assert probes.measure[0] is probes.judge


@pytest.mark.parametrize("recipe", ["price", "classic"])
def test_intervals_of_a_target_that_mostly_stands_still_are_of_its_size(recipe: str) -> None:
    """Widths were 248,285 of counts from 0 to 4, and 146,780 of a constant that begins to move."""
    rng = np.random.default_rng(13)
    counts = (rng.random(150) < 0.1) * rng.integers(1, 5, 150).astype(float)
    begins = np.concatenate([np.full(100, 50.0), 50 + rng.normal(size=50)])
    for y, most in ((counts, 16), (begins, 32)):
        panel = sa.Panel.from_arrays(y)
        model = sa.Forecaster(recipe, max_steps=50).fit(panel)
        frame = model.predict(level=[80, 95])
        name = model.name
        assert (frame[f"{name}-hi-95"] - frame[f"{name}-lo-95"]).item() < most
        live = model.stream(level=[80, 95]).forecast().lo[0, 0]  # sums a window's movement one by one
        np.testing.assert_allclose(live, [frame[f"{name}-lo-{level}"].item() for level in (80, 95)], rtol=1e-12)
        told = sa.backtest(model, panel, level=[95], adaptive=False)
        assert told.scores[name]["width-95"] < most
        assert told.coverage[95] >= 0.85  # of 45


@pytest.mark.parametrize("at", [350, 364, 10])
@pytest.mark.parametrize("value", [0.0, -3.0])
def test_a_value_without_a_logarithm_leaves_the_verdict_and_the_intervals(at: int, value: float) -> None:
    """Among the held-out rows it could not be scored by log-returns, which the rows before them allow."""
    y = 200 + 20 * np.random.default_rng(0).normal(size=365)
    y[at] = value
    panel = sa.Panel.from_arrays(y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = sa.Forecaster(max_steps=5).fit(panel)
    assert model.config_.difference is True
    assert model.verdict_ is not None
    frame = model.predict(level=[80])
    assert np.isfinite(frame.drop("unique_id", "ds").to_numpy()).all()
    (together,) = sa.Forecaster(max_steps=5).fit_each([panel])
    assert (together.predict(level=[80]).to_numpy() == frame.to_numpy()).all()


def test_a_backtest_refuses_a_later_zero_and_its_remedy_works() -> None:
    y = 200 + 20 * np.random.default_rng(0).normal(size=100)
    y[90] = 0
    panel = sa.Panel.from_arrays(y)
    with pytest.raises(sa.errors.DataError, match=r"holds 0, but the model learned log-returns .* difference=True"):
        sa.backtest(sa.Forecaster(max_steps=2), panel)
    assert sa.backtest(sa.Forecaster(max_steps=2, difference=True), panel).verdict


def test_a_fit_that_can_hold_nothing_out_says_so_once() -> None:
    panel = sa.Panel.from_arrays(np.arange(8.0) % 4)
    with pytest.warns(UserWarning, match="no verdict, and no errors to measure intervals by") as told:
        model = sa.Forecaster("classic", window=7, max_steps=2).fit(panel)
    assert len(told) == 1
    assert model.verdict_ is None
    with pytest.raises(sa.errors.ConfigError, match="on more rows where that held out nothing"):
        model.predict(level=[80])

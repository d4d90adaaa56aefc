"""A Forecaster with inputs beside the past: known ahead, fixed for a series, missing here and there."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from stepahead.data.panel import Panel
from stepahead.data.read import read
from stepahead.errors import ConfigError, DataError
from stepahead.forecaster import Forecaster
from tiny import QUICK, TINY, error_of, last, made_wave


def with_inputs(panel: Panel, *, future: np.ndarray | None = None, static: np.ndarray | None = None) -> Panel:
    if future is not None:
        panel = replace(panel, future=future, schema=replace(panel.schema, future=("promo",)))
    if static is not None:
        panel = replace(panel, static=static, schema=replace(panel.schema, static=("kind",)))
    return panel


@pytest.mark.parametrize("recipe", ["classic", "price", "panel"])
def test_a_verdict_and_intervals_come_with_inputs_known_ahead_several_steps(recipe: str):
    """The last origins, whose horizon the table does not hold, made `fit` do without a verdict, in silence."""
    promo = np.random.default_rng(0).integers(0, 2, 120).astype(float)
    panel = with_inputs(Panel.from_arrays(5 + 3 * promo + np.sin(np.arange(120))), future=promo[:, None])
    model = Forecaster(recipe=recipe, horizon=3, max_steps=20, hidden_size=4).fit(panel)
    assert model.verdict_ is not None
    told = model.predict(future=pl.DataFrame({"ds": [121, 122, 123], "promo": [0.0, 1.0, 0.0]}), level=[80])
    assert told.height == 3
    assert Forecaster(recipe=recipe, horizon=3, max_steps=20, hidden_size=4, holdout=24).fit(panel).verdict_


def test_an_input_known_ahead_helps_where_it_decides():
    promo = np.random.default_rng(0).integers(0, 2, 300).astype(float)
    y = 5 + 3 * promo + 0.1 * np.random.default_rng(1).standard_normal(300)
    panel = Panel.from_arrays(y)
    options = QUICK | {"max_steps": 200, "learning_rate": 0.03, "scaler": "standard", "horizon": 2}
    origins = np.arange(240, 297)
    told, untold = with_inputs(panel, future=promo[:, None]), panel
    knows = error_of(Forecaster(**options).fit(told.head(240)), told, origins)
    guesses = error_of(Forecaster(**options).fit(untold.head(240)), untold, origins)
    assert knows < 0.4  # the noise is 0.1, a guess cannot be better than 1.5
    assert guesses > 1.2


def test_a_static_input_helps_where_it_decides():
    """Two levels under so much noise that two rows hardly tell them apart; the kind does."""
    n, kinds = 300, np.array([["up"], ["down"]], dtype=object)
    level = np.repeat([1.0, -1.0], n)
    panel = Panel.from_arrays(
        level + 2 * np.random.default_rng(0).standard_normal(2 * n), ids=("a", "b"), offsets=[0, n, 2 * n]
    )
    options = QUICK | {"max_steps": 100, "learning_rate": 0.03, "scaler": "standard", "window": 2}
    origins = np.concatenate([np.arange(249, 299), n + np.arange(249, 299)])
    told, untold = with_inputs(panel, static=kinds), panel
    found = [Forecaster(**options).fit(p.head(250)).forecast(p, origins).mean[:, 0] for p in (told, untold)]
    knows, guesses = (float(np.sqrt(np.square(mean - level[origins]).mean())) for mean in found)
    assert knows < 0.5
    assert guesses > 0.7


def test_predict_asks_for_the_inputs_known_ahead_and_uses_them():
    promo = np.tile([0.0, 1.0, 1.0], 40)
    panel = with_inputs(Panel.from_arrays(5 + 3 * promo), future=promo[:, None])
    model = Forecaster(**QUICK | {"max_steps": 100}).fit(panel)
    with pytest.raises(DataError, match="the model needs 'promo' for the next 1 rows of each series; pass future="):
        model.predict()
    quiet, loud = (last(model.predict(future=pl.DataFrame({"ds": [121], "promo": [p]})))[0] for p in (0.0, 1.0))
    assert loud - quiet > 1
    with pytest.raises(ConfigError, match="trained without inputs known ahead"):
        Forecaster(**QUICK).fit(made_wave()).predict(future=pl.DataFrame({"ds": [81], "promo": [1.0]}))


@pytest.mark.parametrize("missing", ["ffill", "interpolate", "mask"])
def test_missing_values_at_both_ends_and_inside_are_taken(missing):
    panel = made_wave()
    panel.past[[0, 1, 30, 31, 50, 78, 79]] = np.nan
    model = Forecaster(**TINY, missing=missing).fit(panel)
    assert np.isfinite(last(model.predict(level=[80]))).all()
    with pytest.raises(DataError, match="fit with missing='ffill', 'interpolate' or 'mask'"):
        Forecaster(**TINY).fit(panel)


def test_a_series_that_holds_nothing_is_an_error_and_not_a_forecast():
    panel = Panel.from_arrays(np.full(50, np.nan))
    with pytest.raises(DataError):
        Forecaster(**TINY, missing="ffill").fit(panel)


def made_hours(promo: bool = False) -> pl.DataFrame:
    """Twelve days of hours in Berlin, the seventh of each day higher."""
    hours = np.arange(12 * 24)
    stamps = pl.Series(np.datetime64("2024-01-10", "us") + hours * np.timedelta64(1, "h")).dt.replace_time_zone("UTC")
    frame = pl.DataFrame({"ds": stamps.dt.convert_time_zone("Europe/Berlin"), "y": 10 + 5.0 * (hours % 24 == 7)})
    return frame.with_columns(promo=pl.lit(0.0)) if promo else frame


@pytest.mark.parametrize("recipe", ["classic", "panel"])
def test_the_same_moments_in_another_zone_are_forecast_alike(recipe):
    table = made_hours()
    told = {"calendar": True, "ensemble": 1, "hidden_size": 4, "max_steps": 10} if recipe == "panel" else QUICK
    model = Forecaster(**told | {"recipe": recipe, "holdout": None, "horizon": 2}).fit(read(table))
    here, there = (
        model.predict(table.with_columns(pl.col("ds").dt.convert_time_zone(zone)))
        for zone in ("Europe/Berlin", "Asia/Kolkata")
    )
    assert last(there, model.name).tolist() == last(here, model.name).tolist()
    assert there["ds"].dt.convert_time_zone("Europe/Berlin").to_list() == here["ds"].to_list()
    assert there["ds"].dtype == pl.Datetime("us", "Asia/Kolkata")


def test_stamps_with_and_without_a_zone_are_not_taken_for_each_other():
    zoned = made_hours()
    naive = zoned.with_columns(pl.col("ds").dt.replace_time_zone(None))
    with pytest.raises(DataError, match=r"'ds' has no time zone, but .* learned from have 'Europe/Berlin'; give every"):
        Forecaster(**QUICK).fit(read(zoned)).predict(naive)
    with pytest.raises(DataError, match=r"'ds' has the time zone 'Europe/Berlin', but .* have none; take it off"):
        Forecaster(**QUICK).fit(read(naive)).predict(zoned)


def test_inputs_known_ahead_are_asked_for_in_the_zone_of_the_rows():
    table = made_hours(promo=True)
    model = Forecaster(**QUICK).fit(read(table, future="promo"))
    ahead = pl.DataFrame({"ds": ["2024-01-22T01:00"], "promo": [1.0]})
    with pytest.raises(DataError, match="'ds' has no time zone, but the rows before it have 'Europe/Berlin'"):
        model.predict(future=ahead)
    assert len(model.predict(future=ahead.with_columns(pl.col("ds") + "+01:00"))) == 1

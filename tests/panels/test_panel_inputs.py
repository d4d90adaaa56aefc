"""Inputs besides the target help where they must, and are harmless where they are noise; made data."""

from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import stepahead as sa
from stepahead.errors import ConfigError


def small(**options: object) -> sa.Forecaster:
    given = {"recipe": "panel", "horizon": 3, "season_length": 4, "max_steps": 200, "ensemble": 2, "hidden_size": 8}
    return sa.Forecaster(**(given | {"holdout": None, "batch_size": 64} | options))


def relative_error(said: np.ndarray, truth: np.ndarray) -> float:
    return float(np.abs(said / truth - 1).mean())


def leading(effect: float, with_input: bool) -> float:
    """The error one step ahead where the target follows an input of the row before."""
    rng = np.random.default_rng(0)
    tables, truth = [], []
    for s in range(10):
        x = rng.normal(size=121)
        y = 100 * (1 + s) * np.exp(0.02 * rng.normal(size=121) + effect * np.concatenate([[0.0], x[:-1]]))
        tables.append(pl.DataFrame({"unique_id": f"s{s}", "ds": np.arange(120), "y": y[:120], "x": x[:120]}))
        truth.append(y[120])
    panel = sa.read(pl.concat(tables), past=["x"] if with_input else [])
    model = small(horizon=1, season_length=None, max_steps=200, learning_rate=2e-2).fit(panel)
    return relative_error(model.predict()["GRU"].to_numpy(), np.array(truth))


def test_a_past_input_helps_where_it_must() -> None:
    assert leading(0.2, True) < 0.6 * leading(0.2, False)


def test_a_past_input_that_is_noise_is_harmless() -> None:
    assert leading(0.0, True) < 1.25 * leading(0.0, False)


def growing(told: bool, factor: float) -> float:
    """The error for new series of one row, where the kind of a series says how it goes on."""
    rng = np.random.default_rng(0)
    tables = []
    for s in range(60):
        kind = s % 2
        steps = np.arange(rng.integers(4, 9))
        y = 100 * (1 + s) * factor ** (steps * (1 if kind else -1)) * np.exp(0.02 * rng.normal(size=len(steps)))
        tables.append(pl.DataFrame({"unique_id": f"s{s}", "ds": steps, "y": y, "kind": ["down", "up"][kind]}))
    static = ["kind"] if told else []
    model = small(horizon=1, season_length=None, max_steps=600, learning_rate=2e-2)
    model.fit(sa.read(pl.concat(tables), past=[], static=static))
    new = pl.DataFrame({"unique_id": ["a", "b"], "ds": [0, 0], "y": [50.0, 700.0], "kind": ["up", "down"]})
    said = model.predict(sa.read(new, past=[], static=static))["GRU"].to_numpy()
    return relative_error(said, np.array([50.0 * factor, 700.0 / factor]))


def test_a_new_series_of_one_row_is_forecast_by_its_static_input() -> None:
    assert growing(True, 1.5) < 0.1
    assert growing(False, 1.5) > 0.2


def test_a_static_input_that_is_noise_is_harmless() -> None:
    assert growing(True, 1.0) < growing(False, 1.0) + 0.02


def readings(n_series: int = 8, rows: int = 120) -> pl.DataFrame:
    """What meters count between readings at irregular hours: a rate times the hours gone by."""
    rng = np.random.default_rng(0)
    tables = []
    for s in range(n_series):
        hours = rng.choice([1, 2, 3, 6], p=[0.4, 0.2, 0.2, 0.2], size=rows)
        ds = np.datetime64("2024-01-01", "us") + np.cumsum(hours) * np.timedelta64(1, "h")
        y = 10.0 * (1 + s) * hours * np.exp(0.03 * rng.normal(size=rows))
        tables.append(pl.DataFrame({"unique_id": f"s{s}", "ds": ds, "y": y}))
    return pl.concat(tables)


def test_the_time_since_the_last_row_helps_irregular_series() -> None:
    truth = 10.0 * np.arange(1, 9)  # the next row comes after the commonest step, an hour
    errors = {}
    for elapsed in (False, True):
        model = small(horizon=1, season_length=None, elapsed=elapsed).fit(sa.read(readings()))
        errors[elapsed] = relative_error(model.predict()["GRU"].to_numpy(), truth)
    assert errors[True] < 0.25 * errors[False], errors


def test_the_time_since_the_last_row_is_harmless_where_it_is_always_the_same() -> None:
    table = readings().with_columns(y=pl.col("y") * 0 + 5, ds=pl.int_range(pl.len()).over("unique_id"))
    model = small(horizon=1, season_length=None, elapsed=True, max_steps=30).fit(sa.read(table))
    np.testing.assert_allclose(model.predict()["GRU"].to_numpy(), 5, rtol=0.05)


def test_a_model_with_holidays_given_as_dates_is_saved(tmp_path: Path) -> None:
    days = np.datetime64("2024-12-01", "us") + np.arange(60) * np.timedelta64(1, "D")
    panel = sa.Panel.from_arrays(np.arange(60.0), times=days)
    options: dict[str, object] = {"max_steps": 5, "season_length": None}
    model = small(calendar=[date(2024, 12, 25), datetime(2024, 12, 26, tzinfo=UTC)], **options).fit(panel)
    model.save(tmp_path / "m.safetensors")
    loaded = sa.load(tmp_path / "m.safetensors")
    assert loaded.calendar == ["2024-12-25", "2024-12-26"]
    assert loaded.predict().equals(model.predict())


def test_a_calendar_that_says_nothing_is_harmless() -> None:
    rng, days = np.random.default_rng(1), 200
    ds = np.datetime64("2023-01-02") + np.arange(days + 3)
    y = 100 + 10 * np.sin(2 * np.pi * np.arange(days + 3) / 4) + rng.normal(size=days + 3)
    panel = sa.read(pl.DataFrame({"ds": ds[:days], "y": y[:days]}))
    plain, knowing = (
        relative_error(small(calendar=kind).fit(panel).predict()["GRU"].to_numpy(), y[days:]) for kind in (False, True)
    )
    assert knowing < plain + 0.02


def test_a_saved_model_remembers_the_time_since_the_last_row(tmp_path) -> None:
    model = small(horizon=2, season_length=None, elapsed=True, max_steps=5).fit(sa.read(readings()))
    model.save(tmp_path / "m.safetensors")
    assert sa.load(tmp_path / "m.safetensors").predict().equals(model.predict())


def test_elapsed_is_the_panel_recipes() -> None:
    with pytest.raises(ConfigError, match="elapsed="):
        sa.Forecaster(recipe="classic", elapsed=True).fit(sa.read(readings()))


def test_gaps_of_a_frequency_are_masked_and_forecast() -> None:
    table = readings().filter(pl.int_range(pl.len()).over("unique_id") < 60)
    panel = sa.read(table, frequency="h")
    assert np.isnan(panel.y).any()
    model = small(missing="mask", max_steps=20).fit(panel)
    said = model.predict()
    assert np.isfinite(said["GRU"].to_numpy()).all()
    assert (said.group_by("unique_id").agg(pl.col("ds").diff().drop_nulls().n_unique())["ds"] == 1).all()


@pytest.mark.parametrize("stamps", [{"calendar": True}, {"elapsed": True}])
def test_where_the_level_of_an_input_known_ahead_lies_changes_no_forecast_at_the_end(stamps: dict[str, bool]) -> None:
    # Of the last origins some of the horizon lies behind the table: 0 must not be taken there where 1000 is usual.
    rng = np.random.default_rng(0)
    known = rng.normal(size=90)
    table = {"ds": np.datetime64("2021-01-01") + np.arange(90), "y": 50 + known + rng.normal(size=90).cumsum() / 10}
    told = []
    for level in (0.0, 1000.0):
        panel = sa.read(pl.DataFrame(table | {"k": known + level}), future=["k"])
        model = sa.Forecaster(recipe="panel", horizon=4, max_steps=20, ensemble=1, holdout=None, **stamps)
        told.append(model.fit(panel.head(70)).fitted_.forecast(model.fitted_.source(panel), np.arange(70, 89)).mean)
    # Scaled inputs differ by rounding alone; the last three origins were off by up to 50.
    np.testing.assert_allclose(told[1], told[0], atol=1e-3)

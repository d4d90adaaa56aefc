"""Baselines against loops that read one series at a time."""

import numpy as np
import polars as pl
import pytest

import stepahead as sa
from stepahead.data.panel import Panel
from stepahead.evaluate.baselines import BASELINES, drift, naive, season_to_beat, seasonal_naive, window_mean


def seen(panel: Panel, origin: int) -> np.ndarray:
    """The target of the origin's series up to it."""
    start = max(int(o) for o in panel.offsets[:-1] if o <= origin)
    return panel.y[start : origin + 1]


def loop(name: str, y: np.ndarray, horizon: int, season: int | None) -> list[float]:
    known = np.flatnonzero(~np.isnan(y))
    if len(known) == 0:
        return [np.nan] * horizon
    last, answer = y[known[-1]], []
    for h in range(1, horizon + 1):
        value = last
        if name == "seasonal_naive":
            m, row = season or 1, len(y) - 1 + h
            while row >= len(y) or (row >= 0 and np.isnan(y[row])):
                row -= m
            value = y[row] if row >= 0 else last
        if name == "drift" and len(known) > 1:
            slope = (last - y[known[0]]) / (known[-1] - known[0])
            value = last + slope * (len(y) - 1 + h - known[-1])
        if name == "window_mean":
            tail = y[-(season or 7) :]
            value = last if np.isnan(tail).all() else np.nanmean(tail)
        answer.append(value)
    return answer


@pytest.mark.parametrize("name", sorted(BASELINES))
@pytest.mark.parametrize("season", [None, 1, 4, 30])
def test_every_baseline_equals_a_loop_at_every_origin(ragged: Panel, name: str, season: int | None) -> None:
    origins = np.arange(ragged.n_rows)
    found = BASELINES[name](ragged, origins, 6, season)
    expected = np.array([loop(name, seen(ragged, o), 6, season) for o in origins])
    np.testing.assert_allclose(found, expected, rtol=1e-13)  # the sums are taken in another order


def test_worked_numbers() -> None:
    panel, origin = Panel.from_arrays(np.array([1.0, 4.0, 2.0, 8.0, 99.0])), np.array([3])
    assert naive(panel, origin, 2).tolist() == [[8.0, 8.0]]
    assert seasonal_naive(panel, origin, 5, 3).tolist() == [[4.0, 2.0, 8.0, 4.0, 2.0]]
    assert drift(panel, origin, 2).tolist() == [[8 + 7 / 3, 8 + 14 / 3]]
    assert window_mean(panel, origin, 1, 2).tolist() == [[5.0]]


@pytest.mark.parametrize("name", sorted(BASELINES))
def test_rows_after_the_origin_and_other_series_change_no_bit(ragged: Panel, name: str) -> None:
    origin = np.array([43])
    before = BASELINES[name](ragged, origin, 8, 3)
    past = ragged.past.copy()
    past[:40], past[44:] = np.nan, 1e9
    assert np.array_equal(BASELINES[name](ragged.with_past(past), origin, 8, 3), before)


def test_before_the_first_observed_value_there_is_no_forecast() -> None:
    panel = Panel.from_arrays(np.array([np.nan, np.nan, 5.0]))
    for baseline in BASELINES.values():
        assert np.isnan(baseline(panel, np.array([1]), 2, 2)).all()


def test_origins_in_any_order_and_more_than_one_chunk() -> None:
    panel = Panel.from_arrays(np.arange(70_000.0))
    origins = np.arange(70_000)[::-1]
    expected = np.maximum(origins - 3.0, origins / 2)
    np.testing.assert_array_equal(window_mean(panel, origins, 1)[:, 0], expected)


def seasonal_table(months: int) -> Panel:
    rng = np.random.default_rng(0)
    y = 100 + 30 * np.sin(np.arange(months) * 2 * np.pi / 12) + 3 * rng.normal(size=months)
    times = np.datetime64("2005-01", "M") + np.arange(months)
    return sa.read(pl.DataFrame({"ds": times.astype("datetime64[us]"), "y": y}), time="ds", target="y")


@pytest.mark.parametrize("train_rows", [36, 60])
def test_a_first_part_too_short_for_a_season_drops_no_seasonal_baseline(train_rows: int) -> None:
    """36 months are too few to find a season of 12, 60 are not; the seasonal naive forecast is three times as good as
    a network that looks 6 rows back, whichever rows it learned."""
    panel = seasonal_table(180)
    model = sa.Forecaster(recipe="price", max_steps=30, window=6)
    result = sa.backtest(model, panel, horizon=1, n_windows=60, refit=20, train_rows=train_rows)
    np.testing.assert_array_equal(
        result.baseline_means["seasonal_naive"][:, 0], panel.y[result.origins + 1 - 12]
    )  # the truth 12 rows before
    assert (result.season_length, result.verdict.baseline, result.verdict.outcome) == (12, "seasonal_naive", "worse")
    starts = result.origins[0] + 1 - train_rows
    change = np.abs(panel.y[starts + 12 : starts + train_rows] - panel.y[starts : starts + train_rows - 12])
    assert result.actual.mae_scale[0] == pytest.approx(change.mean(), rel=1e-12)


def test_nor_does_the_held_out_part_of_a_fit() -> None:
    model = sa.Forecaster(recipe="price", max_steps=30, window=6, holdout=0.75).fit(seasonal_table(48))
    assert model.backtest_.season_length == 12
    assert "seasonal_naive" in model.backtest_.baselines


def test_a_season_ruled_out_is_not_looked_for() -> None:
    """Nor is one that the first fit found replaced."""
    panel = seasonal_table(180)
    found = [season_to_beat(panel, 4, {}), season_to_beat(panel, None, {"season_length": None})]
    assert found == [4, None]
    assert season_to_beat(panel, None, {"season_length": "auto"}) == season_to_beat(panel, None, {}) == 12

"""A season is found where there is one, and not where there is none."""

import numpy as np
import pytest

from stepahead.data.panel import Panel
from stepahead.data.season import autocorrelation, find_season, season_strengths


def wave(period: int, n: int, noise: float = 0.005, seed: int = 0) -> np.ndarray:
    return np.sin(2 * np.pi * np.arange(n) / period) + noise * np.random.default_rng(seed).standard_normal(n)


def dated(y: np.ndarray, step: str, start: str = "2020-01-01") -> Panel:
    amount, unit = step.split()
    times = np.datetime64(start, "us") + np.arange(len(y)) * np.timedelta64(int(amount), unit)
    return Panel.from_arrays(y, times=times)


@pytest.mark.parametrize("period", [4, 7, 12, 24, 48])
def test_a_wave_over_bare_steps_is_found(period):
    assert find_season(Panel.from_arrays(wave(period, 20 * period))) == period


@pytest.mark.parametrize(("step", "period"), [("1 h", 24), ("1 D", 7), ("30 m", 48), ("7 D", 52)])
def test_a_wave_over_dates_is_found_at_the_calendar_s_season(step, period):
    assert find_season(dated(wave(period, 20 * period), step)) == period


@pytest.mark.parametrize(("step", "period", "rows"), [("1 h", 24, 120), ("1 D", 7, 40)])
def test_a_few_smooth_seasons_are_enough_where_the_calendar_names_them(step, period, rows):
    """Bartlett's error, which the season itself makes wide, asked for some 9 (period + 1) rows."""
    assert find_season(dated(wave(period, rows, noise=0.07), step)) == period
    months = np.arange("2019-01", "2024-01", dtype="datetime64[M]").astype("datetime64[us]")
    assert find_season(Panel.from_arrays(wave(12, 60, noise=0.07), times=months)) == 12


@pytest.mark.parametrize("rows", [60, 150, 600])
def test_dates_alone_make_no_season(rows):
    rng = np.random.default_rng(0)
    for _ in range(40):
        noise = rng.standard_normal(rows)
        assert find_season(dated(noise, "1 D")) is None
        assert find_season(dated(np.cumsum(noise), "1 D")) is None
        assert find_season(dated(np.cumsum(noise), "1 h")) is None


def test_a_week_of_hours_wins_over_its_days_where_days_differ():
    hours = np.arange(24 * 7 * 8)
    y = np.where(hours // 24 % 7 < 5, 5.0, 1.0) * (1 + np.sin(2 * np.pi * hours / 24))
    assert find_season(dated(y, "1 h")) == 168


@pytest.mark.parametrize("seed", range(5))
def test_noise_and_random_walks_have_no_season(seed):
    noise = np.random.default_rng(seed).standard_normal(600)
    assert find_season(Panel.from_arrays(noise)) is None
    assert find_season(Panel.from_arrays(np.cumsum(noise))) is None


def test_a_constant_and_a_straight_line_have_no_season():
    assert find_season(Panel.from_arrays(np.ones(200))) is None
    assert find_season(Panel.from_arrays(np.arange(200.0))) is None


@pytest.mark.parametrize("n", [1, 2, 3, 10])
def test_a_short_series_has_no_season(n):
    assert find_season(Panel.from_arrays(wave(7, n))) is None


def test_missing_values_do_not_hide_a_season():
    y = wave(12, 240)
    y[[0, 50, 239]] = np.nan
    assert find_season(Panel.from_arrays(y)) == 12
    assert find_season(Panel.from_arrays(np.full(50, np.nan))) is None


def test_most_series_must_agree():
    n = 240
    y = np.concatenate([wave(12, n), wave(12, n, seed=1), np.random.default_rng(0).standard_normal(n)])
    bounds = [0, n, 2 * n, 3 * n]
    assert find_season(Panel.from_arrays(y, ids=("a", "b", "c"), offsets=bounds)) == 12
    flipped = np.concatenate([y[:n], *(np.random.default_rng(s).standard_normal(n) for s in (1, 2))])
    assert find_season(Panel.from_arrays(flipped, ids=("a", "b", "c"), offsets=bounds)) is None


def test_a_strong_season_of_a_few_does_not_win_over_the_one_that_most_share():
    n = 480
    weak = [wave(24, n, noise=0.15, seed=s) for s in range(2)]
    strong = [wave(7, n, noise=0.0)]
    y = np.concatenate([*weak, *strong])
    assert find_season(Panel.from_arrays(y, ids=("a", "b", "c"), offsets=[0, n, 2 * n, 3 * n])) == 24


def test_autocorrelation_equals_the_sums_by_hand():
    values = np.random.default_rng(3).standard_normal(50)
    centred = values - values.mean()
    by_hand = [(centred[: 50 - k] @ centred[k:]) / (centred @ centred) for k in range(11)]
    # Fourier and direct sums differ by rounding alone.
    assert np.abs(autocorrelation(values, 10) - by_hand).max() < 1e-12


def test_strengths_are_zero_below_three_seasons():
    assert season_strengths(wave(12, 37), (12,), False).tolist() == [0.0]
    pulses = np.tile([0.0] * 11 + [1.0], 4)
    assert season_strengths(pulses[:37], (12,), False).tolist() == [0.0]
    assert season_strengths(pulses[:38], (12,), False)[0] > 0.3

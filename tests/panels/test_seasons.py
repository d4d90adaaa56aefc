"""Seasons, windows and patches."""

import warnings

import numpy as np
import polars as pl
import pytest

import stepahead as sa
from stepahead.data.panel import Panel
from stepahead.errors import ConfigError
from stepahead.panels.seasons import patch_of, seasons_of, window_and_patch


@pytest.mark.parametrize(
    ("seasons", "horizon", "rows", "expected"),
    [
        ([24, 168], 48, 400_000, (528, 48)),  # the recipe's own three, as its table says
        ([12], 24, 100_000, (72, 6)),
        ([12], 12, 5_000, (36, 3)),
        ([48], 1, 2_000, (144, 12)),
        ([], 1, 2_000, (20, 2)),
    ],
)
def test_window_is_three_seasons_or_horizons_in_whole_patches(
    seasons: list[int], horizon: int, rows: int, expected: tuple[int, int]
) -> None:
    assert window_and_patch(seasons, horizon, rows) == expected


@pytest.mark.parametrize(
    ("seasons", "horizon", "rows", "expected"),
    [
        ([24, 168], 48, 2_620, (240, 24)),  # a twelfth of the rows
        ([24, 168], 48, 960, (168, 12)),  # the longest season once, of which the rows hold four
        ([24, 168], 48, 650, (72, 6)),  # three of the leading season
        ([12], 24, 260, (36, 3)),
        ([12], 12, 60, (20, 2)),  # of which they hold five: one; no fewer than 20 rows
        ([336], 1, 1_500, (336, 28)),
        ([], 24, 90, (20, 2)),
    ],
)
def test_few_rows_have_shorter_windows(seasons: list[int], horizon: int, rows: int, expected: tuple[int, int]) -> None:
    assert window_and_patch(seasons, horizon, rows) == expected


@pytest.mark.parametrize("window", [1, 7, 20, 36, 500])
def test_patch_of_a_given_window_divides_it(window: int) -> None:
    assert window % patch_of(window) == 0


def test_hourly_stamps_suggest_the_day_and_the_week() -> None:
    times = np.datetime64("2024-01-01T00", "us") + np.arange(1200) * np.timedelta64(1, "h")
    y = np.sin(2 * np.pi * np.arange(1200) / 24) + 0.1 * np.random.default_rng(0).normal(size=1200)
    seasons = seasons_of("auto", Panel.from_arrays(y, times=times))
    assert seasons == (24, 168)
    assert [type(n) for n in (*seasons, *window_and_patch(seasons, 24, 1200))] == [int] * 4  # no number of NumPy's


@pytest.mark.parametrize("asked", [1, [24, 1], "24", [2.5], True])
def test_a_season_that_cannot_be_is_refused(asked: object) -> None:
    with pytest.raises(ConfigError, match="season_length"):
        seasons_of(asked, Panel.from_arrays(np.arange(10.0)))


@pytest.mark.parametrize("recipe", ["classic", "price", "panel"])
def test_a_season_longer_than_every_series_is_warned_of(recipe: str) -> None:
    rng = np.random.default_rng(0)
    ids, ds = np.repeat(["a", "b"], [50, 60]), np.r_[0:50, 0:60]
    panel = sa.read(pl.DataFrame({"unique_id": ids, "ds": ds, "y": 10 + rng.normal(size=110)}), past=[])
    for season, beyond in (([7, 61], True), (60, False), (None, False)):
        model = sa.Forecaster(recipe=recipe, window=5, season_length=season, max_steps=2, holdout=None)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.fit(panel)
        told = [str(one.message) for one in caught if "season_length" in str(one.message)]
        assert bool(told) == beyond
        if beyond:
            assert told[0].startswith("season_length=61 is more than the 60 rows of the longest series")

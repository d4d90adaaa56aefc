"""The window search: the length that a series needs is found, and a length that says nothing is called so."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from evaluate_fakes import FakeForecasts, FakeModel

import stepahead as sa
from stepahead.data.panel import Panel
from stepahead.errors import ConfigError, DataError
from stepahead.evaluate.choose import choose_window, folds_of
from stepahead.fitted import Fitted
from stepahead.show.report_data import window_curve


class Lagged(FakeModel):
    """Repeats the value of 12 rows before where its window reaches back so far, else says 0; it notes what it saw."""

    parameters: tuple[str, ...] = (*FakeModel.parameters, "window", "lag")  # type: ignore[assignment]  # two more
    window: int = 7
    lag: int = 12

    def clone(self) -> Self:
        copy = type(self)().set_params(**self.get_params())
        copy.fits, copy.holdouts = self.fits, self.holdouts
        return copy

    def ready_at(self, panel: Panel, origins: np.ndarray) -> np.ndarray:
        series = np.searchsorted(panel.offsets, origins, side="right") - 1
        return origins - panel.offsets[series] + 1 >= self.window

    def forecast(self, panel: Panel, origins: np.ndarray, **_: Any) -> FakeForecasts:
        back = origins[:, None] + 1 + np.arange(self.horizon) - self.lag
        mean = np.where(self.window >= self.lag, panel.y[np.maximum(back, 0)], 0.0)
        nothing = np.empty((*mean.shape, 0))
        return FakeForecasts(mean, (), nothing, nothing)


def monthly(n: int, seed: int = 0) -> np.ndarray:
    """y(t) = .95 y(t - 12) + e: all that can be known lies 12 rows back."""
    e, y = np.random.default_rng(seed).normal(size=n + 120), np.zeros(n + 120)
    for t in range(12, n + 120):
        y[t] = 0.95 * y[t - 12] + e[t]
    return y[120:]


def test_the_length_that_reaches_the_season_is_found() -> None:
    choice = choose_window(Lagged(), Panel.from_arrays(monthly(400)))
    assert (choice.chosen, choice.matters) == (14, True)
    assert str(choice) == choice.sentence
    assert choice.sentence.startswith("The length matters: RMSE ")
    assert "with 14 rows against" in choice.sentence
    assert np.ptp(choice.error[:5]) == 0  # 1 to 7 rows say the same
    assert choice.windows[4:6] == (7, 14)
    assert choice.error[5] < choice.error[4]


def test_lengths_may_come_one_by_one() -> None:
    choice = choose_window(Lagged(), Panel.from_arrays(monthly(200)), windows=(n for n in (14, 7)))  # type: ignore[arg-type]
    assert choice.windows == (7, 14)


def test_lengths_that_say_the_same_do_not_matter_and_the_shortest_is_taken() -> None:
    choice = choose_window(Lagged().set_params(lag=99), Panel.from_arrays(monthly(400)))
    assert (choice.chosen, choice.matters, choice.p_value) == (1, False, 1.0)
    assert str(choice) == "The length does not matter: 1 row does as well as any longer window."


def test_a_longer_window_that_wins_by_luck_does_not_matter() -> None:
    walk = np.cumsum(np.random.default_rng(3).normal(size=300))
    said = [choose_window(Lagged().set_params(lag=k), Panel.from_arrays(np.diff(walk))) for k in (2, 3, 5, 7, 14)]
    assert not any(choice.matters for choice in said)
    assert all(choice.sentence.startswith("The length does not matter") for choice in said)


def test_the_errors_are_those_of_a_plain_loop_at_the_origins_that_the_longest_window_can_answer() -> None:
    y = monthly(100)
    choice = choose_window(Lagged().set_params(horizon=2), Panel.from_arrays(y), [12, 1], n_folds=2, test_size=21)
    origins = range(100 - 2 - 20, 100 - 2)  # 21 rows hold 20 origins with both steps behind them
    errors = np.array([[y[o + h] - np.array([0.0, y[o + h - 12]]) for h in (1, 2)] for o in origins])
    assert choice.windows == (1, 12)
    assert choice.n_forecasts == errors[..., 0].size
    assert np.allclose(choice.error, np.sqrt(np.square(errors).mean(axis=(0, 1))), rtol=1e-12)


def test_the_noise_is_that_of_the_paired_difference_to_the_best() -> None:
    y = monthly(400)
    choice = choose_window(Lagged(), Panel.from_arrays(y), [1, 7, 14])
    assert choice.noise[2] == 0
    gain = np.square(y[-120:]) - np.square(y[-120:] - y[-132:-12])  # one forecast of each of the last 120 rows
    blocks = (gain / (choice.error[0] + choice.error[2])).reshape(24, 5).mean(axis=1)  # 120^(1/3) is 4.9: blocks of 5
    assert np.isclose(blocks.mean(), choice.error[0] - choice.error[2], rtol=1e-12)
    assert np.isclose(choice.noise[0], blocks.std(ddof=1) / np.sqrt(24), rtol=1e-12)
    assert choice.noise[0] == choice.noise[1] > 0
    assert np.allclose([choice.high - choice.error, choice.error - choice.low], choice.noise, rtol=1e-12)


def test_every_length_learns_from_the_same_rows_and_never_from_later_ones() -> None:
    panel, model = Panel.from_arrays(monthly(100)), Lagged()
    choose_window(model, panel, [1, 2, 14], n_folds=3)
    assert [len(seen) for seen in model.fits] == [70, 80, 90] * 3
    assert all(np.array_equal(seen, panel.y[: len(seen)]) for seen in model.fits)
    assert set(model.holdouts) == {None}


def test_folds_follow_one_another_and_forecast_only_what_their_fit_has_not_seen() -> None:
    folds = folds_of(Panel.from_arrays(np.arange(50.0)), 3, 2, 0.4)
    assert [(fold.stops[0], fold.origins[0], fold.origins[-1]) for fold in folds] == [(30, 29, 37), (39, 38, 46)]


def test_series_too_short_for_the_longest_window_are_judged_for_none() -> None:
    y = monthly(110)
    panel = Panel.from_arrays(y, ids=("long", "short"), offsets=[0, 100, 110])
    alone = choose_window(Lagged(), Panel.from_arrays(y[:100]), [1, 14], n_folds=1)
    both = choose_window(Lagged(), panel, [1, 14], n_folds=1)
    assert np.array_equal(both.error, alone.error)
    assert both.n_forecasts == alone.n_forecasts == 30


def test_lengths_that_cannot_be_learned_are_left_out_with_a_note() -> None:
    choice = choose_window(Lagged(), Panel.from_arrays(monthly(60)), [1, 14, 42, 300])
    assert choice.windows == (1, 14)
    assert choice.notes == ("left out 42, 300: the first fit has 42 rows to learn from",)
    model = sa.Forecaster(recipe="classic", difference=True, max_steps=1, season_length=None)
    choice = choose_window(model, Panel.from_arrays(monthly(60)), [1, 2], n_folds=1)
    assert choice.windows == (2,)
    assert choice.notes == ("left out 1: a change needs 2 rows",)
    assert str(choice) == "Only 2 rows could be tried: nothing to choose from."


@pytest.mark.parametrize("windows", [[], 7, [0], [1.5], [True]])
def test_windows_that_are_no_lengths_are_refused(windows: Any) -> None:
    with pytest.raises(ConfigError, match="windows="):
        choose_window(Lagged(), Panel.from_arrays(monthly(60)), windows)


def test_too_few_rows_are_said() -> None:
    with pytest.raises(DataError, match="3 rows to forecast from, fewer than n_folds=5"):
        choose_window(Lagged(), Panel.from_arrays(monthly(10)), [1], n_folds=5)
    with pytest.raises(DataError, match="no window length can be tried: left out 30: the first fit has 14 rows"):
        choose_window(Lagged(), Panel.from_arrays(monthly(20)), [30])


def test_a_single_block_of_time_says_nothing_about_the_length() -> None:
    choice = choose_window(Lagged().set_params(horizon=12), Panel.from_arrays(monthly(100)), [1, 14], n_folds=1)
    assert choice.n_forecasts == 19 * 12  # 30 rows hold 19 origins of 12 steps, fewer than two horizons
    assert (choice.chosen, choice.matters) == (1, False)
    assert str(choice) == "There are too few rows to say whether the length matters: the shortest is taken."
    assert window_curve(choice)["chosen"] == 1


@pytest.mark.parametrize("n_folds", [1, 2])
def test_progress_counts_every_fit(n_folds: int) -> None:
    model = sa.Forecaster(recipe="classic", cell="rnn", max_steps=2, check_every=1, season_length=None)
    told: list[Any] = []
    choose_window(model, Panel.from_arrays(monthly(60)), [1, 2], n_folds=n_folds, progress=told.append)
    assert {report.total for report in told} == {2 * n_folds}
    reached = [report.done for report in told]
    assert reached == sorted(reached)
    assert reached[-1] == 2 * n_folds


def test_a_forecaster_is_searched_to_the_same_bits_and_left_as_it_was() -> None:
    panel = Panel.from_arrays(monthly(80))
    model = sa.Forecaster(recipe="classic", cell="rnn", max_steps=5, season_length=None)
    first, second = (sa.choose_window(model, panel, [1, 12], n_folds=2) for _ in range(2))
    assert np.array_equal(first.error, second.error)
    assert model.window == "auto"
    alone = model.clone().set_params(window=12, holdout=None)
    folds = folds_of(panel, 1, 2, 0.3)
    errors = [
        panel.y[fold.origins + 1] - alone.fit(panel.head(fold.stops)).forecast(panel, fold.origins).mean[:, 0]
        for fold in folds
    ]
    assert np.isclose(first.error[1], np.sqrt(np.square(np.concatenate(errors)).mean()), rtol=1e-12)


def test_the_report_draws_the_curve() -> None:
    drawn = window_curve(choose_window(Lagged(), Panel.from_arrays(monthly(400))))
    assert drawn["x"] == [1, 2, 3, 5, 7, 14, 28, 56]
    assert drawn["chosen"] == 14


def test_an_ensemble_forecasts_the_median_of_its_members_and_is_one_file(tmp_path: Path) -> None:
    panel = Panel.from_arrays(monthly(60))
    asked: dict[str, Any] = {"recipe": "classic", "max_steps": 10, "season_length": None, "holdout": None}
    model = sa.Forecaster(**asked, ensemble=5, seed=2).fit(panel)
    origins = np.arange(20, 60)
    fitted = model.fitted_
    assert isinstance(fitted, Fitted)
    alone = [replace(fitted, members=(one,)) for one in fitted.members]
    own = np.stack([one.forecast(one.source(panel), origins).mean for one in alone])
    assert len(np.unique(own[:, 0, 0])) == 5
    assert np.allclose(model.forecast(panel, origins).mean, np.median(own, axis=0), rtol=1e-6)  # float32 networks
    first = sa.Forecaster(**asked, seed=2).fit(panel).forecast(panel, origins).mean
    assert np.array_equal(own[0], first)
    model.save(tmp_path / "five.safetensors")
    assert [file.name for file in tmp_path.iterdir()] == ["five.safetensors"]
    again = sa.load(tmp_path / "five.safetensors")
    assert isinstance(again, sa.Forecaster)
    assert np.array_equal(again.forecast(panel, origins).mean, model.forecast(panel, origins).mean)


def test_a_network_gets_the_12_rows_that_a_season_needs_and_on_a_random_walk_no_length_matters() -> None:
    rng, y = np.random.default_rng(3), np.zeros(840)
    for t in range(12, 840):
        y[t] = 0.8 * y[t - 12] + rng.normal()
    model = sa.Forecaster(recipe="classic", cell="rnn", max_steps=200, season_length=None)
    seasonal = sa.choose_window(model, Panel.from_arrays(y[240:]), [1, 7, 14])
    assert seasonal.matters
    assert seasonal.chosen >= 12
    walk = Panel.from_arrays(100 + np.cumsum(rng.normal(size=600)))
    assert not sa.choose_window(model.set_params(difference=True, max_steps=50), walk, [2, 7, 14]).matters

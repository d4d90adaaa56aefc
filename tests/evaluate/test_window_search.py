"""Forecaster(window="search"): part of the fit, and blind to later rows; "auto" stays the recipe's window."""

from pathlib import Path

import numpy as np
import pytest

import stepahead as sa

Y = np.zeros(560)
for _t, _e in enumerate(np.random.default_rng(3).normal(size=548), start=12):
    Y[_t] = 0.8 * Y[_t - 12] + _e
SEASONAL = sa.Panel.from_arrays(Y[160:])


def searching(**params: object) -> sa.Forecaster:
    fast = {"recipe": "classic", "cell": "rnn", "max_steps": 100, "season_length": None, "window": "search"}
    return sa.Forecaster(**(fast | params))


def test_auto_is_the_recipe_s_window_and_searches_nothing() -> None:
    model = sa.Forecaster(recipe="classic", max_steps=3, holdout=None).fit(SEASONAL)
    assert (model.config_.window, model.window_choice_) == (7, None)


def test_search_takes_what_choose_window_chooses_among_the_rows_that_are_not_held_out() -> None:
    model = searching().fit(SEASONAL)
    choice = sa.choose_window(searching(), SEASONAL.head(np.array([320])))
    assert model.window_choice_.sentence == choice.sentence
    assert model.config_.window == choice.chosen
    assert model.get_params()["window"] == "search"


def test_held_out_rows_do_not_choose_the_window() -> None:
    past = SEASONAL.past.copy()
    past[320:] = np.random.default_rng(0).normal(size=(80, 1))
    one, other = searching().fit(SEASONAL), searching().fit(SEASONAL.with_past(past))
    np.testing.assert_array_equal(one.window_choice_.error, other.window_choice_.error)


def test_in_a_backtest_each_fold_searches_in_its_own_training_part() -> None:
    past = SEASONAL.past.copy()
    past[381:] = 99.0
    plan = {"n_windows": 2, "step_size": 20}
    before, after = (sa.backtest(searching(), p, **plan) for p in (SEASONAL, SEASONAL.with_past(past)))
    assert before.origins.tolist() == [378, 398]
    assert before.mean[0] == after.mean[0]


def test_many_panels_at_once_are_searched_one_by_one_and_give_the_bits_of_a_fit_alone() -> None:
    panels = [SEASONAL, SEASONAL.head(np.array([200]))]
    together = searching(max_steps=40).fit_each(panels)
    for model, panel in zip(together, panels, strict=True):
        alone = searching(max_steps=40).fit(panel)
        assert model.config_.window == alone.config_.window
        origins = np.array([150, 190])
        np.testing.assert_array_equal(model.forecast(panel, origins).mean, alone.forecast(panel, origins).mean)


def test_a_saved_model_keeps_the_window_that_was_found(tmp_path: Path) -> None:
    model = searching(max_steps=20).fit(SEASONAL)
    model.save(tmp_path / "m.safetensors")
    again = sa.load(tmp_path / "m.safetensors")
    assert isinstance(again, sa.Forecaster)
    assert again.config_.window == model.config_.window
    assert again.window_choice_ is None
    assert again.predict().equals(model.predict())


def test_a_panel_too_short_for_any_length_says_so() -> None:
    with pytest.raises(sa.errors.DataError, match=r"fewer than n_folds=3|no window length can be tried"):
        searching().fit(SEASONAL.head(np.array([4])))

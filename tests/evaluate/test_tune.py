"""The search for a learning rate and a size: what it finds, what it says, and that later rows have no say."""

import numpy as np
import polars as pl
import pytest

import stepahead as sa
from stepahead.errors import ConfigError, TrainingError
from stepahead.evaluate.tune import draw, fits, rounds
from stepahead.evaluate.walk import Walked

Y = np.zeros(300)
for _t, _e in enumerate(np.random.default_rng(0).normal(size=299), start=1):
    Y[_t] = 0.8 * Y[_t - 1] + _e
PANEL = sa.Panel.from_arrays(Y)
SMALL = (4, 6)


def classic(**params: object) -> sa.Forecaster:
    return sa.Forecaster(**({"recipe": "classic", "max_steps": 180, "season_length": None} | params))


def test_a_rate_that_learns_nothing_is_replaced_and_the_gain_is_said() -> None:
    found = sa.tune(classic(learning_rate=1e-6), PANEL, n_trials=9, hidden_size=[8])
    assert found.improves
    assert found.chosen["learning_rate"] > 1e-3
    assert found.error < found.own_error
    assert str(found).startswith("Better with learning_rate=")
    assert "corrected for 9 trials" in found.sentence
    assert found.model.get_params()["learning_rate"] == found.chosen["learning_rate"]
    assert found.model.get_params()["hidden_size"] == 8
    assert not hasattr(found.model, "fitted_")


def test_good_values_stay_where_nothing_beats_them_beyond_noise() -> None:
    found = sa.tune(classic(), PANEL, learning_rate=(0.009, 0.011), hidden_size=(), n_trials=4)
    assert not found.improves
    assert found.chosen == {"learning_rate": 0.01}
    assert "The model's own values (learning_rate=0.01)" in found.sentence


def test_a_third_goes_on_to_three_times_the_steps_and_the_own_values_stay_in() -> None:
    assert rounds(500, 16) == [55, 166, 500]
    assert rounds(500, 2) == [500]
    assert rounds(50, 16) == [50]  # a third of 50 steps tells nothing
    assert fits(16, 3) == 17 + 7 + 3
    found = sa.tune(classic(), PANEL, hidden_size=SMALL, n_trials=9)
    assert [sum(t.steps == s for t in found.trials) for s in (20, 60, 180)] == [6, 2, 2]
    assert found.trials[0].steps == 180
    assert found.trials[0].params == {"learning_rate": 0.01, "hidden_size": 10}


def test_those_that_go_on_are_the_best_of_their_round() -> None:
    found = sa.tune(classic(), PANEL, hidden_size=SMALL, n_trials=9, seed=2)
    early = sa.tune(classic(max_steps=20), PANEL, hidden_size=SMALL, n_trials=9, seed=2)  # the first round alone
    ranked = sorted(range(1, 10), key=lambda t: early.trials[t].error)
    assert {t for t in range(1, 10) if found.trials[t].steps > 20} == set(ranked[:3])


def test_the_table_has_a_row_a_trial_and_the_furthest_first() -> None:
    found = sa.tune(classic(max_steps=60), PANEL, hidden_size=SMALL, cell=["rnn", "gru"], n_trials=6)
    table = found.table
    assert isinstance(table, pl.DataFrame)
    assert table.columns == ["learning_rate", "hidden_size", "cell", "steps", "rmse", "own"]
    assert len(table) == 7
    assert table["steps"].to_list() == sorted(table["steps"], reverse=True)
    assert table.filter(pl.col("own"))["rmse"].item() == found.own_error


def test_the_same_seed_finds_the_same_and_rates_are_even_on_a_logarithmic_scale() -> None:
    once, again = (sa.tune(classic(max_steps=30), PANEL, hidden_size=SMALL, n_trials=3, seed=4) for _ in range(2))
    assert once.trials == again.trials
    rates = np.array([d["learning_rate"] for d in draw({"learning_rate": (1e-4, 1e-1)}, 3000, seed=0)])
    shares = np.histogram(np.log10(rates), bins=[-4.1, -3, -2, -0.9])[0] / 3000
    np.testing.assert_allclose(shares, 1 / 3, atol=0.03)  # three binomial standard errors: 0.026


def test_a_training_that_breaks_down_only_loses(monkeypatch: pytest.MonkeyPatch) -> None:
    fit = sa.Forecaster.fit_each

    def breaks(self: sa.Forecaster, *args: object, **options: object) -> list[sa.Forecaster]:
        if self.hidden_size == 4:
            raise TrainingError("the loss is not a number at step 3")
        return fit(self, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(sa.Forecaster, "fit_each", breaks)
    found = sa.tune(classic(max_steps=30), PANEL, hidden_size=[4, 6], n_trials=6)
    sizes = {trial.params["hidden_size"]: trial.error for trial in found.trials[1:]}
    assert sizes[4] == np.inf
    assert np.isfinite(sizes[6])


def test_progress_counts_every_fit_of_every_round() -> None:
    said: list[Walked] = []
    sa.tune(classic(max_steps=60), PANEL, hidden_size=SMALL, n_trials=3, progress=said.append)
    assert said[-1].total == 3 * fits(3, 2)
    assert said[-1].done == said[-1].total
    assert said[-1].seconds_left == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rate": (0.1, 0.01)}, "learning_rate=.* must be the lowest and the highest"),
        ({"learning_rate": 0.1}, r"learning_rate=0.1 must be a list of values to draw from, \[0.1, ...\] say"),
        ({"learning_rate": ("a", "b")}, "must be the lowest and the highest"),
        ({"hidden_size": 8}, "hidden_size=8 must be a list"),
        ({"cell": "gru"}, r"cell='gru' must be a list of values to draw from, \['gru', ...\] say"),
        ({"cell": [["gru"]]}, "cell=.* is not one of"),
        ({"dropout": 0.2}, "dropout=0.2 must be a list"),
        ({"dropout": ["x"]}, "dropout='x' must be a share"),
        ({"dropout": [1.0]}, "dropout=1.0 must be a share"),
        ({"seed": -1}, "seed=-1 must be a whole number of at least 0"),
        ({"seed": "x"}, "seed='x' must be a whole number of at least 0"),
        ({"hidden_size": [0]}, "hidden_size=0 must be a whole number"),
        ({"cell": ["lsmt"]}, "cell='lsmt' is not one of"),
        ({"dropout": [0.1]}, "dropout= acts between layers, and there is one"),
        ({"learning_rate": None, "hidden_size": ()}, "nothing to search for"),
        ({"n_trials": 0}, "n_trials=0 must be"),
        ({"n_folds": 0}, "n_folds=0 must be"),
    ],
)
def test_arguments_that_cannot_be_are_one_clear_line(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sa.tune(classic(), PANEL, **options)  # type: ignore[arg-type]


def test_a_window_search_inside_every_trial_is_refused() -> None:
    with pytest.raises(ConfigError, match="set the window first"):
        sa.tune(classic(window="search"), PANEL)

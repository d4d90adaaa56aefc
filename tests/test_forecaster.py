"""The Forecaster as its user meets it."""

import inspect
import warnings
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.base import clone

import stepahead as sa
from stepahead.data.panel import Panel
from stepahead.errors import ConfigError, DataError, NotFittedError, TrainingError
from stepahead.forecaster import Forecaster
from stepahead.forecaster_file import rows_to_remember
from stepahead.recipe import resolve
from tiny import QUICK, TINY, error_of, last, made_wave

# --- the constructor, as scikit-learn would have it


def test_the_constructor_only_stores():
    odd = {"recipe": object(), "window": [], "quantiles": {}, "network": "x"}
    model = Forecaster(**odd)
    assert all(getattr(model, name) is value for name, value in odd.items())


def test_parameters_are_got_set_and_cloned_as_scikit_learn_does():
    model = Forecaster("classic", window=9, quantiles=(0.1, 0.5), network=torch.nn.Linear(1, 1))
    names = list(inspect.signature(Forecaster.__init__).parameters)[1:]
    assert list(model.get_params()) == names
    assert model.get_params()["window"] == 9
    assert model.set_params(window=5, cell="gru") is model
    assert (model.window, model.cell) == (5, "gru")
    copy = clone(model)
    assert copy is not model
    assert {k: v for k, v in copy.get_params().items() if k != "network"} == {
        k: v for k, v in model.get_params().items() if k != "network"
    }
    assert isinstance(copy.network, torch.nn.Linear)


def test_clones_are_unfitted():
    model = Forecaster(**QUICK).fit(made_wave())
    for copy in (clone(model), model.clone()):
        assert copy.get_params() == model.get_params()
        with pytest.raises(NotFittedError, match="call fit"):
            copy.predict()


def test_an_unknown_parameter_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="Forecaster has no parameter 'windows'; there are recipe, cell, window"):
        Forecaster().set_params(windows=3)


def test_the_repr_shows_what_was_changed():
    assert repr(Forecaster()) == "Forecaster()"
    assert repr(Forecaster("price", window=9, clip=None)) == "Forecaster(recipe='price', window=9, clip=None)"


@pytest.mark.parametrize("ask", [lambda m: m.predict(), lambda m: m.name, lambda m: m.config_, lambda m: m.save("x")])
def test_an_unfitted_forecaster_says_so(ask):
    with pytest.raises(NotFittedError, match=r"call fit\(panel\) first"):
        ask(Forecaster())


def test_fit_takes_a_panel_and_says_how_to_get_one():
    with pytest.raises(
        ConfigError, match=r"fit takes a Panel, not a DataFrame: stepahead.read\(table, ...\) makes one"
    ):
        Forecaster(**QUICK).fit(pd.DataFrame({"y": [1.0]}))


# --- seeds


def test_a_fit_repeats_bit_for_bit_and_touches_no_global_random_state():
    panel = made_wave()
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first = Forecaster(**TINY).fit(panel)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    torch.manual_seed(2)
    second = Forecaster(**TINY).fit(panel)
    assert last(first.predict(level=[80])) == last(second.predict(level=[80]))
    assert last(Forecaster(**TINY, seed=1).fit(panel).predict()) != last(first.predict())


@pytest.mark.parametrize(
    "changes", [{}, {"num_layers": 2, "dropout": 0.5}, {"holdout": 0.2}, {"holdout": "auto", "head": "quantile"}]
)
def test_fit_each_equals_fitting_alone_to_the_last_bit(changes):
    panels = [made_wave(seed=s) for s in range(3)]
    together = Forecaster(**QUICK | changes).fit_each(panels)
    level = [80] if "holdout" in changes else None
    for panel, model in zip(panels, together, strict=True):
        alone = Forecaster(**QUICK | changes).fit(panel)
        assert model.predict(level=level).equals(alone.predict(level=level))
        assert str(model.verdict_) == str(alone.verdict_)


@pytest.mark.parametrize(
    ("recipe", "num_layers", "acts"), [("classic", 1, False), ("classic", 2, True), ("panel", 1, True)]
)
def test_dropout_acts_between_layers_and_behind_the_cell_of_the_panel_recipe(recipe, num_layers, acts):
    panel = made_wave()
    without, half = (
        Forecaster(recipe=recipe, num_layers=num_layers, dropout=share, max_steps=5, ensemble=1, holdout=None).fit(
            panel
        )
        for share in (0.0, 0.5)
    )
    assert half.predict().equals(without.predict()) is not acts


# --- training that goes wrong


def test_a_loss_that_is_no_number_keeps_a_model_that_predicts():
    for holdout in ("auto", None):
        model = Forecaster(**TINY | {"learning_rate": 1e38, "cell": "rnn_relu", "holdout": holdout})
        with pytest.raises(TrainingError, match="not a number at step"):
            model.fit(made_wave())
        assert np.isfinite(last(model.predict(), "RNN")).all()
        assert list(model.predict()["ds"]) == [81]
        assert model.verdict_ is None


def test_a_held_out_forecast_that_is_no_number_leaves_a_model_as_it_was(monkeypatch):
    def refuse(*_: Any) -> None:
        raise TrainingError("the forecast is not a number")

    fresh, fitted = Forecaster(**TINY, holdout=5), Forecaster(**TINY, holdout=5).fit(made_wave(60))
    said = last(fitted.predict())
    monkeypatch.setattr("stepahead.together.verdict_of", refuse)
    for model in (fresh, fitted):
        with pytest.raises(TrainingError):
            model.fit(made_wave(70))
    with pytest.raises(NotFittedError):
        fresh.predict()
    assert last(fitted.predict()) == said


def test_a_fit_that_fails_leaves_the_model_and_its_rows_as_they_were(tmp_path):
    model = Forecaster(**TINY, holdout=5).fit(made_wave(60))
    said, before = last(model.predict()), dict(vars(model))
    with pytest.raises(DataError):
        model.fit(made_wave(7))
    assert vars(model) == before
    assert last(model.predict()) == said
    assert model.panel_.n_rows == 60
    model.save(tmp_path / "m")
    assert sa.load(tmp_path / "m").verdict_ == model.verdict_


def test_ctrl_c_gives_a_model_and_says_so():
    def press(report: Any) -> None:
        raise KeyboardInterrupt

    with pytest.warns(UserWarning, match="interrupted after 5 steps"):
        model = Forecaster(**QUICK).fit(made_wave(), progress=press)
    assert last(model.predict()) == last(Forecaster(**QUICK | {"max_steps": 5}).fit(made_wave()).predict())


def test_one_ctrl_c_in_the_held_out_fit_ends_all_of_it():
    pressed = []

    def press(report: Any) -> None:
        if not pressed:
            pressed.append(report)
            raise KeyboardInterrupt

    with pytest.warns(UserWarning, match="interrupted after 5 steps"):
        model = Forecaster(**TINY | {"holdout": 0.3}).fit(made_wave(), progress=press)
    assert model.verdict_ is not None
    assert model.predict(level=[80])["ds"].to_list() == [81]  # of the weights that it had, from all rows
    assert model.history_[0][-1][0] <= 5


# --- predict


def test_predict_goes_on_from_the_rows_it_learned_or_from_others():
    panel = made_wave()
    model = Forecaster(**QUICK | {"horizon": 3}).fit(panel.head(60))
    frame = model.predict()
    assert frame.columns == ["unique_id", "ds", "LSTM"]
    assert frame["ds"].to_list() == [61, 62, 63]
    later = model.predict(panel)
    assert later["ds"].to_list() == [81, 82, 83]
    assert np.array_equal(last(later), model.forecast(panel, np.array([79])).mean[0])


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow"])
def test_a_frame_comes_back_as_the_kind_that_came_in(kind):
    table = pd.DataFrame(
        {
            "shop": ["007"] * 30 + ["NA"] * 30,
            "day": [*pd.date_range("2021-01-01", periods=30)] * 2,
            "sales": np.sin(np.arange(60.0)) + 2,
        }
    )
    given: Any = {
        "pandas": lambda: table,
        "polars": lambda: pl.from_pandas(table),
        "pyarrow": lambda: pl.from_pandas(table).to_arrow(),
    }[kind]()
    panel = sa.read(given, series="shop", time="day", target="sales")
    frame = Forecaster(**TINY).fit(panel).predict(given, level=[80])
    assert type(frame) is type(given)
    names = frame.column_names if kind == "pyarrow" else list(frame.columns)
    assert names == ["shop", "day", "LSTM", "LSTM-lo-80", "LSTM-hi-80"]
    ids = frame["shop"].to_pylist() if kind == "pyarrow" else list(frame["shop"])
    assert ids == ["007", "NA"]


def test_only_the_series_asked_for_are_forecast():
    panel = Panel.from_arrays(np.sin(np.arange(90.0)), ids=("a", "b", "c"), offsets=[0, 30, 60, 90])
    model = Forecaster(**QUICK).fit(panel)
    whole = model.predict()
    assert model.predict(ids=["c", "a"])["unique_id"].to_list() == ["c", "a"]
    assert np.allclose(last(model.predict(ids=["c", "a"])), last(whole)[[2, 0]], atol=1e-6)
    with pytest.raises(DataError, match="no series 'd'"):
        model.predict(ids=["d"])


@pytest.mark.parametrize("horizon", [1, 4])
@pytest.mark.parametrize("head", ["mse", "quantile", "student_t"])
def test_intervals_hold_the_forecast_at_every_step(head, horizon):
    asked = {"quantiles": (0.05, 0.1, 0.5, 0.9, 0.95)} if head == "quantile" else {"head": head}
    model = Forecaster(**TINY | asked | {"horizon": horizon}).fit(made_wave())
    frame = model.predict(level=[80, 90])
    assert frame.columns[2:] == ["LSTM", "LSTM-lo-90", "LSTM-lo-80", "LSTM-hi-80", "LSTM-hi-90"]
    values = frame.select("LSTM-lo-90", "LSTM-lo-80", "LSTM", "LSTM-hi-80", "LSTM-hi-90").to_numpy()
    assert (np.diff(values, axis=1) >= 0).all()


@pytest.mark.parametrize("head", ["mse", "quantile", "student_t"])
def test_intervals_cover_about_as_often_as_they_say(head):
    """White noise about a level: conformal, quantile and Student-t intervals of 80 % on rows that were never seen."""
    y = 10 + np.random.default_rng(0).standard_normal(1500)
    panel = Panel.from_arrays(y)
    options = TINY | {"head": head, "max_steps": 250, "learning_rate": 0.02, "scaler": "standard", "holdout": 300}
    model = Forecaster(**options).fit(panel.head(1000))
    found = model.forecast(panel, np.arange(999, 1499), level=[80])
    covered = ((found.lo[:, 0, 0] <= y[1000:]) & (y[1000:] <= found.hi[:, 0, 0])).mean()
    # Binomial: three standard errors of 500 rows are 5 points; the model's own error of fit comes on top.
    assert 0.72 < covered < 0.88, covered


# --- the price recipe


@pytest.mark.parametrize("seed", range(3))
def test_the_price_recipe_can_hardly_be_worse_than_the_last_value_on_a_random_walk(seed):
    y = 100 * np.exp(0.01 * np.random.default_rng(seed).standard_normal(400).cumsum())
    panel = Panel.from_arrays(y)
    model = Forecaster("price", max_steps=200, hidden_size=8, holdout=None).fit(panel.head(280))
    origins = np.arange(279, 399)
    ours, naive = error_of(model, panel, origins), float(np.sqrt(np.square(np.diff(y)[279:]).mean()))
    assert ours <= 1.02 * naive, (ours, naive)


def test_the_price_recipe_takes_values_that_are_not_positive():
    y = np.random.default_rng(0).standard_normal(150).cumsum()
    model = Forecaster("price", max_steps=50).fit(Panel.from_arrays(y))
    assert model.config_.difference is True
    assert not model.fitted_.scale.log_target
    assert np.isfinite(last(model.predict(level=[80]), "GRU")).all()


@pytest.mark.parametrize("value", [5.0, 0.1, 1e-7, 123456.789])
def test_the_price_recipe_goes_on_with_a_constant_to_the_last_bit(value):
    model = Forecaster("price", max_steps=20).fit(Panel.from_arrays(np.full(150, value)))
    assert model.fitted_.scale.log_target
    frame = model.predict(level=[80])
    assert [last(frame, name).tolist() for name in ("GRU", "GRU-lo-80", "GRU-hi-80")] == [[value]] * 3
    stream = model.stream(level=[80])
    assert list(stream.push({"y": value}).mean) == [value]
    assert model.verdict_.outcome == "same"


# --- saving what is needed


def test_what_a_window_carries_is_remembered():
    panel = Panel.from_arrays(np.ones((12, 2)), ids=("a", "b"), offsets=[0, 6, 12])
    config = resolve(QUICK | {"window": 3, "missing": "ffill"}, panel)
    assert rows_to_remember(panel, config).tolist() == [3, 3]
    panel.past[[2, 3], 0] = np.nan  # the window of "a" begins in row 3, the value it carries is of row 1
    assert rows_to_remember(panel, config).tolist() == [5, 3]
    panel.past[6:10, 1] = np.nan  # "b" has not seen its target when its window begins
    assert rows_to_remember(panel, config).tolist() == [5, 3]


def test_fit_is_quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Forecaster(**TINY).fit(made_wave()).predict(level=[80])


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU")
def test_a_gpu_trains_a_model_that_a_cpu_forecasts_with():
    panel = made_wave()
    mine, other = (Forecaster(**QUICK, device=device).fit(panel) for device in ("cuda", "cpu"))
    assert np.abs(last(mine.predict()) - last(other.predict())).max() < 1e-2

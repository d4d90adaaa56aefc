"""The Forecaster as its user meets it."""

import inspect
import re
import warnings
from pathlib import Path
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
from stepahead.holdout import earlier_rows, rows_to_keep
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


# --- what is held out


@pytest.mark.parametrize(
    ("lengths", "holdout", "horizon", "kept"),
    [
        ([100], "auto", 1, [80]),
        ([100, 10], 0.3, 1, [70, 7]),
        ([100, 10], 5, 1, [95, 5]),
        ([100, 3], 5, 1, [95, 0]),
        ([100], 0.01, 12, [88]),  # never less than one whole horizon
        ([4], "auto", 1, [3]),
        ([1], "auto", 1, [0]),
        ([10], np.float64(0.5), 1, [5]),
    ],
)
def test_the_holdout_is_a_share_or_a_number_of_rows(lengths, holdout, horizon, kept):
    panel = Panel.from_arrays(np.ones(sum(lengths)), ids=[str(n) for n in lengths], offsets=[0, *np.cumsum(lengths)])
    assert rows_to_keep(panel, holdout, horizon).tolist() == kept
    assert rows_to_keep(panel, None, horizon) is None


@pytest.mark.parametrize("holdout", [0, -1, "none", True, float("nan"), float("inf"), [0.2], 2.5, 1.0])
def test_a_holdout_that_cannot_be_is_refused(holdout):
    with pytest.raises(
        ConfigError, match=r"^holdout=.* must be a share in \(0, 1\) or a whole number of rows, 'auto' or None"
    ):
        Forecaster(**TINY, holdout=holdout).fit(made_wave())


@pytest.mark.parametrize(
    ("lengths", "kept", "horizon", "earlier"),
    [
        ([100], [80], 1, [60]),
        ([100, 50], [80, 40], 3, [60, 30]),
        ([2000], [1600], 1, None),  # 400 errors are enough
        ([1000], [800], 1, [600]),
        ([100], [70], 1, None),  # 40 rows are too few beside 100
        ([100, 3], [95, 0], 1, None),
    ],
)
def test_a_second_probe_ends_one_stretch_earlier_where_errors_are_few(lengths, kept, horizon, earlier):
    panel = Panel.from_arrays(np.ones(sum(lengths)), ids=[str(n) for n in lengths], offsets=[0, *np.cumsum(lengths)])
    found = earlier_rows(panel, np.array(kept), horizon)
    assert found is None if earlier is None else found.tolist() == earlier


def test_intervals_reach_as_far_as_the_errors_of_two_probes_say():
    """By hand: fit on 60 and on 80 of 100 rows, forecast the next 20 of each, errors over the window's own movement."""
    y = np.random.default_rng(3).normal(size=100).cumsum() + 50
    panel = Panel.from_arrays(y)
    settings = TINY | {"recipe": "classic", "window": 5, "scaler": None, "season_length": None}
    ratios, moved = [], []
    for known in (80, 60):
        probe = Forecaster(**settings | {"holdout": None}).fit(panel.head(np.array([known])))
        origins = np.arange(known - 1, known + 19)
        errors = np.abs(y[origins + 1] - probe.forecast(panel, origins).mean[:, 0])
        moves = np.array([np.abs(np.diff(y[o - 4 : o + 1])).mean() for o in origins])
        ratios.append(errors / np.maximum(moves, 0.1 * np.median(moves)))
        moved.append(moves)
    frame = Forecaster(**settings).fit(panel).predict(level=[80])
    reach = np.sort(np.concatenate(ratios))[int(np.ceil(0.8 * 41)) - 1]
    radius = reach * max(np.abs(np.diff(y[-5:])).mean(), 0.1 * np.median(moved[0]))
    half = (frame["LSTM-hi-80"] - frame["LSTM-lo-80"]).item() / 2
    assert half == pytest.approx(radius, rel=1e-4)  # float32 inside


def test_the_verdict_s_model_never_saw_the_held_out_rows():
    panel = made_wave()
    model = Forecaster(**TINY, holdout=10).fit(panel)
    probe = Forecaster(**QUICK).fit(panel.head(70))
    expected = probe.forecast(panel, np.arange(69, 79)).mean[:, 0]
    assert np.array_equal(model.backtest_.mean[:, 0], expected)
    assert model.verdict_ is model.backtest_.verdict


@pytest.mark.parametrize("rows", [40, 80])
def test_a_saved_model_keeps_its_verdict(tmp_path, rows):
    model = Forecaster(**TINY, holdout=3 if rows == 40 else 10).fit(made_wave(rows))
    model.save(tmp_path / "model.safetensors")
    loaded = sa.load(tmp_path / "model.safetensors").verdict_
    assert str(loaded) == str(model.verdict_)
    assert repr(loaded) == repr(model.verdict_)  # nan is not equal to itself, but reads the same


def test_a_saved_model_keeps_its_verdict_over_the_series(tmp_path):
    values = np.concatenate([made_wave(60, seed).y for seed in range(3)] + [np.ones(60)])
    panel = Panel.from_arrays(values, ids=["c", "a", "b", "still"], offsets=[0, 60, 120, 180, 240])
    model = Forecaster(**TINY, holdout=10).fit(panel)
    for saved in (model, sa.load(stored(model, tmp_path))):
        loaded = sa.load(stored(saved, tmp_path)).series_verdict_
        assert repr(loaded) == repr(model.series_verdict_)
        assert str(loaded) == str(model.series_verdict_)
    again = sa.load(tmp_path / "model.safetensors").set_params(holdout=None).fit(panel)
    assert again.series_verdict_ is None
    assert sa.load(stored(again, tmp_path)).series_verdict_ is None


def stored(model: Forecaster, folder: Path) -> Path:
    model.save(folder / "model.safetensors")
    return folder / "model.safetensors"


def test_the_model_itself_learns_from_all_rows():
    panel = made_wave()
    assert last(Forecaster(**TINY).fit(panel).predict()) == last(Forecaster(**QUICK).fit(panel).predict())


def test_without_a_holdout_there_is_no_verdict_and_no_interval_of_a_point():
    model = Forecaster(**QUICK).fit(made_wave())
    assert model.verdict_ is None
    assert model.backtest_ is None
    with pytest.raises(
        ConfigError,
        match="intervals need held-out errors, of which there are none: fit with holdout='auto', on more rows",
    ):
        model.predict(level=[80])


@pytest.mark.filterwarnings("ignore:no verdict")
@pytest.mark.parametrize("n", [5, 6, 7, 8])
def test_a_tiny_series_is_learned_without_a_verdict_or_with_one(n):
    model = Forecaster(**TINY).fit(Panel.from_arrays(np.arange(n) % 3 + 1.0))
    assert np.isfinite(last(model.predict())).all()


@pytest.mark.parametrize("n", [1, 2, 4])
def test_a_series_shorter_than_a_window_and_a_target_says_what_it_needs(n):
    with pytest.raises(DataError, match=f"the longest series has {n} rows; window 4 and horizon 1 need 5"):
        Forecaster(**TINY).fit(Panel.from_arrays(np.arange(float(n))))


@pytest.mark.parametrize("recipe", ["classic", "price"])
def test_the_parameters_of_a_recipe_on_one_and_two_rows_raise_a_data_error(recipe):
    for n in (1, 2):
        with pytest.raises(DataError, match=f"the longest series has {n} rows"):
            Forecaster(recipe).fit(Panel.from_arrays(np.arange(float(n))))


@pytest.mark.filterwarnings("ignore:no verdict")
def test_defaults_forecast_from_two_rows_on_and_say_what_one_lacks():
    with pytest.raises(DataError, match="no series has two rows to learn from; give more history"):
        Forecaster().fit(Panel.from_arrays([5.0]))
    for n in (2, 3, 21, 41, 42):
        model = Forecaster(max_steps=5).fit(Panel.from_arrays(10 + np.random.default_rng(n).normal(size=n)))
        assert model.config_.recipe == ("price" if n == 42 else "panel")
        assert np.isfinite(last(model.predict(), model.name)[0])
        assert (model.verdict_ is None) == (n == 2)


def test_a_holdout_that_was_asked_for_and_cannot_be_is_an_error():
    with pytest.raises(DataError):
        Forecaster(**TINY, holdout=5).fit(Panel.from_arrays(np.arange(6.0)))


@pytest.mark.parametrize("recipe", ["classic", "price"])
@pytest.mark.parametrize("value", [0.0, 5.0, -3.0])
def test_a_constant_series_is_forecast_as_itself(recipe, value):
    model = Forecaster(recipe, max_steps=60, window=4).fit(Panel.from_arrays(np.full(60, value)))
    assert abs(last(model.predict(), model.name)[0] - value) < 0.1 * max(1, abs(value))
    assert not model.verdict_.beats


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


def test_a_fit_that_fails_leaves_the_model_and_its_rows_as_they_were():
    model = Forecaster(**TINY, holdout=5).fit(made_wave(60))
    said = last(model.predict())
    with pytest.raises(DataError):
        model.fit(made_wave(7))
    assert last(model.predict()) == said
    assert model.panel_.n_rows == 60


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


@pytest.mark.parametrize(("rows", "horizon", "holdout"), [(99, 1, 99), (99, 1, 10**6), (99, 1, 10**27), (5, 5, 0.3)])
def test_a_holdout_that_leaves_nothing_is_named(rows, horizon, holdout):
    told = f"holdout={holdout}, a horizon of {horizon} at least, leaves no rows to learn from: no series has more than "
    with pytest.raises(ConfigError, match=re.escape(f"{told}{rows};")):
        Forecaster(**QUICK | {"horizon": horizon, "holdout": holdout}).fit(made_wave(rows))


@pytest.mark.parametrize(
    ("asked", "lacking"),
    [
        ({}, "the longest series has 1 rows"),
        ({"recipe": "panel"}, "no series has two rows"),
        ({"recipe": "classic"}, "the longest series has 1 rows"),
        ({"memory": "carried"}, "the longest series has 1 rows"),
        ({"window": "search"}, "the last stretch has 1 rows to forecast from"),
        ({"recipe": "price", "window": 2}, "windows are too few to keep some for validation"),
    ],
)
def test_a_holdout_that_leaves_too_little_to_learn_from_is_named(asked, lacking):
    left = 4 if asked.get("window") == 2 else 1
    model = Forecaster(**asked, max_steps=5, holdout=60 - left)
    told = f"{lacking}.*; holdout={60 - left} left no more: give a smaller one, or holdout=None$"
    for fit in (model.fit, lambda panel: model.fit_each([panel])):
        with pytest.raises(DataError, match=told):
            fit(made_wave(60))
    model.set_params(holdout=None).fit(made_wave(60))


def test_an_error_of_the_table_does_not_speak_of_the_holdout():
    panel = made_wave(60)
    panel.y[3] = np.nan
    with pytest.raises(DataError) as raised:
        Forecaster(**TINY, holdout=20).fit(panel)
    assert "holdout" not in str(raised.value)


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


def test_a_fit_that_fails_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    walk = np.random.default_rng(0).normal(size=80).cumsum()
    model = Forecaster(**TINY).fit(Panel.from_arrays(walk))
    before, said = dict(vars(model)), model.predict()
    with pytest.raises(DataError):
        model.fit(Panel.from_arrays(walk[:2]))
    assert vars(model) == before
    assert model.predict().equals(said)
    assert sa.load(stored(model, tmp_path)).verdict_ == model.verdict_

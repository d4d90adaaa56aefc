"""What fit holds out, and what it says of that."""

import re
from pathlib import Path

import numpy as np
import pytest

import stepahead as sa
from stepahead.data.panel import Panel
from stepahead.errors import ConfigError, DataError
from stepahead.forecaster import Forecaster
from stepahead.holdout import earlier_rows, rows_to_keep
from tiny import QUICK, TINY, last, made_wave


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

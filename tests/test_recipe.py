"""Recipes fill what was left open; what was asked for wins; what cannot be is refused by name."""

import json

import numpy as np
import pytest

from stepahead.config import Config
from stepahead.data.panel import Panel
from stepahead.errors import ConfigError, DataError
from stepahead.recipe import RECIPES, resolve

WALK = Panel.from_arrays(np.random.default_rng(0).standard_normal(300).cumsum() + 100)
PULSES = Panel.from_arrays(np.tile([0.0] * 11 + [1.0], 20))


def test_auto_is_price_at_one_step_without_a_season_and_panel_otherwise():
    assert resolve({}, WALK).recipe == "price"
    assert resolve({"horizon": 2}, WALK).recipe == "panel"
    assert resolve({}, PULSES).recipe == "panel"
    assert resolve({"season_length": 7}, WALK).recipe == "panel"
    assert resolve({"season_length": None}, PULSES).recipe == "price"


def test_the_season_is_given_or_found():
    assert resolve({}, PULSES).season_length == 12
    assert resolve({"season_length": 7}, PULSES).season_length == 7
    assert resolve({"season_length": None}, PULSES).season_length is None
    assert resolve({"season_length": "auto"}, WALK).season_length is None


def test_the_classic_recipe_is_the_one_of_the_tutorials():
    c = resolve({"recipe": "classic"}, WALK)
    assert (c.cell, c.window, c.hidden_size, c.num_layers, c.scaler, c.difference) == (
        "lstm",
        7,
        10,
        1,
        "minmax",
        False,
    )
    assert (c.head, c.learning_rate, c.weight_decay, c.max_steps, c.batch_size) == ("mse", 0.01, 0.0, 500, None)
    assert (c.ensemble, c.patience, c.gradient_clip, c.name) == (1, None, None, "LSTM")


def test_the_price_recipe_is_the_one_of_the_prototype():
    c = resolve({"recipe": "price"}, WALK)
    assert (c.cell, c.window, c.hidden_size, c.scaler, c.difference, c.clip) == ("gru", 21, 16, "standard", "log", 5.0)
    assert (c.head, c.learning_rate, c.weight_decay, c.validation_size) == ("huber", 1e-3, 1e-2, 0.2)
    assert (c.ensemble, c.combine, c.zero_head, c.shrink, c.name) == (3, "mean", True, True, "GRU")


@pytest.mark.parametrize("recipe", RECIPES)
def test_what_was_asked_for_wins_over_the_recipe(recipe):
    asked = {
        "cell": "rnn",
        "window": 9,
        "hidden_size": 3,
        "learning_rate": 0.5,
        "max_steps": 7,
        "seed": 4,
        "clip": None,
    }
    config = resolve(asked | {"recipe": recipe}, WALK)
    assert {name: getattr(config, name) for name in asked} == asked
    assert config.name == "RNN"


def test_auto_is_the_same_as_not_said():
    assert resolve({"recipe": "classic", "cell": "auto", "clip": "auto"}, WALK) == resolve({"recipe": "classic"}, WALK)


@pytest.mark.parametrize(
    "asked",
    [{"head": "quantile"}, {"head": "student_t"}, {"horizon": 3}, {"difference": False}, {"patience": None}],
    ids=str,
)
def test_the_price_recipe_does_without_its_shrinkage_where_that_cannot_be(asked):
    assert resolve({"recipe": "price"} | asked, WALK).shrink is False
    (name,) = asked
    with pytest.raises(ConfigError, match=f"shrink=True .*{name}=.*; pass shrink=False"):
        resolve({"recipe": "price", "shrink": True} | asked, WALK)


def test_a_config_survives_json():
    for recipe in RECIPES:
        config = resolve({"recipe": recipe, "quantiles": [0.1, 0.5, 0.9]}, WALK)
        assert Config.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_numpy_s_numbers_are_as_good_as_python_s():
    asked = {
        "window": np.int64(9),
        "learning_rate": np.float32(0.5),
        "dropout": np.float64(0.25),
        "difference": np.True_,
        "quantiles": np.array([0.1, 0.5, 0.9]),
    }
    config = resolve({"recipe": "classic"} | asked, WALK)
    json.dumps(config.to_json())
    assert config.window == 9
    assert config.difference is True
    assert config.quantiles == (0.1, 0.5, 0.9)
    assert hash(config) == hash(resolve({"recipe": "classic"} | asked, WALK))


COUNTS = ("window", "horizon", "hidden_size", "num_layers", "max_steps", "ensemble", "check_every")
OPTIONAL = ("batch_size", "patience")


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("value", [0, -3, 2.0, "7", None, True, [7]], ids=repr)
def test_what_is_no_count_is_refused_by_name(name, value):
    with pytest.raises(ConfigError, match=rf"^{name}=.* must be a whole number of at least 1$"):
        resolve({name: value}, WALK)


@pytest.mark.parametrize("name", OPTIONAL)
@pytest.mark.parametrize("value", [0, -3, 2.5, "7", True], ids=repr)
def test_what_is_neither_count_nor_none_is_refused_by_name(name, value):
    with pytest.raises(ConfigError, match=rf"^{name}=.* must be a whole number of at least 1 or None$"):
        resolve({name: value}, WALK)


@pytest.mark.parametrize("value", [0, 1, -3, 2.5, "7", True, [7, 1]], ids=repr)
def test_what_is_no_season_is_refused(value):
    with pytest.raises(ConfigError, match=r"^season_length=.* must be whole numbers of at least 2, 'auto' or None$"):
        resolve({"season_length": value}, WALK)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("learning_rate", 0, "a number above 0"),
        ("learning_rate", float("nan"), "a number above 0"),
        ("learning_rate", float("inf"), "a number above 0"),
        ("learning_rate", "fast", "a number above 0"),
        ("learning_rate", None, "a number above 0"),
        ("gradient_clip", -1, "a number above 0 or None"),
        ("clip", 0.0, "a number above 0 or None"),
        ("weight_decay", -0.1, "a number of at least 0"),
        ("dropout", 1.0, "a number of at least 0 and below 1"),
        ("dropout", -0.1, "a number of at least 0 and below 1"),
        ("validation_size", 0, "a number above 0 and below 1"),
        ("validation_size", 1, "a number above 0 and below 1"),
        ("seed", -1, "a whole number of at least 0"),
        ("seed", 1.5, "a whole number of at least 0"),
    ],
)
def test_what_is_no_such_number_is_refused_with_what_is(name, value, allowed):
    with pytest.raises(ConfigError, match=rf"^{name}=.* must be {allowed}$"):
        resolve({name: value}, WALK)


@pytest.mark.parametrize("value", [0, 0.0])
@pytest.mark.parametrize("name", ["weight_decay", "dropout", "seed"])
def test_zero_is_allowed_where_it_means_none(name, value):
    if name == "seed" and isinstance(value, float):
        return
    assert getattr(resolve({name: value}, WALK), name) == 0


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("recipe", "'auto', 'classic', 'price', 'panel'"),
        ("cell", "'rnn', 'rnn_relu', 'lstm', 'gru'"),
        ("scaler", "'minmax', 'standard', 'robust', 'window', None"),
        ("difference", "False, True, 'log'"),
        ("head", "'mse', 'mae', 'huber', 'quantile', 'student_t', 'relative', 'negative_binomial'"),
        ("schedule", "'constant', 'one_cycle'"),
        ("combine", "'mean', 'median', 'by_series'"),
        ("missing", "'error', 'ffill', 'interpolate', 'mask'"),
        ("zero_head", "False, True"),
        ("shrink", "False, True"),
    ],
)
@pytest.mark.parametrize("value", ["nonsense", 17, ["mse"], {}], ids=repr)
def test_an_unknown_choice_is_refused_with_the_known_ones(name, allowed, value):
    with pytest.raises(ConfigError) as error:
        resolve({name: value}, WALK)
    assert str(error.value) == f"{name}={value!r} is not one of {allowed}"


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("horizon", "must be a whole number of at least 1"),
        ("missing", "is not one of 'error', 'ffill', 'interpolate', 'mask'"),
        ("calendar", "must be True, False or the dates of holidays"),
        ("elapsed", "is not one of False, True"),
        ("seed", "must be a whole number of at least 0"),
        ("memory", "is not one of 'window', 'carried'"),
    ],
)
def test_auto_is_refused_where_no_recipe_has_a_say(name, allowed):
    for recipe in ("auto", *RECIPES):
        with pytest.raises(ConfigError) as error:
            resolve({name: "auto", "recipe": recipe}, WALK)
        assert str(error.value).startswith(f"{name}='auto' {allowed}")


@pytest.mark.parametrize("kind", [list, tuple, np.array], ids=["list", "tuple", "array"])
def test_holidays_are_taken_as_any_kind_of_list(kind):
    days = np.datetime64("2024-01-01") + np.arange(300)
    panel = Panel.from_arrays(WALK.y, times=days)
    config = resolve(
        {"recipe": "panel", "calendar": kind([np.datetime64("2024-12-25"), np.datetime64("2024-12-26")])}, panel
    )
    assert config.holidays == ("2024-12-25", "2024-12-26")
    assert config.blend == 0


@pytest.mark.parametrize("quantiles", [[], [0.9, 0.5], [0.1, 0.9], [0.0, 0.5], [0.5, 1.0], [0.5, 0.5], 0.5, None, "x"])
def test_quantiles_that_cannot_be_are_refused(quantiles):
    with pytest.raises(ConfigError, match=r"^quantiles=.* ascend, lie between 0 and 1 and hold 0.5$"):
        resolve({"quantiles": quantiles}, WALK)


def test_quantiles_alone_ask_for_their_head_and_beside_another_they_are_refused():
    assert resolve({"quantiles": [0.1, 0.5, 0.9]}, WALK).head == "quantile"
    assert resolve({"quantiles": "auto", "recipe": "classic"}, WALK).head == "mse"
    with pytest.raises(
        ConfigError, match=r"^quantiles= is for head='quantile', not head='mae'; leave one of them out$"
    ):
        resolve({"quantiles": [0.1, 0.5, 0.9], "head": "mae"}, WALK)


def test_differences_need_two_rows():
    with pytest.raises(ConfigError, match="difference=True needs a window of at least 2 rows, not 1"):
        resolve({"recipe": "classic", "difference": True, "window": 1}, WALK)


@pytest.mark.parametrize(
    "name",
    ["window", "horizon", "hidden_size", "num_layers", "ensemble", "batch_size", "max_steps", "patience"],
)
def test_what_no_machine_could_hold_is_refused_before_anything_is_made(name):
    with pytest.raises(ConfigError, match=rf"^{name}=1000000000000000000000000000 must be at most \d+"):
        resolve({name: 10**27}, WALK)


@pytest.mark.parametrize("asked", [{"horizon": 10**6}, {"season_length": 10**6}, {"window": 10**6, "horizon": 2}])
def test_what_is_out_of_proportion_to_the_rows_is_refused(asked):
    with pytest.raises(
        DataError, match=r"the longest series has 300 rows, out of all proportion to .* of 1000000; give"
    ):
        resolve(asked, WALK)
    assert resolve({"horizon": 2, "season_length": 900}, WALK).window == 900


def test_a_season_is_of_a_size_that_rows_have():
    with pytest.raises(ConfigError, match="season_length=1000000000000000000000000000 must be whole numbers"):
        resolve({"season_length": 10**27}, WALK)


def test_short_series_take_the_panel_recipe_unless_something_was_asked_that_it_cannot():
    short = WALK.head(np.array([41]))
    assert resolve({}, short).recipe == "panel"
    assert resolve({}, WALK.head(np.array([42]))).recipe == "price"
    for asked in ({"window": 7}, {"patience": 10}, {"scaler": "minmax"}, {"num_layers": 2}):
        assert resolve(asked, short).recipe == "price"

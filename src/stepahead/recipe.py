"""Recipes: named sets of defaults.  What the user asked for, and the panel -> Config, with nothing left open.

Parameters of a Forecaster that are left at "auto" are filled in by the recipe; an explicit one wins.

classic  what the tutorials do: min-max scaling, LSTM of 10, mean squared error, 500 full-batch steps of Adam at 0.01
price    for series that look like a random walk: log-returns, a head that starts at "no change", a shrunk forecast
panel    for many series, long horizons and seasons: one global GRU beside a linear skip, on windows measured by their
         own level (stepahead.panels)
"""

import math
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np

from stepahead.choices import QUANTILES, check_values
from stepahead.config import Config
from stepahead.data.clock import checked_holidays, clock_names
from stepahead.data.panel import Panel
from stepahead.errors import ConfigError, DataError
from stepahead.panels.seasons import patch_of, seasons_of, window_and_patch
from stepahead.parameters import is_auto

OUT_OF_PROPORTION = 30  # times the rows there are: a window of three such seasons still fits in memory
SHORT = 42  # rows of the longest series, twice the price recipe's window: with fewer it learns from next to nothing
FEW = 1000  # rows of one series, from which a network is believed four times as much as a simple forecast
FEW_OF_OTHERS = 2000  # rows of other series, from which it is believed at least that much
STEPS = (600, 3000)  # the least and the most optimizer steps of the panel recipe
MANY = 200_000  # rows from which the panel recipe's network is less in need of dropout
NEVER_AUTO = ("horizon", "missing", "calendar", "elapsed", "seed", "memory")  # no recipe has a say in them

COMMON: dict[str, Any] = {
    "num_layers": 1,
    "dropout": 0.0,
    "clip": None,
    "quantiles": QUANTILES,
    "schedule": "constant",
    "weight_decay": 0.0,
    "gradient_clip": None,
    "patience": None,
    "check_every": 50,
    "validation_size": 0.2,
    "ensemble": 1,
    "combine": "median",
    "zero_head": False,
    "shrink": False,
}

RECIPES: dict[str, dict[str, Any]] = {
    "classic": COMMON
    | {
        "cell": "lstm",
        "window": 7,
        "hidden_size": 10,
        "scaler": "minmax",
        "difference": False,
        "head": "mse",
        "learning_rate": 0.01,
        "max_steps": 500,
        "batch_size": None,
    },
    "price": COMMON
    | {
        "cell": "gru",
        "window": 21,
        "hidden_size": 16,
        "scaler": "standard",
        "difference": "log",
        "clip": 5.0,
        "head": "huber",
        "learning_rate": 1e-3,
        "weight_decay": 1e-2,
        "max_steps": 2000,
        "batch_size": 64,
        "gradient_clip": 1.0,
        "patience": 10,
        "ensemble": 3,
        "combine": "mean",
        "zero_head": True,
        "shrink": True,
    },
    "panel": COMMON
    | {
        "cell": "gru",
        "hidden_size": 32,
        "dropout": 0.3,
        "scaler": "window",
        "difference": False,
        "head": "relative",
        "learning_rate": 3e-3,
        "schedule": "one_cycle",
        "weight_decay": 1e-4,
        "batch_size": 256,
        "gradient_clip": 1.0,
        "ensemble": 4,
        "combine": "by_series",
        "zero_head": True,
        "backbone": "panel",
    },
}

PLAIN_PANEL: dict[str, Any] = {
    # What is asked for may be nothing that the panel network can do: then a plain cell takes its place.
    "dropout": 0.0,
    "head": "mae",
    "max_steps": 1500,
    "batch_size": 128,
    "patience": 100,
    "ensemble": 1,
    "combine": "median",
    "backbone": "plain",
}


CARRIED: dict[str, Any] = {
    # Of any recipe, where the state is carried: gradients reach back so many rows, strands train side by side.
    "window": 32,
    "patience": None,
    "shrink": False,
    "batch_size": 16,
    "gradient_clip": 1.0,
    "learning_rate": 5e-3,
    "schedule": "one_cycle",
    "max_steps": 800,
    "patch": 1,
}


def resolve(asked: Mapping[str, Any], panel: Panel) -> Config:
    """Fill every "auto" by the recipe and the panel, and check what was asked for.

    asked: the Forecaster's parameters. panel: the training part; its season is looked for there alone.
    Raises: ConfigError naming the parameter, its value and what is allowed.
    """
    values = settled(asked, panel)
    defaults = defaults_of(values, panel)
    values |= calendar_of(values.pop("calendar", False), panel, defaults)
    if values.get("elapsed") and defaults.get("backbone") != "panel":
        raise ConfigError("elapsed= is the panel recipe's; pass recipe='panel' and leave its other parameters to it")
    known = {f.name for f in fields(Config)}
    config = Config(**(defaults | {name: v for name, v in values.items() if name in known}))
    if "shrink" not in values and why_no_shrinkage(config):
        config = replace(config, shrink=False)  # what was asked for goes before what the recipe would like
    check_together(config)
    return config


def settled(asked: Mapping[str, Any], panel: Panel) -> dict[str, Any]:
    """What was asked for, checked; and what it and the panel settle: the horizon, the seasons, the recipe's name."""
    given = {name: v for name, v in asked.items() if name in NEVER_AUTO or not is_auto(v)}
    values = {name: v.item() if isinstance(v, np.generic) else v for name, v in given.items()}
    check_values(values)
    if "quantiles" in values:
        values["quantiles"] = tuple(map(float, values["quantiles"]))
        values.setdefault("head", "quantile")
    horizon = values.setdefault("horizon", 1)
    seasons = seasons_of(asked.get("season_length", "auto"), panel)
    check_reach(max(horizon, values.get("window", 1), *seasons, 1), panel)
    values |= {"season_length": seasons[0] if seasons else None, "seasons": seasons}
    counts = values.get("head") == "negative_binomial"
    short = "window" not in values and not wants_plain(values) and panel.lengths.max(initial=0) < SHORT
    values.setdefault("recipe", "panel" if horizon > 1 or seasons or counts or short else "price")
    return values


def defaults_of(values: Mapping[str, Any], panel: Panel) -> dict[str, Any]:
    """What the recipe takes for what was not asked for.  values: as settled."""
    defaults = RECIPES[values["recipe"]] | {"missing": "error", "seed": 0}
    if values["recipe"] == "panel":
        plain = wants_plain(values)
        defaults |= PLAIN_PANEL if plain else {}
        if values.get("head", "relative") != "relative":
            defaults |= {"combine": "median"}
        elif not plain:
            defaults |= {"blend": blend_of(values, panel)}
        defaults |= sizes_of(values, panel)
    if values.get("memory") == "carried":
        defaults |= CARRIED | ({"scaler": "standard"} if defaults["scaler"] == "window" else {})
    return defaults


def check_reach(rows: int, panel: Panel) -> None:
    """Raise DataError for a horizon, window or season of so many rows that no table of this size could ask for."""
    longest = int(panel.lengths.max(initial=0))
    if rows > OUT_OF_PROPORTION * (longest + 100):
        raise DataError(
            f"{panel.schema.source}: the longest series has {longest} rows, out of all proportion to a horizon, window "
            f"or season of {rows}; give a smaller one"
        )


def wants_plain(values: Mapping[str, Any]) -> bool:
    """Whether something was asked for that the panel network cannot do."""
    able = {
        "memory": ("window",),
        "network": (None,),
        "scaler": ("window",),
        "difference": (False,),
        "clip": (None,),
        "head": ("relative", "quantile", "student_t", "negative_binomial"),
        "num_layers": (1,),
        "patience": (None,),
        "zero_head": (True,),
    }
    return any(values[name] not in allowed for name, allowed in able.items() if name in values)


def sizes_of(values: Mapping[str, Any], panel: Panel) -> dict[str, Any]:
    """The panel recipe's window, patch, number of steps and dropout, which follow from the panel."""
    if "window" in values:
        window, patch = values["window"], patch_of(values["window"])
    else:
        window, patch = window_and_patch(values["seasons"], values["horizon"], panel.n_rows)
    steps = int(np.clip(2 * panel.n_rows // 256, *STEPS))
    if wants_plain(values):
        return {"window": window, "patch": patch}
    return {"window": window, "patch": patch, "max_steps": steps} | ({"dropout": 0.1} if panel.n_rows >= MANY else {})


def blend_of(asked: Mapping[str, Any], panel: Panel) -> float:
    """How much of a simple forecast goes into one: half of a short series, less of more rows and of more series.

    Nothing where there are other inputs, of which it knows nothing.
    """
    schema = panel.schema
    clock = wants_calendar(asked.get("calendar")) or asked.get("elapsed")
    if schema.future or schema.static or len(schema.past) > 1 or clock:
        return 0.0
    series = max(panel.n_series, 1)
    own = panel.n_rows / series
    less = (own / FEW) ** 2 + (panel.n_rows - own) / FEW_OF_OTHERS
    share = round(0.5 * math.exp(-less) / math.sqrt(series), 3)
    return share if share >= 0.05 else 0.0


def wants_calendar(asked: Any) -> bool:
    return asked is not False and asked is not None  # dates may come as an array, which is neither true nor false


def calendar_of(asked: Any, panel: Panel, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The features of the stamps and the holidays. Raises: ConfigError where there can be none."""
    if not wants_calendar(asked):
        return {}
    holidays = checked_holidays(asked)
    if defaults.get("backbone") != "panel":
        raise ConfigError("calendar= is the panel recipe's; pass recipe='panel' and leave its other parameters to it")
    return {"calendar": clock_names(panel, holidays), "holidays": holidays}


def check_together(config: Config) -> None:
    """Check parameters against one another."""
    if config.head == "relative" and config.backbone != "panel":
        raise ConfigError("head='relative' is the panel recipe's own; pass head='mae', or leave other parameters to it")
    if config.head == "negative_binomial" and config.backbone != "panel":
        raise ConfigError("head='negative_binomial' is the panel recipe's own; leave its other parameters to it")
    if config.combine == "by_series" and config.head != "relative":
        raise ConfigError(
            f"combine='by_series' is for head='relative', not head={config.head!r}; pass 'mean' or 'median'"
        )
    if config.blend and (config.head != "relative" or config.backbone != "panel"):
        raise ConfigError(f"blend={config.blend!r} is for point forecasts of the panel recipe; leave it out")
    if config.difference and config.window < 2:
        raise ConfigError(f"difference={config.difference!r} needs a window of at least 2 rows, not {config.window}")
    if config.memory == "carried":
        check_carried(config)
    if config.shrink and why_no_shrinkage(config):
        raise ConfigError(f"shrink=True {why_no_shrinkage(config)}; pass shrink=False")


def check_carried(config: Config) -> None:
    """Check what a carried state cannot go with."""
    if config.scaler == "window":
        raise ConfigError("memory='carried' has no window to scale by; pass scaler='standard', 'minmax' or 'robust'")
    if config.patience is not None:
        raise ConfigError(f"memory='carried' validates nothing: patience={config.patience!r} must be None")
    if config.missing == "interpolate":
        raise ConfigError("memory='carried' reads each row once, when it comes; pass missing='ffill' or 'mask'")


def why_no_shrinkage(config: Config) -> str:
    """Why the forecast change could not be shrunk, for a message; "" where it can be."""
    if config.head in ("quantile", "student_t"):
        return f"is for point heads, not head={config.head!r}"
    if config.horizon != 1:
        return f"needs horizon=1, not horizon={config.horizon}"
    if not config.difference:
        return "needs difference=True or 'log', not difference=False"
    return "needs patience= for a validation part, not patience=None" if config.patience is None else ""

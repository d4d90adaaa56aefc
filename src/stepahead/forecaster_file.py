"""A Forecaster as what a model file holds, and back.  Forecaster -> (tensors, configuration) -> Forecaster."""

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from stepahead.config import Config
from stepahead.data.clock import checked_holidays
from stepahead.data.fill import fill
from stepahead.data.panel import Panel
from stepahead.errors import ModelFileError
from stepahead.fitted_file import check_sizes, pack, unpack
from stepahead.forecaster import Forecaster
from stepahead.store import under

if TYPE_CHECKING:
    from stepahead.evaluate.over_series import SeriesVerdict
    from stepahead.evaluate.verdict import Verdict

MOST_JUDGED = 10_000  # series whose verdict a file holds unasked: 2 seconds' work


def pack_forecaster(model: Forecaster) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """What was learned, the parameters, and the rows that the next forecast goes on from."""
    tensors, config = pack(model.fitted_)
    last = model.panel_.tail(rows_to_remember(model.panel_, model.config_))
    tensors |= {
        "last.offsets": last.offsets,
        "last.times": last.times.astype(np.int64),
        "last.past": last.past,
        "last.future": last.future,
    }
    config |= {"kind": "forecaster", "ids": last.ids, "own": model.network is not None}
    config["verdict"] = pack_verdict(model.verdict_)
    known = model._over_series is not None or model.panel_.n_series <= MOST_JUDGED
    if known and (over := model.series_verdict_) is not None:
        position = {name: s for s, name in enumerate(last.ids)}
        tensors["over.series"] = np.array([position[name] for name in over.ids], dtype=np.int64)
        tensors |= {"over.skill": over.skill, "over.p_value": over.p_value}
        config["over"] = over.baseline
    return tensors, config | {"static": last.static.tolist(), "params": plain(model.get_params())}


def load_forecaster(tensors: dict[str, np.ndarray], saved: dict[str, Any], network: Any, source: str) -> Forecaster:
    """A saved Forecaster from what the model file holds.

    Raises: ModelFileError when it was trained on a module of the user's that is not given, or none belongs to it.
    """
    if saved["own"] and network is None:
        raise ModelFileError(
            f"{source}: holds the weights of your own network; give the module: load(path, network=...)"
        )
    if network is not None and not saved["own"]:
        raise ModelFileError(f"{source}: was not trained on a network of your own; leave network= out")
    model = Forecaster(**saved["params"], network=network)
    own = None
    if network is not None:
        from stepahead.learn import own_network

        own = own_network(network, Config.from_json(saved["config"]))
    model.fitted_ = unpack(tensors, saved, own)
    model.panel_ = Panel.restored(
        model.fitted_.schema,
        ids=saved["ids"],
        **under(tensors, "last."),
        static=np.asarray(saved["static"], dtype=object),
    )
    model.backtest_ = model.window_choice_ = None
    model.verdict_ = unpack_verdict(saved.get("verdict"))
    model._over_series = unpack_over(tensors, saved)
    return model


def pack_verdict(verdict: "Verdict | None") -> dict[str, Any] | None:
    """A verdict as JSON values: what is not a number is left out."""
    if verdict is None:
        return None
    values = asdict(verdict) | {"interval": [known(bound) for bound in verdict.interval]}
    return {name: known(value) if isinstance(value, float) else value for name, value in values.items()}


def unpack_verdict(stored: dict[str, Any] | None) -> "Verdict | None":
    """What `pack_verdict` gave, as it was."""
    if stored is None:
        return None
    from stepahead.evaluate.verdict import Verdict  # late: a forecast needs none of it

    numbers = {name: math.nan if value is None else value for name, value in stored.items()}
    low, high = (math.nan if bound is None else bound for bound in stored["interval"])
    return Verdict(**numbers | {"interval": (low, high)})


def unpack_over(tensors: dict[str, np.ndarray], saved: dict[str, Any]) -> "SeriesVerdict | None":
    """The verdict over the series as it was; None where there was none, as in files of before."""
    if "over" not in saved:
        return None
    from stepahead.evaluate.over_series import SeriesVerdict

    series, skill, p_value = (tensors[f"over.{name}"] for name in ("series", "skill", "p_value"))
    check_sizes(("over.skill", skill.shape, series.shape), ("over.p_value", p_value.shape, series.shape))
    return SeriesVerdict(tuple(saved["ids"][s] for s in series), saved["over"], skill, p_value)


def known(value: float) -> float | None:
    """JSON has no nan and no infinity."""
    return float(value) if math.isfinite(value) else None


def rows_to_remember(panel: Panel, config: Config) -> np.ndarray:
    """Rows at the end of each series that its next forecast reads: [S] int64.

    The window's, and those before it whose values are carried into a gap that the window begins with.
    """
    if config.memory == "carried":
        return panel.lengths  # the state has read every row
    last_seen = fill(panel, config.missing).last_seen
    first = np.maximum(panel.offsets[1:] - config.window, panel.offsets[:-1])
    if last_seen is not None:
        carried = np.where(last_seen[first] >= 0, last_seen[first], first[:, None])
        first = np.minimum(first, carried.min(axis=1))
    return panel.offsets[1:] - first


def plain(params: dict[str, Any]) -> dict[str, Any]:
    """Parameters as JSON values, without the user's module."""
    values = {n: v for n, v in params.items() if n != "network"}
    if values["calendar"] is not None and not isinstance(values["calendar"], bool):
        values["calendar"] = checked_holidays(values["calendar"])
    return {
        n: list(v) if isinstance(v, tuple | np.ndarray) else getattr(v, "tolist", lambda v=v: v)()
        for n, v in values.items()
    }

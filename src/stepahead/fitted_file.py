"""What was learned as what a model file holds, and back.  Fitted, PanelFitted -> (tensors, configuration) -> the same.

The configuration keeps its order: the same model gives the same file, byte for byte.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from stepahead.config import Config
from stepahead.data.calendar import Frequency
from stepahead.data.covariates import Covariates
from stepahead.data.panel import Schema
from stepahead.data.scale import Scale
from stepahead.errors import ConfigError
from stepahead.fitted import Fitted, OwnNetwork
from stepahead.panels.fitted import PanelFitted, reading_of
from stepahead.panels.held_out import HeldOut
from stepahead.panels.shares import EQUAL, Shares
from stepahead.panels.simple import SIMPLE
from stepahead.runtime.conformal import NOT_CALIBRATED, Calibration
from stepahead.runtime.correction import NO_CORRECTION, Correction
from stepahead.runtime.network import Reading, check_weights
from stepahead.runtime.panel import check_panel_weights
from stepahead.runtime.scores import Recalibration
from stepahead.store import under

Arrays = Mapping[str, np.ndarray]
SCALE = ("kind", "difference", "clip", "level_rows"), ("logs", "floor", "center", "spread")  # in JSON, as arrays
UNKEPT = ("notes", "backend", "source", "time_unit")  # of a schema: they speak of the one table


def pack(fitted: Fitted | PanelFitted) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """What was learned as arrays and JSON."""
    tensors, config = pack_panel(fitted) if isinstance(fitted, PanelFitted) else pack_plain(fitted)
    tensors |= {f"member.{m}.{name}": array for m, w in enumerate(fitted.members) for name, array in w.items()}
    tensors |= {"covariates.center": fitted.covariates.center, "covariates.spread": fitted.covariates.spread}
    tensors |= {"calibration.scores": fitted.calibration.scores}
    first = {
        "config": fitted.config.to_json(),
        "schema": {name: value for name, value in vars(fitted.schema).items() if name not in UNKEPT},
        "frequency": vars(fitted.frequency),
    }
    return tensors, first | config


def unpack(tensors: Arrays, saved: Mapping[str, Any], own: OwnNetwork | None = None) -> Fitted | PanelFitted:
    """The inverse of `pack`.  own: the user's module where the members are its weights."""
    panel = "kinds" in saved
    schema: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in saved["schema"].items()}
    rules = tuple(tuple(tuple(v) if isinstance(v, list) else v for v in rule) for rule in saved["statics"])
    count = len(saved["kinds"]) if panel else saved["members"]
    shared: dict[str, Any] = {
        "config": Config.from_json(saved["config"]),
        "schema": Schema(**schema),
        "frequency": Frequency(**saved["frequency"]),
        "covariates": Covariates(**under(tensors, "covariates."), statics=rules),
        "members": tuple(under(tensors, f"member.{m}.") for m in range(count)),
    }
    calibration = Calibration(tensors["calibration.scores"], saved["floor"])
    if panel:
        return unpack_panel(tensors, saved, shared, calibration)
    return unpack_plain(tensors, saved, shared | {"calibration": calibration, "own": own})


def pack_plain(fitted: Fitted) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """A Fitted's own arrays, and its configuration from the scale on."""
    words, arrays = SCALE
    tensors = {f"scale.{name}": getattr(fitted.scale, name) for name in arrays}
    tensors |= {"reading.t_table": fitted.reading.t_table}
    tensors |= {"reading.correction": fitted.reading.correction.to_array()}
    config = {
        "scale": {name: getattr(fitted.scale, name) for name in words},
        "statics": fitted.covariates.statics,
        "floor": fitted.calibration.floor,
        "shrinkage": fitted.shrinkage,
        "members": len(fitted.members),
    }
    return tensors, config


def unpack_plain(tensors: Arrays, saved: Mapping[str, Any], shared: Mapping[str, Any]) -> Fitted:
    """shared: the fields that `unpack` has read."""
    config: Config = shared["config"]
    scale: dict[str, Any] = saved["scale"] | under(tensors, "scale.")
    corrected = tensors.get("reading.correction")  # files of before had none
    correction = NO_CORRECTION if corrected is None else Correction.from_array(corrected)
    fitted = Fitted(
        **shared,
        scale=Scale(**scale),
        reading=Reading(config.head, config.quantiles, tensors["reading.t_table"], correction),
        shrinkage=saved["shrinkage"],
    )
    check_fitted(fitted)
    return fitted


def check_fitted(fitted: Fitted) -> None:
    """Raise ConfigError for arrays whose shapes do not fit one another: NumPy would broadcast some in silence."""
    config, scale, covariates, reading = fitted.config, fitted.scale, fitted.covariates, fitted.reading
    past, known = len(fitted.schema.past), len(fitted.schema.future)
    for m, weights in enumerate(fitted.members if fitted.own is None else ()):
        try:
            check_weights(
                weights,
                config.cell,
                inputs=known + past * (2 if config.missing == "mask" else 1),
                beside=covariates.width(config.horizon),
                hidden=config.hidden_size,
                layers=config.num_layers,
                answers=config.horizon * reading.n_outputs,
            )
        except ConfigError as error:
            raise ConfigError(f"member {m}: {error}") from error
    scores, table = fitted.calibration.scores, reading.t_table
    check_sizes(
        *((f"scale.{n}", getattr(scale, n).shape, (past,)) for n in ("logs", "floor", "center", "spread")),
        *((f"covariates.{n}", getattr(covariates, n).shape, (known,)) for n in ("center", "spread")),
        ("calibration.scores", scores.shape[:1], (config.horizon if scores.size else len(scores),)),
        ("reading.t_table", table.shape[1:], (2,)),
    )
    check_t_table(reading.head, table)


def check_sizes(*asked: tuple[str, tuple[int, ...], tuple[int, ...]]) -> None:
    """Raise ConfigError for the first array of another shape than the one wanted: name, shape, wanted of each."""
    for name, shape, wanted in asked:
        if shape != wanted:
            raise ConfigError(f"'{name}' must be {list(wanted)}, found {list(shape)}")


def check_t_table(head: str, table: np.ndarray) -> None:
    """Raise ConfigError for a table of Student's t that is no table, or reads another way up than down."""
    if head == "student_t" and not (len(table) and abs(table[0, 0] + table[-1, 0] - 1) < 1e-9):
        raise ConfigError("'reading.t_table' does not reach as far up as down")


def pack_panel(fitted: PanelFitted) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """A PanelFitted's own arrays, and its configuration from the static inputs on."""
    tensors = {"held.links": fitted.held.links, "held.recalibration": fitted.held.recalibration.to_array()}
    tensors |= {"shares.keys": fitted.shares.keys, "shares.parts": fitted.shares.parts}
    if fitted.reading is not None:
        tensors["reading.t_table"] = fitted.reading.t_table
    if fitted.held.standing.scores.size:  # nothing for the others: their bytes and digests stay as they were
        tensors["held.standing"] = fitted.held.standing.scores
    config = {
        "statics": fitted.covariates.statics,
        "floor": fitted.calibration.floor,
        "usual": fitted.held.usual,
        "kinds": list(fitted.kinds),
        "back": fitted.back,
        "simple": fitted.simple,
    }
    return tensors, config


def unpack_panel(
    tensors: Arrays, saved: Mapping[str, Any], shared: Mapping[str, Any], calibration: Calibration
) -> PanelFitted:
    """shared: the fields that `unpack` has read."""
    config: Config = shared["config"]
    recalibration = Recalibration.from_array(tensors["held.recalibration"])
    usual = saved.get("usual", 0.0)  # files of before had none
    stood = Calibration(tensors["held.standing"], saved["floor"]) if "held.standing" in tensors else NOT_CALIBRATED
    fitted = PanelFitted(
        **shared,
        kinds=tuple(saved["kinds"]),
        back=saved["back"],
        reading=reading_of(config, tensors.get("reading.t_table")),
        held=HeldOut(calibration, recalibration, tensors["held.links"], usual=usual, standing=stood),
        shares=Shares(**under(tensors, "shares.")) if "shares.keys" in tensors else EQUAL,
        simple=saved.get("simple", "carried_on"),
    )
    check_panel_fitted(fitted)
    return fitted


def check_panel_fitted(fitted: PanelFitted) -> None:
    """As `check_fitted`: what a panel's forecast, intervals, paths or shares would broadcast, or trip over later."""
    config, covariates, held, shares = fitted.config, fitted.covariates, fitted.held, fitted.shares
    known = len(fitted.schema.future) + len(config.calendar) + config.elapsed
    categories = [rule[1] for rule in covariates.statics if rule[0] == "category"]
    spreads = {"quantile": len(config.quantiles) - 1, "student_t": 1, "negative_binomial": 1}
    for m, weights in enumerate(fitted.members):
        try:
            check_panel_weights(
                weights,
                config.cell,
                window=config.window,
                patch=config.patch,
                hidden=config.hidden_size,
                horizon=config.horizon,
                extras=len(fitted.schema.past) - 1 + known,
                ahead=known,
                spread=spreads.get(config.head, 0),
                table=sum(len(names) + 1 for names in categories),
                numbers=len(covariates.statics) - len(categories),
            )
        except ConfigError as error:
            raise ConfigError(f"member {m}: {error}") from error
    horizon, read, stood = config.horizon, held.recalibration.read, held.standing.scores
    scores, table = held.calibration.scores, np.zeros((0, 2)) if fitted.reading is None else fitted.reading.t_table
    check_sizes(
        *((f"covariates.{n}", getattr(covariates, n).shape, (known,)) for n in ("center", "spread")),
        ("calibration.scores", scores.shape[:1], (horizon if scores.size else len(scores),)),
        ("held.standing", stood.shape[:1], (horizon if stood.size else len(stood),)),
        ("held.links", held.links.shape, (horizon, horizon) if held.links.size else (0, 0)),
        ("held.recalibration", read.shape, (horizon if read.size else len(read), held.recalibration.asked.size)),
        ("shares.parts", shares.parts.shape, (len(shares.keys), len(fitted.members) if len(shares.keys) else 0)),
        ("reading.t_table", table.shape[1:], (2,)),
    )
    check_t_table(config.head, table)
    if (config.head in spreads) != (fitted.reading is not None):
        raise ConfigError(f"'reading.t_table' does not belong to head={config.head!r}")
    if (
        not set(fitted.kinds) <= {"linear", "log"}
        or fitted.simple not in SIMPLE
        or not 1 <= fitted.back <= config.window
    ):
        raise ConfigError(f"kinds={fitted.kinds}, simple={fitted.simple!r}, back={fitted.back}: no model has these")

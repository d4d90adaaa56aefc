"""What was learned, as one value: enough to forecast, and what a model file holds.  Panel, origins -> Forecast.

No torch here: prediction on a CPU runs on the native kernel, or on NumPy.  (A user's own torch module is the exception:
it is called as it is.)

Legend: N origins, H horizon, L levels, M members.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stepahead.data.calendar import Frequency
from stepahead.data.covariates import Covariates, check_known
from stepahead.data.panel import Panel, Schema, check_zone, preview
from stepahead.data.scale import Scale
from stepahead.data.windows import Batch, WindowSource, window_source
from stepahead.errors import ConfigError, DataError
from stepahead.forecast import Forecast
from stepahead.recipe import Config
from stepahead.runtime.conformal import Calibration
from stepahead.runtime.correction import NO_CORRECTION, Correction
from stepahead.runtime.network import (
    Reading,
    carried_hidden,
    check_weights,
    combine_members,
    last_hidden,
    movement,
    network_output,
    read_head,
)
from stepahead.store import under

CHUNK = 4096  # windows that are gathered and forecast at once

OwnNetwork = Callable[[Mapping[str, np.ndarray], np.ndarray], np.ndarray]
"""A user's module, ready to call: (weights of a member, x [N, T, F]) -> [N, H, O]."""


@dataclass(frozen=True)
class Fitted:
    """A trained forecaster.

    members: weights of each network by name. shrinkage: factor on the forecast change, 1 for none.
    own: the user's module, or None.
    """

    config: Config
    schema: Schema
    frequency: Frequency
    scale: Scale
    covariates: Covariates
    members: tuple[Mapping[str, np.ndarray], ...]
    reading: Reading
    calibration: Calibration
    shrinkage: float = 1.0
    own: OwnNetwork | None = None

    def source(self, panel: Panel) -> WindowSource:
        """The rows of a panel, prepared as this model reads them.

        Raises: DataError when the panel has other inputs than the model was trained on.
        """
        check_inputs(panel.schema, self.schema)
        check_known(panel)
        return window_source(
            panel,
            scale=self.scale,
            covariates=self.covariates,
            window=self.config.window,
            horizon=self.config.horizon,
            missing=self.config.missing,
        )

    def forecast(
        self,
        source: WindowSource,
        origins: np.ndarray,
        *,
        level: Sequence[float] = (),
        future: np.ndarray | None = None,
    ) -> Forecast:
        """Forecast at these rows, each from its own series up to it.

        source: of the panel. origins: [N] row positions. level: coverages in percent.
        future: [N, H, K] known-ahead inputs of the rows to come; None takes them from the panel's own later rows.
        Raises: DataError when an origin has no full window behind it.
        """
        panel, levels = source.panel, checked_levels(level)
        check_origins(source, origins)
        mean = np.empty((len(origins), self.config.horizon))
        bounds = np.empty((2, *mean.shape, len(levels)))
        for start in range(0, len(origins), CHUNK):
            part = slice(start, start + CHUNK)
            batch = source.batch(origins[part], None if future is None else future[part])
            output = self.output(batch)
            mean[part] = self.scale.invert(self.reading.point(output), batch.base, batch.unit)
            if levels:
                bounds[:, part] = self._interval(batch, output, levels)
        series = np.searchsorted(panel.offsets, origins, side="right") - 1
        cutoffs = panel.times[origins]
        return Forecast(
            name=self.config.name,
            ids=np.asarray(panel.ids, dtype=object)[series],
            cutoffs=cutoffs,
            times=self.frequency.after(cutoffs, self.config.horizon),
            mean=mean,
            level=levels,
            lo=bounds[0],
            hi=bounds[1],
            schema=panel.schema,
        )

    def output(self, batch: Batch) -> np.ndarray:
        """What the members say together about a batch: [N, H, O] in scaled units."""
        outputs = [self._member(weights, batch) for weights in self.members]
        return self.shrinkage * combine_members(outputs, self.config.combine)

    def hidden(self, source: WindowSource, origin: int) -> np.ndarray | None:
        """The hidden units of the first member after its window that ends at this row: [D]; None for an own network."""
        if self.own is not None:
            return None
        if self.config.memory == "carried":
            rows = np.array([origin])
            return carried_hidden(self.config.cell, self.members[0], source.features, source.panel.offsets, rows)[0]
        return last_hidden(self.config.cell, self.members[0], source.batch(np.array([origin])).x)[0]

    def _member(self, weights: Mapping[str, np.ndarray], batch: Batch) -> np.ndarray:
        if self.own is not None:
            return self.own(weights, batch.x)
        cell, horizon = self.config.cell, self.config.horizon
        if self.config.memory == "carried" and batch.behind is not None:
            last = carried_hidden(cell, weights, *batch.behind)
            return read_head(weights, np.concatenate([last, batch.context], axis=1), horizon)
        return network_output(cell, weights, batch.x, batch.context, horizon)

    def _interval(self, batch: Batch, output: np.ndarray, levels: Sequence[float]) -> np.ndarray:
        """Lower and upper bounds in the target's units: [2, N, H, L]."""
        if self.reading.has_quantiles:
            lo, hi = self.reading.interval(output, levels)
        else:
            moved = movement(batch.x, bool(self.scale.difference))
            middle, reach = self.reading.point(output)[..., None], self.calibration.radius(levels, moved)
            lo, hi = middle - reach, middle + reach
        return np.stack([self.scale.invert(bound, batch.base, batch.unit) for bound in (lo, hi)])


def checked_levels(level: Sequence[float] | str) -> tuple[float, ...]:
    """Coverages in ascending order. Raises: ConfigError for one that is not between 0 and 100."""
    if isinstance(level, str) or not np.iterable(level):
        raise ConfigError(f"level={level!r} must be a list of coverages in percent, [{level}] say")
    for value in level:
        if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 < value < 100:
            raise ConfigError(f"level={value!r} must be a coverage in percent, above 0 and below 100")
    return tuple(sorted(set(level)))


def check_inputs(given: Schema, known: Schema) -> None:
    """Raise DataError unless the panel has the inputs that the model was trained on, in their order, and its time."""
    if (given.time_kind == "integer") != (known.time_kind == "integer"):
        raise DataError(
            f"{given.source}: column '{given.time}' holds {given.time_kind} times, the model was trained on "
            f"{known.time_kind} ones; give the kind of time that it knows"
        )
    check_zone(given, known, "the rows that the model learned from")
    for kind in ("past", "future", "static"):
        have, need = getattr(given, kind), getattr(known, kind)
        if have != need:
            raise DataError(
                f"{given.source}: the model was trained on {kind} inputs {preview(need, 12) or 'none'}, "
                f"the table gives {preview(have, 12) or 'none'}; name them alike when reading it"
            )


def check_origins(source: WindowSource, origins: np.ndarray) -> None:
    """Raise DataError where an origin's window would begin before its series, or hold what the model cannot read."""
    panel = source.panel
    outside = (origins < 0) | (origins >= panel.n_rows)
    if outside.any():
        raise ConfigError(f"origin {origins[outside][0]} is no row of the panel: rows are 0 to {panel.n_rows - 1}")
    series = np.searchsorted(panel.offsets, origins, side="right") - 1
    known = origins - panel.offsets[series] + 1
    short = known < source.window
    if short.any():
        first = int(np.flatnonzero(short)[0])
        raise DataError(
            f"{panel.schema.source}: series '{panel.ids[series[first]]}' has {known[first]} rows, the window is "
            f"{source.window}; give more history, fit with recipe='panel', which forecasts short series too, or leave "
            f"the series out"
        )
    if not source.filled.ready[origins].all():
        first = int(np.flatnonzero(~source.filled.ready[origins])[0])
        raise DataError(
            f"{panel.schema.source}: series '{panel.ids[series[first]]}' has an input without a single value up to "
            f"{panel.schema.time} {panel.times[origins[first]]}; fill it, or leave the column out"
        )
    source.scale.check_target(source.filled.carried[origins, -1], panel.schema.target)


def pack(fitted: Fitted) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """A Fitted as arrays and JSON, for a model file."""
    scale, covariates = fitted.scale, fitted.covariates
    tensors = {f"member.{m}.{name}": array for m, w in enumerate(fitted.members) for name, array in w.items()}
    tensors |= {f"scale.{n}": getattr(scale, n) for n in ("logs", "floor", "center", "spread")}
    tensors |= {"covariates.center": covariates.center, "covariates.spread": covariates.spread}
    tensors |= {"reading.t_table": fitted.reading.t_table, "calibration.scores": fitted.calibration.scores}
    tensors |= {"reading.correction": fitted.reading.correction.to_array()}
    config = {
        "config": fitted.config.to_json(),
        "schema": {n: v for n, v in vars(fitted.schema).items() if n not in ("notes", "backend", "source")},
        "frequency": vars(fitted.frequency),
        "scale": {n: getattr(scale, n) for n in ("kind", "difference", "clip", "level_rows")},
        "statics": covariates.statics,
        "floor": fitted.calibration.floor,
        "shrinkage": fitted.shrinkage,
        "members": len(fitted.members),
    }
    return tensors, config


def unpack(tensors: Mapping[str, np.ndarray], saved: Mapping[str, Any], own: OwnNetwork | None = None) -> Fitted:
    """The inverse of `pack`."""
    config = Config.from_json(saved["config"])
    names: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in saved["schema"].items()}
    scale: dict[str, Any] = saved["scale"] | under(tensors, "scale.")
    corrected = tensors.get("reading.correction")  # files of before had none
    correction = NO_CORRECTION if corrected is None else Correction.from_array(corrected)
    rules = tuple(tuple(tuple(v) if isinstance(v, list) else v for v in rule) for rule in saved["statics"])
    fitted = Fitted(
        config=config,
        schema=Schema(**names),
        frequency=Frequency(**saved["frequency"]),
        scale=Scale(**scale),
        covariates=Covariates(**under(tensors, "covariates."), statics=rules),
        members=tuple(under(tensors, f"member.{m}.") for m in range(saved["members"])),
        reading=Reading(config.head, config.quantiles, tensors["reading.t_table"], correction),
        calibration=Calibration(tensors["calibration.scores"], saved["floor"]),
        shrinkage=saved["shrinkage"],
        own=own,
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
    for name, shape, wanted in (
        *((f"scale.{n}", getattr(scale, n).shape, (past,)) for n in ("logs", "floor", "center", "spread")),
        *((f"covariates.{n}", getattr(covariates, n).shape, (known,)) for n in ("center", "spread")),
        ("calibration.scores", scores.shape[:1], (config.horizon if scores.size else len(scores),)),
        ("reading.t_table", table.shape[1:], (2,)),
    ):
        if shape != wanted:
            raise ConfigError(f"'{name}' must be {list(wanted)}, found {list(shape)}")
    if reading.head == "student_t" and not (len(table) and abs(table[0, 0] + table[-1, 0] - 1) < 1e-9):
        raise ConfigError("'reading.t_table' does not reach as far up as down")

"""What the panel recipe learned, as one value: enough to forecast, and what a model file holds.  Panel, origins ->
Forecast.

It has the face of stepahead.fitted.Fitted.  No torch here.

Legend: N origins, H horizon, L levels, M members.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stepahead.data.calendar import Frequency
from stepahead.data.clock import clock_values
from stepahead.data.covariates import Covariates, check_known
from stepahead.data.elapsed import elapsed_ahead, elapsed_steps
from stepahead.data.panel import Panel, Schema, preview
from stepahead.errors import ConfigError, DataError
from stepahead.fitted import check_inputs, checked_levels
from stepahead.forecast import Forecast
from stepahead.panels.reading import look_ahead, patched, reading
from stepahead.panels.windows import Rows, Windows, prepare_rows
from stepahead.recipe import Config
from stepahead.runtime.conformal import NOT_CALIBRATED, Calibration, calibrate
from stepahead.runtime.network import combine_members
from stepahead.runtime.panel import in_scale, last_state, member_output

CHUNK = 2048  # windows that are gathered and forecast at once


@dataclass(frozen=True)
class PanelFitted:
    """A trained panel forecaster.

    members: weights of each network by the names of nn/panel.py; kinds: how each reads its windows, "linear" | "log".
    back: rows that the baseline repeats.
    """

    config: Config
    schema: Schema
    frequency: Frequency
    covariates: Covariates
    members: tuple[Mapping[str, np.ndarray], ...]
    kinds: tuple[str, ...]
    back: int
    calibration: Calibration

    def source(self, panel: Panel) -> Rows:
        """The rows of a panel, prepared as this model reads them.

        Raises: DataError when the panel has other inputs than the model was trained on.
        """
        check_inputs(panel.schema, self.schema)
        check_known(panel)
        panel = with_clock(panel, self.config, self.frequency)
        return rows_of(panel, self.config, self.covariates, self.back)

    def forecast(
        self,
        source: Rows,
        origins: np.ndarray,
        *,
        level: Sequence[float] = (),
        future: np.ndarray | None = None,
    ) -> Forecast:
        """Forecast at these rows, each from its own series up to it, however short.

        source: of the panel. origins: [N] row positions. level: coverages in percent.
        future: [N, H, K] known-ahead inputs of the rows to come; None takes them from the panel's own later rows.
        Raises: DataError when a window holds no value at all, or an input known ahead is missing.
        """
        panel, levels = source.panel, checked_levels(level)
        check_rows(source, origins, future)
        cutoffs = panel.times[origins]
        times = self.frequency.after(cutoffs, self.config.horizon)
        future = self._with_clock_ahead(source, origins, times, future)
        mean = np.empty((len(origins), self.config.horizon))
        bounds = np.empty((2, *mean.shape, len(levels)))
        for start in range(0, len(origins), CHUNK):
            part = slice(start, start + CHUNK)
            windows = source.windows(origins[part])
            check_seen(source, windows, origins[part])
            said = self.means(source, windows, origins[part], None if future is None else future[part])
            mean[part] = not_below(windows, said)
            if levels:
                reach = self.calibration.radius(levels, movement(windows))
                bounds[:, part] = [not_below(windows, said[..., None] + sign * reach) for sign in (-1, 1)]
        return Forecast(
            name=self.config.name,
            ids=np.asarray(panel.ids, dtype=object)[source.series(origins)],
            cutoffs=cutoffs,
            times=times,
            mean=mean,
            level=levels,
            lo=bounds[0],
            hi=bounds[1],
            schema=panel.schema,
        )

    def _with_clock_ahead(
        self, source: Rows, origins: np.ndarray, times: np.ndarray, future: np.ndarray | None
    ) -> np.ndarray | None:
        """The user's inputs known ahead and those of the stamps: [N, H, K]; what was given where there are none."""
        config, n_given = self.config, len(self.schema.future)
        if not (config.calendar or config.elapsed):
            return future
        if future is None:
            rows, inside = source.ahead(origins)
            future = np.where(inside[..., None], source.panel.future[rows][..., :n_given], 0.0)
        parts = [future]
        if config.calendar:
            parts.append(clock_values(times, config.calendar, self.schema.time_zone, config.holidays))
        if config.elapsed:
            parts.append(elapsed_ahead(source.panel.times[origins], times, self.frequency)[..., None])
        return np.concatenate(parts, axis=2)

    def means(
        self, source: Rows, windows: Windows, origins: np.ndarray, future: np.ndarray | None = None
    ) -> np.ndarray:
        """The members' forecasts as one, in the target's units: [N, H]."""
        ahead = look_ahead(source, self.covariates, origins, future)
        read = {kind: reading(getattr(windows, kind)(), windows, ahead, self.config.patch) for kind in set(self.kinds)}
        said = [
            in_scale(member_output(self.config.cell, weights, read[kind]), read[kind], logs=kind == "log")
            for weights, kind in zip(self.members, self.kinds, strict=True)
        ]
        size = np.where(windows.x.any(axis=1), windows.scale, 0.0)  # where all is zero, zero goes on
        return combine_members(said, self.config.combine) * size[:, None]

    def hidden(self, source: Rows, origin: int) -> np.ndarray:
        """The hidden units of the first member after its window that ends at this row: [D]."""
        windows = source.windows(np.array([origin]))
        patches = patched(getattr(windows, self.kinds[0])(), windows, self.config.patch)
        return last_state(self.config.cell, self.members[0], patches)[0]

    def calibration_at(self, source: Rows, origins: np.ndarray) -> Calibration:
        """Errors at origins that the model never saw -> how wide its intervals must be."""
        y, there = source.targets(origins)
        if len(origins) == 0 or not there.any(axis=0).all():
            return NOT_CALIBRATED
        errors = np.where(there, y - self.forecast(source, origins).mean, np.nan)
        return calibrate(errors, movement(source.windows(origins)), floor=float(np.finfo(float).tiny))


def rows_of(panel: Panel, config: Config, covariates: Covariates, back: int) -> Rows:
    """A panel's rows as a model of this configuration reads them."""
    return prepare_rows(
        panel,
        window=config.window,
        horizon=config.horizon,
        season=leading_season(config),
        back=back,
        missing=config.missing,
        known=covariates.row_features(panel),
        opening=float(-covariates.center[-1] / covariates.spread[-1]) if config.elapsed else None,
    )


def with_clock(panel: Panel, config: Config, frequency: Frequency) -> Panel:
    """The panel with what its stamps say behind its inputs known ahead: the calendar, the time since the row before.

    The schema keeps to the user's.
    """
    parts = [panel.future]
    if config.calendar:
        parts.append(clock_values(panel.times, config.calendar, panel.schema.time_zone, config.holidays))
    if config.elapsed:
        parts.append(elapsed_steps(panel.times, panel.offsets, frequency)[:, None])
    return panel if len(parts) == 1 else replace(panel, future=np.concatenate(parts, axis=1))


def leading_season(config: Config) -> int:
    """m: the first season that the window holds, 1 for none."""
    return next((season for season in config.seasons if season <= config.window), 1)


def not_below(windows: Windows, values: np.ndarray) -> np.ndarray:
    """Nothing below zero where the window is not: values [N, H] or [N, H, L]."""
    positive = windows.x.min(axis=1) >= 0  # what is masked is zero, which changes no sign
    return np.where(positive.reshape(-1, *[1] * (values.ndim - 1)), np.maximum(values, 0.0), values)


def movement(windows: Windows) -> np.ndarray:
    """How much the target moves from row to row within each window, in its own units: [N]; its size where it stands."""
    both = windows.mask[:, 1:] & windows.mask[:, :-1]
    changes = np.abs(np.diff(windows.x, axis=1)) * both
    moved = changes.sum(axis=1) / np.maximum(both.sum(axis=1), 1)
    return np.maximum(moved, 1e-3 * windows.scale)


def check_rows(source: Rows, origins: np.ndarray, future: np.ndarray | None) -> None:
    """Raise for an origin that is no row, or that lacks what should be known ahead of it."""
    panel = source.panel
    outside = (origins < 0) | (origins >= panel.n_rows)
    if outside.any():
        raise ConfigError(f"origin {origins[outside][0]} is no row of the panel: rows are 0 to {panel.n_rows - 1}")
    names = panel.schema.future
    if not names or future is not None:
        return
    alone = ~source.ahead(origins)[1][:, 0]
    if alone.any():
        raise DataError(
            f"series '{panel.ids[source.series(origins[alone])[0]]}': the forecast needs {preview(names)} for each of "
            f"the next {source.horizon} steps; pass future="
        )


def check_seen(source: Rows, windows: Windows, origins: np.ndarray) -> None:
    """Raise DataError where a window holds no value at all."""
    blind = windows.share == 0
    if blind.any():
        panel, first = source.panel, origins[blind][0]
        raise DataError(
            f"{panel.schema.source}: series '{panel.ids[source.series(origins[blind])[0]]}' has no value of "
            f"'{panel.schema.target}' in the {source.window} rows up to {panel.schema.time} {panel.times[first]}; "
            f"leave the series out"
        )


def pack_panel(fitted: PanelFitted) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """A PanelFitted as arrays and JSON, for a model file."""
    tensors = {f"member.{m}.{name}": array for m, w in enumerate(fitted.members) for name, array in w.items()}
    tensors |= {"covariates.center": fitted.covariates.center, "covariates.spread": fitted.covariates.spread}
    tensors |= {"calibration.scores": fitted.calibration.scores}
    config = {
        "config": fitted.config.to_json(),
        "schema": {n: v for n, v in vars(fitted.schema).items() if n not in ("notes", "backend", "source")},
        "frequency": vars(fitted.frequency),
        "statics": fitted.covariates.statics,
        "floor": fitted.calibration.floor,
        "kinds": list(fitted.kinds),
        "back": fitted.back,
    }
    return tensors, config


def unpack_panel(tensors: Mapping[str, np.ndarray], saved: Mapping[str, Any]) -> PanelFitted:
    """The inverse of `pack_panel`."""
    under = lambda prefix: {n.removeprefix(prefix): a for n, a in tensors.items() if n.startswith(prefix)}  # noqa: E731
    names: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in saved["schema"].items()}
    rules = tuple(tuple(tuple(v) if isinstance(v, list) else v for v in rule) for rule in saved["statics"])
    return PanelFitted(
        config=Config.from_json(saved["config"]),
        schema=Schema(**names),
        frequency=Frequency(**saved["frequency"]),
        covariates=Covariates(**under("covariates."), statics=rules),
        members=tuple(under(f"member.{m}.") for m in range(len(saved["kinds"]))),
        kinds=tuple(saved["kinds"]),
        back=saved["back"],
        calibration=Calibration(tensors["calibration.scores"], saved["floor"]),
    )

"""What can be audited, as one thing: a function from a panel and a cutoff to forecasts.

A fitted-by-us model, a callable of the user's, a bare torch module (`stepahead.evaluate.adapters` brings that one, and
the models of other packages).

Legend: S series, H steps, C cutoffs.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from stepahead.data.frames import to_frame
from stepahead.data.panel import Panel
from stepahead.data.read import read
from stepahead.errors import ConfigError, DataError
from stepahead.evaluate.walk import Model, check_model


class Subject(Protocol):
    """Something that forecasts.

    retrains: whether every call learns anew from the rows it is given, so that an old row can act through the fit.
    takes_columns: whether each past input is certainly given to the network, so that ignoring all of them is odd.
    """

    retrains: bool
    takes_columns: bool

    def forecast(self, panel: Panel, cutoff: Any) -> np.ndarray:
        """Forecasts made at the cutoff: [S, H], NaN for a series that has none.  The panel has later rows too."""

    def together(self, panel: Panel, cutoffs: Sequence[Any]) -> np.ndarray | None:
        """The same at several cutoffs in one batch: [C, S, H]; None where there is no such call."""


class ModelSubject:
    """A model with fit and forecast: it learns once, from the rows up to `learned_until`."""

    retrains, takes_columns = False, False

    def __init__(self, model: Model, panel: Panel, learned_until: Any, horizon: int | None = None) -> None:
        changes: dict[str, Any] = {"holdout": None} if horizon is None else {"holdout": None, "horizon": horizon}
        self.unfitted = model.clone().set_params(**changes)
        known = panel.until(learned_until)
        try:
            self.fitted = self.unfitted.clone().fit(known)
        except DataError as error:
            raise DataError(f"{error}; an audit learns from the {known.n_rows} rows up to {learned_until}") from error

    def refitted(self, panel: Panel, cutoff: Any) -> "ModelSubject":
        """The same model, learned again from another panel up to the cutoff."""
        return ModelSubject(self.unfitted, panel, cutoff)

    def forecast(self, panel: Panel, cutoff: Any) -> np.ndarray:
        return self.together(panel, [cutoff])[0]

    def together(self, panel: Panel, cutoffs: Sequence[Any]) -> np.ndarray:
        origins = np.stack([last_rows(panel, cutoff) for cutoff in cutoffs])  # [C, S]
        ready = np.flatnonzero(origins.ravel() >= 0)
        if hasattr(self.fitted, "ready_at"):
            ready = ready[self.fitted.ready_at(panel, origins.ravel()[ready])]
        if len(ready) == 0:
            raise DataError(f"{panel.schema.source}: no series has enough rows up to {cutoffs[0]} for this model")
        mean = self.fitted.forecast(panel, origins.ravel()[ready]).mean
        found = np.full((origins.size, mean.shape[1]), np.nan)
        found[ready] = mean
        return found.reshape(*origins.shape, -1)


class CallableSubject:
    """A function `forecast(table, cutoff)` that returns a frame with unique_id, ds and forecast.

    table: a frame of the kind that the panel was read from, all rows. The frame that comes back may have any number of
    rows a series; the first `horizon` after the cutoff are looked at.
    """

    retrains, takes_columns = True, False

    def __init__(self, function: Callable[[Any, Any], Any], horizon: int) -> None:
        self.function, self.horizon = function, horizon

    def forecast(self, panel: Panel, cutoff: Any) -> np.ndarray:
        values, _ = self.with_times(panel, cutoff)
        return values

    def with_times(self, panel: Panel, cutoff: Any) -> tuple[np.ndarray, np.ndarray]:
        """Forecasts [S, H] and the times that they are for [S, H] (those not given are NaN, and the cutoff itself)."""
        schema = panel.schema
        answer = self.function(table_of(panel), native(cutoff, panel))
        names = set(getattr(answer, "column_names", getattr(answer, "columns", ())))
        series, time = (
            name if name in names else usual for name, usual in ((schema.series, "unique_id"), (schema.time, "ds"))
        )
        try:
            said = read(answer, series=series, time=time, target="forecast", past=[])
        except DataError as error:
            raise DataError(f"what forecast(table, {cutoff}) returned: {error}") from error
        values = np.full((panel.n_series, self.horizon), np.nan)
        times = np.full(values.shape, np.asarray(cutoff).astype(panel.times.dtype))
        for s, name in enumerate(panel.ids):
            if name not in said.ids:
                continue
            rows = said.rows(said.ids.index(name))
            n = min(self.horizon, rows.stop - rows.start)
            values[s, :n], times[s, :n] = said.y[rows][:n], said.times[rows][:n].astype(panel.times.dtype)
        if np.isnan(values).all():
            raise DataError(f"forecast(table, {cutoff}) gave no number for any series of {schema.source}")
        return values, times

    def together(self, panel: Panel, cutoffs: Sequence[Any]) -> None:
        return None


def last_rows(panel: Panel, cutoff: Any) -> np.ndarray:
    """The last row of each series up to the cutoff, or -1: [S] int64."""
    limit = np.asarray(cutoff).astype(panel.times.dtype)
    counts = [np.searchsorted(panel.times[panel.rows(s)], limit, side="right") for s in range(panel.n_series)]
    return np.where(np.asarray(counts) > 0, panel.offsets[:-1] + counts - 1, -1)


def table_of(panel: Panel) -> Any:
    """The panel as a long frame of the kind that came in: ids, times, all numeric inputs, the target last."""
    schema = panel.schema
    columns: dict[str, Any] = {
        schema.series: np.repeat(np.asarray(panel.ids, dtype=object), panel.lengths),
        schema.time: panel.times,
    }
    for names, values in ((schema.future, panel.future), (schema.past, panel.past)):
        columns |= {name: values[:, i] for i, name in enumerate(names)}
    return to_frame(columns, schema)


def native(cutoff: Any, panel: Panel) -> Any:
    """A time as the table itself holds it: an int, a date, a stamp with its zone."""
    time = panel.schema.time
    column = to_frame({time: np.asarray([cutoff]).astype(panel.times.dtype)}, panel.schema)[time]
    value = column.iloc[0] if hasattr(column, "iloc") else column[0]
    return value.as_py() if hasattr(value, "as_py") else value


def subject_of(x: Any, panel: Panel, *, learned_until: Any, horizon: int | None, window: int | None) -> Subject:
    """What was given, as a Subject.

    Raises: ConfigError for something that cannot be audited, or a module without its window.
    """
    if isinstance(x, ModelSubject | CallableSubject):
        return x
    if isinstance(x, type):
        raise ConfigError(f"audit: {x.__name__} is a class; pass one of them, {x.__name__}(...)")
    from stepahead.evaluate import adapters

    found = adapters.adapt(x, panel, learned_until=learned_until, horizon=horizon, window=window)
    if found is not None:
        return found
    if hasattr(x, "clone") and hasattr(x, "forecast"):
        check_model(x, "audit")
        return ModelSubject(x, panel, learned_until, horizon)
    if callable(x):
        return CallableSubject(x, horizon or 1)
    raise ConfigError(f"audit: cannot forecast with a {type(x).__name__}; pass a model, or forecast(table, cutoff)")

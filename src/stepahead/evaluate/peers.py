"""NeuralForecast and Darts models as Subjects of an audit.  Nothing is imported that they have not imported already.

Each is asked in two ways: fitted once and asked to predict from rows up to a cutoff; and through its own backtest
without refitting, which is handed the whole table.

Legend: S series, H steps.
"""

import sys
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np

from stepahead.data.panel import Panel
from stepahead.evaluate.subjects import last_rows, table_of


class NeuralForecastSubject:
    """A `neuralforecast.NeuralForecast` of one model.  Past inputs that its model names are handed over."""

    retrains, takes_columns = False, False

    def __init__(self, forecaster: Any, panel: Panel, learned_until: Any) -> None:
        self.unfitted = forecaster
        self.horizon = int(forecaster.h)
        self.fitted = deepcopy(forecaster)
        self.fitted.fit(pandas_table(panel.until(learned_until)), val_size=0)

    def forecast(self, panel: Panel, cutoff: Any) -> np.ndarray:
        known = panel.until(cutoff)
        return self.answers(panel, self.fitted.predict(df=pandas_table(known)), cutoff)

    def backtest(self, panel: Panel, cutoff: Any) -> np.ndarray:
        """Its own cross-validation, fitted once on the rows up to the cutoff, at the cutoff."""
        later = int((panel.offsets[1:] - 1 - last_rows(panel, cutoff)).max())
        table = deepcopy(self.unfitted).cross_validation(
            df=pandas_table(panel), n_windows=None, test_size=later, step_size=1, val_size=0, refit=False
        )
        table = table.reset_index() if "unique_id" not in table.columns else table
        return self.answers(panel, table[table["cutoff"] == table["cutoff"].min()], cutoff)

    def answers(self, panel: Panel, table: Any, cutoff: Any) -> np.ndarray:
        """The model's column as [S, H]."""
        table = table.reset_index() if "unique_id" not in table.columns else table
        name = next(c for c in table.columns if c not in ("unique_id", "ds", "cutoff", "y", "index"))
        found = np.full((panel.n_series, self.horizon), np.nan)
        for s, series in enumerate(panel.ids):
            values = table.loc[table["unique_id"] == series, name].to_numpy()[: self.horizon]
            found[s, : len(values)] = values
        return found

    def together(self, panel: Panel, cutoffs: Sequence[Any]) -> None:
        return None


class DartsSubject:
    """A Darts forecasting model, on the target alone."""

    takes_columns = False

    def __init__(self, model: Any, panel: Panel, learned_until: Any, horizon: int) -> None:
        self.model, self.horizon = model, horizon
        kinds = sys.modules["darts.models.forecasting.forecasting_model"]
        self.shared = isinstance(model, kinds.GlobalForecastingModel)
        self.retrains = not self.shared  # a local model knows one series, and is fitted again for each
        self.fitted = model.untrained_model()
        if self.shared:
            self.fitted.fit(series_of_darts(panel.until(learned_until)))

    def forecast(self, panel: Panel, cutoff: Any) -> np.ndarray:
        known = panel.until(cutoff)
        if self.shared:
            said = self.fitted.predict(n=self.horizon, series=series_of_darts(known))
        else:
            said = [self.model.untrained_model().fit(one).predict(self.horizon) for one in series_of_darts(known)]
        found = np.full((panel.n_series, self.horizon), np.nan)
        for name, one in zip(known.ids, said, strict=True):
            found[panel.ids.index(name)] = one.values().ravel()[: self.horizon]
        return found

    def backtest(self, panel: Panel, cutoff: Any) -> np.ndarray:
        """Its own historical forecasts without retraining, from a fit on the rows up to the cutoff, at the cutoff."""
        fitted = self.model.untrained_model()
        if not self.shared:
            return self.forecast(panel, cutoff)
        fitted.fit(series_of_darts(panel.until(cutoff)))
        found = np.full((panel.n_series, self.horizon), np.nan)
        rows = last_rows(panel, cutoff) - panel.offsets[:-1]
        for s, series in enumerate(series_of_darts(panel)):
            walk = fitted.historical_forecasts(
                series,
                start=int(rows[s]) + 1,
                forecast_horizon=self.horizon,
                retrain=False,
                last_points_only=False,
                verbose=False,
            )
            found[s] = walk[0].values().ravel()
        return found

    def together(self, panel: Panel, cutoffs: Sequence[Any]) -> None:
        return None


def pandas_table(panel: Panel) -> Any:
    """The panel as NeuralForecast reads it: unique_id, ds, y and the other past inputs."""
    schema = panel.schema
    names = (*schema.past[:-1], "y")
    usual = replace(schema, series="unique_id", time="ds", past=names, backend="pandas")
    return table_of(replace(panel, schema=usual))


def series_of_darts(panel: Panel) -> list[Any]:
    """The target of each series as a Darts TimeSeries of steps 0, 1, 2, ..."""
    kind = sys.modules["darts"].TimeSeries
    return [kind.from_values(values.astype(np.float32)) for values in panel.targets()]

"""The Forecast: what a model says about the rows to come, with who, when and how sure."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stepahead.data.panel import Schema


@dataclass(frozen=True)
class Forecast:
    """Forecasts made at N origins for H steps ahead.

    name: the output column, "LSTM". ids: [N] the series. cutoffs: [N] the last row that each forecast knew.
    times: [N, H]. mean: [N, H] float64, in the target's units (the median where quantiles are trained).
    level: L coverages in percent, ascending. lo, hi: [N, H, L].
    """

    name: str
    ids: np.ndarray
    cutoffs: np.ndarray
    times: np.ndarray
    mean: np.ndarray
    level: tuple[float, ...]
    lo: np.ndarray
    hi: np.ndarray
    schema: Schema

    def __len__(self) -> int:
        return len(self.ids)

    def columns(self) -> dict[str, np.ndarray]:
        """The forecast and its intervals as columns of N * H rows: LSTM, LSTM-lo-95, ..., LSTM-hi-95."""
        flat = {self.name: self.mean.reshape(-1)}
        widest_first = range(len(self.level) - 1, -1, -1)
        flat |= {f"{self.name}-lo-{self.level[i]:g}": self.lo[..., i].reshape(-1) for i in widest_first}
        return flat | {f"{self.name}-hi-{self.level[i]:g}": self.hi[..., i].reshape(-1) for i in range(len(self.level))}

    def frame(self) -> Any:
        """A frame of the kind that came in: unique_id, ds, LSTM, LSTM-lo-90, LSTM-hi-90."""
        from stepahead.data.frames import to_frame  # late: polars is large, and the service needs no frames

        horizon, columns = self.times.shape[1], self.columns()
        schema = named_beside(self.schema, columns)
        keys = {schema.series: np.repeat(self.ids, horizon), schema.time: self.times.reshape(-1)}
        return to_frame(keys | columns, schema)

    def records(self) -> list[dict[str, Any]]:
        """One dictionary a step, ready for JSON: {"ds": "2024-05-01T00:00:00", "LSTM": 1.5, "LSTM-lo-95": ...}.

        The time is called ds, whatever the table calls it: a whole number, or ISO text, with a Z where the model has a
        zone. Forecasts of several series carry their names as unique_id.
        """
        times = self.times.reshape(-1)
        if self.schema.time_kind != "integer":
            fine = (times.view(np.int64) % 1_000_000).any()
            times = np.datetime_as_string(times, unit="us" if fine else "s")
            times = np.char.add(times, "Z") if self.schema.time_zone else times
        keys: dict[str, Any] = {"ds": times.tolist()}
        if len(set(self.ids)) > 1:
            keys = {"unique_id": np.repeat(self.ids, self.times.shape[1]).tolist()} | keys
        columns = keys | {name: values.tolist() for name, values in self.columns().items()}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def take(self, chosen: np.ndarray) -> "Forecast":
        """Only these of the N forecasts, by position or mask."""
        rows = {n: getattr(self, n)[chosen] for n in ("ids", "cutoffs", "times", "mean", "lo", "hi")}
        return replace(self, **rows)


def named_beside(schema: Schema, columns: Collection[str]) -> Schema:
    """The schema with the table's own names of series and time; unique_id and ds where a column of the answer has one.

    Example: `named_beside(Schema(time="LSTM"), ["LSTM"]).time` is `"ds"`.
    """
    taken = schema.series in columns or schema.time in columns
    return replace(schema, series="unique_id", time="ds") if taken else schema

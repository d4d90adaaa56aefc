"""Where a series stands after its last commit, for everyone who reads.  Live series -> View -> JSON."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from msgspec import Raw

from stepahead.runtime.stream import Stream
from stepahead.server.problems import encode
from stepahead.server.rows import RowReader
from stepahead.server.times import as_text


@dataclass(eq=False, slots=True)
class View:
    """What was committed last. Made by the writer, read by all.

    records: the forecast, one a step; gone once the JSON is made, which takes their place, since thousands of these are
    kept. hidden: [D] the hidden units, where they were looked at.
    """

    number: int
    series: str
    model: str
    reader: RowReader
    rows: int
    cutoff: int
    records: list[dict[str, Any]]
    coverage: dict[str, float | None]
    drifting: bool
    level: tuple[float, ...]
    hidden: list[float] | None = None
    _json: bytes = field(default=b"", repr=False)

    def standing(self) -> dict[str, Any]:
        """What every answer about a series holds."""
        return {
            "series": self.series,
            "model": self.model,
            "cutoff": as_text(self.cutoff, self.reader.schema),
            "rows": self.rows,
            "forecast": self.records,
            "coverage": self.coverage,
            "drifting": self.drifting,
            "repeated": 0,
        }

    def json(self, repeated: int = 0) -> bytes:
        """The answer to a push or a reading."""
        if repeated:
            return self.json()[: -len(b'"repeated":0}')] + b'"repeated":%d}' % repeated
        if not self._json:
            self._json, self.records = encode(self.standing()), []
        return self._json

    def event(self, time: int, packed: bytes) -> bytes:
        """What the watchers of a series are sent when a row came in."""
        standing = self.standing()
        del standing["repeated"]
        return encode({"row": self.reader.record(time, packed), **standing, "hidden": self.hidden})


def bulk_json(series: int, taken: int, repeated: int, views: Sequence[View] | None) -> bytes:
    """The answer to a bulk push. views: where each series stands, None where that was not asked for."""
    forecasts = None if views is None else {view.series: Raw(view.json()) for view in views}
    return encode({"series": series, "rows": taken, "repeated": repeated, "forecasts": forecasts})


def records_of(stream: Stream) -> list[dict[str, Any]]:
    """The present forecast as `Forecast.records` gives it; none where the inputs known ahead were not told yet."""
    present, door = stream.present, stream.door
    if present is None:
        return []
    mean, lows, highs = columns_of(stream.name, stream.level)
    records = []
    for time, middle, lo, hi in zip(door.times_after(stream.last_time).tolist(), *present, strict=True):
        record = {"ds": as_text(time, door.schema), mean: middle}
        record.update(zip(lows, reversed(lo), strict=True))
        record.update(zip(highs, hi, strict=True))
        records.append(record)
    return records


@cache
def columns_of(name: str, level: tuple[float, ...]) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """The names of a forecast's columns: the mean, the lower bounds from the widest, the upper ones to the widest."""
    lows, highs = (tuple(f"{name}-{side}-{value:g}" for value in level) for side in ("lo", "hi"))
    return name, lows[::-1], highs


def coverage_of(stream: Any) -> dict[str, float | None]:
    """The share of recent rows inside their interval by level, null where none was judged yet."""
    found = (stream.coverage or {}).items()
    return {f"{level:g}": None if share is None or math.isnan(share) else float(share) for level, share in found}


def hidden_of(stream: Any) -> list[float] | None:
    """The hidden units' values, or None where the model shows none."""
    hidden = stream.hidden
    return None if hidden is None else [round(float(value), 4) for value in hidden.ravel()]

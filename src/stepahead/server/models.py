"""The models that are served.  Model files -> a name, what it tells of itself, and how its rows are read."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stepahead.data.calendar import Frequency
from stepahead.data.panel import Panel
from stepahead.errors import ConfigError
from stepahead.forecaster import Forecaster
from stepahead.limits import DAY
from stepahead.open_model import load
from stepahead.runtime.stream import Stream
from stepahead.server.problems import Problem
from stepahead.server.rows import RowReader
from stepahead.server.schema import Judged, Model
from stepahead.symbol_model import SymbolModel

LEARNED_SHOWN = 1_000  # names of learned series that a description lists at most


@dataclass(frozen=True)
class Served:
    """A forecaster and how its rows are read. mark: tells this file from another of the same name."""

    name: str
    forecaster: Forecaster
    reader: RowReader
    mark: int

    def begin(self, panel: Panel, level: Sequence[float] | str = "auto") -> Stream:
        """A Stream that has read the one series of a panel."""
        return self.forecaster.stream(panel, level=level)

    def restore(self, snapshot: bytes) -> Stream:
        """The Stream of a snapshot."""
        return self.forecaster.restore(snapshot)


@dataclass(frozen=True)
class Models:
    """All that is served, by name."""

    forecasters: dict[str, Served] = field(default_factory=dict)
    symbols: dict[str, SymbolModel] = field(default_factory=dict)

    def forecaster(self, name: str) -> Served:
        """Raises: Problem 404 where there is no forecaster of this name."""
        if name not in self.forecasters:
            raise Problem(404, f"no forecaster is named {name!r:.60}; GET /v1/timeseries/models lists them")
        return self.forecasters[name]

    def symbol_model(self, name: str) -> SymbolModel:
        """Raises: Problem 404 where there is no model of symbols of this name."""
        if name not in self.symbols:
            raise Problem(404, f"no model of symbols is named {name!r:.60}; GET /v1/models lists them")
        return self.symbols[name]

    def describe(self) -> list[Model]:
        """What each tells of itself."""
        described = [describe_forecaster(served) for served in self.forecasters.values()]
        return described + [describe_symbols(name, model) for name, model in self.symbols.items()]

    def names(self) -> list[str]:
        return [*self.forecasters, *self.symbols]


def open_models(paths: Sequence[Path]) -> Models:
    """Load model files; each is named after its file.

    Raises: ConfigError for two of one name; ModelFileError as `stepahead.load`.
    """
    models = Models()
    for path in paths:
        name = path.name.removesuffix(".safetensors")
        if name in models.names():
            raise ConfigError(f"{path}: two models are named '{name}'; rename one of the files")
        model = load(path)
        if isinstance(model, SymbolModel):
            models.symbols[name] = model
        else:
            models.forecasters[name] = serve_forecaster(name, model, zlib.crc32(path.read_bytes()))
    return models


def serve_forecaster(name: str, model: Forecaster, mark: int = 0) -> Served:
    """A forecaster under a name."""
    fitted = model.fitted_
    return Served(name, model, RowReader.of(fitted.schema, fitted.frequency, model.config_.horizon), mark)


def describe_forecaster(served: Served) -> Model:
    model = served.forecaster
    schema, config = model.fitted_.schema, model.config_
    return Model(
        name=served.name,
        kind="forecaster",
        cell=config.cell,
        hidden_size=config.hidden_size,
        horizon=config.horizon,
        window=config.window,
        memory=getattr(config, "memory", "window"),
        time=schema.time,
        time_kind=schema.time_kind,
        target=schema.target,
        columns=list(schema.past),
        future=list(schema.future),
        static=list(schema.static),
        learned=list(model.panel_.ids[:LEARNED_SHOWN]),
        frequency=frequency_name(model.fitted_.frequency),
        verdict=None if model.verdict_ is None else Judged(model.verdict_.sentence, model.verdict_.outcome),
    )


def describe_symbols(name: str, model: SymbolModel) -> Model:
    shape, vocabulary = model.shape_, model.vocabulary_
    size, tokens = len(vocabulary.symbols), vocabulary.tokens
    times = model.edges_ is not None
    return Model(name, "symbols", shape.cell, shape.hidden_size, symbols=size, tokens=tokens, times=times)


UNITS: tuple[tuple[int, str], ...] = (
    (7 * DAY, "W"),
    (DAY, "D"),
    (DAY // 24, "H"),
    (DAY // 1440, "T"),
    (DAY // 86400, "S"),
)
MONTHS = {12: "Y", 3: "Q", 1: "M"}


def frequency_name(frequency: Frequency) -> str:
    """The step in the short words of KServe's protocol: D, 2H, M ...; "step" where steps are counted."""
    if frequency.unit == "step":
        return "step"
    if frequency.unit == "business":
        return "D"
    sizes: Any = MONTHS.items() if frequency.unit == "month" else UNITS
    for size, letter in sizes:
        if frequency.count % size == 0:
            return letter if frequency.count == size else f"{frequency.count // size}{letter}"
    return f"{frequency.count}us"

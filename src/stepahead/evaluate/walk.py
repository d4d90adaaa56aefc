"""The walk through the folds.  Model, Panel, folds -> Answers: fit, forecast, next fold; resumable.

Legend: N origins, H steps ahead, L levels, S series.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np

from stepahead import store
from stepahead.data.panel import Panel
from stepahead.errors import ConfigError, DataError, TrainingError
from stepahead.evaluate.baselines import series_of
from stepahead.evaluate.folds import Fold, training

SAVING = 0.1  # the share of the time that writing the checkpoint may take
ARRAYS = ("origins", "starts", "stops", "mean", "lo", "hi")


class Forecasts(Protocol):
    """What a model answers: mean [N, H], level [L], lo and hi [N, H, L]."""

    @property
    def mean(self) -> np.ndarray: ...
    @property
    def level(self) -> tuple[float, ...]: ...
    @property
    def lo(self) -> np.ndarray: ...
    @property
    def hi(self) -> np.ndarray: ...


class Model(Protocol):
    """What a backtest asks of a model; `stepahead.Forecaster` is one.

    A model may also have `ready_at(panel, origins) -> [N] bool`, where it can answer; without it, it can everywhere.
    """

    @property
    def name(self) -> str: ...
    @property
    def season_length_(self) -> int | None: ...
    def clone(self) -> Self: ...
    def get_params(self) -> dict[str, Any]: ...
    def set_params(self, **params: Any) -> Self: ...
    def fit(self, panel: Panel, *, progress: Callable[[Any], None] | None = None) -> Self: ...
    def forecast(self, panel: Panel, origins: np.ndarray, *, level: Sequence[float] = ()) -> Forecasts: ...


@dataclass(frozen=True)
class Answers:
    """Forecasts with what their fit knew: origins [N], mean [N, H], lo and hi [N, H, L].

    starts, stops: [N] the training rows of each origin's series. name: the model's column. season_length: what the
    (first) fit found or was given.
    """

    name: str
    season_length: int | None
    origins: np.ndarray
    starts: np.ndarray
    stops: np.ndarray
    mean: np.ndarray
    level: tuple[float, ...]
    lo: np.ndarray
    hi: np.ndarray


@dataclass(frozen=True)
class Walked:
    """How far a walk has come: done of total fits, seconds so far, and seconds_left at this pace."""

    done: int
    total: int
    seconds: float
    seconds_left: float


def walk(
    model: Model,
    panel: Panel,
    folds: Sequence[Fold],
    *,
    level: Sequence[float] = (),
    checkpoint: str | PathLike[str] | None = None,
    progress: Callable[[Any], None] | None = None,
) -> Answers:
    """Fit on each fold's training part and forecast at its origins.

    model: unfitted; each fold fits a clone. checkpoint: file that holds the folds done so far; a walk that was killed
    goes on from it and ends in the same bits. progress: called with Walked after each of several fits; handed to
    `model.fit` where there is one fit only.
    Returns: the Answers of all folds, by series and by time.
    Raises: ConfigError where the checkpoint is of another walk; what `fit` raises; TrainingError where a forecast is
    not a number.
    """
    saved = Saved(checkpoint, fingerprint(model, panel, folds, level) if checkpoint else "")
    parts = saved.load()
    left, started = folds[len(parts) :], time.perf_counter()
    inner, outer = (progress, None) if len(folds) == 1 else (None, progress)
    fits = fit_many(model, (training(panel, fold) for fold in left), inner)
    for done, (fitted, fold) in enumerate(zip(fits, left, strict=True), start=1):
        parts.append(answer(fitted, panel, fold, level))
        saved.save(parts, last=done == len(left))
        if outer:
            seconds = time.perf_counter() - started
            outer(Walked(len(parts), len(folds), seconds, seconds / done * (len(left) - done)))
    return join(parts)


def fit_many(model: Model, panels: Iterable[Panel], progress: Callable[[Any], None] | None = None) -> Iterator[Model]:
    """Fit one clone of the model to each panel, in turn."""
    watching: dict[str, Any] = {} if progress is None else {"progress": progress}
    for panel in panels:
        yield model.clone().fit(panel, **watching)


def answer(fitted: Model, panel: Panel, fold: Fold, level: Sequence[float]) -> Answers:
    """The forecasts of one fit at those origins of its fold where it can answer.

    Raises: DataError where it can answer nowhere; TrainingError naming the first forecast that is not a number.
    """
    origins = answerable(fitted, panel, fold.origins)
    found, series = fitted.forecast(panel, origins, level=tuple(level)), series_of(panel, origins)
    broken = np.flatnonzero(~np.isfinite(found.mean).all(axis=1))
    if len(broken):
        at = broken[0]
        raise TrainingError(
            f"{fitted.name}: the forecast for series '{panel.ids[series[at]]}' at {panel.schema.time} "
            f"{panel.times[origins[at]]} is not a number ({len(broken)} of {len(series)} such); check its inputs"
        )
    return Answers(
        name=fitted.name,
        season_length=fitted.season_length_,
        origins=origins,
        starts=fold.starts[series],
        stops=fold.stops[series],
        mean=np.asarray(found.mean, dtype=np.float64),
        level=tuple(found.level),
        lo=np.asarray(found.lo, dtype=np.float64),
        hi=np.asarray(found.hi, dtype=np.float64),
    )


def answerable(fitted: Model, panel: Panel, origins: np.ndarray) -> np.ndarray:
    """The origins with enough rows behind them; a short series must not stop a backtest of the others."""
    if not hasattr(fitted, "ready_at"):
        return origins
    ready = origins[fitted.ready_at(panel, origins)]
    if len(ready) == 0:
        raise DataError(
            f"{panel.schema.source}: no row to forecast from has a full window behind it; give more rows, or a smaller "
            f"window"
        )
    return ready


def join(parts: Sequence[Answers]) -> Answers:
    """The answers of all folds, by series and by time."""
    if len(parts) == 1:
        return parts[0]
    order = np.argsort(np.concatenate([part.origins for part in parts]), kind="stable")
    columns = {name: np.concatenate([getattr(part, name) for part in parts])[order] for name in ARRAYS}
    return Answers(parts[0].name, parts[0].season_length, level=parts[0].level, **columns)


class Saved:
    """The folds done so far, in a file of stepahead's own kind; without a path it does nothing."""

    def __init__(self, path: str | PathLike[str] | None, key: str) -> None:
        self.path = None if path is None else Path(path)
        self.key = key
        self._free_at = 0.0  # when the next write is due, so that writing takes a small share of the time

    def load(self) -> list[Answers]:
        """What an earlier run left.  Raises: ConfigError where that was another model, panel or plan."""
        if self.path is None or not self.path.exists():
            return []
        tensors, config = store.load(self.path)
        if config.get("kind") != "backtest" or config.get("key") != self.key:
            raise ConfigError(
                f"{self.path}: holds another backtest (other model, table, folds or level); give another checkpoint, "
                f"or delete it"
            )
        season, level = config["season_length"], tuple(config["level"])
        return [
            Answers(config["name"], season, level=level, **{name: tensors[f"{i}.{name}"] for name in ARRAYS})
            for i in range(config["done"])
        ]

    def save(self, parts: Sequence[Answers], *, last: bool) -> None:
        """Write all folds done so far, unless the last write was a moment ago."""
        started = time.perf_counter()
        if self.path is None or (started < self._free_at and not last):
            return
        first = parts[0]
        tensors = {f"{i}.{name}": getattr(part, name) for i, part in enumerate(parts) for name in ARRAYS}
        config = {"kind": "backtest", "key": self.key, "done": len(parts), "name": first.name}
        store.save(self.path, tensors, config | {"season_length": first.season_length, "level": first.level})
        now = time.perf_counter()
        self._free_at = now + (now - started) / SAVING


def fingerprint(model: Model, panel: Panel, folds: Sequence[Fold], level: Sequence[float]) -> str:
    """A digest of everything that the answers of a walk depend on."""
    digest = hashlib.sha256()
    params = dict(model.get_params())
    network = params.pop("network", None)
    digest.update(repr((sorted(params.items()), repr(network), panel.ids, panel.schema, tuple(level))).encode())
    if hasattr(network, "state_dict"):
        for name, tensor in network.state_dict().items():
            digest.update(name.encode() + np.asarray(tensor.detach().cpu()).tobytes())
    for array in (panel.offsets, panel.times, panel.past, panel.future):
        digest.update(np.ascontiguousarray(array).tobytes())
    digest.update(repr(panel.static.tolist()).encode())
    for fold in folds:
        for array in (fold.starts, fold.stops, fold.origins):
            digest.update(array.tobytes())
    return digest.hexdigest()

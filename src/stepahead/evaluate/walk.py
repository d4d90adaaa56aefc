"""The walk through the folds.  Model, Panel, folds -> Answers: fit, forecast, next fold; resumable.

Legend: N origins, H steps ahead, L levels, S series.
"""

import hashlib
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np

from stepahead import store
from stepahead.data.panel import Panel
from stepahead.errors import ConfigError, DataError, TrainingError
from stepahead.evaluate.folds import Fold, training
from stepahead.holdout import UNJUDGED
from stepahead.live import moves_of
from stepahead.runtime.conformal import TooFewErrors

FLEET = 64  # fits that train together at most
PROBES = 2  # that a fit with intervals has beside it, at most
FLEET_ROWS = 1 << 18  # training rows of those together, so that memory does not grow with the number of fits
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

    A model may also have `ready_at(panel, origins) -> [N] bool`, where it can answer (without it: everywhere), and
    `fit_each(panels, progress=) -> models`, which trains one for each panel side by side, or raises DataError.
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


SURFACE = ("clone", "get_params", "set_params", "fit", "forecast")


def check_model(model: Any, asked: str) -> None:
    """Raise ConfigError for what is no Model.  asked: the function that takes it."""
    if isinstance(model, type):
        raise ConfigError(f"{asked} takes a model, and {model.__name__} is a class: pass {model.__name__}(...)")
    if not all(hasattr(model, name) for name in SURFACE):
        raise ConfigError(f"{asked} takes a model that forecasts numbers, a Forecaster, not a {type(model).__name__}")


@dataclass(frozen=True)
class Answers:
    """Forecasts with what their fit knew: origins [N], mean [N, H], lo and hi [N, H, L].

    starts, stops: [N] the training rows of each origin's series. name: the model's column. season_length: what the
    (first) fit found or was given; a backtest puts that of its baselines here. live: how bounds move in its streams,
    `logs` and `positive` of an Adaptive; None where it has no streams.
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
    live: tuple[bool, bool] | None = None


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
    needed: Sequence[float] | None = None,
    checkpoint: str | PathLike[str] | None = None,
    progress: Callable[[Any], None] | None = None,
) -> Answers:
    """Fit on each fold's training part and forecast at its origins.

    model: unfitted; each fold fits a clone. level: coverages in percent; needed: those without which there is no answer
    (all of them by default), the others are NaN where a fit cannot give them.
    checkpoint: file that holds the folds done so far; a walk that was killed goes on from it and ends in the same bits.
    progress: called with Walked; where there is one fit only, handed to `model.fit`.
    Returns: the Answers of all folds, by series and by time.
    Raises: ConfigError where the checkpoint is of another walk; what `fit` raises; TrainingError where a forecast is
    not a number.
    """
    saved = Saved(checkpoint, fingerprint(model, panel, folds, level) if checkpoint else "")
    parts = saved.load()
    clock = Clock(progress, len(folds), len(parts))
    networks = 1 if model.get_params().get("holdout") is None else 1 + PROBES
    for fleet in fleets(folds[len(parts) :], FLEET_ROWS // networks if hasattr(model, "fit_each") else 0):
        with interrupt_ends_it():
            fitted = fit_many(model, [training(panel, fold) for fold in fleet], clock.within(len(parts), len(fleet)))
        for one, fold in zip(fitted, fleet, strict=True):
            parts.append(answer(one, panel, fold, level, needed))
            saved.save(parts, last=len(parts) == len(folds))
        clock.tell(len(parts))
    return join(parts)


def fleets(folds: Sequence[Fold], most_rows: int) -> Iterator[list[Fold]]:
    """Neighbouring folds that train together: as many as have no more rows than that, one at least."""
    fleet: list[Fold] = []
    rows = 0
    for fold in folds:
        size = int((fold.stops - fold.starts).sum())
        if fleet and (rows + size > most_rows or len(fleet) == FLEET):
            yield fleet
            fleet, rows = [], 0
        fleet, rows = [*fleet, fold], rows + size
    if fleet:
        yield fleet


def fit_many(model: Model, panels: Sequence[Panel], progress: Callable[[Any], None] | None = None) -> Sequence[Model]:
    """One clone of the model fitted to each panel: together where the model can, which gives the same bits."""
    watching: dict[str, Any] = {} if progress is None else {"progress": progress}
    if len(panels) > 1:
        with suppress(DataError):  # one of them is too short for what it holds out: each finds out by itself
            return model.fit_each(panels, **watching)  # type: ignore[attr-defined]  # several only where it has one
    return [model.clone().fit(panel, **watching) for panel in panels]


@contextmanager
def interrupt_ends_it() -> Iterator[None]:
    """Ctrl-C ends a backtest.  `fit` alone keeps what it has so far, with a warning; scores of that would mislead.

    That a fold's own last rows gave no verdict is not told: the backtest has its own, and asks for what it needs.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="interrupted after")
        warnings.filterwarnings("ignore", message=UNJUDGED)
        try:
            yield
        except UserWarning as stopped:
            if not str(stopped).startswith("interrupted after"):
                raise
            raise KeyboardInterrupt from stopped


class Clock:
    """Tells how far a walk has come.  With a single fit the training's own reports are handed on as they are."""

    def __init__(self, progress: Callable[[Any], None] | None, total: int, done: int) -> None:
        self.progress, self.total, self.begun_with = progress, total, done
        self.started = time.perf_counter()

    def within(self, done: int, fits: int) -> Callable[[Any], None] | None:
        """What the training of so many fits reports to."""
        if self.progress is None or self.total == 1:
            return self.progress
        return lambda report: self.tell(done, fits * report.step / report.max_steps)

    def tell(self, done: int, share: float = 0.0) -> None:
        """So many fits are done, and a share of the next ones."""
        if self.progress is None or self.total == 1:
            return
        seconds, reached = time.perf_counter() - self.started, done + share
        left = seconds * (self.total - reached) / max(reached - self.begun_with, 1e-9)
        self.progress(Walked(done, self.total, seconds, left))


def answer(
    fitted: Model,
    panel: Panel,
    fold: Fold,
    level: Sequence[float],
    needed: Sequence[float] | None = None,
) -> Answers:
    """The forecasts of one fit at those origins of its fold where it can answer.

    level, needed: as for `walk`.
    Raises: DataError where it can answer nowhere; TrainingError naming the first forecast that is not a number.
    """
    origins = np.sort(answerable(fitted, panel, fold.origins))
    series = panel.series_of(origins)
    needed = level if needed is None else needed
    try:
        found = bounded(fitted, panel, origins, tuple(level), needed)
    except TooFewErrors as error:
        if fitted.get_params().get("holdout") != "auto":
            raise
        raise ConfigError(
            f"{panel.schema.source}: a training part of {int((fold.stops - fold.starts).max())} rows is too short to "
            f"hold out what intervals of level={max(needed):g} need; give more rows to train on, fewer windows, or a "
            f"smaller horizon or window"
        ) from error
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
        live=moves_of(fitted.fitted_) if hasattr(fitted, "fitted_") else None,
    )


@dataclass(frozen=True)
class Bounded:
    """Forecasts put together from several calls."""

    mean: np.ndarray
    level: tuple[float, ...]
    lo: np.ndarray
    hi: np.ndarray


def bounded(
    fitted: Model, panel: Panel, origins: np.ndarray, level: tuple[float, ...], needed: Sequence[float]
) -> Forecasts:
    """The forecasts with all levels, NaN for those that are not needed and that the fit cannot give."""
    try:
        return fitted.forecast(panel, origins, level=level)
    except ConfigError:
        if set(level) <= set(needed):
            raise
    found = fitted.forecast(panel, origins, level=tuple(needed))
    lo, hi = (np.full((*found.mean.shape, len(level)), np.nan) for _ in range(2))
    for i, one in enumerate(level):
        try:
            alone = fitted.forecast(panel, origins, level=(one,))
        except ConfigError:
            continue
        lo[..., i], hi[..., i] = alone.lo[..., 0], alone.hi[..., 0]
    return Bounded(found.mean, level, lo, hi)


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
    order = np.argsort(np.concatenate([part.origins for part in parts]), kind="stable")
    columns: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts])[order] for name in ARRAYS}
    return replace(parts[0], **columns)


class Saved:
    """The folds done so far, in a file of stepahead's own kind; without a path it does nothing."""

    def __init__(self, path: str | PathLike[str] | None, key: str) -> None:
        if not isinstance(path, str | PathLike | None):
            raise ConfigError(f"checkpoint={path!r} must be the name of a file")
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
        live = config["live"] and tuple(config["live"])
        parts: list[dict[str, Any]] = [{name: tensors[f"{i}.{name}"] for name in ARRAYS} for i in range(config["done"])]
        return [Answers(config["name"], season, level=level, live=live, **part) for part in parts]

    def save(self, parts: Sequence[Answers], *, last: bool) -> None:
        """Write all folds done so far, unless the last write was a moment ago."""
        started = time.perf_counter()
        if self.path is None or (started < self._free_at and not last):
            return
        first = parts[0]
        tensors = {f"{i}.{name}": getattr(part, name) for i, part in enumerate(parts) for name in ARRAYS}
        config: dict[str, Any] = {"kind": "backtest", "key": self.key, "done": len(parts), "name": first.name}
        config |= {"season_length": first.season_length, "level": first.level, "live": first.live}
        store.save(self.path, tensors, config)
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

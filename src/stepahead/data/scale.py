"""From values to what a network can learn from, and back.  Filled rows -> Scale -> features, targets -> values.

A Scale is fitted on the training part alone and is a value: it is saved with the model and given to every forecast.
Three things happen in turn, each optional: differences (plain, or of logarithms), scaling, clipping.  The scalers
"minmax", "standard" and "robust" are fixed numbers per column; "window" measures every window by its own level.

Legend: R rows, N windows, T steps, P past inputs (the target is the last), H horizon.
"""

from dataclasses import dataclass

import numpy as np

from stepahead.errors import ConfigError, DataError

LEAST = 1e-270  # of a size: what is divided by less may be beyond all numbers
SCALERS = ("minmax", "standard", "robust", "window", None)
DIFFERENCES = (False, True, "log")


@dataclass(frozen=True)
class Scale:
    """How values become features; everything needed to come back.

    kind: one of SCALERS. difference: False | True | "log". clip: features are held within +-clip, or None.
    logs: [P] bool, columns that are differenced as logarithms (those positive throughout the training part).
    floor: [P] float64, the smallest training value of such a column, in place of one that has no logarithm.
    center, spread: [P] float64, in the units after differencing. level_rows: rows whose mean is a window's own level
    ("window" alone).
    """

    kind: str | None
    difference: bool | str
    clip: float | None
    logs: np.ndarray
    floor: np.ndarray
    center: np.ndarray
    spread: np.ndarray
    level_rows: int = 1

    def features(self, values: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """Each row as the network reads it, before a window's own scaling: values [R, P] -> [R, P].

        starts: first row of each series; a difference across series is none: 0.
        """
        scaled = (self._changes(values, starts) - self.center) / self.spread
        return scaled if self.kind == "window" else self.clipped(scaled)

    def clipped(self, features: np.ndarray) -> np.ndarray:
        """Scaled features held within +-clip; under "window" that waits for the window's own scaling."""
        return features if self.clip is None else np.clip(features, -self.clip, self.clip)

    def measure(self, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Level and size of each window by itself: features [N, T, P] -> two arrays [N, 1, P].

        Level: the mean of the last `level_rows` rows, 0 for differences. Size: the mean absolute value of the
        window (of its differences, if differenced), 1 where that is next to 0.
        """
        size = np.abs(windows).mean(axis=1, keepdims=True)
        level = np.zeros_like(size) if self.difference else windows[:, -self.level_rows :].mean(axis=1, keepdims=True)
        return level, np.where(size > LEAST, size, 1.0)

    def anchors(self, last: np.ndarray, level: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Base and unit of each window's target: what it is told from, and what a scaled 1 is (see `target`).

        last: [N] the target at the origin. level, size: [N] the target's own measure (used by "window").
        """
        own = self.kind == "window"
        unit = size if own else np.broadcast_to(self.spread[-1], last.shape)
        if self.log_target:
            return last, unit
        if self.difference:
            return last + self.drift, unit
        return (level if own else np.broadcast_to(self.center[-1], last.shape)), unit

    def target(self, y: np.ndarray, base: np.ndarray, unit: np.ndarray) -> np.ndarray:
        """Values to learn: y [N, H] -> [N, H] scaled."""
        if self.log_target:
            y, base = np.log(y), np.log(base) + self.drift
        return (y - base[:, None]) / unit[:, None]

    def invert(self, scaled: np.ndarray, base: np.ndarray, unit: np.ndarray) -> np.ndarray:
        """Back to the target's own units: scaled [N, ...] -> [N, ...]."""
        shape = (-1,) + (1,) * (scaled.ndim - 1)
        base, unit = base.reshape(shape), unit.reshape(shape)
        if self.log_target:  # a factor, so that no change is none to the last bit
            return base * np.exp(self.drift + unit * scaled)
        return base + unit * scaled

    @property
    def drift(self) -> float:
        """The change of the target that a scaled 0 stands for, where changes are scaled by fixed numbers; else 0."""
        return 0.0 if self.kind == "window" or not self.difference else float(self.center[-1])

    @property
    def log_target(self) -> bool:
        return self.difference == "log" and bool(self.logs[-1])

    def check_target(self, y: np.ndarray, name: str) -> None:
        """Raise DataError if a value has no logarithm although the model was trained on log-returns."""
        if self.log_target and (y <= 0).any():
            raise DataError(
                f"column '{name}' holds {y[y <= 0][0]:g}, but the model learned log-returns of positive values; "
                f"fit it again on this table, or with difference=True"
            )

    def _changes(self, values: np.ndarray, starts: np.ndarray) -> np.ndarray:
        if not self.difference:
            return values
        levels = values
        if self.difference == "log" and self.logs.any():
            levels = np.where(self.logs, np.log(np.where(values > 0, values, self.floor)), values)
        changes = np.zeros_like(levels)
        np.subtract(levels[1:], levels[:-1], out=changes[1:])
        changes[starts] = 0.0
        return changes


def fit_scale(
    values: np.ndarray,
    starts: np.ndarray,
    *,
    kind: str | None,
    difference: bool | str,
    clip: float | None = None,
    level_rows: int = 1,
) -> Scale:
    """Learn a Scale from the rows of the training part.

    values: [R, P] float64 without holes. starts: [S] first row of each series.
    Differences are scaled but not centred (minmax apart): no change stays zero.
    """
    if kind not in SCALERS:
        raise ConfigError(f"scaler={kind!r} is not one of {', '.join(map(repr, SCALERS))}")
    if difference not in DIFFERENCES:
        raise ConfigError(f"difference={difference!r} is not one of {', '.join(map(repr, DIFFERENCES))}")
    positive = np.all(values > 0, axis=0)
    raw = Scale(
        kind=kind,
        difference=difference,
        clip=None,
        logs=positive if difference == "log" else np.zeros_like(positive),
        floor=np.where(positive, values.min(axis=0), 1.0),
        center=np.zeros(values.shape[1]),
        spread=np.ones(values.shape[1]),
        level_rows=level_rows,
    )
    changes = raw.features(values, starts)
    if difference:
        changes = np.delete(changes, starts, axis=0)
    center, spread = measure_columns(changes, kind)
    if difference and kind != "minmax":
        center = np.zeros_like(center)
    return Scale(kind, difference, clip, raw.logs, raw.floor, center, spread, level_rows)


def measure_columns(values: np.ndarray, kind: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Center and spread of each column by the scaler's rule; a constant column has spread 1."""
    columns = values.shape[1]
    if kind in (None, "window") or len(values) == 0:
        return np.zeros(columns), np.ones(columns)
    if kind == "minmax":
        center, spread = values.min(axis=0), np.ptp(values, axis=0)
    elif kind == "standard":
        center, spread = values.mean(axis=0), values.std(axis=0)
    else:
        low, center, high = np.quantile(values, [0.25, 0.5, 0.75], axis=0)
        spread = high - low
    # Rounding leaves a constant column a spread of some 1e-17 of its level: that is no spread.
    constant = spread <= 1e-12 * np.maximum(np.abs(values).max(axis=0), np.finfo(float).tiny)
    return center, np.where(constant, 1.0, spread)

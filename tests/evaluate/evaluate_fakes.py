"""A model small enough to check by hand, with the surface that a backtest asks for."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from stepahead.data.panel import Panel
from stepahead.evaluate.baselines import naive


@dataclass(frozen=True)
class FakeForecasts:
    mean: np.ndarray
    level: tuple[float, ...]
    lo: np.ndarray
    hi: np.ndarray


@dataclass
class FakeModel:
    """Last value plus `slope` times the last change, plus `learned`: the mean change of the rows it was fitted on."""

    slope: float = 0.0
    shift: bool = False
    horizon: int = 1
    season_length: int | None = None
    holdout: Any = "auto"
    name: str = "FAKE"
    spread: float = 1.0
    fits: list[np.ndarray] = field(default_factory=list)
    holdouts: list[Any] = field(default_factory=list)
    season_length_: int | None = None
    learned_: float = np.nan
    fitted_on_: int = 0

    def clone(self) -> Self:
        copy = type(self)(**{name: getattr(self, name) for name in self.parameters})
        copy.fits, copy.holdouts = self.fits, self.holdouts  # shared, so that a test sees what every clone did
        return copy

    parameters = ("slope", "shift", "horizon", "season_length", "holdout", "name", "spread")

    def get_params(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.parameters}

    def set_params(self, **params: Any) -> Self:
        for name, value in params.items():
            assert name in self.parameters, name
            setattr(self, name, value)
        return self

    def fit(self, panel: Panel, **_: Any) -> Self:
        self.holdouts.append(self.holdout)
        self.fits.append(panel.y.copy())
        self.learned_ = float(np.nanmean(np.diff(panel.y))) if self.shift else 0.0
        self.fitted_on_, self.season_length_ = panel.n_rows, self.season_length
        return self

    def forecast(self, panel: Panel, origins: np.ndarray, *, level: Sequence[float] = ()) -> FakeForecasts:
        last = naive(panel, origins, self.horizon)
        before = naive(panel, np.maximum(origins - 1, 0), 1)
        mean = last + self.slope * (last - before) + self.learned_ * np.arange(1, self.horizon + 1)
        half = self.spread * np.asarray(level, dtype=float) / 100
        return FakeForecasts(mean, tuple(level), mean[..., None] - half, mean[..., None] + half)

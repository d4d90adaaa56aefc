"""What the tests of the Forecaster share: settings that learn in a moment, a series, and what a forecast is worth."""

from typing import Any

import numpy as np

from stepahead.data.panel import Panel
from stepahead.forecaster import Forecaster

TINY: dict[str, Any] = {"recipe": "classic", "window": 4, "hidden_size": 3, "max_steps": 10, "check_every": 5}
QUICK: dict[str, Any] = TINY | {"holdout": None}


def made_wave(n: int = 80, seed: int = 0) -> Panel:
    noise = 0.1 * np.random.default_rng(seed).standard_normal(n)
    return Panel.from_arrays(np.sin(np.arange(n) / 4) + 2 + noise)


def last(frame: Any, column: str = "LSTM") -> np.ndarray:
    return np.asarray(frame[column])


def error_of(model: Forecaster, panel: Panel, origins: np.ndarray) -> float:
    found = model.forecast(panel, origins)
    truth = panel.y[origins[:, None] + np.arange(1, found.mean.shape[1] + 1)]
    return float(np.sqrt(np.square(found.mean - truth).mean()))

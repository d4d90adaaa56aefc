"""Small models for the tests of the service, and rows for them."""

from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np

from stepahead import Forecaster, Panel, SymbolModel
from stepahead.server.models import Models, open_models

START = np.datetime64("2024-01-01", "us")
DAY = np.timedelta64(1, "D")
LEVEL = (50.0, 80.0)


def wave(rows: int) -> np.ndarray:
    """A series with a season and noise: [rows]."""
    rng = np.random.default_rng(7)
    return 20 + 5 * np.sin(np.arange(rows) / 3) + rng.normal(0, 0.5, rows)


def days(rows: int) -> np.ndarray:
    return START + np.arange(rows) * DAY


@cache
def files() -> tuple[Path, ...]:
    """Model files: `daily` (dates, one more input), `steps` (integer steps) and `word` (symbols)."""
    folder = Path(mkdtemp(prefix="stepahead-models-"))
    values = np.column_stack([np.cos(np.arange(160) / 3), wave(160)])
    panels = {
        "daily": Panel.from_arrays(values, times=days(160), names=["load", "y"]),
        "steps": Panel.from_arrays(wave(160)),
    }
    for name, panel in panels.items():
        model = Forecaster(recipe="classic", window=4, hidden_size=4, horizon=2, max_steps=30, holdout=40, seed=1)
        model.fit(panel).save(folder / f"{name}.safetensors")
    SymbolModel(cell="rnn", hidden_size=2, epochs=60, holdout=None).fit("hello").save(folder / "word.safetensors")
    return tuple(folder / f"{name}.safetensors" for name in ("daily", "steps", "word"))


@cache
def models() -> Models:
    return open_models(files())


def daily_rows(rows: int, first: int = 0) -> list[dict[str, Any]]:
    """Rows of the model `daily`, as JSON has them."""
    values = wave(first + rows)
    return [
        {"ds": str(START.astype("datetime64[D]") + i), "load": round(float(np.cos(i / 3)), 6), "y": float(values[i])}
        for i in range(first, first + rows)
    ]


def step_rows(rows: int, first: int = 0) -> list[dict[str, Any]]:
    """Rows of the model `steps`, as JSON has them."""
    return [{"ds": i + 1.0, "y": float(y)} for i, y in enumerate(wave(first + rows))][first:]

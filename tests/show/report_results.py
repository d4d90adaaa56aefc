"""Results to report, of a model that needs no training."""

import sys
from functools import cache
from pathlib import Path

import numpy as np

from stepahead.data.panel import Panel
from stepahead.evaluate.backtest import backtest
from stepahead.evaluate.choose import WindowChoice
from stepahead.evaluate.result import Backtest

sys.path.insert(0, str(Path(__file__).parent.parent / "evaluate"))
from evaluate_fakes import FakeModel

EVIL = "</script><script>window.pwned = 1</script><img src=x onerror='window.pwned = 1'>"


@cache
def result(*, level: tuple[float, ...] = (80, 95), test_size: int = 120) -> Backtest:
    """One series of days, one step ahead."""
    y = 500 + np.cumsum(np.random.default_rng(0).normal(scale=8, size=400))
    days = np.datetime64("2020-01-01", "us") + np.arange(400) * np.timedelta64(1, "D")
    panel = Panel.from_arrays(y, times=days, target="close")
    return backtest(FakeModel(slope=0.2, spread=25, name="LSTM"), panel, test_size=test_size, level=level)


@cache
def walked(*, series: int = 8, rows: int = 150, step_size: int = 2, evil: bool = True) -> Backtest:
    """Many series of hours, six steps ahead from 20 cutoffs; one series has an evil name."""
    rng, hours = np.random.default_rng(1), np.arange(rows)
    wave = 10 * np.sin(hours / 12 * 2 * np.pi)
    y = np.concatenate([50 * (s + 1) + wave + np.cumsum(rng.normal(size=rows)) for s in range(series)])
    times = np.datetime64("2020-01-01", "us") + hours * np.timedelta64(1, "h")
    ids = (*(f"store {s}" for s in range(series - 1)), EVIL if evil else "a store")
    offsets = [s * rows for s in range(series + 1)]
    panel = Panel.from_arrays(y, times=np.tile(times, series), ids=ids, offsets=offsets, target="sales")
    model = FakeModel(slope=0.9, spread=12, name="GRU", horizon=6, season_length=12)
    return backtest(model, panel, step_size=step_size, n_windows=20, refit=False, level=(80, 95))


def curve() -> WindowChoice:
    """What a window search could have found."""
    return WindowChoice(
        windows=(1, 7, 28),
        error=np.array([3.0, 2.0, 2.5]),
        noise=np.array([0.5, 0.0, 0.5]),
        chosen=7,
        matters=True,
        p_value=0.01,
        n_forecasts=100,
        notes=(),
        sentence="Seven rows matter.",
    )

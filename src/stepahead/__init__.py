"""Predict the next step of any sequence with a recurrent network, and know whether to believe it.

Names are loaded when they are first used: importing stepahead imports neither torch nor matplotlib.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stepahead import errors, nn, samples
    from stepahead.data.panel import Panel
    from stepahead.data.read import read
    from stepahead.data.symbols import read_corpus, read_events
    from stepahead.data.windows import windows
    from stepahead.evaluate.audit import audit
    from stepahead.evaluate.backtest import backtest
    from stepahead.evaluate.choose import choose_window
    from stepahead.evaluate.tune import tune
    from stepahead.forecaster import Forecaster
    from stepahead.open_model import load
    from stepahead.symbol_model import SymbolModel

__version__ = "0.1.0"

HOMES = {
    "Forecaster": "stepahead.forecaster",
    "Panel": "stepahead.data.panel",
    "SymbolModel": "stepahead.symbol_model",
    "audit": "stepahead.evaluate.audit",
    "backtest": "stepahead.evaluate.backtest",
    "choose_window": "stepahead.evaluate.choose",
    "load": "stepahead.open_model",
    "read": "stepahead.data.read",
    "read_corpus": "stepahead.data.symbols",
    "read_events": "stepahead.data.symbols",
    "tune": "stepahead.evaluate.tune",
    "windows": "stepahead.data.windows",
}

__all__ = [
    "Forecaster",
    "Panel",
    "SymbolModel",
    "audit",
    "backtest",
    "choose_window",
    "errors",
    "load",
    "nn",
    "read",
    "read_corpus",
    "read_events",
    "samples",
    "tune",
    "windows",
]


def __getattr__(name: str) -> Any:
    if name == "nn":
        from stepahead.errors import require

        require("torch", extra="train", purpose="stepahead.nn")
        return import_module("stepahead.nn")
    if name in ("errors", "samples"):
        return import_module(f"stepahead.{name}")
    if name not in HOMES:
        raise AttributeError(f"module 'stepahead' has no attribute '{name}'")
    return getattr(import_module(HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])

"""Pictures of what a network sees while it reads symbols.  Look -> matplotlib Figure, PNG or SVG."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stepahead.errors import ConfigError
from stepahead.show.plots import FORECAST, TRUTH, escaped, new_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from stepahead.symbol_stream import Look

MARKS = {"\n": "⏎", " ": "␣", "\t": "⇥"}
LONGEST = 120  # symbols: more could not be told apart
WRITTEN = 200  # cells that have their value written in them, at most
DARK = 0.6  # share of the strongest colour from which on white reads better than black


def plot_look(look: "Look", path: str | Path | None = None, *, units: int = 8) -> Any:
    """Hidden units through time as a heat map, the most telling on top, what was expected next under each symbol.

    Args:
        look: from `SymbolModel.look`.
        path: PNG or SVG by its ending; None writes nothing.
        units: how many to show.

    Returns:
        The matplotlib Figure.

    Raises:
        ConfigError: more than 120 symbols, or another ending. MissingExtraError: matplotlib is not installed.

    Example:
        >>> plot_look(word.look("hell"), "hell.png")  # doctest: +SKIP
    """
    check_length(look)
    chosen = told_units(look, units)
    values = look.hidden[:, chosen].T  # [units, T]
    expected = max(len(step) for step in look.next)
    width = max(4.2, 2.4 + 0.75 * len(look.symbols))
    figure = new_figure(width, 1.5 + 0.17 * expected + 0.42 * len(chosen), path)
    axes = figure.subplots()
    bound = max(1.0, float(abs(values).max()))
    image = axes.imshow(values, cmap="RdBu_r", vmin=-bound, vmax=bound, aspect="auto", interpolation="nearest")
    axes.set_yticks(range(len(chosen)), [f"unit {unit + 1}" for unit in chosen])
    axes.tick_params(length=0, which="both")
    _name_steps(axes, look)
    if values.size <= WRITTEN:
        _write_values(axes, values, bound)
    figure.colorbar(image, ax=axes, label="hidden state", ticks=[-bound, 0, bound], format="%g")
    return save(figure, path)


def told_units(look: "Look", units: int) -> Any:
    """The most telling units, so many.  Raises: ConfigError for less than one."""
    if units < 1:
        raise ConfigError(f"units={units}: must be at least 1")
    return look.told[:units]


def check_length(look: "Look") -> None:
    """Raises: ConfigError where there are too many symbols to be told apart."""
    if len(look.symbols) > LONGEST:
        raise ConfigError(f"sequence: {len(look.symbols)} symbols are too many for one picture, at most {LONGEST}")


def shown(symbol: str) -> str:
    """Blanks made visible; other control characters by their escapes."""
    return MARKS.get(symbol, symbol if symbol.isprintable() else repr(symbol)[1:-1])


def _name_steps(axes: "Axes", look: "Look") -> None:
    """The symbols along the axis, and small below each what was expected after it."""
    steps = range(len(look.symbols))
    axes.set_xticks(steps, [escaped(shown(symbol)) for symbol in look.symbols], fontsize=13)
    expected = ["\n".join(f"{shown(name)} {odds:.2f}" for name, odds in step) for step in look.next]
    axes.xaxis.remove_overlapping_locs = False  # the minor labels stand below the major ones, at the same places
    axes.set_xticks(steps, [escaped(words) for words in expected], minor=True, fontsize=8, color=FORECAST)
    axes.tick_params(axis="x", which="minor", pad=22)
    axes.set_xlabel("symbol read, and what was expected next")


def _write_values(axes: "Axes", values: np.ndarray, bound: float) -> None:
    for (unit, step), value in np.ndenumerate(values):
        color = "white" if abs(value) > DARK * bound else TRUTH
        axes.text(step, unit, f"{value:+.2f}", ha="center", va="center", fontsize=9, color=color)

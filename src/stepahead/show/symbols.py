"""Pictures of what a network sees while it reads symbols.  Look -> matplotlib Figure, PNG or SVG."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from stepahead.errors import ConfigError
from stepahead.show.plots import escaped, new_figure, save

if TYPE_CHECKING:
    from stepahead.symbol_stream import Look

MARKS = {"\n": "⏎", " ": "␣", "\t": "⇥"}
LONGEST = 120  # symbols: more could not be told apart


def plot_look(look: "Look", path: str | Path | None = None, *, units: int = 8) -> Any:
    """Hidden units through time as a heat map, the most telling on top, what was expected next under each symbol.

    Args:
        look: from `SymbolModel.look`.
        path: PNG or SVG by its ending; None writes nothing.
        units: how many to show.

    Returns:
        The matplotlib Figure.
    """
    if len(look.symbols) > LONGEST:
        raise ConfigError(f"sequence: {len(look.symbols)} symbols are too many for one picture, at most {LONGEST}")
    chosen = look.told[: max(units, 1)]
    values = look.hidden[:, chosen].T  # [units, T]
    figure = new_figure(max(4.2, 2.4 + 0.62 * len(look.symbols)), 2.4 + 0.32 * len(chosen), path)
    axes = figure.subplots()
    bound = max(1.0, float(abs(values).max()))
    image = axes.imshow(values, cmap="RdBu_r", vmin=-bound, vmax=bound, aspect="auto", interpolation="nearest")
    labels = [
        "\n".join([shown(symbol), *(f"{shown(name)} {odds:.2f}" for name, odds in expected)])
        for symbol, expected in zip(look.symbols, look.next, strict=True)
    ]
    axes.set_xticks(range(len(labels)), labels, fontsize=8)
    axes.set_yticks(range(len(chosen)), [f"unit {unit + 1}" for unit in chosen], fontsize=8)
    axes.set_xlabel("symbol read, and what was expected next")
    if values.size <= 150:
        for (row, step), value in _cells(values):
            axes.text(step, row, f"{value:+.2f}", ha="center", va="center", fontsize=8, color=_ink(value / bound))
    figure.colorbar(image, ax=axes, label="hidden state")
    return save(figure, path)


def shown(symbol: str) -> str:
    """Blanks made visible; other control characters by their escapes."""
    return escaped(MARKS.get(symbol, symbol if symbol.isprintable() else repr(symbol)[1:-1]))


def _cells(values: Any) -> list[tuple[tuple[int, int], float]]:
    rows, steps = values.shape
    return [((row, step), float(values[row, step])) for row in range(rows) for step in range(steps)]


def _ink(share: float) -> str:
    return "white" if abs(share) > 0.6 else "black"

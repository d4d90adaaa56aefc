"""The tour: a cell, a word, a stock.  Nothing in -> what each part found, and its files.

`stepahead demo` prints what these functions return.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stepahead import samples
from stepahead.data.frames import write_frame
from stepahead.data.panel import Panel
from stepahead.data.read import read
from stepahead.errors import require
from stepahead.evaluate.result import Backtest
from stepahead.forecaster import Forecaster
from stepahead.show.symbols import plot_look
from stepahead.symbol_model import SymbolModel
from stepahead.symbol_stream import Look

WINDOW = 7
TRAIN_SHARE = 0.7
RECIPES = ("classic", "price")

Shape = tuple[int, ...]
Progress = Callable[[Any], None]
Files = Mapping[str, Callable[[Path], Any]]
"""File name -> what writes it to a path."""


@dataclass(frozen=True)
class CellPart:
    """What a recurrent layer takes and gives.

    inputs, outputs, status: shapes of a layer RNN(5, 8). deep_outputs, deep_status: of two layers in both directions.
    gap: the largest difference between the last output and the status; 0 when they are the same.
    """

    inputs: Shape
    outputs: Shape
    status: Shape
    deep_outputs: Shape
    deep_status: Shape
    gap: float


@dataclass(frozen=True)
class WordPart:
    """What a network learned from one word.

    model: fitted. text: the word. symbols: in order of first appearance, each one input. prefix: what was given.
    following: (symbol, probability), the likeliest first. completed: from the first symbol on.
    look: the hidden units after each symbol of the prefix, with the likeliest next ones.
    """

    model: SymbolModel
    text: str
    symbols: tuple[str, ...]
    hidden_size: int
    prefix: str
    following: tuple[tuple[str, float], ...]
    completed: str
    look: Look


@dataclass(frozen=True)
class StockPart:
    """One recipe on the stock file.

    model: fitted on all rows. result: what the first 70 % of rows taught, tested on the rest.
    """

    recipe: str
    model: Forecaster
    result: Backtest


def run_cell(seed: int = 0) -> CellPart:
    """Feed ten steps of five numbers to a layer with eight hidden units."""
    torch = require("torch", extra="train", purpose="the demo")
    from stepahead.nn import RNN

    torch.manual_seed(seed)
    x = torch.randn(1, 10, 5)
    with torch.no_grad():
        outputs, status = RNN(5, 8, batch_first=True)(x)
        deep_outputs, deep_status = RNN(5, 8, num_layers=2, bidirectional=True, batch_first=True)(x)
    return CellPart(
        inputs=tuple(x.shape),
        outputs=tuple(outputs.shape),
        status=tuple(status.shape),
        deep_outputs=tuple(deep_outputs.shape),
        deep_status=tuple(deep_status.shape),
        gap=float((outputs[:, -1] - status[0]).abs().max()),
    )


def run_word(text: str = "hello") -> WordPart:
    """Learn one word by heart with two hidden units, and ask for what follows all but its last symbol."""
    model = SymbolModel(cell="rnn", hidden_size=2).fit(text)
    prefix = text[:-1]
    return WordPart(
        model=model,
        text=text,
        symbols=model.vocabulary_.symbols,
        hidden_size=model.shape_.hidden_size,
        prefix=prefix,
        following=tuple(model.next(prefix)),
        completed=model.complete(text[0], len(text) - 1),
        look=model.look(prefix, k=2),
    )


def read_stock() -> Panel:
    """The bundled stock file: from open, high, low, volume and close so far, the next close."""
    return read(samples.path("goog"), time="date", target="close")


def run_stock(panel: Panel, recipe: str, *, progress: Progress | None = None) -> StockPart:
    """Learn the first 70 % of rows, judge on the rest, then learn all rows."""
    test_rows = panel.n_rows - int(TRAIN_SHARE * panel.n_rows)
    model = Forecaster(recipe=recipe, window=WINDOW, holdout=test_rows).fit(panel, progress=progress)
    return StockPart(recipe, model, model.backtest_)


def word_files(part: WordPart) -> Files:
    """What the word leaves: the model, and its hidden states as a picture."""
    return {
        "hello.safetensors": part.model.save,
        "hello-states.png": lambda path: plot_look(part.look, path),
        "hello-states.svg": lambda path: plot_look(part.look, path),
    }


def stock_files(part: StockPart) -> Files:
    """What a recipe leaves: the model, its forecasts of the test part, and two pictures of them."""
    stem = f"goog-{part.recipe}"
    return {
        f"{stem}.safetensors": part.model.save,
        f"{stem}.csv": lambda path: write_frame(part.result.forecasts, path),
        f"{stem}.png": part.result.plot,
        f"{stem}.svg": part.result.plot,
    }


def to_json(cell: CellPart, word: WordPart, stocks: Sequence[StockPart]) -> dict[str, Any]:
    """All that was found, as values for JSON."""
    return {
        "cell": asdict(cell),
        "word": {
            "symbols": list(word.symbols),
            "input_size": len(word.symbols),
            "hidden_size": word.hidden_size,
            "next": dict(word.following),
            "completed": word.completed,
        },
        "stock": {part.recipe: part.result.to_json() for part in stocks},
    }

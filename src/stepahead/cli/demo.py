"""stepahead demo: the tour.  A cell, a word, a stock -> tables, verdicts, and a folder of pictures and models."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stepahead.cli import options as o
from stepahead.cli import output
from stepahead.errors import ConfigError

if TYPE_CHECKING:
    from stepahead.demo import CellPart, StockPart, WordPart

Folder = Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="Folder for what the demo leaves.")]


def demo(folder: Folder = Path("stepahead-demo"), json: o.Json = False, quiet: o.Quiet = False) -> None:
    """Show the three parts on data that ships along; under a minute.

    \b
    stepahead demo
    stepahead demo --output tour --json
    """
    from stepahead import demo as tour

    started = time.perf_counter()
    make_folder(folder)
    show = not (json or quiet)
    cell = tour.run_cell()
    print_cell(cell, show)
    word = tour.run_word()
    print_word(word, show)
    files = dict(tour.word_files(word))
    panel, stocks = tour.read_stock(), []
    say(f"\n3. The stock: {panel.n_rows:,} days of Google; from the last {tour.WINDOW} days, the next close", show)
    for recipe in tour.RECIPES:
        say(f"\nlearning by the {recipe} recipe ...", show)
        with output.progress_bar(quiet=quiet or json) as progress:
            stocks.append(tour.run_stock(panel, recipe, progress=progress))
        print_stock(stocks[-1], show)
        files |= tour.stock_files(stocks[-1])
    output.write_files({folder / name: write for name, write in files.items()})
    seconds = time.perf_counter() - started
    written = [str(folder / name) for name in files]
    if json:
        output.print_json(tour.to_json(cell, word, stocks) | {"files": written, "seconds": round(seconds, 2)})
    elif quiet:
        for part in stocks:
            typer.echo(f"{part.recipe}: {part.result.verdict}")
    else:
        say(f"\n{len(written)} files in {folder}/ after {seconds:.0f} s: {', '.join(sorted(files))}", show)


def make_folder(folder: Path) -> None:
    """Make the folder, before any work.  Raises: ConfigError where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--output {folder}: is no folder that could be made ({error.strerror})") from error


def say(text: str, show: bool) -> None:
    if show:
        typer.echo(text)


def print_cell(part: "CellPart", show: bool) -> None:
    if not show:
        return
    typer.echo("1. The cell: ten steps of five numbers through eight hidden units\n")
    rows: list[list[Any]] = [
        ["RNN(5, 8)", part.inputs, part.outputs, part.status],
        ["two layers, both directions", part.inputs, part.deep_outputs, part.deep_status],
    ]
    output.print_table(["layer", "input", "all hidden states", "last one (status)"], rows)
    same = "the last output is the status" if part.gap == 0 else "the last output differs from the status"
    typer.echo(f"\noutputs[:, -1] - status[0]: {part.gap:g} at most; {same}.")


def print_word(part: "WordPart", show: bool) -> None:
    if not show:
        return
    typer.echo(f"\n2. The word: '{part.text}', one hot, through {part.hidden_size} hidden units\n")
    rows: list[list[Any]] = [
        [symbol, str([int(i == position) for i in range(len(part.symbols))])]
        for position, symbol in enumerate(part.symbols)
    ]
    output.print_table(["symbol", "input"], rows)
    typer.echo(f"\nafter '{part.prefix}':\n")
    output.print_table(["next", "probability"], [[symbol, round(p, 4)] for symbol, p in part.following])
    typer.echo(f"\n'{part.text[0]}' goes on as '{part.completed}'.")


def print_stock(part: "StockPart", show: bool) -> None:
    if not show:
        return
    learned = part.result.origins[0] + 1
    typer.echo(f"learned {learned:,} days, tested on the {len(part.result.origins):,} after them:\n")
    output.print_scores(part.result)

"""The shell.  `stepahead fit | predict | backtest | ...`: one file a command; errors are one line and exit status 2.

Libraries are imported when a command runs, so that `stepahead --help` is quick and `predict` never meets torch.
"""

from typing import Annotated

import typer

from stepahead.cli import audit, backtest, demo, fit, predict, symbols
from stepahead.cli.shell import Shell

app = typer.Typer(cls=Shell, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


def show_version(asked: bool) -> None:
    if asked:
        from stepahead import __version__

        typer.echo(f"stepahead {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def stepahead(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Predict the next step of any sequence, and know whether to believe it.

    \b
    stepahead backtest goog.csv --time date --target close --window 7
    stepahead fit goog.csv --time date --target close -o goog.safetensors
    stepahead predict goog.safetensors goog.csv --level 80,95
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


app.command()(demo.demo)
app.command()(fit.fit)
app.command()(predict.predict)
app.command()(backtest.backtest)
app.command()(audit.audit)
app.add_typer(symbols.app, name="symbols")


def main() -> None:
    """What the command `stepahead` runs."""
    app(prog_name="stepahead")

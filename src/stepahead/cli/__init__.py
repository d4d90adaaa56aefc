"""The shell.  `stepahead fit | predict | backtest | ...`: one file a command; errors are one line and exit status 2.

A command's file is imported when it is called, and libraries when it runs, so that `predict` is quick and never meets
torch.
"""

from importlib import import_module
from typing import Annotated, Any

import typer
from typer.main import get_command

from stepahead.cli.shell import Shell

COMMANDS = ("demo", "fit", "predict", "backtest", "audit", "stream", "serve", "symbols")  # each a file of this folder


class Commands(Shell):
    """The commands, each read from its file when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"stepahead.cli.{cmd_name}")
        command = get_command(module.app) if hasattr(module, "app") else single(getattr(module, cmd_name))
        command.name = cmd_name
        return command


def single(function: Any) -> Any:
    """A function with typer's annotations as a command."""
    alone = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    alone.command()(function)
    return get_command(alone)


app = typer.Typer(cls=Commands, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


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


def main() -> None:
    """What the command `stepahead` runs."""
    app(prog_name="stepahead")

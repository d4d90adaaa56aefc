"""How every command ends.  Exit status 0; 2 with one line on stderr for what the user can mend; 130 when stopped.

A mistake of the program's own is one line too, with status 1; STEPAHEAD_TRACEBACK=1 shows where it is.
"""

import os
import re
import sys
import warnings
from collections.abc import Collection, Sequence
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from stepahead.errors import StepaheadError

UsageError: Any = typer.BadParameter.__base__  # click's own, wherever this version of typer keeps it


class Shell(TyperGroup):
    """A group of commands whose errors are one line each."""

    def main(self, *args: Any, standalone_mode: bool = True, **options: Any) -> Any:
        warnings.showwarning = show_warning
        try:
            status = super().main(*args, **(options | {"standalone_mode": False}))
        except UsageError as error:
            command = error.ctx.command_path if error.ctx else "stepahead"
            fail(f"{error.format_message().rstrip('.')} (see '{command} --help')", 2)
        except typer.Abort:
            fail("stopped", 130)
        if standalone_mode:
            sys.exit(status if isinstance(status, int) else 0)
        return status

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except StepaheadError as error:
            fail(as_options(str(error), options_of(ctx), words_of(ctx)), 2)
        except KeyboardInterrupt:
            fail("stopped", 130)
        except (typer.Exit, typer.Abort, UsageError, BrokenPipeError):
            raise
        except Exception as error:
            if os.environ.get("STEPAHEAD_TRACEBACK"):
                raise
            fail(f"a mistake of stepahead's own, {type(error).__name__}: {error} (STEPAHEAD_TRACEBACK=1 says where)", 1)


def fail(message: str, status: int) -> NoReturn:
    """One line on stderr, and the end."""
    line = " ".join(message.split())
    typer.echo(line if status == 130 else f"error: {line}", err=True)
    sys.exit(status)


def show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    typer.echo(f"warning: {' '.join(str(message).split())}", err=True)


def options_of(ctx: Any) -> dict[str, str]:
    """The options of the command that runs: parameter -> how it is typed."""
    return {p.name: p.opts[-1] for p in parameters_of(ctx) if p.name and p.opts and p.opts[-1].startswith("--")}


def words_of(ctx: Any) -> set[str]:
    """Those that are typed with a word behind them: --difference true."""
    return {p.name for p in parameters_of(ctx) if not getattr(p, "is_flag", False)}


def parameters_of(ctx: Any) -> Sequence[Any]:
    command = ctx.command.get_command(ctx, ctx.invoked_subcommand) if ctx.invoked_subcommand else None
    return getattr(command, "params", [])


def as_options(message: str, options: dict[str, str], words: Collection[str] = ()) -> str:
    """The library speaks of time_format=, the shell of --time-format; what one fits with is an option of `fit`."""

    def typed(match: re.Match[str]) -> str:
        name, value = match[1], match[2] or ""
        option = "--" + name.replace("_", "-") if message[: match.start()].endswith("fit with ") else options.get(name)
        written = {"True": "true" if name in words else "", "None": "none"}.get(value, value)
        return match[0] if option is None else f"{option} {written}".rstrip()

    return re.sub(r"(?<![\w/.'-])([a-z_]+)=('[^']*'|[\w.-]+)?", typed, message)

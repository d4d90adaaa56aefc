"""How every command ends.  Exit status 0; 2 with one line on stderr for what the user can mend; 130 when stopped.

A mistake of the program's own is one line too, with status 1; STEPAHEAD_TRACEBACK=1 shows where it is.
"""

import errno
import os
import re
import sys
import warnings
from collections.abc import Collection, Sequence
from contextlib import suppress
from io import TextIOWrapper
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from stepahead.errors import DataError, StepaheadError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)  # what standard output can come to
UsageError: Any = typer.BadParameter.__base__  # click's own, wherever this version of typer keeps it


class Shell(TyperGroup):
    """A group of commands whose errors are one line each."""

    def main(self, *args: Any, standalone_mode: bool = True, **options: Any) -> Any:
        warnings.showwarning = show_warning
        prepare_streams()
        try:
            status = super().main(*args, **(options | {"standalone_mode": False}))
            sys.stdout.flush()
        except OSError as error:
            give_up(error)
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
            give_up(error)


def prepare_streams() -> None:
    """What is written is UTF-8, as what is read; a stream that was closed is known as such."""
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  as long as the process lives
    if sys.stdout is None:
        fail(f"standard output is closed; send it to a file, or to {os.devnull}", 2)
    if sys.stdout.encoding and "utf" not in sys.stdout.encoding.lower() and isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")


def check_standard_input() -> None:
    """Raises: DataError where there is nothing to read from."""
    if sys.stdin is None:
        raise DataError("standard input is closed; give it rows by a pipe or from a file, < FILE")


def give_up(error: Exception) -> NoReturn:
    """What the system refused is one line with status 2; all else is a mistake of the program's own."""
    if os.environ.get("STEPAHEAD_TRACEBACK"):
        raise error
    if isinstance(error, OSError) and (refused := in_words(error)):
        fail(refused, 2)
    fail(f"a mistake of stepahead's own, {type(error).__name__}: {error} (STEPAHEAD_TRACEBACK=1 says where)", 1)


def in_words(error: OSError) -> str:
    """What the system refused, where that is a file or standard output, which is given up then; else nothing."""
    reason = error.strerror or error
    if error.filename is not None:
        return f"{os.fsdecode(error.filename)}: cannot be opened ({reason}); check the name and the permissions"
    if error.errno not in NO_ROOM:  # files are written elsewhere, where it is known which one it was
        return ""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return f"standard output: cannot be written ({reason}); send it elsewhere"


def fail(message: str, status: int) -> NoReturn:
    """One line on stderr, and the end."""
    line = " ".join(message.split())
    with suppress(OSError):  # where nobody hears it, the status says it
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

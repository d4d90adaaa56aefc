"""What commands print and write.  Rich tables and a progress bar on a terminal, plain text in a pipe.

Files are whole or not there: written under a temporary name, then renamed.
"""

import json
import os
import secrets
import stat
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import typer

from stepahead.cli.shell import as_options
from stepahead.errors import ConfigError

METRICS = ("rmse", "mae", "smape", "mase")


def print_json(value: Any) -> None:
    """One object; a number that is none becomes null."""
    from stepahead.evaluate.result import plain

    typer.echo(json.dumps(plain(value), ensure_ascii=False, allow_nan=False))


def print_notes(notes: Sequence[str], *, quiet: bool) -> None:
    """What reading decided by itself, on stderr."""
    options = {name: f"--{name}" for name in ("past", "frequency", "missing", "elapsed")}
    for note in () if quiet else notes:
        typer.echo(f"note: {as_options(note, options)}", err=True)


def print_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A rich table on a terminal, aligned columns elsewhere."""
    cells = [[text(value) for value in row] for row in rows]
    numeric = [all(isinstance(row[i], int | float) for row in rows) for i in range(len(header))]
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table

        table = Table()
        for name, right in zip(header, numeric, strict=True):
            table.add_column(escape(name), justify="right" if right else "left")
        for row in cells:
            table.add_row(*map(escape, row))
        Console().print(table)
        return
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    for row in [list(header), *cells]:
        aligned = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ]
        typer.echo("  ".join(aligned).rstrip())


def text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def print_scores(result: Any) -> None:
    """The model beside its baselines, then the verdict.  result: a Backtest."""
    found = {**result.scores, **result.baselines}
    metrics = [name for name in METRICS if name in next(iter(found.values()))]
    rows = [[name, *(float(scores[metric]) for metric in metrics)] for name, scores in found.items()]
    print_table(["model", *metrics], rows)
    typer.echo(str(result.verdict))
    if result.coverage:
        typer.echo(coverage_line(result.coverage, result.coverage_as_fitted))


def coverage_line(reached: Mapping[float, float], as_fitted: Mapping[float, float]) -> str:
    """What intervals covered, and how they came about."""
    told = ", ".join(f"{100 * share:.1f} of {level:g} %" for level, share in reached.items())
    if not as_fitted:
        return f"Intervals cover {told}."
    before = ", ".join(f"{100 * share:.1f}" for share in as_fitted.values())
    return f"Intervals that learn from each truth cover {told}; as fitted {before}."


def check_outputs(inputs: Sequence[Path], outputs: Mapping[str, tuple[Path | None, tuple[str, ...]]]) -> None:
    """Refuse, before any work, files that could not be written.

    outputs: option -> its path and the endings that it may have, none for any.

    Raises: ConfigError.
    """
    from stepahead.store import why_not

    taken = {os.path.realpath(path): "the table that is read" for path in inputs}
    for option, (path, endings) in outputs.items():
        if path is None:
            continue
        place = os.path.realpath(path)
        if place in taken:
            raise ConfigError(f"{option} {path}: is {taken[place]}; choose another name")
        if (problem := why_not(path)) is not None:
            raise ConfigError(f"{option} {path}: {problem}")
        if endings and path.suffix.lower() not in endings:
            raise ConfigError(f"{option} {path}: the name must end in {' or '.join(endings)}")
        taken[place] = f"also given as {option}"


def write_files(writers: Mapping[Path, Callable[[Path], None]]) -> None:
    """Write all files or none: each under a temporary name beside its place, then renamed.

    Through a symbolic link, the file that it points at; an older file's permissions are kept.
    Raises: ConfigError where the system refuses.
    """
    places = {path: Path(os.path.realpath(path)) for path in writers}
    temporary = {
        path: place.with_name(f".stepahead-{secrets.token_hex(6)}{path.suffix}") for path, place in places.items()
    }
    try:
        for path, write in writers.items():
            write(temporary[path])
            if places[path].exists():
                temporary[path].chmod(stat.S_IMODE(places[path].stat().st_mode))
        for path, place in places.items():
            os.replace(temporary[path], place)
    except OSError as error:
        raise ConfigError(f"{error.filename or 'output'}: cannot be written ({error.strerror or error})") from error
    finally:
        for name in temporary.values():
            with suppress(OSError):
                name.unlink()


@contextmanager
def progress_bar(*, quiet: bool) -> Iterator[Callable[[Any], None] | None]:
    """A bar on stderr; nothing in a pipe.  Yields what `fit(progress=)` and `backtest(progress=)` take."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    bar = Progress(
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=None)

        def show(report: Any) -> None:
            done, total, words = told(report)
            bar.update(task, completed=done, total=total, description=words)

        yield show


def told(report: Any) -> tuple[float, float, str]:
    """How far, of how much, and in words: of a training (`train.Report`), or of a walk of many (`walk.Walked`)."""
    if hasattr(report, "seconds_left"):
        share = report.seconds / max(report.seconds + report.seconds_left, 1e-9)  # fits of a fleet end together
        return max(report.done, report.total * share), report.total, f"fits, {duration(report.seconds_left)} left"
    words = f"loss {report.loss:.4g}" + ("" if report.valid is None else f", held out {report.valid:.4g}")
    return report.step, report.max_steps, f"{words}, {report.rows_per_second:,.0f} rows/s"


def duration(seconds: float) -> str:
    """12 s, 3 min 5 s, 2 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"

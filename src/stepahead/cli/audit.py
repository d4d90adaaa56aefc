"""stepahead audit: a model, or a function of one's own, and a table -> what is wrong with how it forecasts."""

import importlib
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from stepahead.cli import options as o
from stepahead.cli import output
from stepahead.errors import ConfigError, StepaheadError

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="File that stepahead fit wrote, or MODULE:NAME of a function forecast(table, cutoff)."
    ),
]
Horizon = Annotated[int | None, o.option("--horizon", "Steps ahead [the model's; 1 for a function].")]
Window = Annotated[
    int | None, o.option("--window", "Rows back whose influence is asked for; those that a torch module takes [30].")
]
Cutoff = Annotated[str | None, o.option("--cutoff", "A time with rows before and after it [three quarters through].")]
Seed = Annotated[int, typer.Option("--seed", help="Of the values that replace others.")]


@o.takes(o.READING)
def audit(
    context: typer.Context,
    model: Model,
    table: o.Table,
    horizon: Horizon = None,
    window: Window = None,
    cutoff: Cutoff = None,
    seed: Seed = 0,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Look for leaks and other defects in how something forecasts; nothing that it finds changes the exit status.

    \b
    Of a model that was fitted; its columns are known:
      stepahead audit goog.safetensors goog.csv
    Of a function forecast(table, cutoff) in mine.py that returns unique_id, ds, forecast:
      stepahead audit mine:forecast goog.csv --time date --target close --horizon 5 --json
    """
    import stepahead as sa

    reading = o.given(context.params, o.READING)
    if is_name(model):
        subject: Any = named(model)
        panel = sa.read(table, **reading)
    else:
        subject = o.forecaster_of(Path(model))
        panel = like(subject, table, **reading)
    output.print_notes(panel.schema.notes, quiet=quiet)
    found = sa.audit(subject, panel, horizon=horizon, window=window, cutoff=cutoff, seed=seed)
    if json:
        output.print_json(found.to_json())
    elif quiet:
        typer.echo(f"{len(found.findings)} findings")
    else:
        print_audit(found)


def is_name(model: str) -> bool:
    """Whether this is MODULE:NAME rather than a file."""
    module, colon, name = model.partition(":")
    dotted = all(part.isidentifier() for part in (*module.split("."), *name.split(".")))
    return bool(colon) and dotted and not Path(model).exists()


def named(model: str) -> Any:
    """What MODULE:NAME names, looked for in the working folder too; its own errors become one line.

    Raises: ConfigError where there is no such module or name, or the module cannot be run.
    """
    module, _, name = model.partition(":")
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        found: Any = importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(f"{model}: cannot be imported ({error}); run it in the folder of {module}.py") from error
    except (Exception, SystemExit) as error:  # whatever the user's file raises
        raise ConfigError(f"{model}: cannot be imported, {raised(error)}; mend {module}.py") from error
    finally:
        sys.path.remove(folder)
    try:
        for part in name.split("."):
            found = getattr(found, part)
    except AttributeError as error:
        raise ConfigError(f"{model}: module '{module}' has no '{name}'") from error
    return watched(found, model)


def watched(found: Any, name: str) -> Any:
    """The same, its exceptions told as the user's own: a forecast(table, cutoff), or a torch module's forward(x)."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(found, torch.nn.Module):
        found.forward = guarded(found.forward, name)
        return found
    function = callable(found) and not isinstance(found, type) and not hasattr(found, "forecast")
    return guarded(found, name) if function else found


def guarded(function: Any, name: str) -> Any:
    """The function, whose exceptions are told as the user's own."""

    def call(*given: Any) -> Any:
        try:
            return function(*given)
        except StepaheadError:
            raise
        except (Exception, SystemExit) as error:  # whatever the user's function raises
            at = f" at {given[1]}" if len(given) > 1 else ""
            raise ConfigError(f"{name}: {raised(error, at)}") from error

    return call


def raised(error: BaseException, at: str = "") -> str:
    return f"raised {type(error).__name__}{at}: {error}"


def like(model: Any, table: Path, time_format: str | None = None, **columns: Any) -> Any:
    """The table with the columns that the model learned from.

    Raises: ConfigError where columns were named: a model knows its own.
    """
    from stepahead.data.read import read_like

    if columns:
        raise ConfigError(
            f"{', '.join(f'--{name}' for name in columns)}: the model knows its columns; leave the option out"
        )
    return read_like(table, model.fitted_.schema, time_format=time_format)


def print_audit(found: Any) -> None:
    """The findings, each with its evidence and likely cause; what was asked, what could not be."""
    if found.ok:
        typer.echo(str(found))
    for finding in found.findings:
        typer.echo(f"{finding.check}: {finding.evidence}\n  likely cause: {finding.cause}")
    for name, reason in found.skipped.items():
        typer.echo(f"not asked: {name} ({reason})")
    if found.measurements:
        told = found.measurements
        words = "lies closer to the value before" if told["echo"] else "does not echo the value before"
        echo = f"RMSE {told['rmse_to_previous']:.4g} to it, {told['rmse_to_next']:.4g} to the truth"
        typer.echo(f"measured: the forecast {words} ({echo})")

"""stepahead predict: a model and a table -> what comes next."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stepahead.cli import options as o
from stepahead.cli import output

if TYPE_CHECKING:
    from stepahead.forecaster import Forecaster

Model = Annotated[Path, typer.Argument(metavar="MODEL", help="File that stepahead fit wrote.")]
Rows = Annotated[
    Path | None, typer.Argument(metavar="[TABLE]", help="Table with the newest rows [those that it learned from].")
]
Level = Annotated[
    Any, o.option("--level", "Coverage of intervals in percent: 80,95.", parser=o.numbers, metavar="PERCENT")
]
Ids = Annotated[Any, o.option("--ids", "Only these series.", parser=o.columns, metavar="NAMES")]
Future = Annotated[Path | None, o.option("--future", "Table of the inputs known ahead, for the steps to come.")]
Out = Annotated[Path | None, o.option("-o", "File to write, .csv or .parquet.", "--output")]


def predict(
    model: Model,
    table: Rows = None,
    level: Level = None,
    ids: Ids = None,
    future: Future = None,
    time_format: o.TimeFormat = None,
    out: Out = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Forecast what follows the last row of each series: a table on a terminal, CSV in a pipe.

    \b
    stepahead predict goog.safetensors goog.csv
    stepahead predict goog.safetensors goog.csv --level 80,95 -o next.csv
    stepahead predict shop.safetensors sales.csv --future holidays.csv --ids 007,NA
    """
    from stepahead.data.frames import frame_csv, frame_rows, write_frame
    from stepahead.data.read import read_like

    output.check_outputs([p for p in (model, table, future) if p], {"-o": (out, (".csv", ".parquet"))})
    forecaster = o.forecaster_of(model)
    panel = None if table is None else read_like(table, forecaster.fitted_.schema, time_format=time_format)
    ahead = None if future is None else future_of(forecaster, future, time_format)
    frame = forecaster.predict(panel, level=level, ids=ids, future=ahead)
    if out is not None:
        output.write_files({out: lambda path: write_frame(frame, path)})
    header, rows = frame_rows(frame)
    if json:
        output.print_json(
            {"model": forecaster.name, "forecasts": [dict(zip(header, row, strict=True)) for row in rows]}
        )
    elif out is not None:
        typer.echo(f"{len(rows)} rows -> {out}") if not quiet else None
    elif sys.stdout.isatty():
        output.print_table(header, rows)
    else:
        typer.echo(frame_csv(frame), nl=False)


def future_of(forecaster: "Forecaster", table: Path, time_format: str | None) -> Any:
    """The table of inputs known ahead, its times written as the other's; a model without such inputs refuses it."""
    from stepahead.data.future import future_like

    schema = forecaster.fitted_.schema
    return future_like(table, schema, forecaster.config_.horizon, time_format=time_format) if schema.future else table

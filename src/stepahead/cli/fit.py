"""stepahead fit: a table -> a trained model in a file, and whether to believe it."""

import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from stepahead.cli import options as o
from stepahead.cli import output
from stepahead.cli.shell import as_options, options_of

Model = Annotated[
    Path, typer.Option("-o", "--output", metavar="MODEL", help="File to write, such as goog.safetensors.")
]
Holdout = Annotated[
    Any,
    o.option(
        "--holdout",
        "Held out at the end for the verdict: a share, rows, or none [0.2].",
        parser=o.number_or_none,
        metavar="N",
    ),
]
Checkpoint = Annotated[
    Path | None, o.option("--checkpoint", "File that holds the run, so that a killed fit goes on from it.")
]


@o.takes(o.READING, o.MODEL)
def fit(
    context: typer.Context,
    table: o.Table,
    model: Model,
    holdout: Holdout = None,
    checkpoint: Checkpoint = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Learn a table and save the model.

    \b
    The next close from the last seven days:
      stepahead fit goog.csv --time date --target close --window 7 -o goog.safetensors
    Many series, a day ahead by the hour:
      stepahead fit load.csv --horizon 24 --recipe panel -o load.safetensors
    Own columns, days first:
      stepahead fit sales.csv --series shop --time day --time-format %d/%m/%Y --target sold -o shop.safetensors
    """
    import stepahead as sa
    from stepahead.data.panel import TooFewRows
    from stepahead.holdout import UNJUDGED

    output.check_outputs([table], {"-o": (model, ()), "--checkpoint": (checkpoint, ())})
    forecaster = sa.Forecaster(**o.given(context.params, (*o.MODEL, "holdout")))
    panel = sa.read(table, **o.given(context.params, o.READING))
    output.print_notes(panel.schema.notes, quiet=quiet)
    with output.progress_bar(quiet=quiet) as progress, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=UNJUDGED)  # it is told below, with the options of the shell
        forecaster.fit(panel, checkpoint=checkpoint, progress=progress)
    forecaster.save(model)
    over = forecaster.series_verdict_ if panel.n_series > 1 else None
    if json:
        judged = forecaster.backtest_.to_json() if forecaster.backtest_ else {"verdict": None}
        config = {
            "model": str(model),
            "name": forecaster.name,
            "config": forecaster.config_.to_json(),
            "rows": forecaster.n_rows_,
            "interrupted": forecaster._interrupted,
            "unjudged": None if forecaster._unjudged is None else str(forecaster._unjudged),
        }
        output.print_json(config | judged | {"series_verdict": None if over is None else str(over)})
    elif not quiet:
        if forecaster.backtest_:
            output.print_scores(forecaster.backtest_)
        elif forecaster._unjudged is not None and not isinstance(forecaster._unjudged, TooFewRows):
            typer.echo(f"No verdict and no intervals: {as_options(str(forecaster._unjudged), options_of(context))}")
        elif forecaster.holdout is not None:
            needs = f"window {forecaster.config_.window}, horizon {forecaster.config_.horizon}"
            typer.echo(
                f"No verdict and no intervals: too few rows to hold some out ({needs}); give more rows, a smaller "
                f"--window, or --recipe panel"
            )
        if over is not None:
            typer.echo(str(over))
        learned = f"{panel.n_rows} rows"
        if forecaster.n_rows_ != panel.n_rows:
            learned = f"{forecaster.n_rows_} of {panel.n_rows} rows, not those held out"
        typer.echo(f"{forecaster.name} of {panel.n_series} series, {learned} -> {model}")

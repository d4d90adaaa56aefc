"""stepahead backtest: a table -> how good a model is on rows that it never saw, beside doing nothing clever."""

from pathlib import Path
from typing import Annotated, Any

import typer

from stepahead.cli import options as o
from stepahead.cli import output

TestSize = Annotated[
    Any,
    o.option("--test-size", "Last rows to test on: a share, or a number of rows [0.3].", parser=o.number, metavar="N"),
]
Windows = Annotated[int | None, o.option("--n-windows", "Walk forward: at so many cutoffs.")]
StepSize = Annotated[int | None, o.option("--step-size", "Walk forward: rows from one cutoff to the next [horizon].")]
Refit = Annotated[
    Any,
    o.option(
        "--refit",
        "In a walk: true fits at each cutoff, false once, K at every K-th [true].",
        parser=o.flag_or_count,
        metavar="K",
    ),
]
TrainRows = Annotated[int | None, o.option("--train-rows", "In a walk: learn so many rows before a cutoff [all].")]
Adaptive = Annotated[
    bool | None,
    o.option("--adaptive/--as-fitted", "Intervals that learn from each truth as it comes [where a stream would]."),
]
Baselines = Annotated[
    Any,
    o.option("--baselines", "Classical models too: auto_ets,auto_arima,theta.", parser=o.columns, metavar="NAMES"),
]
Checkpoint = Annotated[
    Path | None, o.option("--checkpoint", "File that holds the fits done, so that a killed backtest goes on from it.")
]
Level = Annotated[
    Any, o.option("--level", "Coverage of intervals in percent: 80,95.", parser=o.numbers, metavar="PERCENT")
]
Plot = Annotated[Path | None, o.option("--plot", "Picture to write, .png or .svg.")]
Report = Annotated[Path | None, o.option("--report", "Page to write, .html: everything found, works offline.")]
Out = Annotated[Path | None, o.option("-o", "Forecasts to write, .csv or .parquet.", "--output")]

PLAN = ("test_size", "n_windows", "step_size", "refit", "train_rows", "adaptive", "baselines", "checkpoint", "level")


@o.takes(o.READING, o.MODEL)
def backtest(
    context: typer.Context,
    table: o.Table,
    test_size: TestSize = None,
    n_windows: Windows = None,
    step_size: StepSize = None,
    refit: Refit = None,
    train_rows: TrainRows = None,
    adaptive: Adaptive = None,
    baselines: Baselines = None,
    checkpoint: Checkpoint = None,
    level: Level = None,
    plot: Plot = None,
    report: Report = None,
    out: Out = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Fit on the first rows, forecast the others one by one, and judge; or walk forward and fit again and again.

    \b
    Does the tutorial's LSTM beat repeating the last close?
      stepahead backtest goog.csv --time date --target close --window 7 --recipe classic
    With a picture and the forecasts, for a program:
      stepahead backtest goog.csv --time date --target close --plot goog.png -o goog-test.csv --json
    Twelve cutoffs, five steps from each, fitted anew on the last 500 rows:
      stepahead backtest goog.csv --time date --target close --horizon 5 --n-windows 12 --train-rows 500
    Everything found on one page:
      stepahead backtest goog.csv --time date --target close --level 50,80,90,95 --report goog.html
    """
    import stepahead as sa
    from stepahead.data.frames import write_frame

    places = {"--plot": (plot, (".png", ".svg")), "--report": (report, (".html", ".htm"))}
    output.check_outputs([table], places | {"-o": (out, (".csv", ".parquet")), "--checkpoint": (checkpoint, ())})
    forecaster = sa.Forecaster(**o.given(context.params, o.MODEL))
    panel = sa.read(table, **o.given(context.params, o.READING))
    output.print_notes(panel.schema.notes, quiet=quiet)
    plan = o.given(context.params, PLAN)
    with output.progress_bar(quiet=quiet) as progress:
        result = sa.backtest(forecaster, panel, **plan, progress=progress)
    output.print_notes(result.notes, quiet=quiet)
    pictures = {} if plot is None else {plot: result.plot}
    command = o.command_line(context)
    pages = {} if report is None else {report: lambda path: result.report(path, command=command)}
    tables = {} if out is None else {out: lambda path: write_frame(result.forecasts, path)}
    output.write_files(pictures | pages | tables)
    if json:
        output.print_json(result.to_json())
    elif quiet:
        typer.echo(str(result.verdict))
    else:
        output.print_scores(result)

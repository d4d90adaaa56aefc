"""stepahead backtest: a table -> how good a model is on rows that it never saw, beside doing nothing clever."""

from pathlib import Path
from typing import Annotated, Any

import typer

from stepahead.cli import options as o
from stepahead.cli import output

TestSize = Annotated[
    Any,
    typer.Option(
        "--test-size", help="Last rows to test on: a share, or a number of rows.", parser=o.number, metavar="N"
    ),
]
Level = Annotated[
    Any, o.option("--level", "Coverage of intervals in percent: 80,95.", parser=o.levels, metavar="PERCENT")
]
Plot = Annotated[Path | None, o.option("--plot", "Picture to write, .png or .svg.")]
Report = Annotated[Path | None, o.option("--report", "Page to write, .html: everything found, works offline.")]
Out = Annotated[Path | None, o.option("-o", "Forecasts to write, .csv or .parquet.", "--output")]


def backtest(
    context: typer.Context,
    table: o.Table,
    series: o.Series = None,
    time: o.Time = None,
    target: o.Target = None,
    past: o.Past = None,
    future: o.Future = None,
    static: o.Static = None,
    time_format: o.TimeFormat = None,
    recipe: o.Recipe = None,
    cell: o.Cell = None,
    window: o.Window = None,
    horizon: o.Horizon = None,
    hidden_size: o.HiddenSize = None,
    num_layers: o.NumLayers = None,
    dropout: o.Dropout = None,
    scaler: o.Scaler = None,
    difference: o.Difference = None,
    head: o.Head = None,
    learning_rate: o.LearningRate = None,
    weight_decay: o.WeightDecay = None,
    max_steps: o.MaxSteps = None,
    batch_size: o.BatchSize = None,
    patience: o.Patience = None,
    ensemble: o.Ensemble = None,
    missing: o.Missing = None,
    season_length: o.SeasonLength = None,
    seed: o.Seed = None,
    device: o.Device = None,
    test_size: TestSize = "0.3",
    level: Level = None,
    plot: Plot = None,
    report: Report = None,
    out: Out = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Fit on the first rows, forecast the others one by one, and judge.

    \b
    Does the tutorial's LSTM beat repeating the last close?
      stepahead backtest goog.csv --time date --target close --window 7 --recipe classic
    With a picture and the forecasts, for a program:
      stepahead backtest goog.csv --time date --target close --plot goog.png -o goog-test.csv --json
    Everything found on one page:
      stepahead backtest goog.csv --time date --target close --level 50,80,90,95 --report goog.html
    """
    import stepahead as sa
    from stepahead.data.frames import write_frame

    places = {"--plot": (plot, (".png", ".svg")), "--report": (report, (".html", ".htm"))}
    output.check_outputs([table], places | {"-o": (out, (".csv", ".parquet"))})
    forecaster = sa.Forecaster(**o.given(context.params, o.MODEL))
    panel = sa.read(table, **o.given(context.params, o.READING))
    output.print_notes(panel.schema.notes, quiet=quiet)
    with output.progress_bar(quiet=quiet) as progress:
        result = sa.backtest(forecaster, panel, test_size=test_size, level=level or (), progress=progress)
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

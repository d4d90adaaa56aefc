"""stepahead symbols: learn characters, words or events, then ask what comes next.  One function a command."""

from pathlib import Path
from typing import Annotated, Any

import typer

from stepahead.cli import options as o
from stepahead.cli import output
from stepahead.cli.shell import Shell
from stepahead.cli.symbol_source import (
    Given,
    load_model,
    prefix_for,
    read_source,
    source_for,
    table_as_text,
    unknown_symbols,
)

app = typer.Typer(cls=Shell, add_completion=False, rich_markup_mode=None, no_args_is_help=True)


@app.callback()
def symbols() -> None:
    """Learn symbols (characters, words, events) and predict the next one.

    \b
    stepahead symbols fit names.txt --lines -o names.safetensors
    stepahead symbols complete names.safetensors Jo --temperature 1
    stepahead symbols next names.safetensors Jo -k 3
    """


Model = Annotated[Path, typer.Argument(metavar="MODEL", help="File that `symbols fit` wrote.")]
Source = Annotated[
    str | None, typer.Argument(metavar="[SOURCE]", help="Text file or event table; - is standard input.")
]
Prefix = Annotated[
    list[str] | None, typer.Argument(metavar="[PREFIX]...", help="What came before; - is standard input.")
]
Lines = Annotated[bool, o.option("--lines", "Each line is a sequence of its own.")]
Case = Annotated[str | None, o.option("--case", "Column that names the case: the source is an event table.")]
Activity = Annotated[str | None, o.option("--activity", "Column of the event's name.")]
Time = Annotated[str | None, o.option("--time", "Column to sort a case's events by [the file's order].")]
K = Annotated[int, o.option("-k", "How many symbols to show [5].")]
MODEL = (
    "cell",
    "hidden_size",
    "num_layers",
    "embedding",
    "tied",
    "dropout",
    "tokens",
    "times",
    "epochs",
    "learning_rate",
    "ensemble",
    "seed",
)


@app.command()
def fit(
    context: typer.Context,
    source: Source = None,
    model: Annotated[
        Path, typer.Option("-o", "--output", metavar="MODEL", help="File to write, such as names.safetensors.")
    ] = Path("symbols.safetensors"),
    text: Annotated[str | None, o.option("--text", "Learn this text in place of a file.")] = None,
    lines: Lines = False,
    tokens: Annotated[str | None, o.option("--tokens", "chars, or words split on white space [chars].")] = None,
    case: Case = None,
    time: Time = None,
    activity: Activity = None,
    times: Annotated[
        bool | None,
        typer.Option("--times/--no-times", help="Read how long after the one before each event came [if --time]."),
    ] = None,
    validation: Annotated[
        Path | None, o.option("--validation", "Held-back file of the same kind [the last tenth of the source].")
    ] = None,
    cell: Annotated[str | None, o.option("--cell", "rnn, rnn_relu, lstm or gru [by size].")] = None,
    hidden_size: Annotated[int | None, o.option("--hidden-size", "Hidden units [by size].")] = None,
    num_layers: Annotated[int | None, o.option("--num-layers", "Recurrent layers [1].")] = None,
    embedding: Annotated[int | None, o.option("--embedding", "Width of a symbol's vector; 0 is one-hot.")] = None,
    tied: Annotated[bool | None, typer.Option("--tied", help="Predict with the embedding's own vectors.")] = None,
    dropout: Annotated[
        float | None, o.option("--dropout", "In [0, 1): on embeddings, between layers, before the head [by size].")
    ] = None,
    epochs: Annotated[int | None, o.option("--epochs", "Passes over the symbols [by size].")] = None,
    learning_rate: Annotated[float | None, o.option("--learning-rate", "Of the optimizer [by size].")] = None,
    ensemble: Annotated[int | None, o.option("--ensemble", "Networks that differ by seed [1].")] = None,
    seed: o.Seed = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Learn a text, lines, or an event table, and save the model.

    \b
    One word:
      stepahead symbols fit --text hello --cell rnn --hidden-size 2 -o word.safetensors
    A name a line; sessions of words:
      stepahead symbols fit names.txt --lines -o names.safetensors
      stepahead symbols fit sessions.txt --lines --tokens words -o log.safetensors
    Cases of a business process:
      stepahead symbols fit events.csv --case case --time at --activity event -o desk.safetensors
    """
    from stepahead.errors import ConfigError
    from stepahead.symbol_model import SymbolModel

    if (source is None) == (text is None):
        raise ConfigError("give SOURCE (a file, or - for standard input) or --text, one of the two")
    output.check_outputs([Path(source)] if source and source != "-" else [], {"-o": (model, ())})
    learner = SymbolModel(**o.given(context.params, MODEL))
    read: dict[str, Any] = {
        "lines": lines,
        "tokens": tokens,
        "case": case,
        "time": time,
        "activity": activity,
    }
    output.print_notes(table_as_text(source, case), quiet=quiet)
    corpus = read_source(source, text, **read)
    held = read_source(str(validation), None, **read, vocabulary=corpus.vocabulary) if validation else None
    with output.progress_bar(quiet=quiet) as progress:
        learner.fit(corpus, validation=held, progress=progress)
    learner.save(model)
    if json:
        scores = learner.scores_.to_json() if learner.scores_ else {"verdict": None}
        described = {"model": str(model), "name": learner.name, "symbols": len(learner.vocabulary_.symbols)}
        output.print_json(described | scores)
    elif not quiet:
        if learner.scores_:
            _print_scores(learner.name, learner.scores_)
        size = f"{len(learner.vocabulary_.symbols):,} different symbols in {len(corpus.codes):,}"
        typer.echo(f"{learner.name} of {learner.shape_.hidden_size} units, {size} -> {model}")


@app.command()
def evaluate(
    model: Model,
    source: Source = None,
    case: Case = None,
    time: Time = None,
    activity: Activity = None,
    skip: Annotated[int, o.option("--skip", "Symbols at each start that are read but not asked for [0].")] = 0,
    end: Annotated[bool, typer.Option("--end/--no-end", help="Whether to ask for the end of each sequence.")] = True,
    json: o.Json = False,
) -> None:
    """Score how well unseen symbols are foreseen.

    \b
    stepahead symbols evaluate names.safetensors others.txt --json
    stepahead symbols evaluate desk.safetensors new.csv --case case --time at --activity event --skip 2 --no-end
    """
    learned = load_model(model)
    scores = learned.evaluate(source_for(learned, source, case, time, activity).corpus, skip=skip, end=end)
    if json:
        output.print_json(scores.to_json())
    else:
        _print_scores(learned.name, scores)


@app.command()
def next(model: Model, prefix: Prefix = None, k: K = 5, json: o.Json = False, quiet: o.Quiet = False) -> None:
    """The likeliest next symbols after a prefix, with their probabilities.

    \b
    stepahead symbols next word.safetensors hell
    stepahead symbols next desk.safetensors "Assign ticket" "Take in charge" -k 3
    echo -n "Jo" | stepahead symbols next names.safetensors -
    """
    learned = load_model(model)
    given = prefix_for(learned, prefix)
    found = learned.next(given, k)
    output.print_notes(unknown_symbols(learned, given), quiet=quiet)
    if json:
        output.print_json({"next": [{"symbol": symbol, "probability": p} for symbol, p in found]})
    elif quiet:
        typer.echo(found[0][0])
    else:
        output.print_table(["symbol", "probability"], [[_shown(symbol), p] for symbol, p in found])


@app.command()
def complete(
    model: Model,
    prefix: Prefix = None,
    length: Annotated[int, o.option("--length", "Symbols to add, at most [100].")] = 100,
    temperature: Annotated[
        float, o.option("--temperature", "0 takes the likeliest, 1 draws as learned, more is wilder [0].")
    ] = 0.0,
    top_k: Annotated[int | None, o.option("--top-k", "Draw among the k likeliest.")] = None,
    top_p: Annotated[float | None, o.option("--top-p", "Draw among the fewest that reach this probability.")] = None,
    seed: o.Seed = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Go on after a prefix.

    \b
    stepahead symbols complete word.safetensors h --length 4
    stepahead symbols complete names.safetensors Jo --temperature 0.8 --top-p 0.95 --seed 7
    """
    learned = load_model(model)
    start = prefix_for(learned, prefix)
    text = learned.complete(start, length, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed or 0)
    output.print_notes(unknown_symbols(learned, start), quiet=quiet)
    if json:
        output.print_json({"text": text})
    else:
        typer.echo(text)


@app.command()
def score(
    model: Model,
    source: Source = None,
    case: Case = None,
    time: Time = None,
    activity: Activity = None,
    json: o.Json = False,
) -> None:
    """The surprise of each sequence in bits, and of its most surprising symbol.

    \b
    stepahead symbols score names.safetensors others.txt
    echo Anna | stepahead symbols score names.safetensors -
    """
    learned = load_model(model)
    given = source_for(learned, source, case, time, activity)
    rows = [_scored(given, s, bits) for s, bits in enumerate(learned.surprise(given.corpus))]
    if json:
        output.print_json({"sequences": rows})
    else:
        body = [[*_named(row), row["total"], row["mean"], _shown(row["worst"])] for row in rows]
        output.print_table([*_names(given), "bits", "bits a symbol", "most surprising"], body)


@app.command()
def anomalies(
    model: Model,
    source: Source = None,
    case: Case = None,
    time: Time = None,
    activity: Activity = None,
    false_alarms: Annotated[
        float, o.option("--false-alarms", "Share of clean sequences that may raise an alarm [0.01].")
    ] = 0.01,
    top_g: Annotated[int | None, o.option("--top-g", "Alarm where a symbol is not among the g likeliest.")] = None,
    level: Annotated[float | None, o.option("--level", "Alarm where a score exceeds this many bits.")] = None,
    calibrate: Annotated[
        Path | None, o.option("--calibrate", "Clean sequences that set the level [those held back by fit].")
    ] = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Which sequences are unlike those learned, and where.

    \b
    stepahead symbols anomalies log.safetensors today.txt --false-alarms 0.01
    tail -n 1000 today.txt | stepahead symbols anomalies log.safetensors - --top-g 9
    """
    learned = load_model(model)
    if calibrate:
        learned.calibrate(source_for(learned, str(calibrate), case, time, activity).corpus)
    given = source_for(learned, source, case, time, activity)
    found = learned.anomalies(given.corpus, false_alarms=false_alarms, top_g=top_g, level=level)
    rows: list[dict[str, Any]] = [
        {
            **given.known(s),
            "alarm": bool(found.alarm[s]),
            "score": float(found.score[s]),
            "step": given.place(found.where[s]) + 1,
            "symbol": given.symbol(s, given.place(found.where[s])),
            "repair": _repair(given, found.repairs[s]),
        }
        for s in range(given.corpus.n_sequences)
    ]
    if json:
        output.print_json({"level": found.level, "alarms": int(found.alarm.sum()), "sequences": rows})
        return
    alarms = [
        [*_named(row), row["score"], row["step"], _shown(row["symbol"]), row["repair"]] for row in rows if row["alarm"]
    ]
    if alarms:
        output.print_table([*_names(given), "score", "step", "symbol", "repair"], alarms)
    if not quiet:
        typer.echo(f"{len(alarms)} of {len(rows)} sequences above {found.level:.4g}")


@app.command()
def look(
    model: Model,
    sequence: Prefix = None,
    picture: Annotated[Path | None, typer.Option("-o", "--output", help="PNG, SVG or HTML to write.")] = None,
    units: Annotated[int, o.option("--units", "Hidden units to show, the most telling first [8].")] = 8,
    json: o.Json = False,
) -> None:
    """Hidden units while the network reads, and what it expected at each step.

    \b
    stepahead symbols look word.safetensors hello -o hello.png
    stepahead symbols look word.safetensors hello -o hello.html
    """
    learned = load_model(model)
    if picture:
        output.check_outputs([model], {"-o": (picture, (".png", ".svg", ".html"))})
    given = prefix_for(learned, sequence)
    seen = learned.look(given)
    output.print_notes(unknown_symbols(learned, given), quiet=False)
    if picture and picture.suffix.lower() == ".html":
        from stepahead.show.symbol_report import report_symbols

        report_symbols(learned, picture, [given], units=units)
    elif picture:
        from stepahead.show.symbols import plot_look

        plot_look(seen, picture, units=units)
    from stepahead.show.symbols import told_units

    chosen = told_units(seen, units)
    if json:
        expected = [[{"symbol": s, "probability": p} for s, p in step] for step in seen.next]
        hidden = seen.hidden[:, chosen].tolist()
        output.print_json({"symbols": seen.symbols, "units": chosen.tolist(), "hidden": hidden, "next": expected})
        return
    header = ["symbol", "expected next", *(f"unit {unit + 1}" for unit in chosen)]
    rows = [
        [_shown(symbol), " ".join(f"{_shown(s)} {p:.2f}" for s, p in step), *(f"{value:+.2f}" for value in hidden)]
        for symbol, step, hidden in zip(seen.symbols, seen.next, seen.hidden[:, chosen], strict=True)
    ]
    output.print_table(header, rows)


def _scored(given: Given, s: int, bits: Any) -> dict[str, Any]:
    worst = given.symbol(s, given.place(bits.argmax())) if len(bits) else ""
    total, mean = float(bits.sum()), float(bits.mean()) if len(bits) else 0.0
    return given.known(s) | {"total": total, "mean": mean, "worst": worst, "bits": bits.tolist()}


def _names(given: Given) -> list[str]:
    """The columns that say which sequence it is."""
    return ["line", "sequence"] if given.lines else ["sequence"]


def _named(row: dict[str, Any]) -> list[Any]:
    """A row's cells in these columns."""
    return [row[name] for name in ("line",) if name in row] + [_short(row["sequence"])]


def _repair(given: Given, repair: Any) -> str:
    """Such as "drop burn at 3", symbols counted from 1; nothing where there is none."""
    return f"{repair.kind} {_shown(repair.symbol)} at {given.place(repair.step) + 1}" if repair else ""


def _shown(symbol: str) -> str:
    """Blanks and control characters made visible."""
    return symbol if symbol.isprintable() and symbol.strip() else repr(symbol)


def _short(name: str) -> str:
    return _shown(name if len(name) <= 40 else name[:37] + "...")


def _print_scores(name: str, scores: Any) -> None:
    from stepahead.evaluate.symbols import rows_of

    output.print_table(*rows_of(name, scores))
    typer.echo(str(scores.verdict) if scores.verdict else f"{scores.n:,} symbols asked for")

"""The options that several commands share, and what their text means."""

import csv
import functools
import inspect
import shlex
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from inspect import Parameter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stepahead.errors import ConfigError, DataError

if TYPE_CHECKING:
    from stepahead.forecaster import Forecaster


def option(flag: str, text: str, *more: str, **rest: Any) -> Any:
    return typer.Option(flag, *more, help=text, show_default=False, **rest)


def columns(text: str) -> list[str]:
    """'open,high' -> two names; '"Rio, RJ",high' too; 'none' and '' -> none."""
    if text.strip() in ("", "none"):
        return []
    try:
        return [name.strip() for name in next(csv.reader([text.strip()], skipinitialspace=True, strict=True))]
    except csv.Error as error:
        raise typer.BadParameter(f"{text} has a quote that is not closed, or one inside a name") from error


def numbers(text: str) -> list[float]:
    """'80,95' -> coverages in percent, or other numbers."""
    if not text.strip():
        raise typer.BadParameter("is empty; give numbers, as 80,95")
    return [float(part) for part in text.split(",")]


def seasons(text: str) -> int | str | list[int] | None:
    """'24' -> 24; '24,168' -> both; 'none' for none; 'auto' stays."""
    return [int(part) for part in text.split(",")] if "," in text else number_or_none(text)  # type: ignore[return-value]


def number(text: str) -> float | str:
    """A share or a number of rows; 'auto' stays."""
    return text if text == "auto" else float(text) if "." in text else int(text)


def number_or_none(text: str) -> float | str | None:
    return NONE if text == "none" else number(text)  # type: ignore[return-value]


def word_or_none(text: str) -> Any:
    return NONE if text == "none" else text


def flag_or_word(text: str) -> bool | str:
    return {"true": True, "false": False}.get(text.lower(), text)


def flag_or_count(text: str) -> bool | int:
    """'true', 'false', or a number."""
    return {"true": True, "false": False}[text.lower()] if text.lower() in ("true", "false") else int(text)


def step(text: str) -> int | str:
    """A step of the stamps, such as 15min, or of whole numbers."""
    return int(text) if text.isdecimal() else text


def window_or_search(text: str) -> int | str:
    return text if text == "search" else int(text)


NONE = object()  # "none" was typed; None is an option that was not given

Table = Annotated[Path, typer.Argument(metavar="TABLE", help="CSV (plain or gzip) or Parquet file.")]
Series = Annotated[str | None, option("--series", "Column that names the series [unique_id, if there].")]
Time = Annotated[str | None, option("--time", "Column of dates, stamps or steps [ds, or the one called date].")]
Target = Annotated[str | None, option("--target", "Column to forecast [y].")]
Past = Annotated[
    Any, option("--past", "Inputs known up to now: open,high; none [all numbers].", parser=columns, metavar="NAMES")
]
Future = Annotated[Any, option("--future", "Inputs known ahead, such as holiday.", parser=columns, metavar="NAMES")]
Static = Annotated[
    Any, option("--static", "Inputs that never change within a series.", parser=columns, metavar="NAMES")
]
TimeFormat = Annotated[
    str | None, option("--time-format", "How times are written: %d/%m/%Y say, 'integer', 'decimal_year' [ISO].")
]
Frequency = Annotated[
    Any,
    option(
        "--frequency",
        "Put a row at each step: D, 15min, MS, 10; auto: the commonest [rows as they are].",
        parser=step,
        metavar="STEP",
    ),
]

Recipe = Annotated[str | None, option("--recipe", "auto, classic, price or panel [auto].")]
Cell = Annotated[str | None, option("--cell", "rnn, rnn_relu, lstm or gru [by recipe].")]
Window = Annotated[
    Any,
    option(
        "--window",
        "Rows that a forecast looks back on; search: try lengths [by recipe].",
        parser=window_or_search,
        metavar="N",
    ),
]
Horizon = Annotated[int | None, option("--horizon", "Steps ahead [1].")]
HiddenSize = Annotated[int | None, option("--hidden-size", "Hidden units [by recipe].")]
NumLayers = Annotated[int | None, option("--num-layers", "Recurrent layers [by recipe].")]
Dropout = Annotated[float | None, option("--dropout", "Between layers; panel: behind its cell; in [0, 1) [by recipe].")]
Scaler = Annotated[
    Any,
    option("--scaler", "minmax, standard, robust, window or none [by recipe].", parser=word_or_none, metavar="TEXT"),
]
Difference = Annotated[
    Any,
    option("--difference", "false, true or log: learn changes [by recipe].", parser=flag_or_word, metavar="TEXT"),
]
Head = Annotated[str | None, option("--head", "mse, mae, huber, quantile, student_t or negative_binomial [by recipe].")]
Quantiles = Annotated[
    Any, option("--quantiles", "What the quantile head learns: 0.1,0.5,0.9 [by head].", parser=numbers, metavar="P")
]
Memory = Annotated[str | None, option("--memory", "window, or carried: a state that goes from row to row [window].")]
Calendar = Annotated[bool | None, option("--calendar", "Inputs from the stamps: hour, weekday, month.")]
Holidays = Annotated[Path | None, option("--holidays", "File of holidays, a date a line: --calendar, and these days.")]
Elapsed = Annotated[bool | None, option("--elapsed", "The time since the row before is an input.")]
LearningRate = Annotated[float | None, option("--learning-rate", "Of the optimizer [by recipe].")]
WeightDecay = Annotated[float | None, option("--weight-decay", "Of the optimizer [by recipe].")]
MaxSteps = Annotated[int | None, option("--max-steps", "Optimizer steps at most [by recipe].")]
BatchSize = Annotated[
    Any, option("--batch-size", "Windows of a batch; none: all [by recipe].", parser=number_or_none, metavar="N")
]
Patience = Annotated[
    Any,
    option(
        "--patience", "Checks without a gain before stopping; none [by recipe].", parser=number_or_none, metavar="N"
    ),
]
Ensemble = Annotated[int | None, option("--ensemble", "Networks that differ by seed [by recipe].")]
Missing = Annotated[str | None, option("--missing", "error, ffill, interpolate or mask [error].")]
SeasonLength = Annotated[
    Any,
    option(
        "--season-length", "Rows of a season, or of several: 24,168; none [looked for].", parser=seasons, metavar="N"
    ),
]
Seed = Annotated[int | None, option("--seed", "The same seed, the same bits [0].")]
Device = Annotated[str | None, option("--device", "cpu or cuda [cpu].")]

Json = Annotated[bool, option("--json", "Print one JSON object.")]
Quiet = Annotated[bool, option("--quiet", "No progress, notes or tables: the bare answer.", "-q")]

READING = {
    "series": Series,
    "time": Time,
    "target": Target,
    "past": Past,
    "future": Future,
    "static": Static,
    "time_format": TimeFormat,
    "frequency": Frequency,
}
MODEL = {
    "recipe": Recipe,
    "cell": Cell,
    "window": Window,
    "horizon": Horizon,
    "hidden_size": HiddenSize,
    "num_layers": NumLayers,
    "dropout": Dropout,
    "scaler": Scaler,
    "difference": Difference,
    "head": Head,
    "quantiles": Quantiles,
    "memory": Memory,
    "calendar": Calendar,
    "holidays": Holidays,
    "elapsed": Elapsed,
    "learning_rate": LearningRate,
    "weight_decay": WeightDecay,
    "max_steps": MaxSteps,
    "batch_size": BatchSize,
    "patience": Patience,
    "ensemble": Ensemble,
    "missing": Missing,
    "season_length": SeasonLength,
    "seed": Seed,
    "device": Device,
}


def takes(*groups: Mapping[str, Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command that takes these options, too, before its own; it finds them in its context's params."""

    def wrap(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command, eval_str=True).parameters
        shared = {name: kind for group in groups for name, kind in group.items()}

        @functools.wraps(command)
        def run(**params: Any) -> None:
            command(**{name: params[name] for name in own})

        first = [one for one in own.values() if one.default is Parameter.empty]
        rest = [one for one in own.values() if one.default is not Parameter.empty]
        more = [Parameter(n, Parameter.KEYWORD_ONLY, default=None, annotation=kind) for n, kind in shared.items()]
        ordered = [one.replace(kind=Parameter.KEYWORD_ONLY) for one in (*first, *more, *rest)]
        run.__signature__ = inspect.Signature(ordered)  # type: ignore[attr-defined]
        run.__annotations__ = {one.name: one.annotation for one in ordered}
        return run

    return wrap


def given(params: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Those of the named options that were typed, as the library takes them."""
    typed = {name: params[name] for name in names if params.get(name) is not None}
    if "holidays" in typed:
        typed["calendar"] = dates_in(Path(typed.pop("holidays")))
    return {name: None if value is NONE else value for name, value in typed.items()}


def forecaster_of(path: Path) -> "Forecaster":
    """The model in a file.  Raises: ConfigError for a model of symbols, ModelFileError for no model."""
    from stepahead.forecaster import Forecaster
    from stepahead.open_model import load

    found = load(path)
    if not isinstance(found, Forecaster):
        raise ConfigError(f"{path}: is a model of symbols; use 'stepahead symbols', such as 'symbols next {path} ...'")
    return found


def dates_in(path: Path) -> list[str]:
    """The dates of a file, one a line: what stands before the first comma; a first line without one is a heading.

    Raises: DataError where the file cannot be read or a line holds no date.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"--holidays {path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    found = []
    for number, line in enumerate(lines, start=1):
        text = line.split(",")[0].strip().strip('"')
        try:
            found.append(str(datetime.fromisoformat(text).date()))
        except ValueError:
            if text and (number > 1 or any(map(str.isdigit, text))):
                raise DataError(
                    f"--holidays {path}: line {number}: {text!r} is no date; write them as 2024-12-25"
                ) from None
    if not found:
        raise DataError(f"--holidays {path}: holds no date; write them as 2024-12-25, one a line")
    return found


def command_line(context: typer.Context) -> str:
    """What was typed, to be typed again by somebody else: a file by its name, without the folders that it lay in."""
    words = ["stepahead", *context.command_path.split()[1:]]
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        source = context.get_parameter_source(parameter.name or "")
        if value is None or source is None or source.name != "COMMANDLINE":
            continue
        value = Path(value) if parameter.type.name == "path" else value  # some versions of typer convert later
        if parameter.param_type_name == "argument":
            words.append(typed(value))
        elif isinstance(value, bool) and getattr(parameter, "is_flag", False):
            words.append((parameter.opts if value else parameter.secondary_opts)[-1])
        else:
            words += [max(parameter.opts, key=len), typed(value)]
    return shlex.join(words)


def quoted(value: Any) -> str:
    """A value as it stands in a list, which commas part."""
    text = typed(value)
    return text if not isinstance(value, str) or not {",", '"'} & {*text} else '"{}"'.format(text.replace('"', '""'))


def typed(value: Any) -> str:
    """A value as one types it."""
    if value is NONE:
        return "none"
    if isinstance(value, list | tuple):
        return ",".join(map(quoted, value)) or "none"
    if isinstance(value, Path):
        return value.name
    if isinstance(value, bool):
        return str(value).lower()
    return str(value).removesuffix(".0")

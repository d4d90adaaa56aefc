"""What requests and answers look like.  JSON -> checked values: depth, sizes and kinds are bounded while it is read.

msgspec reads straight into these types, so what does not fit is refused before anything is built from it. Whole
numbers are floats here: JSON does not tell 5.0 from 5, and neither do we.
"""

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

MOST_ROWS = 100_000  # rows of one request
MOST_COLUMNS = 256
MOST_STEPS = 1_000_000  # numbers of one series in a forecast request
MOST_SERIES = 1_000  # series of one forecast request
LONGEST_NAME = 128
LONGEST_TEXT = 10_000  # symbols of a prefix
NAME = r"^(?!\.{1,2}$)[^/\x00-\x1f\x7f-\x9f\ufffd]{1,128}$"  # of a series: one part of a path

Name = Annotated[str, Meta(min_length=1, max_length=LONGEST_NAME)]
Cell = float | Annotated[str, Meta(max_length=64)] | None
Row = Annotated[dict[Name, Cell], Meta(max_length=MOST_COLUMNS)]
Rows = Annotated[list[Row], Meta(min_length=1, max_length=MOST_ROWS)]
Column = Annotated[list[Cell], Meta(min_length=1, max_length=MOST_ROWS)]
Columns = Annotated[dict[Name, Column], Meta(min_length=1, max_length=MOST_COLUMNS)]
Numbers = Annotated[list[float | None], Meta(min_length=1, max_length=MOST_STEPS)]
Vector = Annotated[list[float | None], Meta(min_length=1, max_length=MOST_COLUMNS)]
Prior = Annotated[list[float | Vector | None], Meta(min_length=1, max_length=MOST_STEPS)]  # numbers, or vectors
Text = Annotated[str, Meta(max_length=LONGEST_TEXT)]
Tokens = Annotated[list[Name], Meta(max_length=LONGEST_TEXT)]
Times = Annotated[list[Cell], Meta(max_length=LONGEST_TEXT)]  # of symbols: ISO 8601 text, numbers, null for unknown
Level = Annotated[list[Annotated[float, Meta(gt=0, lt=100)]], Meta(min_length=1, max_length=8)]
Record = dict[str, float | int | str | None]


class Strict(Struct, forbid_unknown_fields=True):
    """A body in which every name is known."""


class WarmUp(Strict):
    """Begin a series: its history as rows or as columns, or the rows that the model learned from.

    learned: which of the learned series to go on from, where neither rows nor columns are given and there are several.
    level: coverages in percent of the intervals.
    """

    model: Name
    rows: Rows | UnsetType = UNSET
    columns: Columns | UnsetType = UNSET
    learned: Name | UnsetType = UNSET
    level: Level | UnsetType = UNSET


class Observations(Strict):
    """New rows of one series: column to value, the time among them or left out for the next step.

    future: for a model with inputs known ahead, a row of them for each of the next `horizon` steps.
    """

    rows: Rows
    future: Rows | UnsetType = UNSET


class Bulk(Strict):
    """New rows of many series, as rows with a "series" each or as columns with one of that name.

    forecast: whether the answer holds each series' forecast.
    """

    rows: Rows | UnsetType = UNSET
    columns: Columns | UnsetType = UNSET
    forecast: bool = False


class Forecasted(Struct):
    """Where a series stands: its last row's time and what comes next.

    coverage: of each level, the share of recent rows inside their interval, null before the first.
    repeated: rows of the request that were there already and were not taken in again.
    """

    series: str
    model: str
    cutoff: str | int
    rows: int
    forecast: list[Record]
    coverage: dict[str, float | None]
    drifting: bool
    repeated: int = 0


class Listed(Struct):
    """A series in a list; cutoff is null where its model is not served."""

    series: str
    model: str
    cutoff: str | int | None
    rows: int


class SeriesList(Struct):
    """Series by name; next: the last name, to ask on `after` it, null at the end."""

    series: list[Listed]
    next: str | None


class Series(Struct):
    """A series with its last rows, the forecast, and the hidden units' values behind it."""

    series: str
    model: str
    cutoff: str | int
    rows: int
    time: str
    target: str
    columns: list[str]
    level: list[float]
    last: list[Record]
    forecast: list[Record]
    coverage: dict[str, float | None]
    drifting: bool
    hidden: list[float] | None


class Pushed(Struct):
    """What a bulk push did; where each series stands if that was asked for."""

    series: int
    rows: int
    repeated: int
    forecasts: dict[str, Forecasted] | None = None


class TimeSeries(Struct):
    """One series of a forecast request (KServe's TimeSeriesInput), with stepahead's own extension in `stepahead`."""

    type: Annotated[str, Meta(pattern="^(univariate_time_series|multivariate_time_series)$")]
    name: Name
    series: Prior
    frequency: Annotated[str, Meta(max_length=16)]
    start_timestamp: Annotated[str, Meta(max_length=64)] | None = None
    stepahead: "Extension | None" = None


class Extension(Strict):
    """Own timestamps of the rows, and covariates: past ones with a value a row, future ones with the horizon's besides.

    timestamps: of each row. past: input to values [T]. future: input to values [T + horizon]. static: input to value.
    """

    timestamps: Annotated[list[Annotated[str, Meta(max_length=64)] | float], Meta(max_length=MOST_STEPS)] | None = None
    past: dict[Name, Numbers] = {}
    future: dict[Name, Numbers] = {}
    static: dict[Name, float | Annotated[str, Meta(max_length=128)]] = {}


class Options(Struct):
    """horizon: steps ahead, at most the model's. quantiles: probabilities in (0, 1)."""

    horizon: Annotated[float, Meta(ge=1, le=100_000, multiple_of=1)]
    quantiles: Annotated[list[Annotated[float, Meta(gt=0, lt=1)]], Meta(max_length=99)] | None = None


class ForecastRequest(Struct):
    """KServe's ForecastRequest."""

    model: Name
    inputs: Annotated[list[TimeSeries], Meta(min_length=1, max_length=MOST_SERIES)]
    options: Options
    metadata: dict[str, Any] | None = None


class TimeSeriesForecast(Struct):
    """One forecast (KServe): the mean and quantiles of each step, null for one beyond all numbers; timestamps are
    stepahead's own addition.
    """

    type: str
    name: str
    mean_forecast: list[float]
    frequency: str
    start_timestamp: str
    quantiles: dict[str, list[float | None]] | None
    timestamps: list[str | int]


class ForecastOutput(Struct):
    """KServe's ForecastOutput: one for each request."""

    type: str
    id: str
    status: str
    content: list[TimeSeriesForecast]
    error: None = None


class ForecastResponse(Struct):
    """KServe's ForecastResponse."""

    id: str
    created_at: int
    status: str
    model: str
    outputs: list[ForecastOutput]
    error: None = None
    usage: None = None


class Judged(Struct):
    """A model's verdict. outcome: "beats" | "unproven" | "tie" | "same" | "worse", against the best baseline."""

    sentence: str
    outcome: str


class Model(Struct):
    """A model that is served. kind: "forecaster" | "symbols"; columns: the inputs of a row, the target last.

    verdict: of the rows held out while it learned. tokens: how symbols are cut, "chars" | "words" | "items". times:
    whether a model of symbols reads when they came.
    """

    name: str
    kind: str
    cell: str
    hidden_size: int
    horizon: int | None = None
    window: int | None = None
    memory: str | None = None
    time: str | None = None
    time_kind: str | None = None
    target: str | None = None
    columns: list[str] | None = None
    future: list[str] | None = None
    static: list[str] | None = None
    learned: list[str] | None = None
    frequency: str | None = None
    symbols: int | None = None
    tokens: str | None = None
    times: bool | None = None
    verdict: Judged | None = None


class Prefix(Strict):
    """Symbols to go on from; k: how many of the likeliest to tell. times: when each came, for a model that reads it."""

    prefix: Text | Tokens
    k: Annotated[float, Meta(ge=1, le=1_000, multiple_of=1)] = 5
    times: Times | None = None


class Completion(Strict):
    """How to go on after a prefix, as `SymbolModel.complete`. times: of the prefix."""

    prefix: Text | Tokens
    length: Annotated[float, Meta(ge=0, le=LONGEST_TEXT, multiple_of=1)] = 100
    temperature: Annotated[float, Meta(ge=0, le=100)] = 0.0
    top_k: Annotated[float, Meta(ge=1, le=1_000_000, multiple_of=1)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    seed: Annotated[float, Meta(ge=0, le=2**53 - 1, multiple_of=1)] = 0  # 2**53 + 1 reads as 2**53
    times: Times | None = None


class Sequence(Strict):
    """Symbols to be scored. times: when each came, for a model that reads it."""

    sequence: Text | Tokens
    times: Times | None = None


class Next(Struct):
    """One likely symbol and its probability."""

    symbol: str
    p: float


class NextSymbols(Struct):
    """The likeliest next symbols, and the hidden units after each symbol of the prefix."""

    next: list[Next]
    hidden: list[list[float]]


class Completed(Struct):
    """The prefix and what follows."""

    text: str


class Scored(Struct):
    """How surprising each symbol was, in bits; null where nothing foresees it."""

    symbols: list[str]
    bits: list[float | None]
    total: float

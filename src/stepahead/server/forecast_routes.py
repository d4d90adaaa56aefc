"""KServe's time-series protocol: histories in, forecasts out, nothing kept.

Source: https://kserve.github.io/website/docs/reference/time_series/api. The request's extra field `stepahead` of each
input carries own timestamps and covariates. A multivariate series is rows of the model's past inputs, the target last.
"""

import time
import uuid
from collections.abc import Sequence
from typing import Any

import numpy as np
from starlette.responses import Response

from stepahead.data.panel import check_size
from stepahead.errors import StepaheadError
from stepahead.forecast import Forecast
from stepahead.limits import LARGEST
from stepahead.server.models import Served, frequency_name
from stepahead.server.problems import Problem, encode
from stepahead.server.rows import as_panel
from stepahead.server.schema import Extension, Options, TimeSeries
from stepahead.server.service import Call, Service
from stepahead.server.times import as_number, as_text, read_step, read_time

FREQUENCIES = {
    "second": "S",
    "minute": "T",
    "hour": "H",
    "day": "D",
    "week": "W",
    "month": "M",
    "quarter": "Q",
    "year": "Y",
} | {letter: letter for letter in "STHDWMQY"}
UNIVARIATE = "univariate_time_series"
NO_START = "1970-01-01T00:00:00"  # a Thursday


async def list_forecasters(service: Service, call: Call) -> Response:
    """Names of the models that forecast, as KServe's server lists them."""
    return Response(encode([*service.models.forecasters]), media_type="application/json")


async def forecast(service: Service, call: Call) -> Response:
    """Forecast each input on its own."""
    served, body = service.models.forecaster(call.body.model), call.body
    check_options(served, body.options)
    content = await service.turnstile.run(lambda: [forecast_one(served, one, body.options) for one in body.inputs])
    name = uuid.uuid4().hex
    answer = {
        "id": f"forecast-{name}",
        "created_at": int(time.time()),
        "status": "completed",
        "error": None,
        "model": body.model,
        "outputs": [
            {"type": "time_series_forecast", "id": name, "status": "completed", "content": content, "error": None}
        ],
        "usage": None,
    }
    return Response(encode(answer), media_type="application/json")


def check_options(served: Served, options: Options) -> None:
    """Raises: Problem 422 for more steps than the model forecasts."""
    most = served.forecaster.config_.horizon
    if options.horizon > most:
        raise Problem(
            422, f"options.horizon: {options.horizon:g} is more than the {most} steps that the model forecasts"
        )


def forecast_one(served: Served, given: TimeSeries, options: Options) -> dict[str, Any]:
    """One series of the request -> KServe's TimeSeriesForecast. Raises: Problem 422 that names the series."""
    try:
        return answer_one(served, given, options)
    except (Problem, StepaheadError) as error:
        raise Problem(422, f"input {given.name!r}: {getattr(error, 'detail', error)}") from error


def answer_one(served: Served, given: TimeSeries, options: Options) -> dict[str, Any]:
    check_frequency(served, given.frequency)
    extension = given.stepahead or Extension()
    horizon = served.forecaster.config_.horizon
    history = history_of(served, given, extension)
    ahead = future_of(served, extension, len(history), horizon)
    times = times_of(served, given, extension, len(history))
    static = static_of(served, extension)
    panel = as_panel(served.reader.schema, given.name, times, history, static)
    check_size(panel)
    fitted: Any = served.forecaster.fitted_
    levels = sorted({level_of(q) for q in options.quantiles or () if level_of(q)})
    origin = np.asarray([panel.n_rows - 1])
    found = fitted.forecast(fitted.source(panel), origin, level=levels, future=ahead)
    schema, steps = served.reader.schema, slice(0, int(options.horizon))
    stamps = [as_text(as_number(stamp), schema) for stamp in found.times[0, steps]]
    quantiles = {f"{q:g}": quantile(found, q)[steps].tolist() for q in options.quantiles or ()}
    return {
        "type": UNIVARIATE,
        "name": given.name,
        "mean_forecast": found.mean[0, steps].tolist(),
        "frequency": given.frequency,
        "start_timestamp": str(stamps[0]),
        "quantiles": quantiles or None,
        "timestamps": stamps,
    }


def level_of(quantile: float) -> float:
    """The coverage in percent of the interval that ends at a quantile; 0 for the median."""
    return round(abs(100 - 200 * quantile), 9)


def quantile(found: Forecast, q: float) -> np.ndarray:
    """One quantile of each step: an end of the interval of its level."""
    level = level_of(q)
    if not level:
        return found.mean[0]
    return (found.lo if q < 0.5 else found.hi)[0, :, found.level.index(level)]


def check_frequency(served: Served, frequency: str) -> None:
    """Raises: Problem 422 where the series steps otherwise than the model."""
    if frequency not in FREQUENCIES:
        raise Problem(422, f"frequency: {frequency!r} is not one of {', '.join(FREQUENCIES)}")
    known = frequency_name(served.forecaster.fitted_.frequency)
    if known not in ("step", FREQUENCIES[frequency]) and known[-1] in "STHDWMQY" and not known[0].isdigit():
        raise Problem(422, f"frequency: {frequency!r} is not the model's, {known}")


def history_of(served: Served, given: TimeSeries, extension: Extension) -> np.ndarray:
    """The values of the past inputs, and of those known ahead for the same rows: [T, P + K]."""
    schema = served.reader.schema
    target = series_values(given, len(schema.past))
    rows = len(target)
    if given.type == UNIVARIATE:
        others = [named_values(extension.past, name, rows, "past") for name in schema.past[:-1]]
        target = np.column_stack([*others, target])
        refuse_others(extension.past, schema.past[:-1], "past")
    else:
        refuse_others(extension.past, (), "past")
    known = [named_values(extension.future, name, None, "future")[:rows] for name in schema.future]
    return np.column_stack([target, *known]) if known else target


def series_values(given: TimeSeries, width: int) -> np.ndarray:
    """The numbers of the request: [T] of a univariate series, [T, P] of a multivariate one."""
    series: Sequence[Any] = given.series
    if given.type == UNIVARIATE:
        if any(isinstance(value, list) for value in series):
            raise Problem(422, "series: a univariate one is a list of numbers; found lists in it")
        return np.asarray(series, dtype=np.float64)  # None becomes NaN
    if any(not isinstance(value, list) or len(value) != width for value in series):
        raise Problem(422, f"series: a multivariate one is a list of rows with {width} numbers each, the target last")
    return np.asarray(series, dtype=np.float64)


def named_values(given: dict[str, list[float | None]], name: str, rows: int | None, kind: str) -> np.ndarray:
    """The values of one covariate."""
    if name not in given:
        raise Problem(422, f"stepahead.{kind}: the model needs '{name}'")
    if rows is not None and len(given[name]) != rows:
        raise Problem(422, f"stepahead.{kind}: '{name}' has {len(given[name])} values, the series has {rows}")
    values = np.asarray(given[name], dtype=np.float64)
    if (np.abs(values) >= LARGEST).any():
        raise Problem(422, f"stepahead.{kind}: '{name}' has a value beyond {LARGEST:g}; correct it")
    return values


def refuse_others(given: dict[str, Any], known: Sequence[str], kind: str) -> None:
    for name in given:
        if name not in known:
            raise Problem(422, f"stepahead.{kind}: the model has no input {name!r:.60}")


def future_of(served: Served, extension: Extension, rows: int, horizon: int) -> np.ndarray | None:
    """The inputs known ahead of the steps to come: [1, H, K], or None for a model without."""
    names = served.reader.schema.future
    refuse_others(extension.future, names, "future")
    if not names:
        return None
    columns = [named_values(extension.future, name, rows + horizon, "future") for name in names]
    return np.column_stack(columns)[None, rows:]


def static_of(served: Served, extension: Extension) -> dict[str, Any]:
    names = served.reader.schema.static
    refuse_others(extension.static, names, "static")
    for name in names:
        if name not in extension.static:
            raise Problem(422, f"stepahead.static: the model needs '{name}'")
    return extension.static


def times_of(served: Served, given: TimeSeries, extension: Extension, rows: int) -> np.ndarray:
    """The times of the rows, ascending: own ones, or counted from the start by the model's step: [T] int64."""
    schema = served.reader.schema
    if extension.timestamps is not None:
        if len(extension.timestamps) != rows:
            raise Problem(422, f"stepahead.timestamps: {len(extension.timestamps)} for {rows} values; give one each")
        times = np.asarray([read_time(value, schema) for value in extension.timestamps], dtype=np.int64)
        if (np.diff(times) <= 0).any():
            raise Problem(422, "stepahead.timestamps: must ascend")
        return times
    start = first_time(served, given.start_timestamp)
    if rows == 1:
        return np.asarray([start])
    last = np.asarray([start])
    if schema.time_kind != "integer":
        last = last.view("datetime64[us]")
    return np.concatenate([[start], served.reader.frequency.after(last, rows - 1)[0].astype(np.int64)])


def first_time(served: Served, written: str | None) -> int:
    """Where the series begins; anywhere, where the model does not look at the calendar."""
    schema = served.reader.schema
    if written is not None:
        if schema.time_kind != "integer":
            return read_time(written, schema)
        digits = written.removeprefix("-")
        step = float(written) if digits.isascii() and digits.isdigit() and len(digits) < 17 else written
        return read_step(step, "start_timestamp")
    if getattr(served.forecaster.config_, "calendar", ()):
        raise Problem(422, "start_timestamp: the model looks at the calendar and needs it")
    return 1 if schema.time_kind == "integer" else read_time(NO_START + ("Z" if schema.time_zone else ""), schema)

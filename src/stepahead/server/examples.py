"""Bodies that the served models can take, for the OpenAPI document.  Models -> operation -> JSON."""

from typing import Any

import numpy as np

from stepahead.server.models import Models, Served, frequency_name
from stepahead.server.times import as_number, as_text
from stepahead.symbol_model import SymbolModel

START = np.asarray(["2024-01-01"], dtype="datetime64[us]")


def examples_for(models: Models) -> dict[str, Any]:
    """Bodies for the first model of each kind that is served.

    Among forecasters one without inputs known ahead comes first: a bulk push has no place for those.
    """
    known = sorted(models.forecasters.values(), key=lambda served: len(served.reader.schema.future) > 0)
    found = forecaster_examples(known[0]) if known else {}
    return found | (symbol_examples(next(iter(models.symbols.values()))) if models.symbols else {})


def forecaster_examples(served: Served) -> dict[str, Any]:
    """Begin the series "one", push a row to it, and a history to forecast from."""
    reader, model = served.reader, served.forecaster
    schema, horizon = reader.schema, reader.horizon
    count = model.config_.window + 3
    start = np.asarray([0]) if schema.time_kind == "integer" else START
    times = [as_text(as_number(time), schema) for time in reader.frequency.after(start, count + 1)[0]]
    past = [[100.0 + 3 * i % 7] * len(schema.past) for i in range(count + 1)]
    known: dict[str, float] = dict.fromkeys(schema.future, 1.0)
    static = dict(zip(schema.static, model.panel_.static[0].tolist(), strict=True))
    rows = [
        {schema.time: time, **dict(zip(schema.past, values, strict=True)), **known}
        for time, values in zip(times, past, strict=True)
    ]
    frequency = frequency_name(reader.frequency)
    series: dict[str, Any] = {
        "type": "multivariate_time_series",
        "name": "one",
        "series": past[:count],
        "frequency": frequency if frequency in set("STHDWMQY") else "D",
        "start_timestamp": str(times[0]),
    }
    if known or static:
        ahead = {name: [value] * (count + horizon) for name, value in known.items()}
        series["stepahead"] = {"future": ahead, "static": static}
    found = {
        "put_series": {"model": served.name, "rows": [row | static for row in rows[:count]]},
        "push": {"rows": rows[count:]} | ({"future": [known] * horizon} if known else {}),
        "forecast": {"model": served.name, "inputs": [series], "options": {"horizon": 1}},
    }
    return found if known else found | {"push_bulk": {"rows": [{"series": "one", **rows[count]}]}}


def symbol_examples(model: SymbolModel) -> dict[str, Any]:
    """A few symbols that the model knows, with times where it reads them."""
    known = [symbol[:128] for symbol in model.vocabulary_.symbols[:2]]
    between = {"chars": "", "words": " "}.get(model.vocabulary_.tokens)
    prefix = known if between is None else between.join(known)
    times = {"times": ["2026-01-05T09:00:00", "2026-01-05T09:12:30"][: len(known)]} if model.edges_ is not None else {}
    return {
        "next_symbols": {"prefix": prefix, "k": 3, **times},
        "complete": {"prefix": prefix, "length": 4, **times},
        "score": {"sequence": prefix, **times},
    }

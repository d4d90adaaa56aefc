"""The OpenAPI document, written from the table of routes and the types of its bodies."""

import re
from collections.abc import Sequence
from datetime import date, timedelta
from http import HTTPStatus
from typing import Any

import msgspec

from stepahead import __version__
from stepahead.server.schema import NAME, Model

PROBLEM = {
    "type": "object",
    "description": "What went wrong (RFC 9457).",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
}
PROBLEM_CONTENT = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
ALWAYS = (401, 403, 414, 421, 500)  # what the guard may answer on any route
WITH_BODY = (400, 408, 413, 415, 422, 429, 503)
INPUTS = {"id": {"type": "string", "pattern": NAME}, "model": {"type": "string"}, "file": {"type": "string"}}


def document(routes: Sequence[Any], models: Sequence[Model] = ()) -> dict[str, Any]:
    """The document that describes these routes; its examples ask for models that are served."""
    examples = {route.handler.__name__: route.example for route in routes} | examples_for(models)
    types = [t for route in routes for t in (route.body, route.answer) if is_type(t)]
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    components["Bulk"]["oneOf"] = [{"required": ["rows"]}, {"required": ["columns"]}]
    components["WarmUp"]["not"] = {"required": ["rows", "columns"]}
    written = dict(zip(types, schemas, strict=True))
    names = [model.name for model in models]
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        path = re.sub(r":\w+}", "}", route.path)
        paths.setdefault(path, {})[route.method.lower()] = operation(route, written, examples, names)
    return {
        "openapi": "3.1.0",
        "info": {"title": "stepahead", "version": __version__, "description": "Forecasts with state, kept on disk."},
        "paths": paths,
        "components": {
            "schemas": components | {"Problem": PROBLEM},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def examples_for(models: Sequence[Model]) -> dict[str, Any]:
    """Bodies that the first models that are served can take, by operation."""
    return forecaster_examples(models) | symbol_examples(models)


def symbol_examples(models: Sequence[Model]) -> dict[str, Any]:
    """Bodies with times, where the first model of symbols reads them."""
    model = next((m for m in models if m.kind == "symbols"), None)
    if model is None or not model.times:
        return {}
    one: dict[str, Any] = {"prefix": ["first", "second"], "times": ["2026-01-05T09:00:00", "2026-01-05T09:12:30"]}
    scored = {"sequence": one["prefix"], "times": one["times"]}
    return {"next_symbols": one | {"k": 3}, "complete": one | {"length": 4}, "score": scored}


def forecaster_examples(models: Sequence[Model]) -> dict[str, Any]:
    """Bodies for the first forecaster."""
    model = next((m for m in models if m.kind == "forecaster" and not (m.future or m.static)), None)
    if model is None or model.columns is None or model.time is None or model.window is None:
        return {}
    count = model.window + 3
    steps = model.time_kind == "integer"
    times = [i + 1 if steps else str(date(2024, 1, 1) + timedelta(i)) for i in range(count + 1)]
    rows = [{model.time: time} | dict.fromkeys(model.columns, 100.0 + 3 * i % 7) for i, time in enumerate(times)]
    series = {
        "type": "multivariate_time_series",
        "name": "one",
        "series": [[row[c] for c in model.columns] for row in rows],
        "frequency": model.frequency if model.frequency in set("STHDWMQY") else "D",
        "start_timestamp": str(times[0]),
    }
    return {
        "put_series": {"model": model.name, "rows": rows[:count]},
        "push": {"rows": rows[count:]},
        "push_bulk": {"rows": [{"series": "one", **rows[count]}]},
        "forecast": {"model": model.name, "inputs": [series], "options": {"horizon": 1}},
    }


def is_type(kind: Any) -> bool:
    """Whether a route's body or answer is a type of JSON, not a media type."""
    return kind is not None and not isinstance(kind, str)


def operation(route: Any, written: dict[Any, Any], examples: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """One route, as OpenAPI says it. examples: of bodies, by operation. names: of the models."""
    text = (route.handler.__doc__ or "").strip()
    found: dict[str, Any] = {
        "summary": text.splitlines()[0].rstrip(".") if text else route.path,
        "operationId": route.handler.__name__,
        "tags": [route.tag],
        "parameters": parameters(route, names),
        "responses": responses(route, written),
        "security": [] if route.guard == "open" else [{"token": []}],
    }
    if route.body is not None:
        content: dict[str, Any] = {"schema": written[route.body]}
        if examples.get(found["operationId"]) is not None:
            content["example"] = examples[found["operationId"]]
        found["requestBody"] = {"required": True, "content": {"application/json": content}}
    return found


def parameters(route: Any, names: list[str]) -> list[dict[str, Any]]:
    """Those of the path, the query and the headers."""
    known = INPUTS | ({"model": {"type": "string", "enum": names}} if names else {})
    found = [
        {"name": name, "in": "path", "required": True, "schema": known[name]}
        for name in re.findall(r"{(\w+)(?::\w+)?}", route.path)
    ]
    for place, given in (("query", route.queries), ("header", route.headers)):
        found += [{"name": n, "in": place, "schema": s, "description": text} for n, s, text in given]
    return found


def responses(route: Any, written: dict[Any, Any]) -> dict[str, Any]:
    """What it answers: when all is well, and when not."""
    found: dict[str, Any] = {}
    for status in route.status:
        found[str(status)] = {"description": HTTPStatus(status).phrase}
        if isinstance(route.answer, str):
            found[str(status)]["content"] = {route.answer: {"schema": {"type": "string"}}}
        elif route.answer is not None:
            found[str(status)]["content"] = {"application/json": {"schema": written[route.answer]}}
    asks = WITH_BODY if route.body is not None else (422, 429, 503)
    for status in sorted({*ALWAYS, *asks, *route.errors}):
        problem = {"schema": {"$ref": "#/components/schemas/Problem"}}
        found[str(status)] = {
            "description": HTTPStatus(status).phrase,
            "content": {"application/problem+json": problem},
        }
    return found

"""The OpenAPI document, written from the table of routes and the types of its bodies."""

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from stepahead import __version__
from stepahead.server.examples import examples_for
from stepahead.server.models import Models
from stepahead.server.schema import NAME

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
ALWAYS = (401, 403, 414, 421, 500)  # what the guard may answer on any route
WITH_BODY = (400, 408, 413, 415, 422, 429, 503)
INPUTS = {"id": {"type": "string", "pattern": NAME}, "model": {"type": "string"}, "file": {"type": "string"}}


def document(routes: Sequence[Any], models: Models) -> dict[str, Any]:
    """The document that describes these routes; its examples ask for models that are served."""
    examples = examples_for(models)
    types = [t for route in routes for t in (route.body, route.answer) if is_type(t)]
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    components["Bulk"]["oneOf"] = [{"required": ["rows"]}, {"required": ["columns"]}]
    components["WarmUp"]["not"] = {"required": ["rows", "columns"]}
    written = dict(zip(types, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        names = [*models.symbols] if route.tag == "symbols" else models.names()
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


def is_type(kind: Any) -> bool:
    """Whether a route's body or answer is a type of JSON, not a media type."""
    return kind is not None and not isinstance(kind, str)


def operation(route: Any, written: dict[Any, Any], examples: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """One route, as OpenAPI says it. examples: of bodies, by operation. names: of its models."""
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
        if found["operationId"] in examples:
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

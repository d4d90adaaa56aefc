"""The examples of the OpenAPI document can be posted as they stand, whatever is served."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from server_models import days, models, wave
from starlette.testclient import TestClient

from stepahead import Forecaster, Panel, SymbolModel
from stepahead.server.app import create_app
from stepahead.server.models import Models, serve_forecaster
from stepahead.server.service import Service
from stepahead.server.store import open_store

BEGIN, END = ("put_series", "push", "forecast"), ("next_symbols", "complete", "score")


def forecaster(panel: Panel, recipe: str = "classic", **schema: Any) -> Models:
    panel = replace(panel, schema=replace(panel.schema, **schema))
    options = {} if recipe == "panel" else {"window": 5, "hidden_size": 2}
    model = Forecaster(recipe=recipe, horizon=2, max_steps=3, holdout=None, **options).fit(panel)
    return Models({"it": serve_forecaster("it", model)})


def hours() -> Panel:
    times = np.datetime64("2024-01-01", "us") + np.arange(200) * np.timedelta64(1, "h")
    return Panel.from_arrays(wave(200), times=times)


def with_future(static: list[Any]) -> Models:
    panel = Panel.from_arrays(wave(400), times=np.tile(days(200), 2), ids=("a", "b"), offsets=(0, 200, 400))
    promo = np.arange(400.0)[:, None] % 2
    kinds = np.asarray(static, dtype=object if isinstance(static[0], str) else float)[:, None]
    return forecaster(replace(panel, future=promo, static=kinds), future=("promo",), static=("kind",))


def with_static() -> Models:
    panel = Panel.from_arrays(wave(400), times=np.tile(days(200), 2), ids=("a", "b"), offsets=(0, 200, 400))
    return forecaster(replace(panel, static=np.array([["x"], ["y"]], dtype=object)), static=("kind",))


SERVED = {
    "all": models,
    "steps": lambda: Models({"steps": models().forecasters["steps"]}),
    "zone": lambda: forecaster(hours(), time_zone="Europe/Berlin"),
    "panel": lambda: forecaster(hours(), "panel"),
    "static": with_static,
    "future and text": lambda: with_future(["x", "y"]),
    "future and numbers": lambda: with_future([1.0, 2.0]),
    "symbols": lambda: Models(symbols={"word": models().symbols["word"]}),
    "items": lambda: Models(symbols={"it": SymbolModel(hidden_size=2, epochs=1).fit([["on", "off"]] * 30)}),
}


@pytest.mark.parametrize("kind", SERVED)
def test_every_example_can_be_posted(kind: str, tmp_path: Path) -> None:
    served = SERVED[kind]()
    service = Service.build(served, open_store(str(tmp_path / "store.db")))
    with TestClient(create_app(service), base_url="http://localhost") as client:
        found = examples(client.get("/openapi.json").json())
        bulk = ("push_bulk",) if served.forecasters and "future" not in kind else ()
        wanted = (BEGIN if served.forecasters else ()) + bulk + (END if served.symbols else ())
        assert set(found) == set(wanted)
        for name in wanted:
            method, path, example = found[name]
            answer = client.request(method, path, json=example)
            assert answer.status_code in (200, 201), (name, example, answer.text)


def examples(document: dict[str, Any]) -> dict[str, tuple[str, str, Any]]:
    """Method, path and body of each example, by operation."""
    found = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            content = operation.get("requestBody", {"content": {}})["content"].get("application/json", {})
            if "example" in content:
                at = path.replace("{id}", "one")
                for parameter in operation["parameters"]:
                    if parameter["name"] == "model":
                        at = at.replace("{model}", parameter["schema"]["enum"][0])
                found[operation["operationId"]] = (method.upper(), at, content["example"])
    return found

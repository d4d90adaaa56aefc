"""Symbols over HTTP with the times at which they came."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from server_models import files
from starlette.testclient import TestClient

import stepahead as sa
from stepahead.server.app import create_app
from stepahead.server.models import Models, open_models
from stepahead.server.service import Service
from stepahead.server.store import open_store

CALLED = ["2026-01-05T09:00:00", "2026-01-05T09:00:20"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """`phone` reads times: a call after 20 s finds the line busy, after 5,000 s free. An ensemble, as it happens."""
    rows = [
        (case, at, what)
        for case in range(200)
        for wait in [20 if case % 2 else 5000]
        for at, what in ((0, "dial"), (wait, "call"), (wait + 9, "busy" if case % 2 else "free"))
    ]
    table = pl.DataFrame(rows, schema=["case", "at", "what"], orient="row")
    events = sa.read_events(table, case="case", time="at", activity="what")
    path = tmp_path_factory.mktemp("models") / "phone.safetensors"
    sa.SymbolModel(hidden_size=8, epochs=10, ensemble=2).fit(events).save(path)
    return open_models([path, files()[-1]])


@pytest.fixture
def client(served: Models, tmp_path: Path) -> Iterator[TestClient]:
    service = Service.build(served, open_store(str(tmp_path / "store.db")))
    with TestClient(create_app(service), base_url="http://localhost") as client:
        yield client


def ask(client: TestClient, what: str, model: str = "phone", **body: Any) -> Any:
    return client.post(f"/v1/symbols/{model}/{what}", json=body)


def test_times_tell_what_the_symbols_cannot(client: TestClient) -> None:
    for times, symbol in ((CALLED, "busy"), ([0, 20], "busy"), ([0, 5000], "free")):
        answer = ask(client, "next", prefix=["dial", "call"], k=1, times=times).json()
        assert answer["next"][0]["symbol"] == symbol, times
        assert len(answer["hidden"]) == 2
        text = ask(client, "complete", prefix=["dial", "call"], length=1, times=times).json()["text"]
        assert text == f"dial call {symbol}"


def test_answers_with_times_are_the_model_s_own(client: TestClient, served: Models) -> None:
    model, sequence = served.symbols["phone"], ["dial", "call", "free"]
    for times in ([0, 5000, 5009], [None, 5000, 5009], [0, None, None], None):
        scored = ask(client, "score", sequence=sequence, times=times).json()
        assert scored["bits"] == model.score(sequence, times=times).bits.tolist()
        likely = ask(client, "next", prefix=sequence, times=times).json()["next"]
        assert [(one["symbol"], one["p"]) for one in likely] == model.next(sequence, 5, times=times)
    without = ask(client, "score", sequence=sequence).json()
    assert without == scored


@pytest.mark.parametrize(
    ("model", "times", "words"),
    [
        ("phone", [0], "1 for 2 symbols"),
        ("phone", [20, 0], "order of time"),
        ("phone", ["soon", 3], "no ISO time"),
        ("phone", [{}, 3], "times"),
        ("phone", 3, "times"),
        ("word", [0, 20], "the model reads none"),
    ],
)
def test_times_that_cannot_be_are_422(client: TestClient, model: str, times: Any, words: str) -> None:
    prefix = ["dial", "call"] if model == "phone" else "he"
    for answer in (
        ask(client, "next", model, prefix=prefix, times=times),
        ask(client, "complete", model, prefix=prefix, times=times),
        ask(client, "score", model, sequence=prefix, times=times),
    ):
        assert answer.status_code == 422, answer.text
        assert words in answer.json()["detail"]


def test_a_model_says_whether_it_reads_times_and_the_examples_follow(client: TestClient) -> None:
    listed = {model["name"]: model for model in client.get("/v1/models").json()}
    assert (listed["phone"]["times"], listed["word"]["times"]) == (True, False)
    paths = client.get("/openapi.json").json()["paths"]
    for what in ("next", "complete", "score"):
        content = paths[f"/v1/symbols/{{model}}/{what}"]["post"]["requestBody"]["content"]["application/json"]
        assert len(content["example"]["times"]) == 2
        assert ask(client, what, **content["example"]).status_code == 200

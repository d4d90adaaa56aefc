"""Series of a model with inputs that are known ahead, through the service."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import polars as pl
import pytest
from starlette.testclient import TestClient

import stepahead as sa
from stepahead.server.app import create_app
from stepahead.server.models import open_models
from stepahead.server.service import Service
from stepahead.server.store import open_store

WARM = 8


@cache
def file() -> Path:
    """A model of y that is told temp two steps ahead."""
    table = pl.DataFrame({"ds": np.arange(1, 81), "temp": np.sin(np.arange(80) / 3), "y": np.cos(np.arange(80) / 3)})
    model = sa.Forecaster(recipe="classic", window=4, hidden_size=4, horizon=2, max_steps=20, holdout=20, seed=1)
    path = Path(mkdtemp(prefix="stepahead-ahead-")) / "ahead.safetensors"
    model.fit(sa.read(table, target="y", future=["temp"])).save(path)
    return path


def rows(first: int, count: int) -> list[dict[str, float]]:
    return [{"ds": i, "temp": float(np.sin(i / 3)), "y": float(np.cos(i / 3))} for i in range(first, first + count)]


def ahead(first: int, shift: float = 0.0) -> list[dict[str, float]]:
    return [{"temp": float(np.sin(i / 3)) + shift} for i in range(first, first + 2)]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Any]:
    service = Service.build(open_models([file()]), open_store(str(tmp_path / "store.db")))
    with TestClient(create_app(service), base_url="http://localhost") as client:
        answer = client.put("/v1/series/a", json={"model": "ahead", "rows": rows(1, WARM)})
        assert answer.status_code == 201, answer.text
        yield client


def push(client: TestClient, first: int, count: int = 1, shift: float = 0.0) -> Any:
    body = {"rows": rows(first, count), "future": ahead(first + count, shift)}
    return client.post("/v1/series/a/observations", json=body)


def test_a_series_can_be_looked_at(client: TestClient) -> None:
    assert push(client, WARM + 1).status_code == 200
    told = client.get("/v1/series/a")
    assert told.status_code == 200, told.text
    assert told.json()["rows"] == WARM + 1
    assert client.get("/v1/series/a/forecast").status_code == 200


def test_a_row_that_comes_again_is_the_same_whatever_is_said_of_the_steps_behind_it(client: TestClient) -> None:
    first = push(client, WARM + 1)
    assert first.json()["repeated"] == 0
    for again in (push(client, WARM), push(client, WARM + 1, shift=1.0)):  # of the history, and of a push
        assert (again.status_code, again.json()["repeated"]) == (200, 1)
        assert again.json()["forecast"] == first.json()["forecast"]
    overlapping = push(client, WARM + 1, count=2)
    assert (overlapping.status_code, overlapping.json()["repeated"]) == (200, 1)
    other = {"rows": [rows(WARM + 1, 1)[0] | {"y": 9.0}], "future": ahead(WARM + 2)}
    assert client.post("/v1/series/a/observations", json=other).status_code == 409

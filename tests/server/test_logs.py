"""What the log says of requests, and what it never says."""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from running_server import running
from server_models import daily_rows, models
from starlette.testclient import TestClient

from stepahead.errors import ConfigError
from stepahead.server.app import create_app
from stepahead.server.guards import LOOPBACK, Access
from stepahead.server.logs import MOST_REFUSED, JsonLines, Requests
from stepahead.server.routes import is_open
from stepahead.server.run import Options, check_logging
from stepahead.server.service import Service
from stepahead.server.store import open_store

SECRET = "correct-horse-battery"
BEARER = {"authorization": f"Bearer {SECRET}"}
Log = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Log:
    """The lines so far of requests, as they would be written."""
    monkeypatch.setattr(logging.getLogger("stepahead.server"), "propagate", True)
    caplog.set_level(logging.INFO, "stepahead.server")
    return lambda: [line for line in (json.loads(JsonLines().format(r)) for r in caplog.records) if "status" in line]


@contextmanager
def client(tmp_path: Path, *, access_log: bool) -> Iterator[TestClient]:
    service = Service.build(models(), open_store(str(tmp_path / "store.db")))
    access = Access(SECRET.encode(), LOOPBACK, frozenset(), is_open)
    with TestClient(create_app(service, access, access_log=access_log), base_url="http://localhost") as client:
        yield client


def use(client: TestClient) -> None:
    """A series, a push, a conflict, a body that does not fit."""
    client.put("/v1/series/a", json={"model": "daily", "rows": daily_rows(6)}, headers=BEARER)
    client.post("/v1/series/a/observations", json={"rows": daily_rows(1, 6)}, headers=BEARER)
    conflict = [daily_rows(1, 6)[0] | {"y": 123456.5}]
    client.post("/v1/series/a/observations?token=hidden", json={"rows": conflict}, headers=BEARER)
    client.post("/v1/series:push", json={"rows": [{"series": "a", "y": "123456.5"}]}, headers=BEARER)


def test_refusals_are_warnings_and_what_goes_well_is_silent(tmp_path: Path, log: Log) -> None:
    with client(tmp_path, access_log=False) as asking:
        use(asking)
        assert log() == []
        asking.get("/v1/series", headers={"authorization": "Bearer wrong-wrong-wrong"})
        asking.get("/v1/series", headers=BEARER | {"origin": "https://evil.example"})
        asking.get("/v1/series", headers=BEARER | {"host": "evil.example"})
    lines = log()
    assert [(line["status"], line["level"], line["path"]) for line in lines] == [
        (status, "warning", "/v1/series") for status in (401, 403, 421)
    ]
    assert lines[0]["why"] == "the token is not the right one"
    assert not any(word in json.dumps(lines) for word in ("wrong-wrong", SECRET))


def test_the_access_log_has_every_request_and_neither_tokens_nor_values(tmp_path: Path, log: Log) -> None:
    with client(tmp_path, access_log=True) as asking:
        use(asking)
        asking.get("/v2/health/live")
    lines = log()
    assert [line["status"] for line in lines] == [201, 200, 409, 422, 200]
    assert lines[1]["route"] == "POST /v1/series/{id}/observations"
    assert (lines[1]["method"], lines[1]["path"]) == ("POST", "/v1/series/a/observations")
    assert {line["level"] for line in lines} == {"info"}
    assert all(0 <= line["seconds"] < 10 for line in lines)
    assert not any(word in json.dumps(lines) for word in (SECRET, "hidden", "123456.5"))


def test_a_flood_of_refusals_is_a_few_lines_and_a_count(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    requests, scope, now = Requests(), {"method": "GET", "path": "/" + "x" * 4000}, [100.0]
    monkeypatch.setattr("stepahead.server.logs.time.monotonic", lambda: now[0])
    for _ in range(MOST_REFUSED + 1000):
        requests.told(scope, 401, 0.001)
    assert len(log()) == MOST_REFUSED
    assert len(log()[0]["path"]) == 200
    now[0] += 61
    requests.told(scope, 401, 0.001)
    assert log()[-1]["left_out"] == 1000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(log_level="loud"), "--log-level 'loud': must be one of debug, info"),
        (Options(log_level="warning", access_log=True), "--access-log: its lines are of level info"),
    ],
)
def test_a_log_that_cannot_be_is_one_clear_error(options: Options, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_logging(options)


def test_the_server_writes_the_access_log_as_json_lines(tmp_path: Path) -> None:
    with running(str(tmp_path / "store.db"), "--access-log") as server:
        assert server.ask("PUT", "/v1/series/a", {"model": "daily", "rows": daily_rows(6)})[0] == 201
        assert server.process.stderr is not None
        line = json.loads(server.process.stderr.readline())
        assert (line["event"], line["route"], line["status"]) == ("request", "PUT /v1/series/{id}", 201)
        assert line["client"] == "127.0.0.1"
        server.stop()

"""Nobody gets in who should not, and nothing that is too large: checked on every route of the table."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute
from server_models import daily_rows, models
from starlette.testclient import TestClient

from stepahead.errors import ConfigError
from stepahead.server.app import create_app
from stepahead.server.guards import LARGE_BODY, LOOPBACK, MOST_OBJECTS, Access, Guard, host_name, is_loopback
from stepahead.server.routes import OPEN, ROUTES, TOKEN, Endpoint, is_open
from stepahead.server.run import Options, read_access
from stepahead.server.service import Service
from stepahead.server.store import open_store

SECRET = "correct-horse-battery"
PUBLIC = {"/", "/static/{file:path}", "/v2/health/live", "/v2/health/ready"}


@pytest.fixture
def app(tmp_path: Path) -> Guard:
    service = Service.build(models(), open_store(str(tmp_path / "store.db")))
    return create_app(service, Access(SECRET.encode(), LOOPBACK, frozenset({"https://friend.example"}), is_open))


@pytest.fixture
def guarded(app: Guard) -> Iterator[TestClient]:
    with TestClient(app, base_url="http://localhost") as client:
        yield client


def path_of(endpoint: Endpoint) -> str:
    return re.sub(r"{[^}]+}", "x", endpoint.path)


def test_every_route_of_the_application_stands_in_the_table_and_only_four_are_open(app: Guard) -> None:
    registered = {(method, route.path) for route in app.app.app.routes for method in route.methods}
    assert all(isinstance(route, APIRoute) for route in app.app.app.routes)
    assert registered == {(e.method, e.path) for e in ROUTES} | {("GET", "/openapi.json")}
    assert {e.path for e in ROUTES if e.guard == OPEN} == PUBLIC
    assert {e.guard for e in ROUTES} == {OPEN, TOKEN}
    assert all(e.limit > 0 for e in ROUTES if e.body is not None)


@pytest.mark.parametrize("endpoint", [*ROUTES], ids=lambda e: f"{e.method} {e.path}")
def test_no_route_answers_without_its_guard(guarded: TestClient, endpoint: Endpoint) -> None:
    method, path = endpoint.method, path_of(endpoint)
    for headers, status in (
        ({"host": "evil.example"}, 421),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://[bad"}, 403),
    ):
        assert guarded.request(method, path, headers=headers | bearer(SECRET)).status_code == status
    if endpoint.guard == TOKEN:
        for headers in ({}, bearer("wrong"), bearer(SECRET + "x"), {"authorization": f"Basic {SECRET}"}):
            answer = guarded.request(method, path, headers=headers)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
    else:
        assert guarded.request(method, path).status_code in (200, 404)
    if endpoint.body is not None:
        large = guarded.request(method, path, content=b"x", headers=json_header() | {"content-length": str(10**10)})
        assert large.status_code == 413
        assert guarded.request(method, path, content=b"{}", headers=bearer(SECRET)).status_code == 415
        bad = guarded.request(method, path, content=b'{"', headers=json_header())
        assert (bad.status_code, bad.headers["content-type"]) == (400, "application/problem+json")


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def json_header() -> dict[str, str]:
    return bearer(SECRET) | {"content-type": "application/json"}


def test_the_open_paths_are_those_of_the_table() -> None:
    assert is_open("/")
    assert is_open("/static/live.js")
    closed = (
        "/v1/series",
        "/static",
        "/staticx",
        "/v2/models/x",
        "//",
        "/v2/health/live/",
        "/metrics",
        "/openapi.json",
    )
    assert not any(map(is_open, closed))


def test_a_friend_and_the_page_itself_may_ask(guarded: TestClient) -> None:
    for origin in ("https://friend.example", "http://localhost"):
        assert guarded.get("/v1/series", headers=bearer(SECRET) | {"origin": origin}).status_code == 200
    assert guarded.get("/v1/series", headers=bearer(SECRET) | {"host": "[::1]:80"}).status_code == 200


def test_a_browser_lets_a_friend_s_page_ask_in_json_and_read_every_answer(guarded: TestClient) -> None:
    friend = {"origin": "https://friend.example"}
    ahead = {"access-control-request-method": "PUT", "access-control-request-headers": "authorization, content-type"}
    answer = guarded.options("/v1/series/a", headers=friend | ahead)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-methods"] == "GET, PUT, POST, DELETE"
    assert answer.headers["access-control-allow-headers"] == "authorization, content-type, idempotency-key"
    assert answer.headers["access-control-max-age"] == "600"
    told = [answer, guarded.put("/v1/series/a", json={"model": "daily"}, headers=friend | bearer(SECRET))]
    told += [guarded.get(path, headers=friend | bearer(SECRET)) for path in ("/", "/v1/series", "/v1/series/x")]
    told += [guarded.get("/v1/series", headers=friend), guarded.options("/v1/series", headers=friend | bearer(SECRET))]
    assert [answer.status_code for answer in told] == [204, 201, 200, 200, 404, 401, 405]
    for answer in told:
        assert answer.headers["access-control-allow-origin"] == "https://friend.example"
        assert answer.headers["vary"] == "Origin"
    for other, status in (
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"host": "evil.example"} | friend, 421),
        ({"origin": "http://localhost"}, 401),  # the page's own needs none of this
        ({}, 401),
    ):
        refused = guarded.options("/v1/series/a", headers=ahead | other)
        assert refused.status_code == status
        assert ("access-control-allow-origin" in refused.headers) == (status == 421)
    assert "vary" not in guarded.get("/v1/series", headers=bearer(SECRET)).headers


def test_a_body_is_counted_while_it_comes_in(guarded: TestClient) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 10 * LARGE_BODY:
            sent += 1 << 20
            yield b" " * (1 << 20)

    answer = guarded.post("/v1/series:push", content=endless(), headers=json_header())
    assert answer.status_code == 413
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"rows": [' + b'{"a":1},' * (MOST_OBJECTS + 1) + b'{"a":1}]}', 413),
        (b'{"rows": [' + b"[" * (MOST_OBJECTS + 1), 413),
        (b'{"rows": [{"a": ' + b"[" * 5_000 + b"]" * 5_000 + b"}]}", 422),
        (b'{"rows": [' + b"[" * 90_000 + b"]" * 90_000 + b"]}", 422),
        (b'{"rows": []}', 422),
        (b'{"rows": [{"%s": 1}]}' % (b"n" * 200), 422),
        (b'{"rows": [{"a": 1e999}]}', 422),
        (b'{"rows": [{"a": NaN}]}', 400),
        (b'{"rows": [{"a": true}]}', 422),
        (b'{"rows": [{"a": "\xff"}]}', 400),
        (b'{"rows": [{"a": 1}], "more": 1}', 422),
        (b"[]", 422),
        (b"", 400),
    ],
)
def test_what_does_not_fit_is_refused_before_it_is_built(guarded: TestClient, body: bytes, status: int) -> None:
    answer = guarded.post("/v1/series/a/observations", content=body, headers=json_header())
    assert answer.status_code == status, answer.text
    assert answer.json()["status"] == status


def test_depth_is_bounded_where_anything_may_stand(guarded: TestClient) -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    for body in (b'{"metadata": {"a": %s}}' % deep, b'{"unknown": %s}' % deep):
        answer = guarded.post("/v1/timeseries/forecast", content=body, headers=json_header())
        assert answer.status_code == 422


@pytest.mark.parametrize("name", ["a%2Fb", "%00", "%0A", "a" * 129, "%C2%85", "%FF", ".", "..", "%7F"])
def test_a_name_that_cannot_stand_in_a_path_is_refused(guarded: TestClient, name: str) -> None:
    body = {"model": "daily", "rows": daily_rows(6)}
    answer = guarded.put(f"/v1/series/{name}", json=body, headers=bearer(SECRET))
    assert answer.status_code in (404, 405, 422)


@pytest.mark.parametrize("name", ["a", "Zürich 7", "日本", "a:b", "x.y~z", "%25"])
def test_a_name_of_words_in_any_language_is_taken(guarded: TestClient, name: str) -> None:
    body = {"model": "daily", "rows": daily_rows(6)}
    answer = guarded.put(f"/v1/series/{name}", json=body, headers=bearer(SECRET))
    assert answer.status_code == 201, answer.text


def test_a_path_and_query_that_are_too_long_are_refused(guarded: TestClient) -> None:
    assert guarded.get("/v1/series?after=" + "a" * 5_000, headers=bearer(SECRET)).status_code == 414


def test_answers_carry_safe_headers_and_errors_tell_no_paths(guarded: TestClient, tmp_path: Path) -> None:
    told = [guarded.get("/v1/series", headers=bearer(SECRET)), guarded.get("/static/..%2f..%2fapp.py")]
    told += [guarded.get(path, headers=bearer(SECRET)) for path in ("/nothing", "/v1/series/x", "/v2/models/x")]
    for answer in told:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "Traceback" not in answer.text
        assert "stepahead/" not in answer.text
        assert str(tmp_path) not in answer.text
    assert [answer.status_code for answer in told] == [200, 404, 404, 404, 404]


def test_a_mistake_of_the_server_tells_nothing_of_itself(app: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("/etc/secret")

    monkeypatch.setattr("stepahead.server.models.Models.describe", broken)
    with TestClient(app, base_url="http://localhost") as client:
        answer = client.get("/v1/models", headers=bearer(SECRET))
    assert (answer.status_code, "secret" in answer.text) == (500, False)


def test_beyond_this_machine_a_token_is_demanded(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "::", "192.168.1.5", "example.org"):
        with pytest.raises(ConfigError, match="a token is needed"):
            read_access(Options(host=host), {})
        assert read_access(Options(host=host), {"STEPAHEAD_TOKEN": SECRET}).token == SECRET.encode()
    for host in ("127.0.0.1", "::1", "localhost", "127.0.0.2"):
        assert is_loopback(host)
        assert read_access(Options(host=host), {}).token is None
    file = tmp_path / "token"
    file.write_text(f"{SECRET}\n")
    assert read_access(Options(token_file=file), {}).token == SECRET.encode()
    for text in ("short", "has a space in it", "", "ü" * 20):
        file.write_text(text)
        with pytest.raises(ConfigError, match="token"):
            read_access(Options(token_file=file), {})


def test_the_name_in_a_host_header_is_read_without_its_port() -> None:
    given = [b"localhost:80", b"[::1]:80", b"[::1]", b"EXAMPLE.org", b"", None, b"localhost.evil.example"]
    assert [host_name(g) for g in given] == ["localhost", "::1", "::1", "example.org", "", "", "localhost.evil.example"]


def test_a_full_queue_is_429_with_retry_after(tmp_path: Path) -> None:
    service = Service.build(models(), open_store(str(tmp_path / "store.db")))
    with TestClient(create_app(service), base_url="http://localhost") as client:
        client.put("/v1/series/a", json={"model": "daily", "rows": daily_rows(6)})
        service.writer.most_jobs = 0
        answer = client.post("/v1/series/a/observations", json={"rows": daily_rows(1, 6)})
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
        service.writer.most_jobs = 10
        service.turnstile.room = 0
        answer = client.put("/v1/series/b", json={"model": "daily", "rows": daily_rows(6)})
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
        assert client.get("/v1/series/a/forecast").json()["rows"] == 6

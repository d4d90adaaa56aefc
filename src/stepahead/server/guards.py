"""Who may ask, and how much.  Every request passes here before any route sees it.

Host and Origin are checked (another site's page must not speak to a server on loopback), then the token, then sizes:
a body is counted while it comes in, and refused before it is kept.
"""

import asyncio
import hmac
import ipaddress
import time
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from starlette.responses import Response

from stepahead.server.problems import Problem, busy

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]

MIB = 1 << 20
LARGE_BODY = 16 * MIB  # a history, a bulk push, a forecast request
SMALL_BODY = MIB
MOST_HELD = 48 * MIB  # bodies of all requests together, while they come in
BODY_SECONDS = 20.0  # a body must be here by then
MOST_REST = 32 * MIB  # bytes of a body too long that are read before it is refused
REST_SECONDS = 3
LONGEST_TARGET = 4_096  # bytes of path and query
MOST_OBJECTS = 110_000  # of one body, counted before it is read: rows and what is around them
MOST_VALUES = 2_500_000
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
SAFE_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
]
PREFLIGHT = {
    "access-control-allow-methods": "GET, PUT, POST, DELETE",
    "access-control-allow-headers": "authorization, content-type, idempotency-key",
    "access-control-max-age": "600",
}


@dataclass(frozen=True)
class Access:
    """Who may ask. token: None where the server is on loopback and none was set.

    hosts: names that the Host header may hold beside the address that was connected to. origins: other sites whose
    pages may ask. open_paths: paths that need no token: the page's own files and the probes.
    """

    token: bytes | None = None
    hosts: frozenset[str] = LOOPBACK
    origins: frozenset[str] = frozenset()
    open_paths: Callable[[str], bool] = field(default=lambda path: False)

    def friend(self, scope: Scope) -> bytes | None:
        """The Origin of a request, where it is another site that may ask."""
        found = None
        for name, value in scope["headers"] if self.origins else ():
            if name == b"origin":
                found = value
        return found if found is not None and found.decode("latin-1") in self.origins else None

    def check(self, scope: Scope, *, token: bool = True) -> None:
        """Raises: Problem 414, 421, 403 or, unless token is False, 401."""
        host = origin = given = None
        for name, value in scope["headers"]:
            if name == b"host":
                host = value
            elif name == b"origin":
                origin = value
            elif name == b"authorization":
                given = value
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > LONGEST_TARGET:
            raise Problem(414, f"the path and query are longer than {LONGEST_TARGET} bytes", closes=True)
        self._check_host(host, scope)
        if origin is not None:
            self._check_origin(origin, host)
        if token and self.token is not None and not self.open_paths(scope["path"]):
            self._check_token(given)

    def _check_host(self, host: bytes | None, scope: Scope) -> None:
        name = host_name(host)
        if name in self.hosts or (scope.get("server") and name == bare_address(scope["server"][0])):
            return
        raise Problem(
            421, "the Host header names another server; start this one with --allow-host to add a name", closes=True
        )

    def _check_origin(self, origin: bytes, host: bytes | None) -> None:
        text = origin.decode("latin-1")
        if text in self.origins:
            return
        own = site_of(text)
        if own is None or host is None or own != host.decode("latin-1").lower():
            raise Problem(
                403,
                "the page that asks is of another site; start the server with --allow-origin to let it",
                closes=True,
            )

    def _check_token(self, given: bytes | None) -> None:
        kind, _, token = (given or b"").partition(b" ")
        if kind.lower() != b"bearer" or not hmac.compare_digest(token.strip(), self.token or b""):
            detail = (
                "a token is needed: send Authorization: Bearer TOKEN" if not given else "the token is not the right one"
            )
            raise Problem(401, detail, headers={"www-authenticate": "Bearer"}, closes=True)


def is_preflight(scope: Scope) -> bool:
    """Whether a browser asks ahead if its page may send a request. It sends no token with that."""
    return scope["method"] == "OPTIONS" and any(n == b"access-control-request-method" for n, _ in scope["headers"])


def site_of(origin: str) -> str | None:
    """The host and port of an Origin, in lower case; None where it is no site's."""
    if not origin.startswith(("http://", "https://")):
        return None
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:  # a bracket without its other, say
        return None


def host_name(host: bytes | None) -> str:
    """The name in a Host header, without its port and in lower case."""
    text = (host or b"").decode("latin-1").lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0]


def bare_address(address: str) -> str:
    """An address without its zone, as a Host header writes it."""
    return address.partition("%")[0].lower()


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server bound to this address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Intake:
    """Reads bodies within bounds. held: bytes of all bodies that are coming in now."""

    def __init__(self, *, most_held: int = MOST_HELD, seconds: float | None = None) -> None:
        self.most_held = most_held
        self.seconds = BODY_SECONDS if seconds is None else seconds
        self.held = 0

    async def read(self, scope: Scope, receive: Callable[[], Any], limit: int) -> bytearray:
        """The body of a request.

        Raises: Problem 415 where it is no JSON; 413 where it is too long, before it is kept; 408 where it comes too
        slowly; 429 where too many come at once; 400 where the client went away.
        """
        more = True

        async def next_part() -> Any:
            nonlocal more
            message = await receive()
            more = message.get("more_body", False)
            return message

        try:
            return await self._read(scope, next_part, limit)
        except Problem as problem:
            if more and problem.status == 413 and all(name != b"expect" for name, _ in scope["headers"]):
                await read_on(receive)
            raise

    async def _read(self, scope: Scope, receive: Callable[[], Any], limit: int) -> bytearray:
        check_kind(scope, limit)
        body = bytearray()
        try:
            async with asyncio.timeout(self.seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Problem(400, "the client went away")
                    chunk = message.get("body", b"")
                    if len(body) + len(chunk) > limit:
                        raise too_large(limit)
                    if self.held + len(chunk) > self.most_held:
                        raise crowded()
                    body += chunk
                    self.held += len(chunk)
                    if not message.get("more_body", False):
                        break
        except TimeoutError as error:
            raise Problem(408, f"the body was not here within {self.seconds:g} seconds", closes=True) from error
        finally:
            self.held -= len(body)
        check_counts(body)
        return body


def check_kind(scope: Scope, limit: int) -> None:
    """Refuse by the headers alone: what is no JSON, what is packed, what is too long."""
    kind = b""
    for name, value in scope["headers"]:
        if name == b"content-length" and (not value.isdigit() or len(value) > 18 or int(value) > limit):
            raise too_large(limit)
        if name == b"content-type":
            kind = value.partition(b";")[0].strip().lower()
        elif name == b"content-encoding" and value.lower() != b"identity":
            raise Problem(415, "Content-Encoding is not understood; send the body as it is", closes=True)
    if kind != b"application/json":
        raise Problem(415, "the body must be application/json", closes=True)


async def read_on(receive: Callable[[], Any]) -> None:
    """Take in the rest of a body, within bounds, and forget it: who is still sending would never see the answer."""
    left = MOST_REST
    with suppress(TimeoutError):
        async with asyncio.timeout(REST_SECONDS):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if not message.get("more_body", False):
                    return


def check_counts(body: bytearray) -> None:
    """Refuse more rows or values than fit, counted in the bytes: nothing is built from them before."""
    if body.count(b"{") > MOST_OBJECTS or body.count(b"[") > MOST_OBJECTS or body.count(b",") > MOST_VALUES:
        raise Problem(
            413, f"the body holds more than {MOST_OBJECTS:,} rows or {MOST_VALUES:,} values; send it in parts"
        )


def crowded() -> Problem:
    return Problem(429, "too many large bodies at once; try again", headers={"retry-after": "1"}, closes=True)


def too_large(limit: int) -> Problem:
    return Problem(413, f"the body is longer than {limit >> 20} MiB; send it in parts", closes=True)


class Guard:
    """The outermost layer: checks access, adds safe headers, speaks CORS, and tells how each request went.

    told: called with (scope, status, seconds).
    """

    def __init__(self, app: Any, access: Access, told: Callable[[Scope, int, float], None]) -> None:
        self.app = app
        self.access = access
        self.told = told

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        started, status = time.perf_counter(), 500
        friend = self.access.friend(scope)

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message["headers"]
                if len(headers) <= 2:  # length and type: an answer with headers of its own is looked at
                    message["headers"] = [*headers, *SAFE_HEADERS]
                else:
                    named = {name for name, _ in headers}
                    message["headers"] = [*headers, *(h for h in SAFE_HEADERS if h[0] not in named)]
                if friend is not None:
                    message["headers"] += [(b"access-control-allow-origin", friend), (b"vary", b"Origin")]
            await send(message)

        try:
            if friend is not None and is_preflight(scope):
                self.access.check(scope, token=False)
                await Response(status_code=204, headers=PREFLIGHT)(scope, receive, sending)
            else:
                self.access.check(scope)
                await self.app(scope, receive, sending)
        except Problem as problem:
            scope["stepahead.refusal"] = problem.detail
            await problem.response()(scope, receive, sending)
        finally:
            self.told(scope, status, time.perf_counter() - started)


class Turnstile:
    """So many at a time, and so many waiting, for work that takes a thread."""

    def __init__(self, inside: int, waiting: int) -> None:
        self.limit = asyncio.Semaphore(inside)
        self.room = inside + waiting
        self.here = 0

    async def run(self, function: Callable[[], Any]) -> Any:
        """The function's result, worked out in a thread. Raises: Problem 429 where too many wait."""
        if self.here >= self.room:
            raise busy("the queue of requests for a forecast")
        self.here += 1
        try:
            async with self.limit:
                return await asyncio.to_thread(function)
        finally:
            self.here -= 1

"""The application: the table of routes on FastAPI, behind the guard.

A route reads its body itself, within bounds, straight into its type: FastAPI's own reading would build everything
twice, and would take most of a push's time.
"""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import compile_path

from stepahead import __version__
from stepahead.errors import StepaheadError
from stepahead.server.guards import Access, Guard, Scope
from stepahead.server.logs import SLOW, Requests
from stepahead.server.models import Models
from stepahead.server.openapi import document
from stepahead.server.problems import Problem
from stepahead.server.routes import ROUTES, Endpoint, is_open
from stepahead.server.service import Call, Service
from stepahead.server.twice import refuse_twice

LOG = logging.getLogger("stepahead.server")
MISTAKE = "a mistake of the server's own; its log says more"
SERIES = "/v1/series/"


class Door(APIRoute):
    """A route that hands the connection to `Desk` as it is."""

    def __init__(self, path: str, endpoint: Any, **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self.app = endpoint.desk


class Desk:
    """Serves one endpoint: read the body, call the handler, answer."""

    def __init__(self, endpoint: Endpoint, service: Service) -> None:
        self.endpoint = endpoint
        self.service = service
        self.name = f"{endpoint.method} {endpoint.path}"
        self.decoder = msgspec.json.Decoder(endpoint.body) if endpoint.body is not None else None

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        scope["stepahead.route"] = self.name
        try:
            response = await self._answer(scope, receive)
        except Problem as problem:
            response = problem.response()
        except StepaheadError as error:
            response = Problem(422, str(error)).response()
        except Exception:
            LOG.exception("a mistake in a route", extra={"route": scope["stepahead.route"]})
            response = Problem(500, MISTAKE).response()
        await response(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Any) -> Response:
        raw: bytes | bytearray = b""
        body = None
        if self.decoder is not None:
            raw = await self.service.intake.read(scope, receive, self.endpoint.limit)
            body = read_json(self.decoder, raw)
            refuse_twice(raw, body)
        return await self.endpoint.handler(self.service, Call(scope, scope["path_params"], body, raw))


class Shortcut:
    """Straight to the routes of a series that are asked most; the router would try a score of patterns first.

    app: serves all others. desks: by (method, what follows the series' name).
    """

    def __init__(self, app: FastAPI, desks: Mapping[tuple[str, str], Desk]) -> None:
        self.app = app
        self.desks = desks

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"].startswith(SERIES):
            name, _, rest = scope["path"][len(SERIES) :].partition("/")
            desk = self.desks.get((scope["method"], rest))
            if desk is not None and name:
                scope["path_params"] = {"id": name}
                await desk(scope, receive, send)
                return
        await self.app(scope, receive, send)


def read_json(decoder: Any, raw: bytes | bytearray) -> Any:
    """JSON as its type. Raises: Problem 400 for no JSON, 422 for what does not fit the type."""
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise Problem(422, str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem(400, f"the body is not JSON: {error}") from error
    except RecursionError as error:
        raise Problem(422, "the body is nested too deeply") from error


def create_app(service: Service, access: Access | None = None, *, access_log: bool = False) -> Guard:
    """The whole application, for uvicorn or a test.

    service: its parts. access: who may ask; on loopback without a token if absent. access_log: whether every request
    is logged.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await service.start()
        yield
        await service.stop()

    app = FastAPI(
        title="stepahead", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None
    )
    app.router.redirect_slashes = False
    desks = [Desk(endpoint, service) for endpoint in (*ROUTES, openapi_endpoint(service.models))]
    for desk in desks:
        path, method = desk.endpoint.path, desk.endpoint.method
        app.router.add_api_route(path, stub(desk), methods=[method], route_class_override=Door)
    often = {(d.endpoint.method, d.endpoint.path.removeprefix(SERIES + "{id}/")): d for d in desks if d.endpoint.often}
    app.add_exception_handler(HTTPException, on_http_error)
    access = access or Access(open_paths=is_open)
    requests = Requests(every=access_log)

    def told(scope: Scope, status: int, seconds: float) -> None:
        """Count a request, and log it where it went wrong or took long."""
        route = scope.get("stepahead.route", "other")
        if not route.endswith("/events"):  # they last as long as someone watches
            service.metrics.request(route, status, seconds)
            if status < 400 and seconds <= SLOW and not access_log:
                return
        elif not access_log:
            return
        requests.told(scope, status, seconds)

    return Guard(Shortcut(app, often), access, told)


def stub(desk: Desk) -> Any:
    """What FastAPI registers; it never runs, its desk does."""

    async def endpoint(request: Request) -> Response:
        raise NotImplementedError

    endpoint.desk = desk  # type: ignore[attr-defined]
    return endpoint


def openapi_endpoint(models: Models) -> Endpoint:
    """The OpenAPI document; not part of itself."""
    content = msgspec.json.encode(document(ROUTES, models))

    async def openapi(service: Service, call: Call) -> Response:
        return Response(content, media_type="application/json")

    return Endpoint("GET", "/openapi.json", openapi, "token", dict, tag="health")


async def on_http_error(request: Request, error: Exception) -> Response:
    """What the router itself refuses: no such path, or not with this method."""
    assert isinstance(error, HTTPException)
    detail = {404: "there is nothing at this path", 405: "this path is not asked with this method"}
    headers = {"allow": allowed(request.url.path)} if error.status_code == 405 else error.headers
    return Problem(error.status_code, detail.get(error.status_code, "refused"), headers=headers).response()


def allowed(path: str) -> str:
    """The methods that a path is asked with: all of them, where the router names only its first route's."""
    methods = {e.method for e in ROUTES if compile_path(e.path)[0].match(path)}
    return ", ".join(sorted(methods | ({"GET"} if path == "/openapi.json" else set())))

"""Every route of the service in one table: how it is asked, who may ask, what it answers.

The table is what the application is built from, what the OpenAPI document is written from, and what a test walks.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from stepahead.server import forecast_routes, health_routes, page_routes, schema, series_routes, symbol_routes
from stepahead.server.guards import LARGE_BODY, SMALL_BODY

Handler = Callable[[Any, Any], Awaitable[Response]]
OPEN, TOKEN = "open", "token"  # open: no token asked; Host and Origin are checked all the same


@dataclass(frozen=True)
class Endpoint:
    """A route. guard: OPEN or TOKEN. body: the type of the request's JSON, None for none; limit: its bytes at most.

    answer: type of the answer's JSON, or a media type. status: those that it answers with when all is well. errors:
    those beside the ones that every route may answer with. queries: (name, schema, description). often: whether it is
    asked so often that the router is passed by.
    """

    method: str
    path: str
    handler: Handler
    guard: str
    answer: Any
    body: Any = None
    limit: int = 0
    status: tuple[int, ...] = (200,)
    errors: tuple[int, ...] = ()
    queries: tuple[tuple[str, dict[str, Any], str], ...] = ()
    headers: tuple[tuple[str, dict[str, Any], str], ...] = ()
    tag: str = ""
    often: bool = False


WHOLE = {"type": "integer", "minimum": 0}
KEY = (
    "Idempotency-Key",
    {"type": "string", "pattern": "^[\\x21-\\x7e]{1,128}$"},
    "The same key and body again is the same request.",
)
SYMBOLS = "/v1/symbols/{model}"
SERIES = "/v1/series/{id}"

# fmt: off
ROUTES: tuple[Endpoint, ...] = (
    Endpoint("GET", "/", page_routes.page, OPEN, "text/html", errors=(404,), tag="page"),
    Endpoint("GET", "/static/{file:path}", page_routes.static, OPEN, "*/*", errors=(404,), tag="page"),
    Endpoint("GET", "/v2", health_routes.server, TOKEN, dict, tag="health"),
    Endpoint("GET", "/v2/health/live", health_routes.live, OPEN, dict, tag="health"),
    Endpoint("GET", "/v2/health/ready", health_routes.ready, OPEN, dict, tag="health"),
    Endpoint("GET", "/v2/models/{model}", health_routes.model_metadata, TOKEN, dict, errors=(404,), tag="health"),
    Endpoint("GET", "/v2/models/{model}/ready", health_routes.model_ready, TOKEN, dict, errors=(404,), tag="health"),
    Endpoint("GET", "/metrics", health_routes.metrics, TOKEN, "text/plain", tag="health"),
    Endpoint("GET", "/v1/models", health_routes.list_models, TOKEN, list[schema.Model], tag="health"),
    Endpoint("GET", "/v1/timeseries/models", forecast_routes.list_forecasters, TOKEN, list[str], tag="forecast"),
    Endpoint("POST", "/v1/timeseries/forecast", forecast_routes.forecast, TOKEN, schema.ForecastResponse,
             schema.ForecastRequest, LARGE_BODY, errors=(404,), tag="forecast"),
    Endpoint("GET", "/v1/series", series_routes.list_series, TOKEN, schema.SeriesList, tag="series",
             queries=(("after", {"type": "string"}, "Names that come after this one."),
                      ("limit", WHOLE | {"maximum": 1000}, "So many at most [100]."))),
    Endpoint("POST", "/v1/series:push", series_routes.push_bulk, TOKEN, schema.Pushed, schema.Bulk, LARGE_BODY,
             errors=(404, 409), tag="series", headers=(KEY,)),
    Endpoint("PUT", SERIES, series_routes.put_series, TOKEN, schema.Forecasted, schema.WarmUp, LARGE_BODY,
             status=(200, 201), errors=(404, 409), tag="series"),
    Endpoint("GET", SERIES, series_routes.get_series, TOKEN, schema.Series, errors=(404, 409), tag="series",
             queries=(("rows", WHOLE | {"maximum": 10000}, "So many of the last rows [500]."),)),
    Endpoint("DELETE", SERIES, series_routes.delete_series, TOKEN, None, status=(204,), errors=(404,), tag="series"),
    Endpoint("POST", SERIES + "/observations", series_routes.push, TOKEN, schema.Forecasted, schema.Observations,
             LARGE_BODY, errors=(404, 409), tag="series", headers=(KEY,), often=True),
    Endpoint("GET", SERIES + "/forecast", series_routes.get_forecast, TOKEN, schema.Forecasted, errors=(404, 409),
             tag="series", often=True),
    Endpoint("GET", SERIES + "/events", series_routes.follow, TOKEN, "text/event-stream", errors=(404, 409),
             tag="series"),
    Endpoint("POST", SYMBOLS + "/next", symbol_routes.next_symbols, TOKEN, schema.NextSymbols, schema.Prefix,
             SMALL_BODY, errors=(404,), tag="symbols"),
    Endpoint("POST", SYMBOLS + "/complete", symbol_routes.complete, TOKEN, schema.Completed, schema.Completion,
             SMALL_BODY, errors=(404,), tag="symbols"),
    Endpoint("POST", SYMBOLS + "/score", symbol_routes.score, TOKEN, schema.Scored, schema.Sequence, SMALL_BODY,
             errors=(404,), tag="symbols"),
)
# fmt: on


def is_open(path: str) -> bool:
    """Whether a path needs no token. What is not said to be open is not."""
    return path in OPEN_PATHS or path.startswith("/static/")


OPEN_PATHS = frozenset(e.path for e in ROUTES if e.guard == OPEN and "{" not in e.path)

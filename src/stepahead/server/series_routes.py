"""Series: begin, push, read, follow, end.  Each route: one job for the writer, or one reading."""

import asyncio
import hashlib
import re
from collections.abc import Sequence
from typing import Any

from msgspec import UNSET
from starlette.responses import Response, StreamingResponse

from stepahead.server.events import stream_of
from stepahead.server.jobs import Create, Delete, Look, Push, PushMany
from stepahead.server.models import Served
from stepahead.server.problems import Problem, encode
from stepahead.server.rows import History, learned_history, read_history, rows_of_columns
from stepahead.server.schema import NAME
from stepahead.server.service import Call, Service
from stepahead.server.store import Line
from stepahead.server.times import as_text, shown
from stepahead.server.views import View, bulk_json

JSON = "application/json"
NAMED = re.compile(NAME)
KEY = re.compile(r"^[\x21-\x7e]{1,128}$")
MOST_LISTED = 1_000
LAST_ROWS, MOST_LAST = 500, 10_000
MANY = 5_000  # rows from which a request is taken apart beside the event loop


async def put_series(service: Service, call: Call) -> Response:
    """Warm a series up; the same request again changes nothing."""
    name, body = named(call.path["id"]), call.body
    served = service.models.forecaster(body.model)
    digest = hashlib.sha256(call.raw).digest()
    history, stream = await service.turnstile.run(lambda: warm_up(served, name, body))
    answer = await service.ask(Create(name, served.name, stream, history, digest))
    return Response(answer.view.json(), 201 if answer.created else 200, media_type=JSON)


def warm_up(served: Served, name: str, body: Any) -> tuple[History, Any]:
    """A Stream that has seen the history in the request, or the rows that the model learned from."""
    level: Sequence[float] | str = "auto" if body.level is UNSET else body.level
    if body.rows is not UNSET and body.columns is not UNSET:
        raise Problem(422, "give rows or columns, not both")
    if body.rows is UNSET and body.columns is UNSET:
        history = learned_history(served.reader, learned_panel(served, body), name)
    else:
        rows = body.rows if body.columns is UNSET else rows_of_columns(body.columns)
        history = read_history(served.reader, rows, name)
    return history, served.begin(history.panel, level)


def learned_panel(served: Served, body: Any) -> Any:
    """The rows of one of the series that the model learned from."""
    panel = served.forecaster.panel_
    name = body.learned if body.learned is not UNSET else panel.ids[0] if panel.n_series == 1 else None
    if name not in panel.ids:
        found = "no history was given" if name is None else f"{shown(name)} is none of them"
        raise Problem(422, f"{found}; give rows, columns, or learned: one of the series that the model learned from")
    return panel.select([str(name)])


async def push(service: Service, call: Call) -> Response:
    """Take rows in; the answer comes when they are on disk."""
    name, body = named(call.path["id"]), call.body
    key, digest = key_of(call)
    answer = await service.ask(Push(name, body.rows, key, digest, None if body.future is UNSET else body.future))
    return Response(answer.body or answer.view.json(answer.repeated), media_type=JSON)


def key_of(call: Call) -> tuple[str | None, bytes]:
    """A request's idempotency key and the digest that tells it from others. Raises: Problem 422."""
    key = call.header(b"idempotency-key")
    if key is None:
        return None, b""
    if not KEY.match(key):
        raise Problem(422, "Idempotency-Key: must be 1 to 128 visible ASCII characters")
    return key, hashlib.sha256(call.raw).digest()


async def push_bulk(service: Service, call: Call) -> Response:
    """Rows of many series in one transaction: all or none."""
    body = call.body
    key, digest = key_of(call)
    if (body.rows is UNSET) == (body.columns is UNSET):
        raise Problem(422, "give rows or columns: one of the two")
    rows = body.rows if body.columns is UNSET else rows_of_columns(body.columns)
    # Reading JSON holds Python's lock and gains nothing from a thread; this does.
    grouped = by_series(rows) if len(rows) < MANY else await asyncio.to_thread(by_series, rows)
    answer = await service.ask(PushMany(grouped, body.forecast, key, digest))
    views = answer.views if body.forecast else None
    content = answer.body or bulk_json(len(grouped), answer.taken, answer.repeated, views)
    return Response(content, media_type=JSON)


def by_series(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Rows with their "series" taken out, by it."""
    found: dict[str, list[Any]] = {}
    for row in rows:
        name = row.pop("series", None)
        there = found.get(name)
        if there is not None:
            there.append(row)
        elif not isinstance(name, str):
            raise Problem(422, f'rows: each needs a "series", a name; found {shown(name)}')
        else:
            found[named(name)] = [row]
    return found


async def get_forecast(service: Service, call: Call) -> Response:
    """The present forecast, from memory where the series is in it."""
    view = service.views.get(call.path["id"])
    if view is None:
        view = await service.ask(Look(named(call.path["id"])))
    return Response(view.json(), media_type=JSON)


async def get_series(service: Service, call: Call) -> Response:
    """A series with its last rows and what the network shows."""
    most = call.number("rows", LAST_ROWS, MOST_LAST)
    view: View = await service.ask(Look(named(call.path["id"]), inside=True))
    rows = await service.read(lambda store: store.last(view.number, most))
    schema = view.reader.schema
    answer = view.standing() | {
        "time": schema.time,
        "target": schema.target,
        "columns": list(view.reader.columns),
        "level": list(view.level),
        "last": [view.reader.record(time, packed) for time, packed in rows if time <= view.cutoff],
        "hidden": view.hidden,
    }
    del answer["repeated"]
    return Response(encode(answer), media_type=JSON)


async def list_series(service: Service, call: Call) -> Response:
    """Series by name, a page at a time."""
    after, most = call.query().get("after", ""), call.number("limit", 100, MOST_LISTED)
    if after and not NAMED.match(after):
        raise Problem(422, f"after={shown(after)}: is not the name of a series")
    lines = await service.read(lambda store: store.lines(after, most + 1))
    listed = [
        {
            "series": line.name,
            "model": line.model,
            "cutoff": shown_cutoff(service, line),
            "rows": line.rows,
        }
        for line in lines[:most]
    ]
    more = lines[most - 1].name if len(lines) > most > 0 else None
    return Response(encode({"series": listed, "next": more}), media_type=JSON)


def shown_cutoff(service: Service, line: Line) -> str | int | None:
    """The time of a series' last row; null where its model file is not served: nobody knows what it means then."""
    served = service.models.forecasters.get(line.model)
    return None if served is None or served.mark != line.mark else as_text(line.cutoff, served.reader.schema)


async def follow(service: Service, call: Call) -> Response:
    """Server-sent events: the state, then each row as it is committed."""
    name = named(call.path["id"])
    queue = service.hub.join(name)
    try:
        view: View = await service.ask(Look(name, inside=True))
    except BaseException:
        service.hub.leave(name, queue)
        raise
    first = encode(view.standing() | {"hidden": view.hidden})
    events = stream_of(service.hub, name, queue, first)
    return StreamingResponse(events, media_type="text/event-stream", headers={"x-accel-buffering": "no"})


async def delete_series(service: Service, call: Call) -> Response:
    """Forget a series."""
    await service.ask(Delete(named(call.path["id"])))
    return Response(status_code=204)


def named(name: str) -> str:
    """The name of a series. Raises: Problem 422 for one that cannot stand in a path."""
    if not NAMED.match(name):
        raise Problem(422, f"series: {shown(name)} is no name; use 1 to 128 characters without a slash or a control")
    return name

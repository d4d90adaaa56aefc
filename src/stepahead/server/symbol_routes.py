"""Symbols: what comes next, how it goes on, how surprising it was."""

import math

from starlette.responses import Response

from stepahead.server.problems import encode
from stepahead.server.service import Call, Service

JSON = "application/json"
HIDDEN_SHOWN = 256  # symbols of a prefix whose hidden units are shown, the last ones


async def next_symbols(service: Service, call: Call) -> Response:
    """The likeliest next symbols, and the hidden units after each symbol of the prefix."""
    model, body = service.models.symbol_model(call.path["model"]), call.body

    def work() -> tuple[list[tuple[str, float]], list[list[float]]]:
        likely = model.next(body.prefix, int(body.k), times=body.times)
        if not len(body.prefix):
            return likely, []
        hidden = model.hidden_states(body.prefix)[-HIDDEN_SHOWN:]
        return likely, hidden.astype(float).round(4).tolist()

    likely, hidden = await service.turnstile.run(work)
    answer = {"next": [{"symbol": symbol, "p": p} for symbol, p in likely], "hidden": hidden}
    return Response(encode(answer), media_type=JSON)


async def complete(service: Service, call: Call) -> Response:
    """The prefix and what follows."""
    model, body = service.models.symbol_model(call.path["model"]), call.body
    options = {
        "temperature": body.temperature,
        "top_k": None if body.top_k is None else int(body.top_k),
        "top_p": body.top_p,
        "seed": int(body.seed),
        "times": body.times,
    }
    text = await service.turnstile.run(lambda: model.complete(body.prefix, int(body.length), **options))
    return Response(encode({"text": text}), media_type=JSON)


async def score(service: Service, call: Call) -> Response:
    """The surprise of each symbol in bits."""
    model, body = service.models.symbol_model(call.path["model"]), call.body
    found = await service.turnstile.run(lambda: model.score(body.sequence, times=body.times))
    bits = [None if math.isnan(value) else float(value) for value in found.bits]
    return Response(encode({"symbols": found.symbols, "bits": bits, "total": found.total}), media_type=JSON)

"""Open Inference Protocol (v2): whether the server lives, and what its models take; the models' list; and the metrics.

Source: https://github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md
"""

import asyncio
from time import monotonic
from typing import Any

from starlette.responses import Response

from stepahead import __version__
from stepahead.server.metrics import CONTENT
from stepahead.server.models import Models
from stepahead.server.problems import Problem, encode
from stepahead.server.service import Call, Service

JSON = "application/json"
AGAIN = 30  # seconds after which a store that failed may be tried again
LIVE = encode({"live": True})


async def live(service: Service, call: Call) -> Response:
    """The process answers."""
    return Response(LIVE, media_type=JSON)


async def ready(service: Service, call: Call) -> Response:
    """It takes requests: 503 while it closes, and for a while after the store failed, unless it has answered since."""
    failed_at = service.sessions.failed_at
    if failed_at is not None and monotonic() - failed_at < AGAIN:  # who stays away for good would never see it mended
        raise Problem(503, "the store fails", headers={"retry-after": "5"})
    if service.writer.closing:
        raise Problem(503, "the server is not ready", headers={"retry-after": "5"})
    return Response(encode({"ready": True}), media_type=JSON)


async def server(service: Service, call: Call) -> Response:
    """Name and version of the server."""
    return Response(encode({"name": "stepahead", "version": __version__, "extensions": []}), media_type=JSON)


async def list_models(service: Service, call: Call) -> Response:
    """The models, with the columns that each takes."""
    return Response(encode(service.models.describe()), media_type=JSON)


async def model_metadata(service: Service, call: Call) -> Response:
    """What a model takes and gives."""
    return Response(encode(metadata(service.models, call.path["model"])), media_type=JSON)


async def model_ready(service: Service, call: Call) -> Response:
    """A model that is served is ready."""
    name = call.path["model"]
    metadata(service.models, name)
    return Response(encode({"name": name, "ready": True}), media_type=JSON)


async def metrics(service: Service, call: Call) -> Response:
    """Counters for Prometheus."""
    text = await asyncio.to_thread(service.metrics.text)  # looks at every series in memory
    return Response(text, headers={"content-type": CONTENT})


def metadata(models: Models, name: str) -> dict[str, Any]:
    """The protocol's metadata of a model. Raises: Problem 404."""
    if name in models.symbols:
        k = len(models.symbols[name].vocabulary_.symbols)
        inputs = [tensor("prefix", "BYTES", [-1])]
        outputs = [tensor("probabilities", "FP64", [k])]
    else:
        served = models.forecaster(name)
        schema, config = served.reader.schema, served.forecaster.config_
        inputs = [tensor("past", "FP64", [-1, len(schema.past)])]
        if schema.future:
            inputs.append(tensor("future", "FP64", [-1, len(schema.future)]))
        outputs = [tensor("mean_forecast", "FP64", [config.horizon])]
    return {"name": name, "versions": [__version__], "platform": "stepahead", "inputs": inputs, "outputs": outputs}


def tensor(name: str, datatype: str, shape: list[int]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape}

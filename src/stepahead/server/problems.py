"""What a client is told when something is wrong: problem+json (RFC 9457).  An error -> one answer, without paths."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.responses import Response

MEDIA = "application/problem+json"


class Problem(Exception):
    """A request that cannot be served as it is.

    status: of the answer. detail: one line: what, where, found, remedy. headers: more for the answer. closes: whether
    the connection ends with it, as it must where the body was not read.
    """

    def __init__(
        self, status: int, detail: str, *, headers: Mapping[str, str] | None = None, closes: bool = False
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {}) | ({"connection": "close"} if closes else {})

    def response(self) -> Response:
        """The answer that says so."""
        return Response(encode(self.body()), self.status, self.headers, MEDIA)

    def body(self) -> dict[str, Any]:
        """Type, title, status and detail."""
        title = HTTPStatus(self.status).phrase
        return {"type": "about:blank", "title": title, "status": self.status, "detail": self.detail}


def busy(what: str) -> Problem:
    """429: a queue is full; the client may come again in a second."""
    return Problem(429, f"{what} is full; try again in a second", headers={"retry-after": "1"})


encode = msgspec.json.Encoder().encode

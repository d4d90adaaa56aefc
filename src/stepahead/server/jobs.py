"""What is asked of the writer.  One job a request; the writer answers each with a value or a Problem."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from stepahead.server.rows import History
from stepahead.server.schema import Row


@dataclass(eq=False)
class Job:
    """future: where the answer goes, None where nobody waits. weight: how many rows it brings."""

    future: "asyncio.Future[Any] | None" = field(default=None, kw_only=True)

    @property
    def weight(self) -> int:
        return 1


@dataclass(eq=False)
class Look(Job):
    """Read where a series stands, taking it into memory. inside: with the hidden units."""

    series: str
    inside: bool = False


@dataclass(eq=False)
class Push(Job):
    """New rows of one series, all or none.

    key, digest: of the request, where it can be told from another. ahead: the known inputs of the steps after them.
    """

    series: str
    rows: list[Row]
    key: str | None = None
    digest: bytes = b""
    ahead: list[Row] | None = None

    @property
    def weight(self) -> int:
        return len(self.rows)


@dataclass(eq=False)
class PushMany(Job):
    """New rows of many series, all or none.

    forecast: whether the answer is to hold where each stands then. key, digest: as of a Push.
    """

    rows: dict[str, list[Row]]
    forecast: bool = False
    key: str | None = None
    digest: bytes = b""

    @property
    def weight(self) -> int:
        return sum(map(len, self.rows.values()))


@dataclass(eq=False)
class Create(Job):
    """Begin a series with a Stream that is warmed up. history: its rows, to be kept. digest: of the request."""

    series: str
    model: str
    stream: Any
    history: History
    digest: bytes

    @property
    def weight(self) -> int:
        return len(self.history.times)


@dataclass(eq=False)
class Delete(Job):
    """Forget a series and everything of it."""

    series: str

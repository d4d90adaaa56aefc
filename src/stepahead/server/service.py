"""What the routes work with: the models, the writer, a reader, the watchers.  Made once, passed to every route."""

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from stepahead.server.events import Hub
from stepahead.server.guards import Intake, Scope, Turnstile
from stepahead.server.jobs import Job
from stepahead.server.metrics import Metrics
from stepahead.server.models import Models
from stepahead.server.problems import Problem
from stepahead.server.sessions import Sessions
from stepahead.server.store import Store, StoreFailed
from stepahead.server.views import View
from stepahead.server.writer import Writer

AT_ONCE = 2  # forecasts and warm-ups that are worked out at the same time
WAITING = 64


@dataclass
class Service:
    """All parts of a running server."""

    models: Models
    sessions: Sessions
    writer: Writer
    hub: Hub
    metrics: Metrics
    intake: Intake
    store: Store
    turnstile: Turnstile = field(default_factory=lambda: Turnstile(AT_ONCE, WAITING))
    reading: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "reader"))
    started: float = field(default_factory=time.time)

    @classmethod
    def build(cls, models: Models, store: Store, **options: Any) -> "Service":
        """Parts that know one another. options: of Sessions."""
        hub, metrics = Hub(), Metrics()
        sessions = Sessions(models, store, watched=hub.watched, **options)
        writer = Writer(sessions, told=hub.publish, timed=metrics.batch)
        metrics.watch(sessions.live, lambda: len(writer.jobs), lambda: hub.watchers)
        return cls(models, sessions, writer, hub, metrics, Intake(), store.reader())

    @property
    def views(self) -> dict[str, View]:
        return self.sessions.views

    async def ask(self, job: Job) -> Any:
        """What the writer makes of a job."""
        return await self.writer.ask(job)

    async def read(self, query: Callable[[Store], Any]) -> Any:
        """Something from the store, read beside the writer. Raises: Problem 503 where it does not answer."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self.reading, query, self.store)
        except StoreFailed as failure:
            raise Problem(503, "the store does not answer; try again", headers={"retry-after": "1"}) from failure

    async def start(self) -> None:
        self.writer.start()

    async def stop(self) -> None:
        """Answer what waits, keep the states, close."""
        self.hub.close()
        await self.writer.stop()
        self.reading.shutdown()
        self.store.close()


@dataclass(frozen=True)
class Call:
    """One request, read and checked. path: parts of the path by name. body: as the route's type. raw: its bytes."""

    scope: Scope
    path: Mapping[str, str]
    body: Any = None
    raw: bytes | bytearray = b""

    def query(self) -> dict[str, str]:
        """The query's names and values. Raises: Problem 422 where it gives a name twice."""
        pairs = parse_qsl(self.scope["query_string"].decode("latin-1"), keep_blank_values=True)
        names = [name for name, _ in pairs]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise Problem(422, f"the query gives '{twice:.40}' twice; give it once")
        return dict(pairs)

    def header(self, name: bytes) -> str | None:
        return next((value.decode("latin-1") for key, value in self.scope["headers"] if key == name), None)

    def number(self, name: str, default: int, most: int) -> int:
        """A whole number of the query. Raises: Problem 422 where it is none, or out of bounds."""
        text = self.query().get(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) <= most):
            raise Problem(422, f"{name}={text!r:.40}: must be a whole number from 0 to {most}")
        return int(text)

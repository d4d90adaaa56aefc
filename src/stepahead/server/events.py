"""Server-sent events: who follows which series.  Events of a batch -> the queues of those who watch."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator

from stepahead.server.problems import busy
from stepahead.server.work import Outcome

HEARTBEAT = 15.0  # seconds between signs of life where nothing happens
BEHIND = 256  # events that a slow watcher may be behind before it is let go
MOST_WATCHERS = 1_000


class Hub:
    """The watchers of all series. Everything but `watched` belongs to the event loop."""

    def __init__(self) -> None:
        self.queues: dict[str, set[asyncio.Queue[bytes | None]]] = defaultdict(set)
        self.watchers = 0
        self.closing = False

    def watched(self, series: str) -> bool:
        """Whether anyone follows a series; asked by the writer."""
        return series in self.queues

    def publish(self, outcome: Outcome) -> None:
        """Hand the events of a batch on."""
        for series, data in outcome.events:
            for queue in list(self.queues.get(series, ())):
                self._put(series, queue, b"event: observation\ndata: " + data + b"\n\n")
        for series in outcome.ended:
            for queue in list(self.queues.get(series, ())):
                self._put(series, queue, b"event: deleted\ndata: {}\n\n")
                self._put(series, queue, None)

    def close(self) -> None:
        """The server closes: every stream of events ends."""
        self.closing = True
        for series in list(self.queues):
            for queue in list(self.queues[series]):
                self._put(series, queue, None)

    def join(self, series: str) -> "asyncio.Queue[bytes | None]":
        """Begin to follow. Raises: Problem 429 where too many do."""
        if self.watchers >= MOST_WATCHERS or self.closing:
            raise busy("the list of watchers")
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(BEHIND + 2)
        self.queues[series].add(queue)
        self.watchers += 1
        return queue

    def leave(self, series: str, queue: "asyncio.Queue[bytes | None]") -> None:
        """End it."""
        queues = self.queues.get(series, set())
        if queue in queues:
            queues.discard(queue)
            self.watchers -= 1
            if not queues:
                del self.queues[series]

    def _put(self, series: str, queue: "asyncio.Queue[bytes | None]", data: bytes | None) -> None:
        if data is not None and queue.qsize() < BEHIND:
            queue.put_nowait(data)
            return
        self.leave(series, queue)  # it is behind too far, or at its end
        queue.put_nowait(None)


async def stream_of(hub: Hub, series: str, queue: "asyncio.Queue[bytes | None]", first: bytes) -> AsyncIterator[bytes]:
    """What a watcher receives: the state first, then each row, and a comment where nothing happens."""
    try:
        yield b"retry: 1000\nevent: state\ndata: " + first + b"\n\n"
        while True:
            try:
                data = await asyncio.wait_for(queue.get(), HEARTBEAT)
            except TimeoutError:
                data = b": here\n\n"
            if data is None:
                return
            yield data
    finally:
        hub.leave(series, queue)

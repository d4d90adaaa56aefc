"""uvicorn's protocol with patience that ends: for headers that trickle in, answers that nobody reads, too many at once.

uvicorn bounds the pause between requests, not the time that a request's head takes. One sweep a second looks at all
connections; nothing is set or cancelled per request.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS = 10.0  # a request's line and headers must be here by then
STALLED_SECONDS = 20.0  # an answer that is not read for so long is dropped
IDLE_SECONDS = 75.0  # between requests of a connection
LONGEST_HEAD = 32_768  # bytes of a request's line and headers
HEAD_ENDS = b"\r\n\r\n"
MOST_CONNECTIONS = 4_096
REFUSED = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class PatientProtocol(HttpToolsProtocol):
    """A connection.

    waiting: since when it is idle. began: since when a head is coming in; head: its bytes so far; tail: the last of
    them, where its end may have begun. stalled: since when the client has not read.
    """

    waiting: float | None = None
    began: float | None = None
    stalled: float | None = None
    head: int = 0
    tail: bytes = b""
    in_head = True

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.began = self.loop.time()
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        if self.in_head:
            if self.head == 0:
                self.began = self.loop.time()
            room = LONGEST_HEAD - self.head
            self.head += len(data)
            # What lies behind the head's end is a body, which is bounded elsewhere.
            if len(data) > room and HEAD_ENDS not in self.tail + data[:room]:
                self._refuse()
                return
        super().data_received(data)
        if self.in_head and self.head:  # still not whole
            self.tail = (self.tail + data)[1 - len(HEAD_ENDS) :]
            if self.head > LONGEST_HEAD:
                self._refuse()

    def on_headers_complete(self) -> None:
        self.in_head, self.head, self.tail, self.began, self.waiting = False, 0, b"", None, None
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self.in_head, self.waiting = True, self.loop.time()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.stalled = self.loop.time()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.stalled = None

    def _refuse(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(REFUSED)
            self.transport.close()

    def sweep(self, now: float) -> None:
        """End this connection where its patience is over."""
        answering = self.cycle is not None and not self.cycle.response_complete
        unread = self.stalled is not None and now - self.stalled > STALLED_SECONDS
        headless = self.began is not None and now - self.began > HEAD_SECONDS
        idle = not answering and self.waiting is not None and now - self.waiting > IDLE_SECONDS
        if unread or headless:
            self.transport.abort()
        elif idle:
            self.transport.close()


async def sweep_forever(connections: set[Any]) -> None:
    """Look at every connection once a second."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(1.0)
        now = loop.time()
        for connection in list(connections):
            connection.sweep(now)

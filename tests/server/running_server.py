"""`stepahead serve` as a process of its own, for the tests that kill it, flood it, or look at it from outside."""

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from server_models import files

RUN = "from stepahead.cli import main; main()"


class Running:
    """A server that listens. url: host and port; lines: what it logged before."""

    def __init__(self, store: str, *options: str, wrapper: tuple[str, ...] = (), run: str = RUN) -> None:
        command = [*wrapper, sys.executable, "-c", run, "serve", *map(str, files()), "--store", store, "--port", "0"]
        self.process = subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True)
        self.port = self._port()

    def _port(self) -> int:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if '"listening"' in line:
                return int(json.loads(line)["url"].rstrip("/").split(":")[-1])
        raise AssertionError(f"the server did not start: {self.process.wait()}")

    def connect(self, timeout: float = 30) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Status and JSON of one request on a connection of its own."""
        connection = self.connect()
        try:
            return ask_on(connection, method, path, body, **headers)
        finally:
            connection.close()

    def kill(self) -> None:
        """-9: nothing of the process runs any more."""
        self.process.kill()
        self.process.wait(30)
        self._close()

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(30)
        finally:
            self._close()

    def memory(self) -> float:
        """Resident memory in MiB."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGESIZE") / 2**20

    def _close(self) -> None:
        assert self.process.stderr is not None
        self.process.stderr.close()


def ask_on(
    connection: http.client.HTTPConnection, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, Any]:
    content = None if body is None else json.dumps(body)
    connection.request(method, path, content, {"content-type": "application/json"} | headers)
    answer = connection.getresponse()
    text = answer.read()
    return answer.status, json.loads(text) if text[:1] in b"{[" and text else text


@contextmanager
def running(store: str, *options: str, run: str = RUN) -> Iterator[Running]:
    """A server for the length of a block."""
    server = Running(store, *options, run=run)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait(30)
        if server.process.stderr is not None:
            server.process.stderr.close()

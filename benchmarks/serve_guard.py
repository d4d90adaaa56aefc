"""Claim: with 1,000 slow connections open, health answers within twice its time; a chunked body of 10 GB is refused
while memory grows by less than 64 MB.

    python benchmarks/serve_guard.py                 needs slowhttptest (tools/install-debian.sh load)

slowhttptest holds connections that send their heads (-H), their bodies (-B), or read their answers (-X) a little at a
time. Health is asked for over one connection kept open, 5,000 times without them and 5,000 times with them.
"""

import http.client
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from serve import resident, start, train

KINDS = {"heads": ["-H"], "bodies": ["-B"], "readers": ["-X"]}
SLOW = 1_000
ASKED = 5_000
GIB = 1 << 30


def main() -> None:
    if shutil.which("slowhttptest") is None:
        sys.exit("slowhttptest is not installed; tools/install-debian.sh load installs it")
    with tempfile.TemporaryDirectory() as folder:
        train(Path(folder) / "wave.safetensors")
        process, port = start(Path(folder), str(Path(folder) / "live.db"))
        try:
            health(port)  # warm
            for kind, flags in KINDS.items():
                compare(port, kind, flags)
            flood(port, process.pid)
        finally:
            process.terminate()
            process.wait(timeout=60)


def compare(port: int, kind: str, flags: list[str]) -> None:
    """Health without and with slow connections of one kind."""
    alone = health(port)
    path = "/v1/series:push" if kind == "bodies" else "/static/uPlot.iife.min.js"
    command = ["slowhttptest", *flags, "-c", str(SLOW), "-r", "500", "-i", "5", "-l", "20", "-p", "3"]
    slow = subprocess.Popen([*command, "-u", f"http://127.0.0.1:{port}{path}"], stdout=subprocess.PIPE)
    time.sleep(4)  # by now all are open
    beside = health(port)
    slow.wait(timeout=120)
    print(f"{kind:8} health alone {told(alone)}   with {SLOW:,} slow {told(beside)}", flush=True)


def health(port: int) -> list[float]:
    """Milliseconds of each answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    found = []
    for _ in range(ASKED):
        began = time.perf_counter()
        connection.request("GET", "/v2/health/live")
        answer = connection.getresponse()
        assert answer.status == 200
        answer.read()
        found.append(1000 * (time.perf_counter() - began))
    return found


def told(times: list[float]) -> str:
    return f"median {statistics.median(times):.2f} ms, p99 {sorted(times)[int(0.99 * len(times))]:.2f} ms"


def flood(port: int, pid: int) -> None:
    """A chunked body of 10 GB, for as long as the server takes it."""
    before = largest = resident(pid)
    sent, chunk = 0, b"100000\r\n" + b" " * (1 << 20) + b"\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=30) as raw:
        raw.sendall(b"POST /v1/series:push HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n")
        raw.sendall(b"transfer-encoding: chunked\r\n\r\n")
        with suppress(OSError):
            while sent < 10 * GIB:
                raw.sendall(chunk)
                sent += 1 << 20
                largest = max(largest, resident(pid))
        with suppress(OSError):
            print("the answer:", raw.recv(100).split(b"\r\n")[0].decode() or "none, the connection was closed")
    print(f"chunked body: cut off after {sent >> 20} MiB, resident memory grew by {largest - before:.0f} MB")
    assert sent < 10 * GIB
    assert largest - before < 64


if __name__ == "__main__":
    main()

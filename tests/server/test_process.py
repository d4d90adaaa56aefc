"""The server as a process: what it loads, how it stops, how it stands slow and greedy clients, and when it syncs."""

import http.client
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from running_server import RUN, Running, ask_on, running
from server_models import daily_rows, files

BODY = {"model": "daily", "rows": daily_rows(6)}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    with running(str(tmp_path / "store.db")) as server:
        yield server


def test_the_service_loads_neither_torch_nor_polars() -> None:
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from starlette.testclient import TestClient\n"
        "from stepahead.server.app import create_app\nfrom stepahead.server.models import open_models\n"
        "from stepahead.server.service import Service\nfrom stepahead.server.store import open_store\n"
        "import stepahead.server.run, tempfile, json\n"
        f"service = Service.build(open_models([Path(p) for p in {[str(p) for p in files()]!r}]), "
        "open_store(tempfile.mkdtemp() + '/s.db'))\n"
        "with TestClient(create_app(service), base_url='http://localhost') as client:\n"
        f"    body = json.loads({json.dumps(json.dumps(BODY))})\n"
        "    assert client.put('/v1/series/a', json=body).status_code == 201\n"
        f"    body = dict(rows={daily_rows(1, 6)!r})\n"
        "    assert client.post('/v1/series/a/observations', json=body).status_code == 200\n"
        "    assert client.post('/v1/symbols/word/next', json=dict(prefix='hell')).status_code == 200\n"
        "print(*{name.split('.')[0] for name in sys.modules})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert not set(done.stdout.split()) & {"torch", "polars", "pandas", "matplotlib", "scipy"}


def test_a_body_too_long_is_answered_and_an_upgrade_is_no_advice_in_the_log(tmp_path: Path) -> None:
    with running(str(tmp_path / "store.db")) as server:
        for size in (17 << 20, 30 << 20):
            connection = server.connect()
            connection.request("PUT", "/v1/series/a", b" " * size, {"content-type": "application/json"})
            assert connection.getresponse().status == 413
            connection.close()
        connection = server.connect()
        key = {"Sec-WebSocket-Key": "x" * 16, "Sec-WebSocket-Version": "13"}
        connection.request("GET", "/v2/health/live", headers={"Upgrade": "websocket", "Connection": "Upgrade"} | key)
        assert connection.getresponse().status == 200
        connection.close()
        server.process.terminate()
        assert server.process.stderr is not None
        log = server.process.stderr.read()
    assert '"stopped"' in log
    assert "websocket" not in log.lower()
    assert "upgrade" not in log.lower()


def test_sigterm_answers_what_is_asked_ends_the_events_and_exits_with_0(server: Running, tmp_path: Path) -> None:
    assert server.ask("PUT", "/v1/series/a", BODY)[0] == 201
    events = server.connect()
    events.request("GET", "/v1/series/a/events")
    stream = events.getresponse()
    assert stream.readline() == b"retry: 1000\n"
    statuses: list[int] = []

    def push() -> None:
        connection = server.connect()
        with suppress(OSError, http.client.HTTPException):
            for i in range(6, 400):
                statuses.append(ask_on(connection, "POST", "/v1/series/a/observations", {"rows": daily_rows(1, i)})[0])

    pushing = threading.Thread(target=push)
    pushing.start()
    time.sleep(0.3)
    began = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - began < 8
    pushing.join()
    assert b"event: observation" in stream.read()
    assert set(statuses) == {200}
    with running(str(tmp_path / "store.db")) as again:
        assert again.ask("GET", "/v1/series/a/forecast")[1]["rows"] in (6 + len(statuses), 7 + len(statuses))


def test_a_second_server_on_the_same_store_is_refused(server: Running, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-c",
        RUN,
        "serve",
        str(files()[0]),
        "--store",
        str(tmp_path / "store.db"),
        "--port",
        "0",
    ]
    done = subprocess.run([*command, "--port", "0"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, "another server writes to it" in done.stderr) == (2, True)
    assert done.stderr.count("\n") == 1


def test_a_port_that_is_taken_is_one_line(server: Running, tmp_path: Path) -> None:
    command = [sys.executable, "-c", RUN, "serve", str(files()[0]), "--store", str(tmp_path / "o.db")]
    done = subprocess.run([*command, "--port", str(server.port)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "cannot listen there" in done.stderr


@pytest.mark.parametrize("cut", [20, -3, -1])
def test_a_head_in_two_pieces_with_a_large_body_behind_it_is_no_long_head(server: Running, cut: int) -> None:
    body = b" " * 200_000
    head = b"POST /v1/series:push HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    head += b"content-length: %d\r\n\r\n" % len(body)
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.sendall(head[:cut])
        time.sleep(0.2)
        raw.sendall(head[cut:] + body)
        assert raw.recv(4096).startswith(b"HTTP/1.1 400")  # blanks are no JSON


def test_a_chunked_body_without_end_is_refused_with_bounded_memory(server: Running) -> None:
    server.ask("GET", "/v2/health/live")
    before = server.memory()
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as raw:
        raw.sendall(b"POST /v1/series:push HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n")
        raw.sendall(b"transfer-encoding: chunked\r\n\r\n")
        chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
        sent, largest = 0, before
        with suppress(OSError):
            while sent < 10 * 1024:  # MiB
                raw.sendall(chunk)
                sent += 1
                largest = max(largest, server.memory())
        with suppress(OSError):
            answer = raw.recv(4096)
            assert answer.startswith(b"HTTP/1.1 413")
    assert sent < 64, "the connection ends soon after the limit of 16 MiB"
    assert largest - before < 64
    assert server.ask("GET", "/v2/health/live")[0] == 200


def test_slow_clients_hold_nobody_up_and_are_let_go(tmp_path: Path) -> None:
    """Heads and bodies that trickle in: health answers meanwhile, and the slow ones are dropped in time."""
    hurried = "import stepahead.server.slow as s, stepahead.server.guards as g\ns.HEAD_SECONDS = g.BODY_SECONDS = 1.5\n"
    with running(str(tmp_path / "store.db"), run=hurried + RUN) as server:
        began = time.monotonic()
        head = b"GET /v1/series HTTP/1.1\r\nhost: localhost\r\nx-slow: "
        body = b"POST /v1/series:push HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        slow = [socket.create_connection(("127.0.0.1", server.port), timeout=20) for _ in range(400)]
        for i, raw in enumerate(slow):
            raw.sendall(head if i % 2 else body + b"content-length: 1000\r\n\r\n{")
        asked = time.monotonic()
        assert server.ask("GET", "/v2/health/live")[0] == 200
        assert time.monotonic() - asked < 1
        for raw in slow:
            answer = b""
            with suppress(ConnectionResetError):
                answer = raw.recv(100)
            assert answer == b"" or answer.startswith(b"HTTP/1.1 408")
            raw.close()
        assert 1 < time.monotonic() - began < 10


def test_a_head_that_is_too_long_is_431(server: Running) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw:
        raw.sendall(b"GET /v1/series HTTP/1.1\r\nhost: localhost\r\n")
        with suppress(OSError):
            for i in range(3_000):
                raw.sendall(b"x-%d: %s\r\n" % (i, b"a" * 100))
        with suppress(OSError):
            assert raw.recv(4096).startswith(b"HTTP/1.1 431")
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw, suppress(OSError):
        raw.sendall(b"GET /v1/series HTTP/1.1\r\nhost: localhost\r\nx: %s\r\n\r\n" % (b"a" * 60_000))
        assert raw.recv(4096).startswith(b"HTTP/1.1 431")
    assert server.ask("GET", "/v2/health/live")[0] == 200


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_an_answer_is_sent_after_the_row_is_synced(tmp_path: Path) -> None:
    """Seen from outside: between the request's arrival and its answer, the write-ahead log is written and synced."""
    trace = tmp_path / "trace"
    calls = "trace=fsync,fdatasync,pwrite64,recvfrom,read,sendto,write,writev,sendmsg"
    wrapper = ("strace", "-f", "-y", "-s", "60", "-e", calls, "-o", str(trace))
    server = Running(str(tmp_path / "store.db"), wrapper=wrapper)
    try:
        assert server.ask("PUT", "/v1/series/a", BODY)[0] == 201
        for i in range(6, 9):
            assert server.ask("POST", "/v1/series/a/observations", {"rows": daily_rows(1, i)})[0] == 200
    finally:
        pid = int(trace.read_text().split()[0])  # the server itself; strace ends with it
        server.process.send_signal(signal.SIGCONT)
        subprocess.run(["kill", str(pid)], check=True)
        server.process.wait(30)
        assert server.process.stderr is not None
        server.process.stderr.close()
    lines = trace.read_text().splitlines()
    asked = [i for i, line in enumerate(lines) if "POST /v1/series/a/observations" in line]
    assert len(asked) == 3
    for start in asked:
        answer = next(i for i in range(start, len(lines)) if '"HTTP/1.1 200' in lines[i])
        between = "\n".join(lines[start:answer])
        written = re.search(r"pwrite64\(\d+<\S+store\.db-wal>", between)
        synced = re.search(r"f(data)?sync\(\d+<\S+store\.db-wal>", between)
        assert written, between
        assert synced, between
        assert written.start() < synced.start()

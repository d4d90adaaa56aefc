"""Claim: on 2 cores, client included, the service takes 2,000 durable single pushes a second at p99 <= 50 ms with 100
connections on SQLite, 50,000 rows a second in bulk, and gives 3,000 forecasts a second, in 150 MB with 10,000 series.

    python benchmarks/serve.py                       needs wrk (tools/install-debian.sh load)
    python benchmarks/serve.py --store postgresql://...
    python benchmarks/serve.py --soak 600            memory over ten minutes of pushes

The server is a process of its own, as `stepahead serve` starts it; wrk and this script are the client.
"""

import argparse
import http.client
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np

import stepahead as sa
from timing import machine

CONNECTIONS = 100
START = date(2024, 1, 1)
WARM = 8  # rows that each series begins with
BULK = 10_000  # rows of one bulk request
PUSH = """
local n, series, first = -1, {series}, {first}
request = function()
  n = n + 1
  local day = os.date("!%Y-%m-%d", {epoch} + 86400 * (first + math.floor(n / series)))
  local body = string.format('{{"rows":[{{"ds":"%s","y":%.3f}}]}}', day, 20 + 5 * math.sin(n / 3))
  return wrk.format("POST", "/v1/series/s" .. (n % series) .. "/observations",
                    {{["content-type"] = "application/json"}}, body)
end
"""
READ = """
local n, series = 0, {series}
request = function()
  n = n + 1
  return wrk.format("GET", "/v1/series/s" .. (n % series) .. "/forecast")
end
"""
REPORT = """
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("RESULT %f %f %f %d %d\\n", summary.requests / summary.duration * 1e6,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    e.status, e.connect + e.read + e.write + e.timeout))
end
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", default="", help="postgresql://...; a new SQLite file by default")
    parser.add_argument("--series", type=int, default=10_000)
    parser.add_argument("--seconds", type=int, default=10, help="of each measurement")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--soak", type=int, default=0, help="seconds of pushes while memory is watched")
    asked = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is not installed; tools/install-debian.sh load installs it")
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), asked)


def measure(folder: Path, asked: argparse.Namespace) -> None:
    """Start a server, fill it, and load it in each way in turn."""
    train(folder / "wave.safetensors")
    process, port = start(folder, asked.store or str(folder / "live.db"))
    try:
        print(f"{machine('uvicorn', 'fastapi')}, store {asked.store.split(':')[0] or 'sqlite'}")
        print(f"resident memory at the start: {resident(process.pid):.0f} MB")
        began = time.perf_counter()
        fill(port, asked.series)
        print(f"{asked.series} series begun in {time.perf_counter() - began:.1f} s: {resident(process.pid):.0f} MB")
        state = State(asked.series, WARM)
        if asked.soak:
            soak(port, process.pid, state, asked.soak)
            return
        for _ in range(asked.repeats):
            pushes = push(port, state, asked.seconds)
            print(
                f"single pushes  {pushes['rate']:8,.0f}/s   p50 {pushes['p50']:6.2f} ms   p99 {pushes['p99']:6.2f} ms"
            )
            for each in (1, 100):
                rows = bulk(port, state, asked.seconds / 2, each)
                print(f"bulk           {rows:8,.0f} rows/s   {each} of each series a request")
            reads = wrk(port, READ.format(series=asked.series) + REPORT, asked.seconds)
            print(f"reads          {reads['rate']:8,.0f}/s   p50 {reads['p50']:6.2f} ms   p99 {reads['p99']:6.2f} ms")
            print(f"resident       {resident(process.pid):8.0f} MB")
        check_rows(port, state)
    finally:
        process.terminate()
        process.wait(timeout=60)


class State:
    """How far the series have come: each has at least `rows` rows."""

    def __init__(self, series: int, rows: int) -> None:
        self.series = series
        self.rows = rows


def train(path: Path) -> None:
    times = np.datetime64(START, "us") + np.arange(400) * np.timedelta64(1, "D")
    values = 20 + 5 * np.sin(np.arange(400) / 3) + np.random.default_rng(0).normal(0, 0.5, 400)
    panel = sa.Panel.from_arrays(values, times=times)
    sa.Forecaster(recipe="classic", window=7, max_steps=200, holdout=100).fit(panel).save(path)


def start(folder: Path, store: str) -> tuple[subprocess.Popen[str], int]:
    """A server on a free port."""
    command = [str(Path(sys.executable).parent / "stepahead"), "serve", str(folder / "wave.safetensors")]
    process = subprocess.Popen([*command, "--store", store, "--port", "0"], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    line = json.loads(process.stderr.readline())
    return process, int(line["url"].split(":")[-1].strip("/"))


def resident(pid: int) -> float:
    """Resident memory in MB."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else float("nan")


def fill(port: int, series: int) -> None:
    """Begin the series."""
    rows = [{"ds": str(START + timedelta(i)), "y": 20 + 5 * float(np.sin(i / 3))} for i in range(WARM)]
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for i in range(series):
        send(connection, "PUT", f"/v1/series/s{i}", {"model": "wave", "rows": rows})


def send(connection: http.client.HTTPConnection, method: str, path: str, body: Any = None) -> Any:
    content = None if body is None else json.dumps(body)
    connection.request(method, path, content, {"content-type": "application/json"})
    answer = connection.getresponse()
    text = answer.read()
    if answer.status >= 400:
        sys.exit(f"{method} {path}: {answer.status} {text[:300]!r}")
    return json.loads(text)


def push(port: int, state: State, seconds: int) -> dict[str, float]:
    """Single rows from 100 connections; every answer must be a 200."""
    epoch = (START - date(1970, 1, 1)).days * 86400
    script = PUSH.format(series=state.series, first=state.rows, epoch=epoch) + REPORT
    found = wrk(port, script, seconds)
    state.rows += int(found["rate"] * seconds * 1.2) // state.series + 2  # later rows come after all of these
    return found


def bulk(port: int, state: State, seconds: float, each: int) -> float:
    """Rows a second through POST /v1/series:push: requests of 10,000 rows, so many of each series."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    names = [f"s{i}" for i in range(min(BULK // each, state.series))]
    sent, spent = 0, 0.0
    while spent < seconds:
        days = [str(START + timedelta(state.rows + i)) for i in range(each)]
        rows = [{"series": s, "ds": day, "y": 20 + 5 * float(np.sin(i))} for s in names for i, day in enumerate(days)]
        body = json.dumps({"rows": rows})
        began = time.perf_counter()
        connection.request("POST", "/v1/series:push", body, {"content-type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        spent += time.perf_counter() - began
        assert answer.status == 200, text[:300]
        state.rows += each
        sent += len(rows)
    return sent / spent


def wrk(port: int, script: str, seconds: int) -> dict[str, float]:
    """Load by wrk; the rate, and percentiles of latency in ms."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", file.name, f"http://127.0.0.1:{port}"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    line = re.search(r"RESULT (.*)", done.stdout)
    assert line, done.stdout + done.stderr
    rate, p50, p99, refused, broken = map(float, line[1].split())
    assert not refused, f"{refused:.0f} answers were errors"
    assert not broken, f"{broken:.0f} connections broke"
    return {"rate": rate, "p50": p50, "p99": p99}


def check_rows(port: int, state: State) -> None:
    """What was answered is there."""
    found = send(http.client.HTTPConnection("127.0.0.1", port), "GET", "/v1/series/s0?rows=3")
    assert found["rows"] > WARM
    assert len(found["last"]) == 3


def soak(port: int, pid: int, state: State, seconds: int) -> None:
    """Pushes for a long time, memory beside them."""
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        found = push(port, state, 20)
        spent = time.perf_counter() - began
        print(
            f"{spent:5.0f} s  {found['rate']:7,.0f}/s  p99 {found['p99']:6.2f} ms  {resident(pid):.0f} MB", flush=True
        )


if __name__ == "__main__":
    main()

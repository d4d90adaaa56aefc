"""kill -9 under load, on both stores: no answered row is lost, none counts twice, forecasts go on as if nothing was.

Clients push rows and note what was answered. The server is killed at some moment, started anew, and asked. The long
form (300 kills a store) is `make soak`; STEPAHEAD_KILLS and STEPAHEAD_SEED cut it into parts.
"""

import http.client
import os
import random
import threading
import time
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from running_server import Running, ask_on
from server_models import daily_rows, models

from stepahead.server.rows import read_history

SERIES = 12
CLIENTS = 4
WARM = 6
SHOWN = 10_000  # rows that the service shows at most


class Client(threading.Thread):
    """Pushes rows of its own series in order, one at a time or some; retries what was not answered."""

    def __init__(self, port: int, answered: dict[str, int], series: list[str], seed: int) -> None:
        super().__init__(daemon=True)
        self.port, self.answered, self.series, self.random = port, answered, series, random.Random(seed)
        self.stopped = False
        self.wrong: list[str] = []

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            while not self.stopped:
                name = self.random.choice(self.series)
                many = self.random.choice((1, 1, 1, 5))
                rows = story()[self.answered[name] : self.answered[name] + many]
                status, answer = ask_on(connection, "POST", f"/v1/series/{name}/observations", {"rows": rows})
                if status != 200:
                    self.wrong.append(f"{status} {answer}")
                    return
                self.answered[name] += many  # only what was answered counts
        except (OSError, http.client.HTTPException):
            return  # killed


@cache
def story() -> list[dict[str, Any]]:
    """The rows that all series tell, in order."""
    return daily_rows(60_000)


def rounds_of(url: str, kills: int, seconds: float, seed: int) -> Iterator[dict[str, int]]:
    """Start, load and kill a server again and again; yields what was answered after each kill and restart."""
    names = [f"s{i}" for i in range(SERIES)]
    answered = dict.fromkeys(names, WARM)
    chance = random.Random(seed)
    server = Running(url)
    for name in names:
        status, _ = server.ask("PUT", f"/v1/series/{name}", {"model": "daily", "rows": story()[:WARM]})
        assert status == 201
    for kill in range(kills):
        parts = [names[i::CLIENTS] for i in range(CLIENTS)]
        clients = [Client(server.port, answered, part, seed * 1000 + kill) for part in parts]
        for client in clients:
            client.start()
        time.sleep(chance.uniform(0.02, seconds))
        server.kill()
        for client in clients:
            client.stopped = True
            client.join(30)
            assert not client.wrong
        server = Running(url)
        for name in names:
            status, found = server.ask("GET", f"/v1/series/{name}/forecast")
            assert status == 200
            assert answered[name] <= found["rows"] <= answered[name] + 5, "a row was lost, or counts twice"
            answered[name] = found["rows"]  # what was on its way may have arrived, whole
        yield answered
        check_rows(server, chance.choice(names), answered)
    for name in names:
        check_rows(server, name, answered)
        check_forecast(server, name, answered)
    assert server.stop() == 0


def check_rows(server: Running, name: str, answered: dict[str, int]) -> None:
    """The store holds the story up to the last answered row: each row once, in order."""
    status, whole = server.ask("GET", f"/v1/series/{name}?rows={SHOWN}")
    assert status == 200
    told = story()[max(0, answered[name] - SHOWN) : answered[name]]
    assert [row["y"] for row in whole["last"]] == [row["y"] for row in told]
    assert [row["ds"][:10] for row in whole["last"]] == [row["ds"] for row in told]


def check_forecast(server: Running, name: str, answered: dict[str, int]) -> None:
    """The forecast is the one of a Stream that never stopped; other batch shapes may move the last bits."""
    served = models().forecasters["daily"]
    stream: Any = served.begin(read_history(served.reader, story()[:WARM], name).panel)
    for row in story()[WARM : answered[name]]:
        stream.push(row)
    _, found = server.ask("GET", f"/v1/series/{name}/forecast")
    for step, expected in zip(found["forecast"], stream.forecast().records(), strict=True):
        assert step["ds"][:10] == expected["ds"][:10]
        for column, value in expected.items():
            if column != "ds":
                assert step[column] == pytest.approx(value, rel=1e-5)


def test_a_killed_server_loses_no_answered_row_and_counts_none_twice(url: str) -> None:
    for answered in rounds_of(url, kills=3, seconds=0.4, seed=1):
        assert sum(answered.values()) >= SERIES * WARM
    assert sum(answered.values()) > SERIES * WARM + 20, "there was no load to speak of"


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_300_kills_lose_nothing(url: str) -> None:
    kills = int(os.environ.get("STEPAHEAD_KILLS", "300"))
    for answered in rounds_of(url, kills=kills, seconds=0.5, seed=int(os.environ.get("STEPAHEAD_SEED", "2"))):
        assert sum(answered.values()) >= SERIES * WARM
    assert sum(answered.values()) > SERIES * WARM + 20, "there was no load to speak of"

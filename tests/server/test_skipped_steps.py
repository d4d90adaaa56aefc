"""A model whose tables have a row at each step: rows that skip some, in the service as in `predict`."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from server_models import wave
from test_sessions import ask, means

import stepahead as sa
from stepahead.server.jobs import Create, Push
from stepahead.server.models import Models, open_models
from stepahead.server.problems import Problem
from stepahead.server.rows import read_history
from stepahead.server.sessions import Sessions
from stepahead.server.store import open_store

DAYS = np.datetime64("2024-01-01") + np.arange(200)
LEFT_OUT = (103, 104, 112, 120, 121, 122)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Models:
    table = pl.DataFrame({"ds": DAYS[:100], "y": wave(100)})
    model = sa.Forecaster("classic", window=4, horizon=2, max_steps=5, missing="ffill", holdout=30)
    file = tmp_path_factory.mktemp("models") / "daily.safetensors"
    model.fit(sa.read(table, frequency="D")).save(file)
    return open_models((file,))


def rows(first: int, last: int) -> list[dict[str, Any]]:
    values = wave(200)
    return [{"ds": str(DAYS[i]), "y": float(values[i])} for i in range(first, last) if i not in LEFT_OUT]


def predicted(served: Models, last: int) -> list[float]:
    table = pl.DataFrame(rows(90, last)).with_columns(pl.col("ds").str.to_date())
    return served.forecasters["daily"].forecaster.predict(table)["LSTM"].to_list()


def test_histories_and_pushes_that_skip_days_are_as_predict_has_them(served: Models, url: str) -> None:
    sessions = Sessions(served, open_store(url), state_every=4)
    reader = served.forecasters["daily"].reader
    history = read_history(reader, rows(90, 110), "a")
    assert len(history.times) == 18  # as they came; the panel has the two days between
    assert history.panel.n_rows == 20
    answer = ask(
        sessions, Create("a", "daily", served.forecasters["daily"].begin(history.panel, [80.0]), history, b"1")
    )
    assert means(answer.view) == predicted(served, 110)
    for row in rows(110, 118):
        answer = ask(sessions, Push("a", [row]))
    assert means(answer.view) == predicted(served, 118)
    answer = ask(sessions, Push("a", rows(118, 127)))  # several at once, three days left out among them
    assert means(answer.view) == predicted(served, 127)
    with pytest.raises(Problem, match="lies between two steps"):
        ask(sessions, Push("a", [{"ds": "2024-05-20T12:00:00", "y": 20.0}]))
    sessions.close()
    again = Sessions(served, open_store(url), state_every=4)  # from its state, and the rows behind it
    answer = ask(again, Push("a", rows(127, 128)))
    assert means(answer.view) == predicted(served, 128)
    again.close()


def test_a_history_off_the_steps_is_refused(served: Models) -> None:
    odd = [*rows(90, 95), {"ds": "2024-04-05T12:00:00", "y": 1.0}]
    with pytest.raises(Problem, match="lies between two steps"):
        read_history(served.forecasters["daily"].reader, odd, "a")

"""What happens to series: each answer beside a Stream that was pushed by hand, on both stores."""

import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import pytest
from server_models import daily_rows, models, step_rows

from nobody import as_nobody
from stepahead.errors import ConfigError, DataError
from stepahead.server.jobs import Create, Delete, Job, Look, Push, PushMany
from stepahead.server.problems import Problem
from stepahead.server.rows import read_history
from stepahead.server.series_routes import shown_cutoff
from stepahead.server.sessions import Sessions
from stepahead.server.store import Changes, StoreFailed, open_store
from stepahead.server.times import read_time
from stepahead.server.views import bulk_json


def ask(sessions: Sessions, job: Job) -> Any:
    """The answer to one job; a problem is raised."""
    answer = ask_all(sessions, [job])[0]
    if isinstance(answer, Exception):
        raise answer
    return answer


def ask_all(sessions: Sessions, jobs: list[Job]) -> list[Any]:
    """The answers to a batch, in the order of its jobs."""
    outcome = sessions.run(jobs)
    found = {id(job): answer for job, answer in outcome.answers}
    assert len(outcome.answers) == len(jobs)
    return [found[id(job)] for job in jobs]


def begin(sessions: Sessions, series: str, rows: int = 6, digest: bytes = b"1", level: Any = "auto") -> Any:
    history = read_history(models().forecasters["daily"].reader, daily_rows(rows), series)
    stream = models().forecasters["daily"].begin(history.panel, level)
    return ask(sessions, Create(series, "daily", stream, history, digest))


def by_hand(series: str, rows: int, warm: int = 6) -> Any:
    """A Stream of the same rows, without the service."""
    served = models().forecasters["daily"]
    stream = served.begin(read_history(served.reader, daily_rows(warm), series).panel)
    for row in daily_rows(rows - warm, warm):
        stream.push(row)
    return stream


@pytest.fixture
def sessions(url: str) -> Any:
    sessions = Sessions(models(), open_store(url), state_every=4)
    yield sessions
    sessions.close()


def means(view: Any) -> list[float]:
    return [step["LSTM"] for step in json.loads(view.json())["forecast"]]


def test_a_push_answers_as_the_stream_does(sessions: Sessions) -> None:
    begin(sessions, "a")
    for i in range(6, 20):
        answer = ask(sessions, Push("a", daily_rows(1, i)))
        expected = by_hand("a", i + 1)
        assert means(answer.view) == expected.forecast().mean[0].tolist()
        assert answer.view.rows == i + 1
        assert answer.view.json() == answer.view.json()
    assert answer.view.coverage == {f"{k:g}": v for k, v in expected.coverage.items()}


def test_a_batch_of_many_series_is_what_each_alone_would_be(sessions: Sessions) -> None:
    names = [f"s{i}" for i in range(8)]
    for i, name in enumerate(names):
        begin(sessions, name, rows=6 + i)
    answers = ask_all(sessions, [Push(name, daily_rows(1, 6 + i)) for i, name in enumerate(names)])
    for i, answer in enumerate(answers):
        expected = by_hand(names[i], 7 + i, warm=6 + i).forecast().mean[0]
        assert means(answer.view) == pytest.approx(expected.tolist(), rel=1e-6)  # other batch shapes, other last bits


def test_series_of_several_levels_are_pushed_in_one_batch(sessions: Sessions) -> None:
    levels = {"a": [80.0], "b": [50.0, 80.0], "c": [80.0]}
    for name, level in levels.items():
        begin(sessions, name, level=level)
    for answer in ask_all(sessions, [Push(name, daily_rows(1, 6)) for name in levels]):
        expected = by_hand("a", 7).forecast().mean[0].tolist()
        assert means(answer.view) == pytest.approx(expected, rel=1e-6)  # other batch shapes, other last bits
    ask(sessions, PushMany({name: daily_rows(1, 7) for name in levels}))
    assert ask(sessions, Look("b")).level == (50.0, 80.0)


def test_two_pushes_to_one_series_in_a_batch_are_taken_one_after_the_other(sessions: Sessions) -> None:
    begin(sessions, "a")
    answers = ask_all(sessions, [Push("a", daily_rows(1, i)) for i in range(6, 10)])
    assert [answer.view.rows for answer in answers] == [10] * 4  # each tells where the series stands when it is on disk
    assert means(answers[-1].view) == by_hand("a", 10).forecast().mean[0].tolist()


def test_the_same_row_again_is_answered_and_not_taken_in(sessions: Sessions) -> None:
    begin(sessions, "a")
    first = ask(sessions, Push("a", daily_rows(1, 6)))
    again = ask(sessions, Push("a", daily_rows(1, 6)))
    assert (again.repeated, again.view.rows, means(again.view)) == (1, 7, means(first.view))


def test_the_same_row_twice_in_one_batch_is_taken_in_once(sessions: Sessions) -> None:
    begin(sessions, "a")
    row = daily_rows(1, 6)
    answers = ask_all(sessions, [Push("a", row), Push("a", daily_rows(1, 7)), Push("a", row)])
    assert [answer.repeated for answer in answers] == [0, 0, 1]
    assert answers[0].view.rows == 8


@pytest.mark.parametrize(
    ("row", "status", "words"),
    [
        ({"ds": "2024-01-07", "load": 1.0, "y": 3.0}, 409, "another row at"),
        ({"ds": "2023-12-01", "load": 1.0, "y": 3.0}, 409, "rows must come in order"),
        ({"ds": "2024-01-06T12:00", "load": 1.0, "y": 3.0}, 409, "rows must come in order"),
        ({"ds": "soon", "load": 1.0, "y": 3.0}, 422, "is not a time"),
        ({"ds": "2024-01-08T00:00Z", "load": 1.0, "y": 3.0}, 422, "leave the offset out"),
        ({"ds": 5.0, "load": 1.0, "y": 3.0}, 422, "is not a time"),
        ({"ds": "2024-01-08", "y": 3.0}, 422, "'load' is missing"),
        ({"ds": "2024-01-08", "load": 1.0, "y": 3.0, "x": 1.0}, 422, "'x' is not one of"),
        ({"ds": "2024-01-08", "load": "high", "y": 3.0}, 422, "is not a number"),
        ({"ds": "2024-01-08", "load": None, "y": 3.0}, 422, "'load' is missing"),
    ],
)
def test_a_bad_row_is_refused_and_changes_nothing(sessions: Sessions, row: Any, status: int, words: str) -> None:
    begin(sessions, "a")
    before = ask(sessions, Push("a", daily_rows(1, 6)))
    with pytest.raises(Problem, match=words) as caught:
        ask(sessions, Push("a", [row]))
    assert caught.value.status == status
    after = ask(sessions, Look("a"))
    assert after.json() == before.view.json()
    assert sessions.store.last(after.number, 100)[-1][0] == after.cutoff


def test_many_rows_are_taken_in_all_or_none(sessions: Sessions) -> None:
    before = begin(sessions, "a")
    rows = daily_rows(5, 6)
    with pytest.raises(Problem, match="'load' is missing"):
        ask(sessions, Push("a", [*rows, {"load": None, "y": 1.0}]))  # the stream itself refuses the last one
    assert ask(sessions, Look("a")).json() == before.view.json()
    many = means(ask(sessions, Push("a", rows)).view)
    assert many == pytest.approx(by_hand("a", 11).forecast().mean[0].tolist(), rel=1e-6)  # five windows in one batch


def test_rows_that_overlap_with_those_there_go_on_behind_them(sessions: Sessions) -> None:
    begin(sessions, "a")
    ask(sessions, Push("a", daily_rows(3, 6)))
    answer = ask(sessions, Push("a", daily_rows(6, 5)))
    assert (answer.repeated, answer.view.rows) == (4, 11)
    assert means(answer.view) == pytest.approx(by_hand("a", 11).forecast().mean[0].tolist(), rel=1e-6)


def test_a_key_answers_a_retry_with_the_same_bytes_and_refuses_another_request(sessions: Sessions) -> None:
    begin(sessions, "a")
    row = [{"load": 0.5, "y": 20.0}]  # without a time, only the key tells a retry from the next row
    first = ask(sessions, Push("a", row, "k1", b"x"))
    ask(sessions, Push("a", row, "k2", b"x"))
    again = ask(sessions, Push("a", row, "k1", b"x"))
    assert again.body == first.body
    assert ask(sessions, Look("a")).rows == 8
    with pytest.raises(Problem, match="Idempotency-Key") as caught:
        ask(sessions, Push("a", row, "k1", b"y"))
    assert caught.value.status == 422
    both = ask_all(sessions, [Push("a", row, "k3", b"x"), Push("a", row, "k3", b"x")])
    assert both[0].body == both[1].body
    assert ask(sessions, Look("a")).rows == 9


def test_bulk_is_all_or_none_over_series(sessions: Sessions) -> None:
    for name in "ab":
        begin(sessions, name)
    with pytest.raises(Problem, match="another row"):
        ask(sessions, PushMany({"a": daily_rows(3, 6), "b": [daily_rows(1, 5)[0] | {"y": 1.0}]}))
    with pytest.raises(Problem, match="no series is named 'c'"):
        ask(sessions, PushMany({"a": daily_rows(3, 6), "c": daily_rows(1, 6)}))
    with pytest.raises(Problem, match="missing"):
        ask(sessions, PushMany({"a": daily_rows(3, 6), "b": [daily_rows(1, 6)[0] | {"y": None}]}))
    assert [ask(sessions, Look(name)).rows for name in "ab"] == [6, 6]
    done = ask(sessions, PushMany({"a": daily_rows(3, 6), "b": daily_rows(2, 5)}, forecast=True))
    assert (done.taken, done.repeated, [view.rows for view in done.views]) == (4, 1, [9, 7])
    assert means(done.views[0]) == pytest.approx(by_hand("a", 9).forecast().mean[0].tolist(), rel=1e-6)


def test_a_key_makes_a_bulk_retry_safe_over_a_restart_and_a_failed_one_leaves_no_key(url: str) -> None:
    row = {"load": 0.5, "y": 20.0}
    sessions = Sessions(models(), open_store(url))
    for name in "ab":
        begin(sessions, name)
    with pytest.raises(Problem, match="no series"):
        ask(sessions, PushMany({"a": [row], "c": [row]}, False, "k1", b"x"))
    first = ask(sessions, PushMany({"a": [row], "b": [row, row]}, True, "k1", b"x"))
    ask(sessions, Push("a", [row], "k1", b"x"))  # the same key to one series is another key
    sessions.close()
    sessions = Sessions(models(), open_store(url))
    again = ask(sessions, PushMany({"a": [row], "b": [row, row]}, True, "k1", b"x"))
    assert again.body == first.body
    assert json.loads(again.body)["rows"] == 3
    assert [ask(sessions, Look(name)).rows for name in "ab"] == [8, 8]
    with pytest.raises(Problem, match="another bulk push") as caught:
        ask(sessions, PushMany({"a": [row]}, False, "k1", b"y"))
    assert caught.value.status == 422
    sessions.close()


def test_a_series_begins_once(sessions: Sessions) -> None:
    assert begin(sessions, "a").created
    ask(sessions, Push("a", daily_rows(1, 6)))
    again = begin(sessions, "a")
    assert (again.created, again.view.rows) == (False, 7)
    with pytest.raises(Problem, match="is there already") as caught:
        begin(sessions, "a", digest=b"2")
    assert caught.value.status == 409


def test_delete_forgets_everything_and_the_name_is_free(sessions: Sessions) -> None:
    number = begin(sessions, "a").view.number
    ask(sessions, Push("a", daily_rows(1, 6), "k", b""))
    ask(sessions, Delete("a"))
    for job in (Look("a"), Delete("a"), Push("a", daily_rows(1, 6))):
        with pytest.raises(Problem, match="no series is named 'a'"):
            ask(sessions, job)
    assert sessions.store.last(number, 10) == []
    assert sessions.store.key(number, "k") is None
    assert begin(sessions, "a", digest=b"3").created


def test_a_restart_goes_on_from_state_and_rows(url: str) -> None:
    first = Sessions(models(), open_store(url), state_every=4)
    begin(first, "a")
    for i in range(6, 17):
        ask(first, Push("a", daily_rows(1, i)))
    first.store.close()  # as if killed: no state is kept at the end
    second = Sessions(models(), open_store(url), state_every=4)
    view = ask(second, Look("a", inside=True))
    expected = by_hand("a", 17)
    assert (view.rows, means(view)) == (17, expected.forecast().mean[0].tolist())
    assert view.coverage == {f"{k:g}": v for k, v in expected.coverage.items()}
    again = ask(second, Push("a", daily_rows(1, 16)))
    assert again.repeated == 1
    second.close()


def test_more_series_than_fit_in_memory_come_back_as_they_were(url: str) -> None:
    sessions = Sessions(models(), open_store(url), most_live=2)
    names = [f"s{i}" for i in range(5)]
    for name in names:
        begin(sessions, name)
    for i in range(6, 9):
        for name in names:
            answer = ask(sessions, Push(name, daily_rows(1, i)))
            assert means(answer.view) == by_hand(name, i + 1).forecast().mean[0].tolist()
            assert len(sessions.live) <= 2
    sessions.close()


def test_a_commit_that_fails_leaves_nothing_behind(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(sessions, "a")
    before = ask(sessions, Look("a")).json()

    def full(changes: Changes) -> None:
        raise StoreFailed("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(sessions.store, "commit", full)
        assert sessions.failed_at is None
        answers = ask_all(sessions, [Push("a", daily_rows(1, 6)), Push("b", daily_rows(1, 6))])
        assert [answer.status for answer in answers] == [503, 404]
        with pytest.raises(Problem, match="does not answer"):
            begin(sessions, "c")
    assert sessions.failed_at is not None  # and the server not ready
    assert ask(sessions, Look("a")).json() == before
    with pytest.raises(Problem, match="no series"):
        ask(sessions, Look("c"))
    assert means(ask(sessions, Push("a", daily_rows(1, 6))).view) == by_hand("a", 7).forecast().mean[0].tolist()
    assert sessions.failed_at is None


def test_minus_zero_is_the_same_number_and_periods_are_their_first_days(sessions: Sessions) -> None:
    begin(sessions, "a")
    row = daily_rows(1, 6)[0] | {"y": 0.0}
    ask(sessions, Push("a", [row]))
    again = ask(sessions, Push("a", [row | {"y": -0.0}]))
    assert (again.repeated, again.view.rows) == (1, 7)
    reader = models().forecasters["daily"].reader
    dates = replace(reader.schema, time_kind="date")
    assert read_time("2005 Q1", dates) == read_time("2005-01-01", dates)
    assert read_time("2020 W07", dates) == read_time("2020-02-10", dates)
    with pytest.raises(Problem, match="is not a time"):
        read_time("2005 Q5", dates)


def test_a_list_reads_no_cutoff_by_another_model_of_the_same_name(sessions: Sessions) -> None:
    begin(sessions, "a")
    line = sessions.store.lines("", 10)[0]
    service = SimpleNamespace(models=models())
    assert shown_cutoff(service, line) == "2024-01-06T00:00:00"  # type: ignore[arg-type]
    assert shown_cutoff(service, replace(line, mark=line.mark + 1)) is None  # type: ignore[arg-type]


def test_what_is_no_store_is_called_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder; name a file"):
        open_store(str(tmp_path))
    (tmp_path / "text").write_text("no database " * 200)
    with pytest.raises(ConfigError, match="is no store of stepahead's"):
        open_store(str(tmp_path / "text"))


def test_a_store_that_cannot_be_written_is_refused_at_the_start() -> None:
    with TemporaryDirectory() as folder:  # tmp_path's parents are closed to others
        path = Path(folder) / "store.db"
        open_store(str(path)).close()
        with as_nobody(path, path.parent):
            path.chmod(0o444)
            with pytest.raises(ConfigError, match="is read-only"):
                open_store(str(path))
            path.chmod(0o644)


def test_models_that_count_steps_take_whole_numbers(sessions: Sessions) -> None:
    served = models().forecasters["steps"]
    history = read_history(served.reader, step_rows(5), "n")
    ask(sessions, Create("n", "steps", served.begin(history.panel), history, b""))
    answer = ask(sessions, Push("n", [{"ds": 6.0, "y": 1.0}]))
    assert answer.view.standing()["cutoff"] == 6
    assert ask(sessions, Push("n", [{"y": 2.0}])).view.cutoff == 7
    for time in (6.5, "7", 2.0**60):
        with pytest.raises(Problem, match="is not a step"):
            ask(sessions, Push("n", [{"ds": time, "y": 1.0}]))


def test_a_series_whose_model_is_another_file_now_is_refused(url: str) -> None:
    first = Sessions(models(), open_store(url))
    begin(first, "a")
    first.close()
    other = type(models())({}, {})
    second = Sessions(other, open_store(url))
    with pytest.raises(Problem, match="'daily' is not served") as caught:
        ask(second, Look("a"))
    assert caught.value.status == 409
    ask(second, Delete("a"))
    second.close()


def test_a_look_that_fails_is_its_own_answer(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stood in one batch with it was committed, and is told so."""
    for name in ("a", "b"):
        begin(sessions, name)
    see = sessions._see

    def seen(live: Any, inside: bool = False) -> Any:
        if inside:
            raise DataError("cannot be looked into")
        return see(live, inside)

    monkeypatch.setattr(sessions, "_see", seen)
    pushed, looked = ask_all(sessions, [Push("a", daily_rows(1, 6)), Look("b", inside=True)])
    assert pushed.view.rows == 7
    assert isinstance(looked, Problem)
    assert (looked.status, looked.detail) == (422, "cannot be looked into")


def test_a_state_that_cannot_be_read_refuses_its_own_series_alone(url: str) -> None:
    first = Sessions(models(), open_store(url))
    for name in ("a", "b"):
        begin(first, name)
    number = first.live["a"].number
    first.close()
    store = open_store(url)
    store.commit(Changes(states={number: (b"\0", 0)}))
    again = Sessions(models(), store)
    refused, pushed = ask_all(again, [Push(name, daily_rows(1, 6)) for name in ("a", "b")])
    assert isinstance(refused, Problem)
    assert refused.status == 409
    assert "state of series 'a'" in refused.detail
    assert pushed.view.rows == 7
    again.close()


def test_a_bound_beyond_all_numbers_is_null(sessions: Sessions) -> None:
    begin(sessions, "a")
    view = ask(sessions, Look("a", inside=True))
    last = [name for name in view.records[0] if "-hi-" in name][-1]
    endless = replace(view, records=[record | {last: float("inf")} for record in view.records], _json=b"")
    row = models().forecasters["daily"].reader.pack([1.0, 2.0])
    for body in (endless.event(0, row), bulk_json(1, 1, 0, [endless]), endless.json()):
        told = json.loads(body, parse_constant=pytest.fail)
        told = told.get("forecasts", {"a": told})["a"]
        assert [record[last] for record in told["forecast"]] == [None] * len(view.records)

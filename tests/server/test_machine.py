"""Sessions beside a plain model in memory: whatever is asked in whatever order, both say the same.

The long form, 20,000 steps, is `make soak`; STEPAHEAD_EXAMPLES (of 100 steps) and --hypothesis-seed cut it into parts.
"""

import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from server_models import daily_rows, models
from test_sessions import ask_all

from stepahead.server.jobs import Create, Delete, Job, Look, Push, PushMany
from stepahead.server.problems import Problem
from stepahead.server.rows import read_history
from stepahead.server.sessions import Sessions
from stepahead.server.store import open_store

NAMES = st.sampled_from(["a", "b", "c"])
STORY = daily_rows(400)
WARM = 5


class Plain:
    """One series: the rows that count, and the Stream that they make."""

    def __init__(self) -> None:
        served = models().forecasters["daily"]
        self.stream: Any = served.begin(read_history(served.reader, STORY[:WARM], "plain").panel)
        self.values = {row["ds"]: row["y"] for row in STORY[:WARM]}
        self.keys: dict[str, tuple[bytes, int]] = {}

    def push(self, row: dict[str, Any]) -> None:
        self.stream.push(row)
        self.values[row["ds"]] = row["y"]

    @property
    def rows(self) -> int:
        return len(self.values)


class Machine(RuleBasedStateMachine):
    """Every rule asks the sessions and the plain model for the same."""

    @initialize()
    def start(self) -> None:
        self.folder = TemporaryDirectory()
        self.plain: dict[str, Plain] = {}
        self.keyed = 0
        self.open()

    def open(self) -> None:
        store = open_store(str(Path(self.folder.name) / "store.db"))
        self.sessions = Sessions(models(), store, state_every=3, most_live=2)

    def ask(self, *jobs: Job) -> list[Any]:
        return ask_all(self.sessions, list(jobs))

    def status(self, job: Job) -> int:
        (answer,) = self.ask(job)
        assert isinstance(answer, Problem), answer
        return answer.status

    @rule(name=NAMES)
    def create(self, name: str) -> None:
        served = models().forecasters["daily"]
        history = read_history(served.reader, STORY[:WARM], name)
        (answer,) = self.ask(Create(name, "daily", served.begin(history.panel), history, b"begin"))
        assert answer.created == (name not in self.plain)
        self.plain.setdefault(name, Plain())

    @rule(name=NAMES)
    def create_otherwise(self, name: str) -> None:
        if name in self.plain:
            served = models().forecasters["daily"]
            history = read_history(served.reader, STORY[:WARM], name)
            assert self.status(Create(name, "daily", served.begin(history.panel), history, b"other")) == 409

    @rule(name=NAMES, many=st.integers(1, 4))
    def push(self, name: str, many: int) -> None:
        if name not in self.plain:
            assert self.status(Push(name, STORY[:1])) == 404
            return
        plain = self.plain[name]
        rows = STORY[plain.rows : plain.rows + many]
        (answer,) = self.ask(Push(name, rows))
        for row in rows:
            plain.push(row)
        assert (answer.repeated, answer.view.rows) == (0, plain.rows)

    @rule(data=st.data())
    def push_a_batch(self, data: st.DataObject) -> None:
        """Single rows of several series, some of them twice, in one batch."""
        names = data.draw(st.lists(NAMES, min_size=1, max_size=6))
        jobs: list[Job] = []
        ahead = {name: plain.rows for name, plain in self.plain.items()}
        for name in names:
            jobs.append(Push(name, [STORY[ahead.get(name, 0)]]))
            if name in ahead:
                ahead[name] += 1
        for job, answer in zip(jobs, self.ask(*jobs), strict=True):
            assert isinstance(job, Push)
            if job.series in self.plain:
                self.plain[job.series].push(job.rows[0])
                assert answer.repeated == 0
            else:
                assert answer.status == 404

    @precondition(lambda self: self.plain)
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        """Rows that are there already, and perhaps one more."""
        name = data.draw(st.sampled_from(sorted(self.plain)))
        plain = self.plain[name]
        first = data.draw(st.integers(0, plain.rows - 1))
        more = data.draw(st.integers(0, 1))
        rows = STORY[first : plain.rows + more]
        repeated = plain.rows - first
        (answer,) = self.ask(Push(name, rows))
        if more:
            plain.push(rows[-1])
        assert (answer.repeated, answer.view.rows) == (repeated, plain.rows)

    @precondition(lambda self: self.plain)
    @rule(data=st.data(), kind=st.sampled_from(["late", "other", "text", "gap", "extra", "last"]))
    def bad_row(self, data: st.DataObject, kind: str) -> None:
        name = data.draw(st.sampled_from(sorted(self.plain)))
        plain = self.plain[name]
        good = STORY[plain.rows]
        there = STORY[data.draw(st.integers(0, plain.rows - 1))]
        rows, status = {
            "late": ([good | {"ds": "2023-05-05"}], 409),
            "other": ([there | {"y": 999.0}], 409),
            "text": ([good | {"y": "much"}], 422),
            "gap": ([good | {"y": None}], 422),
            "extra": ([good | {"z": 1.0}], 422),
            "last": ([good, STORY[plain.rows + 1] | {"load": None}], 422),  # found when the first is taken in already
        }[kind]
        assert self.status(Push(name, rows)) == status

    @precondition(lambda self: self.plain)
    @rule(data=st.data())
    def keyed_push(self, data: st.DataObject) -> None:
        """The same key twice: one row more."""
        name = data.draw(st.sampled_from(sorted(self.plain)))
        plain = self.plain[name]
        self.keyed += 1
        row = {key: value for key, value in STORY[plain.rows].items() if key != "ds"}
        job = [Push(name, [row], f"k{self.keyed}", b"same") for _ in range(2)]
        together = data.draw(st.booleans())
        answers = self.ask(*job) if together else [*self.ask(job[0]), *self.ask(job[1])]
        plain.push(STORY[plain.rows])
        assert answers[0].body == answers[1].body
        assert self.status(Push(name, [row], f"k{self.keyed}", b"other")) == 422

    @precondition(lambda self: self.plain)
    @rule(bad=st.booleans())
    def bulk(self, bad: bool) -> None:
        rows = {name: STORY[plain.rows : plain.rows + 2] for name, plain in self.plain.items()}
        if bad:
            last = sorted(rows)[-1]
            rows[last] = [*rows[last][:1], rows[last][1] | {"y": None}]
            assert self.status(PushMany(rows)) == 422
            return
        (answer,) = self.ask(PushMany(rows))
        for name, plain in self.plain.items():
            for row in rows[name]:
                plain.push(row)
        assert (answer.taken, answer.repeated) == (2 * len(rows), 0)

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        if name in self.plain:
            assert self.ask(Delete(name)) == [None]
            del self.plain[name]
        else:
            assert self.status(Delete(name)) == 404

    @rule(kept=st.booleans())
    def restart(self, kept: bool) -> None:
        """Closed as it should be, or as by a kill: without a last state."""
        if kept:
            self.sessions.close()
        else:
            self.sessions.store.close()
        self.open()

    @invariant()
    def both_say_the_same(self) -> None:
        if not hasattr(self, "sessions"):
            return
        for name, plain in self.plain.items():
            (view,) = self.ask(Look(name))
            expected = plain.stream.forecast().records()
            assert (view.rows, view.cutoff) == (plain.rows, int(plain.stream.cutoff.astype("int64")))
            for ours, theirs in zip(json.loads(view.json())["forecast"], expected, strict=True):
                assert ours.pop("ds") == theirs.pop("ds")
                assert ours == pytest.approx(theirs, rel=1e-5)  # batches of other shapes
            assert view.coverage == {f"{k:g}": v for k, v in (plain.stream.coverage or {}).items()}

    def teardown(self) -> None:
        if hasattr(self, "sessions"):
            self.sessions.store.close()
            self.folder.cleanup()


def run(examples: int, steps: int, *, same: bool) -> None:
    """same: the same examples every time; otherwise those of --hypothesis-seed."""
    calm = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        derandomize=same,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Machine, settings=calm)


def test_whatever_is_asked_the_service_says_what_a_plain_model_says() -> None:
    run(examples=8, steps=25, same=True)


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_20_000_steps_without_a_difference() -> None:
    run(examples=int(os.environ.get("STEPAHEAD_EXAMPLES", "200")), steps=100, same=False)

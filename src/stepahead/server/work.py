"""A batch on its way: what it changes, who waits for it, and what it came to."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from stepahead.server.jobs import Job, Look, Push
from stepahead.server.plans import LiveSeries
from stepahead.server.store import Changes
from stepahead.server.views import View


@dataclass(frozen=True)
class Answer:
    """To a push: where the series stands now. body: as JSON, where it was kept with an idempotency key."""

    view: View
    repeated: int = 0
    body: bytes | None = None
    created: bool = False


@dataclass(frozen=True)
class BulkAnswer:
    """To a bulk push: rows taken in, rows that were there, and where each series stands, if asked. body: as above."""

    taken: int = 0
    repeated: int = 0
    views: list[View] = field(default_factory=list)
    body: bytes | None = None


@dataclass
class Work:
    """A transaction in the making.

    touched: series that it moves or shows. keys: (number, idempotency key) -> (digest, answer) of requests in it.
    waiting: jobs with what makes their answers once it is committed. events: rows that someone watches for.
    """

    changes: Changes = field(default_factory=Changes)
    touched: dict[str, LiveSeries] = field(default_factory=dict)
    keys: dict[tuple[int, str], tuple[bytes, bytes]] = field(default_factory=dict)
    waiting: list[tuple[Job, Callable[[], Any]]] = field(default_factory=list)
    events: list[tuple[LiveSeries, int, bytes]] = field(default_factory=list)


@dataclass
class Outcome:
    """What a batch of jobs came to. answers: a value or an exception for each. events: (series, JSON) for watchers."""

    answers: list[tuple[Job, Any]] = field(default_factory=list)
    events: list[tuple[str, bytes]] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)


def stands_alone(job: Job) -> bool:
    """Whether a job has a transaction of its own."""
    return not (isinstance(job, Look) or (isinstance(job, Push) and len(job.rows) == 1))


def waves(jobs: Iterable[Any]) -> list[list[Job]]:
    """Jobs in order, cut so that no wave has two of one series."""
    cut: list[list[Job]] = []
    seen: dict[str, int] = {}
    for job in jobs:
        place = seen[job.series] = seen.get(job.series, -1) + 1
        if place == len(cut):
            cut.append([])
        cut[place].append(job)
    return cut


def answered(job: Job, outcome: Outcome) -> bool:
    return any(other is job for other, _ in outcome.answers)

"""What happens to series.  Jobs in, answers out: advance the streams, write rows and states, then answer.

Everything here runs in one thread at a time, as the writer says: pushes to a series are serial by construction. Single
rows of many series share a transaction (group commit) and a call of the kernel; a request of many rows has its own
transaction, all or nothing. What a failure touched leaves memory and is read again from the store, where only commits
count.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import groupby
from time import monotonic
from time import time as now
from typing import Any

from stepahead.errors import ModelFileError, StepaheadError
from stepahead.server.jobs import Create, Delete, Job, Look, Push, PushMany
from stepahead.server.models import Models
from stepahead.server.plans import (
    LiveSeries,
    SeriesPlan,
    check_repeated,
    conflict,
    known_ahead,
    push_several,
    push_together,
)
from stepahead.server.problems import Problem
from stepahead.server.store import Changes, Kept, Store, StoreFailed
from stepahead.server.views import View, bulk_json, coverage_of, hidden_of, records_of
from stepahead.server.work import Answer, BulkAnswer, Outcome, Work, answered, stands_alone, waves

LOG = logging.getLogger("stepahead.server")
STATE_EVERY = 32  # rows between two states of a series; a restart takes the rows behind the last one in again
BULK = 0  # stands for a series' number with the keys of bulk pushes
MOST_LIVE = 10_000  # series in memory
MOST_VIEWS = 2_000  # of them, those whose last answer is in memory, too


class Sessions:
    """The series of a store under the models that are served.

    watched: whether anyone follows a series. state_every, most_live: see the constants above.
    """

    def __init__(
        self,
        models: Models,
        store: Store,
        *,
        watched: Callable[[str], bool] = lambda name: False,
        state_every: int = STATE_EVERY,
        most_live: int = MOST_LIVE,
    ) -> None:
        self.models = models
        self.store = store
        self.watched = watched
        self.state_every = state_every
        self.most_live = most_live
        self.live: OrderedDict[str, LiveSeries] = OrderedDict()
        self.views: dict[str, View] = {}
        self.next_number = store.next_number()
        self.failed_at: float | None = None  # `monotonic` when the last commit failed, or None

    def run(self, jobs: Sequence[Job]) -> Outcome:
        """Do jobs in their order, in as few transactions as may be."""
        outcome = Outcome()
        for alone, group in groupby(jobs, key=stands_alone):
            for part in [[job] for job in group] if alone else [list(group)]:
                self._transaction(part, outcome)
        while len(self.live) > self.most_live:
            name, _ = self.live.popitem(last=False)
            self.views.pop(name, None)
        return outcome

    def close(self) -> None:
        """Keep the state of every series, so that the next start takes no rows in again."""
        changes = Changes()
        for live in self.live.values():
            if live.unsaved:
                changes.states[live.number] = (live.stream.snapshot(), live.cutoff)
        if changes:
            self.store.commit(changes)
        self.store.close()

    def _transaction(self, jobs: list[Job], outcome: Outcome) -> None:
        """Some jobs as one transaction; each is answered, whatever happens."""
        work = Work()
        failed: Exception | None = None
        try:
            self._prepare(jobs, work, outcome)
            if work.changes:
                self.store.commit(work.changes)
                self.failed_at = None
            self._publish(work, outcome)
        except Problem as problem:
            failed = problem
        except StoreFailed as failure:
            LOG.error("the store failed", extra={"error": str(failure)})
            self.failed_at = monotonic()
            failed = store_failed()
        except Exception as error:
            LOG.exception("a mistake in the writer")
            failed = error
        if failed is not None:
            self._forget(work)
            outcome.answers += [(job, failed) for job in jobs if not answered(job, outcome)]

    def _prepare(self, jobs: list[Job], work: Work, outcome: Outcome) -> None:
        job = jobs[0]
        if isinstance(job, Create):
            self._create(job, work)
        elif isinstance(job, Delete):
            self._delete(job, work, outcome)
        elif isinstance(job, PushMany):
            self._push_many(job, work)
        elif stands_alone(job):
            assert isinstance(job, Push)
            self._push_rows(job, work)
        else:
            for wave in waves(jobs):
                self._wave(wave, work, outcome)

    def _publish(self, work: Work, outcome: Outcome) -> None:
        """What was committed becomes visible, then known."""
        for name in work.touched:
            self.views.pop(name, None)  # seen anew when it is asked for
        for live, time, packed in work.events:
            outcome.events.append((live.name, self._see(live, inside=True).event(time, packed)))
        for job, make in work.waiting:
            try:
                outcome.answers.append((job, make()))
            except StepaheadError as error:  # of this job alone: what the others asked for is committed
                outcome.answers.append((job, Problem(422, str(error))))

    def _show(self, live: LiveSeries) -> View:
        """Where a series stands, for all to see."""
        view = self.views.get(live.name)
        if view is None:
            if len(self.views) >= MOST_VIEWS:
                self.views.pop(next(iter(self.views)))
            view = self.views[live.name] = self._see(live)
        return view

    def _see(self, live: LiveSeries, inside: bool = False) -> View:
        stream = live.stream
        return View(
            number=live.number,
            series=live.name,
            model=live.served.name,
            reader=live.served.reader,
            rows=live.rows,
            cutoff=live.cutoff,
            records=records_of(stream),
            coverage=coverage_of(stream),
            drifting=bool(stream.drifting),
            level=tuple(stream.level),
            hidden=hidden_of(stream) if inside else None,
        )

    def _forget(self, work: Work) -> None:
        """Let go of what a failed transaction touched: the store knows where it stood."""
        for name in work.touched:
            self.live.pop(name, None)
            self.views.pop(name, None)

    # Pushes

    def _wave(self, wave: list[Job], work: Work, outcome: Outcome) -> None:
        """Jobs of as many series, one row at most of each: those that may go on advance together."""
        plans: list[tuple[Push, SeriesPlan]] = []
        for job in wave:
            try:
                if isinstance(job, Look):
                    self._look(job, work)
                elif isinstance(job, Push) and not self._known(job, work):
                    plans.append((job, self._plan(job.series, job.rows, work, job.ahead)))
            except Problem as problem:
                outcome.answers.append((job, problem))
        refused = self._advance([plan for _, plan in plans], work)
        for (push, plan), refusal in zip(plans, refused, strict=True):
            if refusal is not None:
                outcome.answers.append((push, refusal))
            else:
                self._answer_push(push, plan, work)

    def _push_rows(self, job: Push, work: Work) -> None:
        """Many rows of one series: all of them or none."""
        if self._known(job, work):
            return
        plan = self._plan(job.series, job.rows, work, job.ahead)
        self._advance_all([plan], work)
        self._answer_push(job, plan, work)

    def _push_many(self, job: PushMany, work: Work) -> None:
        """Rows of many series: all of them or none."""
        found = self._kept(BULK, job, work)
        if found is not None:
            work.waiting.append((job, lambda: BulkAnswer(body=found)))
            return
        plans = []
        for series, rows in job.rows.items():
            try:
                plans.append(self._plan(series, rows, work))
            except Problem as problem:
                raise Problem(problem.status, f"series {series!r}: {problem.detail}") from problem
        self._advance_all(plans, work)
        repeated = sum(plan.repeated for plan in plans)
        taken = sum(len(plan.new) for plan in plans)
        shown = [plan.live for plan in plans] if job.forecast else []
        if job.key is None:
            work.waiting.append((job, lambda: BulkAnswer(taken, repeated, [self._show(live) for live in shown])))
            return
        views = [self._see(live) for live in shown] if job.forecast else None
        body = bulk_json(len(plans), taken, repeated, views)
        self._keep(BULK, job, body, work)
        work.waiting.append((job, lambda: BulkAnswer(taken, repeated, body=body)))

    def _advance_all(self, plans: list[SeriesPlan], work: Work) -> None:
        """Take all rows in: a series with several at once, the others together.

        Raises: Problem 422 at the first refusal.
        """
        for plan in [plan for plan in plans if len(plan.new) > 1]:
            live = work.touched[plan.live.name] = plan.live
            try:
                push_several(live, plan.new)
            except StepaheadError as error:
                raise Problem(422, str(error)) from error
            self._take(live, plan.new, work)
        for problem in self._advance([plan for plan in plans if len(plan.new) == 1], work):
            if problem is not None:  # the stream's own words name the series
                raise problem

    def _advance(self, plans: list[SeriesPlan], work: Work) -> list[Problem | None]:
        """Take the first new row of each plan in, if it has any; what a stream refuses changes nothing of it."""
        refused: dict[int, Problem] = {}
        moving = [plan for plan in plans if plan.new]
        for _, group in groupby(sorted(moving, key=model_of), key=model_of):
            together = list(group)
            work.touched.update((plan.live.name, plan.live) for plan in together)
            refused |= push_together(together)
        for plan in moving:
            if id(plan) not in refused:
                self._take(plan.live, plan.new[:1], work)
        return [refused.get(id(plan)) for plan in plans]

    def _take(self, live: LiveSeries, rows: Sequence[tuple[int, bytes]], work: Work) -> None:
        """A stream has moved on by some rows, to the last of them: what the transaction must hold of it."""
        changes, cutoff = work.changes, rows[-1][0]
        live.rows += len(rows)
        live.cutoff = cutoff
        live.unsaved += len(rows)
        changes.rows += [(live.number, time, packed) for time, packed in rows]
        changes.heads[live.number] = (live.rows, cutoff)
        # Where series move together, their states still come one after the other: the number shifts the turn.
        if live.unsaved >= self.state_every or (live.rows + live.number) % self.state_every < len(rows):
            changes.states[live.number] = (live.stream.snapshot(), cutoff)
            live.unsaved = 0
        if self.watched(live.name):
            work.events += [(live, time, packed) for time, packed in rows]

    def _plan(self, series: str, rows: Sequence[Any], work: Work, future: Sequence[Any] | None = None) -> SeriesPlan:
        """Which rows are new. Nothing is changed yet.

        Raises: Problem 404; 409 for a row that came too late or says something else than the one that is there; 422.
        """
        live = self._find(series)
        reader, plan, at = live.served.reader, SeriesPlan(live, []), live.cutoff
        old: dict[int, bytes] = {}
        aheads = known_ahead(reader, rows, future)
        for row, ahead in zip(rows, aheads, strict=True):
            packed = reader.pack(reader.values(row), ahead)
            time = reader.time(row, at)
            if time > at:
                plan.new.append((time, packed))
                at = time
            elif reader.own(old.setdefault(time, packed)) != reader.own(packed):
                raise conflict(time, live)
        if old:
            pending = {time: packed for number, time, packed in work.changes.rows if number == live.number}
            check_repeated(old, self.store.at(live.number, list(old)) | pending | dict(plan.new), live)
            plan.repeated = len(rows) - len(plan.new)
        return plan

    def _answer_push(self, job: Push, plan: SeriesPlan, work: Work) -> None:
        """Answer once it is committed; with a key, the answer is kept in the same transaction."""
        live, repeated = plan.live, plan.repeated
        work.touched[live.name] = live
        body = None
        if job.key is not None:
            body = self._see(live).json(repeated)
            self._keep(live.number, job, body, work)
        work.waiting.append((job, lambda: Answer(self._show(live), repeated, body)))

    def _known(self, job: Push, work: Work) -> bool:
        """Whether this request was answered before: then it gets the same answer."""
        if job.key is None:
            return False
        live = self._find(job.series)
        found = self._kept(live.number, job, work)
        if found is None:
            return False
        work.waiting.append((job, lambda: Answer(self._show(live), 0, found)))
        work.touched[live.name] = live
        return True

    def _kept(self, number: int, job: Push | PushMany, work: Work) -> bytes | None:
        """The answer that this request had before, None for a new one.

        Raises: Problem 422 where its key was used for another request.
        """
        if job.key is None:
            return None
        found = work.keys.get((number, job.key)) or self.store.key(number, job.key)
        if found is None:
            return None
        if found[0] != job.digest:
            where = "bulk push" if number == BULK else "request to this series"
            raise Problem(422, f"Idempotency-Key: was used for another {where}; choose a new one")
        return found[1]

    def _keep(self, number: int, job: Push | PushMany, body: bytes, work: Work) -> None:
        """Keep an answer with its request's key, in the transaction of the rows."""
        assert job.key is not None
        work.keys[number, job.key] = (job.digest, body)
        work.changes.keys.append((number, job.key, job.digest, body, int(now())))

    # One series

    def _find(self, name: str) -> LiveSeries:
        """A series in memory, from the store if need be. Raises: Problem 404, or 409 where its model is not served."""
        live = self.live.get(name)
        if live is None:
            kept = self.store.find(name)
            if kept is None:
                raise Problem(404, f"no series is named {name!r:.140}; PUT /v1/series/{{id}} begins one")
            live = self.live[name] = self._wake(kept)
        self.live.move_to_end(name)
        return live

    def _wake(self, kept: Kept) -> LiveSeries:
        """Where the series stood: its state, and the rows behind it taken in again."""
        served = self.models.forecasters.get(kept.model)
        if served is None or served.mark != kept.mark:
            what = "is not served" if served is None else "is another file now"
            remedy = "serve the one it began with, or DELETE the series"
            raise Problem(409, f"the series' model {kept.model!r} {what}; {remedy}")
        try:
            stream = served.restore(kept.state)
        except ModelFileError as error:
            what = f"the state of series {kept.name!r} in the store cannot be read ({error})"
            raise Problem(409, f"{what}; DELETE the series, and PUT it again with its rows") from error
        behind = self.store.since(kept.number, kept.state_time)
        for time, packed in behind:  # one by one, as they came: other batches would move the last bits
            stream.push(served.reader.mapping(time, packed), future=served.reader.future(packed))
        return LiveSeries(kept.number, kept.name, served, kept.digest, stream, kept.rows, kept.cutoff, len(behind))

    def _look(self, job: Look, work: Work) -> None:
        live = self._find(job.series)
        work.waiting.append((job, lambda: self._see(live, True) if job.inside else self._show(live)))

    def _create(self, job: Create, work: Work) -> None:
        """Begin a series; the same request again finds it begun.

        Raises: Problem 409 where another request began it.
        """
        try:
            live = self._find(job.series)
        except Problem as problem:
            if problem.status != 404:
                raise
        else:
            if live.digest != job.digest:
                raise Problem(409, f"series {job.series!r} is there already; DELETE it first")
            work.touched[live.name] = live
            work.waiting.append((job, lambda: Answer(self._show(live))))
            return
        served, times = self.models.forecasters[job.model], job.history.times
        kept = Kept(
            number=self.next_number,
            name=job.series,
            model=job.model,
            mark=served.mark,
            digest=job.digest,
            rows=len(times),
            cutoff=times[-1],
            state=job.stream.snapshot(),
            state_time=times[-1],
        )
        self.next_number += 1
        live = LiveSeries(kept.number, job.series, served, job.digest, job.stream, kept.rows, kept.cutoff)
        work.changes.created.append(kept)
        work.changes.rows += [(kept.number, t, p) for t, p in zip(times, job.history.packed, strict=True)]
        work.touched[job.series] = self.live[job.series] = live
        work.waiting.append((job, lambda: Answer(self._show(live), created=True)))

    def _delete(self, job: Delete, work: Work, outcome: Outcome) -> None:
        live = self.live.get(job.series)
        kept = None if live else self.store.find(job.series)
        if live is None and kept is None:
            raise Problem(404, f"no series is named {job.series!r:.140}")
        work.changes.deleted.append(live.number if live else kept.number)  # type: ignore[union-attr]

        def gone() -> None:
            self.live.pop(job.series, None)
            self.views.pop(job.series, None)
            outcome.ended.append(job.series)

        work.waiting.append((job, gone))


def store_failed() -> Problem:
    detail = "the store does not answer; whether this was kept is known when it does: send it again"
    return Problem(503, detail, headers={"retry-after": "1"})


def model_of(plan: SeriesPlan) -> str:
    return plan.live.served.name

"""The one place that writes.  Jobs from the requests -> batches -> Sessions -> answers.

A batch is what came in since the last one: the more there is to do, the more share an fsync. Small batches on a store
that answers quickly run on the event loop itself, between two readings of the sockets: a second thread would fight
for Python's lock at every row and every socket. Large ones, and those of a database behind a network, take a thread.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from stepahead.server.jobs import Job
from stepahead.server.problems import Problem, busy
from stepahead.server.sessions import Sessions
from stepahead.server.work import Outcome

LOG = logging.getLogger("stepahead.server")
MOST_JOBS = 4_096  # waiting
MOST_ROWS = 120_000  # waiting
BATCH = 512  # jobs of one batch at most, so that the first does not wait for the last
SMALL = 1_024  # rows of a batch that may run on the event loop


class Writer:
    """Runs Sessions, one batch at a time; everything but the batch itself happens on the event loop.

    told: called with the Outcome of each batch. timed: called with it and its seconds.
    """

    def __init__(
        self,
        sessions: Sessions,
        *,
        told: Callable[[Outcome], None],
        timed: Callable[[Outcome, float], None] = lambda outcome, seconds: None,
        most_jobs: int = MOST_JOBS,
        most_rows: int = MOST_ROWS,
    ) -> None:
        self.sessions = sessions
        self.told = told
        self.timed = timed
        self.most_jobs = most_jobs
        self.most_rows = most_rows
        self.jobs: deque[Job] = deque()
        self.rows = 0  # waiting, or in the batch
        self.closing = False
        self.called = False  # whether the next batch is on its way
        self.thread = ThreadPoolExecutor(1, "writer")
        self.loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Begin; on the event loop."""
        self.loop = asyncio.get_running_loop()
        self.idle = asyncio.Event()
        self.idle.set()

    async def ask(self, job: Job) -> Any:
        """The answer to a job.

        Raises: Problem 429 where too much waits, 503 when closing, or what the job came to.
        """
        if self.closing or self.loop is None:
            raise Problem(503, "the server is closing", headers={"retry-after": "5"})
        weight = job.weight
        if len(self.jobs) >= self.most_jobs or (self.rows and self.rows + weight > self.most_rows):
            raise busy("the queue of rows to be written")
        job.future = self.loop.create_future()
        self.rows += weight
        self.jobs.append(job)
        self._call()
        return await job.future

    async def stop(self) -> None:
        """Do what waits, keep the states, close the store."""
        self.closing = True
        await self.idle.wait()
        try:
            await asyncio.get_running_loop().run_in_executor(self.thread, self.sessions.close)
        except Exception:  # the rows are on disk; the next start takes those behind the states in again
            LOG.exception("the states could not be kept")
        self.thread.shutdown()

    def _call(self) -> None:
        """See to it that a batch comes, after all sockets that are ready now were read."""
        if not self.called and self.loop is not None:
            self.called = True
            self.idle.clear()
            self.loop.call_soon(self._batch)

    def _batch(self) -> None:
        jobs = [self.jobs.popleft() for _ in range(min(len(self.jobs), BATCH))]
        if self.sessions.store.quick and sum(job.weight for job in jobs) <= SMALL:
            self._deliver(*self._run(jobs))
            return
        assert self.loop is not None
        work = self.loop.run_in_executor(self.thread, self._run, jobs)
        work.add_done_callback(lambda done: self._deliver(*done.result()))

    def _run(self, jobs: list[Job]) -> tuple[Outcome, float]:
        """One batch, wherever; whatever happens, everyone is answered."""
        started = time.perf_counter()
        try:
            outcome = self.sessions.run(jobs)
        except Exception as error:
            LOG.exception("a mistake in the writer")
            outcome = Outcome(answers=[(job, error) for job in jobs])
        return outcome, time.perf_counter() - started

    def _deliver(self, outcome: Outcome, seconds: float) -> None:
        """Hand every answer to the request that waits for it, and go on."""
        rows = 0
        for job, answer in outcome.answers:
            rows += job.weight
            if job.future is None or job.future.done():  # the client went away; what was committed stays
                continue
            if isinstance(answer, BaseException):
                job.future.set_exception(answer)
            else:
                job.future.set_result(answer)
        self.rows -= rows
        self.timed(outcome, seconds)
        self.told(outcome)
        self.called = False
        if self.jobs:
            self._call()
        else:
            self.idle.set()

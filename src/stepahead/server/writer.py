"""The one thread that writes.  Jobs from the event loop -> batches -> Sessions -> answers, back on the event loop.

While a batch is being committed the next one collects: the more there is to do, the more share an fsync.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from stepahead.server.jobs import Job
from stepahead.server.problems import Problem, busy
from stepahead.server.sessions import Outcome, Sessions

LOG = logging.getLogger("stepahead.server")
MOST_JOBS = 4_096  # waiting
MOST_ROWS = 400_000  # waiting
BATCH = 512  # jobs of one batch at most, so that the first does not wait for the last


class Writer:
    """Runs Sessions in a thread of its own.

    told: called on the event loop with the Outcome of each batch. timed: called with (jobs, rows, seconds) of each.
    """

    def __init__(
        self,
        sessions: Sessions,
        *,
        told: Callable[[Outcome], None],
        timed: Callable[[int, int, float], None] = lambda jobs, rows, seconds: None,
        most_jobs: int = MOST_JOBS,
        most_rows: int = MOST_ROWS,
    ) -> None:
        self.sessions = sessions
        self.told = told
        self.timed = timed
        self.most_jobs = most_jobs
        self.most_rows = most_rows
        self.jobs: deque[Job] = deque()
        self.rows = 0  # waiting; changed on the event loop alone
        self.wakened = threading.Event()
        self.closing = False
        self.thread = threading.Thread(target=self._work, name="writer", daemon=True)
        self.loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Begin; on the event loop."""
        self.loop = asyncio.get_running_loop()
        self.thread.start()

    async def ask(self, job: Job) -> Any:
        """The answer to a job.

        Raises: Problem 429 where too much waits, 503 when closing, or what the job came to.
        """
        if self.closing or self.loop is None or not self.thread.is_alive():
            raise Problem(503, "the server is closing", headers={"retry-after": "5"})
        weight = job.weight
        if len(self.jobs) >= self.most_jobs or (self.rows and self.rows + weight > self.most_rows):
            raise busy("the queue of rows to be written")
        job.future = self.loop.create_future()
        self.rows += weight
        self.jobs.append(job)
        self.wakened.set()
        return await job.future

    async def stop(self) -> None:
        """Do what waits, keep the states, close the store."""
        self.closing = True
        self.wakened.set()
        await asyncio.to_thread(self.thread.join)

    def _work(self) -> None:
        while True:
            self.wakened.wait()
            self.wakened.clear()
            while self.jobs:
                self._batch()
            if self.closing:
                break
        try:
            self.sessions.close()
        except Exception:  # the rows are on disk; the next start takes those behind the states in again
            LOG.exception("the states could not be kept")

    def _batch(self) -> None:
        jobs = [self.jobs.popleft() for _ in range(min(len(self.jobs), BATCH))]
        started = time.perf_counter()
        try:
            outcome = self.sessions.run(jobs)
        except Exception as error:  # the thread must live: whoever waits is told
            LOG.exception("a mistake in the writer")
            outcome = Outcome(answers=[(job, error) for job in jobs])
        seconds = time.perf_counter() - started
        assert self.loop is not None
        self.loop.call_soon_threadsafe(self._deliver, outcome, seconds)

    def _deliver(self, outcome: Outcome, seconds: float) -> None:
        """On the event loop: hand every answer to the request that waits for it."""
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
        self.timed(len(outcome.answers), rows, seconds)
        self.told(outcome)

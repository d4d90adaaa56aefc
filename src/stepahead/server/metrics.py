"""What Prometheus is told.  Requests, pushes, batches and series -> text at /metrics."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily

from stepahead.server.jobs import Create, Push, PushMany
from stepahead.server.plans import LiveSeries
from stepahead.server.problems import Problem
from stepahead.server.views import coverage_of
from stepahead.server.work import Outcome

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
SHARED = (1, 2, 5, 10, 20, 50, 100, 200, 512)
CONTENT = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counters of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        given: dict[str, Any] = {"registry": self.registry}
        self.latency = Histogram(
            "stepahead_request_seconds", "Time to answer a request.", ["route", "status"], buckets=SECONDS, **given
        )
        self.rows = Counter("stepahead_rows_total", "Rows of requests that were taken in or repeated.", **given)
        self.batches = Histogram(
            "stepahead_commit_seconds", "Time of a batch: advance, write, fsync.", buckets=SECONDS, **given
        )
        self.jobs = Histogram("stepahead_batch_jobs", "Requests that shared a batch.", buckets=SHARED, **given)
        self.pushes = Counter("stepahead_pushes_total", "Pushes: taken, refused or failed.", ["outcome"], **given)
        self._children: dict[tuple[str, int], Any] = {}

    def request(self, route: str, status: int, seconds: float) -> None:
        """A request was answered."""
        child = self._children.get((route, status))
        if child is None:
            child = self._children[route, status] = self.latency.labels(route, str(status))
        child.observe(seconds)

    def batch(self, outcome: Outcome, seconds: float) -> None:
        """The writer finished a batch."""
        rows, pushes = 0, dict.fromkeys(("taken", "refused", "failed"), 0)
        for job, answer in outcome.answers:
            if isinstance(job, Push | PushMany | Create):
                how = outcome_of(answer)
                pushes[how] += not isinstance(job, Create)
                rows += job.weight if how == "taken" else 0
        self.jobs.observe(len(outcome.answers))
        self.rows.inc(rows)
        self.batches.observe(seconds)
        for how, count in pushes.items():
            if count:
                self.pushes.labels(how).inc(count)

    def watch(self, live: Mapping[str, LiveSeries], waiting: Callable[[], int], watchers: Callable[[], int]) -> None:
        """Tell of the series in memory, too."""
        Gauge("stepahead_queue_jobs", "Requests that wait for the writer.", registry=self.registry).set_function(
            waiting
        )
        Gauge("stepahead_watchers", "Clients that follow a series.", registry=self.registry).set_function(watchers)
        self.registry.register(SeriesCollector(live))

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)


def outcome_of(answer: Any) -> str:
    """How a push ended: "taken" (repeated rows, too), "refused" for what the client must change, or "failed"."""
    if not isinstance(answer, BaseException):
        return "taken"
    return "refused" if isinstance(answer, Problem) and answer.status < 500 else "failed"


class SeriesCollector:
    """Series, coverage and drift by model: a label a series would be too many."""

    def __init__(self, live: Mapping[str, LiveSeries]) -> None:
        self.live = live

    def describe(self) -> list[Any]:
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        live: dict[tuple[str, ...], float] = defaultdict(float)
        drifting: dict[tuple[str, ...], float] = defaultdict(float)
        coverage: dict[tuple[str, ...], list[float]] = defaultdict(list)
        for one in list(self.live.values()):
            model = one.served.name
            live[model,] += 1
            drifting[model,] += one.stream.drifting
            for level, share in coverage_of(one.stream).items():
                if share is not None:
                    coverage[model, level].append(share)
        means: dict[tuple[str, ...], float] = {key: sum(v) / len(v) for key, v in coverage.items()}
        for name, text, labels, values in (
            ("series_live", "Series in memory.", ["model"], live),
            ("series_drifting", "Series whose errors drift.", ["model"], drifting),
            ("coverage", "Share of recent rows inside their interval, mean over series.", ["model", "level"], means),
        ):
            yield family(f"stepahead_{name}", text, labels, values)


def family(name: str, text: str, labels: list[str], values: Mapping[tuple[str, ...], float]) -> GaugeMetricFamily:
    found = GaugeMetricFamily(name, text, labels=labels)
    for key, value in values.items():
        found.add_metric(key, value)
    return found

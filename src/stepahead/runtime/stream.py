"""Live forecasts.  One new row in, one Forecast out, the state carried along; no torch here.

stream = model.stream(panel)
stream.push({"open": 98.3, "close": 99.1})  -> Forecast

Legend: H horizon, L levels, D hidden.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stepahead.errors import ConfigError
from stepahead.forecast import Forecast
from stepahead.parameters import check_whole
from stepahead.runtime.adaptive import Adaptive, Bounds, Yardstick
from stepahead.runtime.history import Tail
from stepahead.runtime.rows import Door, Row
from stepahead.runtime.snapshot import pack_snapshot
from stepahead.runtime.track import Track

Array = NDArray[Any]
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Course:
    """What all streams of one model have in common.

    name, horizon: of the model. schema: its columns. digest: by which a snapshot knows its model. level: L coverages
    in percent. adaptive: whether intervals learn. door: reads the rows. yard: what live errors are ranked among, or
    None. logs: whether the target is positive and moves by shares. positive: whether bounds stay at or above zero where
    the model's do. learned: whether the head itself says how wide intervals are.
    """

    name: str
    horizon: int
    schema: Any
    digest: str
    level: tuple[float, ...]
    adaptive: bool
    door: Door
    yard: Yardstick | None
    logs: bool
    positive: bool
    learned: bool

    def record(self) -> Adaptive:
        """The widths and the record of a stream that has just begun."""
        return Adaptive(
            self.level, self.horizon, logs=self.logs, positive=self.positive, yard=self.yard, learns=self.adaptive
        )


class Stream:
    """One series, live.  `push` takes a row and answers with the forecast from it.

    From `Forecaster.stream` or `Forecaster.restore`. series: its name.
    """

    __slots__ = ("_course", "_cutoff", "_ids", "_track", "series")

    def __init__(self, course: Course, series: str, cutoff: int, track: Track) -> None:
        self.series = series
        self._course, self._cutoff, self._track = course, cutoff, track
        self._ids: Array | None = None

    def push(self, row: Mapping[str, Any], *, future: Rows | None = None) -> Forecast:
        """Take one row in and forecast from it.

        row: column -> value: the target and the inputs, and the time, which may be left out: then it is the next step.
        future: for a model with inputs known ahead, a row of them for each of the next `horizon` steps.
        Returns: Forecast of one origin.
        Raises: DataError for a column that is unknown, absent or no number, or a time that is not after `cutoff`; the
        stream stays as it was.
        """
        door = self._course.door
        taken = door.read(row, self.series, self._cutoff)
        ahead = door.read_ahead(future, self.series)
        bounds = self._track.take(taken, ahead)
        self._cutoff = taken.time
        return self._as_forecast(bounds)

    def forecast(self, *, future: Rows | None = None) -> Forecast:
        """The present forecast, without a new row. future: as for `push`."""
        present = self._track.present
        if present is None or future is not None:
            present = self._track.what_if(self._course.door.read_ahead(future, self.series))
        return self._as_forecast(present)

    def fork(self) -> "Stream":
        """An independent copy that stands where this one stands, to try what if."""
        return Stream(self._course, self.series, self._cutoff, self._track.copy())

    def __copy__(self) -> "Stream":
        return self.fork()

    def __deepcopy__(self, memo: Any) -> "Stream":
        return self.fork()

    def sample(self, paths: int, seed: int = 0, *, steps: int | None = None) -> Array:
        """Draw what may come from the present forecast and its intervals: [paths, steps].

        Up to the horizon each path is as far into every step's distribution as a random walk would be, so that its
        steps hang together; the distribution between and beyond the bounds is read off a normal one. Further ahead each
        path is a fork that reads its own draws, one by one, so that uncertainty accumulates in its state; each is drawn
        about the fork's own forecast, as far from it as the present intervals reach, or as the head says there.
        paths, seed: the same seed, the same paths. steps: the horizon if None.
        Raises: ConfigError for a stream without intervals, more steps than the horizon of a model with inputs beside
        the target, or numbers that cannot be.
        """
        check_whole(paths=(paths, 1), seed=(seed, 0), steps=(self.horizon if steps is None else steps, 1))
        if steps is not None and steps > self.horizon:
            return self._read_own_draws(paths, seed, steps)
        present, known = self._need_intervals(), self._known_scores()
        walk = np.random.default_rng(seed).normal(size=(paths, self.horizon)).cumsum(axis=1)
        z = walk / np.sqrt(np.arange(1, self.horizon + 1))  # [paths, H], each step standard normal
        ahead = zip(z.T, present.mean, present.lo, present.hi, strict=True)
        drawn = [between_bounds(scores, known, mean, lo, hi) for scores, mean, lo, hi in ahead]
        return np.stack(drawn, axis=1)[:, :steps]

    def snapshot(self) -> bytes:
        """The whole state as bytes, some kilobytes, checksummed; `Forecaster.restore` brings it back, anywhere."""
        rows = self._track.rows()
        values = {
            "model": self._course.digest,
            "series": self.series,
            "cutoff": self._cutoff,
            "level": list(self.level),
            "adaptive": self._course.adaptive,
            "static": rows.static.tolist(),
        }
        arrays = {"times": rows.times, "past": rows.past, "future": rows.future}
        return pack_snapshot(values, arrays | self._track.arrays())

    @property
    def name(self) -> str:
        """The output column: the cell in capitals."""
        return self._course.name

    @property
    def horizon(self) -> int:
        """Steps ahead."""
        return self._course.horizon

    @property
    def level(self) -> tuple[float, ...]:
        """Coverages in percent that come with each forecast."""
        return self._course.level

    @property
    def cutoff(self) -> Any:
        """The time of the last row taken in: a whole number, or datetime64[us] (UTC where the model has a zone)."""
        counts = self._course.door.counts_steps
        return self._cutoff if counts else np.datetime64(self._cutoff, "us")

    @property
    def last_time(self) -> int:
        """The cutoff as a number: steps, or microseconds since 1970."""
        return self._cutoff

    @property
    def present(self) -> Bounds | None:
        """The present forecast as plain numbers."""
        return self._track.present

    @property
    def door(self) -> Door:
        """How its rows are read and its times are written."""
        return self._course.door

    @property
    def coverage(self) -> dict[float, float] | None:
        """The share of truths that lay inside each level's interval, over the recent pushes; None before the first."""
        return self._track.coverage

    @property
    def drifting(self) -> bool:
        """Whether the errors are no longer what they were on held-out rows: time to fit anew."""
        return self._track.drifting

    @property
    def hidden(self) -> Array | None:
        """The hidden units of the (first) network after the last row: [D], or None where it shows none."""
        return self._track.hidden

    def kept(self) -> Tail:
        """The newest rows, as many as a snapshot holds; for pipes."""
        return self._track.rows()

    def read(self, values: Sequence[Any], time: Any, after: int | None) -> Row:
        """A row from its values in the order of the model's columns, checked but not taken in; for pipes.

        after: the time of the row before it; None for the last one taken in.
        """
        row = self._course.door.row_of(values, time, self.series, self._cutoff if after is None else after)
        self._track.check(row)
        return row

    def read_at(self, time: int, values: Sequence[Any], after: int | None = None) -> Row:
        """The same with the time as a number; for stores."""
        row = self._course.door.row_at(time, values, self.series, self._cutoff if after is None else after)
        self._track.check(row)
        return row

    def push_rows(self, rows: Sequence[Row], *, tell: bool = True) -> list[Bounds]:
        """Take several rows in that `read` gave; the forecast from each, as plain numbers, if it is to be told."""
        told = self._track.take_rows(rows, tell=tell)
        self._cutoff = rows[-1].time
        return told

    def _read_own_draws(self, paths: int, seed: int, steps: int) -> Array:
        """Paths of any length: draw one step ahead, push it, and so on: [paths, steps]."""
        schema = self._course.schema
        if len(schema.past) > 1 or schema.future:
            raise ConfigError(
                f"steps={steps} is beyond the horizon, {self.horizon}, and the inputs beside '{schema.target}' are not "
                f"forecast; fork() and push() rows of your own, or fit with horizon={steps}"
            )
        self._need_intervals()
        forks, drawn = [self.fork() for _ in range(paths)], np.empty((paths, steps))
        for step, scores in enumerate(np.random.default_rng(seed).normal(size=(steps, paths))):
            drawn[:, step] = self._next_of(forks, scores)
            push_many(forks, [{schema.target: value} for value in drawn[:, step].tolist()])
        return drawn

    def _next_of(self, forks: "Sequence[Stream]", scores: Array) -> Array:
        """The next value of each fork, so far into its distribution as these normal scores [N] say: [N].

        Intervals that are as wide as the window moves keep the width of this stream's: draws would else widen what the
        next ones are drawn from, without end.
        """
        known, presents = self._known_scores(), [fork.present for fork in forks]
        if self._course.learned:
            pairs = zip(scores, presents, strict=True)
            return np.array([between_bounds(z, known, p.mean[0], p.lo[0], p.hi[0]) for z, p in pairs if p])
        own, middle = self._need_intervals(), np.array([p.mean[0] for p in presents if p])
        mean, bounds = own.mean[0], np.array([own.lo[0], own.hi[0]])
        if self._course.logs:
            lo, hi = np.log(bounds / mean).tolist()
            return middle * np.exp(between_bounds(scores, known, 0.0, lo, hi))
        lo, hi = (bounds - mean).tolist()
        values = middle + between_bounds(scores, known, 0.0, lo, hi)
        return np.maximum(values, 0.0) if self._course.positive and own.lo[0][-1] >= 0 else values

    def _need_intervals(self) -> Bounds:
        """The present forecast with its intervals.  Raises: ConfigError where it has none."""
        present = self._track.present
        if present is None or not self.level:
            raise ConfigError("sample() needs intervals: stream(level=[80, 95]), of a model that has held-out errors")
        return present

    def _known_scores(self) -> list[float]:
        """The normal scores at which bounds are known, ascending: [L]."""
        return [NormalDist().inv_cdf(0.5 + level / 200) for level in self.level]

    def _as_forecast(self, bounds: Bounds) -> Forecast:
        course = self._course
        door = course.door
        if self._ids is None:
            self._ids = np.array([self.series], dtype=object)
        forecast = object.__new__(Forecast)
        # A frozen dataclass sets its fields one by one, at twice the cost.
        forecast.__dict__.update(
            name=course.name,
            ids=self._ids,
            cutoffs=np.array([self._cutoff], door.time_type),
            times=door.times_after(self._cutoff).view(door.time_type)[None],
            mean=np.array([bounds.mean]),
            level=course.level,
            lo=np.array([bounds.lo]),
            hi=np.array([bounds.hi]),
            schema=course.schema,
        )
        return forecast


def between_bounds(z: Array, known: list[float], mean: float, lo: list[float], hi: list[float]) -> Array:
    """Normal scores as values of a step whose bounds are known at some scores: straight lines between, and beyond."""
    scores = np.array([*(-k for k in known[::-1]), 0.0, *known])
    values = np.array([*lo[::-1], mean, *hi])
    inside = np.interp(z, scores, values)
    edge = np.where(z > 0, values[-1], values[0])
    return np.where(np.abs(z) > known[-1], mean + (edge - mean) * np.abs(z) / known[-1], inside)


def push_many(streams: Sequence[Stream], rows: Rows) -> list[Forecast]:
    """Push one row to each of several streams of one model; the network runs over all of them at once.

    Raises: DataError as `Stream.push` does, before any stream has changed; ConfigError for streams of several models,
    or one stream twice.
    """
    if len(streams) != len(rows):
        raise ConfigError(f"push_many takes a row for each stream: {len(streams)} streams, {len(rows)} rows")
    if len({id(stream) for stream in streams}) != len(streams):
        raise ConfigError("push_many takes one row a stream; push the others after it")
    if len({stream._course.digest for stream in streams}) > 1:
        raise ConfigError("push_many takes streams of one model; call it once for each model")
    door = streams[0]._course.door if streams else None
    if door is None:
        return []
    taken = [door.read(row, stream.series, stream._cutoff) for stream, row in zip(streams, rows, strict=True)]
    advance(streams, taken)
    return [stream.forecast() for stream in streams]


def advance(streams: Sequence[Stream], rows: Sequence[Row]) -> None:
    """Take one checked row into each of several streams of one model, all different; or an error, and none.

    Those of one course run as one batch: streams of other levels, or of another load of the file, have their own.
    """
    courses: dict[int, list[int]] = {}
    for n, stream in enumerate(streams):
        courses.setdefault(id(stream._course), []).append(n)
    tracks = [stream._track for stream in streams]
    if len(courses) > 1:  # an error in a later course must leave the earlier ones as they were
        tracks = [track.copy() for track in tracks]
    for places in courses.values():
        together = [tracks[n] for n in places]
        together[0].take_many(together, [rows[n] for n in places])
    for stream, track, row in zip(streams, tracks, rows, strict=True):
        stream._track, stream._cutoff = track, row.time

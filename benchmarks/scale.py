"""How large may a panel be?  Seconds, rates and memory for 100 to 100,000 series of 100 rows, made here.

    python benchmarks/scale.py [--series 100 1000 10000 100000] [--steps N] [--calendar] [--json FILE]

For each size a child process reads the table from Parquet, fits `Forecaster(horizon=12, season_length=12,
holdout=None)` and predicts.  --calendar: hourly series of 837 rows instead, with `horizon=8, season_length=[24, 168],
calendar=True`, where a window is 528 rows of 15 inputs beside its target.  --steps bounds the optimizer steps (the
recipe's own, up to 3,000, where absent): a rate needs few.  Peaks are the child's greatest resident memory, from its
first import on, after reading and at the end; values are what the Panel's own arrays take.  The loader's share is the
time that the training waits for batches, of all its time.  The exit status is 1 where the largest size takes 4 GB, a
forecast of 10,000 series 2 s, or the loader 10 % of a step.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from timing import machine

ROWS, HOURS = 100, 837
BY_MONTHS: dict[str, Any] = {"horizon": 12, "season_length": 12}
BY_HOURS: dict[str, Any] = {"horizon": 8, "season_length": [24, 168], "recipe": "panel", "calendar": True}
MEMORY = 4.0  # GB
PREDICT, MANY = 2.0, 10_000  # seconds, series
LOADER = 0.10


@dataclass(frozen=True)
class Line:
    """What one size took. read, fit, predict: seconds. waited: the loader's share of the training. values, peak_read,
    peak: GB.
    """

    series: int
    read: float
    fit: float
    steps: int
    windows_per_second: float
    waited: float
    predict: float
    values: float
    peak_read: float
    peak: float
    load: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--series", type=int, nargs="+", default=[100, 1000, 10_000, 100_000])
    parser.add_argument("--steps", type=int)
    parser.add_argument("--calendar", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write:
        (write_hours if options.calendar else write)(options.write, options.series[0])
        return 0
    if options.child:
        print(json.dumps(asdict(measure(options.child, options.series[0], options.steps, options.calendar))))
        return 0
    rows = HOURS if options.calendar else ROWS
    print(f"{machine()}; {rows} rows a series")
    print(
        f"{'series':>8} {'read s':>7} {'fit s':>7} {'steps':>6} {'windows/s':>10} {'waited':>7} {'predict s':>10} "
        f"{'values':>6} {'read':>6} {'peak GB':>8}"
    )
    lines = [in_child(count, options.steps, options.calendar) for count in options.series]
    if options.json:
        options.json.write_text(json.dumps([asdict(line) for line in lines], indent=1))
    return 0 if all(within(line) for line in lines) else 1


def in_child(series: int, steps: int | None, calendar: bool) -> Line:
    """One size in a process of its own, so that its peak is its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "panel.parquet"
        given = [str(path), "--series", str(series), *(["--calendar"] if calendar else [])]
        # In a process of its own: a child begins with the peak of the process that started it.
        subprocess.run([sys.executable, __file__, "--write", *given], check=True)
        command = [sys.executable, __file__, "--child", *given]
        command += [] if steps is None else ["--steps", str(steps)]
        found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    line = Line(**json.loads(found.splitlines()[-1]))
    print(
        f"{line.series:8} {line.read:7.2f} {line.fit:7.1f} {line.steps:6} {line.windows_per_second:10.0f} "
        f"{line.waited:7.1%} {line.predict:10.2f} {line.values:6.2f} {line.peak_read:6.2f} {line.peak:8.2f}   "
        f"load {line.load:.1f}",
        flush=True,
    )
    return line


def within(line: Line) -> bool:
    """Whether a line keeps to the bars."""
    quick = line.series > MANY or line.predict < PREDICT
    return line.peak < MEMORY and quick and line.waited < LOADER


def measure(path: Path, series: int, steps: int | None, calendar: bool) -> Line:
    """Read, fit, predict."""
    import stepahead as sa
    from stepahead.panels import descend, learn

    read, panel = timed(lambda: sa.read(path))
    peak_read = peak()
    bounded: Any = {} if steps is None else {"max_steps": steps}
    asked = BY_HOURS if calendar else BY_MONTHS
    model = sa.Forecaster(**asked, holdout=None, seed=1, **bounded)
    clock = Waiting(descend.batches_ahead)
    descending, descend.batches_ahead = Timed(learn.descend), clock
    learn.descend = descending
    fit, _ = timed(lambda: model.fit(panel))
    predict, frame = timed(model.predict)
    assert len(frame) == asked["horizon"] * series
    assert np.isfinite(frame[model.name].to_numpy()).all()
    config = model.config_
    seen = config.max_steps * config.ensemble * (config.batch_size or 0)
    return Line(
        series=series,
        read=read,
        fit=fit,
        steps=config.max_steps,
        windows_per_second=seen / descending.seconds,
        waited=clock.seconds / descending.seconds,
        predict=predict,
        values=(panel.times.nbytes + panel.past.nbytes + panel.offsets.nbytes) / 2**30,
        peak_read=peak_read,
        peak=peak(),
        load=os.getloadavg()[0],
    )


def peak() -> float:
    """The greatest resident memory so far: GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def write(path: Path, series: int) -> None:
    """Monthly series with a season, a trend and a level of their own."""
    rng, t = np.random.default_rng(0), np.arange(ROWS)
    level = np.exp(rng.normal(4, 1, size=(series, 1)))
    y = 1 + 0.3 * np.sin(2 * np.pi * (t + rng.integers(12, size=(series, 1))) / 12) + 0.002 * t
    save(path, level * y * np.exp(0.1 * rng.normal(size=(series, ROWS))), np.datetime64("2015-01", "M") + t)


def write_hours(path: Path, series: int) -> None:
    """Hourly series with the seasons of a day and of a week."""
    rng, t = np.random.default_rng(0), np.arange(HOURS)
    level = np.exp(rng.normal(4, 1, size=(series, 1)))
    y = 1 + 0.3 * np.sin(2 * np.pi * t / 24) + 0.1 * np.sin(2 * np.pi * t / 168)
    save(path, level * y * np.exp(0.1 * rng.normal(size=(series, HOURS))), np.datetime64("2021-01-01T00", "h") + t)


def save(path: Path, y: np.ndarray, ds: np.ndarray) -> None:
    """A long table: y [S, R], ds [R]."""
    import polars as pl

    ids = np.repeat([f"s{s:06d}" for s in range(len(y))], len(ds))
    table = {"unique_id": ids, "ds": np.tile(ds.astype("datetime64[us]"), len(y)), "y": y.ravel()}
    pl.DataFrame(table).write_parquet(path)


def timed(run: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    found = run()
    return time.perf_counter() - started, found


class Timed:
    """A function that remembers how long it took in all."""

    def __init__(self, run: Callable[..., Any]) -> None:
        self.run, self.seconds = run, 0.0

    def __call__(self, *args: Any) -> Any:
        seconds, found = timed(lambda: self.run(*args))
        self.seconds += seconds
        return found


class Waiting(Timed):
    """A generator that remembers how long its values were waited for."""

    def __call__(self, *args: Any) -> Any:
        values = self.run(*args)
        try:
            while True:
                seconds, value = timed(lambda: next(values))
                self.seconds += seconds
                yield value
        finally:
            values.close()


if __name__ == "__main__":
    sys.exit(main())

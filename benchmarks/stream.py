"""One row in, one forecast out: how long a push takes, many series at once, and rows a second through the pipe.

python benchmarks/stream.py [rows of the pipe, 1,000,000]
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import stepahead as sa
from stepahead.runtime.stream import push_many
from timing import machine

REPEATS, PUSHES, SERIES = 9, 2000, 1000


def model() -> tuple[sa.Forecaster, sa.Panel]:
    """The classic recipe, LSTM of 10 over 7 rows of 5 inputs, on the bundled stock."""
    panel = sa.read(sa.samples.path("goog"), time="date", target="close")
    return sa.Forecaster("classic", max_steps=100).fit(panel.head(1500)), panel


def measure(action: Callable[[], object], count: int) -> None:
    """Median and minimum in microseconds an item."""
    spent = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        action()
        spent.append((time.perf_counter() - started) / count * 1e6)
    print(f"  median {np.median(spent):7.2f} us   minimum {min(spent):7.2f} us   ({REPEATS} x {count})")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("rows", type=int, nargs="?", default=1_000_000, help="rows through the shell")
    rows = arguments.parse_args().rows
    print(machine())
    forecaster, panel = model()
    stream = forecaster.stream()
    names = panel.schema.past
    row = dict(zip(names, panel.past[1500].tolist(), strict=True))
    assert np.array_equal(
        forecaster.stream(panel.head(1500)).push(row).mean, forecaster.forecast(panel, np.array([1500])).mean
    )
    print("Stream.push, with scaling, adaptive intervals of 80 and 95, drift:")
    measure(lambda: [stream.push(row) for _ in range(PUSHES)], PUSHES)
    print(f"push_many, {SERIES} series:")
    streams = [stream.fork() for _ in range(SERIES)]
    measure(lambda: push_many(streams, [row] * SERIES), SERIES)
    carried = sa.Forecaster("classic", memory="carried", max_steps=20).fit(panel.head(1500)).stream()
    print("Stream.push, memory='carried':")
    measure(lambda: [carried.push(row) for _ in range(PUSHES)], PUSHES)
    pipe(forecaster, panel, rows)


def pipe(forecaster: sa.Forecaster, panel: sa.Panel, rows: int) -> None:
    """The whole process of `stepahead stream`: start, parse, push, print."""
    with tempfile.TemporaryDirectory() as folder:
        source, saved = Path(folder) / "rows.csv", Path(folder) / "m.safetensors"
        forecaster.save(saved)
        lines = [",".join(map(repr, values)) + "\n" for values in panel.past[1500:2000].tolist()]
        with source.open("w") as file:
            file.write(",".join(panel.schema.past) + "\n")
            for start in range(0, rows, len(lines)):
                file.writelines(lines[: rows - start])
        started = time.perf_counter()
        with source.open() as given, (Path(folder) / "out.csv").open("w") as out:
            command = [sys.executable, "-c", "from stepahead.cli import main; main()", "stream", str(saved)]
            subprocess.run(command, stdin=given, stdout=out, check=True)
        spent = time.perf_counter() - started
        with (Path(folder) / "out.csv").open() as file:
            assert sum(1 for _ in file) == rows + 1
    print(f"stepahead stream: {rows:,} rows in {spent:.1f} s, {rows / spent:,.0f} rows/s")


if __name__ == "__main__":
    main()

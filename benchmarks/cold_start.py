"""`stepahead predict` as a whole process: seconds from start to exit, and the memory it held.

    python benchmarks/cold_start.py [--repeats 9]

The bars are 0.5 s and 120 MB; the exit status is 1 where one is missed.  Beside it, in turns, a bare `python -c pass`
and `import polars`, which is what reading the table costs at least.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from timing import machine

SECONDS, MEGABYTES = 0.5, 120
# The model is made in a process of its own: a child's peak memory begins with that of the process it was forked from.
PREPARE = """
import sys, stepahead as sa
table = sa.samples.path("goog")
panel = sa.read(table, time="date", target="close")
sa.Forecaster(recipe="classic", max_steps=50, holdout=None).fit(panel).save(sys.argv[1])
print(table)
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "goog.safetensors"
        table = subprocess.run(
            [sys.executable, "-c", PREPARE, str(model)], check=True, capture_output=True, text=True
        ).stdout.strip()
        shell = str(Path(sys.executable).with_name("stepahead"))
        sides = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "import polars": [sys.executable, "-c", "import polars"],
            "stepahead predict": [shell, "predict", str(model), table, "--quiet"],
        }
        found = {name: [] for name in sides}
        for _ in range(options.repeats + 1):
            for name, command in sides.items():
                found[name].append(run(command))
    print(f"{machine('polars', 'typer')}; {options.repeats} repeats in turns after one warm-up\n")
    print(f"{'process':20} {'median s':>9} {'least s':>9} {'peak MB':>9}")
    for name, runs in found.items():
        seconds, memory = zip(*runs[1:], strict=True)
        print(f"{name:20} {statistics.median(seconds):9.3f} {min(seconds):9.3f} {max(memory):9.1f}")
    seconds, memory = zip(*found["stepahead predict"][1:], strict=True)
    reached = statistics.median(seconds) <= SECONDS and max(memory) <= MEGABYTES
    print(f"\nbar {SECONDS} s, {MEGABYTES} MB: {'reached' if reached else 'MISSED'}")
    return 0 if reached else 1


def run(command: list[str]) -> tuple[float, float]:
    """Seconds of a whole process, by the wall clock, and its peak resident memory in MB."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    elapsed = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with status {process.returncode}")
    return elapsed, usage.ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())

"""How benchmarks measure: the machine in words, two sides in turns, a side in a process of its own."""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

PACKAGES = ("stepahead", "torch", "numpy")


@dataclass(frozen=True)
class Timing:
    """Seconds of all repeats of one side."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def minimum(self) -> float:
        return min(self.seconds)


def machine(*packages: str) -> str:
    """Processor, threads and versions, in one line for the head of a result."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in (*PACKAGES, *packages))
    return f"{processor()}, {len(os.sched_getaffinity(0))} threads, Python {sys.version.split()[0]}, {versions}"


def processor() -> str:
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def in_turns(
    sides: Mapping[str, Callable[[], Any]], *, repeats: int, warmups: int = 1, settle: float = 0.0
) -> dict[str, Timing]:
    """Time several sides A B A B, so that the machine's moods fall on all alike.

    sides: name -> what to run. repeats: of each, after so many warm-ups that do not count. settle: seconds that a side
    runs before its turn counts: the threads of the side before, which spin for a while, have gone to sleep then.
    """
    found: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(warmups + repeats):
        for name, run in sides.items():
            settled = time.perf_counter() + settle
            while time.perf_counter() < settled:
                run()
            started = time.perf_counter()
            run()
            if turn >= warmups:
                found[name].append(time.perf_counter() - started)
    return {name: Timing(tuple(seconds)) for name, seconds in found.items()}


def worker(command: Sequence[str]) -> Callable[[Any], Any]:
    """A side in a process of its own, which times nothing: it answers each line of JSON with another.

    Returns: what is asked -> its answer.
    """
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    asked, answers = process.stdin, process.stdout
    assert asked is not None
    assert answers is not None

    def ask(message: Any) -> Any:
        print(json.dumps(message), file=asked, flush=True)
        return json.loads(answers.readline())

    return ask


def report(timings: Mapping[str, Timing], *, reference: str) -> str:
    """A table in Markdown: median, minimum, and how many times faster than the reference."""
    rows = ["| | median | minimum | against the reference |", "|---|---|---|---|"]
    for name, timing in timings.items():
        ratio = timings[reference].median / timing.median
        rows.append(f"| {name} | {timing.median:.3f} s | {timing.minimum:.3f} s | {ratio:.2f}x |")
    return "\n".join(rows)

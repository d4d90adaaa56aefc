"""The claim: a backtest's memory grows with the rows, not with rows x window x refits; 1,000,000 rows stay under 1 GB.

Each line is a process of its own: a random walk, a classic LSTM trained for two steps of 64 windows at each of so many
cutoffs, 1,000 rows apart, 100 forecasts from each fit; 0 refits is one split, the last 30 % forecast one by one. It
prints the peak of the whole process, imports of Python and torch included (the first line: 1,000 rows).

    python benchmarks/memory.py [--rows 1000000]
"""

import argparse
import resource
import subprocess
import sys
from pathlib import Path

LIMIT = 1000  # MB


def child(rows: int, window: int, refits: int) -> None:
    """One backtest, and this process's peak in MB on stdout."""
    import numpy as np

    import stepahead as sa

    panel = sa.Panel.from_arrays(100 + np.random.default_rng(0).normal(size=rows).cumsum())
    model = sa.Forecaster(recipe="classic", window=window, max_steps=2, batch_size=64, season_length=None)
    plan = {"n_windows": 100 * refits, "step_size": min(10, rows // 1000), "refit": 100} if refits else {}
    assert sa.backtest(model, panel, **plan).n_fits == max(refits, 1)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def peak(rows: int, window: int, refits: int) -> float:
    code = f"from memory import child; child({rows}, {window}, {refits})"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parent
    )
    return float(run.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    print("| rows | window | refits | peak, MB |\n|---|---|---|---|")
    found = {}
    for case in ((1000, 7, 1), (rows, 7, 1), (rows, 365, 1), (rows, 7, 10), (rows, 365, 10), (rows, 365, 0)):
        found[case] = peak(*case)
        print(f"| {case[0]:,} | {case[1]} | {case[2]} | {found[case]:.0f} |", flush=True)
    assert max(found.values()) < LIMIT, f"{max(found.values()):.0f} MB is over {LIMIT}"


if __name__ == "__main__":
    main()

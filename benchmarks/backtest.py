"""The claim: walk-forward with 50 refits x 5 seeds takes a tenth of the time of a plain torch.nn loop, or less.

The classic recipe on the bundled prices: at 50 cutoffs, 20 rows apart, an ensemble of five is trained on the last 512
rows, 500 full-batch steps each: 250 trainings. The loop by hand (fit.py) trains one after the other; it is measured on
a few of them, before and after each of our whole backtests, and its median taken 250 times. With --peers, Darts'
historical_forecasts(retrain=True) and NeuralForecast's cross_validation(refit=True) do the same work, scaled down to
one seed and --peer-refits refits; what is compared is seconds for one training of 500 steps.

With --level instead ten refits with intervals, whose held-out stretches are trained beside them: all fits together, and
fold by fold, in turns. The bounds must be the same bits.

    python benchmarks/backtest.py [--rounds 3] [--loops 5] [--peers PYTHON] [--write]
    python benchmarks/backtest.py --level
"""

import argparse
import json
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

import stepahead as sa
import timing
from fit import STEPS, by_hand

REFITS, SEEDS, ROWS, STRIDE, BAR = 50, 5, 512, 20, 10.0
TRAININGS = REFITS * SEEDS


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=3, help="whole backtests of ours")
    arguments.add_argument("--loops", type=int, default=5, help="trainings by hand in each round")
    arguments.add_argument("--peers", help="a Python with darts and neuralforecast")
    arguments.add_argument("--peer-refits", type=int, default=2)
    arguments.add_argument("--write", action="store_true", help="write benchmarks/results/backtest.md")
    arguments.add_argument("--level", action="store_true", help="measure ten refits with intervals instead")
    options = arguments.parse_args()
    panel = sa.read(sa.samples.path("goog"), time="date", target="close")
    if options.level:
        print(timing.machine(), "\n")
        print(timing.report(with_level(panel, options.rounds), reference="fold by fold"))
        return
    slices = cut(panel)
    check(panel, slices)
    loop, ours = measure(panel, slices, options.rounds, options.loops)
    lines = [timing.machine(), "", *table(loop, ours)]
    if options.peers:
        lines += ["", *peers(options.peers, options.peer_refits, statistics.median(ours) / TRAININGS)]
    text = "\n".join(lines)
    print(text)
    if options.write:
        path = Path(__file__).parent / "results" / "backtest.md"
        path.write_text(f"# backtest.py\n\n{text}\n", encoding="utf-8")
    ratio = statistics.median(loop) * TRAININGS / statistics.median(ours)
    assert ratio >= BAR, f"{ratio:.1f}x is below {BAR:g}x"


def cut(panel: sa.Panel) -> list[np.ndarray]:
    """The training rows of each cutoff, as the loop by hand takes them: REFITS x [ROWS, P]."""
    stops = panel.n_rows - 1 - STRIDE * np.arange(REFITS - 1, -1, -1)
    return [panel.past[stop - ROWS : stop] for stop in stops]


def walk(panel: sa.Panel, seeds: int = SEEDS) -> Any:
    model = sa.Forecaster(recipe="classic", ensemble=seeds)
    return sa.backtest(model, panel, n_windows=REFITS, step_size=STRIDE, train_rows=ROWS)


def check(panel: sa.Panel, slices: list[np.ndarray]) -> None:
    """Both sides learn the same thing from the same rows: their losses agree to what the starting weights explain."""
    model = sa.Forecaster(recipe="classic", ensemble=SEEDS, holdout=None)
    fitted = model.fit(sa.Panel.from_arrays(slices[0]))
    ours = np.median([history[-1][1] for history in fitted.history_])
    loop = np.median([by_hand(slices[0], seed) for seed in range(3)])
    assert 0.7 < loop / ours < 1.4, f"the two sides do not learn the same: {loop} by hand, {ours} ours"


def with_level(panel: sa.Panel, rounds: int) -> dict[str, timing.Timing]:
    """Ten refits with 80 % intervals, their fits together and one after the other."""

    def bounds() -> np.ndarray:
        model = sa.Forecaster(recipe="classic")
        result = sa.backtest(model, panel, n_windows=10, step_size=STRIDE, train_rows=ROWS, level=[80])
        return np.stack([result.lo, result.hi])

    def by_fold() -> np.ndarray:
        with patch("stepahead.evaluate.walk.FLEET", 1):
            return bounds()

    assert np.array_equal(bounds(), by_fold()), "together and fold by fold differ"
    return timing.in_turns({"together": bounds, "fold by fold": by_fold}, repeats=rounds, warmups=0)


def measure(panel: sa.Panel, slices: list[np.ndarray], rounds: int, loops: int) -> tuple[list[float], list[float]]:
    """Seconds of each training by hand, and of each whole backtest of ours, in turns."""
    loop: list[float] = []
    ours: list[float] = []
    by_hand(slices[0])
    for turn in range(rounds + 1):
        for seed in range(turn * loops, (turn + 1) * loops):
            loop.append(seconds(lambda seed=seed: by_hand(slices[seed % REFITS], seed)))
        if turn < rounds:
            ours.append(seconds(lambda: walk(panel)))
    return loop, ours


def seconds(run: Any) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def table(loop: list[float], ours: list[float]) -> list[str]:
    """The two sides, in Markdown."""
    one, whole = statistics.median(loop), statistics.median(ours)
    return [
        f"{REFITS} refits x {SEEDS} seeds of the classic recipe, {TRAININGS} trainings of {STEPS} full-batch steps on "
        f"{ROWS} rows.",
        f"The loop was measured on {len(loop)} trainings, ours whole {len(ours)} times, in turns; medians:",
        "",
        "| | one training | all 250 | |",
        "|---|---|---|---|",
        f"| a torch.nn loop | {one:.3f} s (minimum {min(loop):.3f}) | {one * TRAININGS:.0f} s, computed | 1x |",
        f"| sa.backtest | {whole / TRAININGS:.3f} s | {whole:.1f} s (minimum {min(ours):.1f}) | "
        f"{one * TRAININGS / whole:.1f}x |",
        "",
        f"The loop takes {1000 * one / STEPS:.2f} ms a step.",
    ]


def peers(python: str, refits: int, own: float) -> list[str]:
    """What the same work costs in other packages, in Markdown. own: our seconds for one training."""
    script, rows = Path(__file__).parent / "backtest_peers.py", []
    for name, call in {
        "darts": "historical_forecasts(retrain=True)",
        "neuralforecast": "cross_validation(refit=True)",
    }.items():
        command = [python, str(script), name, str(sa.samples.path("goog")), str(refits), str(STEPS)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode != 0:
            raise SystemExit(f"{name}: {ended.stderr.strip().splitlines()[-1]}")
        found = json.loads(ended.stdout.splitlines()[-1])
        each = found["seconds"] / refits
        rows.append(
            f"| {name} {found['version']}, `{call}` | {refits} of 250 | {each:.2f} s | {each * TRAININGS:.0f} s | "
            f"{each / own:.0f}x ours |"
        )
    return [
        f"Other packages, scaled down to {refits} refits of one seed, {STEPS} steps each, one run; all 250 are "
        f"computed from that.",
        "",
        "| | trained | one training | all 250 | |",
        "|---|---|---|---|---|",
        *rows,
    ]


if __name__ == "__main__":
    main()

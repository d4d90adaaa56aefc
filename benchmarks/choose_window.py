"""Does the window search find the length that a series needs, and say so where none matters?

    python benchmarks/choose_window.py [--cell rnn] [--seeds 10] [--steps 200]

Seasonal series y(t) = 0.8 y(t - 12) + e of 600 rows need 12 rows; random walks of 600 rows need one.  The exit status
is 1 if a seasonal series got fewer than 12 rows, or a random walk was said to need any length.
"""

import argparse
import sys
import time

import numpy as np
import torch

import stepahead as sa
import timing

ROWS, FIRST = 600, 240  # rows given, rows before them that the seasonal series forgets its start in


def seasonal(seed: int) -> np.ndarray:
    e, y = np.random.default_rng(seed).normal(size=ROWS + FIRST), np.zeros(ROWS + FIRST)
    for t in range(12, len(y)):
        y[t] = 0.8 * y[t - 12] + e[t]
    return y[FIRST:]


def random_walk(seed: int) -> np.ndarray:
    return 100 + np.cumsum(np.random.default_rng(seed).normal(size=ROWS))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cell", default="rnn")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=200)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{timing.machine()}; 1 thread is used; {options}")
    cases = {"seasonal": (seasonal, False), "walk": (random_walk, False), "walk, changes": (random_walk, True)}
    right = True
    for name, (make, difference) in cases.items():
        model = sa.Forecaster(
            recipe="classic", cell=options.cell, max_steps=options.steps, difference=difference, season_length=None
        )
        started = time.perf_counter()
        found = [sa.choose_window(model, sa.Panel.from_arrays(make(seed))) for seed in range(options.seeds)]
        seconds = (time.perf_counter() - started) / options.seeds
        chosen, matters = [choice.chosen for choice in found], sum(choice.matters for choice in found)
        print(f"{name:14} chosen {chosen}, matters in {matters} of {len(found)}, {seconds:.1f} s each", flush=True)
        right &= min(chosen) >= 12 if make is seasonal else matters == 0
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())

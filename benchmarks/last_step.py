"""The claim: a network that needs the last step alone learns faster from h_n[-1] than from outputs[:, -1].

A training step of a stepahead.nn layer and a linear layer under MSE and Adam, at N windows of T rows, D features, H
hidden units, once with each. They are the same numbers: the losses of some steps are compared first.

    python benchmarks/last_step.py [--seconds 6]
"""

import argparse
import time

import numpy as np

import timing
from kernel_train import SETTLE, SIZES, Size, by_layers, draw


def row(cell: str, size: Size, seconds: float) -> str:
    """One line of the table."""
    data = draw(cell, size)
    sides = {last: by_layers("stepahead.nn", cell, size, data, last) for last in ("outputs", "h_n")}
    np.testing.assert_allclose(sides["h_n"](5), sides["outputs"](5), rtol=1e-5, err_msg=f"{cell} {size}")
    started = time.perf_counter()
    sides["outputs"](5)
    each = (time.perf_counter() - started) / 5
    steps = max(1, int(0.02 / each))
    repeats = int(np.clip(seconds / 2 / (steps * each + SETTLE), 5, 200))
    turns = {last: lambda run=run: run(steps) for last, run in sides.items()}
    found = timing.in_turns(turns, repeats=repeats, warmups=2, settle=SETTLE)
    outputs, h_n = (1000 * found[last].median / steps for last in ("outputs", "h_n"))
    return f"| {cell} {', '.join(map(str, size))} | {outputs:.3f} | {h_n:.3f} | {1 - h_n / outputs:.1%} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=6.0, help="for each row")
    options = parser.parse_args()
    print(timing.machine(), "\n")
    print("Milliseconds of a step, medians.\n")
    print("| N, T, D, H | outputs[:, -1] | h_n[-1] | less time |")
    print("|---|---|---|---|", flush=True)
    for cell in ("LSTM", "GRU", "RNN"):
        for size in SIZES:
            print(row(cell, size, options.seconds), flush=True)


if __name__ == "__main__":
    main()

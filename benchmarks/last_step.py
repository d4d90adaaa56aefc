"""The claim: a network that needs the last step alone learns faster from h_n[-1] than from outputs[:, -1].

A training step of a stepahead.nn layer and a linear layer under MSE and Adam, at N windows of T rows, D features, H
hidden units, once with each. They are the same numbers: the losses of some steps are compared first.

    python benchmarks/last_step.py [--seconds 6]
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

import stepahead as sa
import timing
from kernel_train import RATE, SETTLE, SIZES, Size, draw


def by(last: str, cell: str, size: Size) -> Callable[[int], list[float]]:
    """So many steps of a network that reads the last step from "h_n" or from "outputs": their losses."""
    data = draw(cell, size)
    layer = getattr(sa.nn, cell)(size[2], size[3], batch_first=True)
    linear = torch.nn.Linear(size[3], 1)
    own = [*layer.parameters(), *linear.parameters()]
    with torch.no_grad():
        for parameter, name in zip(own, ("w_ih", "w_hh", "b_ih", "b_hh", "w", "b"), strict=True):
            parameter.copy_(torch.from_numpy(data[name]))
    x, y = torch.from_numpy(data["x"]), torch.from_numpy(data["y"])
    optimizer = torch.optim.Adam(own, lr=RATE, fused=True)

    def run(steps: int) -> list[float]:
        losses = []
        for _ in range(steps):
            optimizer.zero_grad()
            outputs, state = layer(x)
            h_n = state[0] if cell == "LSTM" else state
            loss = torch.nn.functional.mse_loss(linear(h_n[-1] if last == "h_n" else outputs[:, -1]), y)
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        return losses

    return run


def row(cell: str, size: Size, seconds: float) -> str:
    """One line of the table."""
    sides = {last: by(last, cell, size) for last in ("outputs", "h_n")}
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

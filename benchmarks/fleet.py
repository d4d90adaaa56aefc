"""The claim: a fleet of 64 networks trains over twenty times faster than 64 torch.nn loops one after the other.

Each network (N windows of T rows, D features, H hidden units; a linear layer on the last output, MSE, Adam) has
windows, weights and batches of its own. Sides, in turns: torch.nn in a Python loop, stepahead.nn in the same loop, the
fleet. The losses of all networks are compared first, and a member with the same network trained alone: bit for bit.

    python benchmarks/fleet.py [--models 64] [--size 32,7,5,10] [--cell LSTM] [--write]
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

import timing
from kernel_train import RATE, SETTLE, Size, by_layers, draw
from stepahead.nn.fleet import Fleet, FleetShape, FleetWindows

Losses = Callable[[int], np.ndarray]  # steps -> losses [S, M]


def main() -> None:
    """Print the table; fail where the sides disagree."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--models", type=int, default=64)
    arguments.add_argument("--size", default="32,7,5,10", help="N,T,D,H")
    arguments.add_argument("--cell", default="LSTM", choices=["LSTM", "GRU", "RNN"])
    arguments.add_argument("--repeats", type=int, default=15)
    arguments.add_argument("--steps", type=int, default=5, help="steps of each network in a repeat")
    arguments.add_argument("--write", action="store_true", help="write benchmarks/results/fleet.md")
    options = arguments.parse_args()
    n, t, d, h = size = tuple(map(int, options.size.split(",")))
    networks = [draw(options.cell, size, seed=m) for m in range(options.models)]
    sides: dict[str, Losses] = {
        "torch.nn, one after the other": in_a_loop("torch.nn", options.cell, size, networks),
        "stepahead.nn, one after the other": in_a_loop("stepahead.nn", options.cell, size, networks),
        "a fleet": as_fleet(options.cell, size, networks),
    }
    check(options.cell, size, networks, {name: run(5) for name, run in sides.items()})
    steps = options.steps
    found = timing.in_turns(
        {name: lambda run=run: run(steps) for name, run in sides.items()}, repeats=options.repeats, settle=SETTLE
    )
    text = "\n".join(
        [
            timing.machine(),
            "",
            f"{options.models} x {options.cell}, N={n} T={t} D={d} H={h}, {options.repeats} x {steps} steps of each:",
            "",
            timing.report(found, reference="torch.nn, one after the other"),
            "",
            f"a step of one network in the fleet: {found['a fleet'].median / steps / options.models * 1e6:.1f} us",
        ]
    )
    print(text)
    if options.write:
        path = Path(__file__).parent / "results" / "fleet.md"
        path.write_text(f"# fleet.py\n\n{text}\n", encoding="utf-8")


def in_a_loop(library: str, cell: str, size: Size, networks: list[dict[str, np.ndarray]]) -> Losses:
    """One network after the other, each with its optimizer."""
    runs = [by_layers(library, cell, size, data) for data in networks]
    return lambda steps: np.stack([run(steps) for run in runs], axis=1)


def as_fleet(cell: str, size: Size, networks: list[dict[str, np.ndarray]], threads: int = 0) -> Losses:
    """All networks in one call."""
    n, t, d, h = size
    rows = np.concatenate([data["x"].reshape(n * t, d) for data in networks])
    targets = np.concatenate([data["y"] for data in networks])
    windows = FleetWindows(rows, np.arange(n * len(networks)) * t, t, targets)
    names = ("w_ih", "w_hh", "b_ih", "b_hh", "w", "b")
    parameters = np.stack([np.concatenate([data[name].ravel() for name in names]) for data in networks])
    fleet = Fleet(FleetShape(cell.lower(), d, h, 1), windows, parameters, threads=threads)
    own = np.arange(n * len(networks)).reshape(len(networks), n)  # [M, N]

    def run(steps: int) -> np.ndarray:
        order = np.broadcast_to(own, (steps, *own.shape))
        return fleet.run(order, np.full((steps, len(networks)), RATE))

    return run


def check(cell: str, size: Size, networks: list[dict[str, np.ndarray]], losses: dict[str, np.ndarray]) -> None:
    """All sides learned the same; a member learned to the last bit what it learns alone."""
    expected = losses["torch.nn, one after the other"]
    for name, found in losses.items():
        np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-5, err_msg=name)
    member = len(networks) // 2
    alone = as_fleet(cell, size, networks[member : member + 1], threads=1)(5)
    assert np.array_equal(alone[:, 0], losses["a fleet"][:, member])


if __name__ == "__main__":
    main()

"""The claim: a training step on the kernel is several times faster than torch.nn's, and than JAX's.

Each row is one step of a recurrent layer and a linear layer on its last output under MSE and Adam, at N windows of
T rows, D features, H hidden units. Sides, in turns:
    torch   torch.nn under eager autograd, torch's fused Adam
    layers  stepahead.nn in the same frame
    fused   the step inside Forecaster.fit: forward, head, loss, backward and Adam in one call
    jax     jit, lax.scan, Adam by hand (with --jax: a Python that has JAX)
The losses of some steps are compared first: all sides learn the same.

    python benchmarks/kernel_train.py [--cells LSTM,GRU,RNN] [--jax /path/to/python] [--write]
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import timing

SIZES = [
    (500, 7, 5, 10),
    (32, 7, 5, 10),
    (64, 28, 5, 64),
    (256, 28, 5, 64),
    (256, 60, 8, 32),
    (64, 100, 32, 128),
    (128, 50, 64, 256),
    (32, 20, 16, 512),
]
# Smallest ratios to torch that the project promises for the LSTM: (layers, fused).
PROMISED = {
    (500, 7, 5, 10): (3.3, 8.0),
    (32, 7, 5, 10): (1.9, 5.0),
    (64, 28, 5, 64): (1.7, None),
    (256, 28, 5, 64): (2.2, 2.0),
    (256, 60, 8, 32): (3.0, None),
    (64, 100, 32, 128): (1.7, None),
    (128, 50, 64, 256): (0.95, None),
    (32, 20, 16, 512): (0.95, None),
}
RATE = 1e-3
SETTLE = 0.02  # seconds: the threads of torch and JAX spin for a while after their work
Size = tuple[int, int, int, int]


def main() -> None:
    """Print a table for each cell; exit with 1 where the sides disagree."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--cells", default="LSTM,GRU,RNN")
    arguments.add_argument("--sizes", default="", help="rows, as 500,7,5,10:32,7,5,10")
    arguments.add_argument("--seconds", type=float, default=4.0, help="for each row")
    arguments.add_argument("--jax", help="a Python that has JAX")
    arguments.add_argument("--jax-worker", action="store_true", help=argparse.SUPPRESS)
    arguments.add_argument("--write", action="store_true", help="write benchmarks/results/kernel_train.md")
    options = arguments.parse_args()
    if options.jax_worker:
        serve_jax()
        return
    sizes = [tuple(map(int, row.split(","))) for row in options.sizes.split(":")] if options.sizes else SIZES
    lines = [
        timing.machine(),
        "",
        f"Milliseconds of a step, median (minimum) of repeats within {options.seconds} s.",
        "",
    ]
    print("\n".join(lines))
    for cell in options.cells.split(","):
        table = [
            f"### {cell}",
            "",
            "| N, T, D, H | repeats | " + " | ".join(sides_of(options.jax)) + " | torch / layers | torch / fused |",
        ]
        table.append("|" + "---|" * (len(sides_of(options.jax)) + 4))
        print("\n".join(table), flush=True)
        for size in sizes:
            table.append(row(cell, size, options.jax, options.seconds))  # type: ignore[arg-type]
            print(table[-1], flush=True)
        print()
        lines += [*table, ""]
    if options.write:
        path = Path(__file__).parent / "results" / "kernel_train.md"
        path.write_text("# kernel_train.py\n\n" + "\n".join(lines), encoding="utf-8")


def sides_of(jax: str | None) -> list[str]:
    return ["torch", "layers", "fused", *(["jax"] if jax else [])]


def row(cell: str, size: Size, jax: str | None, seconds: float) -> str:
    """One line of the table."""
    data = draw(cell, size)
    sides: dict[str, Callable[[int], list[float]]] = {
        "torch": by_layers("torch.nn", cell, size, data),
        "layers": by_layers("stepahead.nn", cell, size, data),
        "fused": by_fleet(cell, size, data),
    }
    if jax:
        sides["jax"] = by_jax(jax, cell, size)
    losses = {name: run(6) for name, run in sides.items()}
    for name, found in losses.items():
        np.testing.assert_allclose(found, losses["torch"], rtol=2e-4, atol=1e-5, err_msg=f"{name} at {size}")
    started = time.perf_counter()
    sides["torch"](3)
    steps = max(1, int(0.02 / max((time.perf_counter() - started) / 3, 1e-4)))  # a turn takes 20 ms or one step
    started = time.perf_counter()
    turns = {name: lambda run=run: run(steps) for name, run in sides.items()}
    timing.in_turns(turns, repeats=2, settle=SETTLE)
    repeats = int(np.clip(seconds / ((time.perf_counter() - started) / 3), 5, 200))
    found = timing.in_turns(turns, repeats=repeats, settle=SETTLE)
    medians = {name: each.median / steps * 1e3 for name, each in found.items()}
    cells = [f"{medians[name]:.3f} ({each.minimum / steps * 1e3:.3f})" for name, each in found.items()]
    promised = PROMISED.get(size, (None, None)) if cell == "LSTM" else (None, None)
    ratios = [
        f"{medians['torch'] / medians[name]:.2f}" + (f" (promised {least})" if least else "")
        for name, least in zip(("layers", "fused"), promised, strict=True)
    ]
    return f"| {', '.join(map(str, size))} | {repeats} x {steps} | " + " | ".join([*cells, *ratios]) + " |"


def draw(cell: str, size: Size, seed: int = 0) -> dict[str, np.ndarray]:
    """Windows, targets and starting weights, the same for every side."""
    n, t, d, h = size
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[cell] * h
    random = np.random.default_rng(seed)
    shapes = {"w_ih": (gates, d), "w_hh": (gates, h), "b_ih": (gates,), "b_hh": (gates,), "w": (1, h), "b": (1,)}
    data = {name: random.uniform(-1, 1, shape) * h**-0.5 for name, shape in shapes.items()}
    data |= {"x": random.normal(size=(n, t, d)), "y": random.normal(size=(n, 1))}
    return {name: array.astype(np.float32) for name, array in data.items()}


def by_layers(
    library: str, cell: str, size: Size, data: dict[str, np.ndarray], last: str = "outputs"
) -> Callable[[int], list[float]]:
    """torch.nn or stepahead.nn in a loop as one writes it.  last: where the last step is read, "outputs" or "h_n"."""
    import importlib

    import torch

    layer = getattr(importlib.import_module(library), cell)(size[2], size[3], batch_first=True)
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
            step = (state[0] if cell == "LSTM" else state)[-1] if last == "h_n" else outputs[:, -1]
            loss = torch.nn.functional.mse_loss(linear(step), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        return [float(loss) for loss in losses]

    return run


def by_fleet(cell: str, size: Size, data: dict[str, np.ndarray]) -> Callable[[int], list[float]]:
    """The fused step, many in one call, as the training loop takes them."""
    from stepahead.nn.fleet import Fleet, FleetShape, FleetWindows

    n, t, d, h = size
    windows = FleetWindows(data["x"].reshape(n * t, d), np.arange(n) * t, t, data["y"])
    parameters = np.concatenate([data[name].ravel() for name in ("w_ih", "w_hh", "b_ih", "b_hh", "w", "b")])
    fleet = Fleet(FleetShape(cell.lower(), d, h, 1), windows, parameters[None])

    def run(steps: int) -> list[float]:
        order = np.broadcast_to(np.arange(n), (steps, 1, n))
        return fleet.run(order, np.full((steps, 1), RATE))[:, 0].tolist()

    return run


def by_jax(python: str, cell: str, size: Size) -> Callable[[int], list[float]]:
    """JAX in a process of its own: it takes steps when told."""
    ask = timing.worker([python, __file__, "--jax-worker"])
    ask([cell, *size])
    return lambda steps: ask(steps)


def serve_jax() -> None:
    """The worker: a size on the first line, then a number of steps a line; answers with the losses."""
    import jax
    import jax.numpy as jnp

    cell, *size = json.loads(sys.stdin.readline())
    data = {name: jnp.asarray(array) for name, array in draw(cell, tuple(size)).items()}
    x, y, h = data.pop("x").transpose(1, 0, 2), data.pop("y"), size[3]

    def step_of(p: dict[str, Any], state: Any, x_t: Any) -> Any:
        a, b = x_t @ p["w_ih"].T + p["b_ih"], state[0] @ p["w_hh"].T + p["b_hh"]
        if cell == "RNN":
            return (jnp.tanh(a + b),)
        if cell == "LSTM":
            i, f, g, o = jnp.split(a + b, 4, axis=1)
            c = jax.nn.sigmoid(f) * state[1] + jax.nn.sigmoid(i) * jnp.tanh(g)
            return jax.nn.sigmoid(o) * jnp.tanh(c), c
        (a_r, a_z, a_n), (b_r, b_z, b_n) = jnp.split(a, 3, axis=1), jnp.split(b, 3, axis=1)
        z = jax.nn.sigmoid(a_z + b_z)
        n = jnp.tanh(a_n + jax.nn.sigmoid(a_r + b_r) * b_n)
        return ((1 - z) * n + z * state[0],)

    def loss_of(p: dict[str, Any]) -> Any:
        zeros = jnp.zeros((x.shape[1], h), x.dtype)
        start = (zeros, zeros) if cell == "LSTM" else (zeros,)
        final, _ = jax.lax.scan(lambda state, x_t: (step_of(p, state, x_t), None), start, x)
        return jnp.mean((final[0] @ p["w"].T + p["b"] - y) ** 2)

    @jax.jit
    def adam(p: Any, m: Any, v: Any, t: Any) -> Any:
        loss, g = jax.value_and_grad(loss_of)(p)
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        rate = RATE / (1 - 0.9**t)
        p = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8), p, m, v)
        return p, m, v, t + 1, loss

    zeros = jax.tree.map(jnp.zeros_like, data)
    carried: Any = (data, zeros, zeros, 1.0)
    print("[]", flush=True)
    for line in sys.stdin:
        losses = []
        for _ in range(json.loads(line)):
            *carried, loss = adam(*carried)
            losses.append(loss)
        print(json.dumps([float(loss) for loss in losses]), flush=True)


if __name__ == "__main__":
    main()

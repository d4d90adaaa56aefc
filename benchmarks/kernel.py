"""The claim: inference on the kernel beats torch.nn and onnxruntime, and comes near the processor's own speed.

Three tables:
    scans   N windows of T rows, D features, H hidden units through one LSTM: stepahead.runtime.cell.scan against
            torch.nn under inference_mode and onnxruntime (with --ort: a Python that has onnx and onnxruntime)
    steps   one observation into Stepper, and into a thousand streams at once
    rates   floating-point operations a second of one thread: the forward scan against sgemm
Outputs are compared first.

    python benchmarks/kernel.py [--ort /path/to/python] [--seconds 3] [--write]
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import timing

SIZES = [(500, 7, 5, 10), (256, 28, 5, 64), (64, 100, 32, 128), (128, 50, 64, 256)]
# Smallest ratios to the better of torch and onnxruntime that the project promises.
PROMISED = {(500, 7, 5, 10): 3.0, (256, 28, 5, 64): 2.0, (64, 100, 32, 128): 1.0}
# Seconds that a side runs before its turn counts: the threads of the side before spin for a while, and threads that
# slept through onnxruntime's turn, in a process of its own, wake on one processor and are spread only some 10 ms later.
SETTLE = 0.1
Size = tuple[int, int, int, int]
Arrays = dict[str, np.ndarray]


def main() -> None:
    """Print the three tables; exit with an error where the sides disagree."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--ort", help="a Python that has onnx and onnxruntime")
    arguments.add_argument("--ort-worker", action="store_true", help=argparse.SUPPRESS)
    arguments.add_argument("--seconds", type=float, default=3.0, help="for each row")
    arguments.add_argument("--write", action="store_true", help="write benchmarks/results/kernel.md")
    options = arguments.parse_args()
    if options.ort_worker:
        serve_onnxruntime()
        return
    lines = [timing.machine(), ""]
    print(lines[0], end="\n\n")
    for table in (scans(options.ort, options.seconds), steps(options.seconds), rates(options.seconds)):
        for line in table:
            print(line, flush=True)
            lines.append(line)
        print()
        lines.append("")
    if options.write:
        path = Path(__file__).parent / "results" / "kernel.md"
        path.write_text("# kernel.py\n\n" + "\n".join(lines), encoding="utf-8")


def scans(ort: str | None, seconds: float) -> Any:
    """Rows of the first table."""
    names = ["torch", *(["onnxruntime"] if ort else []), "stepahead"]
    yield f"Milliseconds of a forward pass, median (minimum) of repeats within {seconds} s."
    yield ""
    yield "| N, T, D, H | repeats | " + " | ".join(names) + " | the better of the others / stepahead |"
    yield "|" + "---|" * (len(names) + 3)
    for size in SIZES:
        data = draw(size)
        sides = {"torch": by_torch(size, data)}
        if ort:
            sides["onnxruntime"] = by_onnxruntime(ort, data)
        sides["stepahead"] = by_kernel(data)
        outputs = {name: run(1) for name, run in sides.items()}
        for name, found in outputs.items():
            np.testing.assert_allclose(found, outputs["torch"], atol=1e-5, err_msg=f"{name} at {size}")
        medians, cells, repeats = measured(sides, seconds)
        ratio = min(medians[name] for name in names[:-1]) / medians["stepahead"]
        least = f" (promised {PROMISED[size]:.0f})" if size in PROMISED else ""
        yield f"| {', '.join(map(str, size))} | {repeats} | {' | '.join(cells)} | {ratio:.2f}{least} |"


def measured(sides: dict[str, Callable[[int], Any]], seconds: float) -> tuple[dict[str, float], list[str], str]:
    """Medians in milliseconds, the table's cells, and how often: all sides in turns."""
    started = time.perf_counter()
    for run in sides.values():
        run(1)
    each = (time.perf_counter() - started) / len(sides)
    times = max(1, int(0.01 / each))  # a turn takes 10 ms or one pass
    repeats = int(np.clip(seconds / ((each * times + SETTLE) * len(sides)), 5, 300))
    turns = {name: lambda run=run: run(times) for name, run in sides.items()}
    found = timing.in_turns(turns, repeats=repeats, settle=SETTLE)
    medians = {name: timed.median / times * 1e3 for name, timed in found.items()}
    cells = [f"{medians[name]:.3f} ({timed.minimum / times * 1e3:.3f})" for name, timed in found.items()]
    return medians, cells, f"{repeats} x {times}"


def draw(size: Size, seed: int = 0) -> Arrays:
    """Windows and weights, the same for every side."""
    n, t, d, h = size
    random = np.random.default_rng(seed)
    shapes = {"weight_ih_l0": (4 * h, d), "weight_hh_l0": (4 * h, h), "bias_ih_l0": (4 * h,), "bias_hh_l0": (4 * h,)}
    data = {name: random.uniform(-1, 1, shape) * h**-0.5 for name, shape in shapes.items()}
    data["x"] = random.normal(size=(n, t, d))
    return {name: array.astype(np.float32) for name, array in data.items()}


def by_kernel(data: Arrays) -> Callable[[int], Any]:
    from stepahead.runtime.cell import scan

    weights = {name: array for name, array in data.items() if name != "x"}
    return lambda times: [scan("lstm", data["x"], weights)[0] for _ in range(times)][-1]


def by_torch(size: Size, data: Arrays) -> Callable[[int], Any]:
    import torch

    layer = torch.nn.LSTM(size[2], size[3], batch_first=True)
    layer.load_state_dict({name: torch.from_numpy(array) for name, array in data.items() if name != "x"})
    x = torch.from_numpy(data["x"])

    def run(times: int) -> Any:
        with torch.inference_mode():
            return [layer(x)[0] for _ in range(times)][-1].numpy()

    return run


def by_onnxruntime(python: str, data: Arrays) -> Callable[[int], Any]:
    """onnxruntime in a process of its own: it runs when told."""
    folder = tempfile.mkdtemp()
    np.savez(f"{folder}/data.npz", **data)
    ask = timing.worker([python, __file__, "--ort-worker"])
    ask(folder)
    outputs = np.load(f"{folder}/outputs.npy")

    def run(times: int) -> Any:
        ask(times)
        return outputs

    return run


def serve_onnxruntime() -> None:
    """The worker: a folder on the first line, then a number of passes a line; leaves the outputs in the folder."""
    import onnxruntime

    folder = json.loads(sys.stdin.readline())
    data = dict(np.load(f"{folder}/data.npz"))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(onnx_model(data), options, providers=["CPUExecutionProvider"])
    x = np.ascontiguousarray(data["x"].transpose(1, 0, 2))
    (outputs,) = session.run(None, {"x": x})
    np.save(f"{folder}/outputs.npy", outputs[:, 0].transpose(1, 0, 2))
    print("[]", flush=True)
    for line in sys.stdin:
        for _ in range(json.loads(line)):
            session.run(None, {"x": x})
        print("[]", flush=True)


def onnx_model(data: Arrays) -> bytes:
    """One LSTM node: ONNX orders the gates i, o, f, c and wants a directions axis."""
    import onnx
    from onnx import helper, numpy_helper

    h = data["weight_hh_l0"].shape[1]

    def reordered(array: np.ndarray) -> np.ndarray:
        i, f, g, o = np.split(array, 4)
        return np.concatenate([i, o, f, g])

    bias = np.concatenate([reordered(data["bias_ih_l0"]), reordered(data["bias_hh_l0"])])[None]
    constants = {"w": reordered(data["weight_ih_l0"])[None], "r": reordered(data["weight_hh_l0"])[None], "b": bias}
    graph = helper.make_graph(
        [helper.make_node("LSTM", ["x", "w", "r", "b"], ["y"], hidden_size=h)],
        "lstm",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [None, None, data["x"].shape[2]])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [None, 1, None, h])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def steps(seconds: float) -> Any:
    """Rows of the second table: the call into the kernel alone, NumPy arrays given."""
    from stepahead import _native

    yield "Microseconds of one step of an LSTM with 5 inputs: a call of `_native.Stepper.step`, median (minimum)."
    yield ""
    yield "| hidden | one series | a series, 1,000 in one call |"
    yield "|---|---|---|"
    for hidden in (10, 32, 64):
        data = draw((1, 1, 5, hidden))
        layer = tuple(data[name] for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"))
        stepper = _native.Stepper("lstm", [layer])
        cells = []
        for rows, calls in ((1, 1000), (1000, 10)):
            x = np.random.default_rng(1).normal(size=(rows, 5)).astype(np.float32)
            h, c = np.zeros((1, rows, hidden), np.float32), np.zeros((1, rows, hidden), np.float32)
            found = repeated(lambda s=stepper, x=x, h=h, c=c: s.step(x, h, c), calls, seconds / 6)
            cells.append(f"{np.median(found) / rows * 1e6:.3f} ({min(found) / rows * 1e6:.3f})")
        yield f"| {hidden} | {cells[0]} | {cells[1]} |"


def repeated(run: Callable[[], Any], calls: int, seconds: float) -> list[float]:
    """Seconds of a call, over and over."""
    found, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(found) < 5:
        started = time.perf_counter()
        for _ in range(calls):
            run()
        found.append((time.perf_counter() - started) / calls)
    return found


def rates(seconds: float) -> Any:
    """Rows of the third table: one thread, its own processor time, the best of repeats."""
    import torch

    from stepahead import _native

    torch.set_num_threads(1)
    a = torch.randn(1024, 1024)

    def best(run: Callable[[], Any], limit: float) -> float:
        found, end = [], time.thread_time() + limit
        while time.thread_time() < end or len(found) < 3:
            started = time.thread_time()
            run()
            found.append(time.thread_time() - started)
        return min(found)

    sgemm = 2 * 1024**3 / best(lambda: a @ a, seconds / 3) / 1e9
    yield f"Gigaflop a second and thread, the best of repeats; sgemm of 1024 x 1024 by torch: {sgemm:.1f}."
    yield ""
    yield "| N, T, D, H | forward | of sgemm |"
    yield "|---|---|---|"
    for n, t, d, h in SIZES:
        data = draw((n, t, d, h))
        h_n, c_n = np.empty((n, h), np.float32), np.empty((n, h), np.float32)
        outputs = np.empty((t, n, h), np.float32)
        arrays = [data["x"].transpose(1, 0, 2), *(data[f"{kind}_l0"] for kind in ("weight_ih", "weight_hh"))]
        arrays += [data["bias_ih_l0"], data["bias_hh_l0"]]

        def run(arrays: Any = arrays, into: Any = (outputs, h_n, c_n)) -> None:
            _native.scan_forward("lstm", *arrays, None, None, None, False, *into, None, threads=1)

        rate = 2 * n * t * 4 * h * (d + h) / best(run, seconds / 3) / 1e9
        least = " (promised 60 %)" if h >= 64 else ""
        yield f"| {n}, {t}, {d}, {h} | {rate:.1f} | {rate / sgemm * 100:.0f} %{least} |"


if __name__ == "__main__":
    main()

"""Claim: the classic fit takes no longer than the same loop written by hand with torch.nn.LSTM.

500 full-batch steps on the 505 windows of seven days of the first 512 rows of the bundled prices, in turns A B A B.
Both sides start with rows in memory and end with a trained network; imports are not counted. With --peers, a Python
that has NeuralForecast and Darts, these take their turns too, in processes of their own: see fit_peers.py.

    python benchmarks/fit.py [--repeats 5] [--peers /path/to/python] [--write]
"""

import argparse
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import stepahead as sa
from timing import in_turns, machine, report

ROWS, WINDOW, HIDDEN, STEPS, LEARNING_RATE = 512, 7, 10, 500, 0.01
PEERS = {"neuralforecast": "NeuralForecast LSTM", "darts": "Darts BlockRNNModel"}
RESULT = Path(__file__).parent / "results" / "fit.md"
BY_HAND, OURS = "by hand, torch.nn.LSTM", "Forecaster(recipe='classic')"


def by_hand(rows: np.ndarray, seed: int = 0) -> float:
    """What a tutorial writes: rows [R, 5], the target last -> the training loss of the last step, in scaled units."""
    torch.manual_seed(seed)
    low, high = rows.min(axis=0), rows.max(axis=0)
    scaled = torch.tensor((rows - low) / (high - low), dtype=torch.float32)
    x = scaled.unfold(0, WINDOW, 1)[:-1].transpose(1, 2).contiguous()  # [N, T, F]
    y = scaled[WINDOW:, -1:]
    lstm, head = torch.nn.LSTM(rows.shape[1], HIDDEN, batch_first=True), torch.nn.Linear(HIDDEN, 1)
    adam = torch.optim.Adam([*lstm.parameters(), *head.parameters()], lr=LEARNING_RATE)
    for _ in range(STEPS):
        adam.zero_grad()
        loss = torch.nn.functional.mse_loss(head(lstm(x)[0][:, -1]), y)
        loss.backward()
        adam.step()
    return float(loss.detach())


def ours(panel: sa.Panel, seed: int = 0) -> float:
    """The same by one call."""
    model = sa.Forecaster(recipe="classic", window=WINDOW, holdout=None, seed=seed).fit(panel)
    return float(model.history_[0][-1][1])


def peer(python: str, package: str, rows: Path) -> tuple[str, Callable[[], str]]:
    """A process that trains once whenever it is asked: its name with its version, and the asking."""
    process = subprocess.Popen(
        [python, str(Path(__file__).with_name("fit_peers.py")), package, str(rows)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    asked, answers = process.stdin, process.stdout
    assert asked is not None
    assert answers is not None

    def train() -> str:
        print("go", file=asked, flush=True)
        answer = answers.readline()
        assert answer, f"{package} ended before it answered; run fit_peers.py by hand to see why"
        return answer

    return f"{PEERS[package]} {answers.readline().strip()}", train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--peers", help="a Python that has NeuralForecast and Darts")
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/fit.md")
    options = parser.parse_args()
    repeats = options.repeats
    panel = sa.read(sa.samples.path("goog"), time="date", target="close").head(ROWS)
    print(machine())
    # The starting weights differ, so the losses do; three seeds say whether both learn the same thing.
    losses = np.array([(by_hand(panel.past, seed), ours(panel, seed)) for seed in range(3)])
    medians = np.median(losses, axis=0)
    print(f"scaled training loss, median of 3 seeds: {medians[0]:.6f} by hand, {medians[1]:.6f} ours")
    assert 0.8 < medians[0] / medians[1] < 1.25, "the two sides do not learn the same"
    sides: dict[str, Callable[[], object]] = {BY_HAND: lambda: by_hand(panel.past), OURS: lambda: ours(panel)}
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.npy"
        np.save(rows, panel.past)
        sides |= dict(peer(options.peers, package, rows) for package in PEERS) if options.peers else {}
        timings = in_turns(sides, repeats=repeats)
    table = f"{repeats} repeats in turns\n\n{report(timings, reference=BY_HAND)}"
    print(table)
    if options.write:
        RESULT.write_text(f"# fit.py\n\n{machine()}\n\n{table}\n", encoding="utf-8")
    assert timings[OURS].median <= timings[BY_HAND].median, "the classic fit is slower than the loop by hand"


if __name__ == "__main__":
    main()

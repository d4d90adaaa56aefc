"""Is the forecast any good?  One-step test errors beside repeating the last value, on many series; then panels.

    python benchmarks/accuracy.py DATA [--only NAME] [--json FILE]

DATA is a folder with stock_goog_tutorial.csv, ohlcv_daily.csv.gz and classics.csv, and what panels.py reads.  Each line
prints a bar and whether it was reached; the exit status is 1 if one was not.  --only panels: those of panels.py alone.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl

import panels
import stepahead as sa
import timing


@dataclass(frozen=True)
class Line:
    """One measured figure against its bar; every figure is to be at most the bar."""

    name: str
    figure: float
    bar: float
    naive: float
    seconds: float
    verdict: str

    @property
    def reached(self) -> bool:
        return self.figure <= self.bar


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    print(f"{timing.machine()}\n")
    print(f"{'series':28} {'figure':>9} {'bar':>9} {'naive':>9} {'seconds':>8}")
    lines = []
    for name, measure in CASES.items():
        if options.only not in name:
            continue
        for line in measure(options.data):
            mark = "ok" if line.reached else "MISSED"
            figures = f"{line.figure:9.5g} {line.bar:9.5g} {line.naive:9.5g} {line.seconds:8.1f}"
            print(f"{line.name:28} {figures}  {mark}  {line.verdict}")
            lines.append(line)
    if options.json:
        options.json.write_text(json.dumps([asdict(line) for line in lines], indent=1))
    reached = panels.judge(options.data)[1] if options.only in "panels" else True
    return 0 if reached and all(line.reached for line in lines) else 1


def goog_tutorial(data: Path) -> Iterator[Line]:
    """The tutorial's stock: the price recipe beside naive, the classic recipe's own loss."""
    panel = sa.read(data / "stock_goog_tutorial.csv", time="ds", target="close", past=["open", "high", "low", "volume"])
    yield one_step("goog price", sa.Forecaster(recipe="price"), panel, 220, ratio=1.02)
    started = time.perf_counter()
    train = panel.head(512)
    model = sa.Forecaster(recipe="classic", holdout=None).fit(train)
    loss = scaled_training_loss(model, train)
    yield Line("goog classic, train MSE", loss, 0.0013, np.nan, time.perf_counter() - started, "")
    result = sa.backtest(sa.Forecaster(recipe="classic"), panel, test_size=220)
    told = 0.0 if not result.verdict.beats else 1.0
    yield Line("goog classic, beats naive", told, 0.0, np.nan, time.perf_counter() - started, str(result.verdict))


def scaled_training_loss(model: sa.Forecaster, train: sa.Panel) -> float:
    """Mean squared error on the training windows in the recipe's own scale, from the forecasts themselves."""
    origins = np.arange(model.config_.window - 1, train.n_rows - 1)
    error = model.forecast(train, origins).mean[:, 0] - train.y[origins + 1]
    return float(np.mean((error / np.ptp(train.y)) ** 2))


def stocks(data: Path) -> Iterator[Line]:
    """AAPL, IBM, NASDAQ: adjusted close; open, high and low adjusted alike."""
    table = pl.read_csv(data / "ohlcv_daily.csv.gz", try_parse_dates=True)
    factor = pl.col("adj_close") / pl.col("close")
    table = table.with_columns(pl.col("open", "high", "low") * factor)
    for name in ("AAPL", "IBM", "NASDAQ"):
        rows = table.filter(pl.col("unique_id") == name)
        panel = sa.read(rows, target="adj_close", past=["open", "high", "low", "volume"])
        test = int((rows["split"] == "test").sum())
        yield one_step(name, sa.Forecaster(recipe="price"), panel, test, ratio=1.02)


def autoregression(data: Path) -> Iterator[Line]:
    """AR(1) with phi = -0.5, 1,000 rows: there is something to learn, the optimum is .50 of naive."""
    for seed in (1, 2, 3):
        panel = sa.Panel.from_arrays(ar1(-0.5, 1000, seed))
        yield one_step(f"AR(1) phi -0.5, seed {seed}", sa.Forecaster(), panel, 0.3, ratio=0.55)


def ar1(phi: float, rows: int, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=rows + 100)
    y = np.zeros(rows + 100)
    for t in range(1, len(y)):
        y[t] = phi * y[t - 1] + noise[t]
    return y[100:]


def taylor(data: Path) -> Iterator[Line]:
    """Half-hourly electricity load with a season of 48; an AR(20) reaches 403."""
    table = pl.read_csv(data / "classics.csv", schema_overrides={"y": pl.Float64}).filter(
        pl.col("unique_id") == "taylor"
    )
    panel = sa.read(table.select("unique_id", "ds", "y"))
    yield one_step("taylor", sa.Forecaster(), panel, int((table["split"] == "test").sum()), bar=500.0)


def one_step(
    name: str, model: sa.Forecaster, panel: sa.Panel, test_size: float, *, ratio: float = 0.0, bar: float = 0.0
) -> Line:
    """The model's one-step test RMSE against a bar, or against naive times a ratio."""
    started = time.perf_counter()
    result = sa.backtest(model, panel, test_size=test_size)
    naive = result.baselines["naive"]["rmse"]
    (scores,) = result.scores.values()
    return Line(name, scores["rmse"], bar or ratio * naive, naive, time.perf_counter() - started, str(result.verdict))


CASES: dict[str, Callable[[Path], Iterator[Line]]] = {
    "goog": goog_tutorial,
    "stocks": stocks,
    "ar1": autoregression,
    "taylor": taylor,
}

if __name__ == "__main__":
    sys.exit(main())

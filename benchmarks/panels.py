"""Does the default beat the published recurrent forecasters on panels?  Official hold-outs, beside published figures.

    python benchmarks/panels.py DATA [--only NAME] [--seeds 1 2 3] [--validate] [--scored N] [--json FILE]

DATA is a folder with m4_hourly, tourism_monthly and cif2016 as *_train.csv.gz and *_test.csv.gz. Each line is
`Forecaster(horizon=, season_length=, seed=)` with no other option; seconds are fit and predict, the verdict on held-out
rows included. Seconds of processors say what a busy machine hides: twice the wall clock is all that two cores can
give. The mean over the seeds must meet each bar and no seed may lie 2 % above it; the exit status is 1 if not.

--validate leaves the hold-outs alone: the last horizon of each training part is taken away and scored on.  Choices are
made so. --scored N: of so many series only, evenly spaced by name (panel_peers.py --series), and without a bar.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl

import stepahead as sa
import timing

SEEDS = (1, 2, 3)
LENIENCE = 1.02  # a single seed may lie so far above a bar


@dataclass(frozen=True)
class Case:
    """One panel. bars: metric -> at most. seconds: at most, on two quiet cores. published: for comparison."""

    file: str
    horizon: int
    season_length: int | list[int]
    bars: dict[str, float]
    seconds: float
    published: str


CASES = {
    "hourly": Case(
        "m4_hourly",
        48,
        [24, 168],
        {"owa": 0.435, "mase": 0.81},
        120.0,
        "ES-RNN 9.328/.893/.440, M4 RNN 14.70/3.05/1.04",
    ),
    "tourism": Case(
        "tourism_monthly", 24, 12, {"mase": 1.39, "smape_eps": 18.0}, 35.0, "ETS 19.02/1.526, DeepAR 1.409"
    ),
    "cif": Case("cif2016", 12, 12, {"smape": 10.5, "mase": 0.80}, 25.0, "ETS 11.88/.841, best RNN 10.23"),
}
NAIVE2 = {"smape": 18.383, "mase": 2.395}  # on M4's hourly series, published: what OWA is relative to


@dataclass(frozen=True)
class Line:
    """One seed's figures."""

    case: str
    seed: int
    scores: dict[str, float]
    seconds: float
    processor: float
    verdict: str


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--validate", action="store_true")
    parser.add_argument("--scored", type=int)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    print(timing.machine())
    lines, reached = judge(options.data, options.only, options.seeds, options.validate, options.scored)
    if options.json:
        options.json.write_text(json.dumps([asdict(line) for line in lines], indent=1))
    return 0 if reached else 1


def judge(
    data: Path, only: str = "", seeds: Sequence[int] = SEEDS, validate: bool = False, scored: int | None = None
) -> tuple[list[Line], bool]:
    """Print every panel's lines and bars; also whether all bars were met."""
    lines, reached = [], True
    for name in (name for name in CASES if only in name):
        case = CASES[name]
        print(f"\n{name}: horizon {case.horizon}, season {case.season_length}; published {case.published}")
        found = [measure(data, name, seed, validate, scored) for seed in seeds]
        reached &= scored is not None or met(case, found)
        lines += found
    return lines, reached


def measure(data: Path, name: str, seed: int, validate: bool, scored: int | None) -> Line:
    """Fit and predict with one seed, and score on the official hold-out, or on the last rows of the training part."""
    case = CASES[name]
    panel = sa.read(data / f"{case.file}_train.csv.gz")
    truth = read_truth(data / f"{case.file}_test.csv.gz", panel, case.horizon)
    if validate:
        last = np.stack([y[-case.horizon :] for y in panel.targets()])
        truth = np.where(np.isnan(truth), np.nan, last)  # as many steps of each series as the hold-out has
        panel = panel.head(panel.lengths - case.horizon)
    started, worked = time.perf_counter(), time.process_time()
    model = sa.Forecaster(horizon=case.horizon, season_length=case.season_length, seed=seed).fit(panel)
    forecast = model.predict()[model.name].to_numpy().reshape(panel.n_series, case.horizon)
    seconds, processor = time.perf_counter() - started, time.process_time() - worked
    names = sorted(panel.ids)
    chosen = [names[round(i)] for i in np.linspace(0, len(names) - 1, scored or len(names))]
    rows, targets = [panel.ids.index(name) for name in chosen], list(panel.targets())
    scores = score(case, [targets[row] for row in rows], truth[rows], forecast[rows])
    shown = "  ".join(f"{metric} {value:.4g}" for metric, value in scores.items())
    spent = f"{seconds:.1f} s, of processors {processor:.1f} s, load {os.getloadavg()[0]:.1f}"
    print(f"  seed {seed}: {shown}  ({spent})  {model.series_verdict_}", flush=True)
    return Line(name, seed, scores, seconds, processor, str(model.verdict_))


def met(case: Case, lines: list[Line]) -> bool:
    """Print each bar and whether it was met: by the mean over the seeds, and nearly by each."""
    good = True
    for metric, bar in case.bars.items():
        values = [line.scores[metric] for line in lines]
        ok = np.mean(values) <= bar and max(values) <= LENIENCE * bar
        good &= bool(ok)
        print(
            f"  {metric:9} mean {np.mean(values):.4g}, worst {max(values):.4g}, bar {bar:g}  {'ok' if ok else 'MISSED'}"
        )
    slowest = max(line.seconds for line in lines)
    print(f"  seconds    slowest {slowest:.1f}, bar {case.seconds:g}  {'ok' if slowest <= case.seconds else 'MISSED'}")
    return good and slowest <= case.seconds


def read_truth(path: Path, panel: sa.Panel, horizon: int) -> np.ndarray:
    """The hold-out: [S, H], NaN where it is shorter than the horizon."""
    table = pl.read_csv(path, schema_overrides={"unique_id": pl.String, "y": pl.Float64}).sort("unique_id", "ds")
    truth = np.full((panel.n_series, horizon), np.nan)
    for s, name in enumerate(panel.ids):
        y = table.filter(pl.col("unique_id") == name)["y"].to_numpy()
        truth[s, : len(y)] = y
    return truth


def score(case: Case, targets: list[np.ndarray], truth: np.ndarray, forecast: np.ndarray) -> dict[str, float]:
    """Each metric within a series first, then the mean over the series.  targets: their training rows."""
    season = case.season_length[0] if isinstance(case.season_length, list) else case.season_length
    error, size = np.abs(truth - forecast), np.abs(truth) + np.abs(forecast)
    scale = np.array([insample(y, season) for y in targets])
    scores = {
        "smape": over(200 * error / np.where(size > 0, size, 1.0)),
        "mase": over(error / scale[:, None]),
        "smape_eps": over(200 * error / np.maximum(size + 0.1, 0.6)),
    }
    if case.file == "m4_hourly":
        scores["owa"] = float(np.mean([scores[metric] / value for metric, value in NAIVE2.items()]))
    return scores


def insample(y: np.ndarray, season: int) -> float:
    """The mean absolute seasonal change inside the training part, of single steps where it is too short."""
    step = season if len(y) > season else 1
    return float(np.abs(y[step:] - y[:-step]).mean())


def over(values: np.ndarray) -> float:
    return float(np.nanmean(np.nanmean(values, axis=1)))


if __name__ == "__main__":
    sys.exit(main())

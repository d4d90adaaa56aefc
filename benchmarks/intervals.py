"""The claim: intervals cover as often as they say, on rows that no fit and no calibration saw.

    python benchmarks/intervals.py DATA [--only ar heteroscedastic ... hourly singles adaptive] [--series 200]

Synthetic panels of 200 series x 500 rows, the last 30 % forecast one step ahead: autoregressive, heteroscedastic (the
noise swells and fades), seasonal, drifting (level and noise grow all the time). The hourly panel of DATA, 48 steps
ahead from five cutoffs after one fit. Single series of DATA, one step ahead, held to two binomial standard errors;
90 % of a panel must cover 88 to 92 %. "learning": a backtest as it comes, whose intervals learn from each truth as
those of a stream do; "as fitted" those of `predict`. Adaptive: live streams on the drifting series. The model is
Forecaster() as it comes, with the horizon and the season of the panel. Exit status 1 where a claim fails.
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import polars as pl

import stepahead as sa
import timing

ROWS, TESTED, LEVELS = 500, 150, (50, 80, 90, 95)


def autoregressive(rng: np.random.Generator) -> np.ndarray:
    noise, y = rng.normal(size=ROWS), np.zeros(ROWS)
    for t in range(1, ROWS):
        y[t] = 0.7 * y[t - 1] + noise[t]
    return y


def heteroscedastic(rng: np.random.Generator) -> np.ndarray:
    log_size, y = np.zeros(ROWS), np.zeros(ROWS)
    moves, noise = rng.normal(scale=0.15, size=ROWS), rng.normal(size=ROWS)
    for t in range(1, ROWS):
        log_size[t] = 0.97 * log_size[t - 1] + moves[t]
        y[t] = 0.5 * y[t - 1] + np.exp(log_size[t]) * noise[t]
    return y


def seasonal(rng: np.random.Generator) -> np.ndarray:
    t = np.arange(ROWS)
    wave = rng.uniform(1, 3) * np.sin(2 * np.pi * (t / 12 + rng.random()))
    return 20 + wave + 0.5 * autoregressive(rng)


def drifting(rng: np.random.Generator) -> np.ndarray:
    """The noise trebles, and a slope that itself wanders carries the level away."""
    size = np.linspace(1, 3, ROWS)
    slope = np.cumsum(rng.normal(scale=0.02, size=ROWS))
    return np.cumsum(slope) + size * rng.normal(size=ROWS)


SYNTHETIC: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "ar": autoregressive,
    "heteroscedastic": heteroscedastic,
    "seasonal": seasonal,
    "drifting": drifting,
}


def panel_of(name: str, series: int, seed: int = 0) -> sa.Panel:
    rng = np.random.default_rng([seed, list(SYNTHETIC).index(name)])
    rows = np.concatenate([SYNTHETIC[name](rng) for _ in range(series)])
    return sa.Panel.from_arrays(rows, ids=tuple(f"s{i}" for i in range(series)), offsets=np.arange(series + 1) * ROWS)


def synthetic(name: str, series: int) -> bool:
    """One split of a synthetic panel."""
    started = time.perf_counter()
    result = sa.backtest(sa.Forecaster(), panel_of(name, series), test_size=TESTED, level=LEVELS)
    n = int((~np.isnan(result.actual.y)).sum())
    as_fitted = tell(f"{name}, as fitted", result.coverage_as_fitted, n, started)
    return tell(f"{name}, learning", result.coverage, n, started) and as_fitted


def hourly(data: Path, series: int) -> bool:
    """So many of M4's hourly series, evenly spaced: 48 steps ahead from five cutoffs, two days apart."""
    started = time.perf_counter()
    both = pl.concat(
        [pl.read_csv(data / f"m4_hourly_{part}.csv.gz", infer_schema_length=None) for part in ("train", "test")]
    )
    panel = sa.read(both.sort("unique_id", "ds"))
    chosen = np.unique(np.linspace(0, panel.n_series - 1, min(series, panel.n_series)).round().astype(int))
    panel = panel.select([panel.ids[i] for i in chosen])
    model = sa.Forecaster(horizon=48, season_length=[24, 168])
    result = sa.backtest(model, panel, n_windows=5, step_size=48, refit=False, level=LEVELS)
    steps = result.coverage_by("step")[90]
    held = tell("hourly", result.coverage, result.actual.y.size, started)
    print(f"  90 % by step ahead: {steps.min():.1%} to {steps.max():.1%}")
    return held


def tell(name: str, covered: Mapping[float, float], n: int, started: float) -> bool:
    """Print a line; whether 90 % cover 88 to 92 %."""
    shares = ", ".join(f"{level:g} %: {share:.1%}" for level, share in covered.items())
    print(f"{name:26} {n} forecasts, {shares}; {time.perf_counter() - started:.0f} s", flush=True)
    return 0.88 <= covered[90] <= 0.92


def singles(data: Path) -> bool:
    """Each single series, one step ahead over its test part, as fitted and learning: within two binomial errors."""
    held = []
    for name, panel in single_series(data):
        result = sa.backtest(sa.Forecaster(), panel, test_size=0.3, level=LEVELS)
        n = int((~np.isnan(result.actual.y)).sum())
        error = np.sqrt(0.9 * 0.1 / n)
        for how, covered in (("as fitted", result.coverage_as_fitted), ("learning", result.coverage)):
            held.append(abs(covered[90] - 0.9) <= 2 * error)
            shares = ", ".join(f"{level:g} %: {share:.1%}" for level, share in covered.items())
            verdict = "within" if held[-1] else "OUTSIDE"
            print(f"{name:16} {how:9} {n} forecasts, {shares}; 90 % {verdict} 2 x {error:.1%}", flush=True)
    return all(held)


def single_series(data: Path) -> list[tuple[str, sa.Panel]]:
    """The stock and the classics."""
    table = pl.read_csv(data / "classics.csv", infer_schema_length=None)
    found = [("stock", sa.read(data / "stock_goog_tutorial.csv", target="y", past=[]))]
    for name in table["unique_id"].unique(maintain_order=True):
        one = table.filter(pl.col("unique_id") == name)
        found.append((name, sa.read(one.select("unique_id", "ds", "y"))))
    return found


def adaptive(series: int) -> bool:
    """Live streams over the drifting series: the intervals turn with every truth."""
    started = time.perf_counter()
    panel = panel_of("drifting", series)
    fitted = sa.Forecaster().fit(panel.head(np.full(series, ROWS - TESTED)))
    hits: dict[bool, list[bool]] = {True: [], False: []}
    for name in panel.ids:
        one = panel.select([name])
        known, later = one.head(np.array([ROWS - TESTED])), one.y[ROWS - TESTED :]
        for turns, found in hits.items():
            stream = fitted.stream(known, level=(90,), adaptive=turns)
            said = stream.forecast()
            for truth in later:
                found.append(bool(said.lo[0, 0, 0] <= truth <= said.hi[0, 0, 0]))
                said = stream.push({"y": float(truth)})
    shares = {turns: float(np.mean(found)) for turns, found in hits.items()}
    print(
        f"adaptive         {len(hits[True])} forecasts of the drifting series, 90 %: {shares[True]:.1%}, as fitted "
        f"{shares[False]:.1%}; {time.perf_counter() - started:.0f} s",
        flush=True,
    )
    return 0.88 <= shares[True] <= 0.92


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", nargs="+", choices=(*SYNTHETIC, "hourly", "singles", "adaptive"))
    parser.add_argument("--series", type=int, default=200)
    parser.add_argument("--hourly", type=int, default=414, help="how many of the 414 hourly series")
    options = parser.parse_args()
    print(timing.machine())
    parts: dict[str, Callable[[], bool]] = {
        name: lambda name=name: synthetic(name, options.series)  # type: ignore[misc]
        for name in SYNTHETIC
    }
    parts |= {"hourly": lambda: hourly(options.data, options.hourly), "singles": lambda: singles(options.data)}
    parts |= {"adaptive": lambda: adaptive(options.series)}
    held = [run() for name, run in parts.items() if name in (options.only or parts)]
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())

"""Do the panel recipe's distributions hold, and do static inputs help?  Made data whose truth is known.

    python benchmarks/distributions.py [--only restless counts statics] [--seeds 1 2 3]

restless: monthly series, half of the year six times as noisy as the other.  counts: negative binomial, from some .4 to
40 a month.  Each head's intervals beside what they promise, and its mean pinball loss over the bounds of 50, 80, 90 and
95 % beside that of the default head with split conformal intervals; every other option as it is.  statics: new series
of one to three rows whose year has one of four shapes, with and without the name of the shape; and whole series with a
category of noise.  The exit status is 1 where coverage is off by more than three binomial errors (whole numbers may
cover more), a head does not beat the default one, or noise costs more than 2 %.
"""

import argparse
import os
import sys
import time
from typing import Any

import numpy as np
import polars as pl

import stepahead as sa
from timing import machine

LEVELS = (50, 80, 90, 95)
SERIES, ROWS, HORIZON, SEASON = 60, 120, 12, 12


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=("restless", "counts", "statics"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    options = parser.parse_args()
    print(f"{machine()}, load {os.getloadavg()[0]:.1f}")
    good = True
    for seed in options.seeds:
        for name in options.only or ("restless", "counts", "statics"):
            good &= {"restless": restless, "counts": counts, "statics": statics}[name](seed)
    return 0 if good else 1


def restless(seed: int) -> bool:
    """The noise depends on the season."""
    rng, t = np.random.default_rng(seed), np.arange(ROWS + HORIZON)
    noise = np.where(t % SEASON < SEASON // 2, 0.05, 0.3) * rng.normal(size=(SERIES, len(t)))
    y = np.exp(rng.normal(3, 1, (SERIES, 1))) * (2 + np.sin(2 * np.pi * t / SEASON) + noise)
    return heads_beside("restless", y, ("relative", "quantile", "student_t"), seed)


def counts(seed: int) -> bool:
    """Variance mean + mean^2 / 4."""
    rng, t = np.random.default_rng(seed), np.arange(ROWS + HORIZON)
    mean = np.exp(rng.uniform(-1, 3.5, (SERIES, 1))) * (1 + 0.8 * np.sin(2 * np.pi * t / SEASON))
    return heads_beside(
        "counts", rng.negative_binomial(4, 4 / (4 + mean)).astype(float), ("relative", "negative_binomial"), seed
    )


def heads_beside(name: str, y: np.ndarray, heads: tuple[str, ...], seed: int) -> bool:
    """Fit each head on all but the last HORIZON columns of y; the first is the default one."""
    panel = sa.Panel.from_arrays(
        y[:, :ROWS].ravel(), ids=[f"s{s}" for s in range(SERIES)], offsets=np.arange(SERIES + 1) * ROWS
    )
    truth, losses, good = y[:, ROWS:], [], True
    print(f"\n{name}, seed {seed}: {'head':<18} {'covered of 50, 80, 90, 95 %':<28} pinball  seconds")
    for head in heads:
        started = time.perf_counter()
        model = sa.Forecaster(horizon=HORIZON, season_length=SEASON, head=head, seed=seed).fit(panel)
        said = model.predict(level=LEVELS)
        shares, loss = [], []
        for level in LEVELS:
            lo, hi = (said[f"GRU-{side}-{level}"].to_numpy().reshape(truth.shape) for side in ("lo", "hi"))
            shares.append(100 * float(((lo <= truth) & (truth <= hi)).mean()))
            loss += [pinball(lo, truth, (100 - level) / 200), pinball(hi, truth, (100 + level) / 200)]
            error = 3 * np.sqrt(level * (100 - level) / truth.size)
            good &= shares[-1] > level - error and (name == "counts" or shares[-1] < level + error)
        losses.append(float(np.mean(loss)))
        shown = ", ".join(f"{share:.1f}" for share in shares)
        print(
            f"{'':<{len(name) + 8}} {head:<18} {shown:<28} {losses[-1]:.4f}  {time.perf_counter() - started:.0f}",
            flush=True,
        )
    return good and max(losses[1:]) < losses[0]


def pinball(bound: np.ndarray, truth: np.ndarray, q: float) -> float:
    """Each series in units of its own mean."""
    size = np.maximum(truth.mean(axis=1, keepdims=True), 1.0)
    return float((np.maximum(q * (truth - bound), (q - 1) * (truth - bound)) / size).mean())


def statics(seed: int) -> bool:
    """Does a category help series that begin, and is one of noise harmless?"""
    known, truth = shaped(200, (14, 30), seed)
    new, ahead = shaped(100, (1, 4), seed + 1000)
    alone, told, noisy = ([], ["group"], ["noise"])
    errors = {}
    for label, names in (("alone", alone), ("told", told), ("noisy", noisy)):
        model = sa.Forecaster(horizon=6, season_length=SEASON, calendar=True, holdout=None, seed=seed)
        model.fit(sa.read(known, past=[], static=names))
        errors[label] = error(model.predict(), truth), error(model.predict(new), ahead)
    print(f"\nstatics, seed {seed}: mean absolute error over the mean, of series known and of series that begin")
    for label, (old, begun) in errors.items():
        print(f"    {label:<6} {old:.4f} {begun:.4f}")
    return errors["told"][1] < 0.6 * errors["alone"][1] and errors["noisy"][0] < 1.02 * errors["alone"][0]


def shaped(series: int, rows: tuple[int, int], seed: int) -> tuple[pl.DataFrame, np.ndarray]:
    """Monthly series whose year has one of four shapes, and what follows them: [series, 6]."""
    rng, angles = np.random.default_rng(seed), 2 * np.pi * np.arange(SEASON) / SEASON
    shapes = np.exp(0.8 * np.stack([np.sin(angles), -np.sin(angles), np.cos(2 * angles), -np.cos(2 * angles)]))
    tables, truth = [], []
    for s in range(series):
        months = int(rng.integers(SEASON)) + np.arange(int(rng.integers(*rows)) + 6)
        y = np.exp(rng.normal(3, 1)) * shapes[s % 4, months % SEASON] * np.exp(0.05 * rng.normal(size=len(months)))
        ds = (np.datetime64("2020-01", "M") + months[:-6]).astype("datetime64[D]")
        made: dict[str, Any] = {"unique_id": f"{seed}-{s}", "ds": ds, "y": y[:-6]}
        tables.append(pl.DataFrame(made | {"group": f"g{s % 4}", "noise": f"n{rng.integers(8)}"}))
        truth.append(y[-6:])
    return pl.concat(tables), np.array(truth)


def error(said: pl.DataFrame, truth: np.ndarray) -> float:
    found = said["GRU"].to_numpy().reshape(truth.shape)
    return float((np.abs(found - truth).mean(axis=1) / truth.mean(axis=1)).mean())


if __name__ == "__main__":
    sys.exit(main())

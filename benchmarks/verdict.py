"""The claim: "beats" is said of a random walk in at most 5 % of cases, of a predictable series in at least 95 %.

The whole way with a real model: train on the first 70 % of the rows, forecast the others one by one, judge. Random
walks 100 + cumulated noise, which nothing beats; AR(1) series y(t) = -0.5 y(t - 1) + e, where a model that learned
anything does. 1,000 rows each; the networks of all series train as fleets. Prints each rate with its binomial error
and exits with status 1 where a claim fails by more than two of them.

    python benchmarks/verdict.py [--series 500] [--first 0] [--recipe auto] [--kind walk|ar]
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np

import stepahead as sa
import timing
from stepahead.evaluate.backtest import holdout_verdict
from stepahead.evaluate.result import Backtest

ROWS, TRAINED, PHI, TOGETHER = 1000, 700, -0.5, 50


def walk(seed: int) -> np.ndarray:
    return 100 + np.random.default_rng(seed).normal(size=ROWS).cumsum()


def ar(seed: int) -> np.ndarray:
    noise, y = np.random.default_rng(10_000 + seed).normal(size=ROWS + 50), np.zeros(ROWS + 50)
    for t in range(1, len(y)):
        y[t] = PHI * y[t - 1] + noise[t]
    return y[50:]


KINDS: dict[str, tuple[Callable[[int], np.ndarray], str, float]] = {
    "walk": (walk, "at most", 0.05),
    "ar": (ar, "at least", 0.95),
}


def judged(make: Callable[[int], np.ndarray], model: sa.Forecaster, seeds: range) -> Iterator[Backtest]:
    """The verdict on each series, many trained at a time."""
    trained = np.array([TRAINED])
    for begin in range(0, len(seeds), TOGETHER):
        panels = [sa.Panel.from_arrays(make(seed)) for seed in seeds[begin : begin + TOGETHER]]
        fitted = model.fit_each([panel.head(trained) for panel in panels])
        for one, panel in zip(fitted, panels, strict=True):
            yield holdout_verdict(one, panel, TRAINED)


def rate(kind: str, recipe: str, first: int, count: int) -> bool:
    """Print how often "beats" is said, and whether that is within the claim by two binomial errors."""
    make, side, bound = KINDS[kind]
    started = time.perf_counter()
    model = sa.Forecaster(recipe=recipe, season_length=None, holdout=None)
    found = list(judged(make, model, range(first, first + count)))
    said = np.array([result.beats for result in found])
    outcomes = Counter(result.verdict.outcome for result in found)
    share, error = said.mean(), np.sqrt(said.mean() * (1 - said.mean()) / len(said))
    print(
        f"{kind:4} recipe={recipe}, series {first} to {first + count - 1}: beats in {said.sum()} of {len(said)}, "
        f"{share:.1%} +- {error:.1%} ({side} {bound:.0%}); {dict(outcomes)}; mean skill "
        f"{np.mean([r.skill for r in found]):.2%}; {time.perf_counter() - started:.0f} s",
        flush=True,
    )
    slack = 2 * np.sqrt(bound * (1 - bound) / len(said))
    return bool(share <= bound + slack if side == "at most" else share >= bound - slack)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=500)
    parser.add_argument("--first", type=int, default=0, help="seed of the first series")
    parser.add_argument("--recipe", default="auto")
    parser.add_argument("--kind", choices=tuple(KINDS))
    options = parser.parse_args()
    print(timing.machine())
    kinds = [options.kind] if options.kind else list(KINDS)
    held = [rate(kind, options.recipe, options.first, options.series) for kind in kinds]
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())

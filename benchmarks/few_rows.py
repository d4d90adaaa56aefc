"""How much of a point forecast should be a simple one where rows are few?  The tables of docs/panels.md.

Panels of some series of tourism_monthly, cif2016 and m4_hourly, official hold-outs: MASE by the network's share of the
average with the last season and its drift. Networks without holdout, `Forecaster(horizon=, season_length=, blend=0)`.

With --long, single series that are long, from the folder that other_panels.py makes: a network of the last rows before
the 400 that are forecast, one and 24 steps ahead; the error by the simple forecast's share, relative to the network's.

    python benchmarks/few_rows.py DATA [--only tourism] [--seed 1]
    python benchmarks/few_rows.py --long FOLDER
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import stepahead as sa
import timing
from panels import CASES, Case, read_truth, score
from stepahead.panels.simple import carried_on

SHARES = (0.0, 0.2, 0.4, 0.5, 0.6, 0.8, 1.0)  # of the network
GROUPS = {"tourism": [(1, 24), (4, 6), (16, 3), (64, 1)], "cif": [(1, 24), (4, 6), (16, 2)], "hourly": [(1, 10)]}
SIMPLE_SHARES = (0.03, 0.06, 0.12, 0.2, 0.3)
TESTED, ROWS, STEPS = 400, (800, 1500, 2800), (1, 24)
LONG = {  # panel of other_panels.py -> its series that are taken, seasons
    "weather": (("temp", "humid", "wind_speed"), [24]),
    "elecdemand": (("Demand", "Temperature"), [48, 336]),
    "calls": (("calls",), [169]),
    "stocks": (("DAX", "SMI", "CAC", "FTSE"), None),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--long", type=Path, help="the folder that other_panels.py makes")
    parser.add_argument("--only", default="")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if (options.data is None) == (options.long is None):
        parser.error("give DATA or --long FOLDER")
    print(timing.machine(), "\n")
    if options.long:
        print_long(options.long, options.seed)
    else:
        print_panels(options.data, options.only, options.seed)


def print_panels(data: Path, only: str, seed: int) -> None:
    print("| panels of | rows | " + " | ".join(f"{share:g}" for share in SHARES) + " |")
    print("|---" * (2 + len(SHARES)) + "|", flush=True)
    for name in (name for name in GROUPS if only in name):
        case = CASES[name]
        panel = sa.read(data / f"{case.file}_train.csv.gz")
        truth = read_truth(data / f"{case.file}_test.csv.gz", panel, case.horizon)
        for size, count in GROUPS[name]:
            parts = list(groups(panel, size, count))
            found = np.mean([errors(case, panel, truth, part, seed) for part in parts], axis=0)
            rows = np.mean([panel.lengths[part].sum() for part in parts])
            cells = " | ".join(f"{mase:.2f}" for mase in found)
            print(f"| {size} series of {case.file} ({count}) | {rows:,.0f} | {cells} |", flush=True)


def groups(panel: sa.Panel, size: int, count: int) -> Iterator[np.ndarray]:
    """Positions of the series of each panel: evenly spaced by name, no series in two of them."""
    by_name = np.argsort(panel.ids)
    chosen = by_name[np.linspace(0, panel.n_series - 1, size * count).round().astype(int)]
    yield from (np.sort(chosen[first::count]) for first in range(count))


def errors(case: Case, panel: sa.Panel, truth: np.ndarray, part: np.ndarray, seed: int) -> list[float]:
    """MASE for each of SHARES, of one network that learned these series."""
    chosen = panel.select([panel.ids[s] for s in part])
    network, simple = said(chosen, case.horizon, case.season_length, chosen.offsets[1:] - 1, chosen, seed)
    targets = list(chosen.targets())
    return [score(case, targets, truth[part], share * network + (1 - share) * simple)["mase"] for share in SHARES]


def said(
    learned: sa.Panel, horizon: int, season: int | list[int] | None, origins: np.ndarray, panel: sa.Panel, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """What a network, and the last season with its drift, say at these origins of a panel: [N, H] each."""
    asked = {"recipe": "panel", "blend": 0, "holdout": None, "seed": seed}
    model = sa.Forecaster(horizon=horizon, season_length=season, **asked).fit(learned)
    windows = model.fitted_.source(panel).windows(origins)
    return model.forecast(panel, origins).mean, carried_on(windows)


def print_long(folder: Path, seed: int) -> None:
    series = list(long_series(folder))
    print("| rows | series | steps ahead | " + " | ".join(f"{share:g}" for share in SIMPLE_SHARES) + " |")
    print("|---" * (3 + len(SIMPLE_SHARES)) + "|", flush=True)
    for rows in ROWS:
        enough = [(y, season) for y, season in series if len(y) >= rows + TESTED]
        for steps in STEPS:
            found = np.mean([against_alone(y, season, rows, steps, seed) for y, season in enough], axis=0)
            cells = " | ".join(f"{ratio:.2f}" for ratio in found)
            print(f"| {rows:,} | {len(enough)} | {steps} | {cells} |", flush=True)


def long_series(folder: Path) -> Iterator[tuple[np.ndarray, list[int] | None]]:
    for name, (endings, season) in LONG.items():
        panel = sa.read(folder / f"{name}.csv")
        for one, y in zip(panel.ids, panel.targets(), strict=True):
            if one.rsplit(".", 1)[-1] in endings:
                yield y, season


def against_alone(y: np.ndarray, season: list[int] | None, rows: int, steps: int, seed: int) -> list[float]:
    """Mean absolute error with each of SIMPLE_SHARES, relative to that of the network alone."""
    panel = sa.Panel.from_arrays(y[-rows - TESTED :])
    origins = np.arange(rows - 1, rows + TESTED - steps)
    network, simple = said(panel.head(np.array([rows])), steps, season, origins, panel, seed)
    truth = panel.y[origins[:, None] + 1 + np.arange(steps)]
    alone = np.abs(truth - network).mean()
    return [float(np.abs(truth - (1 - s) * network - s * simple).mean() / alone) for s in SIMPLE_SHARES]


if __name__ == "__main__":
    main()

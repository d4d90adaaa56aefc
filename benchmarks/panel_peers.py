"""Other forecasters on the panels of panels.py.  Run in an environment of theirs.

    PYTHON benchmarks/panel_peers.py DATA nf-lstm|nf-gru|darts-lstm|darts-gru --only NAME [--steps N] [--matched]
    PYTHON benchmarks/panel_peers.py DATA ets|theta|arima --only NAME [--series N]

NeuralForecast's LSTM and GRU and Darts' BlockRNNModel with their defaults, or with --matched 1,000 steps and the panel
recipe's window; statsforecast's AutoETS, AutoTheta and AutoARIMA, a model a series (--series: of so many series only,
evenly spaced, where all would take days; panels.py scores the same ones when told so).  Prints the scores of panels.py
on the official hold-out, and the seconds of fit and predict: by the clock, and of processors.
"""

import argparse
import logging
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from peers import QUIET

CASES = {  # file, horizon, season, the panel recipe's window
    "hourly": ("m4_hourly", 48, 24, 528),
    "tourism": ("tourism_monthly", 24, 12, 72),
    "cif": ("cif2016", 12, 12, 36),
}
NAIVE2 = {"smape": 18.383, "mase": 2.395}
MATCHED_STEPS = 1000
Series = dict[str, np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("model", choices=[*MODELS, *CLASSICAL])
    parser.add_argument("--only", required=True, choices=CASES)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--matched", action="store_true")
    parser.add_argument("--series", type=int)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    file, horizon, season, window = CASES[options.only]
    train, truth = (read(options.data / f"{file}_{part}.csv.gz") for part in ("train", "test"))
    if options.series:
        names = list(train)
        chosen = np.linspace(0, len(names) - 1, options.series).round().astype(int)
        train, truth = ({names[i]: part[names[i]] for i in chosen} for part in (train, truth))
    steps = options.steps or (MATCHED_STEPS if options.matched else None)
    started, worked = time.perf_counter(), time.process_time()
    if options.model in CLASSICAL:
        said = classical(CLASSICAL[options.model], train, horizon, season)
    else:
        said = MODELS[options.model](train, horizon, window if options.matched else None, steps)
    seconds, processor = time.perf_counter() - started, time.process_time() - worked
    shown = "  ".join(f"{name} {value:.4g}" for name, value in score(file, season, train, truth, said).items())
    package = PACKAGES[options.model.split("-")[0]]
    kind = "matched" if options.matched else "defaults"
    kind += f", {steps} steps" if steps else ""
    made = f"{package} {version(package)}, {kind}, {len(train)} series"
    print(f"{options.only} {options.model} ({made}): {shown}  {seconds:.1f} s, of processors {processor:.1f} s")


def read(path: Path) -> Series:
    """The values of each series, in the order of time."""
    table = pd.read_csv(path, dtype={"unique_id": str}).sort_values(["unique_id", "ds"])
    return {name: part["y"].to_numpy(float) for name, part in table.groupby("unique_id")}


def neuralforecast(kind: str) -> Callable[..., Series]:
    """NeuralForecast's LSTM or GRU; its window is in steps of the series, padded at the start."""

    def run(train: Series, horizon: int, window: int | None, steps: int | None) -> Series:
        from neuralforecast import NeuralForecast, models

        given: dict[str, Any] = {} if window is None else {"input_size": window}
        given |= {} if steps is None else {"max_steps": steps}
        model = getattr(models, kind)(h=horizon, random_seed=1, start_padding_enabled=True, **given, **QUIET)
        parts = [pd.DataFrame({"unique_id": name, "ds": np.arange(len(y)), "y": y}) for name, y in train.items()]
        forecaster = NeuralForecast(models=[model], freq=1)
        forecaster.fit(pd.concat(parts))
        found = forecaster.predict().reset_index()
        return {name: part[kind].to_numpy() for name, part in found.groupby("unique_id")}

    return run


def darts(kind: str) -> Callable[..., Series]:
    """Darts' BlockRNNModel on series scaled to [0, 1], as its guide does; the window as long as the shortest allows."""

    def run(train: Series, horizon: int, window: int | None, steps: int | None) -> Series:
        from darts import TimeSeries
        from darts.dataprocessing.transformers import Scaler
        from darts.models import BlockRNNModel

        shortest = min(map(len, train.values())) - horizon
        scaler = Scaler()
        series = scaler.fit_transform([TimeSeries.from_values(y.astype(np.float32)) for y in train.values()])
        given: dict[str, Any] = {}
        if steps is not None:
            given = {"n_epochs": 1, "pl_trainer_kwargs": QUIET | {"max_steps": steps, "max_epochs": -1}}
        model = BlockRNNModel(
            input_chunk_length=min(window or 2 * horizon, shortest),
            output_chunk_length=horizon,
            model=kind,
            random_state=1,
            **({"pl_trainer_kwargs": QUIET} | given),
        )
        model.fit(series)
        said = scaler.inverse_transform(model.predict(horizon, series=series))
        return {name: one.values()[:, 0] for name, one in zip(train, said, strict=True)}

    return run


def classical(kind: str, train: Series, horizon: int, season: int) -> Series:
    """One of statsforecast's models for each series."""
    from statsforecast import models

    model = getattr(models, kind)(season_length=season)
    return {name: model.forecast(y=y, h=horizon)["mean"] for name, y in train.items()}


def score(file: str, season: int, train: Series, truth: Series, said: Series) -> dict[str, float]:
    """The scores of panels.py: within each series first."""
    rows = [one(train[name], truth[name], said[name][: len(truth[name])], season) for name in truth]
    scores = dict(zip(("smape", "mase", "smape_eps"), np.mean(rows, axis=0).tolist(), strict=True))
    if file == "m4_hourly":
        scores["owa"] = float(np.mean([scores[name] / value for name, value in NAIVE2.items()]))
    return scores


def one(train: np.ndarray, truth: np.ndarray, said: np.ndarray, season: int) -> tuple[float, float, float]:
    error, size = np.abs(truth - said), np.abs(truth) + np.abs(said)
    step = season if len(train) > season else 1
    scale = np.abs(train[step:] - train[:-step]).mean()
    return (
        float((200 * error / np.where(size > 0, size, 1)).mean()),
        float((error / scale).mean()),
        float((200 * error / np.maximum(size + 0.1, 0.6)).mean()),
    )


MODELS = {
    "nf-lstm": neuralforecast("LSTM"),
    "nf-gru": neuralforecast("GRU"),
    "darts-lstm": darts("LSTM"),
    "darts-gru": darts("GRU"),
}
CLASSICAL = {"ets": "AutoETS", "theta": "AutoTheta", "arima": "AutoARIMA"}
PACKAGES = {"nf": "neuralforecast", "darts": "darts"} | dict.fromkeys(CLASSICAL, "statsforecast")

if __name__ == "__main__":
    main()

"""What the audit finds in recurrent models of other packages.

    python benchmarks/audit_peers.py neuralforecast | darts

Needs an environment of its own with the package (`pip install neuralforecast` or `pip install darts`) beside stepahead.
Two series of 240 steps: a trend, a season of 12, a random walk. Prints the versions, each model's findings, and exits
with status 1 where what docs/audit.md says is no longer so.
"""

import argparse
import logging
import sys
import warnings
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

import stepahead as sa
from peers import QUIET

EXPECTED = {
    "LSTM, direct": ["recency"],
    "LSTM, recurrent": [],
    "NHITS, local min-max scaler": ["later rows"],
    "NHITS": [],
    "BlockRNNModel LSTM": ["recency"],
    "RNNModel LSTM": [],
    "LinearRegressionModel": [],
}


def table() -> sa.Panel:
    rng, t = np.random.default_rng(0), np.arange(240)
    rows = [0.02 * t + np.sin(2 * np.pi * t / 12) + 0.1 * np.cumsum(rng.normal(size=240)) for _ in range(2)]
    return sa.Panel.from_arrays(np.concatenate(rows), ids=("a", "b"), offsets=[0, 240, 480])


def of_neuralforecast() -> dict[str, Any]:
    from neuralforecast import NeuralForecast
    from neuralforecast.models import LSTM, NHITS

    common = {"h": 12, "input_size": 24, "max_steps": 10, "random_seed": 1, **QUIET}
    small = {"encoder_hidden_size": 16, "decoder_hidden_size": 16}
    return {
        "LSTM, direct": NeuralForecast([LSTM(recurrent=False, **small, **common)], freq=1),
        "LSTM, recurrent": NeuralForecast([LSTM(recurrent=True, **small, **common)], freq=1),
        "NHITS, local min-max scaler": NeuralForecast([NHITS(**common)], freq=1, local_scaler_type="minmax"),
        "NHITS": NeuralForecast([NHITS(**common)], freq=1),
    }


def of_darts() -> dict[str, Any]:
    from darts.models import BlockRNNModel, LinearRegressionModel, RNNModel

    common = {"model": "LSTM", "hidden_dim": 8, "n_epochs": 2, "random_state": 1, "pl_trainer_kwargs": QUIET}
    return {
        "BlockRNNModel LSTM": BlockRNNModel(input_chunk_length=24, output_chunk_length=12, **common),
        "RNNModel LSTM": RNNModel(input_chunk_length=24, training_length=36, **common),
        "LinearRegressionModel": LinearRegressionModel(lags=24, output_chunk_length=12),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", choices=("neuralforecast", "darts"))
    package = parser.parse_args().package
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    models = of_neuralforecast() if package == "neuralforecast" else of_darts()
    print(f"{package} {version(package)}, torch {torch.__version__}, Python {sys.version.split()[0]}")
    surprised = False
    for name, model in models.items():
        found = sa.audit(model, table(), horizon=12)
        print(f"\n{name}\n  {found}")
        surprised |= [f.check for f in found.findings] != EXPECTED[name]
    return int(surprised)


if __name__ == "__main__":
    raise SystemExit(main())

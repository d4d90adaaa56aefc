"""The classic fit as NeuralForecast and Darts do it: one timed training a line asked for.

    PYTHON benchmarks/fit_peers.py neuralforecast | darts ROWS.npy

Run by fit.py in an environment that has the package. ROWS.npy: [R, 5], the target last. For each line on standard input
the seconds of one training, imports and one warm-up not counted, go to standard output. 500 steps on all 505 windows
of seven rows, ten hidden units, scaled by the minimum and maximum, no validation.
"""

import logging
import os
import sys
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version

import numpy as np

from peers import QUIET

WINDOW, HIDDEN, STEPS, LEARNING_RATE = 7, 10, 500, 0.01
NAMES = ("open", "high", "low", "volume")


def neuralforecast(rows: np.ndarray) -> Callable[[int], None]:
    """Its LSTM with recurrent=False: one window in, one step out; the inputs are past covariates."""
    import pandas as pd
    from neuralforecast import NeuralForecast
    from neuralforecast.models import LSTM

    table = pd.DataFrame(rows, columns=[*NAMES, "y"]).assign(unique_id="close", ds=range(1, len(rows) + 1))

    def fit(steps: int) -> None:
        model = LSTM(
            h=1, input_size=WINDOW, encoder_n_layers=1, encoder_hidden_size=HIDDEN, decoder_layers=1,
            decoder_hidden_size=HIDDEN, recurrent=False, hist_exog_list=list(NAMES), max_steps=steps,
            learning_rate=LEARNING_RATE, batch_size=1, windows_batch_size=len(rows) - WINDOW, random_seed=1, **QUIET,
        )  # fmt: skip
        NeuralForecast([model], freq=1, local_scaler_type="minmax").fit(table)

    return fit


def darts(rows: np.ndarray) -> Callable[[int], None]:
    """Its BlockRNNModel LSTM: the whole set as one batch, so an epoch is a step."""
    from darts import TimeSeries
    from darts.models import BlockRNNModel

    scaled = ((rows - rows.min(axis=0)) / (rows.max(axis=0) - rows.min(axis=0))).astype(np.float32)
    target, past = TimeSeries.from_values(scaled[:, -1:]), TimeSeries.from_values(scaled[:, :-1])

    def fit(steps: int) -> None:
        model = BlockRNNModel(
            WINDOW, 1, model="LSTM", hidden_dim=HIDDEN, n_rnn_layers=1, batch_size=len(rows), n_epochs=steps,
            optimizer_kwargs={"lr": LEARNING_RATE}, random_state=1, pl_trainer_kwargs=QUIET,
        )  # fmt: skip
        model.fit(target, past_covariates=past)

    return fit


def main() -> None:
    package, path = sys.argv[1:]
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the package prints is no answer
    fit = {"neuralforecast": neuralforecast, "darts": darts}[package](np.load(path))
    fit(5)
    print(version(package), file=answers, flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        fit(STEPS)
        print(time.perf_counter() - began, file=answers, flush=True)


if __name__ == "__main__":
    main()

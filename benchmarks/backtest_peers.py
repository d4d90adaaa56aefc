"""What a walk-forward with refits costs in Darts and NeuralForecast.  Run by backtest.py in an environment of theirs.

    PYTHON benchmarks/backtest_peers.py darts|neuralforecast TABLE REFITS STEPS

A one-layer LSTM of ten units on windows of seven days, 512 rows to learn from, full batches, one step ahead, every 20
rows. Prints one line of JSON: versions, refits, optimizer steps of each, seconds. The first of two runs warms up.
"""

import json
import logging
import sys
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version

import numpy as np
import pandas as pd

from peers import QUIET

ROWS, WINDOW, HIDDEN, STRIDE, RATE = 512, 7, 10, 20, 0.01


def darts(table: pd.DataFrame, refits: int, steps: int) -> None:
    """historical_forecasts(retrain=True): an epoch is one full batch."""
    from darts import TimeSeries
    from darts.models import BlockRNNModel

    rows = table.iloc[-(ROWS + STRIDE * (refits - 1) + 1) :].to_numpy(np.float32)
    low, high = rows.min(axis=0), rows.max(axis=0)  # an optimistic stand-in for a scaler fitted at every cutoff
    scaled = (rows - low) / (high - low)
    model = BlockRNNModel(
        input_chunk_length=WINDOW,
        output_chunk_length=1,
        model="LSTM",
        hidden_dim=HIDDEN,
        batch_size=ROWS,
        n_epochs=steps,
        optimizer_kwargs={"lr": RATE},
        random_state=0,
        pl_trainer_kwargs=QUIET,
    )
    found = model.historical_forecasts(
        TimeSeries.from_values(scaled[:, -1:]),
        past_covariates=TimeSeries.from_values(scaled[:, :-1]),
        train_length=ROWS,
        start=ROWS,
        stride=STRIDE,
        retrain=True,
        verbose=False,
    )
    assert len(found) == refits, len(found)


def neuralforecast(table: pd.DataFrame, refits: int, steps: int) -> None:
    """cross_validation(refit=True): its training part grows by a stride at every cutoff."""
    from neuralforecast import NeuralForecast
    from neuralforecast.losses.pytorch import MSE
    from neuralforecast.models import LSTM

    rows = table.iloc[-(ROWS + STRIDE * (refits - 1) + 1) :].reset_index(drop=True)
    frame = rows.rename(columns={"close": "y"}).assign(unique_id="goog", ds=np.arange(len(rows)))
    model = LSTM(
        h=1,
        input_size=WINDOW,
        hist_exog_list=["open", "high", "low", "volume"],
        encoder_n_layers=1,
        encoder_hidden_size=HIDDEN,
        decoder_layers=1,
        decoder_hidden_size=HIDDEN,
        loss=MSE(),
        max_steps=steps,
        learning_rate=RATE,
        batch_size=1,
        windows_batch_size=ROWS,
        scaler_type="minmax",
        **QUIET,
    )
    found = NeuralForecast([model], freq=1).cross_validation(
        frame, n_windows=refits, step_size=STRIDE, refit=True, val_size=0
    )
    assert len(found) == refits, len(found)


SIDES: dict[str, Callable[[pd.DataFrame, int, int], None]] = {"darts": darts, "neuralforecast": neuralforecast}


def main() -> None:
    name, path, refits, steps = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    table = pd.read_csv(path)[["open", "high", "low", "volume", "close"]]
    SIDES[name](table, 1, 5)
    started = time.perf_counter()
    SIDES[name](table, refits, steps)
    seconds = time.perf_counter() - started
    found = {"version": version(name), "torch": version("torch"), "refits": refits, "steps": steps, "seconds": seconds}
    print(json.dumps(found))


if __name__ == "__main__":
    main()

"""Forecasts that learn nothing, to be averaged with a network's where rows are few.  Windows -> [N, H].

A round is what the baseline repeats: a season, or one row where there is none.

Legend: N origins, H horizon.
"""

from collections.abc import Callable

import numpy as np

from stepahead.panels.draw import forecast_errors, seasonal_changes
from stepahead.panels.windows import Rows, Windows


def carried_on(windows: Windows) -> np.ndarray:
    """The newest round, moved on by the mean change from round to round in the window."""
    back = windows.rows.back
    both = windows.mask[:, back:] & windows.mask[:, :-back]
    changes = (windows.x[:, back:] - windows.x[:, :-back]) * both
    drift = changes.sum(axis=1) / np.maximum(both.sum(axis=1), 1)
    rounds = 1 + np.arange(windows.base.shape[1]) // back
    return windows.base + drift[:, None] * rounds


def mean_round(windows: Windows) -> np.ndarray:
    """The mean of the window's rounds, which is the mean of its rows where a round is one row."""
    back, (n, length) = windows.rows.back, windows.x.shape
    held = length // back * back
    values = windows.x[:, -held:].reshape(n, -1, back).sum(axis=1)  # what is masked is zero
    count = windows.mask[:, -held:].reshape(n, -1, back).sum(axis=1)
    phase = np.arange(windows.base.shape[1]) % back
    return np.where(count[:, phase] > 0, values[:, phase] / np.maximum(count[:, phase], 1), windows.base)


def between(windows: Windows) -> np.ndarray:
    """Halfway between the two: for what comes back to its mean, though not at once."""
    return (carried_on(windows) + mean_round(windows)) / 2


CLEARLY = 0.95  # of the absolute error of carried_on
FAR_AHEAD, NOT_FAR = 0.1, 0.8  # of the baseline's error

SIMPLE: dict[str, Callable[[Windows], np.ndarray]] = {
    "carried_on": carried_on,
    "mean": mean_round,
    "between": between,
}


def share_of_simple(most: float, left: float) -> float:
    """How much of it goes into a forecast: `most`, and less where what is learned is far ahead, down to nothing.

    left: what a regression leaves of the baseline's error on windows that it did not see.
    """
    return most * float(np.clip((left - FAR_AHEAD) / (NOT_FAR - FAR_AHEAD), 0, 1))


def choose_simple(rows: Rows, origins: np.ndarray) -> str:
    """The one with the least error at these origins [N]; carried_on unless another is clearly better.

    Having learned nothing, they know none of the origins by heart.
    """
    windows, size = rows.windows(origins), seasonal_changes(rows)
    errors = {name: forecast_errors(rows, windows, forecast(windows), size)[1] for name, forecast in SIMPLE.items()}
    errors["carried_on"] *= CLEARLY
    return min(errors, key=lambda name: float(errors[name]))

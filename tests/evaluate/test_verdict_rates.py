"""How often the verdict says "beats", with real models: the short form of benchmarks/verdict.py."""

import numpy as np

import stepahead as sa
from stepahead.evaluate.backtest import holdout_verdict

ROWS, TRAINED, SERIES = 400, 280, 24


def beaten(rows: list[np.ndarray], **params: object) -> int:
    """Of how many series it is said that the model beats doing nothing clever."""
    panels = [sa.Panel.from_arrays(y) for y in rows]
    model = sa.Forecaster(**({"recipe": "classic", "season_length": None, "holdout": None} | params))  # type: ignore[arg-type]
    fitted = model.fit_each([panel.head(np.array([TRAINED])) for panel in panels])
    return sum(holdout_verdict(m, p, TRAINED).beats for m, p in zip(fitted, panels, strict=True))


def walks() -> list[np.ndarray]:
    return [100 + np.random.default_rng(seed).normal(size=ROWS).cumsum() for seed in range(SERIES)]


def test_of_random_walks_it_is_hardly_ever_said() -> None:
    """At a true rate of 5 % more than four of 24 would be said once in a hundred runs; the seeds are fixed."""
    assert beaten(walks(), max_steps=100) <= 4
    assert beaten(walks(), recipe="price", max_steps=100, ensemble=1) <= 4


def test_of_series_that_turn_back_half_way_it_is_nearly_always_said() -> None:
    rows = []
    for seed in range(SERIES):
        noise, y = np.random.default_rng(seed).normal(size=ROWS), np.zeros(ROWS)
        for t in range(1, ROWS):
            y[t] = -0.5 * y[t - 1] + noise[t]
        rows.append(y)
    assert beaten(rows, max_steps=60, learning_rate=0.03) >= 22

"""No forecast knows a later row: whatever is rewritten after a cutoff, the forecasts made by then keep every bit.

A sample of the combinations runs here, all of them by `make soak`.
"""

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import stepahead as sa
from stepahead.choices import CELLS, HEADS
from stepahead.data.panel import Panel
from stepahead.data.scale import SCALERS
from stepahead.runtime.panel_heads import DISTRIBUTIONS

ROWS, HORIZON, WINDOWS, STEP = 64, 2, 3, 5
MISSING = ("error", "ffill", "interpolate", "mask")
CHOICES: dict[str, tuple[Any, ...]] = {
    "cell": CELLS,
    "scaler": SCALERS,
    "difference": (False, True, "log"),
    "head": tuple(head for head in HEADS if head not in ("relative", "negative_binomial")),  # the panel recipe's own
    "missing": MISSING,
    "refit": (True, False, 2),
    "train_rows": (None, 40),
}
ALL = [dict(zip(CHOICES, values, strict=True)) for values in product(*CHOICES.values())]
FAST: dict[str, Any] = {"recipe": "classic", "window": 5, "hidden_size": 3, "max_steps": 3, "horizon": HORIZON}


def table(missing: str, seed: int = 3) -> Panel:
    """Two series of three positive inputs, with holes where the choice allows them."""
    rng = np.random.default_rng(seed)
    past = np.exp(np.cumsum(rng.normal(scale=0.1, size=(2 * ROWS, 3)), axis=0) + 1)
    if missing != "error":
        past[rng.random(past.shape) < 0.1] = np.nan
        past[[0, ROWS]] = 2.0  # every input is seen at least once before the first window
    return Panel.from_arrays(past, ids=("a", "b"), offsets=[0, ROWS, 2 * ROWS])


def rewrite(panel: Panel, cutoff: int, missing: str, seed: int) -> Panel:
    """Other values in all rows of every series after its row `cutoff`."""
    rng, past = np.random.default_rng(seed), panel.past.copy()
    for start, stop in zip(panel.offsets[:-1], panel.offsets[1:], strict=True):
        later = past[start + cutoff + 1 : stop]
        later[:] = np.exp(rng.normal(scale=3, size=later.shape))
        if missing != "error":
            later[rng.random(later.shape) < 0.3] = np.nan
    return panel.with_past(past)


def check(choice: dict[str, Any], window: int, seed: int, whole: bool = False, **more: Any) -> None:
    params = {k: v for k, v in choice.items() if k not in ("refit", "train_rows")}
    walk = {"n_windows": WINDOWS, "step_size": STEP, "refit": choice["refit"], "train_rows": choice["train_rows"]}
    model, panel = sa.Forecaster(**(FAST | params | more)), table(choice["missing"])
    cutoff = ROWS - 1 - HORIZON - STEP * (WINDOWS - 1 - window)
    rewritten = rewrite(panel, cutoff, choice["missing"], seed)
    if whole:  # counts
        panel, rewritten = (each.with_past(np.rint(each.past)) for each in (panel, rewritten))
    before, after = (sa.backtest(model, each, **walk) for each in (panel, rewritten))
    kept = panel.times[before.origins] <= cutoff + 1
    assert kept.sum() == 2 * (window + 1)
    np.testing.assert_array_equal(before.mean[kept], after.mean[kept], err_msg=str(choice))
    if before.season_length != after.season_length:
        return  # a baseline's season, where the first fit found none, may come from the whole table: it helps no model
    for name, means in before.baseline_means.items():
        np.testing.assert_array_equal(means[kept], after.baseline_means[name][kept], err_msg=name)


@given(choice=st.sampled_from(ALL), window=st.integers(0, WINDOWS - 1), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_rewriting_rows_after_a_cutoff_changes_no_bit(choice: dict[str, Any], window: int, seed: int) -> None:
    check(choice, window, seed)


@pytest.mark.parametrize("recipe", ["price", "panel"])
def test_nor_does_it_with_what_a_recipe_chooses_by_itself(recipe: str) -> None:
    """Validation, early stopping, shrinkage and the season search all look at rows up to the cutoff alone."""
    choice = {"missing": "ffill", "refit": True, "train_rows": None}
    horizon = {"horizon": HORIZON} if recipe == "panel" else {"horizon": HORIZON, "patience": 2, "check_every": 2}
    check(choice, 1, 9, recipe=recipe, max_steps=6, batch_size=16, season_length="auto", **horizon)


@pytest.mark.parametrize("head", DISTRIBUTIONS)
def test_nor_with_a_distribution_over_many_series(head: str) -> None:
    """Fits by rows held out before the cutoff, and corrections of probability by them, look no further either."""
    choice = {"missing": "ffill", "refit": True, "train_rows": None}
    check(
        choice,
        1,
        9,
        recipe="panel",
        max_steps=6,
        batch_size=16,
        season_length=4,
        head=head,
        whole=head == "negative_binomial",
    )


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize("part", range(40))
def test_all_combinations_keep_every_bit(part: int) -> None:
    for i in range(part, len(ALL), 40):
        check(ALL[i], i % WINDOWS, i)

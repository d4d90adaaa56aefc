"""The sentence and its numbers."""

import numpy as np
import pytest

from stepahead.evaluate.metrics import Actual, rmse
from stepahead.evaluate.significance import p_words
from stepahead.evaluate.verdict import Verdict, distinct, judge, losses_over_time, percent, same_holds

RNG = np.random.default_rng(11)
WALK = np.cumsum(RNG.normal(size=401)) + 100
TRUTH, LAST = WALK[1:, None], WALK[:-1, None]
ACTUAL = Actual.from_arrays(TRUTH)


def of(forecast: np.ndarray, **options) -> Verdict:
    return judge(ACTUAL, forecast, {"naive": LAST, "drift": LAST + 0.5}, target="close", daily=True, **options)


def test_the_same_forecast_is_a_tie_with_p_one() -> None:
    found = of(LAST.copy())
    assert (found.outcome, found.beats, found.skill, found.p_value) == ("same", False, 0.0, 1.0)
    assert str(found) == (
        f"Does not beat repeating the last close, it makes no difference: RMSE {found.rmse:.3f} for both; "
        "the plot only echoes yesterday's value."
    )


def test_rounding_in_the_last_digits_is_no_win() -> None:
    found = of(LAST + 1e-13 * (TRUTH - LAST))
    assert (found.outcome, found.beats, found.skill) == ("same", False, 0.0)


def test_knowing_a_part_of_the_future_beats_and_says_so() -> None:
    found = of(0.4 * LAST + 0.6 * TRUTH)
    assert found.beats
    assert found.outcome == "beats"
    assert found.skill == pytest.approx(0.6, abs=1e-9)
    assert found.p_value < 0.001
    assert not found.echo
    own, other = f"{found.rmse:.3f}", f"{found.baseline_rmse:.3f}"
    assert str(found) == f"Beats repeating the last close: RMSE {own} against {other} (skill 60.0 %, p < 0.001)."


def test_a_win_that_echoes_is_told_both() -> None:
    found = of(0.8 * LAST + 0.2 * TRUTH)
    assert found.beats
    assert found.echo
    assert str(found).endswith("; even so the plot lies closer to yesterday's value than to today's.")
    assert found.rmse_to_previous == pytest.approx(0.2 * found.baseline_rmse)
    assert found.rmse_to_next == pytest.approx(0.8 * found.baseline_rmse)


def test_noise_is_clearly_worse() -> None:
    found = of(LAST + RNG.normal(size=LAST.shape))
    assert found.outcome == "worse"
    assert found.skill < 0
    assert str(found).startswith("Does not beat repeating the last close, and is clearly worse: RMSE ")


def test_a_little_noise_does_not_beat_but_is_not_called_worse() -> None:
    found = of(LAST + 0.05 * np.random.default_rng(1).normal(size=LAST.shape) + 0.01)
    assert found.outcome in ("tie", "unproven")
    assert not found.beats
    assert found.p_value > 0.05


def test_ahead_by_luck_is_not_called_a_win() -> None:
    noise = np.random.default_rng(0).normal(size=LAST.shape) * 0.05
    helpful = noise * np.sign((noise * (TRUTH - LAST)).sum())
    found = of(LAST + 0.4 * helpful)
    assert found.skill > 0
    assert found.outcome == "unproven"
    assert str(found).startswith("Close to repeating the last close, and not proven better: RMSE ")


def test_the_best_baseline_is_the_one_of_least_error() -> None:
    season = np.tile(RNG.normal(size=7), 60)[:, None]
    y = season + 0.01 * RNG.normal(size=season.shape)
    baselines = {"naive": np.roll(y, 1, axis=0), "seasonal_naive": np.roll(y, 7, axis=0), "drift": y + 3}
    found = judge(Actual.from_arrays(y), season + 0.5, baselines, season_length=7)
    assert found.baseline == "seasonal_naive"
    assert "repeating the value of one season (7 steps) before" in str(found)


def test_the_plainest_baseline_is_named_even_where_another_is_a_little_better() -> None:
    """On a price that rises, drift wins by a hair; what a reader wants to hear first is the last close."""
    rising = WALK + 0.05 * np.arange(401)
    last, truth = rising[:-1, None], rising[1:, None]
    found = judge(
        Actual.from_arrays(truth),
        last + 0.3 * RNG.normal(size=last.shape),
        {"naive": last, "drift": last + 0.05},
        target="close",
    )
    assert found.baseline == "drift"
    assert str(found).startswith("Does not beat repeating the last close or the straight line of its drift")


@pytest.mark.parametrize(
    ("outcome", "of_naive", "skill", "named"),
    [
        ("tie", "tie", -0.01, True),
        ("tie", "unproven", 0.01, True),
        ("tie", "unproven", 0.9, False),  # far ahead of naive, with too few rows to prove it
        ("tie", "worse", -0.3, True),
        ("worse", "worse", -0.3, True),
        ("worse", "unproven", 0.05, False),
        ("unproven", "unproven", 0.01, True),
        ("unproven", "unproven", 0.3, False),
        ("unproven", "beats", 0.3, False),
        ("beats", "unproven", 0.7, False),
        ("beats", "beats", 0.7, False),
    ],
)
def test_naive_is_named_beside_the_best_where_the_same_holds_for_it(
    outcome: str, of_naive: str, skill: float, named: bool
) -> None:
    assert same_holds(outcome, of_naive, skill) is named


def test_the_mean_loss_difference_is_the_difference_of_the_reported_errors() -> None:
    """Three series of other lengths, levels and missing truths: the test and the skill speak of the same thing."""
    series = np.repeat([0, 1, 2], [30, 12, 50])
    cutoff = np.concatenate([np.arange(30), 20 + np.arange(12), np.arange(50)])
    scale = np.array([1.0, 100.0, 0.01])[series][:, None]
    y = RNG.normal(size=(92, 3)) * scale
    y[[4, 40, 60], 1] = np.nan
    a, b = (y + RNG.normal(size=y.shape) * scale for _ in range(2))
    actual = Actual.from_arrays(y, series=series, cutoff=cutoff)
    first, second = losses_over_time(actual, a, b)
    expected = float(rmse(actual, a) - rmse(actual, b))
    assert first.mean() - second.mean() == pytest.approx(expected, rel=1e-10)


def test_a_perfect_forecast_of_a_constant_and_a_wrong_one() -> None:
    flat = np.full((20, 1), 3.0)
    same = judge(Actual.from_arrays(flat), flat, {"naive": flat})
    assert (same.outcome, same.skill) == ("same", 0.0)
    wrong = judge(Actual.from_arrays(flat), flat + 1, {"naive": flat})
    assert (wrong.outcome, wrong.skill) == ("worse", -np.inf)


def test_random_walks_are_rarely_said_to_be_beaten() -> None:
    """500 random walks, the forecast shrinks a fitted AR(1) of the changes: at most 5 % may be called a win."""
    wins = 0
    for seed in range(500):
        walk = np.cumsum(np.random.default_rng(seed).normal(size=400))
        change = np.diff(walk[:280])
        phi = change[1:] @ change[:-1] / (change @ change)
        last, truth = walk[279:-1, None], walk[280:, None]
        forecast = last + phi * (last - walk[278:-2, None])
        wins += judge(Actual.from_arrays(truth), forecast, {"naive": last}).beats
    assert wins <= 25, wins


@pytest.mark.parametrize(
    ("pair", "shown"),
    [
        ((8.02, 7.97), ("8.02", "7.97")),
        ((7.9541, 7.9682), ("7.95", "7.97")),
        ((922.0, 403.0), ("922", "403")),
        ((1.59431, 1.59432), ("1.59431", "1.59432")),
        ((0.00012, 0.5), ("0.000120", "0.500")),
    ],
)
def test_numbers_have_as_few_digits_as_tell_them_apart(pair: tuple[float, float], shown: tuple[str, str]) -> None:
    assert distinct(*pair) == shown


def test_small_percentages_and_p_values_are_not_rounded_away() -> None:
    assert [percent(x) for x in (-0.007, 0.0004, 0.00004, 0.0)] == ["-0.7 %", "0.04 %", "0.004 %", "0 %"]
    assert [p_words(p) for p in (0.41, 0.0499, 0.0501, 0.004, 1e-9)] == [
        "p = 0.41",
        "p = 0.0499",
        "p = 0.05",
        "p = 0.004",
        "p < 0.001",
    ]

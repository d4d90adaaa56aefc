"""Simple forecasts, each against a loop, and how much of one goes into a network's."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import stepahead as sa
from stepahead.errors import ConfigError
from stepahead.panels.simple import SIMPLE, choose_simple, share_of_simple
from stepahead.panels.windows import Windows, prepare_rows
from stepahead.recipe import resolve

RNG = np.random.default_rng(8)
WALK = sa.Panel.from_arrays(50 + RNG.normal(size=60).cumsum())


def autoregression(phi: float) -> np.ndarray:
    """48 rows that come back to zero."""
    y = np.zeros(148)
    for t in range(1, 148):
        y[t] = phi * y[t - 1] + RNG.normal()
    return y[100:]


def windows_of(y: np.ndarray, origin: int, *, window: int, back: int, horizon: int) -> Windows:
    rows = prepare_rows(sa.Panel.from_arrays(y), window=window, horizon=horizon, season=back, back=back)
    return rows.windows(np.array([origin]))


def by_hand(y: np.ndarray, origin: int, *, window: int, back: int, horizon: int) -> dict[str, list[float]]:
    """All from the rows of one window, NaN where one is missing, each as its definition says."""
    seen = y[max(0, origin - window + 1) : origin + 1]
    pairs = [seen[i] - seen[i - back] for i in range(back, len(seen))]
    known = [change for change in pairs if not np.isnan(change)]
    drift = sum(known) / len(known) if known else 0.0
    told: dict[str, list[float]] = {"carried_on": [], "mean": [], "between": []}
    for step in range(1, horizon + 1):
        place = len(seen) - back + (step - 1) % back
        first = max(0, len(seen) - window // back * back)
        held = [seen[i] for i in range(place, first - 1, -back) if not np.isnan(seen[i])]
        told["carried_on"].append(held[0] + drift * -(-step // back))
        told["mean"].append(sum(held) / len(held))
        told["between"].append((told["carried_on"][-1] + told["mean"][-1]) / 2)
    return told


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize(
    ("window", "back", "horizon"), [(12, 4, 3), (12, 4, 4), (12, 4, 10), (13, 4, 6), (20, 1, 5), (8, 8, 3)]
)
def test_each_is_what_its_name_says(window: int, back: int, horizon: int, gaps: bool) -> None:
    y = 30 + RNG.normal(size=40).cumsum()
    if gaps:
        y[[25, 31]] = np.nan
    for origin in (back - 1, back + 1, window + 2, 39):
        windows = windows_of(y, origin, window=window, back=back, horizon=horizon)
        expected = by_hand(y, origin, window=window, back=back, horizon=horizon)
        for name, forecast in SIMPLE.items():
            if back == 8 and gaps and origin > 20:
                continue  # a season without its row falls back on the last value
            np.testing.assert_allclose(forecast(windows)[0], expected[name], rtol=1e-12, err_msg=f"{name} {origin}")


@pytest.mark.parametrize(
    ("kind", "y"),
    [
        ("carried_on", 10 + np.tile([0.0, 3, 1, -4], 12) + 0.5 * np.arange(48) + 0.1 * RNG.normal(size=48)),
        ("mean", 10 + np.tile([0.0, 3, 1, -4], 12) + RNG.normal(size=48)),
        ("between", 10 + np.tile([0.0, 3, 1, -4], 12) + autoregression(0.9)),
    ],
)
def test_the_one_that_errs_least_is_chosen(kind: str, y: np.ndarray) -> None:
    rows = prepare_rows(sa.Panel.from_arrays(y), window=12, horizon=4, season=4, back=4)
    assert choose_simple(rows, np.arange(3, 44)) == kind


def test_the_share_falls_with_the_rows_and_ends() -> None:
    def share(rows: int) -> float:
        return resolve({"horizon": 2}, sa.Panel.from_arrays(np.arange(float(rows)))).blend

    assert [share(n) for n in (50, 500, 1000, 1500)] == [0.499, 0.389, 0.184, 0.053]
    assert share(1550) == 0.0
    four = sa.Panel.from_arrays(np.arange(500.0), ids=tuple("abcd"), offsets=[0, 125, 250, 375, 500])
    assert resolve({"horizon": 2}, four).blend == pytest.approx(share(125) / 2 * np.exp(-375 / 2000), abs=1e-3)


@pytest.mark.parametrize(
    "asked", [{"calendar": True}, {"elapsed": True}, {"head": "quantile"}, {"patience": 5}, {"recipe": "classic"}]
)
def test_where_a_simple_forecast_knows_less_there_is_none_of_it(asked: dict[str, object]) -> None:
    days = np.datetime64("2024-01-01", "us") + np.arange(60) * np.timedelta64(1, "D")
    panel = sa.Panel.from_arrays(WALK.y, times=days)
    assert resolve({"horizon": 2}, panel).blend > 0.4
    assert resolve({"horizon": 2} | asked, panel).blend == 0.0
    two = sa.Panel.from_arrays(np.stack([WALK.y, WALK.y], axis=1), names=("x", "y"))
    assert resolve({"horizon": 2}, two).blend == 0.0


def test_a_forecast_is_the_average_that_was_asked_for_and_a_file_keeps_it(tmp_path: Path) -> None:
    plain, half = (sa.Forecaster(horizon=3, max_steps=5, holdout=None, blend=b).fit(WALK) for b in (0.0, 0.5))
    name, simple = half.config_.name, SIMPLE[half.fitted_.simple]
    source = half.fitted_.source(WALK)
    expected = (plain.predict()[name].to_numpy() + simple(source.windows(np.array([59])))[0]) / 2
    np.testing.assert_allclose(half.predict()[name], expected, rtol=1e-12)
    half.save(tmp_path / "half.safetensors")
    again = sa.load(tmp_path / "half.safetensors")
    assert again.fitted_.simple == half.fitted_.simple
    assert again.predict(WALK)[name].to_list() == half.predict(WALK)[name].to_list()
    other = replace(half.fitted_, simple="mean" if half.fitted_.simple != "mean" else "carried_on")
    assert other.forecast(source, np.array([59])).mean[0].tolist() != half.predict()[name].to_list()


@pytest.mark.parametrize("blend", [-0.1, 1.0, "half", None, True])
def test_a_share_that_is_none_is_refused(blend: object) -> None:
    with pytest.raises(ConfigError, match=r"^blend="):
        sa.Forecaster(horizon=2, blend=blend).fit(WALK)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"blend=0\.5 is for point forecasts of the panel recipe"):
        sa.Forecaster("classic", blend=0.5).fit(WALK)


def test_what_is_learned_far_ahead_of_it_stands_alone() -> None:
    assert [share_of_simple(0.4, left) for left in (0.0, 0.1, 0.45, 0.8, 1.0)] == pytest.approx([0, 0, 0.2, 0.4, 0.4])
    wave = 10 + np.sin(np.arange(300.0) / 5)
    panel = sa.Panel.from_arrays(wave[:288])
    model = sa.Forecaster(horizon=6, max_steps=60, holdout=None).fit(panel)
    assert resolve({"horizon": 6}, panel).blend > 0.4  # the most that it might get
    assert model.config_.blend == 0.0
    np.testing.assert_allclose(model.predict()[model.config_.name], wave[288:294], atol=0.01)
    random = sa.Forecaster(horizon=6, max_steps=5, holdout=None).fit(WALK)
    assert random.config_.blend == resolve({"horizon": 6}, WALK).blend

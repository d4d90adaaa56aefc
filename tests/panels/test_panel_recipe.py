"""The panel recipe as a user meets it."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from panel_series import seasonal

import stepahead as sa
from stepahead.errors import ConfigError, DataError


def small(**options: object) -> sa.Forecaster:
    given = {"recipe": "panel", "horizon": 3, "season_length": 4, "max_steps": 12, "ensemble": 2, "hidden_size": 8}
    return sa.Forecaster(**(given | {"holdout": None, "batch_size": 32} | options))


@pytest.fixture(scope="module")
def fitted() -> sa.Forecaster:
    return small().fit(seasonal([40, 33, 60, 5, 1, 48, 37, 52]))


def test_same_seed_gives_the_same_bits_and_another_seed_others(fitted: sa.Forecaster) -> None:
    again = small().fit(fitted.panel_)
    other = small(seed=1).fit(fitted.panel_)
    assert again.predict().equals(fitted.predict())
    assert not other.predict().equals(fitted.predict())


def test_bits_do_not_depend_on_the_number_of_threads(fitted: sa.Forecaster) -> None:
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1 if threads > 1 else 2)
        again = small().fit(fitted.panel_)
    finally:
        torch.set_num_threads(threads)
    assert again.predict().equals(fitted.predict())


def test_rows_after_an_origin_change_no_bit(fitted: sa.Forecaster) -> None:
    panel = fitted.panel_
    origins = panel.offsets[:-1] + np.minimum(panel.lengths, 30) - 1
    past = panel.past.copy()
    for s, origin in enumerate(origins):
        past[origin + 1 : panel.offsets[s + 1]] *= -1e6
    np.testing.assert_array_equal(
        fitted.forecast(panel.with_past(past), origins).mean, fitted.forecast(panel, origins).mean
    )


@pytest.mark.parametrize("size", [1, 7, 100])
def test_a_forecast_does_not_depend_on_its_neighbours(fitted: sa.Forecaster, size: int) -> None:
    panel = fitted.panel_
    origins = np.arange(panel.n_rows)
    whole = fitted.forecast(panel, origins).mean
    parts = [fitted.forecast(panel, origins[i : i + size]).mean for i in range(0, len(origins), size)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_a_saved_model_gives_the_same_bits(fitted: sa.Forecaster, tmp_path: Path) -> None:
    fitted.save(tmp_path / "model.safetensors")
    assert sa.load(tmp_path / "model.safetensors").predict().equals(fitted.predict())


def test_a_killed_fit_goes_on_from_its_checkpoint_in_the_same_bits(tmp_path: Path) -> None:
    panel = seasonal([40, 33, 60])
    whole = small(check_every=4).fit(panel)

    def kill(report: object) -> None:
        if report.step == 8:
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        small(check_every=4).fit(panel, checkpoint=tmp_path / "run", progress=kill)
    resumed = small(check_every=4).fit(panel, checkpoint=tmp_path / "run")
    assert resumed.predict().equals(whole.predict())
    assert resumed.history_ == whole.history_ or str(resumed.history_) == str(whole.history_)
    with pytest.raises(ConfigError, match="another run"):
        small(check_every=4, seed=5).fit(panel, checkpoint=tmp_path / "run")


def test_it_beats_the_baseline_that_it_starts_from() -> None:
    # A seasonal AR(1) around a trend: both baselines leave something that a line over the window can tell.
    rng, t = np.random.default_rng(0), np.arange(120)
    noise = np.zeros((10, 120))
    for i in range(1, 120):
        noise[:, i] = 0.8 * noise[:, i - 1] + rng.normal(scale=0.5, size=10)
    y = 20 + 5 * np.sin(2 * np.pi * t / 4) + 0.1 * t + noise
    panel = sa.Panel.from_arrays(y.ravel(), ids=[f"s{i}" for i in range(10)], offsets=np.arange(11) * 120)
    model = small(max_steps=150, holdout="auto").fit(panel)
    assert model.verdict_.beats, str(model.verdict_)
    over = model.series_verdict_
    assert over.won > 0.7
    assert "of 10 series" in str(over)


AWKWARD = {
    "constant": lambda rng, n: np.full(n, 5.0),
    "zero": lambda rng, n: np.zeros(n),
    "counts": lambda rng, n: rng.poisson(0.2, n).astype(float),
    "negative": lambda rng, n: rng.normal(size=n) - 3,
    "huge": lambda rng, n: 1e12 * (1 + rng.random(n)),
    "tiny": lambda rng, n: 1e-12 * (1 + rng.random(n)),
    "jump": lambda rng, n: np.where(np.arange(n) < n // 2, 1.0, 1e6),
}


@pytest.mark.parametrize(
    "kinds", [["constant"], ["zero"], ["counts"], ["negative"], ["huge", "tiny", "jump"], list(AWKWARD)]
)
def test_awkward_series_get_numbers(kinds: list[str]) -> None:
    rng = np.random.default_rng(0)
    lengths = [30, 30, 2, 1, 3]
    parts = [AWKWARD[kind](rng, n) for kind in kinds for n in lengths]
    ids = [f"{kind}{i}" for kind in kinds for i in range(len(lengths))]
    panel = sa.Panel.from_arrays(np.concatenate(parts), ids=ids, offsets=[0, *np.cumsum(lengths * len(kinds))])
    forecast = small(max_steps=30).fit(panel).predict()["GRU"].to_numpy().reshape(-1, 3)
    assert np.isfinite(forecast).all()
    for s, name in enumerate(ids):
        y = panel.y[panel.rows(s)]
        if not name.startswith("negative"):
            assert (forecast[s] >= 0).all()
        if name.startswith(("constant", "zero")):
            np.testing.assert_allclose(forecast[s], y[-1], rtol=0.3, atol=1e-9)


@pytest.mark.parametrize("head", ["auto", "student_t"])
def test_series_of_far_apart_sizes_are_forecast_each_in_its_own(head: str) -> None:
    # Behind the end of a small series lie the values of a large one: in units of the small one they have no square.
    panel = seasonal([40] * 6)
    sizes = np.repeat(2.0 ** (90 * (-1.0) ** np.arange(6)), 40)  # 1e-27 and 1e27; powers of two round nothing
    model = small(head=head, horizon=6, max_steps=10).fit(panel.with_past(panel.past * sizes[:, None]))
    expected = small(head=head, horizon=6, max_steps=10).fit(panel).predict()["GRU"].to_numpy()
    np.testing.assert_allclose(model.predict()["GRU"].to_numpy() / np.repeat(sizes[::40], 6), expected, rtol=1e-12)


def test_a_window_without_a_value_is_said_clearly() -> None:
    panel = seasonal([60, 60])
    past = panel.past.copy()
    past[20:60] = np.nan
    with pytest.raises(DataError, match="series 's0' has no value of 'y' in the 20 rows"):
        small(missing="mask").fit(panel.with_past(past)).predict()


def test_all_series_without_a_value_are_named_at_once_and_the_others_can_be_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    panel = seasonal([60] * 9)
    past = panel.past.copy()
    past.reshape(9, 60)[1:8, 40:] = np.nan
    model = small(missing="mask").fit(panel.with_past(past))
    named = "7 series have no value .* 's1', 's2', 's3', 's4', 's5', ... and 2 more; .* ids="
    monkeypatch.setattr("stepahead.panels.fitted.CHUNK", 2)  # those of later chunks, too
    with pytest.raises(DataError, match=named):
        model.predict()
    assert np.isfinite(model.predict(ids=["s0", "s8"])["GRU"].to_numpy()).all()


def test_a_missing_value_is_never_silent() -> None:
    panel = seasonal([40, 40])
    past = panel.past.copy()
    past[7] = np.nan
    with pytest.raises(DataError, match="missing"):
        small().fit(panel.with_past(past))
    for choice in ("mask", "ffill", "interpolate"):
        assert np.isfinite(small(missing=choice).fit(panel.with_past(past)).predict()["GRU"].to_numpy()).all()


def promotions(effect: float, seed: int = 0) -> tuple[pl.DataFrame, pl.DataFrame, np.ndarray]:
    """Ten series with a promotion known ahead that adds so many times the level; the next three rows apart."""
    rng = np.random.default_rng(seed)
    tables, truth = [], []
    for s in range(10):
        promo = (rng.random(83) < 0.3).astype(float)
        y = 100 * (1 + s) * (1 + 0.2 * np.sin(2 * np.pi * np.arange(83) / 4) + effect * promo)
        y *= np.exp(rng.normal(scale=0.02, size=83))
        tables.append(pl.DataFrame({"unique_id": f"s{s}", "ds": np.arange(83), "y": y, "promo": promo}))
        truth.append(y[80:])
    table = pl.concat(tables)
    return table.filter(pl.col("ds") < 80), table.filter(pl.col("ds") >= 80).drop("y"), np.stack(truth)


def error_with(effect: float, future: list[str]) -> float:
    train, ahead, truth = promotions(effect)
    panel = sa.read(train if future else train.drop("promo"), future=future)
    model = small(max_steps=120).fit(panel)
    said = model.predict(future=ahead if future else None)["GRU"].to_numpy().reshape(10, 3)
    return float(np.abs(said / truth - 1).mean())


def test_an_input_known_ahead_helps_where_it_must() -> None:
    assert error_with(0.5, ["promo"]) < 0.35 * error_with(0.5, [])


def test_an_input_known_ahead_that_is_noise_is_harmless() -> None:
    assert error_with(0.0, ["promo"]) < 1.15 * error_with(0.0, [])


def test_a_missing_future_input_is_named() -> None:
    train, ahead, _ = promotions(0.5)
    model = small().fit(sa.read(train, future=["promo"]))
    with pytest.raises(DataError, match="promo"):
        model.predict(future=ahead.filter(pl.col("ds") < 82))
    with pytest.raises(DataError, match="promo"):
        model.forecast(model.panel_, model.panel_.offsets[1:] - 1)


def test_what_was_asked_for_wins() -> None:
    model = small(cell="lstm", window=15, hidden_size=5, max_steps=3, ensemble=3).fit(seasonal([40, 40]))
    config = model.config_
    assert (config.cell, config.window, config.hidden_size, config.max_steps, config.ensemble) == ("lstm", 15, 5, 3, 3)
    assert model.name == "LSTM"
    assert len(model.fitted_.members) == 3
    assert small(scaler="standard").fit(seasonal([40, 40])).config_.backbone == "plain"


def weekly(days: int, holidays: np.ndarray) -> pl.DataFrame:
    """Daily sales that are low on Sundays and nothing on holidays."""
    ds = np.datetime64("2023-01-02") + np.arange(days)
    rng = np.random.default_rng(0)
    y = 100 * np.where(np.arange(days) % 7 == 6, 0.3, 1.0) * np.where(np.isin(ds, holidays), 0.1, 1.0)
    return pl.DataFrame({"ds": ds, "y": y * np.exp(rng.normal(scale=0.03, size=days))})


def test_holidays_given_by_the_user_are_foreseen() -> None:
    # Every 23rd day is a holiday, among them the second day ahead.
    days = 300
    holidays = np.datetime64("2023-01-02") + np.arange(days + 1, 0, -23)
    panel = sa.read(weekly(days, holidays))
    plain, knowing = (
        small(season_length=7, max_steps=150, calendar=kind).fit(panel).predict()["GRU"].to_numpy()
        for kind in (False, [str(day) for day in holidays])
    )
    assert plain[1] > 50
    assert knowing[1] < 35
    np.testing.assert_allclose(knowing[[0, 2]], plain[[0, 2]], rtol=0.25)


def test_calendar_needs_stamps() -> None:
    with pytest.raises(ConfigError, match="counts steps"):
        small(calendar=True).fit(seasonal([40, 40]))

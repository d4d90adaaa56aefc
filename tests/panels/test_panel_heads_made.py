"""Distributions of the panel recipe on made data whose distribution is known."""

import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import stepahead as sa
from stepahead.errors import ConfigError, DataError
from stepahead.runtime.panel_heads import DISTRIBUTIONS

LEVELS = (50, 80, 90, 95)
HORIZON, SEASON, SERIES, ROWS = 4, 4, 40, 80


def small(**options: object) -> sa.Forecaster:
    given = {"recipe": "panel", "horizon": HORIZON, "season_length": SEASON, "ensemble": 2, "hidden_size": 8}
    return sa.Forecaster(**(given | {"batch_size": 64, "max_steps": 400, "learning_rate": 1e-2} | options))


def panel_of(y: np.ndarray) -> sa.Panel:
    series, rows = y.shape
    return sa.Panel.from_arrays(y.ravel(), ids=[f"s{s}" for s in range(series)], offsets=np.arange(series + 1) * rows)


def restless(rng: np.random.Generator) -> np.ndarray:
    """Half of the season is quiet, half six times as noisy: [SERIES, ROWS + HORIZON]."""
    t = np.arange(ROWS + HORIZON)
    noise = np.where(t % SEASON < 2, 0.05, 0.3) * rng.normal(size=(SERIES, len(t)))
    return np.exp(rng.normal(3, 1, (SERIES, 1))) * (2 + np.sin(2 * np.pi * t / SEASON) + noise)


def counts(rng: np.random.Generator) -> np.ndarray:
    """Negative binomial counts with a season, from some .4 to 40 a row: variance mean + mean^2 / 4."""
    t = np.arange(ROWS + HORIZON)
    mean = np.exp(rng.uniform(-1, 3.5, (SERIES, 1))) * (1 + 0.8 * np.sin(2 * np.pi * t / SEASON))
    return rng.negative_binomial(4, 4 / (4 + mean)).astype(float)


MAKERS = {"restless": restless, "counts": counts}


@cache
def learned(kind: str, head: str) -> tuple[sa.Forecaster, np.ndarray, pl.DataFrame]:
    """A model, the truth behind its rows [SERIES, HORIZON], and what it says of it."""
    y = MAKERS[kind](np.random.default_rng(0))
    model = small(head=head).fit(panel_of(y[:, :ROWS]))
    return model, y[:, ROWS:], model.predict(level=LEVELS)


def bounds(said: pl.DataFrame, level: int) -> tuple[np.ndarray, np.ndarray]:
    lo, hi = (said[f"GRU-{side}-{level}"].to_numpy().reshape(-1, HORIZON) for side in ("lo", "hi"))
    return lo, hi


def covered(said: pl.DataFrame, truth: np.ndarray, level: int) -> float:
    lo, hi = bounds(said, level)
    return float(((lo <= truth) & (truth <= hi)).mean())


def pinball(said: pl.DataFrame, truth: np.ndarray) -> float:
    """The mean over all bounds, each series in units of its own size."""
    size, losses = np.maximum(np.abs(truth).mean(axis=1, keepdims=True), 1.0), []
    for level in LEVELS:
        for q, bound in zip(((100 - level) / 200, (100 + level) / 200), bounds(said, level), strict=True):
            losses.append((np.maximum(q * (truth - bound), (q - 1) * (truth - bound)) / size).mean())
    return float(np.mean(losses))


@pytest.mark.parametrize(
    ("kind", "head"), [("restless", "quantile"), ("restless", "student_t"), ("counts", "negative_binomial")]
)
def test_intervals_cover_what_they_promise(kind: str, head: str) -> None:
    _, truth, said = learned(kind, head)
    for level in LEVELS:
        # Three binomial deviations of 160 truths; whole numbers cover up to a count more than asked.
        slack = 3 * np.sqrt(level * (100 - level) / truth.size)
        share = 100 * covered(said, truth, level)
        assert level - slack < share < level + slack + (12 if kind == "counts" else 0), (level, share)


@pytest.mark.parametrize("head", ["quantile", "student_t"])
def test_noise_that_depends_on_the_season_is_learned(head: str) -> None:
    _, truth, said = learned("restless", head)
    lo, hi = bounds(said, 80)
    width = ((hi - lo) / truth.mean(axis=1, keepdims=True)).mean(axis=0)
    assert width[2:].mean() > 2.5 * width[:2].mean()
    assert pinball(said, truth) < 0.93 * pinball(*learned("restless", "relative")[:0:-1])


def test_counts_have_whole_numbers_for_bounds_and_paths() -> None:
    model, truth, said = learned("counts", "negative_binomial")
    drawn = model.sample(20)["GRU"].to_numpy()
    for values in (*bounds(said, 80), drawn):
        assert (values >= 0).all()
        np.testing.assert_array_equal(values, np.round(values))
    assert pinball(said, truth) < pinball(*learned("counts", "relative")[:0:-1])


@pytest.mark.parametrize(
    ("kind", "head"),
    [("restless", "relative"), ("restless", "quantile"), ("restless", "student_t"), ("counts", "negative_binomial")],
)
def test_the_draws_of_a_step_have_the_quantiles_of_its_intervals(kind: str, head: str) -> None:
    model, _, said = learned(kind, head)
    paths = 2000
    drawn = model.sample(paths, ids=["s0", "s7"])["GRU"].to_numpy().reshape(2, paths, HORIZON)
    for level in (50, 90):
        lo, hi = (bound[[0, 7]][:, None] for bound in bounds(said, level))
        below, above = (drawn < lo).mean(axis=1), (drawn > hi).mean(axis=1)
        # Four deviations of 2,000 draws. Counts: at most so many lie beyond a whole number.
        tail, slack = (100 - level) / 200, 4 * np.sqrt((100 - level) / 200 / paths)
        assert (below < tail + slack).all(), below
        assert (above < tail + slack).all(), above
        if kind != "counts":
            assert (below > tail - slack).all(), below
            assert (above > tail - slack).all(), above


def test_paths_are_deterministic_and_those_of_a_series_alone() -> None:
    model, _, _ = learned("restless", "quantile")
    whole = model.sample(5, seed=3)
    assert whole.columns == ["unique_id", "ds", "path", "GRU"]
    assert whole.equals(model.sample(5, seed=3))
    assert not whole.equals(model.sample(5, seed=4))
    assert whole.filter(pl.col("unique_id") == "s7").equals(model.sample(5, seed=3, ids="s7"))
    assert model.sample(5, ids=[]).schema == whole.schema


def test_sums_over_a_path_spread_as_those_of_the_truth() -> None:
    """A random walk: its steps hang together, so that sums over the horizon vary far more than apart."""
    rng = np.random.default_rng(0)
    y = 100 + rng.normal(size=(SERIES, ROWS + HORIZON)).cumsum(axis=1)
    model = small(head="student_t", season_length=None).fit(panel_of(y[:, :ROWS]))
    drawn = model.sample(400)["GRU"].to_numpy().reshape(SERIES, 400, HORIZON)
    width = lambda values: np.diff(np.quantile(values, [0.1, 0.9], axis=1), axis=0)[0] / 2.563  # noqa: E731
    spread, apart = width(drawn.sum(axis=2)).mean(), np.sqrt((width(drawn) ** 2).sum(axis=1)).mean()
    # A walk's sums over four steps vary as 30, sums of steps of the same spread that know nothing of one another as 10.
    assert abs(spread / apart / np.sqrt(3) - 1) < 0.1, spread / apart
    lo, hi = np.quantile(drawn.sum(axis=2), [0.1, 0.9], axis=1)
    inside = (lo <= y[:, ROWS:].sum(axis=1)) & (y[:, ROWS:].sum(axis=1) <= hi)
    assert inside.mean() > 0.8 - 3 * np.sqrt(0.8 * 0.2 / SERIES)


@pytest.mark.parametrize("head", DISTRIBUTIONS)
def test_a_saved_model_gives_the_same_bits(head: str, tmp_path: Path) -> None:
    model, _, said = learned("counts" if head == "negative_binomial" else "restless", head)
    model.save(tmp_path / "model.safetensors")
    again = sa.load(tmp_path / "model.safetensors")
    assert again.predict(level=LEVELS).equals(said)
    assert again.sample(3).equals(model.sample(3))


@pytest.mark.parametrize("head", DISTRIBUTIONS)
def test_a_saved_model_answers_without_torch_and_scipy(head: str, tmp_path: Path) -> None:
    model, _, said = learned("counts" if head == "negative_binomial" else "restless", head)
    model.save(tmp_path / "model.safetensors")
    code = (
        "import sys; sys.modules.update(torch=None, scipy=None)\n"
        f"import stepahead as sa; model = sa.load({str(tmp_path / 'model.safetensors')!r})\n"
        "model.sample(2); model.predict(level=[50, 80, 90, 95]).write_parquet(sys.argv[1])"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "said.parquet")], check=True, timeout=120)
    assert pl.read_parquet(tmp_path / "said.parquet").equals(said)


@pytest.mark.parametrize("head", DISTRIBUTIONS)
def test_same_seed_same_bits_and_no_neighbour_changes_one(head: str) -> None:
    panel = panel_of(counts(np.random.default_rng(1))[:6])
    models = [small(head=head, max_steps=8, seed=seed, holdout=None).fit(panel) for seed in (0, 0, 1)]
    said = [model.predict(level=[80]) for model in models]
    assert said[0].equals(said[1])
    assert not said[0].equals(said[2])
    alone = models[0].predict(level=[80], ids=["s3"])
    assert alone.equals(said[0].filter(pl.col("unique_id") == "s3"))


@pytest.mark.parametrize("head", DISTRIBUTIONS)
def test_awkward_series_get_numbers(head: str) -> None:
    rng = np.random.default_rng(0)
    rare, large = rng.poisson(0.1, 30), 1e9 + np.arange(30)
    parts = [np.zeros(30), np.full(30, 5.0), rare, np.zeros(1), np.full(1, 3.0), np.array([0, 1e9]), large]
    ids, lengths = [f"s{s}" for s in range(len(parts))], [len(part) for part in parts]
    panel = sa.Panel.from_arrays(np.concatenate(parts), ids=ids, offsets=[0, *np.cumsum(lengths)])
    model = small(head=head, max_steps=20).fit(panel)
    said = model.predict(level=[80, 95])
    for values in said.select(pl.col("^GRU.*$")):
        assert np.isfinite(values.to_numpy()).all()
        assert (values.to_numpy() >= 0).all()
    assert np.isfinite(model.sample(10)["GRU"].to_numpy()).all()
    stream = model.stream(panel, series="s6", level=[80])
    assert np.isfinite(stream.push({"y": 1e9}).hi).all()
    assert stream.sample(3).shape == (3, HORIZON)


def test_what_cannot_be_is_said() -> None:
    y = counts(np.random.default_rng(0))[:3]
    with pytest.raises(DataError, match=r"series 's1'.*0.5 is no count"):
        small(head="negative_binomial").fit(panel_of(np.vstack([y[:1], y[1:2] + 0.5])))
    with pytest.raises(ConfigError, match="panel recipe's own"):
        small(head="negative_binomial", num_layers=2).fit(panel_of(y))
    model = small(head="quantile", quantiles=[0.1, 0.5, 0.9], max_steps=2, holdout=None).fit(panel_of(y))
    assert model.predict(level=[80]).shape[1] == 5
    with pytest.raises(ConfigError, match="wider than the head was trained for: at most 80 percent"):
        model.predict(level=[90])
    with pytest.raises(ConfigError, match="paths=0"):
        model.sample(0)
    with pytest.raises(ConfigError, match="held-out errors"):
        small(max_steps=2, holdout=None).fit(panel_of(y)).sample(2)


def test_a_plain_model_draws_paths_too() -> None:
    y = restless(np.random.default_rng(0))[:2]
    model = small(recipe="classic", season_length=None, hidden_size=4, max_steps=20, ensemble=1).fit(panel_of(y))
    drawn = model.sample(50)["LSTM"].to_numpy().reshape(2, 50, HORIZON)
    lo, hi = (model.predict(level=[50])[f"LSTM-{side}-50"].to_numpy().reshape(2, 1, HORIZON) for side in ("lo", "hi"))
    assert 0.3 < ((drawn > lo) & (drawn < hi)).mean() < 0.7

"""Static inputs of the panel recipe: read as they should be, a help where they must, harmless where they are noise."""

from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import stepahead as sa
from stepahead.data.covariates import fit_covariates
from stepahead.panels.statics import forgetful, statics_of

SEASON, HORIZON, GROUPS = 12, 6, 4
ANGLES = 2 * np.pi * np.arange(SEASON) / SEASON
# What a year looks like in each group: one or two waves, early or late.
SHAPES = np.exp(0.8 * np.stack([np.sin(ANGLES), -np.sin(ANGLES), np.cos(2 * ANGLES), -np.cos(2 * ANGLES)]))


def small(**options: object) -> sa.Forecaster:
    given = {"recipe": "panel", "horizon": HORIZON, "season_length": SEASON, "ensemble": 2, "hidden_size": 16}
    given |= {"max_steps": 400, "learning_rate": 5e-3, "batch_size": 128, "holdout": None, "calendar": True}
    return sa.Forecaster(**(given | options))


def table(series: int, rows: tuple[int, int], seed: int, name: str = "s") -> tuple[pl.DataFrame, np.ndarray]:
    """Monthly series of a group each, some rows long, and what follows them: [series, HORIZON]."""
    rng, tables, truth = np.random.default_rng(seed), [], []
    for s in range(series):
        group, length, start = s % GROUPS, int(rng.integers(*rows)), int(rng.integers(SEASON))
        months = start + np.arange(length + HORIZON)
        y = np.exp(rng.normal(3, 1)) * SHAPES[group, months % SEASON] * np.exp(0.05 * rng.normal(size=len(months)))
        ds = np.datetime64("2020-01", "M") + months[:length]
        made = {"unique_id": f"{name}{s}", "ds": ds.astype("datetime64[D]"), "y": y[:length]}
        tables.append(pl.DataFrame(made | {"group": f"g{group}", "size": float(group), "noise": f"n{rng.integers(8)}"}))
        truth.append(y[length:])
    return pl.concat(tables), np.array(truth)


def error(said: pl.DataFrame, truth: np.ndarray) -> float:
    found = said["GRU"].to_numpy().reshape(truth.shape)
    return float((np.abs(found - truth).mean(axis=1) / truth.mean(axis=1)).mean())


@cache
def learned(*static: str) -> sa.Forecaster:
    known, _ = table(160, (4, 26), seed=0)
    return small().fit(sa.read(known, past=[], static=static))


def error_of_new(*static: str) -> float:
    """Of series that the network never saw, of one to three rows."""
    new, truth = table(80, (1, 4), seed=1, name="new")
    return error(learned(*static).predict(sa.read(new, past=[], static=static)), truth)


def test_a_category_helps_series_that_begin() -> None:
    alone, told = error_of_new(), error_of_new("group")
    assert told < 0.6 * alone, (told, alone)


def test_a_number_helps_series_that_begin() -> None:
    alone, told = error_of_new(), error_of_new("size")
    assert told < 0.75 * alone, (told, alone)


def test_a_category_that_is_noise_is_harmless() -> None:
    known, truth = table(160, (14, 26), seed=0)
    errors = []
    for static in ([], ["noise"]):
        panel = sa.read(known, past=[], static=static)
        errors.append(np.mean([error(small(seed=s).fit(panel).predict(), truth) for s in range(2)]))
    assert errors[1] < 1.02 * errors[0], errors


def test_an_unseen_category_is_forecast_as_well_as_without_it() -> None:
    new, truth = table(80, (1, 4), seed=1, name="new")
    strange = new.with_columns(group=pl.lit("never seen"))
    said = learned("group").predict(sa.read(strange, past=[], static=["group"]))
    assert error(said, truth) < 1.1 * error_of_new()


def kinds(**columns: list) -> sa.Panel:
    n = len(columns["kind"])
    frame = pl.DataFrame({"unique_id": [f"s{i}" for i in range(n)], "ds": [1] * n, "y": [1.0] * n} | columns)
    return sa.read(frame, past=[], static=["kind", "n"])


def test_categories_and_numbers_become_rows_of_a_table_and_scaled_numbers() -> None:
    panel = kinds(kind=["x", "y", "x"], n=[1, 2, 6])
    covariates = fit_covariates(panel)
    found = statics_of(panel, covariates)
    assert found.codes.tolist() == [[0], [1], [0]]
    assert found.rows == 3  # x, y, unseen
    np.testing.assert_allclose(found.numbers[:, 0], (np.array([1, 2, 6]) - 3) / np.std([1, 2, 6]), rtol=1e-6)
    other = statics_of(kinds(kind=["z"], n=[1e9]), covariates)
    assert other.codes.tolist() == [[2]]
    assert other.numbers.tolist() == [[5.0]]  # as far out as any is read
    forgotten = forgetful(np.zeros((10_000, 1)), found.unseen, np.random.default_rng(0))
    assert 0.08 < (forgotten == 2).mean() < 0.12


def test_a_saved_model_with_static_inputs_gives_the_same_bits(tmp_path: Path) -> None:
    known, _ = table(12, (4, 26), seed=0)
    model = small(max_steps=5).fit(sa.read(known, past=[], static=["group", "size"]))
    again = small(max_steps=5).fit(sa.read(known, past=[], static=["group", "size"]))
    assert again.predict().equals(model.predict())
    model.save(tmp_path / "m.safetensors")
    loaded = sa.load(tmp_path / "m.safetensors")
    assert loaded.predict().equals(model.predict())
    assert loaded.predict(ids=["s3"]).equals(model.predict().filter(pl.col("unique_id") == "s3"))
    assert len(loaded.stream(series="s3").hidden) == 16


@pytest.mark.parametrize("head", ["relative", "quantile", "negative_binomial"])
def test_torch_and_the_path_without_it_read_static_inputs_alike(head: str) -> None:
    """What the loss saw at the last step of a training of none is what `predict` says."""
    import torch

    from stepahead.learn import Training
    from stepahead.nn import panel as net
    from stepahead.panels.descend import make_team
    from stepahead.panels.learn import make_plan
    from stepahead.recipe import resolve
    from stepahead.runtime.panel import in_scale, member_output

    known, _ = table(12, (4, 26), seed=0)
    known = known.with_columns(y=pl.col("y").round())
    panel = sa.read(known, past=[], static=["group", "size", "noise"])
    config = resolve(small(head=head).get_params(), panel)
    plan, rng = make_plan(panel, config, np.random.default_rng(0)), np.random.default_rng(1)
    team = make_team(plan, Training().device)
    with torch.no_grad():
        team.network.static_weight.normal_()
        team.network.static_effect.normal_(std=0.1)
        team.network.head_weight.normal_(std=0.1)
        team.network.eval()
        origins = plan.origins.draw(rng, 16)
        reads = plan.source.readings(origins, plan.kinds)
        batch = {name: torch.as_tensor(np.stack([r[name] for r in reads]).astype(np.float32)) for name in reads[0]}
        feed = net.Feed(**batch)
        expected = net.in_scale(team.network(feed), feed, plan.kinds.count("log")).numpy()
    for m, kind in enumerate(plan.kinds):
        weights = {name: p[m].detach().numpy() for name, p in team.network.named_parameters()}
        found = in_scale(member_output(config.cell, weights, reads[m]), reads[m], logs=kind == "log")
        np.testing.assert_allclose(found, expected[m], rtol=1e-4, atol=1e-4)

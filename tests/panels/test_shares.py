"""Which members are believed on which series."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from panel_series import seasonal

import stepahead as sa
from stepahead.errors import ConfigError
from stepahead.panels import learn_shares as module
from stepahead.panels.learn import make_plan
from stepahead.panels.learn_shares import boldness_pays, learn_shares
from stepahead.panels.shares import BOLD, EQUAL, shares_by_losses


@pytest.fixture(scope="module")
def fitted() -> sa.Forecaster:
    """With bold parts, whether they pay or not."""
    model = sa.Forecaster(horizon=3, season_length=4, max_steps=12, hidden_size=8, batch_size=32, holdout=None, blend=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CLEARLY", np.inf)
        return model.fit(seasonal([40, 33, 60, 5, 1, 3, 48, 37, 52]))


def by_member(fitted: sa.Forecaster, origins: np.ndarray) -> np.ndarray:
    """What each member forecasts when it is alone: [M, N, H]."""
    found = fitted.fitted_
    members = [
        replace(found, members=(weights,), kinds=(kind,), config=replace(found.config, combine="mean"))
        for weights, kind in zip(found.members, found.kinds, strict=True)
    ]
    return np.stack([member.forecast(found.source(fitted.panel_), origins).mean for member in members])


def test_a_smaller_loss_has_the_larger_part() -> None:
    shares = shares_by_losses(["b", "a"], np.array([[1.0, 2**0.5], [5.0, 5.0]]), power=2)
    np.testing.assert_allclose(shares.of(["a", "new", "b"], 2), [[0.5, 0.5], [0.5, 0.5], [2 / 3, 1 / 3]])
    assert EQUAL.of(["a"], 4).tolist() == [[0.25] * 4]


def test_members_are_judged_by_the_last_horizon_of_each_series(fitted: sa.Forecaster) -> None:
    panel, found = fitted.panel_, fitted.fitted_
    sticks = make_plan(panel, found.config, np.random.default_rng([0, 0])).source.yardsticks
    long = np.flatnonzero(panel.lengths > 3)
    said = by_member(fitted, panel.offsets[long + 1] - 4)
    losses = np.empty((len(long), 4))
    for i, s in enumerate(long):
        y = panel.y[panel.rows(s)]
        truth, window = y[-3:], y[:-3][-20:]
        for m in range(4):
            error, size = np.abs(said[m, i] - truth), np.abs(said[m, i]) + np.abs(truth)
            scaled = 0.5 * error / sticks.size[s] / sticks.scaled
            percent = error / np.maximum(size, 0.02 * np.abs(window).mean()) / sticks.percent
            losses[i, m] = (scaled + percent).mean()
    names = [panel.ids[s] for s in long]
    np.testing.assert_allclose(found.shares.of(names, 4), shares_by_losses(names, losses, BOLD).of(names, 4), rtol=1e-3)
    assert found.shares.of(["s4", "s5"], 4).tolist() == [[0.25] * 4] * 2  # of one and three rows


def test_a_forecast_is_the_members_by_their_parts(fitted: sa.Forecaster) -> None:
    panel = fitted.panel_
    ends = panel.offsets[1:] - 1
    parts = fitted.fitted_.shares.of(panel.ids, 4)
    np.testing.assert_allclose(
        fitted.forecast(panel, ends).mean, np.einsum("nm,mnh->nh", parts, by_member(fitted, ends)), rtol=1e-6
    )
    assert parts.max() > 0.3  # they do differ


def test_a_new_series_trusts_all_members_alike(fitted: sa.Forecaster) -> None:
    panel = fitted.panel_
    ends = panel.offsets[1:] - 1
    renamed = replace(panel, ids=tuple(f"new {name}" for name in panel.ids))
    np.testing.assert_allclose(fitted.forecast(renamed, ends).mean, by_member(fitted, ends).mean(axis=0), rtol=1e-6)


def test_members_are_believed_boldly_only_where_that_clearly_pays() -> None:
    """Two members of which each knows one half of the series; and two that are the same."""
    panel = seasonal([60] * 10)
    model = sa.Forecaster(horizon=3, season_length=4, max_steps=12, hidden_size=8, holdout=None).fit(panel)
    found = model.fitted_
    source = make_plan(panel, found.config, np.random.default_rng([0, 0])).source
    same = replace(found, members=found.members[:1] * 2, kinds=found.kinds[:1] * 2)
    assert not boldness_pays(same, source)
    assert learn_shares(same, source).of(panel.ids, 2).tolist() == [[0.5, 0.5]] * 10

    rows = source.rows

    def points(origins: np.ndarray) -> list[np.ndarray]:
        truth = rows.targets(origins)[0] / rows.windows(origins).scale[:, None]
        first = (rows.panel.series_of(origins) < 5)[:, None]
        return [np.where(first, truth, 2 * truth), np.where(first, 2 * truth, truth)]

    def speaking(said: list[np.ndarray]) -> SimpleNamespace:
        return SimpleNamespace(config=found.config, kinds=("linear",) * 2, members=({}, {}), points=lambda read: said)

    with pytest.MonkeyPatch.context() as patch:
        real = module.tried
        patch.setattr(module, "tried", lambda fitted, source, origins: real(speaking(points(origins)), source, origins))
        parts = learn_shares(speaking([]), source).of(panel.ids, 2)
    np.testing.assert_allclose(parts, np.repeat(np.eye(2), 5, axis=0), atol=1e-6)


def test_parts_are_of_point_forecasts_alone() -> None:
    panel = seasonal([40, 40])
    with pytest.raises(ConfigError, match="by_series"):
        sa.Forecaster(horizon=3, season_length=4, head="quantile", combine="by_series").fit(panel)
    with pytest.raises(ConfigError, match="by_series"):
        sa.Forecaster(recipe="price", combine="by_series").fit(panel)

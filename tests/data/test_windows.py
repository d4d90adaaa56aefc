"""Windows against a naive loop; nothing from after an origin is in one."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepahead.data.covariates import fit_covariates
from stepahead.data.fill import fill
from stepahead.data.panel import Panel
from stepahead.data.scale import DIFFERENCES, SCALERS, fit_scale
from stepahead.data.windows import WindowSource, window_source, windows
from stepahead.errors import ConfigError, DataError

MODES = ("ffill", "interpolate", "mask")


def made_panel(lengths: tuple[int, ...], columns: int = 2, gaps: float = 0.0, seed: int = 0) -> Panel:
    random = np.random.default_rng(seed)
    past = np.exp(0.3 * random.standard_normal((sum(lengths), columns)).cumsum(axis=0))
    past[random.random(past.shape) < gaps] = np.nan
    return Panel.from_arrays(past, ids=[f"s{i}" for i in range(len(lengths))], offsets=[0, *np.cumsum(lengths)])


def source_of(
    panel: Panel, *, window: int, horizon: int = 1, missing: str = "error", **scaling: object
) -> WindowSource:
    options: dict = {"kind": None, "difference": False} | scaling
    scale = fit_scale(fill(panel, missing).values, panel.offsets[:-1], **options)
    return window_source(
        panel, scale=scale, covariates=fit_covariates(panel), window=window, horizon=horizon, missing=missing
    )


SHAPES = {"lengths": st.lists(st.integers(1, 12), min_size=1, max_size=3), "window": st.integers(1, 5)}


@settings(max_examples=100, deadline=None)
@given(**SHAPES, horizon=st.integers(1, 3))
def test_windows_equal_a_naive_loop(lengths, window, horizon):
    panel = made_panel(tuple(lengths))
    source = source_of(panel, window=window, horizon=horizon)
    xs, ys, rows = [], [], []
    for start, stop in zip(panel.offsets[:-1], panel.offsets[1:], strict=True):
        for origin in range(start + window - 1, stop - horizon):
            xs.append([panel.past[row] for row in range(origin - window + 1, origin + 1)])
            ys.append([panel.y[row] for row in range(origin + 1, origin + horizon + 1)])
            rows.append(origin)
    origins = source.training_origins()
    assert origins.tolist() == rows
    if not rows:
        return
    batch = source.batch(origins)
    targets, weight = source.targets(origins, batch.base, batch.unit)
    assert np.array_equal(batch.x, np.asarray(xs, dtype=np.float32))
    assert np.array_equal(targets, np.asarray(ys, dtype=np.float32))
    assert (weight == 1).all()


@settings(max_examples=50, deadline=None)
@given(**SHAPES)
def test_origins_are_all_rows_with_a_full_window_behind(lengths, window):
    panel = made_panel(tuple(lengths))
    pairs = zip(panel.offsets[:-1], panel.offsets[1:], strict=True)
    expected = [row for start, stop in pairs for row in range(start + window - 1, stop)]
    assert source_of(panel, window=window).origins().tolist() == expected


@settings(max_examples=50, deadline=None)
@given(**SHAPES, horizon=st.integers(1, 3))
def test_the_pairs_to_look_at_equal_a_naive_loop(lengths, window, horizon):
    panel = made_panel(tuple(lengths))
    rows = [
        (s, i)
        for s in range(panel.n_series)
        for i in range(panel.offsets[s], panel.offsets[s + 1] - window - horizon + 1)
    ]
    if not rows:
        with pytest.raises(DataError, match=f"window {window} and horizon {horizon} need {window + horizon}"):
            windows(panel, window, horizon)
        return
    pairs = windows(panel, window, horizon)
    assert len(pairs) == len(rows)
    assert pairs.ids.tolist() == [panel.ids[s] for s, _ in rows]
    assert np.array_equal(pairs.x, [panel.past[i : i + window] for _, i in rows])
    assert np.array_equal(pairs.y, [panel.y[i + window : i + window + horizon] for _, i in rows])


def test_the_pairs_of_one_series_are_views_of_its_rows():
    panel = made_panel((50,), columns=5)
    pairs = windows(panel, window=7)
    assert pairs.x.shape == (43, 7, 5)
    assert pairs.y.shape == (43, 1)
    assert np.shares_memory(pairs.x, panel.past)
    assert np.shares_memory(pairs.y, panel.past)


def test_the_pairs_print_as_x_and_y():
    text = str(windows(Panel.from_arrays(np.arange(1.0, 6.0), target="close"), window=2))
    assert text.splitlines()[0] == "3 windows: x (3, 2, 1) of close -> y (3, 1)"
    assert "[[1.]\n [2.]] -> [3.]" in text


@pytest.mark.parametrize(("name", "value"), list(product(("window", "horizon"), (0, -1, 2.5, "7", True))))
def test_a_window_that_cannot_be_is_refused_by_name(name, value):
    with pytest.raises(ConfigError, match=f"{name}={value!r} must be a whole number of at least 1"):
        windows(made_panel((20,)), **{name: value})


def test_prepared_rows_grow_with_the_rows_and_not_with_the_window():
    panel = made_panel((1000,))
    narrow, wide = (source_of(panel, window=w) for w in (2, 500))
    assert narrow.features.nbytes == wide.features.nbytes == panel.n_rows * 2 * 4


def test_differenced_windows_lose_one_step_and_see_no_row_before_them():
    panel = made_panel((9,))
    source = source_of(panel, window=4, difference=True)
    batch = source.batch(np.array([5]))
    assert source.steps == 3
    assert np.array_equal(batch.x[0], np.diff(panel.past[2:6], axis=0).astype(np.float32))


@pytest.mark.parametrize("difference", DIFFERENCES)
def test_the_window_scaler_equals_each_window_measured_by_hand(difference):
    panel = made_panel((12,))
    source = source_of(panel, window=5, horizon=2, kind="window", difference=difference, level_rows=2)
    origins = source.training_origins()
    batch = source.batch(origins)
    targets, _ = source.targets(origins, batch.base, batch.unit)
    g = np.log if difference == "log" else np.asarray
    for n, origin in enumerate(origins):
        rows = g(panel.past[origin - 4 : origin + 1])
        rows = np.diff(rows, axis=0) if difference else rows
        level = 0.0 if difference else rows[-2:].mean(axis=0)
        size = np.abs(rows).mean(axis=0)
        assert np.abs(batch.x[n] - (rows - level) / size).max() < 1e-5  # float32
        base = g(panel.y[origin]) if difference else level[-1]
        expected = (g(panel.y[origin + 1 : origin + 3]) - base) / size[-1]
        assert np.abs(targets[n] - expected).max() < 1e-5


def test_clip_holds_windows_after_their_own_scaling():
    panel = made_panel((12,)).with_past(100 + 50 * np.random.default_rng(0).standard_normal((12, 2)).cumsum(axis=0))
    free = source_of(panel, window=5, kind="window")
    held = source_of(panel, window=5, kind="window", clip=0.25)
    origins = free.origins()
    assert np.array_equal(held.batch(origins).x, np.clip(free.batch(origins).x, -0.25, 0.25))
    assert np.array_equal(held.batch(origins).unit, free.batch(origins).unit)


def test_missing_targets_have_no_weight_and_are_numbers():
    past = np.array([1.0, 2.0, 3.0, np.nan, 5.0, np.nan, np.nan])
    source = source_of(Panel.from_arrays(past), window=2, horizon=2, missing="ffill", kind="standard")
    origins = source.training_origins()
    assert origins.tolist() == [1, 2, 3]  # row 4 has no observed target ahead
    batch = source.batch(origins)
    targets, weight = source.targets(origins, batch.base, batch.unit)
    assert weight.tolist() == [[1, 0], [0, 1], [1, 0]]
    assert np.isfinite(targets).all()


def test_origins_wait_until_every_input_was_seen():
    past = np.array([[np.nan, 1.0], [np.nan, 2.0], [3.0, 3.0], [4.0, 4.0], [5.0, np.nan]])
    assert source_of(Panel.from_arrays(past), window=2, missing="ffill").origins().tolist() == [2, 3, 4]


def test_the_mask_says_which_values_were_observed():
    past = np.array([[1.0, np.nan], [2.0, 2.0], [np.nan, 3.0]])
    source = source_of(Panel.from_arrays(past), window=2, missing="mask")
    x = source.batch(np.array([2])).x
    assert source.n_features == 4
    assert x[0].tolist() == [[1, 1, 2, 2], [0, 1, 2, 3]]  # two columns of the mask, two of the values


def test_an_open_gap_is_filled_forward_and_a_closed_one_by_a_line():
    past = np.array([1.0, 2.0, np.nan, np.nan, 8.0, 9.0])
    source = source_of(Panel.from_arrays(past), window=3, missing="interpolate")
    x = source.batch(np.array([2, 3, 4, 5])).x[..., 0]
    assert x.tolist() == [[1, 2, 2], [2, 2, 2], [4, 6, 8], [6, 8, 9]]


def test_an_open_gap_has_no_changes():
    past = np.array([1.0, 2.0, np.nan, np.nan, 8.0, 9.0])
    source = source_of(Panel.from_arrays(past), window=4, missing="interpolate", difference=True)
    assert source.batch(np.array([3, 4])).x[..., 0].tolist() == [[1, 0, 0], [2, 2, 2]]
    assert source.batch(np.array([3])).base.tolist() == [2.0]


@pytest.mark.parametrize(("kind", "difference", "missing"), list(product(SCALERS, DIFFERENCES, MODES)))
def test_a_window_equals_the_one_cut_from_a_panel_that_ends_at_its_origin(kind, difference, missing):
    panel = made_panel((14, 11), gaps=0.35, seed=2)
    scale = fit_scale(fill(panel, missing).values, panel.offsets[:-1], kind=kind, difference=difference, level_rows=2)
    options: dict = {"scale": scale, "covariates": fit_covariates(panel), "window": 4, "horizon": 2, "missing": missing}
    source = window_source(panel, **options)
    for origin in source.origins():
        s = int(np.searchsorted(panel.offsets, origin, side="right")) - 1
        start = panel.offsets[s]
        alone = panel.cut(panel.offsets[:-1], np.where(np.arange(2) == s, origin + 1, panel.offsets[:-1]))
        whole = source.batch(np.array([origin]))
        short = window_source(alone, **options).batch(np.array([origin - start]))
        for name in ("x", "context", "base", "unit"):
            assert np.array_equal(getattr(whole, name), getattr(short, name)), (name, origin)


def test_known_ahead_inputs_stand_before_the_past_and_beside_the_window():
    panel = Panel.from_arrays(np.arange(6.0))
    panel = replace(panel, future=np.arange(10.0, 16.0)[:, None], schema=replace(panel.schema, future=("price",)))
    source = source_of(panel, window=2, horizon=2)
    batch = source.batch(np.array([2]))
    scaled = (panel.future[:, 0] - panel.future.mean()) / panel.future.std()
    assert np.allclose(batch.x[0], np.stack([scaled[1:3], [1, 2]], axis=1))
    assert np.allclose(batch.context[0], scaled[3:5])

"""Windows of a panel by their own level, against naive loops."""

import numpy as np
import pytest
from panel_series import seasonal

from stepahead.data.covariates import Covariates
from stepahead.data.panel import Panel
from stepahead.panels.draw import measure, origins_of
from stepahead.panels.feed import Source
from stepahead.panels.start import fit_lines
from stepahead.panels.windows import Rows, prepare_rows


@pytest.fixture
def panel() -> Panel:
    return seasonal([40, 33, 60, 5, 1, 48, 37, 52])


def holed(panel: Panel, seed: int = 1) -> Panel:
    y = panel.past.copy()
    y[np.random.default_rng(seed).random(len(y)) < 0.2] = np.nan
    return panel.with_past(y)


def test_windows_equal_a_naive_loop(panel: Panel) -> None:
    table = holed(panel)
    rows = prepare_rows(table, window=12, horizon=6, season=4, back=4)
    origins = np.arange(table.n_rows)
    windows = rows.windows(origins)
    for s in range(table.n_series):
        for r in range(table.offsets[s], table.offsets[s + 1]):
            known = table.y[max(table.offsets[s], r - 11) : r + 1]
            expected = np.concatenate([np.full(12 - len(known), np.nan), known])
            np.testing.assert_array_equal(windows.mask[r], ~np.isnan(expected))
            np.testing.assert_array_equal(windows.x[r], np.nan_to_num(expected))
            if not np.isnan(known).all():
                assert windows.scale[r] == pytest.approx(np.nanmean(np.abs(known)), rel=1e-12)
                assert windows.last[r] == known[~np.isnan(known)][-1]


def test_other_inputs_equal_a_naive_loop(panel: Panel) -> None:
    known = np.random.default_rng(2).normal(size=(panel.n_rows, 3))
    rows = prepare_rows(panel, window=12, horizon=6, season=4, known=known, opening=-0.5)
    found = rows.windows(np.arange(panel.n_rows)).extra
    assert found is not None
    for s in range(panel.n_series):
        for r in range(panel.offsets[s], panel.offsets[s + 1]):
            seen = known[max(panel.offsets[s], r - 11) : r + 1].astype(np.float32)
            expected = np.concatenate([np.zeros((12 - len(seen), 3), dtype=np.float32), seen])
            if len(seen) == 12:
                expected[0, -1] = -0.5
            np.testing.assert_array_equal(found[r], expected)


def test_other_inputs_are_copied_for_a_batch_alone(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    # The 30,000 windows of the linear start do without them: of a long window with a calendar they were 2 GB.
    rows = prepare_rows(panel, window=12, horizon=3, season=4, known=np.zeros((panel.n_rows, 15)))
    covariates = Covariates(np.zeros(15), np.ones(15), ())
    origins = origins_of(rows)
    source = Source(rows, covariates, measure(rows, origins.draw(np.random.default_rng(0), 100)), patch=4)
    monkeypatch.setattr(Rows, "extra", lambda *_: pytest.fail("copied"))
    assert fit_lines(source, origins, ("linear", "log"), np.random.default_rng(0)).keys() == {"linear", "log"}


def test_baseline_repeats_the_season_and_steps_back_over_holes() -> None:
    y = np.array([1.0, 2, 3, 4, 5, 6, np.nan, 8])
    rows = prepare_rows(Panel.from_arrays(y), window=8, horizon=6, season=4, back=4)
    np.testing.assert_array_equal(rows.windows(np.array([7])).base[0], [5, 6, 3, 8, 5, 6])


def test_baseline_of_a_series_shorter_than_a_season_is_its_last_value() -> None:
    rows = prepare_rows(Panel.from_arrays(np.array([3.0, 5.0])), window=8, horizon=4, season=4, back=4)
    np.testing.assert_array_equal(rows.windows(np.array([1])).base[0], [5, 5, 3, 5])
    np.testing.assert_array_equal(rows.windows(np.array([0])).base[0], [3, 3, 3, 3])


@pytest.mark.parametrize("kind", ["linear", "log"])
def test_what_a_member_reads_goes_back_to_the_values_of_the_window(panel: Panel, kind: str) -> None:
    rows = prepare_rows(panel, window=12, horizon=3, season=4, back=4)
    windows = rows.windows(rows.training_origins())
    seen = getattr(windows, kind)()
    for read, values in ((seen.z, windows.x), (seen.base, windows.base)):
        said = read + seen.level[:, None]
        back = np.exp(said) - seen.offset[:, None] if kind == "log" else said
        there = windows.mask if read is seen.z else slice(None)
        y = values / windows.scale[:, None]
        np.testing.assert_allclose(back[there], y[there], rtol=1e-5, atol=1e-5)  # z and offsets are float32


def test_targets_behind_the_end_of_a_series_are_not_there(panel: Panel) -> None:
    rows = prepare_rows(panel, window=12, horizon=3, season=4)
    y, there = rows.targets(panel.offsets[1:] - 2)
    for s in range(panel.n_series):
        if panel.lengths[s] >= 2:
            np.testing.assert_array_equal(there[s], [True, False, False])
            np.testing.assert_array_equal(y[s], [panel.y[panel.offsets[s + 1] - 1], 0, 0])


@pytest.mark.parametrize("missing", ["mask", "ffill", "interpolate"])
def test_rows_after_an_origin_change_no_bit_of_its_window(panel: Panel, missing: str) -> None:
    table = holed(panel)
    origin = int(table.offsets[2]) + 25
    later = table.past.copy()
    later[origin + 1 :] = np.where(np.isnan(later[origin + 1 :]), 7.0, np.nan)  # holes closed, values gone
    later[origin + 3] = -99.0
    answers = []
    for past in (table.past, later):
        rows = prepare_rows(table.with_past(past), window=12, horizon=3, season=4, back=4, missing=missing)
        windows = rows.windows(np.array([origin]))
        answers.append([windows.x, windows.mask, windows.base, windows.linear().z, windows.log().z])
    for first, second in zip(*answers, strict=True):
        np.testing.assert_array_equal(first, second)

"""Conformalised quantiles: bounds that are too narrow or too wide come to cover what they promise."""

import numpy as np
import pytest

import stepahead as sa
from stepahead.runtime.correction import KNOWN_FOR, NO_CORRECTION, Correction, fit_correction

Z = {50: 0.674490, 80: 1.281552, 90: 1.644854, 95: 1.959964}


def bounds(n: int, factor: float, levels: tuple[int, ...] = (50, 80, 90, 95)) -> tuple[np.ndarray, np.ndarray]:
    half = factor * np.array([Z[level] for level in levels])
    return np.broadcast_to(-half, (n, 1, len(levels))), np.broadcast_to(half, (n, 1, len(levels)))


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_wrong_widths_are_mended_at_every_level(factor: float) -> None:
    """4,000 held-out and 20,000 new normal rows: the two errors of a coverage together are at most .009 (at 50 %)."""
    rng = np.random.default_rng(0)
    found = fit_correction(rng.normal(size=(4000, 1)), *bounds(4000, factor), (50, 80, 90, 95))
    y = rng.normal(size=(20_000, 1))
    lo, hi = found.apply(*bounds(20_000, factor), (50, 80, 90, 95))
    covered = ((y[..., None] >= lo) & (y[..., None] <= hi)).mean(axis=(0, 1))
    np.testing.assert_allclose(covered, [0.5, 0.8, 0.9, 0.95], atol=0.025)


def test_it_equals_the_plain_form_at_the_levels_it_knows() -> None:
    rng = np.random.default_rng(1)
    y, (lo, hi) = rng.normal(size=(300, 1)), bounds(300, 0.7)
    mine = fit_correction(y, lo, hi, (50, 80, 90, 95)).apply(lo, hi, (50, 80, 90, 95))
    for i, level in enumerate((50, 80, 90, 95)):  # Romano, Patterson and Candes 2019, misses in units of the width
        width = hi[:, 0, i] - lo[:, 0, i]
        misses = np.sort(np.maximum(lo[:, 0, i] - y[:, 0], y[:, 0] - hi[:, 0, i]) / width)
        move = width * misses[int(np.ceil(301 * level / 100 - 1e-9)) - 1]
        np.testing.assert_allclose(mine[0][:, 0, i], lo[:, 0, i] - move, rtol=1e-12)
        np.testing.assert_allclose(mine[1][:, 0, i], hi[:, 0, i] + move, rtol=1e-12)


def test_wider_levels_hold_narrower_ones_and_levels_between_are_interpolated() -> None:
    found = Correction(np.array([50.0, 90.0]), np.array([[1.0, 0.0]]))
    _, hi = found.apply(*bounds(1, 1.0, (50, 80, 90)), (50, 80, 90))
    assert (np.diff(hi[0, 0]) >= 0).all()
    assert hi[0, 0, 0] == pytest.approx(3 * Z[50])
    assert hi[0, 0, 1] == pytest.approx(max(3 * Z[50], 1.5 * Z[80]))


def test_a_level_with_too_few_held_out_rows_moves_as_the_one_below_it() -> None:
    found = fit_correction(np.random.default_rng(0).normal(size=(15, 1)), *bounds(15, 1.0), (50, 80, 90, 95))
    assert found.level.tolist() == [50, 80, 90]
    _, hi = found.apply(*bounds(1, 1.0), (50, 80, 90, 95))
    assert hi[0, 0, 3] == pytest.approx(max(hi[0, 0, 2], Z[95] * (1 + 2 * found.shift[0, 2])))
    lo, hi = bounds(3, 1.0)
    assert NO_CORRECTION.apply(lo, hi, (50, 80, 90, 95)) == (lo, hi)


@pytest.mark.parametrize("head", ["quantile", "student_t"])
def test_a_forecaster_s_own_quantiles_are_corrected_saved_and_streamed(head: str, tmp_path) -> None:
    y = np.random.default_rng(2).normal(size=600)
    panel = sa.Panel.from_arrays(y)
    model = sa.Forecaster(recipe="classic", head=head, max_steps=15, season_length=None)  # far too few steps
    fitted = model.clone().fit(panel.head(np.array([400])))
    assert fitted.fitted_.reading.correction.level.tolist() == list(KNOWN_FOR)
    origins = np.arange(399, 599)
    raw = model.clone().set_params(holdout=None).fit(panel.head(np.array([400])))
    own, mended = (m.forecast(panel, origins, level=[80]) for m in (raw, fitted))
    shares = [float(((y[400:] >= f.lo[:, 0, 0]) & (y[400:] <= f.hi[:, 0, 0])).mean()) for f in (own, mended)]
    assert abs(shares[1] - 0.8) < 0.1  # 80 held-out and 200 new rows: two errors are .106
    assert abs(shares[1] - 0.8) <= abs(shares[0] - 0.8)
    fitted.save(tmp_path / "m.safetensors")
    again = sa.load(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(again.forecast(panel, origins, level=[80]).lo, mended.lo)
    stream = fitted.stream(panel.head(np.array([400])), level=(80,), adaptive=False)
    np.testing.assert_allclose(stream.forecast().lo[0], mended.lo[0], rtol=1e-6)


def test_a_short_history_is_corrected_by_the_rows_behind_two_probes() -> None:
    """By hand: fit on 80 and on 60 of 100 rows, ask for the bounds of the next 20 of each, in the target's units."""
    y = np.random.default_rng(4).normal(size=100)
    panel = sa.Panel.from_arrays(y)
    model = sa.Forecaster(recipe="classic", head="quantile", max_steps=10, season_length=None)
    levels = [level for level in KNOWN_FOR if level < 98]  # 98 % would take 49 rows
    parts = []
    for known in (80, 60):
        probe = model.clone().set_params(holdout=None).fit(panel.head(np.array([known])))
        origins = np.arange(known - 1, known + 19)
        said = probe.forecast(panel, origins, level=levels)
        parts.append((y[origins + 1, None], said.lo, said.hi))
    truth, lo, hi = (np.concatenate(part) for part in zip(*parts, strict=True))
    by_hand = fit_correction(truth, lo, hi, levels)
    found = model.fit(panel).fitted_.reading.correction  # type: ignore[union-attr]
    assert found.level.tolist() == levels
    np.testing.assert_allclose(found.shift, by_hand.shift, rtol=1e-4, atol=1e-5)  # float32 inside

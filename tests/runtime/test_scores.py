"""Scores of held-out rows: what they correct, and how paths hang together."""

import numpy as np
import pytest
from scipy import stats

from stepahead.runtime.marginals import Counts, Knots
from stepahead.runtime.scores import AS_LEARNED, draw_scores, links_of, random_walk_links, recalibrate

RNG = np.random.default_rng(0)


def interval(level: float, n_steps: int) -> np.ndarray:
    z = stats.norm.ppf(0.5 + level / 200)
    return np.tile([-z, z], (n_steps, 1))


@pytest.mark.parametrize("level", [50, 80, 90, 95])
@pytest.mark.parametrize("held", [30, 400])
def test_scores_that_are_off_come_to_cover_what_they_promise(level: float, held: int) -> None:
    """A forecast that is too narrow and too low: skewed scores of three times the spread."""
    draw = lambda n: 3 * RNG.normal(size=(n, 1)) + RNG.exponential(size=(n, 1)) + 1  # noqa: E731
    shares = []
    for _ in range(200):
        lo, hi = recalibrate(draw(held)).apply(interval(level, 1))[0]
        new = draw(100)
        shares.append(((new >= lo) & (new <= hi)).mean())
    # Split conformal: at least what was promised, less than one rank of each tail more.
    known_tails = held >= 40 or level < 95
    assert np.mean(shares) > level / 100 - (0.01 if known_tails else 0.03)
    assert np.mean(shares) < level / 100 + 2 / (held + 1) + 0.02


def test_right_scores_are_left_nearly_as_they_are() -> None:
    asked = interval(80, 2)
    found = recalibrate(RNG.normal(size=(4000, 2))).apply(asked)
    np.testing.assert_allclose(found, asked, atol=0.1)


def test_few_errors_correct_nothing() -> None:
    asked = interval(80, 3)
    np.testing.assert_array_equal(recalibrate(np.full((9, 3), 4.0)).apply(asked), asked)
    np.testing.assert_array_equal(AS_LEARNED.apply(asked), asked)


def test_a_correction_is_saved_whole() -> None:
    found = recalibrate(RNG.normal(size=(50, 2)))
    again = type(found).from_array(found.to_array())
    np.testing.assert_array_equal(again.apply(interval(80, 2)), found.apply(interval(80, 2)))


def test_paths_hang_together_as_held_out_errors_did() -> None:
    horizon, phi = 6, 0.8
    errors = np.zeros((3000, horizon))
    errors[:, 0] = RNG.normal(size=3000)
    for h in range(1, horizon):
        errors[:, h] = phi * errors[:, h - 1] + np.sqrt(1 - phi**2) * RNG.normal(size=3000)
    links = links_of(np.exp(errors))  # ranks alone count
    drawn = draw_scores(links, 4000, RNG)
    lags = np.abs(np.arange(horizon)[:, None] - np.arange(horizon))
    np.testing.assert_allclose(np.corrcoef(drawn.T), phi**lags, atol=0.06)  # three deviations of 4,000 draws
    np.testing.assert_allclose(drawn.std(axis=0), 1, atol=0.05)


def test_gaps_and_few_origins_still_give_correlations() -> None:
    errors = RNG.normal(size=(12, 20))
    errors[RNG.random(errors.shape) < 0.5] = np.nan
    errors[0] = 1.0
    for links in (links_of(errors), links_of(errors[:3]), random_walk_links(20)):
        matrix = links @ links.T
        np.testing.assert_allclose(np.diag(matrix), 1, atol=1e-6)
        assert np.linalg.eigvalsh(matrix).min() > 0


def test_knots_read_scores_and_values_both_ways() -> None:
    known = stats.norm.ppf([0.1, 0.25, 0.5, 0.75, 0.9])
    given = Knots(np.zeros((1, 1)), known, np.exp(known)[None, None])
    for score in (-2.0, -0.3, 0.0, 1.1, 3.0):
        value = given.quantile(np.array([[[score]]]))[..., 0]
        np.testing.assert_allclose(given.score(value, RNG), score, atol=1e-9)


@pytest.mark.parametrize("kind", ["counts", "zeros"])
def test_values_with_a_probability_of_their_own_get_scores_anywhere_within_it(kind: str) -> None:
    if kind == "counts":
        given, y = (
            Counts(np.full((5000, 1), 0.7), np.full((5000, 1), 0.5)),
            RNG.negative_binomial(2, 2 / 2.7, (5000, 1)),
        )
    else:
        given = Knots(np.zeros((5000, 1)), stats.norm.ppf([0.25, 0.5, 0.75]), np.zeros((5000, 1, 3)))
        y = np.zeros((5000, 1))
    scores = given.score(y.astype(float), RNG)
    assert stats.kstest(scores[:, 0], "norm").pvalue > 0.001

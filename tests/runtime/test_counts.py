"""Negative binomial counts and normal scores without SciPy, beside SciPy."""

import numpy as np
import pytest
from scipy import stats

from stepahead.runtime import normal
from stepahead.runtime.counts import count_quantile, count_range

RNG = np.random.default_rng(0)
MEAN = np.exp(RNG.uniform(np.log(0.01), np.log(1e5), 400))
DISPERSION = np.exp(RNG.uniform(np.log(1e-5), np.log(5), 400))
SIZE = 1 / DISPERSION
SCIPY = stats.nbinom(SIZE, SIZE / (SIZE + MEAN))
SMALL = MEAN <= 500


def test_quantiles_of_counts_are_scipy_s() -> None:
    p = RNG.uniform(0.001, 0.999, (400, 3))
    found, expected = count_quantile(MEAN, DISPERSION, p), SCIPY.ppf(p.T).T
    np.testing.assert_array_equal(found[SMALL], expected[SMALL])
    # Beyond 500 the last digits are rounded: within a twentieth of a deviation.
    apart = np.abs(found - expected) / SCIPY.std()[:, None]
    assert apart[~SMALL].max() < 0.05
    assert (found == np.round(found)).all()


def test_probabilities_of_counts_are_scipy_s() -> None:
    y = SCIPY.ppf(RNG.uniform(0.01, 0.99, 400))
    low, high = count_range(y, MEAN, DISPERSION)
    np.testing.assert_allclose(low[SMALL], SCIPY.cdf(y - 1)[SMALL], atol=1e-9)
    np.testing.assert_allclose(high[SMALL], SCIPY.cdf(y)[SMALL], atol=1e-9)
    middle = (low + high)[~SMALL] / 2
    np.testing.assert_allclose(middle, SCIPY.cdf(y)[~SMALL], atol=0.05)


@pytest.mark.parametrize("mean", [1e-4, 1e9])
def test_counts_of_any_size_have_quantiles(mean: float) -> None:
    found = count_quantile(np.array([mean] * 3), np.array([1e-6, 1.0, 10.0]), np.full((3, 2), [0.5, 1.0]))
    assert np.isfinite(found).all()
    assert (found >= 0).all()


def test_the_normal_table_is_scipy_s() -> None:
    z = np.linspace(-7, 7, 1001)
    np.testing.assert_allclose(normal.probability(z), stats.norm.cdf(z), atol=1e-6)
    np.testing.assert_allclose(normal.score(stats.norm.cdf(z[z < 5])), z[z < 5], atol=1e-4)

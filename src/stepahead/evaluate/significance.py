"""Is the difference more than luck?  Losses over time -> p-values, also in words, and intervals.

Legend: T times, S series, B resamples.  Losses of many series are averaged over them at each time first
(`stepahead.evaluate.verdict.losses_over_time`), because what happens to all series in one moment is one observation.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stepahead.errors import require

SIGNIFICANT = 0.05  # a p-value below this is more than luck
ROUNDING = 1e-9  # losses closer than this, relative to their size, are the same loss
SEVERAL = 3  # times the overlap: with fewer cutoffs than that nothing is proven
CELLS = 1 << 23  # resampling weights held at a time: 64 MiB


@dataclass(frozen=True)
class Test:
    """A test of equal accuracy: statistic (negative where the first forecast is better), two-sided p_value, n times.

    few: there are too few times beside their overlap to prove anything.
    """

    __test__ = False  # a value, nothing that pytest should collect

    statistic: float
    p_value: float
    n: int
    few: bool = False


def diebold_mariano(losses: np.ndarray, reference: np.ndarray, *, overlap: int = 1) -> Test:
    """Are two forecasts equally accurate?

    losses, reference: [T] the losses of both at the same times, in order. overlap: how many neighbouring losses share a
    part of the future, that is the horizon where every row is an origin; overlap - 1 autocovariances enter.
    Returns: Test; p_value 1 where the losses do not differ at all, there are fewer than 2 times, or of overlapping ones
    fewer than three times the overlap.
    Source: Diebold and Mariano 1995, with the correction of Harvey, Leybourne and Newbold 1997. Their Student's t has
    T - 1 degrees of freedom; here it has T / overlap - 1, the same without an overlap: so many losses are independent.
    Where the plain variance is not positive, Bartlett's weights make it so.
    Example: `diebold_mariano(np.square(errors), np.square(naive_errors)).p_value`
    """
    difference = losses - reference
    n, lags = len(difference), min(overlap, len(difference) - 1)
    few = too_few(n, overlap)
    if n < 2 or np.abs(difference).max() <= ROUNDING * max(losses.mean(), reference.mean()):
        return Test(0.0, 1.0, n, few)
    mean, variance = difference.mean(), long_run_variance(difference, lags)
    if variance <= 0:  # every difference is the same: there is no luck in it
        return Test(float(np.sign(mean) * np.inf), 1.0 if few else 0.0, n, few)
    correction = np.sqrt((n + 1 - 2 * lags + lags * (lags - 1) / n) / n)
    statistic = float(correction * mean / np.sqrt(variance / n))
    return Test(statistic, 1.0 if few else two_sided(statistic, n / overlap - 1), n, few)


def too_few(n: int, overlap: int) -> bool:
    """Whether n times, of which so many neighbours share a part of the future, are too few to prove anything."""
    return overlap > 1 and n < SEVERAL * overlap


def long_run_variance(values: np.ndarray, lags: int) -> float:
    """Variance with the first lags - 1 autocovariances: all of their weight, or Bartlett's where that is negative."""
    centred = values - values.mean()
    covariance = np.array([centred[k:] @ centred[: len(centred) - k] for k in range(lags)]) / len(centred)
    plain = covariance[0] + 2 * covariance[1:].sum()
    if plain > 0:
        return float(plain)
    return float(covariance[0] + 2 * (1 - np.arange(1, lags) / lags) @ covariance[1:])


def two_sided(statistic: float, degrees: float) -> float:
    """The chance of a Student t at least as far from 0."""
    special = require("scipy.special", extra="train", purpose="the significance test")
    return float(min(1.0, 2 * special.stdtr(degrees, -abs(statistic))))


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """p-values corrected for having made all these comparisons at once.

    p_values: [K]. Returns: [K] adjusted values; one below .05 is significant although K were tried.
    Source: Holm 1979.
    Example: `holm([.01, .04])` is `[.02, .04]`.
    """
    raw = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(raw, kind="stable")
    stepped = np.maximum.accumulate(raw[order] * np.arange(len(raw), 0, -1))
    adjusted = np.empty_like(raw)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def skill_interval(
    losses: np.ndarray,
    reference: np.ndarray,
    *,
    block: int | None = None,
    resamples: int = 1000,
    coverage: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """How far the skill 1 - RMSE / RMSE of the reference could lie by luck of the times.

    losses, reference: [T] or [T, S] squared errors at the same times, NaN where missing. block: how many neighbouring
    times stay together, T^(1/3) rounded up by default; give at least the overlap of the forecasts.
    coverage: fraction in (0, 1).
    Returns: (low, high), percentiles of a circular block bootstrap (Politis and Romano 1992).
    """
    model, other = (np.atleast_2d(a.T).T for a in (losses, reference))
    n = len(model)
    if n < 2:
        return np.nan, np.nan
    length = min(n, block or int(np.ceil(n ** (1 / 3))))
    rng, per_chunk = np.random.default_rng(seed), max(1, CELLS // n)
    skills = []
    for begin in range(0, resamples, per_chunk):
        weights = block_weights(rng, n, length, min(per_chunk, resamples - begin))  # [B, T]
        own, base = resampled_rmse(weights, model), resampled_rmse(weights, other)
        skills.append(1 - own[base > 0] / base[base > 0])
    if not sum(map(len, skills)):  # a reference without any error: there is no ratio to speak of
        return np.nan, np.nan
    low, high = np.quantile(np.concatenate(skills), [(1 - coverage) / 2, (1 + coverage) / 2])
    return float(low), float(high)


def block_weights(rng: np.random.Generator, n: int, block: int, resamples: int) -> np.ndarray:
    """How often each time enters each resample of circular blocks: [B, T]."""
    starts = rng.integers(n, size=(resamples, -(-n // block)))
    times = ((starts[:, :, None] + np.arange(block)) % n).reshape(resamples, -1)[:, :n]
    flat = times + n * np.arange(resamples)[:, None]
    return np.bincount(flat.ravel(), minlength=resamples * n).reshape(resamples, n).astype(np.float64)


def resampled_rmse(weights: np.ndarray, losses: np.ndarray) -> np.ndarray:
    """The RMSE of each series under each resample, averaged over the series: [B]."""
    known = ~np.isnan(losses)
    count = weights @ known
    mean = weights @ np.where(known, losses, 0.0) / np.where(count > 0, count, np.nan)
    root, there = np.sqrt(mean), count > 0
    return np.where(there, root, 0.0).sum(axis=1) / np.maximum(there.sum(axis=1), 1)


def p_words(p_value: float) -> str:
    """A p-value as one writes it, never rounded over the border of significance."""
    if p_value < 0.001:
        return "p < 0.001"
    rounded = {d: round(p_value, d) for d in (2, 3, 4)}
    digits = next((d for d, p in rounded.items() if p > 0 and (p < SIGNIFICANT) == (p_value < SIGNIFICANT)), 5)
    return f"p = {p_value:.{digits}f}"

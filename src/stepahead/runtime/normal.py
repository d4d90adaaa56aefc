"""The normal distribution for arrays, without SciPy: probabilities and scores, read off a table to about 1e-6."""

from functools import cache
from statistics import NormalDist

import numpy as np

FAR = 8.0  # no score is further out


@cache
def table() -> tuple[np.ndarray, np.ndarray]:
    """Scores in steps of 1/500 and the probability of each."""
    scores = np.linspace(-FAR, FAR, 8001)
    return scores, np.array([NormalDist().cdf(float(z)) for z in scores])


def probability(score: np.ndarray) -> np.ndarray:
    """How likely a smaller value is, in an array of scores."""
    scores, known = table()
    return np.interp(score, scores, known)


def score(probability: np.ndarray) -> np.ndarray:
    """The inverse of `probability`."""
    scores, known = table()
    rising = slice(0, int(np.searchsorted(known, 1.0)) + 1)  # the last of them are 1 to the last bit
    return np.interp(probability, known[rising], scores[rising])

"""The linear skip: where the network starts from.  Windows, what they should say -> weights of a ridge regression.

Closed form, reweighted toward absolute error; the penalty is the one that does best over folds of held-back windows,
and the answer is zero where no regression beats the baseline there.

Legend: N windows, L rows of a window, H horizon.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

PENALTIES = tuple(10.0**k for k in np.arange(-4.5, 1.1, 0.5))  # times the mean of the Gram matrix' diagonal
ROUNDS = 3  # of reweighting with a search for the penalty, before the last one


@dataclass(frozen=True)
class Skip:
    """weights: [L, H] float32. left: what the regression leaves of the baseline's cost on windows held back, 1 where it
    is no better or none were.
    """

    weights: np.ndarray
    left: float


def fit_skip(z: np.ndarray, target: np.ndarray, weight: np.ndarray, fold: np.ndarray) -> Skip:
    """Weights that take a window to what the baseline leaves.

    z: [N, L] float32. target: [N, H], the truth less the baseline. weight: [N, H], what an absolute error costs, 0
    where the truth is missing. fold: [N], the windows of a fold are held back together; a negative one's never.
    Rows that lie before every series, zero in all windows, have weights of zero and cost nothing.
    Source: Hoerl and Kennard 1970; reweighting after Schlossmacher 1973.
    """
    whole = (weight > 0).all(axis=1)
    if whole.sum() >= len(z) / 2:  # enough is there; a missing truth would have to be guessed
        weight = weight * np.expand_dims(whole, 1)
    window, seen = z.shape[1], int(np.append(z.any(axis=0), True).argmax())
    z = z[:, seen:]
    order = np.argsort(fold, kind="stable")
    z, target, weight, fold = z[order], target[order], weight[order], fold[order]
    parts = [slice(*np.searchsorted(fold, [k, k + 1])) for k in np.unique(fold)]
    held = [k for k, part in enumerate(parts) if fold[part.start] >= 0]
    start = np.zeros((z.shape[1], target.shape[1]))
    for _ in range(ROUNDS):
        sums = [normal_equations(z[part], target[part], weight[part], start) for part in parts]
        systems = {k: decompose(*total(sums[:k] + sums[k + 1 :]), window) for k in held}
        costs = [
            sum(cost(z[parts[k]], target[parts[k]], weight[parts[k]], solve(systems[k], penalty)) for k in held)
            for penalty in PENALTIES
        ]
        penalty = PENALTIES[int(np.argmin(costs))]
        start = solve(decompose(*total(sums), window), penalty)
    without = sum(cost(z[parts[k]], target[parts[k]], weight[parts[k]], np.zeros_like(start)) for k in held)
    if min(costs) >= without:
        return Skip(np.zeros((window, target.shape[1]), dtype=np.float32), 1.0)
    weights = solve(decompose(*normal_equations(z, target, weight, start), window), penalty)
    padded = np.concatenate([np.zeros((seen, target.shape[1])), weights]).astype(np.float32)
    return Skip(padded, min(costs) / without)


def cost(z: np.ndarray, target: np.ndarray, weight: np.ndarray, found: np.ndarray) -> float:
    """What the errors of these weights [L, H] cost in all."""
    return float((weight * np.abs(target - z @ found.astype(np.float32))).sum())


Sums = tuple[np.ndarray, np.ndarray]  # the weighted Gram matrix [L, L] and the right side [L, H]
# Its eigenvalues [L] and vectors [L, L], the rotated right side, the mean of its diagonal.
System = tuple[np.ndarray, np.ndarray, np.ndarray, float]


def normal_equations(z: np.ndarray, target: np.ndarray, weight: np.ndarray, start: np.ndarray) -> Sums:
    """The sums over windows, each weighing its cost under `start` divided by its squared error there, so that squares
    add up to costs.
    """
    guess = z @ start.astype(np.float32)
    there = weight > 0
    error = np.where(there, target - guess, 0.0)
    squares, counts = np.square(error).sum(axis=1), there.any(axis=1)
    floor = 1e-2 * max(float(np.median(squares[counts])) if counts.any() else 0.0, 1e-12)
    importance = ((weight * np.abs(error)).sum(axis=1) / np.maximum(squares, floor)).astype(np.float32)
    wanted = np.where(there, target, guess).astype(np.float32)  # a missing truth pulls nowhere
    weighted = z * importance[:, None]
    return (weighted.T @ z).astype(np.float64), (weighted.T @ wanted).astype(np.float64)


def total(sums: Sequence[Sums]) -> Sums:
    """The sums of several parts together: none of them taken away from a total, which would leave its rounding."""
    return np.sum([gram for gram, _ in sums], axis=0), np.sum([right for _, right in sums], axis=0)


def decompose(gram: np.ndarray, right: np.ndarray, window: int) -> System:
    """window: rows that the mean goes over, those that were left out for being zero among them."""
    values, vectors = np.linalg.eigh(gram)
    values = np.maximum(values, 0.0)
    return values, vectors, vectors.T @ right, float(values.sum() / window)


def solve(system: System, penalty: float) -> np.ndarray:
    """The ridge solution: [L, H]."""
    values, vectors, right, size = system
    return vectors @ (right / (values + penalty * max(size, 1e-12))[:, None])

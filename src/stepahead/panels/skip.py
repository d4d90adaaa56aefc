"""The linear skip: where the network starts from.  Windows, what they should say -> weights of a ridge regression.

Closed form, reweighted toward absolute error; the penalty is the one that does best on held-back windows, and the
answer is zero where no regression beats the baseline there.

Legend: N windows, L rows of a window, H horizon.
"""

import numpy as np

PENALTIES = tuple(10.0**k for k in np.arange(-4.5, 1.1, 0.5))  # times the mean of the Gram matrix' diagonal
ROUNDS = 4  # of reweighting


def fit_skip(z: np.ndarray, target: np.ndarray, weight: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Weights that take a window to what the baseline leaves.

    z: [N, L] float32. target: [N, H], the truth less the baseline. weight: [N, H], what an absolute error costs, 0
    where the truth is missing. held: [N] bool, windows to choose the penalty by.
    Returns: [L, H] float32.
    Source: Hoerl and Kennard 1970; reweighting after Schlossmacher 1973.
    """
    whole = (weight > 0).all(axis=1)
    if whole.sum() >= len(z) / 2:  # enough is there; a missing truth would have to be guessed
        z, target, weight, held = z[whole], target[whole], weight[whole], held[whole]
    learn = ~held
    best, penalty = search(z[learn], target[learn], weight[learn], z[held], target[held], weight[held])
    if penalty is None:
        return np.zeros((z.shape[1], target.shape[1]), dtype=np.float32)
    return reweighted(z, target, weight, penalty, start=best).astype(np.float32)


def search(
    z: np.ndarray, target: np.ndarray, weight: np.ndarray, z_held: np.ndarray, y_held: np.ndarray, w_held: np.ndarray
) -> tuple[np.ndarray, float | None]:
    """The weights and the penalty of least held-back cost, None where zero is as good."""
    best = np.zeros((z.shape[1], target.shape[1]))
    least, penalty = float((w_held * np.abs(y_held)).sum()), None
    start = best
    for _ in range(ROUNDS):
        system = normal_equations(z, target, weight, start)
        costs = {}
        for candidate in PENALTIES:
            found = solve(system, candidate)
            costs[candidate] = float((w_held * np.abs(y_held - z_held @ found.astype(np.float32))).sum())
        chosen = min(costs, key=costs.__getitem__)
        start = solve(system, chosen)
        if costs[chosen] < least:
            best, least, penalty = start, costs[chosen], chosen
    return best, penalty


def reweighted(z: np.ndarray, target: np.ndarray, weight: np.ndarray, penalty: float, start: np.ndarray) -> np.ndarray:
    """Two more rounds from there, on all windows."""
    for _ in range(2):
        start = solve(normal_equations(z, target, weight, start), penalty)
    return start


System = tuple[np.ndarray, np.ndarray, np.ndarray]


def normal_equations(z: np.ndarray, target: np.ndarray, weight: np.ndarray, start: np.ndarray) -> System:
    """Eigenvalues [L] and vectors [L, L] of the weighted Gram matrix, and the rotated right side [L, H].

    A window weighs its cost under `start` divided by its squared error there, so that squares add up to costs.
    """
    guess = z @ start.astype(np.float32)
    there = weight > 0
    error = np.where(there, target - guess, 0.0)
    squares = np.square(error).sum(axis=1)
    floor = 1e-2 * max(float(np.median(squares)), 1e-12)
    importance = ((weight * np.abs(error)).sum(axis=1) / np.maximum(squares, floor)).astype(np.float32)
    wanted = np.where(there, target, guess).astype(np.float32)  # a missing truth pulls nowhere
    weighted = z * importance[:, None]
    gram, right = (weighted.T @ z).astype(np.float64), (weighted.T @ wanted).astype(np.float64)
    values, vectors = np.linalg.eigh(gram)
    return np.maximum(values, 0.0), vectors, vectors.T @ right


def solve(system: System, penalty: float) -> np.ndarray:
    """The ridge solution: [L, H]."""
    values, vectors, right = system
    return vectors @ (right / (values + penalty * max(values.mean(), 1e-12))[:, None])

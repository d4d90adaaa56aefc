"""Where the linear parts of the network start: the skip's ridge solution and the effects of what is known ahead.

Source, origins -> arrays of nn/panel.py's Start.  Legend: N origins, L rows of a window, H horizon, K inputs known
ahead.
"""

from dataclasses import dataclass

import numpy as np

from stepahead.limits import FAR, LOG_FLOOR, SLACK
from stepahead.panels.draw import Origins
from stepahead.panels.feed import Source
from stepahead.panels.skip import fit_skip

WINDOWS = 30_000  # sampled for the regression, at most
SAMPLE = 16_000_000  # rows of all of these together, at most
FOLDS = 5
EFFECT_ROUNDS = 5  # of reweighting


@dataclass(frozen=True)
class Lines:
    """Linear starts of one kind of member: skip [L, H], effect [K, 1]; float32. left: see skip.py's Skip."""

    skip: np.ndarray
    effect: np.ndarray
    left: float


def fit_lines(source: Source, origins: Origins, kinds: tuple[str, ...], rng: np.random.Generator) -> dict[str, Lines]:
    """The linear start of each kind of member."""
    count = min(WINDOWS, SAMPLE // source.rows.window + 1)
    sample = origins.draw(rng, count, ahead=source.rows.horizon)
    fold = folds_of(source, sample, rng)
    return {kind: fit_kind(source, sample, kind, fold) for kind in kinds}


def fit_kind(source: Source, sample: np.ndarray, kind: str, fold: np.ndarray) -> Lines:
    """The effects first, then what the window says about the rest."""
    read, logs = source.readings(sample, (kind,), patches=False)[0], kind == "log"
    base, y = spoken(read["base"], read, logs), read["y"]
    said = np.log(np.maximum(y + read["offset"][:, None], LOG_FLOOR)) if logs else y
    target = (said - read["level"][:, None] - read["base"]).astype(np.float32)
    weight = cost_of_errors(source, read, base, logs)
    effect = fit_effects(read["shift"], target, weight)
    shift = read["shift"] @ effect[:, 0]
    skip = fit_skip(read["z"], (target - shift).astype(np.float32), weight, fold)
    return Lines(skip.weights, effect, skip.left)


def spoken(out: np.ndarray, read: dict[str, np.ndarray], logs: bool) -> np.ndarray:
    """A member's forecasts above its level as values in units of the window's scale: [N, H]."""
    level = read["level"][:, None]
    return np.exp(np.clip(out, -FAR, FAR) + level) - read["offset"][:, None] if logs else out + level


def cost_of_errors(source: Source, read: dict[str, np.ndarray], base: np.ndarray, logs: bool) -> np.ndarray:
    """What an absolute error costs in the loss, near the baseline: [N, H] float32, 0 where the truth is missing."""
    size = np.abs(read["y"]) + np.abs(base)
    cost = read["importance"][:, None] + 1 / source.yardsticks.percent / np.maximum(size, SLACK)
    if logs:  # a logarithm's error is one of the value itself, times the value
        cost = cost * np.maximum(np.abs(read["y"]) + read["offset"][:, None], LOG_FLOOR)
    return (cost * read["there"]).astype(np.float32)


def folds_of(source: Source, sample: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Which windows are held back together: a fifth of the series; the last ones of a few series, once: [N]."""
    n_series = source.rows.panel.n_series
    if n_series < 2 * FOLDS:
        return np.where(sample > np.quantile(sample, 1 - 1 / FOLDS), 0, -1)
    return (rng.permutation(n_series) % FOLDS)[source.rows.panel.series_of(sample)]


def fit_effects(shift: np.ndarray, target: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """One number for each input known ahead, the same at each step: shift [N, H, K], target, weight [N, H] -> [K, 1].

    Least absolute errors by reweighted least squares, with a little ridge.
    """
    inputs = shift.shape[2]
    effect = np.zeros(inputs)
    if inputs == 0:
        return np.zeros((0, 1), dtype=np.float32)
    x, y, w = shift.reshape(-1, inputs).astype(np.float64), target.ravel(), weight.ravel().astype(np.float64)
    for _ in range(EFFECT_ROUNDS):
        error = np.abs(y - x @ effect)
        importance = w / np.maximum(error, 0.1 * error[w > 0].mean() + 1e-12) if (w > 0).any() else w
        gram = (x * importance[:, None]).T @ x
        gram[np.diag_indices(inputs)] += 1e-3 * importance.sum() / max(len(w), 1) + 1e-12
        effect = np.linalg.solve(gram, (x * importance[:, None]).T @ y)
    return effect[:, None].astype(np.float32)

"""Where the linear parts of the network start: the skip's ridge solution and the effects of what is known ahead.

Source, origins -> arrays of nn/panel.py's Start.  Legend: N origins, L rows of a window, H horizon, K inputs known
ahead.
"""

from dataclasses import dataclass

import numpy as np

from stepahead.panels.draw import SLACK, Origins
from stepahead.panels.feed import Source
from stepahead.panels.skip import fit_skip
from stepahead.panels.windows import LOG_FLOOR

WINDOWS = 12_000  # sampled for the regression
EFFECT_ROUNDS = 5  # of reweighting


@dataclass(frozen=True)
class Lines:
    """Linear starts of one kind of member: skip [L, H], effect [K, 1]; float32."""

    skip: np.ndarray
    effect: np.ndarray


def fit_lines(source: Source, origins: Origins, kinds: tuple[str, ...], rng: np.random.Generator) -> list[Lines]:
    """The linear start of each member; members of a kind share it."""
    sample = origins.draw(rng, WINDOWS, ahead=source.rows.horizon)
    held = held_back(source, sample, rng)
    found = {kind: fit_kind(source, sample, kind, held) for kind in dict.fromkeys(kinds)}
    return [found[kind] for kind in kinds]


def fit_kind(source: Source, sample: np.ndarray, kind: str, held: np.ndarray) -> Lines:
    """The effects first, then what the window says about the rest."""
    rows = source.rows
    windows = rows.windows(sample)
    read = source.readings(sample, (kind,))[0]
    seen = getattr(windows, kind)()
    target = (seen.forward(read["y"]) - seen.base).astype(np.float32)
    weight = cost_of_errors(source, read, windows.base / windows.scale[:, None], seen.logs)
    effect = fit_effects(read["shift"], target, weight)
    rest = target - read["shift"] @ effect[:, 0]
    return Lines(fit_skip(seen.z, rest.astype(np.float32), weight, held), effect)


def cost_of_errors(source: Source, read: dict[str, np.ndarray], base: np.ndarray, logs: bool) -> np.ndarray:
    """What an absolute error costs in the loss, near the baseline: [N, H] float32, 0 where the truth is missing."""
    size = np.abs(read["y"]) + np.abs(base)
    cost = read["importance"][:, None] + 1 / source.yardsticks.percent / np.maximum(size, SLACK)
    if logs:  # a logarithm's error is one of the value itself, times the value
        cost = cost * np.maximum(np.abs(read["y"]) + read["offset"][:, None], LOG_FLOOR)
    return (cost * read["there"]).astype(np.float32)


def held_back(source: Source, sample: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Windows to choose the penalty by: those of a fifth of the series, or the last ones of a few: [N] bool."""
    n_series = source.rows.panel.n_series
    if n_series < 10:
        return sample > np.quantile(sample, 0.8)
    return rng.permutation(n_series)[source.rows.series(sample)] < n_series // 5


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

"""How good intervals were.  Actual, levels, bounds -> coverage, width, pinball and CRPS, overall or by group.

Legend: N origins, H steps ahead, L levels.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from stepahead.evaluate.metrics import Actual, average, covered, pinball, width

REPORTED = (50.0, 80.0, 90.0, 95.0)  # coverages, in percent, that a backtest with intervals tells of


def interval_losses(
    actual: Actual, mean: np.ndarray, level: Sequence[float], lo: np.ndarray, hi: np.ndarray
) -> dict[str, np.ndarray]:
    """Of each point: coverage and width of each level, the mean pinball loss of all bounds, and the CRPS they give.

    mean: [N, H]. level: L coverages in percent. lo, hi: [N, H, L]; NaN where a level could not be given.
    Returns: {"coverage-90": [N, H], "width-90": .., "pinball": .., "crps": ..}; empty without a level.
    """
    found: dict[str, np.ndarray] = {}
    for i, percent in enumerate(level):
        bounds = lo[..., i], hi[..., i]
        given = ~np.isnan(bounds[0])
        found[f"coverage-{percent:g}"] = np.where(given, covered(actual.y, *bounds), np.nan)
        found[f"width-{percent:g}"] = width(actual.y, *bounds)
    return found | quantile_losses(actual.y, mean, level, lo, hi)


def quantile_losses(
    y: np.ndarray, mean: np.ndarray, level: Sequence[float], lo: np.ndarray, hi: np.ndarray
) -> dict[str, np.ndarray]:
    """The bounds as quantiles, the forecast as the median: their mean pinball loss, and the CRPS as its integral.

    CRPS is twice the integral of the pinball loss over all probabilities; each quantile stands for those nearest to it.
    Source: Gneiting and Raftery 2007, section 4.2.
    """
    given = [i for i in range(len(level)) if not np.isnan(lo[..., i]).any()]
    if not given:
        return {}
    tails = [(100 - level[i]) / 200 for i in given]
    known = sorted(
        [(0.5, mean)]
        + [(tail, lo[..., i]) for tail, i in zip(tails, given, strict=True)]
        + [(1 - tail, hi[..., i]) for tail, i in zip(tails, given, strict=True)],
        key=lambda pair: pair[0],
    )
    probabilities = np.array([p for p, _ in known])
    losses = np.stack([pinball(y, values, p) for p, values in known], axis=-1)
    edges = np.concatenate([[0.0], (probabilities[1:] + probabilities[:-1]) / 2, [1.0]])
    return {"pinball": losses.mean(axis=-1), "crps": 2 * losses @ np.diff(edges)}


def interval_scores(actual: Actual, losses: Mapping[str, np.ndarray], by: str | None = None) -> dict[str, np.ndarray]:
    """The averages of `interval_losses`, overall (0-d) or by "series", "step", "cutoff": [groups]."""
    return {name: average(loss, actual, by) for name, loss in losses.items()}

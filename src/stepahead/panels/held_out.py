"""What held-out rows taught the panel recipe about its own errors.  Marginals, truths -> HeldOut.

Legend: N origins, H horizon, K scores.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from stepahead.runtime import normal
from stepahead.runtime.conformal import NOT_CALIBRATED, Calibration, calibrate, joined
from stepahead.runtime.scores import AS_LEARNED, Recalibration, links_of, random_walk_links, recalibrate


@dataclass(frozen=True)
class HeldOut:
    """Of errors that the model never saw.

    calibration: how far a point head's intervals reach; standing: those of windows that stand still, whose errors say
    nothing of others. recalibration: how the scores of a distribution are read.
    links: [H, H] how the steps of a path hang together, empty where nothing was held out. scores: [N, H] what the last
    two were learned from, to be joined with others; no part of a model file. usual: how much a window moves from row to
    row, of its scale, for those too short to tell; 0 where unknown.
    """

    calibration: Calibration
    recalibration: Recalibration
    links: np.ndarray
    scores: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    usual: float = 0.0
    standing: Calibration = NOT_CALIBRATED

    def path_links(self, horizon: int) -> np.ndarray:
        """Those of sampled paths: [H, H]."""
        return self.links if len(self.links) else random_walk_links(horizon)


NOTHING_HELD = HeldOut(NOT_CALIBRATED, AS_LEARNED, np.zeros((0, 0)))


def of_point(errors: np.ndarray, moved: np.ndarray, stands: np.ndarray, usual: float) -> HeldOut:
    """From a point head's errors [N, H], NaN where the truth is unknown, of windows that move by moved [N].

    stands: [N] bool, those that stand still; by themselves where the others' errors are known. usual: see HeldOut.
    """
    stands = stands & known_throughout(errors[~stands])
    tiny, standing = float(np.finfo(float).tiny), NOT_CALIBRATED
    calibration = calibrate(errors[~stands], moved[~stands], floor=tiny)
    if known_throughout(errors[stands]):
        standing = calibrate(errors[stands], moved[stands], floor=tiny)
    scores = (errors / moved[:, None])[~stands]
    return HeldOut(calibration, AS_LEARNED, links_of(scores), scores, usual, standing)


def known_throughout(errors: np.ndarray) -> bool:
    """Whether an error is known at each step: errors [N, H]."""
    return bool((~np.isnan(errors)).any(axis=0).all())


def of_distribution(scores: np.ndarray) -> HeldOut:
    """From the scores of the truth in what a head gave: [N, H], NaN where it is unknown."""
    return HeldOut(NOT_CALIBRATED, recalibrate(scores), links_of(scores), scores)


def joined_held(parts: Sequence[HeldOut]) -> HeldOut:
    """What several probes taught, as one."""
    known = [part for part in parts if len(part.scores)]
    if len(known) < 2:
        return known[0] if known else parts[0]
    calibration, scores = joined([part.calibration for part in known]), np.concatenate([p.scores for p in known])
    point = calibration.scores.shape[1] > 0
    recalibration = AS_LEARNED if point else recalibrate(scores)
    standing = joined([part.standing for part in known])
    return HeldOut(calibration, recalibration, links_of(scores), scores, known[0].usual, standing)


@dataclass(frozen=True)
class Split:
    """A point head's intervals as a distribution: as likely above the point as below. moved: [N]. stands: [N] bool,
    the windows that stand still.
    """

    point: np.ndarray
    moved: np.ndarray
    stands: np.ndarray
    held: HeldOut

    def radius(self, levels: Sequence[float]) -> np.ndarray:
        """How far intervals of these coverages reach: [N, H, L]. Where too few windows stood still, the farthest.

        Raises: TooFewErrors where windows that move are asked about, and too few of these were held out.
        """
        own = self.held.standing
        count = own.scores.shape[1]
        if not count:
            return self.held.calibration.radius(levels, self.moved)
        ranks = np.clip(own.rank(levels), 1, count)
        reach: np.ndarray = self.moved[:, None, None] * own.scores[:, ranks - 1]
        if not self.stands.all():
            reach[~self.stands] = self.held.calibration.radius(levels, self.moved[~self.stands])
        return reach

    def quantile(self, scores: np.ndarray) -> np.ndarray:
        reach = reach_at(self.held.calibration.scores, scores)
        if self.held.standing.scores.shape[1]:
            reach = np.where(self.stands[:, None, None], reach_at(self.held.standing.scores, scores), reach)
        return self.point[..., None] + np.sign(scores) * self.moved[:, None, None] * reach


def reach_at(known: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """How far scores [..., H, K] lie from the point, by held-out errors known [H, E] in units of movement."""
    rank = (known.shape[1] + 1) * np.abs(2 * normal.probability(scores) - 1)
    ranks = np.arange(known.shape[1] + 1)
    steps = [np.interp(rank[..., h, :], ranks, np.insert(row, 0, 0.0)) for h, row in enumerate(known)]
    return np.stack(steps, axis=-2)

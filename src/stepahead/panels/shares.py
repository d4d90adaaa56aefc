"""Which members to believe on which series.  Each member's errors on a series' last rows -> Shares.

Legend: S series, N forecasts, M members.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CAUTIOUS, BOLD = 2, 12  # powers of the loss: boldly, a member that errs by 6 % less has twice the part


@dataclass(frozen=True)
class Shares:
    """Each member's part in the forecasts of a series.

    keys: [S] int64, in order, digests of the series' names: a model file holds no names. parts: [S, M], of a series
    they add up to 1.
    """

    keys: np.ndarray
    parts: np.ndarray

    def of(self, names: Sequence[str], members: int) -> np.ndarray:
        """The parts of the members in forecasts of these series, equal ones where a series is new: [N, M]."""
        equal = np.full((len(names), members), 1 / members)
        if len(self.keys) == 0:
            return equal
        keys = keys_of(names)
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where((self.keys[place] == keys)[:, None], self.parts[place], equal)


EQUAL = Shares(np.zeros(0, dtype=np.int64), np.zeros((0, 0)))


def shares_by_losses(names: Sequence[str], losses: np.ndarray, power: float) -> Shares:
    """The parts of the members in each series, by their losses there: [S, M], above zero."""
    order = np.argsort(keys := keys_of(names))
    return Shares(keys[order], parts_by_losses(losses, power)[order])


def parts_by_losses(losses: np.ndarray, power: float) -> np.ndarray:
    """The smaller a member's loss on a series, the larger its part: [S, M] -> [S, M]."""
    odds: np.ndarray = (losses / losses.min(axis=1, keepdims=True)) ** -power
    return odds / odds.sum(axis=1, keepdims=True)


def keys_of(names: Sequence[str]) -> np.ndarray:
    """A digest of each name: [N] int64."""
    digests = b"".join(hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names)
    return np.frombuffer(digests, dtype="<i8").astype(np.int64)

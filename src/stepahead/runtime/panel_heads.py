"""The panel network's heads for distributions, without torch.  Weights, a last layer -> Knots or Counts.

The same sums as nn/panel_heads.py.  Legend: M members, N windows, H horizon, S numbers of the spread, Q quantiles.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stepahead.errors import ConfigError
from stepahead.limits import DISPERSION, LEAST_COUNT, WIDE
from stepahead.runtime import normal
from stepahead.runtime.marginals import Counts, Knots, Marginals
from stepahead.runtime.network import combine_members
from stepahead.runtime.panel import in_scale, last_layer, location, product

Arrays = Mapping[str, np.ndarray]

DISTRIBUTIONS = ("quantile", "student_t", "negative_binomial")
T_TAILS = (0.0005, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45)


@dataclass(frozen=True)
class PanelReading:
    """How a distribution is read. head: of DISTRIBUTIONS. quantiles: probabilities of "quantile". t_table: [K, 2]
    probability and quantile of Student's t at the learned degrees of freedom.
    """

    head: str
    quantiles: tuple[float, ...]
    t_table: np.ndarray

    @property
    def probabilities(self) -> np.ndarray:
        """Those of the knots: [Q]."""
        if self.head == "quantile":
            return np.asarray(self.quantiles)
        return np.array([*T_TAILS, 0.5, *(1 - p for p in T_TAILS[::-1])])

    def reaches(self, level: float) -> bool:
        """Whether the head knows intervals of this coverage, in percent."""
        return self.head == "negative_binomial" or self.probabilities[0] <= (100 - level) / 200 + 1e-9

    def check(self, levels: Sequence[float]) -> None:
        """Raise ConfigError for a level beyond what was trained."""
        if not all(map(self.reaches, levels)):
            widest = 100 - 200 * self.probabilities[0]
            raise ConfigError(f"level is wider than the head was trained for: at most {widest:g} percent")

    def said(self, cell: str, weights: Arrays, read: Arrays, *, logs: bool) -> "Said":
        """What one member says."""
        inner = last_layer(cell, weights, read)
        place = location(weights, read, inner)
        spread = self.spread(weights, inner, place.shape[1])
        center = in_scale(place, read, logs=logs)
        counts = self.head == "negative_binomial"
        return Said(center, spread, center[..., None] if counts else self.values(place, spread, read, logs=logs))

    def spread(self, weights: Arrays, inner: np.ndarray, horizon: int) -> np.ndarray:
        """The numbers beside the location: inner [N, 64] -> [N, H, S]."""
        if "spread_weight" not in weights:  # the median alone
            return np.zeros((len(inner), horizon, 0), dtype=np.float32)
        flat = product(inner, weights["spread_weight"]) + weights["spread_bias"]
        return flat.reshape(len(inner), horizon, -1)

    def values(self, location: np.ndarray, spread: np.ndarray, read: Arrays, *, logs: bool) -> np.ndarray:
        """One member's quantiles in units of the window's scale: [N, H, Q] float64."""
        unit = np.asarray(read["unit"], dtype=np.float64)[:, None, None]
        wide = np.exp(np.clip(spread.astype(np.float64), -WIDE, WIDE)) * unit
        middle = int(np.searchsorted(self.probabilities, 0.5))
        if self.head == "quantile":
            above = np.cumsum(wide[..., middle:], axis=-1)
            below = np.cumsum(wide[..., :middle][..., ::-1], axis=-1)[..., ::-1]
            apart = np.concatenate([-below, np.zeros((*wide.shape[:2], 1)), above], axis=-1)
        else:
            apart = wide * np.interp(self.probabilities, *self.t_table.T)
        n, horizon, q = apart.shape
        said = (location.astype(np.float64)[..., None] + apart).reshape(n, horizon * q)
        return in_scale(said, read, logs=logs).reshape(n, horizon, q)

    def marginals(self, members: "Sequence[Said]", how: str, scale: np.ndarray, still: np.ndarray) -> Marginals:
        """The members as one distribution, in the target's units.

        members: what each says. how: "mean" | "median". scale: [N] of the windows. still: [N] bool, nothing but zeros.
        """
        if self.head == "negative_binomial":
            mean = combine_members([positive(said.location) for said in members], how) * scale[:, None]
            spreads = [np.exp(np.clip(s.spread[..., 0].astype(float), *np.log(DISPERSION))) for s in members]
            return Counts(mean, combine_members(spreads, how))
        size = np.where(still, 0.0, scale)  # where all is zero, zero goes on
        values = combine_members([said.values for said in members], how) * size[:, None, None]
        point = combine_members([said.location for said in members], how) * size[:, None]
        return Knots(point, normal.score(self.probabilities), values)


@dataclass(frozen=True)
class Said:
    """What one member says, in units of the window's scale: location [N, H], spread [N, H, S], values [N, H, Q]."""

    location: np.ndarray
    spread: np.ndarray
    values: np.ndarray


def positive(said: np.ndarray) -> np.ndarray:
    """Nearly what it is where it is large, and never zero."""
    return np.maximum(0.5 * (said + np.sqrt(said**2 + 0.04)), LEAST_COUNT)

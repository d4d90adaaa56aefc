"""Intervals that keep their promise while data come, and an alarm when they cannot.  Truth after truth -> widths.

Widths: each level's interval, at each step ahead, is the model's own, stretched about the forecast by a factor
exp(g). A miss adds gamma * coverage to g, a hit takes gamma * (1 - coverage) away, so that over time the share of
misses is the one that was promised, whatever the data do: the misses add up to what g has moved. Source: the quantile
tracker (error integration) of Angelopoulos, Candes and Tibshirani 2023, "Conformal PID Control for Time Series
Prediction", equations 4 and 5, with an exponential link; without it, Gibbs and Candes 2021. Gamma falls with the
number of truths seen, as that of Robbins and Monro does, so that g follows the quantile of all errors so far
(Angelopoulos, Barber and Bates 2024, "Online conformal prediction with decaying step sizes"), down to a floor:
the data may change.

Alarm: each one-step error is ranked among those that the model made on held-out rows, and the rank becomes a normal
score. Three cumulative sums wait for errors that lean up, lean down, or have grown. Source: Page 1954, "Continuous
Inspection Schemes" (CUSUM), allowance 1/2: a shift of one deviation is found in some 30 rows; the alarm is so
high because held-out errors are few, and their ranks are only about right.

Legend: H steps ahead, L levels, K held-out errors.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from math import exp, inf, isnan, log, nan
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

GAIN = 3.0  # gamma times the errors known: one over the density of a normal error's logarithm at 90 % (2.95), 80 (2.2)
TRUST = 10  # live errors that all held-out ones count for: they are of another fit, and of another time
GAMMA = 0.08  # the floor: how far one miss or hit always moves a width, in logarithms, times the level's own share
FINITE = 709.0  # the logarithm of a ratio that is still a number
FARTHEST = 20.0  # a width stays within it, so that weeks of a target that stood still are soon forgotten
RECENT = 200  # pushes that `coverage` looks back on
ALLOWANCE, ALARM, MOST = 0.5, 15.0, 20.0  # of the cumulative sums; MOST, so that an alarm ends soon after its cause
NORMAL = NormalDist()


@dataclass(frozen=True)
class Yardstick:
    """What live errors are ranked among.

    ratios: K ascending, held-out one-step errors in units of the interval of the first level, to that side.
    lean, grown: K + 1 normal scores by rank, of an error's signed and of its absolute size.
    """

    ratios: tuple[float, ...]
    lean: tuple[float, ...]
    grown: tuple[float, ...]


def make_yardstick(ratios: Sequence[float]) -> Yardstick:
    """The scores that go with K known errors, given in units of the first level's half-width."""
    count = len(ratios) + 1
    shares = [(rank + 0.5) / count for rank in range(count)]
    return Yardstick(
        tuple(sorted(map(float, ratios))),
        tuple(NORMAL.inv_cdf((1 + share) / 2) for share in shares),
        tuple(NORMAL.inv_cdf(share) for share in shares),
    )


def normal_yardstick(level: float) -> Yardstick:
    """The same for errors that are normal with an interval of that level, in percent: a head that learned its own."""
    half = NORMAL.inv_cdf(0.5 + level / 200)
    return make_yardstick([NORMAL.inv_cdf(0.5 + (i + 0.5) / 400) / half for i in range(200)])


class Bounds(NamedTuple):
    """Forecast and interval of one origin: mean H numbers, lo and hi H rows of L.  Lists: one push is too small for
    arrays.
    """

    mean: list[float]
    lo: list[list[float]]
    hi: list[list[float]]


class Adaptive:
    """The widths, the record and the alarm of one stream; `judge` takes a truth in, `stretch` gives bounds out.

    level: L coverages in percent. logs: widths are stretched on the logarithms of the bounds, for a target that is
    positive. positive: bounds that the model holds at or above zero stay there. learns: False leaves the widths as the
    model gives them.
    """

    __slots__ = (
        "learns",
        "level",
        "logs",
        "pending",
        "positive",
        "record",
        "seen",
        "shares",
        "sums",
        "widths",
        "yard",
    )

    def __init__(
        self,
        level: Sequence[float],
        horizon: int,
        *,
        logs: bool = False,
        positive: bool = False,
        yard: Yardstick | None = None,
        learns: bool = True,
    ) -> None:
        self.level, self.logs, self.positive, self.yard, self.learns = tuple(level), logs, positive, yard, learns
        self.shares = [(100 - each) / 100 for each in level]  # of misses, that are promised
        self.widths = [[0.0] * len(self.level) for _ in range(horizon)]
        # With the model's own first reach; None for a step at which no row came, and nothing was forecast.
        self.pending: deque[tuple[Bounds, float, float] | None] = deque(maxlen=horizon)
        self.record: Array = np.zeros((RECENT, 1 + len(self.level)), dtype=np.int16)  # judged, and hits by level
        self.seen = 0
        self.sums = (0.0, 0.0, 0.0)  # up, down, grown

    def judge(self, truth: float) -> None:
        """Take the newest value of the target: every forecast that was made for it learns from it.  NaN: nobody can."""
        if not any(self.pending) or truth != truth:
            return
        hits, gamma = [0] * len(self.level), self.gamma
        for step, made in enumerate(self.pending):
            if made is None:
                continue
            bounds, widths = made[0], self.widths[step]
            for i, (lo, hi, share) in enumerate(zip(bounds.lo[step], bounds.hi[step], self.shares, strict=True)):
                inside = lo <= truth <= hi
                hits[i] += inside
                moved = widths[i] + gamma * (-share if inside else 1 - share)
                widths[i] = min(max(moved, -FARTHEST), FARTHEST)
        self.record[self.seen % RECENT] = (len(self.pending) - self.pending.count(None), *hits)
        self.seen += 1
        if self.yard is not None and self.pending[0] is not None:
            self._watch(truth, self.pending[0], self.yard)

    def skip(self, steps: int) -> None:
        """So many steps passed without a row: nothing was forecast from them."""
        if self.pending:
            self.pending.extendleft([None] * steps)

    def stretch(self, own: Bounds) -> Bounds:
        """The model's own bounds -> those that hold; remembered until their truth comes."""
        if not self.level:
            return own
        bounds = own
        if self.learns:
            pairs = [self._stretched(*step) for step in zip(own.mean, own.lo, own.hi, self.widths, strict=True)]
            bounds = Bounds(own.mean, [lo for lo, _ in pairs], [hi for _, hi in pairs])
        first = own.mean[0]
        self.pending.appendleft((bounds, first - own.lo[0][0], own.hi[0][0] - first))
        return bounds

    def _stretched(
        self, middle: float, lows: list[float], highs: list[float], widths: list[float]
    ) -> tuple[list[float], list[float]]:
        """The bounds of one step ahead; a wider level never lies within a narrower one."""
        lo, hi, below, above = [], [], 0.0, 0.0
        for low, high, width in zip(lows, highs, widths, strict=True):
            factor = exp(width)
            if self.logs:
                below = max(below, factor * log(middle / low)) if low > 0 else inf
                above = max(above, factor * log(high / middle))
                lo.append(middle * exp(-below))
                hi.append(middle * exp(above) if above < FINITE else inf)
                continue
            below, above = max(below, factor * (middle - low)), max(above, factor * (high - middle))
            lo.append(max(middle - below, 0.0) if self.positive and low >= 0 else middle - below)
            hi.append(middle + above)
        return lo, hi

    @property
    def gamma(self) -> float:
        """How far the next miss or hit moves a width."""
        return max(GAIN / (TRUST + 1 + self.seen), GAMMA)

    @property
    def coverage(self) -> dict[float, float] | None:
        """The share of truths inside each level's interval over the recent pushes; None before the first."""
        judged, *hits = self.record.sum(axis=0, dtype=np.int64).tolist()
        return {level: hit / judged for level, hit in zip(self.level, hits, strict=True)} if judged else None

    @property
    def drifting(self) -> bool:
        """Whether errors are no longer what they were on held-out rows."""
        return max(self.sums) > ALARM

    def _watch(self, truth: float, made: tuple[Bounds, float, float], yard: Yardstick) -> None:
        """Add the newest one-step error to the cumulative sums."""
        bounds, below, above = made
        error = truth - bounds.mean[0]
        reach = above if error > 0 else below
        ratio = abs(error) / reach if reach > 0 else inf if error else 0.0
        rank = (bisect_left(yard.ratios, ratio) + bisect_right(yard.ratios, ratio)) // 2
        lean, grown = yard.lean[rank], yard.grown[rank]
        if error < 0:
            lean = -lean
        up, down, large = self.sums
        self.sums = (
            min(max(up + lean - ALLOWANCE, 0.0), MOST),
            min(max(down - lean - ALLOWANCE, 0.0), MOST),
            min(max(large + grown - ALLOWANCE, 0.0), MOST),
        )

    def copy(self) -> "Adaptive":
        """Another one that stands where this one stands."""
        other = copy(self)
        other.widths = [list(widths) for widths in self.widths]
        other.record, other.pending = self.record.copy(), self.pending.copy()
        return other

    def arrays(self) -> dict[str, Array]:
        """All that a snapshot must hold."""
        nothing = np.full((len(self.widths), len(self.level)), nan).tolist()
        blank = (Bounds([nan] * len(self.widths), nothing, nothing), nan, nan)
        pending = [made or blank for made in self.pending]
        stacked = {name: np.array([getattr(bounds, name) for bounds, _, _ in pending]) for name in Bounds._fields}
        own = np.array([[below, above] for _, below, above in pending])
        rest = {"widths": np.array(self.widths), "record": self.record, "sums": np.array([*self.sums, self.seen])}
        return stacked | {"own": own} | rest

    def restore(self, arrays: Mapping[str, Array]) -> None:
        """Put back what `arrays` gave."""
        self.widths, self.record = arrays["widths"].tolist(), arrays["record"]
        up, down, grown, seen = arrays["sums"].tolist()
        self.sums, self.seen = (up, down, grown), int(seen)
        made = zip(*(arrays[name].tolist() for name in Bounds._fields), strict=True)
        self.pending.clear()
        pending = ((Bounds(*parts), *own) for parts, own in zip(made, arrays["own"].tolist(), strict=True))
        self.pending.extend(None if isnan(each[0].mean[0]) else each for each in pending)

"""The forecasting network without torch.  Weights and windows -> what the heads give -> points and quantiles.

Legend: M members, N windows, T steps, F features, C context numbers, H horizon, O numbers a step ahead, L levels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stepahead.errors import ConfigError
from stepahead.runtime.cell import cell_shapes, check_shapes, scan
from stepahead.runtime.correction import NO_CORRECTION, Correction

Weights = Mapping[str, np.ndarray]


def network_output(cell: str, weights: Weights, x: np.ndarray, context: np.ndarray, horizon: int) -> np.ndarray:
    """One member's answer: x [N, T, F], context [N, C] -> [N, H, O] in scaled units."""
    return read_head(weights, np.concatenate([last_hidden(cell, weights, x), context], axis=1), horizon)


def check_weights(
    weights: Weights, cell: str, inputs: int, beside: int, hidden: int, layers: int, answers: int
) -> None:
    """Raise ConfigError for the first array that is absent or of another shape.

    inputs: F. beside: C. hidden: D. answers: H * O.
    """
    head = {"head.weight": (answers, hidden + beside), "head.bias": (answers,)}
    check_shapes(weights, head | cell_shapes(cell, inputs, hidden, layers, prefix="cell."))


def last_hidden(cell: str, weights: Weights, x: np.ndarray) -> np.ndarray:
    """The hidden units of the last layer after each window: x [N, T, F] -> [N, D]."""
    return scan(cell, x, recurrent(weights))[0][:, -1]


def recurrent(weights: Weights) -> dict[str, np.ndarray]:
    """Those of the cell, by torch's names."""
    return {name.removeprefix("cell."): w for name, w in weights.items() if name.startswith("cell.")}


def carried_hidden(
    cell: str, weights: Weights, features: np.ndarray, offsets: np.ndarray, origins: np.ndarray
) -> np.ndarray:
    """The hidden units of the last layer at some rows, each series read from its first row: origins [N] -> [N, D]."""
    series = np.searchsorted(offsets, origins, side="right") - 1
    found: np.ndarray | None = None
    for s in np.unique(series):
        here, start = series == s, offsets[s]
        outputs = scan(cell, features[None, start : origins[here].max() + 1], recurrent(weights))[0][0]
        found = np.empty((len(origins), outputs.shape[1]), outputs.dtype) if found is None else found
        found[here] = outputs[origins[here] - start]
    return np.zeros((0, weights["head.weight"].shape[1]), np.float32) if found is None else found


def read_head(weights: Weights, last: np.ndarray, horizon: int) -> np.ndarray:
    """The linear head: last [N, D+C] -> [N, H, O]."""
    return (last @ weights["head.weight"].T + weights["head.bias"]).reshape(len(last), horizon, -1)


def combine_members(outputs: Sequence[np.ndarray], how: str) -> np.ndarray:
    """The members' answers as one: M x [N, H, O] -> [N, H, O], by "mean" or "median"."""
    if len(outputs) == 1:
        return outputs[0]
    return (np.mean if how == "mean" else np.median)(np.stack(outputs), axis=0)


@dataclass(frozen=True)
class Reading:
    """How a head's numbers are read.

    head: its name. quantiles: probabilities of the "quantile" head. t_table: [K, 2] probability and Student-t quantile
    of the learned degrees of freedom, for "student_t". correction: of the bounds of these two, by held-out rows.
    """

    head: str
    quantiles: tuple[float, ...]
    t_table: np.ndarray
    correction: Correction = NO_CORRECTION

    @property
    def has_quantiles(self) -> bool:
        return self.head in ("quantile", "student_t")

    @property
    def n_outputs(self) -> int:
        """O."""
        return len(self.quantiles) if self.head == "quantile" else 2 if self.head == "student_t" else 1

    def reaches(self, level: float) -> bool:
        """Whether the head was trained wide enough for an interval of this coverage, in percent."""
        known = self.quantiles if self.head == "quantile" else self.t_table[:, 0]
        return known[0] <= (100 - level) / 200 + 1e-9

    def point(self, output: np.ndarray) -> np.ndarray:
        """The forecast itself: [N, H, O] -> [N, H]; the median under "quantile"."""
        if self.head == "quantile":
            return self.quantile(output, [0.5])[..., 0]
        return output[..., 0].astype(np.float64)

    def interval(self, output: np.ndarray, level: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
        """Bounds that the head gives, corrected: [N, H, O] -> lo, hi [N, H, L]. level: L ascending, in percent."""
        tails = [(100 - each) / 200 for each in level]
        own = self.quantile(output, tails), self.quantile(output, [1 - p for p in tails])
        return self.correction.apply(*own, level)

    def quantile(self, output: np.ndarray, probabilities: Sequence[float]) -> np.ndarray:
        """Quantiles of the forecast: [N, H, O] -> [N, H, len(probabilities)].

        Raises: ConfigError for a probability outside of what was trained.
        """
        wanted = np.asarray(probabilities, dtype=np.float64)
        known = np.asarray(self.quantiles) if self.head == "quantile" else self.t_table[:, 0]
        # Levels come as percent: 1 - 95/100 is not 0.05 to the last bit.
        outside = (wanted < known[0] - 1e-9) | (wanted > known[-1] + 1e-9)
        if outside.any():
            widest = 100 * (1 - 2 * max(known[0], 1 - known[-1]))
            raise ConfigError(f"level is wider than the head was trained for: at most {widest:g} percent")
        if self.head == "quantile":
            return between(np.sort(output.astype(np.float64), axis=-1), known, wanted)
        scale = np.logaddexp(0, output[..., 1].astype(np.float64)) + 1e-4
        return output[..., :1] + scale[..., None] * np.interp(wanted, known, self.t_table[:, 1])


def between(values: np.ndarray, known: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Linear interpolation along the last axis: values [..., Q] at known [Q] -> [..., len(wanted)]."""
    right = np.clip(np.searchsorted(known, wanted), 1, max(len(known) - 1, 1))
    if len(known) == 1:
        return np.repeat(values, len(wanted), axis=-1)
    share = (wanted - known[right - 1]) / (known[right] - known[right - 1])
    return values[..., right - 1] * (1 - share) + values[..., right] * share


def movement(x: np.ndarray, differenced: bool) -> np.ndarray:
    """How much the target moves within each window: features x [N, T, F] -> [N] float64.

    The mean absolute change of the target from row to row, in scaled units; 1 for a window of one row.
    """
    target = x[:, :, -1].astype(np.float64)
    changes = target if differenced else np.diff(target, axis=1)
    return np.abs(changes).mean(axis=1) if changes.shape[1] else np.ones(len(x))

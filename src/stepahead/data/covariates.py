"""Inputs besides the past: those known ahead, and those that never change.  Panel -> numbers beside a window.

Legend: R rows, S series, N origins, K inputs known ahead, J static inputs, H horizon, C context numbers.
"""

from dataclasses import dataclass

import numpy as np

from stepahead.data.panel import Panel
from stepahead.data.scale import measure_columns
from stepahead.errors import DataError


@dataclass(frozen=True)
class Covariates:
    """How known-ahead and static inputs are scaled, learned from the training part.

    center, spread: [K] of the known-ahead inputs. statics: for each static input either ("number", center, spread)
    or ("category", names): a category becomes one column a name, an unknown one all zeros.
    """

    center: np.ndarray
    spread: np.ndarray
    statics: tuple[tuple, ...]

    @property
    def n_static(self) -> int:
        """Numbers that the static inputs become."""
        return sum(1 if s[0] == "number" else len(s[1]) for s in self.statics)

    def width(self, horizon: int) -> int:
        """C: numbers beside each window."""
        return len(self.center) * horizon + self.n_static

    def row_features(self, panel: Panel) -> np.ndarray:
        """Known-ahead inputs of each row, scaled: [R, K]."""
        return (panel.future - self.center) / self.spread

    def context(self, panel: Panel, origins: np.ndarray, horizon: int, future: np.ndarray | None = None) -> np.ndarray:
        """What is known about each origin's horizon and series: [N, C] float32.

        future: [N, H, K] inputs of the rows to come; None takes them from the panel's own later rows.

        Raises: DataError when a row of the horizon has no known-ahead values.
        """
        if self.width(horizon) == 0:
            return np.zeros((len(origins), 0), dtype=np.float32)
        series = panel.series_of(origins)
        ahead = self._ahead(panel, origins, series, horizon) if future is None else future
        scaled = (ahead - self.center) / self.spread  # [N, H, K]
        parts = [scaled.reshape(len(origins), -1), self._static(panel)[series]]
        return np.concatenate(parts, axis=1).astype(np.float32)

    def _ahead(self, panel: Panel, origins: np.ndarray, series: np.ndarray, horizon: int) -> np.ndarray:
        if len(self.center) == 0:
            return np.zeros((len(origins), horizon, 0))
        rows = origins[:, None] + np.arange(1, horizon + 1)
        short = rows[:, -1] >= panel.offsets[series + 1]
        if short.any():
            names = ", ".join(f"'{n}'" for n in panel.schema.future)
            where = panel.ids[int(series[short][0])]
            raise DataError(
                f"series '{where}': the forecast needs {names} for each of the next {horizon} steps; pass future="
            )
        return panel.future[rows]

    def _static(self, panel: Panel) -> np.ndarray:
        """Static inputs of every series as numbers: [S, n_static]."""
        columns = [np.zeros((panel.n_series, 0))]
        for j, rule in enumerate(self.statics):
            if rule[0] == "number":
                columns.append((static_numbers(panel, j)[:, None] - rule[1]) / rule[2])
            else:
                names = np.asarray(static_names(panel, j), dtype=object)
                columns.append((names[:, None] == np.asarray(rule[1], dtype=object)).astype(np.float64))
        return np.concatenate(columns, axis=1)


def fit_covariates(panel: Panel) -> Covariates:
    """Learn from the training part how its known-ahead and static inputs are scaled."""
    check_known(panel)
    center, spread = measure_columns(panel.future, "standard")
    rules: list[tuple] = []
    for j in range(panel.static.shape[1]):
        if all(isinstance(v, int | float | np.number) for v in panel.static[:, j]):
            middle, width = measure_columns(static_numbers(panel, j)[:, None], "standard")
            rules.append(("number", float(middle[0]), float(width[0])))
        else:
            rules.append(("category", tuple(dict.fromkeys(static_names(panel, j)))))
    return Covariates(center, spread, tuple(rules))


def static_numbers(panel: Panel, j: int) -> np.ndarray:
    """A static input of numbers: [S] float64.  Raises: DataError where one is text."""
    values = panel.static[:, j]
    if values.dtype == object:
        for series, value in zip(panel.ids, values, strict=True):
            if isinstance(value, str):
                raise DataError(
                    f"{panel.schema.source}: static input '{panel.schema.static[j]}' is {value!r:.40} for series "
                    f"'{series}', and was a number where the model learned; give a number"
                )
    return values.astype(np.float64)


def static_names(panel: Panel, j: int) -> list[str]:
    """A static category of every series as text.  A table whose categories are all digits holds them as numbers: 3.0 is
    the category '3'.
    """
    whole = lambda v: isinstance(v, float | np.floating) and float(v).is_integer()  # noqa: E731
    return [str(int(v)) if whole(v) else str(v) for v in panel.static[:, j]]


def check_known(panel: Panel) -> None:
    """Raise DataError where an input that should be known ahead, or a static one, is missing."""
    holes = np.isnan(panel.future)
    if holes.any():
        row, column = (int(i[0]) for i in np.nonzero(holes))
        raise DataError(
            f"{panel.schema.source}: column '{panel.schema.future[column]}' is given as known ahead, but is missing "
            f"at {panel.schema.time} {panel.times[row]}; fill it, or leave it out of future="
        )
    for s, j in np.ndindex(panel.static.shape):
        value = panel.static[s, j]
        if value is None or value != value:  # only NaN differs from itself
            raise DataError(
                f"{panel.schema.source}: static input '{panel.schema.static[j]}' is missing for series "
                f"'{panel.ids[s]}'; fill it, or leave it out of static="
            )

"""Inputs that never change within a series, as the panel network reads them.  Panel, Covariates -> Statics.

A category becomes its place in a table that is learned, one row a name and one for names that were not there when the
network learned; a number is standardised by the training part.

Legend: S series, C categories, J numbers, V rows of the table: the names of all categories, each with its unseen.
"""

from dataclasses import dataclass

import numpy as np

from stepahead.data.covariates import Covariates, static_names, static_numbers
from stepahead.data.panel import Panel

FAR = 5.0  # a number is held within so many of its deviations
FORGET = 0.1  # of the categories of a batch are read as unseen, so that what stands for them is learned


@dataclass(frozen=True)
class Statics:
    """codes: [S, C] int64, rows of the table. numbers: [S, J] float32, standardised. unseen: [C], its rows for names
    that are new. rows: V.
    """

    codes: np.ndarray
    numbers: np.ndarray
    unseen: np.ndarray
    rows: int

    @property
    def none(self) -> bool:
        """Whether there is nothing to read."""
        return self.codes.shape[1] + self.numbers.shape[1] == 0


def statics_of(panel: Panel, covariates: Covariates) -> Statics:
    """The static inputs of a panel by the rules of the training part."""
    codes, numbers, unseen, rows = [], [], [], 0
    for j, rule in enumerate(covariates.statics):
        if rule[0] == "number":
            scaled = (static_numbers(panel, j) - rule[1]) / rule[2]
            numbers.append(np.clip(scaled, -FAR, FAR).astype(np.float32))
            continue
        place = {name: rows + i for i, name in enumerate(rule[1])}
        rows += len(rule[1]) + 1
        unseen.append(rows - 1)
        codes.append(np.array([place.get(name, rows - 1) for name in static_names(panel, j)], dtype=np.int64))
    n = panel.n_series
    return Statics(
        codes=np.stack(codes, axis=1) if codes else np.zeros((n, 0), dtype=np.int64),
        numbers=np.stack(numbers, axis=1) if numbers else np.zeros((n, 0), dtype=np.float32),
        unseen=np.array(unseen, dtype=np.int64),
        rows=rows,
    )


def forgetful(codes: np.ndarray, unseen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Some of a batch's categories as if they were new: codes [..., C] -> the same."""
    return np.where(rng.random(codes.shape) < FORGET, unseen.astype(codes.dtype), codes)

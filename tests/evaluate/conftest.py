"""A panel as reading may give it: series of other lengths, values missing."""

import numpy as np
import pytest

from stepahead.data.panel import Panel


@pytest.fixture
def ragged() -> Panel:
    """Three series of 40, 7 and 25 rows of a random walk, some values missing."""
    rng = np.random.default_rng(7)
    values = np.cumsum(rng.normal(size=72)) + 50
    values[[3, 4, 20, 45, 60]] = np.nan
    return Panel.from_arrays(values, ids=("a", "b", "c"), offsets=[0, 40, 47, 72])

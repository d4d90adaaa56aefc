"""Series for the tests of the panel recipe."""

import numpy as np

from stepahead.data.panel import Panel


def seasonal(lengths: list[int], season: int = 4, seed: int = 0) -> Panel:
    """Series with a season, a level of their own and a little noise."""
    rng = np.random.default_rng(seed)
    parts = []
    for s, n in enumerate(lengths):
        t = np.arange(n)
        wave = 1 + 0.5 * np.sin(2 * np.pi * (t + s) / season)
        parts.append(10.0 ** (s % 4) * wave * np.exp(rng.normal(scale=0.05, size=n)))
    ids = [f"s{i}" for i in range(len(lengths))]
    return Panel.from_arrays(np.concatenate(parts), ids=ids, offsets=[0, *np.cumsum(lengths)])

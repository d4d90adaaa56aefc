"""Sampled paths: what may follow each series, drawn as a whole over the horizon.  Fitted, source, origins -> draws.

Normal scores that hang together are drawn for each path (runtime/scores.py), then read in each step's distribution: so
the draws of a step have the quantiles that its intervals have, and those of a path belong to one another.

Legend: N origins, H horizon, K paths.
"""

import zlib
from typing import Any

import numpy as np

from stepahead.errors import ConfigError
from stepahead.forecast import named_beside
from stepahead.live import known_levels
from stepahead.panels.fitted import PanelFitted
from stepahead.parameters import check_whole
from stepahead.runtime.scores import draw_scores, normal_score, random_walk_links
from stepahead.runtime.stream import between_bounds

LEVELS = (10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 95.0, 98.0)


def sample_paths(
    fitted: Any, source: Any, origins: np.ndarray, paths: int, seed: int, future: np.ndarray | None
) -> np.ndarray:
    """Draw paths from these rows on: [N, K, H].

    A series' draws are by its name and the seed: they do not depend on the series drawn beside it.
    Raises: ConfigError for numbers that cannot be, and where the model has no intervals to draw from.
    """
    check_whole(paths=(paths, 1), seed=(seed, 0))
    horizon = fitted.config.horizon
    links = fitted.held.path_links(horizon) if isinstance(fitted, PanelFitted) else random_walk_links(horizon)
    panel = source.panel
    series = panel.series_of(origins)
    scores = np.empty((len(series), horizon, paths))
    for n, s in enumerate(series):
        rng = np.random.default_rng([seed, zlib.crc32(panel.ids[s].encode())])
        scores[n] = draw_scores(links, paths, rng).T
    if isinstance(fitted, PanelFitted):
        return fitted.draw(source, origins, scores, future=future).swapaxes(1, 2)
    return from_bounds(fitted, source, origins, scores, future).swapaxes(1, 2)


def from_bounds(
    fitted: Any, source: Any, origins: np.ndarray, scores: np.ndarray, future: np.ndarray | None
) -> np.ndarray:
    """The values at these scores [N, H, K], read between the bounds of a plain model's intervals."""
    levels = known_levels(fitted, LEVELS)
    if not levels:
        raise ConfigError(
            "sample() needs intervals: fit with holdout='auto', on more rows where that held out too little, or "
            "head='quantile'"
        )
    said = fitted.forecast(source, origins, level=levels, future=future)
    known = [normal_score(0.5 + level / 200) for level in levels]
    drawn = np.empty(scores.shape)
    for n, h in np.ndindex(*said.mean.shape):
        lo, hi = said.lo[n, h].tolist(), said.hi[n, h].tolist()
        drawn[n, h] = between_bounds(scores[n, h], known, said.mean[n, h], lo, hi)
    return drawn


def sample_frame(
    fitted: Any, source: Any, origins: np.ndarray, paths: int, seed: int, future: np.ndarray | None
) -> Any:
    """Paths as a long frame: unique_id, ds, path, the model's name."""
    from stepahead.data.frames import to_frame  # late: polars is large

    drawn = sample_paths(fitted, source, origins, paths, seed, future)  # [N, K, H]
    n, count, horizon = drawn.shape
    panel = source.panel
    times = fitted.frequency.after(panel.times[origins], horizon)  # [N, H]
    series = panel.series_of(origins)
    ids = np.asarray(panel.ids, dtype=object)[series]
    schema = named_beside(panel.schema, ("path", fitted.config.name))
    columns = {
        schema.series: np.repeat(ids, count * horizon),
        schema.time: np.repeat(times[:, None], count, axis=1).reshape(-1),
        "path": np.tile(np.repeat(np.arange(1, count + 1), horizon), n),
        fitted.config.name: drawn.reshape(-1),
    }
    return to_frame(columns, schema)

"""Classical models as baselines: AutoETS, AutoARIMA and Theta out of statsforecast, which is imported here alone.

Each series' model is fitted once on the training part of its fold and applied, with the parameters that it has then, to
the rows up to each origin.

Legend: N origins, H steps ahead.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from stepahead.data.panel import Panel
from stepahead.errors import ConfigError, require
from stepahead.evaluate.baselines import naive

CLASSICAL = {"auto_ets": "AutoETS", "auto_arima": "AutoARIMA", "theta": "Theta"}
FEWEST = 10  # known values that a fit needs at least


def check_classical(names: Sequence[str]) -> tuple[str, ...]:
    """The names, if they are known and statsforecast is there.

    Raises: ConfigError for an unknown name; MissingExtraError without statsforecast.
    """
    if not np.iterable(names):
        raise ConfigError(f"baselines={names!r} must be a list out of {', '.join(map(repr, CLASSICAL))}")
    asked = (names,) if isinstance(names, str) else tuple(names)
    for name in asked:
        if name not in list(CLASSICAL):
            raise ConfigError(f"baselines={name!r} is not one of {', '.join(map(repr, CLASSICAL))}")
    if asked:
        models()
    return asked


def models() -> Any:
    """The module of statsforecast that holds its models.  Raises: MissingExtraError."""
    return require("statsforecast.models", extra="stats", purpose="baselines= of statsforecast")


def classical_means(
    name: str,
    panel: Panel,
    origins: np.ndarray,
    horizon: int,
    season_length: int | None,
    starts: np.ndarray,
    stops: np.ndarray,
) -> np.ndarray:
    """The forecasts of one classical model at each origin.

    name: out of CLASSICAL. origins: [N] row positions. starts, stops: [N] the training rows of each origin's series.
    Returns: [N, H]; the naive forecast where a series has too few values for a fit, or one that a model cannot take.
    Source: Hyndman and Khandakar 2008 (AutoETS, AutoARIMA); Assimakopoulos and Nikolopoulos 2000 (Theta).
    """
    found = naive(panel, origins, horizon)
    spans, group = np.unique(np.stack([starts, stops], axis=1), axis=0, return_inverse=True)
    for i, (start, stop) in enumerate(spans):
        mine = np.flatnonzero(group.reshape(-1) == i)
        said = in_one_series(name, panel.y[start:], int(stop - start), origins[mine] - start, horizon, season_length)
        found[mine] = np.where(np.isfinite(said), said, found[mine])
    return found


def in_one_series(
    name: str, y: np.ndarray, trained: int, origins: np.ndarray, horizon: int, season_length: int | None
) -> np.ndarray:
    """Forecasts [N, H] at origins of one series that begins with y and is learned from its first rows; NaN: none."""
    said = np.full((len(origins), horizon), np.nan)
    filled, first = carried(y[: int(origins.max()) + 1])
    known = filled[first:trained]
    season = season_length if season_length and len(known) > 2 * season_length else 1
    if len(known) < FEWEST:
        return said
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # statsforecast tells of constant series and of seasons too long
        try:
            model = make(name, season, positive=bool((filled[first:] > 0).all())).fit(known)
            for n, origin in enumerate(origins):
                ahead = model.predict(h=horizon) if origin == trained - 1 else None
                said[n] = (ahead or model.forward(y=filled[first : origin + 1], h=horizon))["mean"]
        except (ValueError, ZeroDivisionError, RuntimeError, np.linalg.LinAlgError):
            return np.full_like(said, np.nan)  # a series that the model cannot take
    return said


def make(name: str, season: int, *, positive: bool) -> Any:
    """An unfitted model.  A multiplicative season needs values above zero."""
    options: dict[str, Any] = {} if positive or name != "theta" else {"decomposition_type": "additive"}
    return getattr(models(), CLASSICAL[name])(season_length=season, **options)


def carried(y: np.ndarray) -> tuple[np.ndarray, int]:
    """The values with each gap filled by the last one known, and the position of the first known."""
    seen = np.maximum.accumulate(np.where(np.isnan(y), -1, np.arange(len(y))))
    first = int(np.argmax(seen >= 0)) if (seen >= 0).any() else len(y)
    return np.where(seen >= 0, y[np.maximum(seen, 0)], np.nan), first

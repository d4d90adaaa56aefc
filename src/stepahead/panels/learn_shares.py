"""How far each member is believed on each series.  PanelFitted, its training part -> Shares.

The last rows of each series are forecast from those before them, and the errors there choose.

Legend: N origins, H horizon, M members.
"""

import numpy as np

from stepahead.panels.draw import relative_losses
from stepahead.panels.feed import Source
from stepahead.panels.fitted import CHUNK, PanelFitted, not_below
from stepahead.panels.reading import Arrays
from stepahead.panels.shares import BOLD, CAUTIOUS, EQUAL, Shares, parts_by_losses, shares_by_losses

CLEARLY = 0.98  # members are believed boldly where that leaves so much of the loss
SERIES = 4000  # that this is chosen by, at most


def learn_shares(fitted: PanelFitted, source: Source) -> Shares:
    """How far each member is believed on each series that is longer than a horizon: by its losses on the last one."""
    panel, horizon = source.rows.panel, fitted.config.horizon
    series = np.flatnonzero(panel.lengths > horizon)
    if len(fitted.members) == 1 or len(series) == 0:
        return EQUAL
    origins = panel.offsets[series + 1] - 1 - horizon
    losses = [tried(fitted, source, origins[i : i + CHUNK])[0] for i in range(0, len(origins), CHUNK)]
    power = BOLD if boldness_pays(fitted, source) else CAUTIOUS
    return shares_by_losses([panel.ids[s] for s in series], np.concatenate(losses), power)


def boldness_pays(fitted: PanelFitted, source: Source) -> bool:
    """Whether bold parts by the last horizon but one foresee the last one clearly better than cautious ones."""
    panel, horizon = source.rows.panel, fitted.config.horizon
    series = np.flatnonzero(panel.lengths > 2 * horizon)
    if len(series) == 0:
        return False
    ends = panel.offsets[series[:: -(-len(series) // SERIES)] + 1] - 1
    losses = tried(fitted, source, ends - 2 * horizon)[0]
    _, said, truth = tried(fitted, source, ends - horizon)
    mixed = [np.einsum("nm,mnh->nh", parts_by_losses(losses, power), said) for power in (BOLD, CAUTIOUS)]
    bold, cautious = (relative_losses(source.yardsticks, truth, point).sum() for point in mixed)
    return bool(bold < CLEARLY * cautious)


def tried(fitted: PanelFitted, source: Source, origins: np.ndarray) -> tuple[np.ndarray, np.ndarray, Arrays]:
    """What the members would have said at these origins: losses, above zero, 1 where nothing is seen [N, M]; forecasts
    in units of each window's scale [M, N, H]; the truth.
    """
    kinds = tuple(dict.fromkeys(fitted.kinds))
    read = dict(zip(kinds, source.readings(origins, kinds), strict=True))
    truth, windows = read[kinds[0]], source.rows.windows(origins)
    said = np.stack([not_below(windows, point) for point in fitted.points(read)])
    losses = np.stack([relative_losses(source.yardsticks, truth, point) for point in said], axis=1)
    return np.where(windows.share[:, None] > 0, losses + 1e-9, 1.0), said, truth

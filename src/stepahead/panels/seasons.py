"""Which seasons, and how far to look back.  What was asked for, and the panel -> seasons, window, patch."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from stepahead.data.panel import Panel
from stepahead.data.season import find_season
from stepahead.errors import ConfigError
from stepahead.parameters import ROWS

REACH = 3  # the window spans so many of the longest season, or of the horizon
LEAST = 20  # rows of a window where no season asks for more
ENOUGH = 12  # rows of a panel for each row of a window; of fewer a regression on so many learns noise
REPEATS = 4  # of the longest season or the horizon in the rows, from which it is worth a window of its own length
PATCHES = 12  # about so many steps for the recurrent network


def seasons_of(asked: Any, panel: Panel) -> tuple[int, ...]:
    """The seasons in steps, the leading one first; empty where there is none.

    asked: a number of steps, several of them, None for none, or "auto": what the panel's frequency suggests and its
    target shows.
    Raises: ConfigError for one that is no whole number of at least 2.
    Example: `seasons_of([24, 168], panel)` is `(24, 168)`.
    """
    if isinstance(asked, str) and asked == "auto":
        return found_seasons(panel)
    if asked is None:
        return ()
    given = tuple(asked) if isinstance(asked, Sequence | np.ndarray) and not isinstance(asked, str) else (asked,)
    for season in given:
        if isinstance(season, bool) or not hasattr(season, "__index__") or not 2 <= season <= ROWS:
            raise ConfigError(f"season_length={asked!r} must be whole numbers of at least 2, 'auto' or None")
    return tuple(int(season) for season in given)


def seasons_beyond(panel: Panel, seasons: Sequence[int]) -> str | None:
    """What to say where a season is longer than every series, so that no row has one a season before it; else None."""
    rows = int(np.diff(panel.offsets).max())
    longer = [season for season in seasons if season > rows]
    if not longer:
        return None
    return (
        f"season_length={longer[0]} is more than the {rows} rows of the longest series: no two rows are a season apart"
    )


def found_seasons(panel: Panel) -> tuple[int, ...]:
    """The season that the target shows, with the longer multiples of it that the frequency suggests."""
    season = find_season(panel)
    if season is None:
        return ()
    longer = (s for s in panel.frequency.seasons if s > season and s % season == 0)
    return (season, *longer)


def window_and_patch(seasons: Sequence[int], horizon: int, rows: int) -> tuple[int, int]:
    """How many rows a forecast looks back on, and how many of them the network reads at a step.

    rows: of all series of the panel. The window is three of the longest season or of the horizon, whichever is more;
    where rows are few, as many as `enough` says. A patch is the divisor or multiple of the leading season that is
    nearest to a twelfth of the window, which is rounded up to whole patches.
    Example: `window_and_patch([24, 168], 48, 400_000)` is `(528, 48)`.
    """
    longest = max([*seasons, horizon])
    window = max(min(REACH * longest, enough(seasons, longest, rows)), LEAST)
    patch = nearest_patch(seasons[0] if seasons else 1, window / PATCHES)
    return -(-window // patch) * patch, patch


def enough(seasons: Sequence[int], longest: int, rows: int) -> int:
    """The longest window that so many rows can teach: a twelfth of them; more where a season asks for it.

    Three of the leading season where the rows hold six of it, else one; the longest once where they hold four of it.
    """
    leading = seasons[0] if seasons else 1
    leading *= REACH if rows >= 2 * REACH * leading else 1
    return max(rows // ENOUGH, leading, longest if rows >= REPEATS * longest else 0)


def patch_of(window: int) -> int:
    """The divisor of a given window that is nearest to a twelfth of it, in ratio."""
    return nearest_patch(window, window / PATCHES)


def nearest_patch(season: int, wanted: float) -> int:
    """The divisor or multiple of the season nearest to what is wanted, in ratio."""
    divisors = [d for d in range(1, season + 1) if season % d == 0]
    multiples = [season * k for k in range(2, int(2 * wanted / season) + 2)]
    return min(divisors + multiples, key=lambda p: abs(np.log(p / wanted)))

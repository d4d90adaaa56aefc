"""What the calendar says of a stamp: hour, weekday, month, holiday.  Stamps -> numbers known ahead, as the clocks
there show.

Legend: K features.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import numpy as np

from stepahead.data.calendar import HOUR
from stepahead.data.panel import Panel
from stepahead.data.zones import local_times
from stepahead.errors import ConfigError
from stepahead.limits import DAY

WAVES = (1, 2)  # harmonics of a cycle
YEAR = 365  # days: two of them, of which one may be a leap year


def clock_names(panel: Panel, holidays: Sequence[str]) -> tuple[str, ...]:
    """The features that the panel's step can tell apart and its rows can teach, "hour.sin1" say.

    A cycle that no series has gone through twice is left out: what it did once may be anything.
    Raises: ConfigError where time is counted in bare steps.
    """
    schema, frequency = panel.schema, panel.frequency
    if schema.time_kind == "integer":
        raise ConfigError(f"calendar= needs dates or timestamps; column '{schema.time}' counts steps")
    names: list[str] = []
    if frequency.unit == "us" and frequency.count < DAY and twice(panel, 1):
        names += cycle("hour")
    if (frequency.unit == "business" or (frequency.unit == "us" and frequency.count <= DAY)) and twice(panel, 7):
        names += [f"weekday.{day}" for day in range(5 if frequency.unit == "business" else 7)]
    if twice(panel, YEAR):
        names += cycle("month")
    return (*names, "holiday") if holidays else tuple(names)


def twice(panel: Panel, days: float) -> bool:
    """Whether some series has gone through so many days twice."""
    first, last = panel.times[panel.offsets[:-1]], panel.times[panel.offsets[1:] - 1]
    ends = panel.frequency.after(last, 1)[:, 0]
    return bool(((ends - first).astype(np.int64) >= 2 * int(days * DAY)).any())


def cycle(name: str) -> list[str]:
    return [f"{name}.{kind}{wave}" for wave in WAVES for kind in ("sin", "cos")]


def clock_values(times: np.ndarray, names: Sequence[str], zone: str | None, holidays: Sequence[str]) -> np.ndarray:
    """The features of stamps: times [...] datetime64[us], UTC where there is a zone -> [..., K] float64.

    holidays: ISO dates, in local time.
    """
    local = local_times(times, zone)
    days = local.astype("datetime64[D]")
    free = np.asarray(holidays, dtype="datetime64[D]")
    hour = (local - days).astype(np.int64) / HOUR
    weekday = (days.astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday
    year = days.astype("datetime64[Y]")
    season = (days - year).astype(np.int64) / 365.25
    columns = []
    for name in names:
        kind, _, part = name.partition(".")
        if kind == "holiday":
            columns.append(np.isin(days, free).astype(np.float64))
        elif kind == "weekday":
            columns.append((weekday == int(part)).astype(np.float64))
        else:
            angle = 2 * np.pi * int(part[-1]) * (hour / 24 if kind == "hour" else season)
            columns.append(np.sin(angle) if part.startswith("sin") else np.cos(angle))
    return np.stack(columns, axis=-1)


def checked_holidays(calendar: object) -> tuple[str, ...]:
    """The holidays in what was given as calendar=: True, False, or dates.

    Raises: ConfigError for something that is no date.
    """
    if isinstance(calendar, bool):
        return ()
    if isinstance(calendar, str) or not np.iterable(calendar):
        raise ConfigError(f"calendar={calendar!r} must be True, False or the dates of holidays")
    return tuple(str(day) for day in sorted({day_of(value) for value in calendar}))


def day_of(given: Any) -> date:
    """The day of a date, a stamp or ISO text; of a stamp with a zone the day there.

    Raises: ConfigError for something that is no date: a number would become a day after 1970.
    """
    value = given.astype("datetime64[us]").item() if isinstance(given, np.datetime64) else given
    try:
        value = datetime.fromisoformat(value) if isinstance(value, str) else value
        value = value.date() if isinstance(value, datetime) else value
    except ValueError:
        value = None
    if not isinstance(value, date) or isinstance(value, datetime):  # the date of pandas' NaT is NaT
        raise ConfigError(f"calendar={[given]!r} holds no date; give holidays as dates, '2024-12-25' say")
    return value

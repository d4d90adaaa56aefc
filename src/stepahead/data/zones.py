"""What the clocks of a zone show.  UTC stamps <-> local ones; 330 minutes -> "+05:30"."""

import re
from datetime import UTC, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from stepahead.limits import EPOCH
from stepahead.period import offset_minutes


def local_times(times: np.ndarray, zone: str | None) -> np.ndarray:
    """What the clocks of a zone show: UTC stamps -> local ones, daylight saving included."""
    return times + offsets(times, zone, local=False)


def utc_times(times: np.ndarray, zone: str | None) -> np.ndarray:
    """The inverse of local_times: of an hour that comes twice the first, of one that is left out the one after it."""
    return times - offsets(times, zone, local=True)


def offsets(times: np.ndarray, zone: str | None, *, local: bool) -> np.ndarray:
    """How far the clocks are ahead of UTC at these stamps, which are UTC or local: timedelta64[s]."""
    if zone is None:
        return np.zeros(times.shape, dtype="timedelta64[s]")
    try:
        region = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        return np.full(times.shape, offset_minutes(zone) * 60, dtype="timedelta64[s]")
    hours, where = np.unique(times.astype("datetime64[h]"), return_inverse=True)
    shifts = [shift_of(region, int(hour), local=local) for hour in hours.astype(np.int64)]
    return np.asarray(shifts, dtype="timedelta64[s]")[where].reshape(times.shape)


def shift_of(region: ZoneInfo, hour: int, *, local: bool) -> int:
    """Seconds that the clocks are ahead of UTC, in the hour of this number since 1970."""
    stamp = EPOCH + timedelta(hours=hour)
    known = stamp.replace(tzinfo=region) if local else stamp.replace(tzinfo=UTC).astimezone(region)
    offset = known.utcoffset()
    return 0 if offset is None else int(offset.total_seconds())


def offset_name(minutes: int) -> str:
    """'UTC', or a fixed offset such as '+05:30'."""
    sign = "-" if minutes < 0 else "+"
    return f"{sign}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}" if minutes else "UTC"


def database_zone(zone: str) -> str:
    """A zone's name for libraries that know the database alone: '+01:00' is Etc/GMT-1; half hours become UTC."""
    if not re.fullmatch(r"[+-]\d{2}:\d{2}", zone):
        return zone
    hours, rest = divmod(offset_minutes(zone), 60)
    return "UTC" if rest else f"Etc/GMT{-hours:+d}"

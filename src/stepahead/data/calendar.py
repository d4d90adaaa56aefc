"""What one step of time is.  Stamps -> Frequency -> the stamps that come next, and the seasons to try."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stepahead.data.zones import local_times, utc_times
from stepahead.limits import DAY

HOUR = DAY // 24


@dataclass(frozen=True)
class Frequency:
    """The step from one row to the next.

    unit: "step" (integers), "us" (a fixed time in microseconds), "business" (Monday to Friday), "month" (by the
    calendar). count: how many units a step is. month_end: months are counted from their last day; business: from their
    last weekday. zone: where days and
    months are those of a zone's clocks, its name: such a day may have 23 or 25 hours.
    """

    unit: str = "step"
    count: int = 1
    month_end: bool = False
    business: bool = False
    zone: str | None = None

    def after(self, last: np.ndarray, steps: int) -> np.ndarray:
        """The stamps that follow: last [S] -> [S, steps], of the same kind as last."""
        if self.zone is not None:
            return utc_times(replace(self, zone=None).after(local_times(last, self.zone), steps), self.zone)
        ahead = np.arange(1, steps + 1) * self.count
        if self.unit in ("step", "us"):
            unit: object = np.int64(1) if self.unit == "step" else np.timedelta64(1, "us")
            return last[:, None] + ahead[None, :] * unit  # type: ignore[operator]
        days = last.astype("datetime64[D]")
        within = last - days
        if self.unit == "business":
            return np.busday_offset(days[:, None], ahead[None, :], roll="backward").astype(last.dtype) + within[:, None]
        return self._months_after(days, ahead).astype(last.dtype) + within[:, None]

    def between(self, first: Any, last: Any, newest: int) -> np.ndarray | None:
        """The steps between two stamps, so many of the newest; None where `last` is no step that follows `first`."""
        apart = int((last - first).astype(np.int64))
        if self.zone is None and self.unit in ("step", "us"):
            back = np.arange(min(apart // self.count - 1, newest), 0, -1) * self.count
            return None if apart % self.count else last - back.astype((last - first).dtype)
        steps = self.after(np.array([first]), apart // self.shortest + 1)[0]
        place = int(np.searchsorted(steps, last))
        return steps[max(0, place - newest) : place] if steps[place] == last else None

    @property
    def shortest(self) -> int:
        """The least that a step can be, in microseconds or in the units of integer times."""
        if self.unit == "month":
            return 26 * DAY * self.count  # a last weekday may come two days before the month's end
        if self.unit == "business":
            return DAY * self.count
        return self.count - (2 * HOUR if self.zone else 0)

    def _months_after(self, days: np.ndarray, ahead: np.ndarray) -> np.ndarray:
        months = days.astype("datetime64[M]")
        later = months[:, None] + ahead[None, :].astype("timedelta64[M]")
        length = ((later + 1).astype("datetime64[D]") - later.astype("datetime64[D]")).astype(int)
        day = (days - months.astype("datetime64[D]")).astype(int)[:, None]
        day = length - 1 if self.month_end else np.minimum(day, length - 1)
        found = later.astype("datetime64[D]") + day
        return np.busday_offset(found, 0, roll="backward") if self.business else found

    @property
    def seasons(self) -> tuple[int, ...]:
        """Season lengths in steps that this frequency suggests, shortest first; empty when it suggests none.

        Hourly 24 and 168, daily 7, weekly 52, monthly 12, quarterly 4, business days 5; integers suggest none.
        """
        if self.unit == "business":
            return (5,)
        if self.unit == "month":
            return (12 // self.count,) if self.count < 12 and 12 % self.count == 0 else ()
        if self.unit == "step":
            return ()
        if self.count == 7 * DAY:
            return (52,)
        periods = (DAY, 7 * DAY) if self.count < DAY else (7 * DAY,)
        return tuple(p // self.count for p in periods if p % self.count == 0 and p // self.count > 1)


def infer_frequency(times: np.ndarray, offsets: np.ndarray, zone: str | None = None) -> Frequency:
    """The commonest step within the series.  times [R], offsets [S+1] -> Frequency.

    Dates on weekdays alone with a commonest step of one day are business days; stamps that keep to one day of the
    month, or to its last, or to its last weekday, step by months. A single row has no step: one unit.

    zone: of the clocks that days and months are counted by, for stamps in UTC; steps of less than a day stay in UTC.
    """
    if zone not in (None, "UTC"):
        local = local_times(times, zone)
        here, there = (infer_frequency(stamps, offsets) for stamps in (local, times))
        # Midnights in UTC are whole days there and, twice a year, none here.
        in_days = here.unit != "us" or (here.count % DAY == 0 and by_the_clock(local, offsets, times))
        return replace(here, zone=zone) if in_days else there
    steps = within_series_steps(times, offsets)
    if not np.issubdtype(times.dtype, np.datetime64):
        return Frequency("step", int(commonest(steps)) if len(steps) else 1)
    if len(steps) == 0:
        return Frequency("us", DAY)
    step = int(commonest(steps.astype(np.int64)))
    if step == DAY and len(steps) >= 5 and not weekend(times).any():
        return Frequency("business")
    return calendar_months(times, offsets) or Frequency("us", step)


def by_the_clock(local: np.ndarray, offsets: np.ndarray, times: np.ndarray) -> bool:
    """Whether as many steps are whole days by the local clock as in UTC."""
    here, there = (
        (within_series_steps(stamps, offsets).astype(np.int64) % DAY == 0).sum() for stamps in (local, times)
    )
    return bool(here >= there)


def within_series_steps(times: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Differences of neighbouring stamps, without those that cross from one series to the next."""
    steps = np.diff(times)
    crossing = np.asarray(offsets[1:-1]) - 1
    return np.delete(steps, crossing)


def commonest(values: np.ndarray) -> np.integer:
    """The most frequent value, the smaller one at a tie."""
    found, counts = np.unique(values, return_counts=True)
    return found[np.argmax(counts)]


def weekend(times: np.ndarray) -> np.ndarray:
    """Which stamps fall on Saturday or Sunday: [R] bool."""
    return ~np.is_busday(times.astype("datetime64[D]"))


def calendar_months(times: np.ndarray, offsets: np.ndarray) -> Frequency | None:
    """Months, quarters or years counted by the calendar, or None where stamps do not follow it."""
    days = times.astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    steps = within_series_steps(months.astype(np.int64), offsets)
    if (steps <= 0).any():
        return None
    from_start = (days - months.astype("datetime64[D]")).astype(int)
    from_end = ((months + 1).astype("datetime64[D]") - days).astype(int)
    count = int(commonest(steps)) if len(steps) else 1
    if (from_end == 1).all():
        return Frequency("month", count, month_end=True)
    if (days == last_weekdays(months)).all():
        return Frequency("month", count, month_end=True, business=True)
    return Frequency("month", int(commonest(steps))) if (from_start == from_start[0]).all() else None


def last_weekdays(months: np.ndarray) -> np.ndarray:
    """The last Monday to Friday of each month: datetime64[M] -> datetime64[D]."""
    return np.busday_offset((months + 1).astype("datetime64[D]") - 1, 0, roll="backward")

"""Steps that a table leaves out, and calendars that nobody knows, without a word.  Panel -> a note, or nothing.

Rows count as neighbours, however far apart they are: so that a week left out reads as no time at all.
"""

import numpy as np

from stepahead.data.calendar import Frequency
from stepahead.data.panel import Panel
from stepahead.data.steps import word_of
from stepahead.data.zones import local_times
from stepahead.limits import DAY

HOLIDAYS = 10  # business days in a row that may be free, the longest of new years, without a note
MOSTLY = 0.8  # of the steps may be the same, and the others a little longer or shorter, without a note
USUAL = 0.5  # of the steps must be the commonest one, else times keep to none


def skipped_steps(panel: Panel) -> tuple[str, ...]:
    """A note where stamps skip steps of the panel's frequency; none for integer times, or for holidays.

    Example: `skipped_steps(sa.read("sales.csv"))`
    """
    inside = within_series(panel)
    if panel.schema.time_kind == "integer" or not inside.any():
        return ()
    lengths = np.diff(panel.times).view(np.int64)
    least, most = lengths.min(where=inside, initial=np.iinfo(np.int64).max), lengths.max(where=inside, initial=0)
    even = least == most or (most < 1.5 * least and least < DAY)
    if even or (least >= 28 * DAY and most <= 31 * DAY and month_by_month(panel.times, inside)):
        return ()  # known without the frequency, which takes long of many rows, and much memory
    frequency = panel.frequency
    if most < 1.5 * least:
        return uneven(panel, frequency, inside, least // DAY, most // DAY)
    steps = steps_between(panel.times, frequency)
    left_out = np.where(inside, np.rint(steps) - 1, 0).astype(np.int64)
    left_out[left_out <= (HOLIDAYS if frequency.unit == "business" else 0)] = 0
    if not left_out.any():
        return ()
    return (say(panel, left_out, steps, inside),)


def within_series(panel: Panel) -> np.ndarray:
    """Which steps from a row to the next stay within a series: [R-1] bool."""
    inside = np.ones(max(panel.n_rows - 1, 0), dtype=bool)
    inside[panel.offsets[1:-1] - 1] = False
    return inside


def month_by_month(times: np.ndarray, inside: np.ndarray) -> bool:
    """Whether each row of a series lies in the month after that of the row before.  inside: see `say`."""
    return bool((np.diff(times.astype("datetime64[M]").astype(np.int32))[inside] == 1).all())


def usual_step(frequency: Frequency) -> float:
    """The longest time from a row to the next that leaves nothing out, in microseconds."""
    if frequency.unit == "business":
        return (HOLIDAYS + 5) * DAY  # with two weekends at the least
    return 1.5 * frequency.count * (31 * DAY if frequency.unit == "month" else 1)


def known_step(panel: Panel, frequency: Frequency) -> float:
    """The longest time from a row to the next that is nothing new to a model of these rows, in microseconds: one that
    leaves nothing out, or lies between two of them; without end where they keep to no step.
    """
    inside = within_series(panel)
    if not inside.any():
        return usual_step(frequency)
    steps, lengths = steps_between(panel.times, frequency)[inside], np.diff(panel.times).view(np.int64)[inside]
    if (np.rint(steps) == 1).mean() < USUAL:
        return np.inf
    return max(usual_step(frequency), float(lengths.max()))


def left_out_between(before: int, time: int, frequency: Frequency) -> int:
    """How many steps lie between two rows of a series, in microseconds since 1970, as the note counts them."""
    steps = steps_between(np.array([before, time]).view("datetime64[us]"), frequency)
    count = int(np.rint(steps[0])) - 1
    return 0 if frequency.unit == "business" and count <= HOLIDAYS else count


def uneven(panel: Panel, frequency: Frequency, inside: np.ndarray, least: int, most: int) -> tuple[str, ...]:
    """A note where days follow a calendar that is not known, so that forecasts will leave it; none for months, or for
    a step that most rows keep.
    """
    if frequency.unit == "month" or (steps_between(panel.times, frequency)[inside] == 1).mean() >= MOSTLY:
        return ()
    every = f"forecasts are dated {word_of(frequency)} apart"
    return (f"'{panel.schema.time}' keeps to no known calendar ({least} to {most} days from row to row); {every}",)


def say(panel: Panel, left_out: np.ndarray, steps: np.ndarray, inside: np.ndarray) -> str:
    """The note: how many, where first, what to do.  left_out, steps, inside: [R-1], between a row and the next."""
    time, whole = panel.schema.time, np.rint(steps)
    usual = float((whole == 1)[inside].mean())
    if usual < USUAL:
        return (
            f"'{time}' keeps to no step (the commonest is {usual:.0%} of them), and rows are taken for neighbours "
            f"however far apart; the panel recipe with elapsed=True reads how far"
        )
    places = np.flatnonzero(left_out)
    series = np.unique(panel.series_of(places))
    of = f" of series '{panel.ids[series[0]]}'" if panel.schema.has_series else ""
    others = f" and {len(series) - 1:,} more" if len(series) > 1 else ""
    remedy = "fit the panel recipe with elapsed=True"
    if (steps == whole)[inside].all():
        remedy = f"read with frequency='{word_of(panel.frequency)}' and fit with missing='mask', or {remedy}"
    count = f"{left_out.sum():,} {'step' if left_out.sum() == 1 else 'steps'}"
    first = np.datetime_as_string(panel.times[places[0]], unit="auto")
    return (
        f"'{time}' leaves out {count}, the first after {first}{of}{others}, and rows are taken for neighbours; {remedy}"
    )


def steps_between(times: np.ndarray, frequency: Frequency) -> np.ndarray:
    """How many steps of the frequency lie between each row and the next: [R-1] float64."""
    local = local_times(times, frequency.zone)
    if frequency.unit == "month":
        return np.diff(local.astype("datetime64[M]").astype(np.int64)) / frequency.count
    if frequency.unit == "business":
        days = local.astype("datetime64[D]")
        return np.busday_count(days[:-1], days[1:]) / frequency.count
    return np.diff(local).astype(np.int64) / frequency.count

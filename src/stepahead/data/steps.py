"""The words for a step.  "15min", "D", "W", "B", "MS" -> Frequency, and back."""

import re
from dataclasses import replace

from stepahead.data.calendar import HOUR, Frequency
from stepahead.limits import DAY

UNITS = {
    "s": Frequency("us", HOUR // 3600),
    "min": Frequency("us", HOUR // 60),
    "h": Frequency("us", HOUR),
    "D": Frequency("us", DAY),
    "W": Frequency("us", 7 * DAY),
    "B": Frequency("business"),
    "MS": Frequency("month"),
    "ME": Frequency("month", month_end=True),
    "BME": Frequency("month", month_end=True, business=True),
    "QS": Frequency("month", 3),
    "QE": Frequency("month", 3, month_end=True),
    "YS": Frequency("month", 12),
    "YE": Frequency("month", 12, month_end=True),
}


def frequency_named(word: str | int, zone: str | None = None) -> Frequency | None:
    """The step that a word (of pandas: "h", "15min", "D", "W", "B", "MS", "ME", "QE" ...) or a number of integer times
    says; None for any other word.

    zone: of the clocks that days and longer steps are counted by, None for stamps without a zone.
    """
    if isinstance(word, int):
        return Frequency("step", word)
    found = re.fullmatch(r"(\d*)([A-Za-z]+)(?:-[A-Z]{3})?", word)
    if found is None or found[2] not in UNITS or int(found[1] or 1) < 1:
        return None
    unit = UNITS[found[2]]
    by_clock = unit.unit != "us" or unit.count % DAY == 0
    own = zone if by_clock and zone != "UTC" else None
    return replace(unit, count=unit.count * int(found[1] or 1), zone=own)


def word_of(frequency: Frequency) -> str:
    """What `parse_frequency` reads as this frequency, "15min" say; "auto" for one that has no word."""
    for word, unit in reversed(UNITS.items()):
        count, rest = divmod(frequency.count, unit.count)
        if rest == 0 and replace(unit, count=frequency.count, zone=frequency.zone) == frequency:
            return word if count == 1 else f"{count}{word}"
    return "auto"

"""How a time is written that names a whole period.  "1998 Q1", "1987 Jan", "2020 W07" -> the period's first day.

English names of months, whole or by three letters; weeks are those of ISO 8601, from Monday on. The patterns are for
whole columns, too (data/periods.py), so they use what Python's and Rust's expressions have in common.
"""

import re
from datetime import date

QUARTER = r"(?i)^(?:(?P<year>[0-9]{4})[ -]?Q(?P<part>[1-4])|Q(?P<part2>[1-4])[ -/](?P<year2>[0-9]{4}))$"
MONTH = (
    r"(?i)^(?:(?P<year>[0-9]{4})[ -]?(?P<part>M[0-9]{1,2}|[a-z]{3,9})|(?P<part2>[a-z]{3,9})[ -](?P<year2>[0-9]{4}))$"
)
SPAN = r"^(?P<year>[0-9]{4}-[0-9]{2}-[0-9]{2})/(?P<part>[0-9]{4}-[0-9]{2}-[0-9]{2})$"  # pandas' weeks
WEEK = r"(?i)^(?P<year>[0-9]{4})[ -]?W(?P<part>[0-9]{1,2})$"
NAMES = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november")
NUMBERS = {word: n for n, name in enumerate((*NAMES, "december"), 1) for word in (name, name[:3])}
NUMBERS |= {"sept": 9} | {f"m{n:{width}}": n for n in range(1, 13) for width in ("", "02")}


def first_day(text: str) -> date | None:
    """The first day of the period that a time names; None where it names none."""
    text = text.strip()
    for pattern, day_of in (
        (QUARTER, lambda year, part: date(int(year), 3 * int(part) - 2, 1)),
        (WEEK, lambda year, part: date.fromisocalendar(int(year), int(part), 1)),
        (MONTH, lambda year, part: date(int(year), NUMBERS[part.lower()], 1)),
        (SPAN, lambda first, _: date.fromisoformat(first)),
    ):
        found = re.match(pattern, text)
        if found is None:
            continue
        fields = found.groupdict()
        try:
            return day_of(fields["year"] or fields["year2"], fields["part"] or fields["part2"])
        except (KeyError, ValueError):  # no such month or week
            return None
    return None

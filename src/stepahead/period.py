"""How a time is written.  ISO, "2017/03/02" and "2017-03" too; or the name of a period, "1998 Q1", "1987 Jan",
"2020 W07", which is its first day.

English names of months, whole or by three letters; weeks are those of ISO 8601, from Monday on. The patterns are for
whole columns, too (data/stamps.py, data/periods.py), so they use what Python's and Rust's expressions have in common.
"""

import re
from datetime import date, datetime, timedelta, timezone

ISO = (
    r"^([0-9]{4})[-/]([0-9]{1,2})(?:[-/]([0-9]{1,2}))?"  # year, month, day
    r"(?:[Tt ]([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,9}))?)?)?"  # hour, minute, second, fraction
    r"\s?(Z|z|UTC|[+-][0-9]{2}(?::?[0-9]{2})?)?$"  # zone
)
QUARTER = r"(?i)^(?:(?P<year>[0-9]{4})[ -]?Q(?P<part>[1-4])|Q(?P<part2>[1-4])[ -/](?P<year2>[0-9]{4}))$"
MONTH = (
    r"(?i)^(?:(?P<year>[0-9]{4})[ -]?(?P<part>M[0-9]{1,2}|[a-z]{3,9})|(?P<part2>[a-z]{3,9})[ -](?P<year2>[0-9]{4}))$"
)
SPAN = r"^(?P<year>[0-9]{4}-[0-9]{2}-[0-9]{2})/(?P<part>[0-9]{4}-[0-9]{2}-[0-9]{2})$"  # pandas' weeks
WEEK = r"(?i)^(?P<year>[0-9]{4})[ -]?W(?P<part>[0-9]{1,2})$"
NAMES = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november")
NUMBERS = {word: n for n, name in enumerate((*NAMES, "december"), 1) for word in (name, name[:3])}
NUMBERS |= {"sept": 9} | {f"m{n:{width}}": n for n in range(1, 13) for width in ("", "02")}


def iso_time(text: str) -> datetime:
    """A time as `read` takes it in a table: 2017-3-2, 2017/03/02 10:00, or 2017-03, the first of that month.

    Raises: ValueError for anything else.
    """
    found = re.match(ISO, text.strip())
    if found is None or (found[3] is None and found[4] is not None):  # a clock needs its day
        raise ValueError(f"{text!r} is no time")
    *fields, fraction, zone = found.groups()
    year, month, day, hour, minute, second = (int(field or 0) for field in fields)
    micros = int((fraction or "0").ljust(6, "0")[:6])
    return datetime(year, month, day if found[3] else 1, hour, minute, second, micros, zone_of(zone))


def zone_of(written: str | None) -> timezone | None:
    """'Z', 'UTC', '+05:30', '-0800' or '+01'."""
    return None if written is None else timezone(timedelta(minutes=offset_minutes(written)))


def offset_minutes(zone: str) -> int:
    """Minutes from UTC of 'Z', '+05:30', '-0800', 'UTC+02:00' or 'pytz.FixedOffset(330)'; 0 for any other name."""
    if fixed := re.fullmatch(r"pytz\.FixedOffset\((-?\d+)\)", zone):
        return int(fixed[1])
    parts = re.fullmatch(r"(?:UTC)?([+-])(\d{2}):?(\d{2})?(?::00)?", zone)
    if parts is None:
        return 0
    return (-1 if parts[1] == "-" else 1) * (int(parts[2]) * 60 + int(parts[3] or 0))


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

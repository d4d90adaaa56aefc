"""Fixed offsets from UTC, which have no name in the time zone database.  "+05:30" <-> 330 minutes."""

import re


def offset_minutes(zone: str) -> int:
    """Minutes from UTC of 'Z', '+05:30', '-0800', 'UTC+02:00' or 'pytz.FixedOffset(330)'."""
    if fixed := re.fullmatch(r"pytz\.FixedOffset\((-?\d+)\)", zone):
        return int(fixed[1])
    parts = re.fullmatch(r"(?:UTC)?([+-])(\d{2}):?(\d{2})?(?::00)?", zone)
    if parts is None:
        return 0
    return (-1 if parts[1] == "-" else 1) * (int(parts[2]) * 60 + int(parts[3] or 0))


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

"""Times as the service keeps them: whole numbers.  JSON -> int64 steps, or microseconds since 1970 (UTC) -> JSON."""

from datetime import UTC, datetime

import numpy as np

from stepahead.data.panel import Schema
from stepahead.limits import EPOCH, LAST_YEAR, MICROSECOND
from stepahead.period import first_day, iso_time
from stepahead.server.problems import Problem

JSON_EXACT = 2**53  # whole numbers of JSON are exact up to here


def read_time(value: object, schema: Schema) -> int:
    """The time of a row: an integer step, or ISO 8601 text, as the model's own times are.

    Raises: Problem 422 for anything else, or a stamp with a zone where the model knows none (and the reverse).
    """
    if schema.time_kind == "integer":
        return read_step(value, schema.time)
    if not isinstance(value, str):
        raise Problem(422, f"'{schema.time}': {shown(value)} is not a time; give ISO 8601 text, \"2024-05-01\" say")
    try:
        stamp = read_stamp(value, schema)
        if stamp.tzinfo is not None:
            stamp = stamp.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Problem(422, f"'{schema.time}': {shown(value)} is not a time; write it as 2024-05-01T10:00:00") from error
    if stamp.year > LAST_YEAR:
        raise Problem(422, f"'{schema.time}': {shown(value)} lies behind the year {LAST_YEAR}; correct it")
    if (stamp.tzinfo is None) != (schema.time_zone is None):
        remedy = "leave the offset out" if schema.time_zone is None else "add the offset from UTC, +00:00 say"
        raise Problem(422, f"'{schema.time}': {shown(value)} does not fit the times that the model learned; {remedy}")
    return (stamp.replace(tzinfo=None) - EPOCH) // MICROSECOND


def read_stamp(text: str, schema: Schema) -> datetime:
    """ISO 8601 as a table may have it, or the name of a period where the model's had dates.  Raises: ValueError."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        day = first_day(text) if schema.time_kind == "date" else None
        return iso_time(text) if day is None else datetime(day.year, day.month, day.day)


def read_step(value: object, name: str) -> int:
    """A step: a whole number that JSON carries exactly."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= JSON_EXACT:
        return int(value)
    raise Problem(422, f"'{name}': {shown(value)} is not a step; give a whole number of at most 2^53")


def as_stamp(time: int, schema: Schema) -> np.datetime64 | int:
    """A kept time as the library takes it."""
    return time if schema.time_kind == "integer" else np.datetime64(time, "us")


def as_number(stamp: object) -> int:
    """A time of the library, as it is kept."""
    return int(stamp.astype("datetime64[us]").astype(np.int64)) if isinstance(stamp, np.datetime64) else int(stamp)  # type: ignore[call-overload]


def as_text(time: int, schema: Schema) -> str | int:
    """A kept time as JSON: a step, or ISO 8601 with Z where the model knows a zone."""
    if schema.time_kind == "integer":
        return time
    text = (EPOCH + time * MICROSECOND).isoformat()
    return text if schema.time_zone is None else f"{text}Z"


def shown(value: object) -> str:
    """A value of the client's in a message: short, on one line."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."

"""Names that a JSON body gives twice.  Decoders keep the last one in silence; a row of two prices is a mistake.

A count of names in the bytes beside the count of names that were decoded says in most cases that there are none; else
the body is read again, name by name.
"""

import json
import re
from typing import Any

from msgspec import UNSET

from stepahead.server.problems import Problem
from stepahead.server.schema import Bulk, Observations, WarmUp

NAME = re.compile(rb'"\s*:')  # what ends a name; within a text it can stand too, so that there are never too few
TABLES = (WarmUp, Observations, Bulk)


def refuse_twice(raw: bytes | bytearray, body: Any) -> None:
    """Raise Problem 422 where a body of rows or columns names anything twice.  body: as it was decoded from raw."""
    if not isinstance(body, TABLES) or (b"\\" not in raw and len(NAME.findall(raw)) <= names_in(body)):
        return
    json.loads(raw, object_pairs_hook=each_once)


def names_in(body: Any) -> int:
    """How many names were decoded, at least: one that was left out and has a value all the same counts for none."""
    count = 0
    for field in body.__struct_fields__:
        value = getattr(body, field)
        if value is UNSET or value is False:
            continue
        count += 1
        if isinstance(value, dict):
            count += len(value)
        elif isinstance(value, list) and isinstance(value[0], dict):
            count += sum(map(len, value))
    return count


def each_once(pairs: list[tuple[str, Any]]) -> None:
    """Raise Problem 422 where a name is there twice in one object."""
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise Problem(422, f"the body names '{twice:.40}' twice in one object; give it once")

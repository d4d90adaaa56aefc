"""What one request does to one series, and the step that does it.  Rows -> Plan -> a Stream that moved on."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from stepahead.data.panel import preview
from stepahead.errors import StepaheadError
from stepahead.runtime.stream import push_many
from stepahead.server.models import Served
from stepahead.server.problems import Problem
from stepahead.server.rows import RowReader
from stepahead.server.times import as_stamp, as_text


@dataclass(eq=False, slots=True)
class Live:
    """A series in memory. unsaved: rows behind the state that is in the store."""

    number: int
    name: str
    served: Served
    digest: bytes
    stream: Any
    rows: int
    cutoff: int
    unsaved: int = 0


@dataclass(eq=False)
class Plan:
    """What one request does to one series. new: (time, packed) to take in; repeated: rows that were there already."""

    live: Live
    new: list[tuple[int, bytes]]
    repeated: int = 0


def known_ahead(reader: RowReader, rows: Sequence[Any], future: Sequence[Any] | None) -> list[Sequence[float]]:
    """The known inputs of the H steps after each row: those of the rows behind it, then `future`.

    Raises: Problem 422 where these are too few, or the model takes none.
    """
    names = reader.schema.future
    if not names:
        if future:
            raise Problem(422, "future: the model has no inputs known ahead; leave it out")
        return [()] * len(rows)
    if len(future or ()) != reader.horizon:
        raise Problem(422, f"future: give a row with {preview(names)} for each of the next {reader.horizon} steps")
    known = [reader.known(row) for row in [*rows, *(future or ())]]
    return [list(chain(*known[i + 1 : i + 1 + reader.horizon])) for i in range(len(rows))]


def push_together(plans: Sequence[Plan], rows: Sequence[Any]) -> dict[int, Problem]:
    """One row to each stream of one model: in one call of the kernel, or one by one where that is refused.

    Returns: what was refused, by id of its plan; its stream stays as it was.
    """
    refused: dict[int, Problem] = {}
    if len(plans) > 1 and not plans[0].live.served.reader.schema.future:
        try:
            push_many([plan.live.stream for plan in plans], rows)
            return refused
        except StepaheadError:  # raised before any stream has changed
            pass
    for plan, row in zip(plans, rows, strict=True):
        try:
            plan.live.stream.push(row, future=plan.live.served.reader.future(plan.new[0][1]))
        except StepaheadError as error:
            refused[id(plan)] = Problem(422, str(error))
    return refused


def push_several(reader: RowReader, stream: Any, rows: Sequence[tuple[int, bytes]]) -> None:
    """Some rows of one series, checked and then taken in at once. Raises: StepaheadError."""
    if reader.schema.future:
        for time, packed in rows:
            stream.push(reader.mapping(time, packed), future=reader.future(packed))
        return
    checked: list[Any] = []
    for time, packed in rows:
        after = checked[-1].time if checked else None
        checked.append(stream.read(reader.packer.unpack(packed), as_stamp(time, reader.schema), after))
    stream.push_rows(checked)


def check_repeated(old: dict[int, bytes], there: dict[int, bytes], live: Live) -> None:
    """Raise Problem 409 unless these rows are there already, as they are."""
    schema = live.served.reader.schema
    for time, packed in old.items():
        if time not in there:
            late, last = as_text(time, schema), as_text(live.cutoff, schema)
            raise Problem(409, f"the row at {late} comes after the one at {last}; rows must come in order")
        if there[time] != packed:
            raise conflict(time, live)


def conflict(time: int, live: Live) -> Problem:
    where = as_text(time, live.served.reader.schema)
    return Problem(409, f"there is another row at {where} already; a row that was answered is not changed")

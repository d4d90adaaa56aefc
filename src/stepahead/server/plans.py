"""What one request does to one series, and the step that does it.  Rows -> SeriesPlan -> a Stream that moved on."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from stepahead.data.panel import preview
from stepahead.errors import StepaheadError
from stepahead.runtime.rows import Row
from stepahead.runtime.stream import advance
from stepahead.server.models import Served
from stepahead.server.problems import Problem
from stepahead.server.rows import RowReader
from stepahead.server.times import as_text


@dataclass(eq=False, slots=True)
class LiveSeries:
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
class SeriesPlan:
    """What one request does to one series. new: (time, packed) to take in; repeated: rows that were there already."""

    live: LiveSeries
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


def push_together(plans: Sequence[SeriesPlan]) -> dict[int, Problem]:
    """The first new row of each plan to its stream, all of one model: in one call of the kernel, or one by one where
    that is refused.

    Returns: what was refused, by id of its plan; its stream stays as it was.
    """
    refused: dict[int, Problem] = {}
    if not plans[0].live.served.reader.schema.future:
        try:
            checked = [read_row(plan.live, *plan.new[0]) for plan in plans]
            advance([plan.live.stream for plan in plans], checked)
            return refused
        except StepaheadError:  # raised before any stream has changed
            pass
    for plan in plans:
        try:
            push_several(plan.live, plan.new[:1])
        except StepaheadError as error:
            refused[id(plan)] = Problem(422, str(error))
    return refused


def push_several(live: LiveSeries, rows: Sequence[tuple[int, bytes]]) -> None:
    """Some rows of one series, checked and then taken in at once. Raises: StepaheadError."""
    reader, stream = live.served.reader, live.stream
    if reader.schema.future:
        for time, packed in rows:
            stream.push(reader.mapping(time, packed), future=reader.future(packed))
        return
    before = [stream.last_time, *(time for time, _ in rows[:-1])]
    checked = [read_row(live, time, packed, after) for (time, packed), after in zip(rows, before, strict=True)]
    stream.push_rows(checked, tell=False)


def read_row(live: LiveSeries, time: int, packed: bytes, after: int | None = None) -> Row:
    """A kept row as a stream without inputs known ahead takes it. after: the time of the row before it, if not the
    stream's last.  Raises: StepaheadError.
    """
    return live.stream.read_at(time, live.served.reader.packer.unpack(packed), after)


def check_repeated(old: dict[int, bytes], there: dict[int, bytes], live: LiveSeries) -> None:
    """Raise Problem 409 unless these rows are there already, as they are."""
    reader, schema = live.served.reader, live.served.reader.schema
    for time, packed in old.items():
        if time not in there:
            late, last = as_text(time, schema), as_text(live.cutoff, schema)
            raise Problem(409, f"the row at {late} comes after the one at {last}; rows must come in order")
        if reader.own(there[time]) != reader.own(packed):
            raise conflict(time, live)


def conflict(time: int, live: LiveSeries) -> Problem:
    where = as_text(time, live.served.reader.schema)
    return Problem(409, f"there is another row at {where} already; a row that was answered is not changed")

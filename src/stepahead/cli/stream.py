"""stepahead stream: a model and a pipe -> a forecast for each row that comes."""

import json as json_text
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from itertools import groupby, repeat
from math import inf, isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stepahead.cli import options as o
from stepahead.cli.shell import check_standard_input
from stepahead.errors import ConfigError, DataError, ModelFileError, StepaheadError

if TYPE_CHECKING:
    from stepahead.cli.pipe import Cells, Lines
    from stepahead.forecaster import Forecaster
    from stepahead.runtime.rows import Row
    from stepahead.runtime.stream import Stream

Model = Annotated[Path, typer.Argument(metavar="MODEL", help="File that stepahead fit wrote.")]
State = Annotated[Path | None, o.option("--state", "File that keeps where the stream stands, over restarts.")]
Series = Annotated[str | None, o.option("--series", "The series whose rows come [the one that the model knows].")]
Level = Annotated[
    Any, o.option("--level", "Coverage of intervals in percent: 80,95 [those].", parser=o.numbers, metavar="PERCENT")
]


Json = Annotated[bool, o.option("--json", "Write JSON lines, whatever the rows come in.")]


def stream(
    model: Model,
    state: State = None,
    series: Series = None,
    level: Level = None,
    time_format: o.TimeFormat = None,
    json: Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Read rows from standard input, CSV with a header or JSON lines; write the forecast that follows each, likewise.

    \b
    tail -f prices.csv | stepahead stream goog.safetensors
    stepahead stream goog.safetensors --state goog.state < new.csv > forecasts.csv
    """
    from stepahead.cli.lock import only_writer
    from stepahead.cli.pipe import Rows
    from stepahead.store import why_not

    forecaster = o.forecaster_of(model)
    schema = forecaster.fitted_.schema
    if schema.future:
        raise ConfigError(f"{model}: needs inputs known ahead, which a pipe cannot give; use Stream.push(future=)")
    check_standard_input()
    if state is not None and (problem := why_not(state)) is not None:
        raise ConfigError(f"--state {state}: {problem}")
    rows = Rows(0, schema, schema.past, whole=state is not None, time_format=time_format)
    with nullcontext() if state is None else only_writer(state):
        live = Pipe(forecaster, series, level, state, quiet=quiet)
        try:
            for chunk in rows:
                live.take(chunk, "json" if json else rows.form)
                if rows.ignored and not quiet:
                    typer.echo(f"note: left out {', '.join(rows.ignored[:12])}: no column of the model", err=True)
                    quiet = True
        except BrokenPipeError:  # the reader has gone: nothing more to say, and no complaint at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit from None
    if live.passed and not quiet:
        typer.echo(f"note: {live.passed} rows were taken in before, by the state file{live.unknown()}", err=True)
    if rows.problem:
        raise rows.problem


class Pipe:
    """The streams behind a pipe: rows in, lines out, the state on disk before a line is written."""

    def __init__(
        self, forecaster: "Forecaster", series: str | None, level: Any, state: Path | None, *, quiet: bool
    ) -> None:
        self.forecaster, self.series, self.level, self.state = forecaster, series, level, state
        self.usual = inf if quiet else self._usual_step()
        self.passed = self.not_compared = self.kept = 0
        self.streams: dict[str, Stream] = {}
        self.restored: dict[str, dict[int, Sequence[float]]] = {}  # series -> time -> values of the rows it keeps
        self.form = ""
        self.answers: dict[tuple[str, int], str] = {}  # (series, time) -> what the last chunk before a restart answered
        self._told: list[tuple[str, int, str]] = []  # series, time and answer of each row of this chunk
        self._moved = False
        self._lines: Lines | None = None
        if state is not None and state.exists():
            self._restore(state)

    def take(self, chunk: "Sequence[Cells]", form: str) -> None:
        """Push rows, make them last, and write what follows from them.

        Raises: DataError naming the line of a row that cannot be taken; the rows before it are done.
        """
        out: list[str] = []
        self._told = []
        problem: StepaheadError | None = None
        for name, group in groupby(chunk, lambda cells: cells.series):
            together = list(group)
            try:
                stream = self._stream(name)
            except DataError as error:
                problem = DataError(f"standard input, line {together[0].line}: {error}")
                break
            try:
                problem = self._push(stream, together, form, out)
            except StepaheadError as error:
                problem = error
            if problem:
                break
        if self.state is not None and self._moved:
            self._save(self.state, form)
            self._moved = False
        sys.stdout.write("".join(out))
        sys.stdout.flush()
        if problem:
            raise problem

    def _push(self, stream: "Stream", group: "Sequence[Cells]", form: str, out: list[str]) -> StepaheadError | None:
        """The rows of one series that follow one another; the first problem, if there is one."""
        rows: list[Any] = []
        problem: StepaheadError | None = None
        for cells in group:
            try:
                if not rows and stream.series in self.restored and self._is_old(stream, cells, form, out):
                    continue
                rows.append(stream.read(cells.values, cells.time, rows[-1].time if rows else None))
            except StepaheadError as error:
                problem = DataError(f"standard input, line {cells.line}: {error}")
                break
        if not rows:
            return problem
        self._moved = True
        if self.usual < inf:
            self._notice(stream, rows)
        lines = self._writer(stream, form, out)
        for row, bounds in zip(rows, stream.push_rows(rows), strict=True):
            out.append(
                lines.csv(stream.series, row.time, bounds) if form == "csv" else lines.json(stream, row.time, bounds)
            )
        if self.state is not None:
            self._told += zip(repeat(stream.series), [row.time for row in rows], out[-len(rows) :], strict=False)
        return problem

    def _usual_step(self) -> float:
        """How far a row may lie behind the one before it, in microseconds, without a word; whatever it may be where
        the model reads how far, knows no dates, has a row at each step, or goes on from rows that keep to no step.
        """
        from stepahead.data.skipped import known_step

        fitted = self.forecaster.fitted_
        knows = fitted.config.elapsed or fitted.schema.time_kind == "integer" or fitted.schema.grid is not None
        return inf if knows else known_step(self.forecaster.panel_, fitted.frequency)

    def _notice(self, stream: "Stream", rows: "Sequence[Row]") -> None:
        """Say, once, where rows leave steps out."""
        from stepahead.data.skipped import left_out_between

        before, door = stream.last_time, stream.door
        for row in rows:
            if row.time - before > self.usual and (count := left_out_between(before, row.time, door.frequency)) > 0:
                steps = "1 step" if count == 1 else f"{count:,} steps"
                where = f"{door.schema.time} {door.text_of(row.time)} leaves out {steps} since {door.text_of(before)}"
                remedy = "send each step, or fit with --frequency"
                typer.echo(f"note: {where}, and rows are taken for neighbours; {remedy}", err=True)
                self.usual = inf
                return
            before = row.time

    def _is_old(self, stream: "Stream", cells: "Cells", form: str, out: list[str]) -> bool:
        """Whether a row was taken in before a restart; what may not have been written then is answered again.

        Raises: DataError where it differs from the one that was taken in.
        """
        if cells.time is None:  # the next step, whatever it holds; what comes after it is new, too
            del self.restored[stream.series]
            return False
        door, last = stream.door, stream.last_time
        time = door.time_of(cells.time, stream.series)
        if time > last:
            del self.restored[stream.series]
            return False
        self._compare(stream, door.seen_at(time, cells.values, stream.series))
        self.passed += 1
        answer = self.answers.get((stream.series, time)) if form == self.form else None
        if answer is None and time == last and stream.present is not None:
            lines, present = self._writer(stream, form, out), stream.present
            answer = lines.csv(stream.series, last, present) if form == "csv" else lines.json(stream, last, present)
        if answer is not None:
            self._writer(stream, form, out)
            out.append(answer)
            self._told.append((stream.series, time, answer))
        return True

    def _compare(self, stream: "Stream", row: "Row") -> None:
        """Raise DataError where the state knows another row at this time, or that there was none."""
        known, door = self.restored[stream.series], stream.door
        if not known:
            tail = stream.kept()
            known.update(zip(tail.times.tolist(), tail.past.tolist(), strict=True))
        where = f"series '{stream.series}': {door.schema.time} {door.text_of(row.time)}"
        if row.time < next(iter(known)):  # the oldest
            self.not_compared, self.kept = self.not_compared + 1, len(known)
        elif row.time not in known:
            raise DataError(
                f"{where} comes after the row at {door.text_of(stream.last_time)}, and is none of those taken in; "
                "send rows in the order of time"
            )
        else:
            for name, new, old in zip(door.schema.past, row.past, known[row.time], strict=True):
                if new != old and not (isnan(new) and isnan(old)):
                    raise DataError(
                        f"{where}: column '{name}' is {new!r}, but the row that was taken in has {old!r}; "
                        "a row that was answered is not changed"
                    )

    def unknown(self) -> str:
        """The end of the note on rows that were taken in before: how many of them nobody could hold against any."""
        if not self.not_compared:
            return ""
        return f"; {self.not_compared} of them are older than the {self.kept} rows that it keeps, and were not compared"

    def _writer(self, stream: "Stream", form: str, out: list[str]) -> "Lines":
        from stepahead.cli.pipe import Lines

        if self._lines is None:
            door = stream.door
            self._lines = Lines(stream, door.schema, door.text_of, door.times_after)
            out.extend([self._lines.header()] if form == "csv" else [])
        return self._lines

    def _stream(self, name: str | None) -> "Stream":
        """The stream of a series, begun where the model's own rows end."""
        from stepahead.data.panel import preview

        known = self.forecaster.panel_.ids
        wanted = name or self.series or (known[0] if len(known) == 1 else None)
        if wanted is None:
            raise DataError(f"the model knows {len(known)} series; name one with --series, or give the rows a column")
        if wanted not in self.streams:
            if wanted not in known:
                raise DataError(f"no series '{wanted}'; the model knows {preview(known)}")
            level = "auto" if self.level is None else self.level
            self.streams[wanted] = self.forecaster.stream(series=wanted, level=level)
        return self.streams[wanted]

    def _restore(self, path: Path) -> None:
        try:
            self._read(path)
        except ModelFileError as error:
            what, _, remedy = str(error).removeprefix("snapshot: ").removeprefix(f"{path}: ").partition("; ")
            if "anew" in remedy or "saved" in remedy:
                remedy = "take a copy of it that is whole, or delete it and send the rows again"
            raise ModelFileError(f"{path}: {what}; {remedy}") from error
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, StepaheadError):
                raise
            what = "does not hold what a state holds"
            raise ModelFileError(f"{path}: {what}; delete it and send the rows again") from error

    def _read(self, path: Path) -> None:
        from stepahead import store

        tensors, config = store.load(path)
        if config.get("kind") != "streams":
            raise ModelFileError(f"{path}: is no file that stepahead stream --state wrote; give another name")
        answers = tensors.pop("answers", None)
        if answers is not None:
            self.form = config["form"]
            self.answers = {(name, time): answer for name, time, answer in json_text.loads(answers.tobytes())}
        for snapshot in tensors.values():
            stream = self.forecaster.restore(snapshot.tobytes())
            self.streams[stream.series] = stream
            self.restored[stream.series] = {}
            there = stream.level
            if self.level is None:
                self.level = there  # of series that join, too
            elif tuple(sorted(set(self.level))) != there:
                raise ConfigError(
                    f"--level {o.typed(self.level)}: {path} keeps a stream whose levels are "
                    f"{o.typed(list(there))}; leave --level out, or name a new state file"
                )

    def _save(self, path: Path, form: str) -> None:
        """All streams and the answers that are not written yet, in one step, on disk when it returns."""
        import numpy as np

        from stepahead import store

        parts = {str(i): stream.snapshot() for i, stream in enumerate(self.streams.values())}
        parts["answers"] = json_text.dumps(self._told).encode()
        tensors = {name: np.frombuffer(part, np.uint8) for name, part in parts.items()}
        store.save(path, tensors, {"kind": "streams", "form": form})

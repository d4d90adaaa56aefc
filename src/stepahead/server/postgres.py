"""The store in a PostgreSQL server.  The same tables and the same promises as SQLite's; a lost connection is made anew.

An advisory lock of the database keeps a second server away. It outlives a killed client until its backend has ended,
and with it any commit that was on its way: who holds the lock reads what is final.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from stepahead.errors import ConfigError
from stepahead.server.store import KEYS_KEPT, Changes, Kept, Line, StoreFailed

VERSION = 1
LOCK = 0x73746570  # "step"
LOCK_SECONDS = 10.0  # that the backend of a killed server is given to end
COPIED = 100  # rows from which COPY is quicker
SCHEMA = """
CREATE SCHEMA stepahead;
CREATE TABLE stepahead.version (version integer NOT NULL);
CREATE TABLE stepahead.series (
  number bigint PRIMARY KEY, name text COLLATE "C" NOT NULL UNIQUE, model text NOT NULL, mark bigint NOT NULL,
  digest bytea NOT NULL, rows bigint NOT NULL, cutoff bigint NOT NULL);
CREATE TABLE stepahead.states (number bigint PRIMARY KEY, state bytea NOT NULL, state_time bigint NOT NULL);
CREATE TABLE stepahead.observations (
  number bigint NOT NULL, time bigint NOT NULL, packed bytea NOT NULL, PRIMARY KEY (number, time));
CREATE TABLE stepahead.keys (
  number bigint NOT NULL, key text NOT NULL, digest bytea NOT NULL, answer bytea NOT NULL, at bigint NOT NULL,
  PRIMARY KEY (number, key));
CREATE INDEX keys_at ON stepahead.keys (at);
"""
SETTINGS = {
    "connect_timeout": "10",
    "application_name": "stepahead",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "options": "-c synchronous_commit=on -c statement_timeout=60s",
}


class Postgres:
    """A Store in a database."""

    quick = False  # it lies behind a network, and may be long in answering

    def __init__(self, url: str, connection: psycopg.Connection[Any], *, writes: bool) -> None:
        self.url = url
        self.writes = writes
        self.connection = connection

    @classmethod
    def open(cls, url: str) -> "Postgres":
        try:
            store = cls(url, connect(url, writes=True), writes=True)
            prepare(store.connection)
        except (psycopg.Error, StoreFailed) as error:
            line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise ConfigError(f"--store postgresql://...: {line}") from error
        return store

    def reader(self) -> "Postgres":
        return Postgres(self.url, connect(self.url, writes=False), writes=False)

    def find(self, name: str) -> Kept | None:
        found = self._rows(
            "SELECT number, name, model, mark, digest, rows, cutoff, state, state_time "
            "FROM stepahead.series JOIN stepahead.states USING (number) WHERE name = %s",
            (name,),
        )
        return Kept(*found[0]) if found else None

    def since(self, number: int, time: int) -> list[tuple[int, bytes]]:
        query = "SELECT time, packed FROM stepahead.observations WHERE number = %s AND time > %s ORDER BY time"
        return self._rows(query, (number, time))

    def at(self, number: int, times: Sequence[int]) -> dict[int, bytes]:
        query = "SELECT time, packed FROM stepahead.observations WHERE number = %s AND time = ANY(%s)"
        return dict(self._rows(query, (number, list(times))))

    def last(self, number: int, most: int) -> list[tuple[int, bytes]]:
        query = "SELECT time, packed FROM stepahead.observations WHERE number = %s ORDER BY time DESC LIMIT %s"
        return self._rows(query, (number, most))[::-1]

    def key(self, number: int, key: str) -> tuple[bytes, bytes] | None:
        found = self._rows("SELECT digest, answer FROM stepahead.keys WHERE number = %s AND key = %s", (number, key))
        return found[0] if found else None

    def lines(self, after: str, most: int) -> list[Line]:
        query = "SELECT name, model, mark, rows, cutoff FROM stepahead.series WHERE name > %s ORDER BY name LIMIT %s"
        return [Line(*row) for row in self._rows(query, (after, most))]

    def next_number(self) -> int:
        return int(self._rows("SELECT coalesce(max(number), 0) + 1 FROM stepahead.series")[0][0])

    def commit(self, changes: Changes) -> None:
        with self._failing() as connection, connection.transaction(), connection.cursor() as cursor:
            write(cursor, changes)

    def close(self) -> None:
        self.connection.close()

    def _rows(self, query: Any, values: Sequence[Any] = ()) -> list[Any]:
        with self._failing() as connection:
            return connection.execute(query, values).fetchall()

    @contextmanager
    def _failing(self) -> Iterator[psycopg.Connection[Any]]:
        """The connection, made anew where it was lost; what goes wrong becomes StoreFailed."""
        try:
            if self.connection.closed:
                self.connection = connect(self.url, writes=self.writes)
            yield self.connection
        except psycopg.Error as error:
            if isinstance(error, psycopg.OperationalError):
                self.connection.close()
            raise StoreFailed(str(error).strip()) from error


def connect(url: str, *, writes: bool) -> psycopg.Connection[Any]:
    """A connection; one that writes holds the lock. Raises: StoreFailed where another server has it."""
    connection = psycopg.connect(url, autocommit=True, **SETTINGS)  # type: ignore[arg-type]
    if not writes:
        connection.execute("SET default_transaction_read_only = on")
        return connection
    deadline = time.monotonic() + LOCK_SECONDS
    while not connection.execute("SELECT pg_try_advisory_lock(%s)", (LOCK,)).fetchone()[0]:  # type: ignore[index]
        if time.monotonic() > deadline:
            connection.close()
            raise StoreFailed("another server writes to this database; stop that one, or name another")
        time.sleep(0.05)
    return connection


def prepare(connection: psycopg.Connection[Any]) -> None:
    """The tables, where there are none. Raises: StoreFailed for those of another version."""
    if connection.execute("SELECT to_regclass('stepahead.version')").fetchone()[0] is None:  # type: ignore[index]
        with connection.transaction():
            connection.execute(SCHEMA)
            connection.execute("INSERT INTO stepahead.version VALUES (%s)", (VERSION,))
    found = connection.execute("SELECT version FROM stepahead.version").fetchone()
    if found is None or found[0] != VERSION:
        raise StoreFailed(f"the database's tables are of version {found and found[0]}, not {VERSION}; name another")


def write(cursor: psycopg.Cursor[Any], changes: Changes) -> None:
    """All of the changes; the caller's transaction holds them together."""
    for table in ("observations", "states", "keys", "series") if changes.deleted else ():
        delete = sql.SQL("DELETE FROM {} WHERE number = ANY(%s)").format(sql.Identifier("stepahead", table))
        cursor.execute(delete, (changes.deleted,))
    new = [(k.number, k.name, k.model, k.mark, k.digest, k.rows, k.cutoff) for k in changes.created]
    insert(cursor, "series", new)
    insert(cursor, "states", [(k.number, k.state, k.state_time) for k in changes.created])
    insert(cursor, "observations", changes.rows)
    update(
        cursor,
        "UPDATE stepahead.series AS s SET rows = n.rows, cutoff = n.cutoff FROM "
        "unnest(%s::bigint[], %s::bigint[], %s::bigint[]) AS n(number, rows, cutoff) WHERE s.number = n.number",
        [(number, *head) for number, head in changes.heads.items()],
    )
    update(
        cursor,
        "UPDATE stepahead.states AS s SET state = n.state, state_time = n.at FROM "
        "unnest(%s::bigint[], %s::bytea[], %s::bigint[]) AS n(number, state, at) WHERE s.number = n.number",
        [(number, *state) for number, state in changes.states.items()],
    )
    if changes.keys:
        cursor.execute("DELETE FROM stepahead.keys WHERE at < %s", (changes.keys[-1][-1] - KEYS_KEPT,))
        insert(cursor, "keys", changes.keys)


def insert(cursor: psycopg.Cursor[Any], table: str, rows: Sequence[Sequence[Any]]) -> None:
    """Rows into a table: by COPY where there are many."""
    if not rows:
        return
    name = sql.Identifier("stepahead", table)
    if len(rows) < COPIED:
        marks = sql.SQL(", ").join([sql.Placeholder()] * len(rows[0]))
        cursor.executemany(sql.SQL("INSERT INTO {} VALUES ({})").format(name, marks), rows)
        return
    with cursor.copy(sql.SQL("COPY {} FROM STDIN").format(name)) as copy:
        for row in rows:
            copy.write_row(row)


def update(cursor: psycopg.Cursor[Any], query: Any, rows: Sequence[Sequence[Any]]) -> None:
    """One statement for many rows: columns as arrays."""
    if rows:
        cursor.execute(query, [list(column) for column in zip(*rows, strict=True)])

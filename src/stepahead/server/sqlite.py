"""The store in a file: SQLite in WAL mode.  synchronous=FULL: a commit returns when its pages are on disk."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from stepahead.errors import ConfigError
from stepahead.server.store import KEYS_KEPT, Changes, Kept, Line, StoreFailed

VERSION = 1
SCHEMA = """
CREATE TABLE series (
  number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, model TEXT NOT NULL, mark INTEGER NOT NULL,
  digest BLOB NOT NULL, rows INTEGER NOT NULL, cutoff INTEGER NOT NULL);
CREATE TABLE states (number INTEGER PRIMARY KEY, state BLOB NOT NULL, state_time INTEGER NOT NULL);
CREATE TABLE observations (
  number INTEGER NOT NULL, time INTEGER NOT NULL, packed BLOB NOT NULL, PRIMARY KEY (number, time)) WITHOUT ROWID;
CREATE TABLE keys (
  number INTEGER NOT NULL, key TEXT NOT NULL, digest BLOB NOT NULL, answer BLOB NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY (number, key)) WITHOUT ROWID;
CREATE INDEX keys_at ON keys (at);
"""
AT_ONCE = 500  # values in one IN (...)


class SQLite:
    """A Store in one file; the file beside it, ending in .lock, keeps a second server away."""

    quick = True

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: IO[bytes] | None) -> None:
        self.path = path
        self.connection = connection
        self.lock = lock

    @classmethod
    def open(cls, path: str) -> "SQLite":
        file = Path(path)
        if file.is_dir():
            raise ConfigError(f"--store {file}: is a folder; name a file")
        if file.exists() and not os.access(file, os.W_OK):
            raise ConfigError(f"--store {file}: is read-only; make it writable, or name another file")
        try:
            lock = open(f"{file}.lock", "ab")  # noqa: SIM115  held as long as the store is open
        except OSError as error:
            raise ConfigError(f"--store {file}: cannot be written ({error.strerror}); name another file") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            raise ConfigError(f"--store {file}: another server writes to it; stop that one, or name another") from error
        try:
            connection = connect(file)
            prepare(connection, file)
        except sqlite3.Error as error:
            lock.close()
            raise ConfigError(f"--store {file}: {why(error)}; name another file") from error
        return cls(file, connection, lock)

    def reader(self) -> "SQLite":
        connection = connect(self.path)
        connection.execute("PRAGMA query_only = ON")
        return SQLite(self.path, connection, None)

    def find(self, name: str) -> Kept | None:
        found = self._rows(
            "SELECT number, name, model, mark, digest, rows, cutoff, state, state_time "
            "FROM series JOIN states USING (number) WHERE name = ?",
            (name,),
        )
        return Kept(*found[0]) if found else None

    def since(self, number: int, time: int) -> list[tuple[int, bytes]]:
        return self._rows(
            "SELECT time, packed FROM observations WHERE number = ? AND time > ? ORDER BY time", (number, time)
        )

    def at(self, number: int, times: Sequence[int]) -> dict[int, bytes]:
        found: dict[int, bytes] = {}
        for start in range(0, len(times), AT_ONCE):
            part = times[start : start + AT_ONCE]
            marks = ", ".join("?" * len(part))
            query = f"SELECT time, packed FROM observations WHERE number = ? AND time IN ({marks})"
            found.update(self._rows(query, (number, *part)))
        return found

    def last(self, number: int, most: int) -> list[tuple[int, bytes]]:
        query = "SELECT time, packed FROM observations WHERE number = ? ORDER BY time DESC LIMIT ?"
        return self._rows(query, (number, most))[::-1]

    def key(self, number: int, key: str) -> tuple[bytes, bytes] | None:
        found = self._rows("SELECT digest, answer FROM keys WHERE number = ? AND key = ?", (number, key))
        return found[0] if found else None

    def lines(self, after: str, most: int) -> list[Line]:
        query = "SELECT name, model, mark, rows, cutoff FROM series WHERE name > ? ORDER BY name LIMIT ?"
        return [Line(*row) for row in self._rows(query, (after, most))]

    def next_number(self) -> int:
        return int(self._rows("SELECT coalesce(max(number), 0) + 1 FROM series")[0][0])

    def commit(self, changes: Changes) -> None:
        with self._failing():
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                self._write(changes)
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        self.connection.close()
        if self.lock is not None:
            self.lock.close()

    def _write(self, changes: Changes) -> None:
        many = self.connection.executemany
        for table in ("observations", "states", "keys", "series"):
            many(f"DELETE FROM {table} WHERE number = ?", [(number,) for number in changes.deleted])
        new = [(k.number, k.name, k.model, k.mark, k.digest, k.rows, k.cutoff) for k in changes.created]
        many("INSERT INTO series VALUES (?, ?, ?, ?, ?, ?, ?)", new)
        many("INSERT INTO states VALUES (?, ?, ?)", [(k.number, k.state, k.state_time) for k in changes.created])
        many("INSERT INTO observations VALUES (?, ?, ?)", changes.rows)
        heads = [(rows, cutoff, number) for number, (rows, cutoff) in changes.heads.items()]
        many("UPDATE series SET rows = ?, cutoff = ? WHERE number = ?", heads)
        states = [(state, time, number) for number, (state, time) in changes.states.items()]
        many("UPDATE states SET state = ?, state_time = ? WHERE number = ?", states)
        if changes.keys:
            self.connection.execute("DELETE FROM keys WHERE at < ?", (changes.keys[-1][-1] - KEYS_KEPT,))
            many("INSERT INTO keys VALUES (?, ?, ?, ?, ?)", changes.keys)

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._failing():
            return self.connection.execute(query, values).fetchall()

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreFailed(str(error)) from error


def why(error: sqlite3.Error) -> str:
    """Why a file cannot be opened as a store."""
    foreign = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_NOTADB) == sqlite3.SQLITE_NOTADB
    return f"is no store of stepahead's ({error})" if foreign else f"cannot be opened ({error})"


def connect(file: Path) -> sqlite3.Connection:
    """A connection whose transactions begin and end where we say."""
    connection = sqlite3.connect(file, timeout=30, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA cache_size = -4000")
    return connection


def prepare(connection: sqlite3.Connection, file: Path) -> None:
    """The tables, where there are none. Raises: ConfigError for those of another version."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == VERSION:
        return
    if version != 0 or connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        raise ConfigError(f"--store {file}: holds something else (version {version}); name another file")
    connection.executescript(f"BEGIN; {SCHEMA} PRAGMA user_version = {VERSION}; COMMIT")
    folder = os.open(file.absolute().parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)

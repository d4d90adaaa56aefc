"""What is kept, and where.  A URL -> a Store: series, their rows, their states; one transaction for many changes.

Two kinds share the interface: SQLite (a file) and PostgreSQL (a server).  One process writes at a time, and a Store
is used by one thread; `reader` gives another for reading beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from stepahead.errors import ConfigError

KEYS_KEPT = 24 * 3600  # seconds that an idempotency key is remembered


@dataclass(frozen=True)
class Kept:
    """A series as it is kept.

    number: its key inside the store. mark: of the model file. digest: of the request that began it. rows: how many.
    cutoff: time of the last. state: a Stream's snapshot, behind the row at `state_time`.
    """

    number: int
    name: str
    model: str
    mark: int
    digest: bytes
    rows: int
    cutoff: int
    state: bytes
    state_time: int


@dataclass(frozen=True)
class Line:
    """A series in a list. mark: of the model file."""

    name: str
    model: str
    mark: int
    rows: int
    cutoff: int


@dataclass
class Changes:
    """What one transaction does, in this order.

    deleted: numbers. created: new series with their first state. heads: number -> (rows, cutoff).
    rows: (number, time, packed values). states: number -> (snapshot, time of its last row).
    keys: (number, idempotency key, digest of the request, answer, seconds since 1970); number 0, which no series has,
    for those of bulk pushes.
    """

    deleted: list[int] = field(default_factory=list)
    created: list[Kept] = field(default_factory=list)
    heads: dict[int, tuple[int, int]] = field(default_factory=dict)
    rows: list[tuple[int, int, bytes]] = field(default_factory=list)
    states: dict[int, tuple[bytes, int]] = field(default_factory=dict)
    keys: list[tuple[int, str, bytes, bytes, int]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.deleted or self.created or self.heads or self.rows or self.states or self.keys)


class StoreFailed(Exception):
    """The store did not take or give something: a full disk, a lost connection. Nothing of the transaction counts."""


class Store(Protocol):
    """What the sessions ask of a store. Every method may raise StoreFailed.

    quick: whether a small commit takes no longer than an event loop may stand still.
    """

    quick: bool

    def find(self, name: str) -> Kept | None:
        """A series by its name."""

    def since(self, number: int, time: int) -> list[tuple[int, bytes]]:
        """Its rows after a time, oldest first: (time, packed values)."""

    def at(self, number: int, times: Sequence[int]) -> dict[int, bytes]:
        """Its rows at these times."""

    def last(self, number: int, most: int) -> list[tuple[int, bytes]]:
        """Its last rows, oldest first."""

    def key(self, number: int, key: str) -> tuple[bytes, bytes] | None:
        """The digest and the answer that go with an idempotency key."""

    def lines(self, after: str, most: int) -> list[Line]:
        """Series whose names come after this one, by name."""

    def next_number(self) -> int:
        """A number that no series has yet, and none behind it."""

    def commit(self, changes: Changes) -> None:
        """One transaction. When this returns, all of it is on disk; when it raises, nothing counts."""

    def reader(self) -> "Store":
        """Another connection, for another thread, that only reads."""

    def close(self) -> None: ...


def open_store(url: str) -> Store:
    """The store that a URL names: postgresql://..., sqlite:///FILE, or the path of a file.

    Raises: ConfigError where it cannot be opened, is of another version, or another server writes to it.
    """
    if url.startswith(("postgresql://", "postgres://")):
        from stepahead.server.postgres import Postgres

        return Postgres.open(url)
    from stepahead.server.sqlite import SQLite

    path = url.removeprefix("sqlite:///") if url.startswith("sqlite:") else url
    if "://" in path or not path:
        raise ConfigError(
            f"--store {url.split('://')[0]}://...: give sqlite:///FILE, postgresql://... or a file's path"
        )
    return SQLite.open(path)

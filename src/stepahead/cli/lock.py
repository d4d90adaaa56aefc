"""One pipe writes to a state file at a time.  A path -> the right to write to it, until the block ends."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from stepahead.errors import ConfigError

try:
    import fcntl
except ImportError:  # Windows, where the state is replaced all the same, by the last one
    fcntl = None  # type: ignore[assignment]


@contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """Keep others away from a state file: the file beside it, ending in .lock, is locked and goes when this ends.

    What a killed process leaves of it is locked no more, and does not stand in the way.
    Raises: ConfigError where another process writes to the file, or the folder cannot be written.
    """
    if fcntl is None:
        yield
        return
    beside = f"{os.path.realpath(path)}.lock"
    try:
        handle = locked(beside)
    except BlockingIOError as error:
        raise ConfigError(
            f"--state {path}: another stream writes to it; wait for its end or stop it, or name another file"
        ) from error
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(f"--state {path}: {beside} cannot be locked ({reason}); name another file") from error
    try:
        yield
    finally:
        with suppress(OSError):
            os.unlink(beside)  # before it is unlocked: nobody else has it
        os.close(handle)


def locked(name: str) -> int:
    """A handle to a file that this process alone holds.  Raises: BlockingIOError where another one does."""
    while True:
        handle = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Who held it before may have removed it meanwhile: then another file has the name, or none.
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(handle), os.stat(name)):
                    return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)

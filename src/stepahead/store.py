"""Model files: weights and configuration in one safetensors file that can be trusted.

save(path, tensors, config) -> file -> load(path) -> (tensors, config).  Nothing is pickled, nothing is executed.

The header's metadata holds `program` (whose file it is), `format` (a number), `config` (JSON), and `sha256`: the digest
of every byte of the file, its own 64 digits taken as zeros. A save writes a temporary file beside the model, fsyncs it,
renames it over the old one and fsyncs the folder, so that a kill at any moment leaves the old model or the new one.
"""

import contextlib
import hashlib
import json
import os
import re
import secrets
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize

from stepahead.errors import ConfigError, ModelFileError

try:
    import fcntl
except ImportError:  # Windows, where an open file cannot be removed anyway
    fcntl = None  # type: ignore[assignment]

Array = NDArray[Any]

FORMAT = 1
MAX_HEADER_BYTES = 100_000_000  # safetensors' own limit
MAX_FILE_BYTES = 4 * 2**30
DTYPES = {"F32": "<f4", "F64": "<f8", "I64": "<i8", "I32": "<i4", "U8": "|u1", "BOOL": "|b1"}
NO_DIGEST = "0" * 64
TEMPORARY = re.compile(r"\.stepahead-save-[0-9a-f]{16}\.tmp")


def save(path: str | os.PathLike[str], tensors: Mapping[str, Array], config: Mapping[str, Any]) -> None:
    """Write a model file, replacing an older one in a single step.

    Args:
        path: the file; through a symbolic link, the file that it points at. An older file's permissions are kept.
        tensors: arrays by name, of float32, float64, int64, int32, uint8 or bool, any shape.
        config: what JSON can hold; tuples come back as lists.

    Raises:
        ConfigError: a tensor or a value of the configuration that the file cannot hold.
        ModelFileError: the folder is absent or cannot be written; an older model stays as it was.

    Example:
        >>> import numpy as np, tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "word.safetensors"
        >>> save(path, {"weight": np.ones(2)}, {"kind": "symbols"})
        >>> load(path)
        ({'weight': array([1., 1.])}, {'kind': 'symbols'})
    """
    arrays = {name: _storable(name, array) for name, array in sorted(tensors.items())}
    # Wide types first, so that every tensor lies aligned.
    arrays = dict(sorted(arrays.items(), key=lambda item: -item[1].itemsize))
    header = _sealed(_header(arrays, config), arrays)
    target = Path(os.path.realpath(path))
    try:
        if (problem := why_not(Path(path))) is not None:
            raise ModelFileError(f"{os.fspath(path)}: {problem}")
        remove_strays(target.parent)
        with _temporary(target) as (file, temporary):
            file.write(header)
            for array in arrays.values():
                file.write(_bytes(array))
            file.flush()
            os.fsync(file.fileno())
            os.replace(temporary, target)
        _sync_folder(target.parent)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ModelFileError(
            f"{os.fspath(path)}: cannot be written ({reason}); choose a folder that exists, is writable and has room"
        ) from error


def load(path: str | os.PathLike[str]) -> tuple[dict[str, Array], dict[str, Any]]:
    """Read a model file and check every byte of it.

    Returns:
        The arrays by name, as they were saved to the last bit, and the configuration.

    Raises:
        ModelFileError: absent, not a file, damaged, truncated, not written by stepahead, or from a newer version.
    """
    try:
        with _open_regular(path) as file:
            content, header = _read(path, file)
    except OSError as error:
        _refuse(path, f"cannot be read ({error.strerror or error}); check the name and the permissions")
    metadata = _metadata(path, header)
    if metadata["sha256"] != _digest_of(path, content, metadata["sha256"]):
        _refuse(path, "is damaged (its checksum does not fit its bytes); copy it again or train anew")
    try:
        tensors = {name: _array(entry) for name, entry in deserialize(bytes(content))}
        config = json.loads(metadata["config"])
    except (SafetensorError, ValueError, KeyError, RecursionError) as error:
        _refuse(path, f"is not a model that stepahead wrote ({error}); train anew")
    if not isinstance(config, dict):
        _refuse(path, "is not a model that stepahead wrote (its configuration is no object); train anew")
    return tensors, config


def remove_strays(folder: Path) -> None:
    """Remove temporary files that killed saves left in a folder; those of living savers are locked and stay."""
    with os.scandir(folder) as entries:
        names = [entry.path for entry in entries if TEMPORARY.fullmatch(entry.name)]
    for name in names:
        # Gone meanwhile, or another user's: not ours to mend.
        with contextlib.suppress(OSError):
            if fcntl is None:
                os.unlink(name)
                continue
            handle = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(name)
            finally:
                os.close(handle)


def under(tensors: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    """The arrays whose names begin so, without that beginning."""
    return {name.removeprefix(prefix): array for name, array in tensors.items() if name.startswith(prefix)}


def _storable(name: str, array: Array) -> Array:
    array = np.asarray(array)
    little = array.dtype.newbyteorder("<")
    if little.str not in DTYPES.values():
        raise ConfigError(f"tensor {name!r}: dtype {array.dtype} cannot be saved; convert to float32, float64 or int64")
    return np.asarray(array, dtype=little, order="C")


def _bytes(array: Array) -> memoryview:
    return array.reshape(-1).view(np.uint8).data if array.size else memoryview(b"")


def _header(arrays: Mapping[str, Array], config: Mapping[str, Any]) -> bytes:
    """The safetensors header with an empty digest: 8 bytes of length, then JSON padded to a multiple of 8."""
    codes = {dtype: code for code, dtype in DTYPES.items()}
    try:
        text = json.dumps(dict(config), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"config cannot be saved as JSON: {error}") from error
    metadata = {"program": "stepahead", "format": str(FORMAT), "config": text, "sha256": NO_DIGEST}
    content: dict[str, Any] = {"__metadata__": metadata}
    if "__metadata__" in arrays:
        raise ConfigError("tensor '__metadata__': the name is taken by the file format; choose another")
    end = 0
    for name, array in arrays.items():
        start, end = end, end + array.nbytes
        content[name] = {
            "dtype": codes[array.dtype.str],
            "shape": list(array.shape),
            "data_offsets": [start, end],
        }
    body = json.dumps(content, separators=(",", ":")).encode()
    body += b" " * (-len(body) % 8)
    if len(body) > MAX_HEADER_BYTES or len(body) + end > MAX_FILE_BYTES:
        raise ConfigError(f"the model needs {len(body) + end:,} bytes; a model file holds up to {MAX_FILE_BYTES:,}")
    return len(body).to_bytes(8, "little") + body


def _sealed(header: bytes, arrays: Mapping[str, Array]) -> bytes:
    digest = hashlib.sha256(header)
    for array in arrays.values():
        digest.update(_bytes(array))
    empty, full = (f'"sha256":"{digits}"'.encode() for digits in (NO_DIGEST, digest.hexdigest()))
    return header.replace(empty, full, 1)


def why_not(path: Path) -> str | None:
    """Why a file cannot take the place of what is there, in words; None where it can."""
    target = Path(os.path.realpath(path))
    if os.path.isdir(target):
        return "is a folder; give the name of a file"
    if os.path.lexists(target) and not os.path.isfile(target):
        return "is a device, a pipe or a link to itself, which a file would replace; give the name of a file"
    if not os.path.isdir(target.parent):
        return f"the folder {path.parent} does not exist; create it first"
    if os.path.exists(target) and not os.access(target, os.W_OK):
        return "is read-only; make it writable or choose another name"
    if not os.access(target.parent, os.W_OK | os.X_OK):
        return (
            f"the folder {path.parent} cannot be written (Permission denied); choose another, or change its permissions"
        )
    return None


@contextlib.contextmanager
def _temporary(target: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """A locked new file beside the target, with the target's permissions; removed if the body fails."""
    file, temporary = _create(target.parent)
    try:
        with file:
            if target.exists() and hasattr(os, "fchmod"):
                os.fchmod(file.fileno(), stat.S_IMODE(target.stat().st_mode))
            yield file, temporary
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _create(folder: Path) -> tuple[BinaryIO, Path]:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    while True:
        temporary = folder / f".stepahead-save-{secrets.token_hex(8)}.tmp"
        file = os.fdopen(os.open(temporary, flags, 0o666), "wb")
        if fcntl is None:
            return file, temporary
        with contextlib.suppress(OSError):  # a file system without locks: strays stay, models are safe
            fcntl.flock(file, fcntl.LOCK_EX)
        # A concurrent save may have taken the file for a stray before it was locked: then make another.
        if os.fstat(file.fileno()).st_nlink:
            return file, temporary
        file.close()


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a file for reading, but neither wait on a pipe nor read a device."""
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        _refuse(path, "is a folder; give the model file inside it")
    if not stat.S_ISREG(mode):
        _refuse(path, "is not a regular file; copy the model to a file first")
    return open(path, "rb")


def _read(path: str | os.PathLike[str], file: BinaryIO) -> tuple[bytearray, dict[str, Any]]:
    """All bytes and the parsed header; nothing is read that the sizes do not vouch for."""
    size = os.fstat(file.fileno()).st_size
    if size == 0:
        _refuse(path, "is empty; copy it again or train anew")
    start = file.read(8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > min(MAX_HEADER_BYTES, size - 8):
        _refuse(path, "is not a safetensors file, or was cut off; give a file that stepahead saved")
    body = file.read(length)
    try:
        header = json.loads(body)
        end = max(
            (int(entry["data_offsets"][1]) for name, entry in header.items() if name != "__metadata__"),
            default=0,
        )
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        _refuse(path, "is not a safetensors file, or is damaged; give a file that stepahead saved")
    _metadata(path, header)
    if size != 8 + length + end or size > MAX_FILE_BYTES + 8:
        _refuse(
            path,
            f"has {size:,} bytes where its header says {8 + length + end:,}; copy it again or train anew",
        )
    content = bytearray(start + body) + file.read(end)
    return content, header


def _metadata(path: str | os.PathLike[str], header: Mapping[str, Any]) -> dict[str, str]:
    metadata = header.get("__metadata__")
    if not isinstance(metadata, dict) or metadata.get("program") != "stepahead":
        _refuse(path, "was written by another program, or is damaged; give a file that stepahead saved")
    wanted = {key: str(metadata.get(key)) for key in ("format", "config", "sha256")}
    if not re.fullmatch(r"[0-9]{1,9}", wanted["format"]):
        _refuse(path, "lacks the number of its format: it is damaged; copy it again or train anew")
    if int(wanted["format"]) > FORMAT:
        _refuse(
            path,
            f"has format {wanted['format']}, newer than {FORMAT}, the newest known here; pip install -U stepahead",
        )
    return wanted


def _digest_of(path: str | os.PathLike[str], content: bytearray, digits: str) -> str:
    seal = f'"sha256":"{digits}"'.encode()
    place = content.find(seal, 0, 8 + int.from_bytes(content[:8], "little"))
    if len(digits) != 64 or place < 0:
        _refuse(path, "is damaged (no checksum of 64 digits); copy it again or train anew")
    first = place + len(seal) - 65
    with memoryview(content) as view:
        digest = hashlib.sha256(view[:first])
        digest.update(NO_DIGEST.encode())
        digest.update(view[first + 64 :])
    return digest.hexdigest()


def _array(entry: Mapping[str, Any]) -> Array:
    # bytearray, so that the array may be written to, as any other.
    return np.frombuffer(bytearray(entry["data"]), dtype=DTYPES[entry["dtype"]]).reshape(entry["shape"])


def _refuse(path: str | os.PathLike[str], problem: str) -> NoReturn:
    raise ModelFileError(f"{os.fspath(path)}: {problem}")

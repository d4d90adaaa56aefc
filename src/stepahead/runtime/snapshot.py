"""A stream's state as bytes that can be trusted.  (kind, values, arrays) -> bytes -> (values, arrays).

    "stepahead" | format, 2 bytes | SHA-256 of all that follows | length of the header, 4 bytes | header, JSON | arrays

Whatever was cut off, altered or written by a newer version is refused. Nothing is executed on the way back.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stepahead.errors import ModelFileError

Array = NDArray[Any]

MAGIC = b"stepahead"
FORMAT = 1
START = len(MAGIC) + 2 + 32  # where the header's length stands
DTYPES = ("<f8", "<f4", "<i8", "<i2", "<i4", "|u1", "|b1")


def pack_snapshot(values: Mapping[str, Any], arrays: Mapping[str, Array]) -> bytes:
    """State as bytes: values that JSON can hold (numbers keep every bit), and arrays by name."""
    layout = {name: [array.dtype.str, list(array.shape)] for name, array in arrays.items()}
    header = json.dumps({"values": values, "arrays": layout}, separators=(",", ":")).encode()
    body = len(header).to_bytes(4, "little") + header + b"".join(array.tobytes() for array in arrays.values())
    return MAGIC + FORMAT.to_bytes(2, "little") + hashlib.sha256(body).digest() + body


def unpack_snapshot(snapshot: bytes) -> tuple[dict[str, Any], dict[str, Array]]:
    """The inverse of `pack_snapshot`.

    Raises: ModelFileError for what is no snapshot, is damaged, or comes from a newer version.
    """
    if not isinstance(snapshot, bytes | bytearray | memoryview):
        raise ModelFileError(f"snapshot: {type(snapshot).__name__} is not bytes; give what snapshot() gave")
    snapshot = bytes(snapshot)
    if not snapshot.startswith(MAGIC):
        raise ModelFileError("snapshot: these are not the bytes of a stream; give what snapshot() gave")
    written = int.from_bytes(snapshot[len(MAGIC) : len(MAGIC) + 2], "little")
    if written > FORMAT:
        raise ModelFileError(
            f"snapshot: has format {written}, newer than {FORMAT}, the newest known here; pip install -U stepahead"
        )
    body = snapshot[START:]
    if hashlib.sha256(body).digest() != snapshot[START - 32 : START]:
        raise ModelFileError(
            "snapshot: is damaged (its checksum does not fit its bytes); copy it again or warm up anew"
        )
    end = 4 + int.from_bytes(body[:4], "little")
    header = json.loads(body[4:end])
    arrays = {}
    for name, (dtype, shape) in header["arrays"].items():
        if dtype not in DTYPES:
            raise ModelFileError(f"snapshot: array '{name}' is of a kind ({dtype}) that no stream has")
        count = int(np.prod(shape))
        arrays[name] = np.frombuffer(body, dtype, count, end).reshape(shape).copy()
        end += arrays[name].nbytes
    return header["values"], arrays

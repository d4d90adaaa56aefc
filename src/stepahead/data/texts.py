"""Text files, piece by piece.  A file, or a text -> pieces, lines, words."""

import os
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

from stepahead.errors import DataError

CHUNK = 4 * 2**20  # characters of a piece


def read_text(path: Path) -> str:
    """The whole of a text file. Raises: DataError where it cannot be read, is empty, or is not UTF-8."""
    return "".join(pieces_of(path))


def chunks_of(source: str | Path) -> Iterator[str]:
    """The text in form NFC, in pieces that end before an ASCII character: it combines with nothing before it."""
    given = (
        (source[i : i + CHUNK] for i in range(0, len(source), CHUNK)) if isinstance(source, str) else pieces_of(source)
    )
    rest = ""
    for piece in given:
        rest += piece
        place = next((i for i in range(len(rest) - 1, 0, -1) if rest[i] < "\x80"), 0)
        if place:
            yield unicodedata.normalize("NFC", rest[:place])
            rest = rest[place:]
    if rest:
        yield unicodedata.normalize("NFC", rest)


def pieces_of(path: Path) -> Iterator[str]:
    seen = False
    try:
        # newline="": line ends are symbols and stay what they are. utf-8-sig: a byte order mark is none.
        with open(path, encoding="utf-8-sig", newline="") as file:
            while piece := file.read(CHUNK):
                yield piece
                seen = True
    except UnicodeDecodeError as error:
        # A pipe cannot be read again to find the place.
        bad = f"byte 0x{error.object[error.start]:02x}" + (f" in line {_bad_line(path):,}" if path.is_file() else "")
        raise DataError(f"{os.fspath(path)}: is not UTF-8 text ({bad}); convert it first") from error
    except OSError as error:
        raise DataError(f"{os.fspath(path)}: cannot be read ({error.strerror}); check the name") from error
    if not seen:
        raise DataError(f"{os.fspath(path)}: is empty; give a text of at least two symbols")


def _bad_line(path: Path) -> int:
    """The first line that is not UTF-8, counted from 1.  path: a file that holds one."""
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return 1


def lines_of(path: Path) -> Iterator[str]:
    rest = ""
    for piece in pieces_of(path):
        *whole, rest = (rest + piece).split("\n")
        yield from (line.removesuffix("\r") for line in whole if line.strip())
    if rest.strip():
        yield rest.removesuffix("\r")


def words_of(chunks: Iterable[str]) -> Iterator[str]:
    rest = ""
    for chunk in chunks:
        text = rest + chunk
        words = text.split()
        rest = "" if not words or text[-1].isspace() else words.pop()
        yield from words
    if rest:
        yield rest

"""Symbols in: text, lines, lists or an event table -> Corpus, the codes of all sequences end to end.

A vocabulary numbers symbols in order of first appearance. Several sequences share an end symbol, which also opens
each of them; a single text has none. Symbols are compared in Unicode's form NFC. A symbol that the vocabulary lacks
gets the code `unseen`.
"""

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stepahead.data.gaps import buckets
from stepahead.data.texts import chunks_of, lines_of, words_of
from stepahead.errors import ConfigError, DataError
from stepahead.parameters import check_whole

Codes = NDArray[Any]  # unsigned, as narrow as the vocabulary allows: 100 MB of text stay 100 MB
Source = Any  # str | Path | Sequence[str] | Sequence[Sequence[str]] | Corpus

TOKENS = ("chars", "words", "items")
MAX_SYMBOLS = 200_000
MAX_NAME = 10_000  # characters of one symbol: longer is surely a wrongly cut file


@dataclass(frozen=True)
class Vocabulary:
    """Which symbols there are, in order of first appearance, and how text is cut into them.

    tokens: "chars", "words" (split on white space) or "items" (sequences come cut already).
    end: whether an end-of-sequence symbol follows the known ones. rare: whether symbols beyond the size limit were
    put into the unseen bucket in training, which makes the bucket an outcome that can be predicted.
    """

    symbols: tuple[str, ...]
    tokens: str = "chars"
    end: bool = False
    rare: bool = False

    @property
    def end_code(self) -> int:
        """The end of a sequence, which also stands before its first symbol."""
        return len(self.symbols)

    @property
    def unseen(self) -> int:
        """The code of what is not in the vocabulary; also the number of input columns."""
        return len(self.symbols) + self.end

    @property
    def classes(self) -> int:
        """Outcomes that a model predicts: the symbols, the end, and the bucket if it was trained."""
        return self.unseen + self.rare

    @cached_property
    def codes(self) -> Mapping[str, int]:
        return {symbol: code for code, symbol in enumerate(self.symbols)}

    @cached_property
    def table(self) -> NDArray[np.int32]:
        """Code of every Unicode code point, for characters."""
        table = np.full(0x110000, self.unseen, np.int32)
        points = np.array([ord(symbol) for symbol in self.symbols], np.int64)
        table[points] = np.arange(len(points))
        return table

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.min_scalar_type(self.classes + 1)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """What to print for each code: the symbols, "<end>" where there is one, "<unseen>"."""
        return (*self.symbols, *["<end>"] * self.end, "<unseen>")

    def name(self, code: int) -> str:
        """What to print for a code."""
        return self.names[min(code, self.unseen)]

    def cut(self, sequence: str | Sequence[Any]) -> list[str]:
        """One sequence as symbols, in form NFC."""
        return _cut(sequence, self.tokens)

    def encode(self, sequence: str | Sequence[Any]) -> Codes:
        """Codes [T] of one sequence; what is not in the vocabulary becomes `unseen`."""
        if self.tokens == "chars" and isinstance(sequence, str):
            return self.table[_points(unicodedata.normalize("NFC", sequence))].astype(self.dtype)
        codes, unseen = self.codes, self.unseen
        return np.array([codes.get(symbol, unseen) for symbol in self.cut(sequence)], self.dtype)

    def join(self, codes: Iterable[int]) -> str:
        """Codes as text again: characters side by side, words and items with a space between."""
        return ("" if self.tokens == "chars" else " ").join(self.name(int(code)) for code in codes)


@dataclass(frozen=True)
class Corpus:
    """All sequences end to end: sequence s owns codes[offsets[s]:offsets[s + 1]].

    codes: [N]. offsets: [S+1] int64. names: of the sequences (cases), or none. gaps: [N] time since the one before, nan
    where it is not known, or None where there are no times. buckets: [N] the same as `timed` numbers them.
    """

    codes: Codes
    offsets: NDArray[np.int64]
    vocabulary: Vocabulary
    names: tuple[str, ...] = field(default=(), repr=False)
    gaps: NDArray[np.float64] | None = field(default=None, repr=False)
    buckets: NDArray[np.int64] | None = field(default=None, repr=False)

    @property
    def n_sequences(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        return np.diff(self.offsets)

    def part(self, first: int, last: int) -> "Corpus":
        """Sequences first .. last - 1; of a single text, its symbols first .. last - 1."""
        of, offsets = slice(first, last), np.array([0, len(self.codes[first:last])])
        if self.vocabulary.end:
            of, offsets = slice(*self.offsets[[first, last]]), self.offsets[first : last + 1] - self.offsets[first]
        gaps = None if self.gaps is None else self.gaps[of]
        numbered = None if self.buckets is None else self.buckets[of]
        return Corpus(self.codes[of], offsets, self.vocabulary, self.names[first:last], gaps, numbered)

    def timed(self, edges: NDArray[np.float64]) -> "Corpus":
        """The same, but `steps` also says how long after the one before each symbol came, in buckets between edges."""
        gaps = np.full(len(self.codes), np.nan) if self.gaps is None else self.gaps
        return replace(self, buckets=buckets(gaps, edges))

    def steps(self) -> tuple[Codes, Codes, NDArray[np.int64]]:
        """What a model reads and what it must say next: inputs [N'], targets [N'], offsets [S+1].

        With an end symbol each sequence starts from it and leads to it; a single text starts at its first symbol. An
        input of a timed corpus is symbol + (unseen + 1) * bucket: with an unknown time it is the symbol itself.
        """
        read = self.codes
        if self.buckets is not None:
            read = read + self.buckets * (self.vocabulary.unseen + 1)
        if not self.vocabulary.end:
            return read[:-1], self.codes[1:], np.array([0, max(len(self.codes) - 1, 0)])
        read, ends = (np.insert(codes, self.offsets, self.vocabulary.end_code) for codes in (read, self.codes))
        return read[:-1], ends[1:], self.offsets + np.arange(len(self.offsets))


def read_corpus(
    source: Source,
    *,
    tokens: str = "chars",
    lines: bool = False,
    vocabulary: Vocabulary | None = None,
    max_symbols: int = MAX_SYMBOLS,
) -> Corpus:
    """Turn whatever holds symbols into a Corpus.

    Args:
        source: a text (str); a file (Path), one text or, with `lines`, a sequence a line; or a list of sequences,
            each a text or a list of symbols. A Corpus is taken as it is if it fits;
            of its symbols `max_symbols` are kept.
        tokens: "chars" or "words": how texts are cut. Lists of symbols are never cut.
        lines: whether each line of a file is a sequence of its own; empty lines are left out.
        vocabulary: encode with this one; None makes a new one.
        max_symbols: a new vocabulary keeps so many of the most frequent symbols; the rest is "unseen".

    Raises:
        DataError: nothing in it, not text, not UTF-8 (with the line of the first bad byte), texts among lists of
            symbols, or a Corpus that is not cut as the vocabulary's symbols are.
        ConfigError: unknown tokens, max_symbols that is no whole number of at least 1, or lines of what is no file.

    Example:
        >>> corpus = read_corpus("hello")
        >>> corpus.vocabulary.symbols, corpus.codes.tolist()
        (('h', 'e', 'l', 'o'), [0, 1, 2, 2, 3])
    """
    check_whole(max_symbols=(max_symbols, 1))
    if vocabulary is not None:
        tokens = vocabulary.tokens
    if tokens not in TOKENS:
        raise ConfigError(f"tokens={tokens!r}: must be one of {', '.join(TOKENS)}")
    if isinstance(source, Corpus):
        if vocabulary is None and (tokens, source.vocabulary.tokens) == ("words", "chars"):
            raise ConfigError("tokens='words': the Corpus was cut into chars; pass tokens='words' to read_corpus")
        if vocabulary is None:
            return _limited(source, max_symbols)
        return source if vocabulary == source.vocabulary else _again(source, vocabulary)
    if lines and not isinstance(source, Path):
        raise ConfigError("lines=True: is for a file; pass Path('names.txt'), or a list with a text for each line")
    if isinstance(source, Path) and lines:
        source = list(lines_of(source))
    if isinstance(source, str | Path) and tokens == "items":
        raise DataError("the model's symbols come cut, as lists; found one text; pass a list of lists of symbols")
    if isinstance(source, str | Path):
        chunks = chunks_of(source)
        if tokens == "chars":
            return _from_characters(chunks, vocabulary, max_symbols)
        return _from_symbols([words_of(chunks)], tokens, False, vocabulary, max_symbols)
    if not isinstance(source, Sequence | np.ndarray) or len(source) == 0:
        raise DataError(f"sequences: expected text or a list with at least one sequence, found {_kind(source)}")
    if not isinstance(source[0], str) and vocabulary is None:
        tokens = "items"
    _check_alike(source, tokens, vocabulary)
    if vocabulary is not None and not vocabulary.end:
        raise DataError(
            "the model learned one text without an end; found several sequences; join them, or train on a list"
        )
    return _from_symbols([_cut(one, tokens) for one in source], tokens, True, vocabulary, max_symbols)


def read_events(
    source: Any,
    *,
    case: str,
    activity: str,
    time: str | None = None,
    vocabulary: Vocabulary | None = None,
    max_symbols: int = MAX_SYMBOLS,
) -> Corpus:
    """Turn an event table into one sequence of activities a case.

    Args:
        source: a CSV (plain or gzip) or Parquet file, a pandas, polars or pyarrow frame, or the bytes of CSV from
            standard input.
        case, activity: names of columns; both are read as text, so that 007 stays 007.
        time: the column to sort by within a case, numbers or ISO stamps; ties keep the file's order. None: that order.

    Returns:
        A Corpus with cases in order of first appearance, their names, and with `time` the time between events, which a
        SymbolModel reads too.

    Raises:
        DataError: an absent column, an empty cell, or a time that cannot be read, with its row.
    """
    from stepahead.data.events import event_sequences

    check_whole(max_symbols=(max_symbols, 1))
    sequences, gaps = event_sequences(source, case=case, activity=activity, time=time)
    cut = [_cut(activities, "items") for activities in sequences.values()]
    corpus = _from_symbols(cut, "items", True, vocabulary, max_symbols)
    return replace(corpus, names=tuple(sequences), gaps=gaps)


def _check_alike(source: Source, tokens: str, vocabulary: Vocabulary | None) -> None:
    """Raises: DataError for texts among lists of symbols."""
    text = next((one for one in source if isinstance(one, str)), None)
    if text is not None and tokens == "items":
        raise DataError(
            f"sequences: found a text, {text!r:.40}, where symbols come cut; pass a list of lists of symbols"
        )
    if vocabulary is None and tokens != "items" and any(isinstance(one, list | tuple | np.ndarray) for one in source):
        raise DataError("sequences: found a list of symbols among texts; pass texts alone, or lists of symbols alone")


def _kind(value: Any) -> str:
    return f"an empty {type(value).__name__}" if isinstance(value, Sequence) else type(value).__name__


def _cut(sequence: str | Sequence[Any], tokens: str) -> list[str]:
    if isinstance(sequence, str):
        text = unicodedata.normalize("NFC", sequence)
        if tokens == "items":
            return [text] if text else []
        return list(text) if tokens == "chars" else text.split()
    if not isinstance(sequence, Sequence | np.ndarray) or isinstance(sequence, bytes | bytearray):
        raise DataError(
            f"sequence: expected text or a list of symbols, found {type(sequence).__name__}: {sequence!r:.40}"
        )
    return [_symbol(symbol) for symbol in sequence]


def _symbol(symbol: Any) -> str:
    if isinstance(symbol, bool) or not isinstance(symbol, str | int | np.integer):
        raise DataError(f"symbol {symbol!r:.40}: expected text or a whole number, found {type(symbol).__name__}")
    text = unicodedata.normalize("NFC", str(symbol))
    if len(text) > MAX_NAME:
        raise DataError(
            f"symbol {text[:20]!r}...: has {len(text):,} characters, at most {MAX_NAME:,}; is the text cut well?"
        )
    return text


def _points(text: str) -> NDArray[np.uint32]:
    # surrogatepass: a lone surrogate is a symbol like any other.
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def _from_characters(chunks: Iterable[str], vocabulary: Vocabulary | None, max_symbols: int) -> Corpus:
    if vocabulary is not None:
        parts = [vocabulary.table[_points(chunk)].astype(vocabulary.dtype) for chunk in chunks]
        codes = np.concatenate(parts) if parts else np.empty(0, vocabulary.dtype)
        return Corpus(codes, np.array([0, len(codes)]), vocabulary)
    table = np.full(0x110000, -1, np.int32)
    order: list[str] = []
    parts = []
    for chunk in chunks:
        points = _points(chunk)
        fresh, first = np.unique(points[table[points] < 0], return_index=True)
        fresh = fresh[np.argsort(first)]
        table[fresh] = np.arange(len(order), len(order) + len(fresh))
        order.extend(chr(point) for point in fresh)
        parts.append(table[points].astype(np.min_scalar_type(len(order) + 2)))
    codes = np.concatenate(parts) if parts else np.empty(0, np.uint8)
    return _limited(Corpus(codes, np.array([0, len(codes)]), Vocabulary(tuple(order))), max_symbols)


def _from_symbols(
    sequences: Sequence[Iterable[str]], tokens: str, end: bool, vocabulary: Vocabulary | None, max_symbols: int
) -> Corpus:
    index: dict[str, int] = {} if vocabulary is None else dict(vocabulary.codes)
    unseen = None if vocabulary is None else vocabulary.unseen
    code: Callable[[str], int] = (
        (lambda symbol: index.setdefault(symbol, len(index)))
        if unseen is None
        else lambda symbol: index.get(symbol, unseen)
    )
    parts = [np.fromiter(map(code, sequence), np.int32) for sequence in sequences]
    offsets = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64)
    codes = np.concatenate(parts)
    if vocabulary is not None:
        return Corpus(codes.astype(vocabulary.dtype), offsets, vocabulary)
    fresh = Vocabulary(tuple(index), tokens, end)
    return _limited(Corpus(codes, offsets, fresh), max_symbols)


def _limited(corpus: Corpus, max_symbols: int) -> Corpus:
    """Keep the most frequent symbols (ties: the earlier), still in order of first appearance."""
    old = corpus.vocabulary
    size = len(old.symbols)
    if size <= max_symbols:
        return replace(corpus, codes=corpus.codes.astype(old.dtype, copy=False))
    counts = np.bincount(corpus.codes, minlength=size)[:size]
    kept = np.sort(np.argsort(-counts, kind="stable")[:max_symbols])
    small = replace(old, symbols=tuple(old.symbols[code] for code in kept), rare=True)
    table = np.full(old.unseen + 1, small.unseen, small.dtype)
    table[kept] = np.arange(len(kept))
    return replace(corpus, codes=table[corpus.codes], vocabulary=small)


def _again(corpus: Corpus, vocabulary: Vocabulary) -> Corpus:
    """Encode a corpus of another vocabulary anew."""
    if corpus.vocabulary.end != vocabulary.end:
        raise DataError("one is a single text, the other several sequences; pass the kind that the model learned from")
    cuts = corpus.vocabulary.tokens, vocabulary.tokens
    if "chars" in cuts and cuts[0] not in ("items", cuts[1]):
        raise DataError(
            f"sequences: were cut into {cuts[0]}, those that the model learned into {cuts[1]}; cut them alike"
        )
    known = [vocabulary.codes.get(symbol, vocabulary.unseen) for symbol in corpus.vocabulary.symbols]
    table = np.array([*known, *[vocabulary.unseen] * 2], vocabulary.dtype)
    return replace(corpus, codes=table[corpus.codes], vocabulary=vocabulary)

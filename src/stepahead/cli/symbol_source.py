"""Where the symbols of a command come from: a file, an event table, standard input, or the arguments themselves."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stepahead.cli.shell import check_standard_input

if TYPE_CHECKING:
    from stepahead.data.symbols import Vocabulary
    from stepahead.symbol_model import SymbolModel


def load_model(path: Path) -> "SymbolModel":
    """A model of symbols from its file."""
    from stepahead.errors import ModelFileError
    from stepahead.open_model import load
    from stepahead.symbol_model import SymbolModel

    model = load(path)
    if not isinstance(model, SymbolModel):
        raise ModelFileError(f"{path}: holds a forecaster of numbers; use `stepahead predict`, or `symbols fit` first")
    return model


def read_source(
    source: str | None,
    text: str | None,
    *,
    lines: bool,
    tokens: str | None,
    case: str | None,
    time: str | None,
    activity: str | None,
    vocabulary: "Vocabulary | None" = None,
) -> Any:
    """A file, standard input (-), a text, or an event table -> Corpus."""
    from stepahead.data.symbols import read_corpus, read_events
    from stepahead.errors import ConfigError, DataError

    check_columns(case, time, activity)
    if case is not None and activity is not None:
        if text is not None:
            raise ConfigError("--text: is no event table; give its file, or - for standard input")
        if lines or tokens is not None:
            option = "--lines" if lines else "--tokens"
            raise ConfigError(f"{option}: is for text, and --case says that the source is an event table; drop one")
        table = events_of(source)
        return read_events(table, case=case, activity=activity, time=time, vocabulary=vocabulary)
    tokens = tokens or "chars"
    if source is not None and source != "-":
        return read_corpus(Path(source), tokens=tokens, lines=lines, vocabulary=vocabulary)
    content: Any = text if text is not None else standard_input()
    if lines:
        content = list(numbered(content).values())
    if not content:
        raise DataError(f"{'--text' if text is not None else 'standard input'}: is empty; give at least two symbols")
    return read_corpus(content, tokens=tokens, vocabulary=vocabulary)


@dataclass(frozen=True)
class Given:
    """What a model was given to read, and by what the sequences in it are known.

    sequences: as they came, a text or a case's activities. lines: the numbers of their lines, if they are lines.
    """

    corpus: Any
    sequences: Sequence[str | list[str]]
    lines: tuple[int, ...] = ()

    def known(self, s: int) -> dict[str, Any]:
        """A sequence's line and text, or its case."""
        sequence = self.corpus.names[s] if self.corpus.names else self.sequences[s]
        return ({"line": self.lines[s]} if self.lines else {}) | {"sequence": sequence}

    def place(self, step: Any) -> int:
        """The place of a step's symbol in its sequence, from 0: nothing foresees the first symbol of one text."""
        return int(step) + (0 if self.corpus.vocabulary.end else 1)

    def symbol(self, s: int, place: int) -> str:
        """What stands there in a sequence, as it came: the model may never have seen it."""
        symbols = self.corpus.vocabulary.cut(self.sequences[s])
        return symbols[place] if place < len(symbols) else "<end>"


def source_for(
    model: "SymbolModel", source: str | None, case: str | None, time: str | None, activity: str | None
) -> Given:
    """What the model can read: lines if it learned sequences, events if it learned events."""
    from stepahead.data.events import event_sequences
    from stepahead.data.symbols import read_corpus
    from stepahead.data.texts import read_text
    from stepahead.errors import ConfigError, DataError

    vocabulary = model.vocabulary_
    if vocabulary.tokens == "items" and case is None:
        raise ConfigError("the model learned events: pass --case and --activity (and --time) of the table")
    check_columns(case, time, activity)
    if vocabulary.tokens != "items" and case is not None:
        raise ConfigError("--case: the model learned text, no events; leave --case, --activity and --time out")
    if case is not None and activity is not None:
        cases, gaps = event_sequences(events_of(source), case=case, activity=activity, time=time)
        corpus = read_corpus(list(cases.values()), vocabulary=vocabulary)
        return Given(replace(corpus, names=tuple(cases), gaps=gaps), list(cases.values()))
    text = standard_input() if source in (None, "-") else read_text(Path(source))
    lines = numbered(text) if vocabulary.end else {}
    sequences = list(lines.values()) if vocabulary.end else [text]
    if not any(sequences):
        where = "standard input" if source in (None, "-") else source
        raise DataError(f"{where}: is empty; give at least two symbols")
    corpus = read_corpus(sequences if vocabulary.end else text, vocabulary=vocabulary)
    return Given(corpus, sequences, tuple(lines))


def check_columns(case: str | None, time: str | None, activity: str | None) -> None:
    """Raises: ConfigError where some columns of an event table are named and others are not."""
    from stepahead.errors import ConfigError

    if (case is None) != (activity is None):
        raise ConfigError("--case and --activity: an event table needs both")
    if time is not None and case is None:
        raise ConfigError("--time: is a column of an event table; pass --case and --activity, too")


def numbered(text: str) -> dict[int, str]:
    """The lines of a text that hold something, by their numbers."""
    return {i: line.removesuffix("\r") for i, line in enumerate(text.split("\n"), 1) if line.strip()}


def events_of(source: str | None) -> str | bytes:
    """An event table: the name of its file, or the bytes that standard input gives."""
    return read_standard_input() if source in (None, "-") else source


def standard_input() -> str:
    from stepahead.errors import DataError

    try:
        return read_standard_input().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"standard input: is not UTF-8 text at byte {error.start}; convert it first") from error


def read_standard_input() -> bytes:
    check_standard_input()
    return sys.stdin.buffer.read()


def prefix_for(model: "SymbolModel", words: list[str] | None) -> str | list[str]:
    """Arguments as a prefix: for events each is a symbol, else they are text."""
    if words == ["-"]:
        words = [standard_input().removesuffix("\n")]
        if model.vocabulary_.tokens == "items":
            words = words[0].splitlines()
    return list(words or []) if model.vocabulary_.tokens == "items" else " ".join(words or [])


def unknown_symbols(model: "SymbolModel", prefix: str | list[str]) -> list[str]:
    """A note where a prefix holds symbols that the model never learned: mistyped, say, or not cut as its own are."""
    from stepahead.data.panel import preview

    known = model.vocabulary_.codes
    unknown = [symbol for symbol in dict.fromkeys(model.vocabulary_.cut(prefix)) if symbol not in known]
    return [f"the model never learned {preview(unknown)}, which it reads as unknown"] if unknown else []


def table_as_text(source: str | None, case: str | None) -> list[str]:
    """A note where what looks like a table is learned as a text."""
    if case is not None or Path(source or "").suffix.lower() not in (".csv", ".tsv"):
        return []
    return [f"{source} is learned as a text; for a table of events name its columns with --case and --activity"]

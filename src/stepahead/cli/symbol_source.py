"""Where the symbols of a command come from: a file, an event table, standard input, or the arguments themselves."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    tokens: str,
    case: str | None,
    time: str | None,
    activity: str | None,
    vocabulary: "Vocabulary | None" = None,
) -> Any:
    """A file, standard input (-), a text, or an event table -> Corpus."""
    from stepahead.data.symbols import read_corpus, read_events
    from stepahead.errors import ConfigError, DataError

    if (case is None) != (activity is None):
        raise ConfigError("--case and --activity: an event table needs both")
    if case is not None and activity is not None:
        if source in (None, "-"):
            raise ConfigError("--case: an event table is read from a file; give its name")
        return read_events(source, case=case, activity=activity, time=time, vocabulary=vocabulary)
    if source is not None and source != "-":
        return read_corpus(Path(source), tokens=tokens, lines=lines, vocabulary=vocabulary)
    content = text if text is not None else standard_input()
    if lines:
        content = [line for line in content.splitlines() if line.strip()]  # type: ignore[assignment]
    if not content:
        raise DataError(f"{'--text' if text is not None else 'standard input'}: is empty; give at least two symbols")
    return read_corpus(content, tokens=tokens, vocabulary=vocabulary)


def source_for(
    model: "SymbolModel", source: str | None, case: str | None, time: str | None, activity: str | None
) -> Any:
    """What the model can read: lines if it learned sequences, events if it learned events."""
    from stepahead.errors import ConfigError

    vocabulary = model.vocabulary_
    if vocabulary.tokens == "items" and case is None:
        raise ConfigError("the model learned events: pass --case and --activity (and --time) of the table")
    return read_source(
        source or "-",
        None,
        lines=vocabulary.end,
        tokens=vocabulary.tokens,
        case=case,
        time=time,
        activity=activity,
        vocabulary=vocabulary,
    )


def standard_input() -> str:
    from stepahead.errors import DataError

    try:
        return sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"standard input: is not UTF-8 text at byte {error.start}; convert it first") from error


def prefix_for(model: "SymbolModel", words: list[str] | None) -> str | list[str]:
    """Arguments as a prefix: for events each is a symbol, else they are text."""
    if words == ["-"]:
        words = [standard_input().removesuffix("\n")]
        if model.vocabulary_.tokens == "items":
            words = words[0].splitlines()
    return list(words or []) if model.vocabulary_.tokens == "items" else " ".join(words or [])

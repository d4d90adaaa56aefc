"""Symbols in: what a text, a list and an event table become."""

import datetime as dt
import gzip
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepahead.data import texts
from stepahead.data.gaps import gaps_of
from stepahead.data.symbols import Vocabulary, read_corpus, read_events
from stepahead.errors import ConfigError, DataError


def test_hello_is_four_symbols_in_order_of_first_appearance_without_an_end() -> None:
    corpus = read_corpus("hello")
    assert corpus.vocabulary.symbols == ("h", "e", "l", "o")
    assert corpus.codes.tolist() == [0, 1, 2, 2, 3]
    assert (corpus.vocabulary.unseen, corpus.vocabulary.classes) == (4, 4)
    inputs, targets, offsets = corpus.steps()
    assert (inputs.tolist(), targets.tolist(), offsets.tolist()) == ([0, 1, 2, 2], [1, 2, 2, 3], [0, 4])


def test_several_sequences_start_from_and_lead_to_the_end() -> None:
    corpus = read_corpus(["ab", "", "b"])
    inputs, targets, offsets = corpus.steps()
    assert inputs.tolist() == [2, 0, 1, 2, 2, 1]
    assert targets.tolist() == [0, 1, 2, 2, 1, 2]
    assert offsets.tolist() == [0, 3, 4, 6]


@settings(max_examples=40, deadline=None)
@given(st.text(min_size=1))
def test_characters_encode_as_a_naive_loop_over_code_points(text: str) -> None:
    import unicodedata

    normal = unicodedata.normalize("NFC", text)
    order = list(dict.fromkeys(normal))
    corpus = read_corpus(text)
    assert corpus.vocabulary.symbols == tuple(order)
    assert corpus.codes.tolist() == [order.index(c) for c in normal]
    assert corpus.vocabulary.encode(text).tolist() == corpus.codes.tolist()
    assert corpus.vocabulary.join(corpus.codes) == normal


def test_text_in_pieces_is_the_text_in_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = "e\u0301a " * 7 + "\u1112\u1161\u11ab" * 5 + "שלום 𝔘𝔫𝔦 \r\n" * 3
    whole = read_corpus(text)
    (tmp_path / "t.txt").write_text(text, newline="", encoding="utf-8")
    for size in (1, 2, 3, 7):
        monkeypatch.setattr(texts, "CHUNK", size)
        for pieces in (read_corpus(text), read_corpus(tmp_path / "t.txt")):
            assert pieces.vocabulary == whole.vocabulary, size
            assert np.array_equal(pieces.codes, whole.codes), size
        words = read_corpus(tmp_path / "t.txt", tokens="words")
        assert words.vocabulary.join(words.codes).split() == __import__("unicodedata").normalize("NFC", text).split()


def test_composed_and_decomposed_text_are_the_same_symbols() -> None:
    assert read_corpus("e\u0301").vocabulary.symbols == ("é",)
    assert Vocabulary(("é",)).encode("e\u0301").tolist() == [0]


def test_line_ends_are_symbols_of_a_text_and_not_of_lines(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_bytes(b"\xef\xbb\xbfab\r\nb\n\n \nc")
    assert read_corpus(path).vocabulary.symbols == ("a", "b", "\r", "\n", " ", "c")
    lines = read_corpus(path, lines=True)
    assert lines.lengths.tolist() == [2, 1, 1]
    assert lines.vocabulary.symbols == ("a", "b", "c")


def test_words_and_lists_are_not_cut_into_characters(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("5 22 5\n11 5\n")
    words = read_corpus(tmp_path / "log.txt", tokens="words", lines=True)
    lists = read_corpus([["5", "22", "5"], [11, 5]])
    assert words.vocabulary.symbols == lists.vocabulary.symbols == ("5", "22", "11")
    assert words.codes.tolist() == lists.codes.tolist() == [0, 1, 0, 2, 0]


def test_what_is_not_in_the_vocabulary_is_unseen() -> None:
    vocabulary = read_corpus(["ab"]).vocabulary
    assert vocabulary.encode("axb𝔘").tolist() == [0, 3, 1, 3]
    assert [vocabulary.name(code) for code in (0, 2, 3)] == ["a", "<end>", "<unseen>"]
    assert read_corpus(["cab"], vocabulary=vocabulary).codes.tolist() == [3, 0, 1]


def test_the_most_frequent_symbols_are_kept_and_the_rest_is_a_class_of_its_own() -> None:
    corpus = read_corpus("abcbcc", max_symbols=2)
    assert corpus.vocabulary.symbols == ("b", "c")
    assert corpus.vocabulary.rare
    assert corpus.vocabulary.classes == 3
    assert corpus.codes.tolist() == [2, 0, 1, 0, 1, 1]


def test_a_hundred_thousand_distinct_symbols_are_all_kept() -> None:
    words = " ".join(f"w{i}" for i in range(100_000))
    corpus = read_corpus(words, tokens="words")
    assert len(corpus.vocabulary.symbols) == 100_000
    assert np.array_equal(corpus.codes, np.arange(100_000))


def test_a_large_file_takes_memory_for_its_codes_and_a_few_pieces(tmp_path: Path) -> None:
    path = tmp_path / "large.txt"
    path.write_text("To be, or not to be.\n" * 1_000_000)  # 21 MB
    tracemalloc.start()
    corpus = read_corpus(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert corpus.codes.nbytes == path.stat().st_size
    # Codes twice (pieces, then one array), and some pieces of 4 MB as text, points and codes.
    assert peak < 2 * corpus.codes.nbytes + 150e6, f"{peak / 1e6:.0f} MB"


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "is empty"), (b"ab\xff\xfe", "is not UTF-8 text"), (None, "cannot be read")],
)
def test_files_that_are_no_text_are_refused(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "t.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=words) as caught:
        read_corpus(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ([], "at least one sequence"),
        (3.5, "expected text or a list"),
        ([["a", None]], "expected text or a whole number"),
        ([["a"], 5], "expected text or a list of symbols"),
        ([["a" * 20_000]], "has 20,000 characters"),
    ],
)
def test_what_is_no_sequence_of_symbols_is_refused(source: object, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_corpus(source)


def test_unknown_tokens_are_refused() -> None:
    with pytest.raises(ConfigError, match="must be one of chars, words, items"):
        read_corpus("a", tokens="bytes")


EVENTS = "case,at,what\n7,2024-01-02 10:00:00,b\n007,2024-01-01,x\n7,2024-01-01 09:00:00,a\n7,2024-01-02 10:00:00,c\n"


@pytest.mark.parametrize("kind", ["csv", "gzip", "parquet", "pandas", "polars", "pyarrow"])
def test_events_are_sorted_by_time_within_their_case_and_ties_keep_the_files_order(tmp_path: Path, kind: str) -> None:
    frame = pl.read_csv(EVENTS.encode(), infer_schema=False)
    path = tmp_path / {"csv": "e.csv", "gzip": "e.csv.gz", "parquet": "e.parquet"}.get(kind, "e")
    if kind == "csv":
        path.write_text(EVENTS)
    elif kind == "gzip":
        path.write_bytes(gzip.compress(EVENTS.encode()))
    elif kind == "parquet":
        frame.write_parquet(path)
    frames = {"pandas": frame.to_pandas, "polars": lambda: frame, "pyarrow": frame.to_arrow}
    source = frames[kind]() if kind in frames else path
    corpus = read_events(source, case="case", time="at", activity="what")
    assert corpus.names == ("7", "007")
    assert corpus.vocabulary.symbols == ("a", "b", "c", "x")
    assert corpus.codes.tolist() == [0, 1, 2, 3]


def test_times_are_read_as_in_a_table_of_numbers_and_as_a_stream_reads_them(tmp_path: Path) -> None:
    for times in (("2024/01/01 10:00", "2024/1/1 12:30"), ("2024-01-01 10:00:00 UTC", "2024-01-01T14:30+02:00")):
        (tmp_path / "e.csv").write_text("case,at,what\n" + "".join(f"1,{at},a\n" for at in times))
        gaps = read_events(tmp_path / "e.csv", case="case", time="at", activity="what").gaps
        assert gaps is not None
        assert gaps[1] == gaps_of(times)[1] == 9_000


def test_numeric_times_are_sorted_as_numbers() -> None:
    frame = pd.DataFrame({"c": ["1"] * 3, "t": ["10", "9", "100"], "a": ["x", "y", "z"]})
    corpus = read_events(frame, case="c", time="t", activity="a")
    assert corpus.vocabulary.symbols == ("y", "x", "z")


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("case,at\n1,1\n", "no column 'what'; found 'case', 'at'"),
        ("case,at,what\n1,1,a\n\n1,2,\n", "column 'what', row 4: is empty"),
        ('case,at,what\n1,1,a\n1,2,""\n', "column 'what', row 3: is empty"),
        ("case,at,what\n1,2024-01-01,a\n1,13/01/2024,b\n", "row 3: '13/01/2024' is neither a number nor an ISO time"),
        ("case,at,what\n1,03/04/2024,a\n1,05/04/2024,b\n", "row 2: '03/04/2024' is neither a number nor an ISO time"),
        ("case,at,what\n1,2024-02-29,a\n1,2024-02-30,b\n", "row 3: '2024-02-30' is neither a number nor an ISO time"),
        ("case,at,what\n1,20240131,a\n1,20240201,b\n", "row 2: '20240131' may be a date or a number"),
        (
            "case,at,what\n1,2024-01-01T10:00,a\n1,2024-01-01T10:00Z,b\n",
            "row 2: .* has no time zone, but row 3 has one",
        ),
        ("case,at,what\n1,1,a\n1,inf,b\n", "column 'at', row 3: inf is no time"),
        ("case,at,what\n1,1,a\n1,nan,b\n", "column 'at', row 3: nan is no time"),
        ("case,at,what\n", "has no rows"),
        ("case,at,what\n1,1,a\n1,2\n", "row 3 has 2 cells, the header has 3"),
        ("case,at,what,what\n1,1,a,b\n", "two columns are named 'what'"),
        ("case;at;what\n1;1;a\n", "separated by semicolons"),
    ],
)
def test_event_tables_that_cannot_be_are_refused(tmp_path: Path, table: str, words: str) -> None:
    (tmp_path / "e.csv").write_text(table)
    with pytest.raises(DataError, match=words):
        read_events(tmp_path / "e.csv", case="case", time="at", activity="what")


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"at": [True, False]}, "column 'at' holds true and false; give stamps, lengths of time or numbers"),
        ({"at": [dt.time(1), dt.time(2)]}, "column 'at' holds Time"),
        ({"at": [[1], [2]]}, "column 'at' holds List"),
        ({"what": [["a"], ["b"]]}, "column 'what' holds List.*; give text or numbers"),
        ({"what": [b"\xff", b"a"]}, "column 'what' holds Binary"),
        ({"what": [dt.timedelta(1), dt.timedelta(2)]}, "column 'what' holds Duration"),
        ({"what": ["a", "b" * 20_000]}, "has 20,000 characters"),
    ],
)
def test_columns_of_frames_that_cannot_be_are_refused(columns: dict, words: str) -> None:
    frame = pl.DataFrame({"case": ["1", "1"], "at": [1, 2], "what": ["a", "b"]} | columns)
    with pytest.raises(DataError, match=words):
        read_events(frame, case="case", time="at", activity="what")


def test_times_are_those_of_pythons_own_reading() -> None:
    texts = ["2024-02-28T23:59:59.5", "2024-02-29", "2024-03-01 00:00", "2024-03-01 10:00:00.25", "2024-12-31T23:59"]
    frame = pl.DataFrame({"c": ["1"] * 5, "t": pl.Series([f" {text} " for text in texts]), "a": list("vwxyz")})
    expected = np.diff([dt.datetime.fromisoformat(text).timestamp() for text in texts])
    for column in (pl.col("t"), pl.col("t").cast(pl.Categorical)):
        gaps = read_events(frame.with_columns(column), case="c", time="t", activity="a").gaps
        assert gaps is not None
        assert np.array_equal(gaps[1:], expected)


def test_activities_are_compared_in_form_nfc() -> None:
    frame = pl.DataFrame({"c": ["1", "1"], "a": ["é", "e\u0301"]})
    corpus = read_events(frame, case="c", activity="a")
    assert corpus.vocabulary.symbols == ("é",)
    assert corpus.codes.tolist() == corpus.vocabulary.encode(["e\u0301", "é"]).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (["abc", ["xy", "z"]], "found a list of symbols among texts"),
        ([["xy", "z"], "abc"], "found a text, 'abc', where symbols come cut"),
        (b"abc", "expected text or a list of symbols"),
        ([b"abc"], "found bytes"),
    ],
)
def test_kinds_of_sequences_are_not_mixed(source: object, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_corpus(source)


def test_a_corpus_cut_otherwise_than_the_vocabulary_is_refused() -> None:
    texts = ["to be", "or not"]
    chars, words, items = read_corpus(texts), read_corpus(texts, tokens="words"), read_corpus([["to", "be"]])
    for corpus, other in ((chars, words), (words, chars), (chars, items)):
        with pytest.raises(DataError, match="cut them alike"):
            read_corpus(corpus, vocabulary=other.vocabulary)
    assert read_corpus(items, vocabulary=words.vocabulary).codes.tolist() == [0, 1]
    with pytest.raises(DataError, match="where symbols come cut"):
        read_corpus(["to", "be"], vocabulary=items.vocabulary)
    with pytest.raises(ConfigError, match="the Corpus was cut into chars"):
        read_corpus(chars, tokens="words")


def test_the_most_frequent_symbols_of_a_corpus_are_those_of_its_texts() -> None:
    texts = ["banana bread", "", "cab"]
    limited, read = read_corpus(read_corpus(texts), max_symbols=3), read_corpus(texts, max_symbols=3)
    assert limited.vocabulary == read.vocabulary
    assert limited.codes.tolist() == read.codes.tolist()
    again = read_corpus(limited, max_symbols=2)  # what was rare stays so
    assert (again.vocabulary.symbols, again.vocabulary.unseen) == (("b", "a"), 3)
    assert again.codes.tolist() == [0, 1, 3, 1, 3, 1, 3, 0, 3, 3, 1, 3, 3, 1, 0]


def test_lines_are_those_of_a_file() -> None:
    with pytest.raises(ConfigError, match=r"lines=True: is for a file; pass Path"):
        read_corpus("names.txt", lines=True)


def test_the_line_of_the_first_bad_byte_is_told(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_bytes(b"plain\n" * 500 + "caf\xe9 ".encode() + b"caf\xe9\n" + b"plain\n")
    with pytest.raises(DataError, match=r"is not UTF-8 text \(byte 0xe9 in line 501\)"):
        read_corpus(tmp_path / "t.txt")

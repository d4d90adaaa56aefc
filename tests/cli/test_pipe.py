"""Rows from a pipe: whatever is wrong with a line is one error that names it, and the rows before it are kept."""

import tempfile
from typing import Any

import numpy as np
import pytest

import stepahead as sa
from stepahead.cli.pipe import Rows
from stepahead.errors import DataError

HEAD = b"ds,open,y\n"


def read(text: bytes) -> tuple[list[Any], DataError | None]:
    """The rows in a text, and what is wrong with the one after them."""
    schema = sa.Panel.from_arrays(np.ones((9, 2)), names=("open", "y")).schema
    with tempfile.TemporaryFile() as file:
        file.write(text)
        file.seek(0)
        rows = Rows(file.fileno(), schema, schema.past)
        return [cells for chunk in rows for cells in chunk], rows.problem


def test_rows_before_a_byte_that_is_no_text_are_kept() -> None:
    found, problem = read(HEAD + b"1,2,3\n2,3,4\n3,\xff,5\n4,5,6\n")
    assert [cells.values for cells in found] == [[2.0, 3.0], [3.0, 4.0]]
    assert "line 4: is not UTF-8" in str(problem)


def test_a_first_line_that_is_no_text_is_named_with_and_without_a_mark() -> None:
    for text in (b"\xffds\n", b"\xef\xbb\xbfds,\xff\n", "ds,y\n".encode("utf-16")):
        assert "line 1: is not UTF-8" in str(read(text)[1])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD + b'1,"' + b"1" * 200_000 + b'",2\n', "line 2: has a cell of more than 128 KiB, or a quotation"),
        (b"ds, open,y\n1,2,3\n", "line 1: no column 'open' in the header; there is ' open', with blanks; leave them"),
        (HEAD + b'1,"1"\r2,3\n', "line 2: is no line of CSV"),
        (HEAD + b"1,1_000,2\n", "line 2: column 'open': '1_000' is not a number"),
        (b"ds;open;y\n1;2;3\n", "line 1: is separated by semicolons"),
        (b"ds\topen\ty\n1\t2\t3\n", "line 1: is separated by tabs"),
        (b"ds,open,y,y\n1,2,3,4\n", "line 1: two columns are named 'y'"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(text: bytes, said: str) -> None:
    found, problem = read(text)
    assert not found
    assert said in str(problem)


def test_a_name_with_an_underscore_stands_beside_numbers() -> None:
    found, problem = read(b"ds,open,y,note\n1,2,3,a_b\n")
    assert problem is None
    assert found[0].values == [2.0, 3.0]


def test_a_whole_number_beyond_all_bounds_is_left_for_the_door_to_refuse() -> None:
    found, problem = read(b'{"ds": 1, "open": ' + b"9" * 400 + b', "y": 2}\n')
    assert problem is None
    assert found[0].values[0] > 10**399


def test_a_name_that_is_there_twice_is_refused_and_not_won_by_the_last() -> None:
    found, problem = read(b'{"open": 1, "y": 2}\n{"open": 1, "y": 2, "y": 3}\n')
    assert [cells.values for cells in found] == [[1.0, 2.0]]
    assert "line 2: is no JSON object (it names 'y' twice); mend the row" in str(problem)


def test_a_line_without_end_is_refused_before_it_fills_the_memory_and_the_rows_before_it_count() -> None:
    rows, problem = read(b"open,y\n1,2\n3,4\n" + b"5" * (9 << 20))
    assert [row.values for row in rows] == [[1.0, 2.0], [3.0, 4.0]]
    assert str(problem) == "standard input, line 4: is longer than 4 MiB; end each row with a line break"

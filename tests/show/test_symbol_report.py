"""Looking inside a network of symbols: the picture and the page say what `look` found."""

import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from stepahead.errors import ConfigError
from stepahead.show.symbol_report import render_symbols, report_symbols, shade
from stepahead.show.symbols import plot_look
from stepahead.symbol_model import SymbolModel
from stepahead.symbol_stream import Look


@cache
def learned() -> SymbolModel:
    """Names of few letters, some held back: so there is a verdict."""
    rng = np.random.default_rng(0)
    names = ["".join(rng.choice(list("abc<"), size=5)) for _ in range(200)]
    return SymbolModel(cell="gru", hidden_size=4, epochs=1).fit(names)


def seen(symbols: str = "h$ ", units: int = 2) -> Look:
    hidden = np.linspace(-1, 1, len(symbols) * units).reshape(len(symbols), units)
    likely = tuple(((symbol, 0.75), ("\n", 0.25)) for symbol in symbols)
    return Look(tuple(symbols), hidden, np.arange(units)[::-1], likely)


class Cells(HTMLParser):
    """The cells of the tables of class "heat", row by row, as (text, class)."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.inside = False
        self.rows: list[list[tuple[str, str]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.inside = given.get("class") == "heat" if tag == "table" else self.inside
        if self.inside and tag == "tr":
            self.rows.append([])
        if self.inside and tag in ("td", "th"):
            self.rows[-1].append(("", given.get("class") or ""))

    def handle_data(self, data: str) -> None:
        if self.inside and self.rows and self.rows[-1]:
            text, kind = self.rows[-1][-1]
            self.rows[-1][-1] = (text + data, kind)


def test_the_picture_shows_the_telling_units_first_and_what_was_expected_under_each_symbol() -> None:
    figure = plot_look(seen(), units=2)
    axes = figure.axes[0]
    np.testing.assert_array_equal(axes.images[0].get_array(), seen().hidden[:, ::-1].T)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["h", r"\$", "␣"]
    below = [label.get_text() for label in axes.get_xticklabels(minor=True)]
    assert below == ["h 0.75\n⏎ 0.25", r"\$ 0.75" + "\n⏎ 0.25", "␣ 0.75\n⏎ 0.25"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["unit 2", "unit 1"]


def test_a_sequence_too_long_for_a_picture_is_refused() -> None:
    with pytest.raises(ConfigError, match="121 symbols are too many for one picture, at most 120"):
        plot_look(seen("x" * 121))


def test_the_page_holds_every_value_of_the_look() -> None:
    found = learned().look("abca")
    rows = Cells(render_symbols(learned(), ["abca"], units=3)).rows
    assert [text for text, _ in rows[0]] == ["symbol read", "a", "b", "c", "a"]
    for line, unit in zip(rows[1:4], found.told[:3], strict=True):
        assert line[0][0] == f"unit {unit + 1}"
        assert [text for text, _ in line[1:]] == [f"{value:+.2f}" for value in found.hidden[:, unit]]
        assert [kind for _, kind in line[1:]] == [shade(float(value)) for value in found.hidden[:, unit]]
    assert [text for text, _ in rows[4][1:]] == [f"{step[0][0]} {step[0][1]:.2f}" for step in found.next]
    assert len(rows) == 4 + 3


def test_blue_is_below_zero_and_orange_above() -> None:
    assert [shade(value) for value in (-1.0, -0.04, 0.0, 0.52, 7.0)] == ["n10", "n0", "p0", "p5", "p10"]


def test_the_verdict_and_the_scores_beside_n_grams_stand_in_the_page() -> None:
    page = render_symbols(learned(), ["abc"])
    assert learned().verdict_ is not None
    assert str(learned().verdict_) in page
    assert learned().verdict_.baseline in page
    whole = SymbolModel(cell="rnn", hidden_size=2, epochs=1).fit("hello")
    assert "Nothing was held back" in render_symbols(whole, ["hell"])


def test_symbols_never_become_elements_and_no_style_stands_in_an_element() -> None:
    page = render_symbols(learned(), ["a<b"])
    assert '<th scope="col">&lt;</th>' in page
    assert " style=" not in page
    assert len(re.findall("<script", page)) == 2  # the data and the code


def test_the_same_model_gives_the_same_page_whole_or_not_at_all(tmp_path: Path) -> None:
    report_symbols(learned(), tmp_path / "names.html", ["abc", "cab"])
    assert (tmp_path / "names.html").read_text(encoding="utf-8") == render_symbols(learned(), ["abc", "cab"])
    with pytest.raises(ConfigError, match=r"must end in .html"):
        report_symbols(learned(), tmp_path / "names.txt", ["abc"])
    with pytest.raises(ConfigError, match="no sequence was given"):
        report_symbols(learned(), tmp_path / "none.html", [])
    assert [file.name for file in tmp_path.iterdir()] == ["names.html"]

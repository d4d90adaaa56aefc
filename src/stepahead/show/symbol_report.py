"""One page about a model of symbols.  SymbolModel, sequences -> a self-contained HTML file that works offline.

What the report of a backtest is to a forecaster: the verdict first, then a look inside, the scores, how to repeat it.
The heat maps are tables with coloured cells, so they need no script and can be read aloud.
"""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stepahead.errors import ConfigError
from stepahead.evaluate.significance import SIGNIFICANT
from stepahead.evaluate.symbols import rows_of
from stepahead.show.html_page import Part, details, html_page, installed, write_page
from stepahead.show.sections import section, table
from stepahead.show.symbols import check_length, shown, told_units

if TYPE_CHECKING:
    from stepahead.symbol_model import SymbolModel
    from stepahead.symbol_stream import Look

SHADES = 10  # of each sign
LIBRARIES = ("stepahead", "numpy", "torch")


def report_symbols(model: "SymbolModel", path: str | Path, sequences: Sequence[Any], *, units: int = 8) -> None:
    """Write the report of a model of symbols.

    Args:
        model: fitted.
        path: file to write, ending in .html; written whole or not at all.
        sequences: to look inside of, 120 symbols each at most.
        units: hidden units to show, the most telling first.

    Raises:
        ConfigError: another ending, no sequence, or one that is too long. DataError: an empty one.

    Example:
        >>> report_symbols(word, "hello.html", ["hell"])  # doctest: +SKIP
    """
    write_page(path, lambda: render_symbols(model, sequences, units=units))


def render_symbols(model: "SymbolModel", sequences: Sequence[Any], *, units: int = 8) -> str:
    """The page as text; the same model and sequences give the same text."""
    if not len(sequences):
        raise ConfigError("report: no sequence was given; name at least one to look inside of")
    looks = [model.look(sequence) for sequence in sequences]
    return html_page(
        kind="Symbols",
        title=title(model),
        top=verdict_words(model),
        parts=[part for part in (look_section(looks, units), scores_section(model), repeat_section(model)) if part],
        scripts=("page/charts.js", "page/start.js"),
        more_styles=heat_styles(),
    )


def title(model: "SymbolModel") -> str:
    return f"{model.name} of {model.shape_.hidden_size} units, {len(model.vocabulary_.symbols):,} symbols"


def verdict_words(model: "SymbolModel") -> str:
    """The sentence, where something was held back to judge by."""
    verdict = model.verdict_
    if verdict is None:
        return '<p class="sentence">Nothing was held back to judge by: a text learned whole has no verdict.</p>'
    if verdict.beats:
        sign, words = "✓", "Beats counting"
    elif verdict.skill < 0 and verdict.p_value < SIGNIFICANT:
        sign, words = "✗", "Worse than counting"
    else:
        sign, words = "≈", "Not proven to beat counting"
    return (
        f'<p class="outcome"><span aria-hidden="true">{sign}</span> {words}</p>'
        f'<p class="sentence">{escape(verdict.sentence)}</p>'
    )


def look_section(looks: Sequence["Look"], units: int) -> Part:
    text = (
        "The hidden units after each symbol, the most telling first: blue is below zero, orange above. "
        "Under each symbol stands what the network expected to follow, with its probability."
    )
    body = f"<p>{text}</p>" + "".join(heat_table(look, units) for look in looks)
    return section("look", "Look inside", body)


def heat_table(look: "Look", units: int) -> str:
    """One sequence: a column for each symbol, a row for each unit, then the likeliest next symbols."""
    check_length(look)
    between = "" if all(len(symbol) == 1 for symbol in look.symbols) else " "
    caption = f"Hidden units while reading {between.join(map(shown, look.symbols))}"
    head = row("th", "symbol read", [f'<th scope="col">{escape(shown(symbol))}</th>' for symbol in look.symbols])
    body = ""
    for unit in told_units(look, units):
        values = [float(value) for value in look.hidden[:, unit]]
        body += row("th", f"unit {unit + 1}", [f'<td class="{shade(value)}">{value:+.2f}</td>' for value in values])
    for place in range(max(map(len, look.next))):
        body += row("th", f"expected next, {place + 1}", [expected(step, place) for step in look.next])
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}"><table class="heat">'
        f"<caption>{escape(caption)}</caption><thead>{head}</thead><tbody>{body}</tbody></table></div>"
    )


def row(tag: str, name: str, cells: Sequence[str]) -> str:
    return f'<tr><{tag} scope="row">{escape(name)}</{tag}>{"".join(cells)}</tr>'


def expected(step: Sequence[tuple[str, float]], place: int) -> str:
    if place >= len(step):
        return "<td></td>"
    name, odds = step[place]
    return f"<td><b>{escape(shown(name))}</b> {odds:.2f}</td>"


def shade(value: float) -> str:
    """The class of a cell: p0 is nothing, p10 all orange, n10 all blue."""
    strength = min(round(SHADES * abs(value)), SHADES)
    return f"{'n' if value < 0 else 'p'}{strength}"


def heat_styles() -> str:
    """A rule for each shade: a colour of the style sheet, light and dark, and letters that can be read on it."""
    rules = []
    for sign, color, light_from in (("n", "low", 9), ("p", "high", SHADES + 1)):
        for k in range(SHADES + 1):
            letters = ["paper" if k >= first else "ink" for first in (light_from, 6)]
            ground = f"color-mix(in srgb, var(--{color}) {100 * k // SHADES}%, var(--zero))"
            ink = f"light-dark(var(--{letters[0]}), var(--{letters[1]}))"
            rules.append(f".heat .{sign}{k} {{ background: {ground}; color: {ink}; }}")
    return "\n".join(rules)


def scores_section(model: "SymbolModel") -> Part | None:
    scores = model.scores_
    if scores is None:
        return None
    caption = f"Of {scores.n:,} symbols that were held back"
    return section("scores", "Scores", table(caption, *rows_of(model.name, scores)))


def repeat_section(model: "SymbolModel") -> Part:
    """What somebody else needs to see the same numbers."""
    facts = {
        "symbols learned from": f"{model.n_symbols_:,}",
        "cell": f"{model.shape_.cell}, {model.shape_.num_layers} x {model.shape_.hidden_size} units",
        "training": model.stopped_,
        "versions": ", ".join(f"{name} {installed(name)}" for name in LIBRARIES if installed(name)),
    }
    body = table("What was learned, and with what", ["", ""], list(facts.items()), words=True)
    rows = [[name, repr(value)] for name, value in model.get_params().items()]
    summary = "Parameters of the model"
    body += details(table(summary, ["parameter", "value"], rows, words=True), summary=summary)
    return section("repeat", "How to repeat it", body)

"""Pieces of a page.  Words and numbers -> HTML, everything escaped."""

from collections.abc import Iterable, Sequence
from html import escape
from math import isfinite
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stepahead.evaluate.compare import Comparison

TOOLS = (  # what the buttons above a chart do, their sign, and their name for a screen reader
    ("in", "+", "Zoom in"),
    ("out", "−", "Zoom out"),
    ("left", "‹", "Earlier"),
    ("right", "›", "Later"),
    ("all", "All", "Show all"),
)
HINT = "Drag to zoom, Shift and drag to pan. Keys: arrows read values, Shift and arrows pan, + and - zoom, 0 shows all."
WIDTH, ROW, LEFT = 640, 36, 190  # of the skill chart, in its own units


def section(anchor: str, heading: str, body: str) -> tuple[str, str, str]:
    """Anchor, heading and the whole section."""
    opened = f'<section id="{anchor}-part" aria-labelledby="{anchor}-heading">'
    return f"{anchor}-part", heading, f'{opened}<h2 id="{anchor}-heading">{escape(heading)}</h2>{body}</section>'


def html_list(items: Iterable[str]) -> str:
    """Items that are HTML already."""
    return "<ul>" + "".join(f"<li>{item}</li>" for item in items) + "</ul>"


def figure(name: str, label: str, *, tools: bool = False) -> str:
    """The place where the page draws the chart of this name; with tools it can be zoomed and panned."""
    buttons, more, hint = "", "", ""
    if tools:
        made = [
            f'<button type="button" data-do="{do}" aria-label="{words}" title="{words}">{sign}</button>'
            for do, sign, words in TOOLS
        ]
        buttons = f'<div class="tools" data-for="{name}">{"".join(made)}</div>'
        more = f' tabindex="0" aria-describedby="{name}-hint"'
        hint = (
            f'<p class="hint" id="{name}-hint">{HINT}</p><p class="spoken" aria-live="polite" id="{name}-spoken"></p>'
        )
    return (
        f'<figure>{buttons}<div class="chart" id="chart-{name}" role="group" aria-label="{escape(label)}"{more}></div>'
        f"{hint}<figcaption>{escape(label)}</figcaption></figure>"
    )


def table(caption: str, header: Sequence[str], rows: Iterable[Sequence[Any]], *, words: bool = False) -> str:
    """A table that scrolls sideways by itself where the page is narrow; the first column names the row.

    words: cells of text, which may be broken into lines.
    """
    rows = [list(row) for row in rows]
    right = [bool(rows) and all(isinstance(row[i], int | float) for row in rows) for i in range(len(header))]
    classes = [' class="number"' if numeric else "" for numeric in right]
    head = "".join(f'<th scope="col"{css}>{escape(name)}</th>' for name, css in zip(header, classes, strict=True))
    head = f"<thead><tr>{head}</tr></thead>" if any(header) else ""
    kind, body = ' class="words"' if words else "", ""
    for row in rows:
        first, *others = [f"{css}>{escape(text(value))}" for css, value in zip(classes, row, strict=True)]
        body += f'<tr><th scope="row"{first}</th>' + "".join(f"<td{cell}</td>" for cell in others) + "</tr>"
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}"><table{kind}>'
        f"<caption>{escape(caption)}</caption>{head}<tbody>{body}</tbody></table></div>"
    )


def text(value: Any) -> str:
    """Four digits of a number, a dash for one that is none."""
    if value is None or (isinstance(value, float) and not isfinite(value)):
        return "–"
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"


def skill_chart(comparisons: Sequence["Comparison"]) -> str:
    """A point and its interval for each baseline, around the line of no skill, as SVG."""
    known = [v for c in comparisons for v in (c.skill, c.low, c.high) if isfinite(v)]
    least, most = min([*known, -0.02]), max([*known, 0.02])
    least = max(least, -2.0)  # a hopeless model would squeeze the others to a dot
    span = most - least

    def across(value: float) -> float:
        return LEFT + (WIDTH - LEFT - 20) * (min(max(value, least), most) - least) / span

    bottom, zero = ROW * len(comparisons), across(0.0)
    marks = f'<line class="zero" x1="{zero:.1f}" x2="{zero:.1f}" y1="0" y2="{bottom}"/>'
    for i, c in enumerate(comparisons):
        y = ROW * i + ROW / 2
        marks += f'<text x="0" y="{y + 5:.0f}">{escape(c.baseline.replace("_", " ")[:16])}</text>'
        if isfinite(c.skill) and c.skill < least:
            marks += f'<text x="{LEFT}" y="{y + 5:.0f}">◂ {100 * c.skill:.0f} %</text>'
            continue
        if isfinite(c.low) and isfinite(c.high):
            marks += f'<line class="reach" x1="{across(c.low):.1f}" x2="{across(c.high):.1f}" y1="{y}" y2="{y}"/>'
        if isfinite(c.skill):
            marks += f'<circle cx="{across(c.skill):.1f}" cy="{y}" r="6"/>'
    words = [(least, "start"), (most, "end")] + ([(0.0, "middle")] if 0.15 < -least / span < 0.85 else [])
    for value, anchor in words:
        shown = f"{100 * value:.0f} %" if value else "0"
        marks += f'<text class="tick" text-anchor="{anchor}" x="{across(value):.1f}" y="{bottom + 20}">{shown}</text>'
    label = "Skill with its 95 % interval against each baseline; the numbers are in the table below"
    return f'<svg class="skill" role="img" aria-label="{label}" viewBox="0 0 {WIDTH} {bottom + 28}">{marks}</svg>'

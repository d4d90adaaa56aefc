"""A page in one file, which works offline and asks nobody for anything.  Parts as HTML -> the page, written whole.

Whatever comes from the data is escaped: as text by `escape`, as JSON by `as_json`; and the page's policy lets no other
script run.
"""

import base64
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from html import escape
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from stepahead.errors import ConfigError
from stepahead.show.sections import html_list

SUFFIXES = (".html", ".htm")
DRAWN = " Curves drawn by uPlot, © Leon Sorokin, MIT licence."

Part = tuple[str, str, str]  # anchor, heading, HTML


def html_page(
    *,
    kind: str,
    title: str,
    top: str,
    parts: Sequence[Part],
    scripts: Sequence[str],
    data: Any = None,
    more_styles: str = "",
) -> str:
    """The page as text; the same parts give the same text.

    Args:
        kind: the word above the title. top: HTML below it.
        scripts: files of `show/` that run one after the other. data: for them, as JSON.
        more_styles: beside the sheet that all pages share.
    """
    curves = any("uPlot" in name for name in scripts)
    styles = (asset("vendor/uPlot.min.css") if curves else "") + asset("page/report.css") + more_styles
    licence = f"/*\n{asset('vendor/uPlot.LICENSE')}*/\n" if curves else ""
    script = licence + "\n".join(map(asset, scripts))
    lost = "curves need" if curves else "switch between light and dark needs"
    return Template(asset("page/report.html")).substitute(
        kind=escape(kind),
        title=escape(title),
        policy=policy(styles, script),
        styles=styles,
        verdict=top,
        links=html_list([f'<a href="#{name}">{escape(words)}</a>' for name, words, _ in parts]),
        lost=f"The {lost} JavaScript; all words and tables are here without it.",
        sections="\n".join(body for _, _, body in parts),
        data=as_json(data),
        script=script,
        version=escape(installed("stepahead")),
        drawn=DRAWN if curves else "",
    )


def write_page(path: str | Path, make: Callable[[], str]) -> None:
    """Write the page that `make` gives, whole or not at all.

    Raises:
        ConfigError: an ending other than .html, or a file that cannot be written.
    """
    target = Path(path)
    if target.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"report: '{path}' must end in {' or '.join(SUFFIXES)}")
    page = make()
    temporary = target.with_name(f".stepahead-{secrets.token_hex(6)}.html")
    try:
        temporary.write_text(page, encoding="utf-8", newline="\n")
        os.replace(temporary, target)
    except OSError as error:
        raise ConfigError(f"report: '{path}' cannot be written ({error.strerror or error})") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def details(body: str, *, summary: str = "As a table") -> str:
    """HTML that opens when asked for."""
    return f"<details><summary>{escape(summary)}</summary>{body}</details>"


def installed(name: str) -> str:
    """The version of a package, empty where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def asset(name: str) -> str:
    return files("stepahead.show").joinpath(name).read_text(encoding="utf-8")


def as_json(value: Any) -> str:
    """JSON that can stand inside a script element: no character of it can end the element."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def policy(styles: str, script: str) -> str:
    """The page's content security policy: its own style and script, no request to anywhere."""
    return f"default-src 'none'; style-src {sha256(styles)}; script-src {sha256(script)}; base-uri 'none'"


def sha256(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

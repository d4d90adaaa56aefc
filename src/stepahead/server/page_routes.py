"""The page and its files.  Read once at the start: what is not there then cannot be asked for."""

import hashlib
import mimetypes
from functools import cache
from pathlib import Path

from starlette.responses import Response

from stepahead.server.problems import Problem
from stepahead.server.service import Call, Service

FOLDERS = (Path(__file__).parent / "static", Path(__file__).parent.parent / "show" / "vendor")
REPORT = Path(__file__).parent.parent / "show" / "page"
SHARED = (REPORT / "charts.js", REPORT / "report.css")  # files of the report that the page uses, too
POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


@cache
def files() -> dict[str, tuple[bytes, str, str]]:
    """name -> (content, media type, tag) of everything under /static/."""
    found = {}
    for folder in FOLDERS:
        for file in sorted(folder.rglob("*")) if folder.is_dir() else ():
            if file.is_file() and not file.name.startswith("."):
                found[file.relative_to(folder).as_posix()] = content_of(file)
    return {file.name: content_of(file) for file in SHARED if file.exists()} | found


def content_of(file: Path) -> tuple[bytes, str, str]:
    content = file.read_bytes()
    kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    kind = "text/javascript" if file.suffix == ".js" else kind
    kind += "; charset=utf-8" if kind.startswith("text/") else ""
    return content, kind, f'"{hashlib.sha256(content).hexdigest()[:16]}"'


async def page(service: Service, call: Call) -> Response:
    """The page itself."""
    return answer("index.html", call)


async def static(service: Service, call: Call) -> Response:
    """A file of the page."""
    return answer(call.path["file"], call)


def answer(name: str, call: Call) -> Response:
    """A file, or 304 where the browser has it. Raises: Problem 404."""
    if name not in files():
        raise Problem(404, "there is no such file")
    content, kind, tag = files()[name]
    headers = {"etag": tag, "cache-control": "no-cache", "content-security-policy": POLICY}
    if call.header(b"if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers | {"content-type": kind})

"""stepahead serve: models -> an HTTP service with durable state, and a page to look at."""

from pathlib import Path
from typing import Annotated

import typer

from stepahead.cli import options as o

Models = Annotated[list[Path], typer.Argument(metavar="MODEL...", help="Files that fit or symbols fit wrote.")]
Store = Annotated[
    str | None,
    o.option("--store", "File, sqlite:///FILE or postgresql://... [STEPAHEAD_STORE, or stepahead.db].", metavar="URL"),
]
TokenFile = Annotated[
    Path | None, o.option("--token-file", "File with the token that clients must send [STEPAHEAD_TOKEN].")
]
Host = Annotated[str, o.option("--host", "Address to listen at; beyond this machine a token is needed [127.0.0.1].")]
Port = Annotated[int, o.option("--port", "Port to listen at; 0 for a free one [8080].")]
AllowHost = Annotated[
    list[str] | None, o.option("--allow-host", "Another name that the server is reached by; may come again.")
]
AllowOrigin = Annotated[
    list[str] | None, o.option("--allow-origin", "Another site whose pages may ask, https://...; may come again.")
]
LogLevel = Annotated[str, o.option("--log-level", "debug, info, warning, error or critical [info].")]
AccessLog = Annotated[bool, o.option("--access-log", "Log every request, not only failed, refused and slow ones.")]


def serve(
    models: Models,
    store: Store = None,
    token_file: TokenFile = None,
    host: Host = "127.0.0.1",
    port: Port = 8080,
    allow_host: AllowHost = None,
    allow_origin: AllowOrigin = None,
    log_level: LogLevel = "info",
    access_log: AccessLog = False,
) -> None:
    """Serve forecasts over HTTP: series live in a store, an answered row is on disk. Ctrl-C drains and stops.

    \b
    stepahead serve goog.safetensors
    stepahead serve goog.safetensors names.safetensors --store live.db --port 9000
    stepahead serve goog.safetensors --store postgresql://localhost/stepahead --host 0.0.0.0 --token-file token.txt
    """
    import os

    from stepahead.errors import require

    for module in ("fastapi", "uvicorn", "httptools", "msgspec", "prometheus_client"):
        require(module, extra="serve", purpose="serve")
    from stepahead.server.run import STORE_VARIABLE, Options, serve

    options = Options(
        host=host,
        port=port,
        store=store or os.environ.get(STORE_VARIABLE) or Options.store,
        token_file=token_file,
        allow_host=tuple(allow_host or ()),
        allow_origin=tuple(allow_origin or ()),
        log_level=log_level,
        access_log=access_log,
    )
    serve(models, options)

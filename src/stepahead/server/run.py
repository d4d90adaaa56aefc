"""Run the service until it is told to stop.  Options -> a listening server; SIGTERM and SIGINT drain it."""

import asyncio
import gc
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from stepahead.errors import ConfigError
from stepahead.runtime.cell import has_kernel
from stepahead.server.app import create_app
from stepahead.server.guards import LOOPBACK, Access, host_name, is_loopback
from stepahead.server.logs import LEVELS, log_to_stderr
from stepahead.server.models import open_models
from stepahead.server.routes import is_open
from stepahead.server.service import Service
from stepahead.server.slow import MOST_CONNECTIONS, PatientProtocol, sweep_forever
from stepahead.server.store import open_store

LOG = logging.getLogger("stepahead.server")
TOKEN_VARIABLE = "STEPAHEAD_TOKEN"
STORE_VARIABLE = "STEPAHEAD_STORE"
SHORTEST_TOKEN = 16  # characters
DRAIN_SECONDS = 10
SWITCH_SECONDS = 0.001  # between threads: the writer must not hold the event loop up for longer
BACKLOG = 2048


@dataclass(frozen=True)
class Options:
    """Where to listen, what to keep where, who may ask, what to log."""

    host: str = "127.0.0.1"
    port: int = 8080
    store: str = "stepahead.db"
    token_file: Path | None = None
    allow_host: tuple[str, ...] = ()
    allow_origin: tuple[str, ...] = ()
    log_level: str = "info"
    access_log: bool = False


def serve(paths: Sequence[Path], options: Options) -> None:
    """Serve model files until SIGTERM or SIGINT.

    Raises: ConfigError for options that cannot be, a port that is taken, a store that is in use.
    """
    check_logging(options)
    log_to_stderr(options.log_level)
    sys.setswitchinterval(SWITCH_SECONDS)
    allow_connections()
    access = read_access(options, os.environ)
    models = open_models(paths)
    listening = bind(options.host, options.port)
    store = open_store(options.store)
    service = Service.build(models, store)
    port = listening.getsockname()[1]
    config = uvicorn.Config(
        create_app(service, access, access_log=options.access_log),
        http=PatientProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=60,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        backlog=BACKLOG,
    )
    LOG.info("listening", extra={"url": f"http://{shown_host(options.host)}:{port}/", "models": models.names()})
    calm_collector()
    one_thread()
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, drained)
    Server(config, service).run(sockets=[listening])
    LOG.info("stopped")


def calm_collector() -> None:
    """Let Python look for cycles among what is new, and seldom among all: ten thousand series take it 0.2 s."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 1_000)


def one_thread() -> None:
    """Let the kernel keep to the thread that asks: its batches are small, and the other cores serve the clients."""
    if has_kernel():
        from stepahead import _native

        _native.set_threads(1)


def drained(sign: int, frame: Any) -> None:
    """uvicorn raises the signal again when it has drained: by then it has done its work, and the status is 0."""


class Server(uvicorn.Server):
    """uvicorn's server, which ends the streams of events before it waits for requests to end."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self.service = service
        self.sweeping: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.sweeping = asyncio.create_task(sweep_forever(self.server_state.connections))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        LOG.info("draining", extra={"connections": len(self.server_state.connections)})
        self.service.hub.close()
        if self.sweeping is not None:
            self.sweeping.cancel()
        await super().shutdown(sockets)


def check_logging(options: Options) -> None:
    """Raises: ConfigError for a level that there is not, or that leaves out what is to be logged."""
    level = options.log_level
    if level not in LEVELS:
        raise ConfigError(f"--log-level {level!r}: must be one of {', '.join(LEVELS)}")
    if options.access_log and level not in ("debug", "info"):
        raise ConfigError(f"--access-log: its lines are of level info, which --log-level {level} leaves out; drop one")


def read_access(options: Options, environment: Any) -> Access:
    """Who may ask. Raises: ConfigError where the server is to be reached from elsewhere and there is no token."""
    token = read_token(options.token_file, environment)
    if token is None and not is_loopback(options.host):
        raise ConfigError(
            f"--host {options.host}: is reached from other machines, so a token is needed: "
            f"--token-file FILE, or the environment variable {TOKEN_VARIABLE}"
        )
    names = LOOPBACK | {options.host.lower(), *(host_name(name.encode()) for name in options.allow_host)}
    return Access(token, frozenset(names), frozenset(options.allow_origin), is_open)


def read_token(file: Path | None, environment: Any) -> bytes | None:
    """The token from a file, or from the environment. Raises: ConfigError where it cannot be read or is too short."""
    if file is not None:
        try:
            text, source = file.read_text(encoding="ascii").strip(), f"--token-file {file}"
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"--token-file {file}: cannot be read as ASCII text; check the file") from error
    else:
        text, source = environment.get(TOKEN_VARIABLE, "").strip(), TOKEN_VARIABLE
        if not text:
            return None
    if len(text) < SHORTEST_TOKEN or not text.isascii() or any(c.isspace() for c in text):
        raise ConfigError(f"{source}: a token is at least {SHORTEST_TOKEN} ASCII characters without a space")
    return text.encode()


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises: ConfigError where the address is taken or not this machine's."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"--host {host} --port {port}: cannot listen there ({reason}); choose another") from error
    return listening


def allow_connections() -> None:
    """Let the process hold as many connections as it takes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + 256
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard < 0 else min(wanted, hard), hard))


def shown_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host

"""A PostgreSQL server of the tests' own: Debian's programs, an ordinary user, a free port, a folder that goes away."""

import atexit
import os
import pwd
import shutil
import socket
import subprocess
import uuid
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest


def programs() -> Path | None:
    """The folder with initdb and pg_ctl, newest version first."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: float(p.parent.parent.name))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).parent if on_path else None


def as_user(command: list[str]) -> None:
    """Run a program; as an ordinary user where we are root, for PostgreSQL refuses root."""
    if os.getuid() == 0:
        command = ["setpriv", f"--reuid={owner().pw_uid}", f"--regid={owner().pw_gid}", "--clear-groups", *command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd="/")
    assert done.returncode == 0, done.stdout + done.stderr


def owner() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


@cache
def server() -> str:
    """Start it once; the URL without a database's name. Skips the test where PostgreSQL is not installed."""
    bin = programs()
    if bin is None:
        pytest.skip("PostgreSQL is not installed; tools/install-debian.sh postgresql installs it")
    folder = Path(mkdtemp(prefix="stepahead-postgres-"))
    if os.getuid() == 0:
        shutil.chown(folder, owner().pw_uid, owner().pw_gid)
    data, port = folder / "data", free_port()
    as_user([f"{bin}/initdb", "-D", str(data), "-U", "tester", "-A", "trust", "-E", "UTF8", "--no-locale"])
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c max_connections=50"
    as_user([f"{bin}/pg_ctl", "-D", str(data), "-w", "-l", f"{folder}/log", "-o", options, "start"])

    def stop() -> None:
        as_user([f"{bin}/pg_ctl", "-D", str(data), "-m", "immediate", "stop"])
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(stop)
    return f"postgresql://tester@127.0.0.1:{port}"


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def new_database() -> str:
    """The URL of an empty database."""
    psycopg = pytest.importorskip("psycopg")
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(f"{server()}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"{server()}/{name}"

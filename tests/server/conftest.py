"""What the tests of the service share: a store of either kind, and a client that speaks to the application."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

# Without the extra there is nothing to test here.
collect_ignore_glob = [] if find_spec("fastapi") and find_spec("msgspec") else ["test_*.py"]


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a store may be made, of each kind in turn."""
    from postgres_server import new_database

    return str(tmp_path / "store.db") if request.param == "sqlite" else new_database()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Any]:
    """The application on a new SQLite store."""
    from server_models import models
    from starlette.testclient import TestClient

    from stepahead.server.app import create_app
    from stepahead.server.service import Service
    from stepahead.server.store import open_store

    service = Service.build(models(), open_store(str(tmp_path / "store.db")))
    with TestClient(create_app(service), base_url="http://localhost") as client:
        yield client

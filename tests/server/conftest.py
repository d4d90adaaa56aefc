"""What the tests of the service share: a store of either kind, and a client that speaks to the application."""

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the service is not installed")

from postgres_server import new_database
from server_models import models
from starlette.testclient import TestClient

from stepahead.server.app import create_app
from stepahead.server.service import Service
from stepahead.server.store import open_store


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a store may be made, of each kind in turn."""
    return str(tmp_path / "store.db") if request.param == "sqlite" else new_database()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    """The application on a new SQLite store."""
    service = Service.build(models(), open_store(str(tmp_path / "store.db")))
    with TestClient(create_app(service), base_url="http://localhost") as client:
        yield client

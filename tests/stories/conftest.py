"""What the stories need around them: a kind of database, somebody who publishes, and a patient eye on processes."""

import os
import time
from collections.abc import Callable
from uuid import uuid4

import pytest

from tests.server import Server
from tests.stories.publisher import Publisher

PATIENCE = 60


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest) -> str:
    """The kind of database that servers have."""
    has_postgresql = os.environ.get("DATABASE_URL", "").startswith("postgres")
    if request.param == "postgresql" and not has_postgresql:
        pytest.skip("DATABASE_URL does not name a PostgreSQL")
    if request.param == "sqlite" and has_postgresql:
        pytest.skip("runs where DATABASE_URL names no PostgreSQL")
    return request.param


@pytest.fixture
def alice(server: Server) -> Publisher:
    return Publisher.sign_in(server, "alice")


@pytest.fixture
def box() -> str:
    """A name that nobody has."""
    return f"@acme/box-{uuid4().hex[:8]}"


def eventually(is_so: Callable[[], object], *, every: float = 0.05) -> None:
    """Wait until something is so; fail when it never is."""
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(every)

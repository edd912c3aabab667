"""What the stories need around them: a kind of database, and a patient eye on what other processes do."""

import os
import time
from collections.abc import Callable, Iterator

import pytest

PATIENCE = 60


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    """The kind of database that servers have."""
    with pytest.MonkeyPatch.context() as environment:
        if request.param == "sqlite":
            environment.delenv("DATABASE_URL", raising=False)
        elif not os.environ.get("DATABASE_URL", "").startswith("postgres"):
            pytest.skip("DATABASE_URL does not name a PostgreSQL")
        yield request.param


def eventually(is_so: Callable[[], object], *, every: float = 0.05) -> None:
    """Wait until something is so; fail when it never is."""
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(every)

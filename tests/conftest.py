"""What tests of the whole application stand on.

A test that takes one of the people or the upstream also says `pytestmark = pytest.mark.django_db(transaction=True)`:
commits are real, and `-m django_db` finds it.
"""

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.contenttypes.models import ContentType
from django.db import connection, connections
from django.db.backends.postgresql.operations import DatabaseOperations
from django.db.models import signals

from audit import drain, sequencer, subscribers
from audit.models import Event, Parked
from registry import access, blobs, catalog, counting, policies, safety
from registry.upstream import elsewhere
from sync import pullthrough
from sync import tarballs as sync_tarballs
from sync.binaries import browsing, documents, files
from sync.kinds.registry import client
from tests.actors import Person
from tests.effects import Effects
from tests.fake_upstream import FakeUpstream
from tests.threads import PassingThreads

_FETCHING = (pullthrough, sync_tarballs, documents, files)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first: else the run waits for one of them in the end, with nothing left for the other workers."""
    items.sort(key=lambda item: item.path.parent.name not in ("stories", "clients"))


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup) -> Iterator[None]:
    """Empty the database quickly after each test: it holds little, and TRUNCATE takes as long for nothing."""
    with pytest.MonkeyPatch.context() as patch:
        # Permissions and content types, which Django would make again each time; none of our tests needs them.
        patch.setattr(signals.post_migrate, "receivers", [])
        if connection.vendor == "postgresql":
            patch.setattr(DatabaseOperations, "sql_flush", _deletions)
        yield


def _deletions(_operations: object, _style: object, tables: list[str], **_options: bool) -> list[str]:
    """Empty the tables in any order: what they say of each other goes with them."""
    deletions = [f'DELETE FROM "{table}"' for table in tables]
    steps = ["SET session_replication_role = replica", *deletions, "SET session_replication_role = DEFAULT"]
    return ["; ".join(steps)]  # one trip to the server


@pytest.fixture
def anyone() -> Person:
    """Somebody who is not signed in."""
    return Person()


@pytest.fixture
def alice(transactional_db) -> Person:
    return Person("alice").login()


@pytest.fixture
def bob(transactional_db) -> Person:
    return Person("bob").login()


@pytest.fixture
def upstream(transactional_db, settings) -> Iterator[FakeUpstream]:
    """A registry that we fetch from. Nothing that it says is taken for current: a test about that sets the seconds."""
    settings.FRESH_SECONDS = settings.MISSING_SECONDS = 0
    settings.UPSTREAM_BUDGET_SECONDS, settings.UPSTREAM_TIMEOUT_SECONDS = 1.0, 5.0
    with FakeUpstream() as fake:
        settings.UPSTREAM_URL = fake.url
        yield fake


@pytest.fixture
def effects(transactional_db) -> Effects:
    """What was stored, recorded and asked for since the last look."""
    return Effects()


@pytest.fixture
def crowd() -> Iterator[Callable[[int, Callable[[], Any]], list[Future]]]:
    """`crowd(8, work)`: eight people do the same at the same time; gives the futures of what they got."""
    pools = []

    def _crowd(size: int, work: Callable[[], Any]) -> list[Future]:
        pools.append(ThreadPoolExecutor(size))
        return [pools[-1].submit(_leaving_no_connection, work) for _ in range(size)]

    yield _crowd
    for pool in pools:
        pool.shutdown()


def _leaving_no_connection(work: Callable[[], Any]) -> Any:
    try:
        return work()
    finally:
        connections.close_all()


@pytest.fixture(autouse=True)
def _fresh_process(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test with a database begins like a process that was just started, and leaves nothing behind."""
    marker = request.node.get_closest_marker("django_db")
    if marker is None and "transactional_db" not in request.fixturenames:
        yield
        return
    request.getfixturevalue("transactional_db" if _commits(request) else "db")
    _forget()
    pools = [PassingThreads(16) for _ in _FETCHING]
    for module, pool in zip(_FETCHING, pools, strict=True):
        monkeypatch.setattr(module, "_threads", pool)
    yield
    for pool in pools:
        pool.shutdown()
    if _commits(request) and "_own_journal" not in request.fixturenames:  # the journal's own tests park on purpose
        _let_them_hear()
        assert list(Parked.objects.values_list("subscriber", "error")) == [], "a subscriber failed"
    assert list(blobs.spool_folder().iterdir()) == [], "spool files were left"
    shutil.rmtree(django_settings.VAR / "blobs", ignore_errors=True)
    _forget()


def _let_them_hear() -> None:
    """All subscribers that any event is for; the others would only learn that nothing is."""
    sequencer.sequence()
    kinds = set(Event.objects.values_list("kind", flat=True))
    for subscriber in subscribers.registered():
        while any(subscriber.wants(kind) for kind in kinds) and drain.drain(subscriber):
            pass


def _commits(request: pytest.FixtureRequest) -> bool:
    """Whether the test's transactions are real ones."""
    marker = request.node.get_closest_marker("django_db")
    return "transactional_db" in request.fixturenames or bool(marker and marker.kwargs.get("transaction"))


def _forget() -> None:
    catalog.forget()
    access.forget()
    counting._counts.clear()  # what another test of this process has downloaded
    ContentType.objects.clear_cache()
    for remembered in (elsewhere, client, policies._policies, safety.versions, browsing._safe_part):
        remembered.cache_clear()

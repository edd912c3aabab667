"""A journal of its own for each test: its own kinds and subscribers, and a wake that is not throttled."""

from collections.abc import Callable, Iterator
from typing import Protocol

import pytest
from django.db import connection, transaction
from django.utils import timezone

from audit import drain, kinds, leases, subscribers, wake
from audit.actors import Actor
from audit.journal import record
from audit.models import Cursor, Event
from audit.subscribers import Subscriber
from tests.audit.listeners import Killed, Listener

ALICE = Actor.user("alice")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("postgres") and connection.vendor != "postgresql":
        pytest.skip("DATABASE_URL does not name a PostgreSQL")


@pytest.fixture(autouse=True)
def _own_journal(monkeypatch: pytest.MonkeyPatch, settings) -> None:
    settings.AUDIT = {}  # no commit of a test wakes a real worker
    monkeypatch.setattr(kinds, "_defined", {})
    monkeypatch.setattr(subscribers, "_registered", [])
    monkeypatch.setattr(wake, "_nudges", wake.Throttle(seconds=0))
    monkeypatch.setattr(wake, "_complaints", wake.Throttle(seconds=60))
    kinds.define("package.changed", "{actor} changed {subject}")
    kinds.define("user.created", "{actor} created {subject}")


class Happen(Protocol):
    def __call__(self, subject: str, kind: str = "package.changed") -> Event: ...


@pytest.fixture
def happen() -> Happen:
    """Records one event in a transaction of its own."""

    def _happen(subject: str, kind: str = "package.changed") -> Event:
        with transaction.atomic():
            return record(kind, subject, actor=ALICE)

    return _happen


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
def subscribed(listener: Listener) -> Subscriber:
    """The listener, subscribed to everything of packages."""
    subscriber = Subscriber("test.listener", ("package.*",), listener.hear)
    subscribers.register(subscriber)
    return subscriber


@pytest.fixture
def die(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Subscriber], None]]:
    """Drains until the listener kills the process: the lease is not released, and runs out."""

    def _die(subscriber: Subscriber) -> None:
        with monkeypatch.context() as dead:
            dead.setattr(leases.Lease, "release", lambda lease: None)
            with pytest.raises(Killed):
                drain.drain(subscriber)
        Cursor.objects.filter(name=subscriber.name).update(leased_until=timezone.now() - leases.LEASE)

    return _die

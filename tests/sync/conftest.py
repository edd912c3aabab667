"""What tests of upstreams need beside the upstream itself."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import pytest
from redis import Redis

import config.wsgi  # noqa: F401 (it sets logging up; done within a test, that takes caplog's handler away)
from registry import catalog
from sync import routing, shared
from sync.models import Doubt, Freshness, Upstream
from tests import services


@pytest.fixture(autouse=True)
def _of_no_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy of the environment's, and no rules that another test's process has read."""
    monkeypatch.setattr(routing, "_map", None)
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def later() -> Callable[[], None]:
    """`later()`: all that upstreams have said is old by now, and no breaker is open."""

    def _later() -> None:
        catalog.forget()
        Freshness.objects.update(checked_at="2020-01-01T00:00:00Z")
        Upstream.objects.update(failures=0, resting_until=None)
        routing.forget()

    return _later


@pytest.fixture
def eventually() -> Callable[[Callable[[], Any]], Any]:
    """`eventually(is_so)`: wait until it is so, and give what it gave."""

    def _eventually(is_so: Callable[[], Any], seconds: float = 20) -> Any:
        deadline = time.monotonic() + seconds
        while not (found := is_so()):
            assert time.monotonic() < deadline, "it never was"
            time.sleep(0.02)
        return found

    return _eventually


@pytest.fixture(scope="session")
def redis_server() -> Iterator[services.Service]:
    """A Redis that a test may stop, as long as it starts it again."""
    with ExitStack() as running:
        try:
            server = running.enter_context(services.redis_server())
        except services.Absent as reason:
            (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(str(reason))
        yield server


@pytest.fixture
def redis(redis_server, settings) -> Iterator[Redis]:
    """A Redis, empty, that sync uses."""
    settings.REDIS_URL = redis_server.url
    shared.forget()
    with Redis.from_url(redis_server.url) as client:
        client.flushall()
        yield client
    shared.forget()


@pytest.fixture
def confirm(later) -> Callable[[], None]:
    """`confirm()`: what was gone from an upstream was so for longer than it takes to be believed."""

    def _confirm() -> None:
        later()
        long_ago = datetime(2020, 1, 1, tzinfo=UTC)
        for doubt in Doubt.objects.all():
            doubt.numbers = dict.fromkeys(doubt.numbers, long_ago.timestamp())
            doubt.gone_since = doubt.gone_since and long_ago
            doubt.due_at = long_ago
            doubt.save()

    return _confirm

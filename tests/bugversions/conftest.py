"""What tests of rules need: an operator, a package with versions, and a short way to say a rule."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from audit import drain
from audit.actors import Actor
from bugversions import editing, node
from bugversions.models import BugVersion
from bugversions.values import Rule
from registry import catalog
from sync.models import Freshness

WHY = "it steals what it finds"


@pytest.fixture(autouse=True)
def _of_no_other_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """No ranges that another test's process has read."""
    monkeypatch.setattr(node, "_known", None)


@pytest.fixture
def operator() -> Actor:
    return Actor.system("a test")


@pytest.fixture
def rule(operator: Actor) -> Callable[..., BugVersion]:
    """`rule("axios", "1.14.1", "replace", replacement="1.14.0")`: made by an operator."""

    def _rule(package: str, versions: str, action: str, reason: str = WHY, **facts: Any) -> BugVersion:
        return editing.add(Rule(package, versions, action, reason, **facts), actor=operator)

    return _rule


@pytest.fixture
def axios(upstream) -> Iterator[Any]:
    """A package of an upstream whose newest version is bad, and has another one before it."""
    upstream.publish("axios", "1.13.0", tag="old")
    upstream.publish("axios", "1.14.0", dependencies={"follow-redirects": "^1.0.0"}, main="index.js")
    upstream.publish("axios", "1.14.1", scripts={"postinstall": "node steal.js"}, dependencies={"evil": "^1.0.0"})
    return upstream


@pytest.fixture
def heard(transactional_db) -> Callable[[], None]:
    """`heard()`: all subscribers have heard of all that happened."""
    return drain.drain_all


@pytest.fixture
def later() -> Callable[[], None]:
    """`later()`: all that upstreams have said is old by now."""

    def _later() -> None:
        catalog.forget()
        Freshness.objects.update(checked_at="2020-01-01T00:00:00Z")

    return _later

"""Both ways to an answer, and a package to read."""

import pytest

from registry import policies
from registry.policies import Judgement
from tests.actors import Person
from tests.fake_upstream import FakeUpstream
from tests.registry.scripted import Scripted, touch


@pytest.fixture(params=["through the front door", "through Django"])
def _either_way(request, settings) -> None:
    """Run the test twice: with ready answers from memory, and with the front door off."""
    settings.FRONT_DOOR = request.param == "through the front door"


@pytest.fixture
def patient(upstream: FakeUpstream, settings) -> FakeUpstream:
    """An upstream whose word holds for the length of a test."""
    settings.FRESH_SECONDS = settings.MISSING_SECONDS = 300
    return upstream


@pytest.fixture
def judge(settings, monkeypatch):
    """Lets a policy say something else from now on, and readers know, as a change of its rows would.

    `at_once=False`: as when its answer changes with the clock, and the package with it in no way.
    """
    settings.REGISTRY = {
        **settings.REGISTRY,
        "POLICIES": ["registry.policies.Blocks", "tests.registry.scripted.Scripted"],
    }
    policies._policies.cache_clear()

    def say(*, at_once: bool = True, **judgement) -> None:
        monkeypatch.setattr(Scripted, "judgement", Judgement(**judgement))
        if at_once:
            touch()

    return say


@pytest.fixture
def pad(alice: Person) -> str:
    """A scoped package with three versions."""
    for version, change in {
        "1.0.0": {},
        "1.1.0": {"scripts": {"install": "make"}},
        "2.0.0-rc.1": {"tag": "next"},
    }.items():
        answer = alice.publish("@acme/pad", version, **change)
        assert answer.status == 201, answer.body
    return "@acme/pad"

"""Wiring that cannot work is said at start-up."""

import pytest
from django.core import checks

from audit import subscribers
from audit.subscribers import Subscriber

LISTENER = Subscriber("test.listener", ("package.*", "user.created"), print)


def complaints() -> list[str]:
    return [message.id for message in checks.run_checks() if message.id and message.id.startswith("audit.")]


def test_sound_wiring_is_not_complained_of(settings):
    settings.AUDIT = {"WAKE": "audit.drain.drain_all"}
    subscribers.register(LISTENER)
    assert complaints() == []


def test_two_subscribers_of_one_name():
    subscribers.register(LISTENER)
    subscribers.register(LISTENER)
    assert complaints() == ["audit.E001"]


def test_a_pattern_that_no_kind_matches():
    subscribers.register(Subscriber("test.deaf", ("package.*", "pakcage.*"), print))
    assert complaints() == ["audit.E002"]


@pytest.mark.parametrize("path", ["nowhere.at.all", "audit.drain.nothing", "nodots", "audit.drain.BATCH"])
def test_a_wake_that_cannot_be_called(path, settings):
    settings.AUDIT = {"WAKE": path}
    assert complaints() == ["audit.E003"]

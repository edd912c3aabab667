"""An event is written in the transaction of its change, whole or not at all."""

import logging

import pytest
from django.db import transaction

from audit import wake
from audit.actors import Actor, RequestFacts
from audit.journal import NotInTransaction, record
from audit.kinds import MissingFacts, UndefinedKind, define
from audit.models import Event, EventIsFinal

pytestmark = pytest.mark.django_db
ALICE = Actor.user("alice")

nudges: list[str] = []


def nudge() -> None:
    nudges.append("nudged")


def broken_nudge() -> None:
    nudges.append("broken")
    raise ConnectionError("the broker is down")


@pytest.fixture(autouse=True)
def _no_nudges() -> None:
    nudges.clear()


@pytest.mark.django_db(transaction=True)
def test_recording_outside_a_transaction_is_refused():
    with pytest.raises(NotInTransaction):
        record("package.changed", "package:left-pad", actor=ALICE)
    assert not Event.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_an_event_goes_when_its_change_is_rolled_back(settings):
    settings.AUDIT = {"WAKE": f"{__name__}.nudge"}
    with transaction.atomic():
        record("package.changed", "package:left-pad", actor=ALICE)
        transaction.set_rollback(True)
    assert not Event.objects.exists()
    assert nudges == []


def test_who_where_and_what_are_copied_into_the_event():
    published = define("package.version.published", "{actor} published {subject} {version}")
    actor = ALICE.as_of(RequestFacts(request_id="req-1", origin="192.0.2.7"))

    record(published, "package:left-pad", actor=actor, version="1.3.0", tags=("latest",))

    event = Event.objects.get()
    assert (event.kind, event.subject) == ("package.version.published", "package:left-pad")
    assert (event.actor_kind, event.actor_name) == ("user", "alice")
    assert (event.origin, event.request_id) == ("192.0.2.7", "req-1")
    assert event.facts == {"version": "1.3.0", "tags": ["latest"]}
    assert event.sentence == "alice published package:left-pad 1.3.0"
    assert event.serial is None


def test_an_undefined_kind_is_refused():
    with pytest.raises(UndefinedKind, match=r"package\.chnaged"):
        record("package.chnaged", "package:left-pad", actor=ALICE)


def test_an_event_must_carry_the_facts_that_its_kind_promises():
    define("tag.moved", "{actor} moved {tag} of {subject}", facts=["version"])
    with pytest.raises(MissingFacts, match="version"):
        record("tag.moved", "package:left-pad", actor=ALICE, tag="latest")


def test_a_kind_cannot_be_defined_twice_in_two_ways():
    define("package.changed", "{actor} changed {subject}")
    with pytest.raises(ValueError, match="twice"):
        define("package.changed", "something else")


def test_text_that_a_database_refuses_does_not_fail_the_change():
    stranger = Actor.user("mal\0lory" + "y" * 400)
    record("package.changed", "package:left-pad", actor=stranger, note="half a pair \ud83d", more={"a\0": ["\0"]})
    event = Event.objects.get()
    assert event.actor_name.startswith("mal\ufffdlory")
    assert event.facts == {"note": "half a pair ?", "more": {"a\ufffd": ["\ufffd"]}}


def test_an_event_of_a_forgotten_kind_can_still_be_read(happen):
    event = happen("package:left-pad")
    Event.objects.filter(pk=event.pk).update(kind="package.gone")
    assert Event.objects.get().sentence == "package.gone package:left-pad"


def test_a_fact_that_an_old_row_lacks_reads_as_an_ellipsis():
    define("tag.moved", "{actor} moved {tag} of {subject}")
    event = record("tag.moved", "package:left-pad", actor=Actor.anonymous(), tag="latest")
    Event.objects.filter(pk=event.pk).update(facts={})
    assert Event.objects.get().sentence == "anonymous moved … of package:left-pad"


def test_an_event_is_final(happen):
    event = happen("package:left-pad")
    event.subject = "package:right-pad"
    with pytest.raises(EventIsFinal):
        event.save()
    with pytest.raises(EventIsFinal):
        event.delete()
    assert Event.objects.get().subject == "package:left-pad"


def test_the_drain_is_woken_once_the_change_is_committed(settings, django_capture_on_commit_callbacks, happen):
    settings.AUDIT = {"WAKE": f"{__name__}.nudge"}
    with django_capture_on_commit_callbacks(execute=True):
        happen("package:left-pad")
        assert nudges == []
    assert nudges == ["nudged"]


def test_many_events_make_one_nudge(settings, monkeypatch, django_capture_on_commit_callbacks, happen):
    settings.AUDIT = {"WAKE": f"{__name__}.nudge"}
    monkeypatch.setattr(wake, "_nudges", wake.Throttle(seconds=3600))
    with django_capture_on_commit_callbacks(execute=True):
        for number in range(5):
            happen(f"package:p{number}")
    assert nudges == ["nudged"]


@pytest.mark.parametrize("path", [f"{__name__}.broken_nudge", "nowhere.at.all", "nodots"])
def test_a_wake_that_fails_harms_nobody_and_complains_once(
    path, settings, caplog, django_capture_on_commit_callbacks, happen
):
    settings.AUDIT = {"WAKE": path}
    with caplog.at_level(logging.ERROR, "audit.wake"), django_capture_on_commit_callbacks(execute=True):
        happen("package:left-pad")
        happen("package:right-pad")
    assert len(caplog.records) == 1
    assert Event.objects.count() == 2


def test_nothing_is_woken_where_nothing_is_set(django_capture_on_commit_callbacks, happen):
    with django_capture_on_commit_callbacks(execute=True):
        happen("package:left-pad")
    assert nudges == []

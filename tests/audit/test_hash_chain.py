"""History that was edited by hand is found out."""

import io

import pytest
from django.core.management import CommandError, call_command

from audit import chain
from audit.actors import Actor
from audit.chain import verify
from audit.journal import record
from audit.models import Cursor, Event
from audit.sequencer import sequence

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _history(happen) -> None:
    for number in range(1, 4):
        happen(f"p{number}")
    sequence()
    happen("p4")
    happen("p5")
    sequence()


def event(serial: int):
    return Event.objects.filter(serial=serial)


def test_an_untouched_history_holds():
    verdict = verify()
    assert (verdict.events, verdict.fault) == (5, "")
    assert verdict.head == event(5).get().hash


def test_an_empty_history_holds():
    Event.objects.all().delete()
    Cursor.objects.all().delete()
    assert verify() == chain.Verdict(events=0, head="")


def test_facts_of_every_shape_survive_the_database():
    facts = {
        "text": "ü 🦊",
        "number": 1e3,
        "big": 2**53,
        "none": None,
        "nested": {"b": [1, 2.5, True], "a": {}},
    }
    record("package.changed", "p6", actor=Actor.upstream("upstream.example"), **facts)
    sequence()
    assert verify().fault == ""


@pytest.mark.parametrize(
    "edit",
    [
        {"subject": "q3"},
        {"actor_name": "mallory"},
        {"facts": {"reason": "none"}},
        {"at": "2001-01-01T00:00:00Z"},
        {"request_id": "x"},
        {"hash": "0" * 64},
    ],
    ids=lambda edit: next(iter(edit)),
)
def test_an_edited_row_is_named(edit):
    event(3).update(**edit)
    assert verify() == chain.Verdict(2, event(2).get().hash, "event 3 was changed")


def test_a_row_edited_with_its_hash_is_noticed_at_the_next():
    edited = event(3).get()
    edited.subject = "q3"
    event(3).update(subject="q3", hash=chain.digest(edited, edited.previous_hash))
    assert verify().fault == "event 4 does not continue event 3: one of them was changed"


@pytest.mark.parametrize(("deleted", "fault"), [
    ([1], "event 1 is missing"),
    ([3], "event 3 is missing"),
    ([2, 3, 4], "events 2 to 4 are missing"),
    ([5], "event 5 is missing"),
    ([1, 2, 3, 4, 5], "events 1 to 5 are missing"),
])  # fmt: skip
def test_a_deleted_row_is_missed(deleted, fault):
    Event.objects.filter(serial__in=deleted).delete()
    assert verify().fault == fault


def test_the_number_of_a_deleted_row_is_not_given_again(happen):
    event(5).delete()
    happen("p6")
    sequence()
    assert Event.objects.get(subject="p6").serial == 6
    assert verify().fault == "event 5 is missing"


def test_the_command_tells_the_head_of_a_whole_chain_and_fails_on_a_broken_one():
    out = io.StringIO()
    call_command("audit", "verify", stdout=out)
    assert "5 events, unbroken" in out.getvalue()
    assert event(5).get().hash in out.getvalue()

    event(2).delete()
    with pytest.raises(CommandError, match="event 2 is missing") as failure:
        call_command("audit", "verify")
    assert failure.value.returncode == 1

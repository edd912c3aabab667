"""Events are numbered in the order of their commits: without gaps, without doubles, whoever numbers."""

from collections.abc import Callable
from threading import Event as Signal
from threading import Thread

import pytest
from django.db import connection, transaction

from audit import chain, leases, sequencer
from audit.actors import Actor
from audit.drain import drain, drain_all
from audit.journal import record
from audit.leases import LeaseLost
from audit.models import SEQUENCER, Cursor, Event
from audit.sequencer import sequence

pytestmark = pytest.mark.django_db
ALICE = Actor.user("alice")


def in_order() -> list[tuple[int, str]]:
    return list(Event.objects.sequenced().values_list("serial", "subject"))


def test_numbers_go_on_from_where_they_stopped(happen):
    happen("a")
    happen("b")
    assert sequence() == 2
    happen("c")
    assert sequence() == 1
    assert sequence() == 0
    assert in_order() == [(1, "a"), (2, "b"), (3, "c")]
    assert Cursor.objects.head() == 3


def test_a_large_backlog_is_numbered_in_portions(happen):
    for number in range(5):
        happen(f"p{number}")
    assert [sequence(limit=2) for _ in range(4)] == [2, 2, 1, 0]
    assert in_order() == [(1, "p0"), (2, "p1"), (3, "p2"), (4, "p3"), (5, "p4")]


def test_a_second_sequencer_leaves(happen):
    happen("a")
    sequence()
    happen("b")
    with leases.hold(Cursor.objects.get(name=SEQUENCER)):
        assert sequence() == 0
    assert sequence() == 1


def test_a_sequencer_that_lost_its_lease_writes_nothing(happen):
    happen("a")
    with leases.hold(sequencer._cursor()) as lease:
        Cursor.objects.filter(name=SEQUENCER).update(leased_by="another")
        with pytest.raises(LeaseLost):
            sequencer._number(lease, 10)
    assert in_order() == []
    assert Cursor.objects.head() == 0


def test_rows_numbered_under_its_hands_make_a_sequencer_write_nothing(happen, monkeypatch):
    happen("a")
    b = happen("b")

    def link_and_interfere(batch, last, link=sequencer._link):
        link(batch, last)
        Event.objects.filter(pk=b.pk).update(serial=77)

    monkeypatch.setattr(sequencer, "_link", link_and_interfere)
    with pytest.raises(sequencer.SequenceBroken):
        sequence()
    assert in_order() == []
    assert Cursor.objects.head() == 0


def test_a_lost_cursor_is_made_anew_behind_the_last_number(happen):
    happen("a")
    sequence()
    Cursor.objects.all().delete()
    happen("b")
    sequence()
    assert in_order() == [(1, "a"), (2, "b")]
    assert not chain.verify().fault


@pytest.mark.django_db(transaction=True)
def test_uncommitted_events_cannot_be_numbered(happen):
    with transaction.atomic():
        record("package.changed", "a", actor=ALICE)
        with pytest.raises(RuntimeError, match="durable"):
            sequence()
    assert in_order() == []
    assert sequence() == 1


class SlowTransaction(Thread):
    """Records an event, and commits only when it is told to."""

    def __init__(self, subject: str) -> None:
        super().__init__(daemon=True)
        self.subject, self.recorded, self.may_commit = subject, Signal(), Signal()

    def run(self) -> None:
        try:
            with transaction.atomic():
                record("package.changed", self.subject, actor=ALICE)
                self.recorded.set()
                self.may_commit.wait(30)
        finally:
            connection.close()

    def commit(self) -> None:
        self.may_commit.set()
        self.join(30)


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_who_commits_later_gets_the_later_number(happen):
    slow = SlowTransaction("inserted first")
    slow.start()
    assert slow.recorded.wait(30)
    happen("committed first")
    sequence()
    slow.commit()
    sequence()

    assert in_order() == [(1, "committed first"), (2, "inserted first")]
    assert Event.objects.get(serial=1).pk > Event.objects.get(serial=2).pk
    assert not chain.verify().fault


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_cursor_does_not_skip_what_commits_late(happen, subscribed, listener):
    slow = SlowTransaction("slow")
    slow.start()
    assert slow.recorded.wait(30)
    happen("quick")
    drain_all()
    assert listener.heard == ["quick"]
    slow.commit()
    drain_all()
    assert listener.heard == ["quick", "slow"]


def write(name: str) -> None:
    for number in range(40):
        with transaction.atomic():
            record("package.changed", f"{name}.{number}", actor=ALICE)
            transaction.set_rollback(number % 7 == 3)  # a number that the primary key leaves out


def start(work: Callable[..., object], *args: object) -> Thread:
    """Runs work in a thread, with a connection of its own."""

    def run() -> None:
        try:
            work(*args)
        finally:
            connection.close()

    thread = Thread(target=run, daemon=True)
    thread.start()
    return thread


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_writers_sequencers_and_readers_at_once_lose_nothing(subscribed, listener):
    writers_done = Signal()

    def repeat(step: Callable[..., object], *args: object) -> None:
        while not writers_done.is_set():
            step(*args)

    background = [start(repeat, sequence, 7), start(repeat, sequence, 7)]
    background += [start(repeat, drain, subscribed), start(repeat, drain, subscribed)]
    for writer in [start(write, name) for name in ("w0", "w1", "w2", "w3")]:
        writer.join(60)
    writers_done.set()
    for thread in background:
        thread.join(60)
    drain_all()

    written = {f"w{writer}.{number}" for writer in range(4) for number in range(40) if number % 7 != 3}
    assert [serial for serial, _ in in_order()] == list(range(1, len(written) + 1))
    assert listener.heard == [subject for _, subject in in_order()]
    assert set(listener.heard) == written
    assert not chain.verify().fault

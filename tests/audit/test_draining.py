"""Every subscriber hears what it asked for: all of it, in order, from where it stopped."""

import io

import pytest
from django.core.management import call_command

from audit import drain as draining
from audit import leases, subscribers
from audit.drain import drain, drain_all
from audit.models import Cursor, Parked
from audit.subscribers import Subscriber, subscriber
from audit.tasks import drain_all as drain_task

pytestmark = pytest.mark.django_db


def position(name: str = "test.listener") -> int:
    return Cursor.objects.get(name=name).serial


def test_a_subscriber_hears_its_kinds_in_order_and_once(happen, subscribed, listener):
    happen("a")
    happen("alice", "user.created")
    happen("b")
    assert drain_all() == 3
    assert drain_all() == 0
    assert listener.heard == ["a", "b"]
    assert position() == 3


def test_a_decorated_function_hears(happen):
    heard = []

    @subscriber("test.decorated", kinds=["package.changed"])
    def hear(event):
        heard.append(event.sentence)

    happen("package:left-pad")
    drain_all()
    assert heard == ["alice changed package:left-pad"]


def test_a_new_subscriber_hears_from_the_first_event_on(happen, listener):
    happen("a")
    drain_all()
    subscribers.register(Subscriber("test.late", ("package.*",), listener.hear))
    happen("b")
    drain_all()
    assert listener.heard == ["a", "b"]


def test_one_declared_from_now_hears_from_its_first_pass_on(happen, listener):
    happen("a")
    drain_all()
    subscribers.register(Subscriber("test.late", ("package.*",), listener.hear, from_now=True))
    drain_all()
    happen("b")
    drain_all()
    assert listener.heard == ["b"]


def test_batches_follow_each_other(happen, subscribed, listener, monkeypatch):
    monkeypatch.setattr(draining, "BATCH", 2)
    for number in range(5):
        happen(f"p{number}")
    draining.sequence()
    assert [drain(subscribed) for _ in range(4)] == [2, 2, 1, 0]
    assert listener.heard == ["p0", "p1", "p2", "p3", "p4"]


def test_events_of_one_subject_are_heard_once_where_that_is_declared(happen, listener):
    subscribers.register(Subscriber("test.warm", ("package.*",), listener.hear, coalesce="subject"))
    for subject in ["a", "b", "a", "c", "b", "a"]:
        happen(subject)
    drain_all()
    assert listener.heard == ["c", "b", "a"]
    assert position("test.warm") == 6


def test_a_pass_whose_time_is_up_goes_on_where_it_stopped(happen, listener):
    warm = Subscriber("test.warm", ("package.*",), listener.hear, coalesce="subject")
    for subject in ["a", "b", "a", "c", "b"]:
        happen(subject)
    draining.sequence()
    while drain(warm, seconds=0):
        pass
    assert listener.heard == ["a", "c", "b"]
    assert position("test.warm") == 5


def test_a_poisoned_event_is_parked_and_the_rest_is_heard(happen, subscribed, listener):
    listener.poisonous = {"b"}
    for subject in ["a", "b", "c"]:
        happen(subject)
    drain_all()
    assert listener.heard == ["a", "c"]
    assert position() == 3
    parked = Parked.objects.get()
    assert (parked.subscriber, parked.event.subject, parked.attempts) == ("test.listener", "b", 1)
    assert "cannot swallow b" in parked.error


def test_one_subscriber_who_fails_does_not_keep_the_others_from_hearing(happen, subscribed, listener):
    def fail(event):
        raise ValueError("no")

    subscribers.register(Subscriber("test.failing", ("*",), fail))
    happen("a")
    drain_all()
    assert listener.heard == ["a"]
    assert Parked.objects.get().subscriber == "test.failing"


def test_what_a_dead_process_had_not_finished_is_heard_again(happen, subscribed, listener, die):
    happen("a")
    happen("b")
    draining.sequence()
    listener.deadly = {"b"}
    die(subscribed)
    listener.deadly = set()
    drain_all()
    assert listener.heard == ["a", "a", "b"]
    assert not Parked.objects.exists()
    assert not Cursor.objects.get(name="test.listener").leased_by


def test_an_event_that_kills_the_process_again_and_again_is_gone_around(happen, subscribed, listener, die):
    for subject in ["a", "b", "c"]:
        happen(subject)
    draining.sequence()
    listener.deadly = {"b"}
    die(subscribed)
    die(subscribed)
    drain_all()
    assert listener.heard[-1] == "c"
    assert position() == 3
    assert Parked.objects.get().event.subject == "b"


def test_who_does_not_get_the_lease_leaves(happen, subscribed, listener):
    happen("a")
    drain_all()
    happen("b")
    with leases.hold(Cursor.objects.get(name="test.listener")):
        drain_all()
        assert listener.heard == ["a"]
    drain_all()
    assert listener.heard == ["a", "b"]


def test_a_subscriber_that_lost_its_lease_does_not_move_the_cursor(happen, listener):
    def slow(event):
        Cursor.objects.filter(name="test.slow").update(leased_by="another")
        listener.hear(event)

    subscribers.register(Subscriber("test.slow", ("package.*",), slow))
    happen("a")
    drain_all()
    assert listener.heard == ["a"]
    assert position("test.slow") == 0
    assert Cursor.objects.get(name="test.slow").leased_by == "another"


def test_the_task_and_the_command_drain(happen, subscribed, listener):
    happen("a")
    drain_task()
    happen("b")
    out = io.StringIO()
    call_command("drain", stdout=out)
    assert listener.heard == ["a", "b"]
    assert "moved by 1 events" in out.getvalue()

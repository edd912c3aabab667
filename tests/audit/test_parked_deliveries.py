"""What a subscriber failed to hear is tried again, less and less often, until it goes through."""

from datetime import timedelta

import pytest
from django.utils import timezone

from audit import parking, subscribers
from audit.drain import drain_all, retry_parked
from audit.models import Parked
from audit.tasks import retry_parked as retry_task
from tests.audit.listeners import Killed

pytestmark = pytest.mark.django_db


@pytest.fixture
def parked(happen, subscribed, listener) -> Parked:
    """A delivery of `poison` that failed once and is due again."""
    listener.poisonous = {"poison"}
    happen("poison")
    drain_all()
    return make_due()


def make_due() -> Parked:
    Parked.objects.update(next_try=timezone.now() - timedelta(seconds=1))
    return Parked.objects.get()


def test_a_retry_that_goes_through_ends_the_matter(parked, listener):
    listener.poisonous = set()
    assert retry_parked() == 1
    assert listener.heard == ["poison"]
    assert not Parked.objects.exists()


def test_a_retry_that_fails_waits_for_its_next_turn(parked, listener):
    assert retry_parked() == 0
    again = Parked.objects.get()
    assert again.attempts == 2
    assert again.next_try > timezone.now()
    listener.poisonous = set()
    assert retry_parked() == 0, "it is not due yet"
    make_due()
    retry_task()
    assert listener.heard == ["poison"]


def test_the_newest_error_is_kept(parked, subscribed, monkeypatch):
    def fail(event):
        raise KeyError("another\0 reason")

    monkeypatch.setattr(subscribers, "_registered", [subscribers.Subscriber("test.listener", ("*",), fail)])
    retry_parked()
    assert "another" in Parked.objects.get().error


def test_an_endless_error_is_cut_where_it_says_least(happen, subscribed, listener):
    listener.poisonous = {"p" * 300}
    happen("p" * 300)
    parking.note_failure("test.other", happen("q"), ValueError("x" * 20_000 + "the end"))
    error = Parked.objects.get(subscriber="test.other").error
    assert len(error) == parking.ERROR_LENGTH
    assert error.rstrip().endswith("the end")


def test_a_delivery_is_retried_by_one_process_only(parked):
    as_another_process_read_it = Parked.objects.get()
    assert parking.claim(parked)
    assert not parking.claim(as_another_process_read_it)


def test_a_retry_that_kills_the_process_has_counted(parked, listener):
    listener.deadly = {"poison"}
    with pytest.raises(Killed):
        retry_parked()
    assert Parked.objects.get().attempts == 2
    assert not Parked.objects.due().exists()


def test_a_delivery_to_a_subscriber_that_is_gone_stays(parked, monkeypatch):
    monkeypatch.setattr(subscribers, "_registered", [])
    assert retry_parked() == 0
    assert Parked.objects.get().attempts == 1


def test_waits_grow_to_an_hour_and_no_further():
    assert timedelta(seconds=7) < parking.back_off(1) <= timedelta(seconds=15)
    assert timedelta(seconds=60) <= parking.back_off(4) <= timedelta(seconds=120)
    assert timedelta(minutes=30) <= parking.back_off(10_000) <= timedelta(hours=1)

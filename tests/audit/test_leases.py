"""One reader per cursor at a time, and none for ever."""

from datetime import timedelta

import pytest
from django.utils import timezone

from audit import leases
from audit.leases import LeaseLost
from audit.models import Cursor

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _cursor() -> None:
    Cursor.objects.create(name="test.reader", serial=5)


def read() -> Cursor:
    return Cursor.objects.get(name="test.reader")


def run_out() -> None:
    Cursor.objects.update(leased_until=timezone.now() - timedelta(seconds=1))


def test_a_lease_is_had_by_one_and_given_back():
    with leases.hold(read()) as mine:
        assert mine is not None
        with leases.hold(read()) as theirs:
            assert theirs is None
    with leases.hold(read()) as theirs:
        assert theirs is not None
        assert not theirs.is_inherited


def test_it_is_given_back_when_the_reader_fails():
    with pytest.raises(ValueError, match="oops"), leases.hold(read()):
        raise ValueError("oops")
    assert read().leased_by == ""


def test_of_two_who_saw_it_free_one_gets_it():
    seen_by_one, seen_by_other = read(), read()
    with leases.hold(seen_by_one) as one, leases.hold(seen_by_other) as other:
        assert one is not None
        assert other is None


def test_a_cursor_that_moved_since_it_was_read_is_not_leased():
    stale = read()
    with leases.hold(read()) as lease:
        lease.advance(6)
    with leases.hold(stale) as lease:
        assert lease is None


def test_the_lease_of_the_dead_is_taken_again():
    with leases.hold(read()) as slow:
        run_out()
        with leases.hold(read()) as heir:
            assert heir is not None
            assert heir.is_inherited
            heir.advance(9)
            with pytest.raises(LeaseLost):
                slow.advance(7)
        assert read().serial == 9


def test_who_lost_the_lease_does_not_release_it_for_its_heir():
    with leases.hold(read()):
        run_out()
        heir = leases._claim(read())
    with leases.hold(read()) as third:
        assert third is None
    heir.release()


def test_a_lease_is_renewed_only_when_much_of_it_is_used_up(django_assert_num_queries, monkeypatch):
    with leases.hold(read()) as lease:
        with django_assert_num_queries(0):
            lease.keep(6)
        monkeypatch.setattr(leases, "LEASE", timedelta(0))
        lease.keep(7)
    assert read().serial == 7

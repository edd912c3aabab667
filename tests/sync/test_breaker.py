"""The breaker: an upstream that keeps failing is left alone for a while, where an operator can see and end it."""

from datetime import timedelta
from itertools import pairwise

import pytest
from django.utils import timezone

from sync import breaker, queue, running
from sync.http import ForbiddenTarget, TooLarge, Unreachable
from sync.models import Upstream

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def row(upstream, anyone) -> Upstream:
    """The upstream's row, as the first question makes it."""
    anyone.view("nothing")
    return Upstream.objects.get()


def fail(row: Upstream, times: int, *, retry_after: float | None = None) -> Upstream:
    for _ in range(times):
        breaker.failed(row, Unreachable("it is ill", retry_after=retry_after))
    row.refresh_from_db()
    return row


def over(row: Upstream) -> None:
    """Its rest is over, but nothing is forgotten."""
    Upstream.objects.filter(pk=row.pk).update(resting_until=timezone.now() - timedelta(seconds=1))


def rest(row: Upstream) -> float:
    assert row.resting_until
    return (row.resting_until - timezone.now()).total_seconds()


def test_a_few_failures_are_borne(row):
    assert not breaker.resting(fail(row, breaker.TOLERATED - 1))
    assert (row.failures, row.last_error) == (breaker.TOLERATED - 1, "it is ill")


def test_more_of_them_open_it_and_nothing_is_asked_while_it_is_open(upstream, anyone, row):
    upstream.publish("left-pad", "1.0.0")
    anyone.download("left-pad", "1.0.0")
    upstream.publish("left-pad", "1.1.0")
    anyone.view("left-pad")
    fail(row, breaker.TOLERATED, retry_after=60)
    asked = upstream.count()

    assert list(anyone.view("left-pad").json()["versions"]) == ["1.0.0", "1.1.0"]
    assert anyone.download("left-pad", "1.0.0").status == 200
    for answer in (anyone.view("right-pad"), anyone.download("left-pad", "1.1.0")):
        assert (answer.status, int(answer.headers["retry-after"]) > 0) == (503, True)
        assert "it is ill" in answer.json()["error"]
    assert upstream.count() == asked


def test_a_publish_of_a_new_name_does_not_ask_it_either(upstream, alice, row):
    fail(row, breaker.TOLERATED, retry_after=60)
    asked = upstream.count()
    assert alice.publish("mine", "1.0.0").status == 503
    assert upstream.count() == asked


def test_readers_open_it(upstream, anyone):
    upstream.fault("*", "status", code=500)
    for number in range(breaker.TOLERATED):
        anyone.view(f"package-{number}")
    assert breaker.resting(Upstream.objects.get())


def test_each_rest_is_longer_than_the_one_before_up_to_a_minute(row):
    rests = []
    for _ in range(12):
        over(row)
        rests.append(rest(fail(row, 1 if rests else breaker.TOLERATED)))
    assert all(longer > shorter for shorter, longer in pairwise(rests[:6]))
    assert max(rests) <= breaker.LONGEST_REST
    assert rests[-1] > breaker.LONGEST_REST / 2


def test_an_outage_of_days_is_one_of_the_same_rests(row):
    Upstream.objects.update(failures=100_000)
    assert 0 < rest(fail(row, 1)) <= breaker.LONGEST_REST


def test_requests_that_were_under_way_when_it_opened_do_not_make_its_rest_longer(row):
    """An install asks for hundreds of things at once; that they all fail is one illness."""
    assert rest(fail(row, breaker.TOLERATED + 50)) <= 2


def test_one_success_closes_it(upstream, anyone, row):
    fail(row, breaker.TOLERATED)
    over(row)
    upstream.publish("left-pad", "1.0.0")
    assert anyone.view("left-pad").status == 200
    row.refresh_from_db()
    assert (row.failures, row.resting_until, row.last_error) == (0, None, "")


def test_one_failure_after_its_rest_opens_it_again(upstream, anyone, row):
    fail(row, breaker.TOLERATED)
    over(row)
    upstream.fault("*", "status", code=500)
    assert anyone.view("left-pad").status == 503
    row.refresh_from_db()
    assert breaker.resting(row)


def test_what_it_says_about_when_to_come_back_counts_at_once(row):
    assert 5 < rest(fail(row, 1, retry_after=8)) <= 8


def test_it_rests_for_as_long_as_it_asks_for(upstream):
    """Else each task of it asks once a minute."""
    upstream.publish("left-pad", "1.0.0")
    upstream.fault("*", "status", code=429, headers={"retry-after": "1800"})
    task, _ = queue.ask("left-pad", why="a test"), queue.ask("right-pad", why="a test")
    running.run(task.pk)
    assert 1700 < rest(Upstream.objects.get()) <= 1800
    fail(Upstream.objects.get(), 1, retry_after=2)
    assert rest(Upstream.objects.get()) > 1700, "what was under way does not make it shorter"


@pytest.mark.parametrize("error", [TooLarge("too large"), ForbiddenTarget("not there")])
def test_one_document_that_will_not_do_says_nothing_about_the_rest(row, error):
    """Else anyone who publishes such a package upstream could close the upstream for everybody here."""
    for _ in range(breaker.TOLERATED * 2):
        breaker.failed(row, error)
    row.refresh_from_db()
    assert not breaker.resting(row)


def test_an_operator_can_end_the_rest(upstream, anyone, row):
    fail(row, breaker.TOLERATED, retry_after=60)
    upstream.publish("left-pad", "1.0.0")
    Upstream.objects.update(failures=0, resting_until=None)
    assert anyone.view("left-pad").status == 200

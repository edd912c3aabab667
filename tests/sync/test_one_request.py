"""However many ask for one thing at the same time, the upstream is asked once."""

import time
from concurrent.futures import wait

import pytest

from sync import pullthrough

pytestmark = pytest.mark.django_db(transaction=True)

CROWD = 8


@pytest.fixture(autouse=True)
def _published(upstream, settings):
    settings.FRESH_SECONDS = settings.MISSING_SECONDS = 3600
    settings.UPSTREAM_TIMEOUT_SECONDS = settings.UPSTREAM_BUDGET_SECONDS = 30
    upstream.publish("left-pad", "1.0.0")


def ask_together(crowd, gate, ask) -> list:
    """One asks, and while the request stands at the upstream's gate all the others do; what they got."""
    with gate:
        asked = crowd(1, ask)
        gate.wait_arrived(1)
        asked += crowd(CROWD - 1, ask)
        time.sleep(0.5)  # they come to where the first one waits
    return [future.result(timeout=30) for future in asked]


def test_for_a_packument(upstream, anyone, crowd):
    answers = ask_together(crowd, upstream.gate("/left-pad"), lambda: anyone.view("left-pad"))
    assert {(answer.status, answer.body) for answer in answers} == {(200, answers[0].body)}
    assert upstream.count() == 1


def test_for_a_packument_that_is_old(upstream, anyone, crowd, later):
    anyone.view("left-pad")
    later()
    answers = ask_together(crowd, upstream.gate("/left-pad"), lambda: anyone.view("left-pad"))
    assert {answer.status for answer in answers} == {200}
    assert upstream.count() == 2


def test_for_a_package_that_does_not_exist(upstream, anyone, crowd):
    answers = ask_together(crowd, upstream.gate("/right-pad"), lambda: anyone.view("right-pad"))
    assert {answer.status for answer in answers} == {404}
    assert upstream.count() == 1


def test_for_a_tarball(upstream, anyone, crowd):
    anyone.view("left-pad")
    answers = ask_together(crowd, upstream.gate("*.tgz"), lambda: anyone.download("left-pad", "1.0.0"))
    assert {(answer.status, answer.raw) for answer in answers} == {(200, upstream.tarball("left-pad", "1.0.0"))}
    assert upstream.count("*.tgz") == 1


def test_and_when_that_fails_it_has_failed_for_all_of_them(upstream, anyone, crowd):
    upstream.fault("/left-pad", "status", code=502)
    answers = ask_together(crowd, upstream.gate("/left-pad"), lambda: anyone.view("left-pad"))
    assert {answer.status for answer in answers} == {503}
    assert upstream.count() == 1


def test_who_waits_for_one_package_does_not_hold_up_the_others(upstream, anyone, crowd):
    threads = pullthrough._threads._max_workers
    upstream.publish("right-pad", "1.0.0")
    with upstream.gate("/left-pad") as gate:
        waiting = crowd(threads + 4, lambda: anyone.view("left-pad"))
        gate.wait_arrived(1)
        time.sleep(0.3)
        [answer] = crowd(1, lambda: anyone.view("right-pad"))
        assert answer.result(timeout=20).status == 200
        assert not any(future.done() for future in waiting)
    wait(waiting)

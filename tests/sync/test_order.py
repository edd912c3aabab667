"""The order of tasks: the same from the rows and from Redis, and Redis may lose all of it."""

import signal
from datetime import timedelta

import pytest
from django.utils import timezone

from sync import order, queue, shared, tasks, wake
from sync.models import SyncTask

pytestmark = pytest.mark.django_db(transaction=True)

Priority = SyncTask.Priority


@pytest.fixture(params=["rows", "redis"])
def _either(request, settings) -> None:
    settings.REDIS_URL = ""
    if request.param == "redis":
        request.getfixturevalue("redis")


def ask(name: str, priority: int = Priority.PERSON, *, due: timedelta = timedelta()) -> SyncTask:
    """Asked for some time ago."""
    task = queue.ask(name, why="a test", priority=priority)
    SyncTask.objects.filter(pk=task.pk).update(due_at=timezone.now() - due)
    task.refresh_from_db()
    order.add(task)
    return task


def taken() -> list[str]:
    """All that workers get, one after the other."""
    names = []
    while task := queue.take():
        names.append(task.name)
    return names


@pytest.mark.usefixtures("_either")
def test_the_most_urgent_is_taken_first_and_among_equals_the_oldest():
    for name, priority in [("c", Priority.FEED), ("a", Priority.PERSON), ("d", Priority.FEED), ("b", Priority.MISS)]:
        ask(name, priority)
    assert taken() == ["a", "b", "c", "d"]


@pytest.mark.usefixtures("_either")
def test_what_has_waited_long_enough_comes_before_what_is_more_urgent():
    ask("backfill of 39 minutes ago", Priority.BACKFILL, due=timedelta(minutes=39))
    ask("miss", Priority.MISS)
    ask("person", Priority.PERSON)
    ask("backfill of 41 minutes ago", Priority.BACKFILL, due=timedelta(minutes=41))
    expected = ["backfill of 41 minutes ago", "person", "backfill of 39 minutes ago", "miss"]
    assert taken() == expected


@pytest.mark.usefixtures("_either")
def test_what_is_not_due_is_taken_by_nobody():
    queue.put_off(queue.claim(ask("a").pk), "not now", retry_after=60)
    order.refill()
    assert taken() == []


@pytest.mark.usefixtures("_either")
def test_a_task_whose_worker_died_is_taken_up_when_its_lease_has_ended():
    task = ask("a")
    assert taken() == ["a"]
    order.refill()
    assert taken() == []
    SyncTask.objects.filter(pk=task.pk).update(leased_until=timezone.now() - timedelta(seconds=1))
    assert taken() == ["a"]


@pytest.mark.usefixtures("_either")
def test_many_workers_share_the_load_and_nobody_runs_anything_twice(crowd):
    for number in range(24):
        ask(f"package-{number}")
    shares = [future.result(30) for future in crowd(4, taken)]
    assert sorted(name for share in shares for name in share) == sorted(f"package-{number}" for number in range(24))


# --- What Redis loses --------------------------------------------------------------------------------------------


def test_after_a_flush_all_is_there_again(redis):
    for name in "abc":
        ask(name)
    redis.flushall()
    assert taken() == ["a", "b", "c"]


def test_what_the_set_alone_has_lost_is_brought_back_by_the_beat(redis):
    for name in "abc":
        ask(name)
    redis.zrem(shared.key("sync:order"), SyncTask.objects.get(name="a").pk)
    tasks.refill()
    assert taken() == ["a", "b", "c"]


def test_what_the_set_has_and_is_over_does_no_harm(redis):
    done = ask("done")
    queue.finish(queue.claim(done.pk))
    redis.zadd(shared.key("sync:order"), {done.pk: 0, 4711: 0})
    ask("left")
    assert taken() == ["left"]
    assert redis.zcard(shared.key("sync:order")) == 0


def test_larders_with_databases_of_their_own_share_a_redis(redis):
    redis.zadd("larder:another:sync:order", {"1": 0})
    ask("a")
    assert taken() == ["a"]
    assert redis.zcard("larder:another:sync:order") == 1


def test_without_redis_for_a_while_rows_give_the_order_and_then_redis_again(redis_server, redis):
    redis_server.stop()
    for name in "abc":
        ask(name)
    assert queue.take().name == "a"
    redis_server.start()
    shared.forget()  # the rest is over
    tasks.refill()
    assert redis.zcard(shared.key("sync:order")) == 2
    assert taken() == ["b", "c"]


def test_a_redis_that_hangs_holds_up_nobody_for_long(redis_server, redis, settings, monkeypatch):
    """Asked once within a short time-out; then it is left alone, and no message is given to it either."""
    calls = []
    settings.SYNC = {"WAKE": "tests.sync.test_order.called"}
    monkeypatch.setattr("tests.sync.test_order.called", lambda: calls.append(1), raising=False)
    monkeypatch.setattr(wake, "_nudges", wake.Throttle(seconds=0))
    queue.ask("first", why="a test")
    assert calls == [1]
    asked, call = [], shared.call
    monkeypatch.setattr(shared, "call", lambda work: asked.append(shared.is_resting()) or call(work))
    redis_server.signal(signal.SIGSTOP)
    try:
        for number in range(20):
            queue.ask(f"package-{number}", why="a test")
        assert asked.count(False) == 1, "then it is left alone"
        assert (calls, len(taken())) == ([1], 21)
    finally:
        redis_server.signal(signal.SIGCONT)


def called() -> None:
    """Stands where a worker is called."""

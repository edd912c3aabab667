"""The wish to bring a package in: one live task per package, claimed by one worker, kept until it is fulfilled."""

from datetime import timedelta

import pytest
from django.db import IntegrityError
from django.utils import timezone

from sync import queue
from sync.models import SyncTask

pytestmark = pytest.mark.django_db(transaction=True)

State, Priority = SyncTask.State, SyncTask.Priority


@pytest.fixture
def task() -> SyncTask:
    return queue.ask("left-pad", why="a test")


def look(task: SyncTask) -> SyncTask:
    return SyncTask.objects.get(pk=task.pk)


def due_names() -> list[str]:
    return [task.name for task in SyncTask.objects.due()]


def abandon(task: SyncTask) -> None:
    """Its worker has died."""
    SyncTask.objects.filter(pk=task.pk).update(leased_until=timezone.now() - timedelta(seconds=1))


def test_who_asks_twice_has_one_task(task):
    again = queue.ask("left-pad", why="another reason")
    assert (again.pk, again.why, SyncTask.objects.count()) == (task.pk, "a test", 1)


def test_many_who_ask_at_once_have_one_task(crowd, transactional_db):
    asked = crowd(8, lambda: queue.ask("left-pad", why="a crowd"))
    assert len({future.result(20).pk for future in asked}) == 1


def test_the_database_itself_allows_one_live_task_per_package(task):
    with pytest.raises(IntegrityError):
        SyncTask.objects.create(name="left-pad")


def test_a_second_wish_makes_it_as_urgent_and_as_thorough_as_it_asks_and_never_less():
    queue.ask("left-pad", why="", priority=Priority.FEED)
    queue.ask("left-pad", why="", priority=Priority.MISS, with_tarballs=True)
    task = queue.ask("left-pad", why="", priority=Priority.BACKFILL, with_dependencies=True)
    assert (task.priority, task.with_tarballs, task.with_dependencies) == (Priority.MISS, True, True)


def test_a_wish_that_is_more_urgent_does_not_wait_for_the_back_off():
    task = queue.ask("left-pad", why="", priority=Priority.FEED)
    queue.put_off(queue.claim(task.pk), "not now")
    assert due_names() == []
    queue.ask("left-pad", why="", priority=Priority.PERSON)
    assert due_names() == ["left-pad"]


def test_one_of_many_workers_gets_it(task, crowd):
    claims = [future.result(20) for future in crowd(8, lambda: queue.claim(task.pk))]
    assert [claim.state for claim in claims if claim] == [State.RUNNING]


def test_the_most_urgent_is_due_first_and_among_equals_the_oldest():
    for name, priority in [("c", Priority.FEED), ("a", Priority.PERSON), ("d", Priority.FEED), ("b", Priority.MISS)]:
        queue.ask(name, why="", priority=priority)
    assert due_names() == ["a", "b", "c", "d"]


def test_what_is_finished_is_done_and_can_be_asked_for_again(task):
    queue.finish(queue.claim(task.pk))
    assert (look(task).state, look(task).finished_at is not None) == (State.DONE, True)
    assert queue.ask("left-pad", why="again").pk != task.pk


def test_asked_for_while_it_runs_it_runs_once_more(task):
    """What it has read by then may be older than what was asked for."""
    claimed = queue.claim(task.pk)
    assert queue.ask("left-pad", why="news").again
    queue.finish(claimed)
    assert (look(task).state, due_names()) == (State.WAITING, ["left-pad"])
    queue.finish(queue.claim(task.pk))
    assert look(task).state == State.DONE


def test_what_failed_is_due_later_and_each_time_later_up_to_an_hour(task):
    delays = []
    for _ in range(20):
        SyncTask.objects.update(due_at=timezone.now())
        queue.put_off(queue.claim(task.pk), "not now")
        delays.append((look(task).due_at - timezone.now()).total_seconds())
    assert (look(task).state, look(task).error, look(task).attempts) == (State.WAITING, "not now", 20)
    assert all(ceiling / 2 - 1 <= delay <= ceiling for delay, ceiling in zip(delays, [5, 10, 20, 40], strict=False))
    assert 1800 - 1 <= max(delays) <= 3600


def test_what_an_upstream_says_of_when_to_come_back_is_kept(task):
    queue.put_off(queue.claim(task.pk), "overloaded", retry_after=600)
    assert look(task).due_at > timezone.now() + timedelta(seconds=590)


def test_what_is_refused_stays_so_until_somebody_asks_again(task):
    queue.refuse(queue.claim(task.pk), "it is private")
    assert (look(task).state, look(task).error, due_names()) == (State.REFUSED, "it is private", [])
    assert queue.ask("left-pad", why="a human decided").pk != task.pk


def test_a_task_whose_worker_died_is_taken_up_and_the_dead_one_changes_nothing_any_more(task):
    dead = queue.claim(task.pk)
    assert queue.claim(task.pk) is None
    abandon(task)
    heir = queue.claim(task.pk)
    assert heir.attempts == 2

    assert not queue.renew(dead)
    queue.note(dead, "I am still here")
    queue.put_off(dead, "it failed")
    queue.refuse(dead, "it is private")
    queue.finish(dead)
    assert (look(task).state, look(task).log, look(task).error) == (State.RUNNING, "", "")
    assert queue.renew(heir)
    queue.finish(heir)
    assert look(task).state == State.DONE


def test_a_renewed_lease_is_a_longer_one(task):
    claimed = queue.claim(task.pk)
    abandon(task)
    assert queue.renew(claimed)
    assert due_names() == []


def test_the_log_can_be_read_while_it_runs(task):
    claimed = queue.claim(task.pk)
    queue.note(claimed, "one")
    queue.note(claimed, "two")
    assert [line.split()[1] for line in look(task).log.splitlines()] == ["one", "two"]


def test_a_person_in_a_hurry_does_not_wait_for_the_back_off(task):
    queue.put_off(queue.claim(task.pk), "not now")
    queue.hurry(task)
    assert due_names() == ["left-pad"]

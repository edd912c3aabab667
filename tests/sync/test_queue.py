"""The wish to bring a package in: one live task per package, claimed by one worker, kept until it is fulfilled."""

import random
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from audit.actors import Actor
from audit.models import Event
from registry.errors import Conflict, Forbidden, Invalid
from registry.models import User
from sync import order, queue
from sync.models import SyncTask, Upstream

pytestmark = pytest.mark.django_db(transaction=True)

State, Priority = SyncTask.State, SyncTask.Priority


@pytest.fixture
def task() -> SyncTask:
    return queue.ask("left-pad", why="a test")


def look(task: SyncTask) -> SyncTask:
    return SyncTask.objects.get(pk=task.pk)


def due_names() -> list[str]:
    """In the order in which workers would get them; they are still due afterwards."""
    due = dict(SyncTask.objects.due().values_list("pk", "name"))
    found = [due[pk] for pk in dict.fromkeys(order.due()) if pk in due]  # nobody claims: the set is filled again
    order.refill()
    return found


def events() -> list[tuple[str, dict]]:
    return list(Event.objects.order_by("pk").values_list("kind", "facts"))


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


def test_what_failed_is_due_at_random_within_a_time_that_doubles_up_to_an_hour(task, monkeypatch):
    asked = []
    monkeypatch.setattr(random, "uniform", lambda low, high: asked.append((low, high)) or high)
    for _ in range(20):
        SyncTask.objects.update(due_at=timezone.now())
        queue.put_off(queue.claim(task.pk), "not now")
    assert (look(task).state, look(task).error, look(task).attempts) == (State.WAITING, "not now", 20)
    assert asked[:4] == [(0, 5), (0, 10), (0, 20), (0, 40)]
    assert asked[-1] == (0, 3600)
    assert timedelta(minutes=59) < look(task).due_at - timezone.now() <= timedelta(minutes=60)


def test_what_an_upstream_says_of_when_to_come_back_is_kept_and_not_by_all_at_the_same_moment(task, monkeypatch):
    monkeypatch.setattr(random, "uniform", lambda _low, high: high)
    queue.put_off(queue.claim(task.pk), "overloaded", retry_after=600)
    assert timedelta(seconds=604) < look(task).due_at - timezone.now() <= timedelta(seconds=605)


def test_one_that_keeps_failing_is_flagged_once_and_goes_on(task, settings):
    settings.SYNC_FLAG_AFTER = 3
    flags = []
    for _ in range(5):
        SyncTask.objects.update(due_at=timezone.now())
        queue.put_off(queue.claim(task.pk), "not now")
        flags.append(look(task).needs_human)
    assert flags == [False, False, True, True, True]
    assert events() == [("sync.flagged", {"attempts": 3, "reason": "not now"})]
    SyncTask.objects.update(due_at=timezone.now())
    queue.finish(queue.claim(task.pk))
    assert (look(task).state, look(task).needs_human) == (State.DONE, False)


def test_one_that_kills_its_workers_is_flagged_too(task, settings):
    settings.SYNC_FLAG_AFTER = 2
    for _ in range(3):
        queue.claim(task.pk)
        abandon(task)
    assert look(task).needs_human


def test_waiting_for_an_upstream_that_must_not_be_asked_is_no_attempt(task):
    queue.postpone(queue.claim(task.pk), "it is resting", 30)
    assert (look(task).state, look(task).attempts, look(task).error) == (State.WAITING, 0, "it is resting")
    assert look(task).due_at > timezone.now() + timedelta(seconds=29)


def test_what_is_refused_stays_so_until_somebody_asks_again(task):
    queue.refuse(queue.claim(task.pk), "it is private")
    assert (look(task).state, look(task).error, due_names()) == (State.REFUSED, "it is private", [])
    assert events() == [("sync.refused", {"reason": "it is private"})]
    assert queue.ask("left-pad", why="a human decided").pk != task.pk


def test_asked_for_while_it_is_refused_it_runs_once_more(task):
    claimed = queue.claim(task.pk)
    queue.ask("left-pad", why="it was published a moment ago")
    queue.refuse(claimed, "nobody has it")
    assert (look(task).state, due_names()) == (State.WAITING, ["left-pad"])


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
    queue.postpone(dead, "it rests", 60)
    queue.finish(dead)
    assert (look(task).state, look(task).log, look(task).error) == (State.RUNNING, "", "")
    assert events() == []
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


def test_a_log_that_grows_too_long_loses_its_beginning(task):
    claimed = queue.claim(task.pk)
    for character in "abc":
        queue.note(claimed, character * 40_000)
    log = look(task).log
    assert (len(log), "a" * 1000 in log, log.endswith("c\n")) == (100_000, True, True)


def test_text_that_no_database_takes_is_kept_as_far_as_it_can_be(task):
    claimed = queue.claim(task.pk)
    queue.note(claimed, "half a \ud83d and a \0")
    queue.put_off(claimed, "a \0")
    assert (look(task).error, "half a" in look(task).log) == ("a \ufffd", True)


# --- Wishes that come together -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        (None, None, None),
        (None, ["1.0.0"], None),
        (["1.0.0"], None, None),
        (["1.0.0"], ["1.0.0"], ["1.0.0"]),
        (["2.0.0"], ["1.0.0", "2.0.0"], ["1.0.0", "2.0.0"]),
    ],
    ids=str,
)
def test_all_versions_and_some_are_all_and_some_and_some_are_both(first, second, together):
    queue.ask("left-pad", why="", versions=first)
    assert queue.ask("left-pad", why="", versions=second).versions == together
    assert SyncTask.objects.get().versions == together


def test_what_is_asked_for_in_a_run_counts_for_the_next_round():
    claimed = queue.claim(queue.ask("left-pad", why="", versions=["1.0.0"]).pk)
    queue.ask("left-pad", why="", with_tarballs=True)
    queue.ask("left-pad", why="", versions=["1.1.0"])
    queue.finish(claimed)
    again = queue.claim(claimed.pk)
    assert (again.versions, again.with_tarballs, again.attempts) == (None, True, 1)
    queue.finish(again)
    assert due_names() == [], "it ran exactly once more"


def test_where_from_is_kept_until_somebody_says_otherwise():
    old = Upstream.objects.create(name="old", url="https://old.example")
    new = Upstream.objects.create(name="new", url="https://new.example")
    queue.ask("left-pad", why="", upstream=old)
    assert queue.ask("left-pad", why="").upstream == old
    assert queue.ask("left-pad", why="", upstream=new).upstream == new


def test_many_who_ask_for_different_versions_get_all_of_them(crowd, transactional_db):
    numbers = iter([f"1.0.{patch}" for patch in range(8)])
    asked = crowd(8, lambda: queue.ask("left-pad", why="a crowd", versions=[next(numbers)]))
    assert {future.result(20).pk for future in asked} == {SyncTask.objects.get().pk}
    assert len(SyncTask.objects.get().versions) == 8


def test_what_is_asked_for_in_a_transaction_that_fails_was_never_asked_for():
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        queue.ask("left-pad", why="a test")
        raise ZeroDivisionError
    assert (SyncTask.objects.count(), due_names()) == (0, [])


# --- What operators do -------------------------------------------------------------------------------------------


OPERATOR = Actor.system("a test")


def test_a_cancelled_task_is_over_and_its_worker_changes_nothing_any_more(task):
    claimed = queue.claim(task.pk)
    queue.cancel(task, "the wrong name", actor=OPERATOR)
    assert queue.renew(claimed) is None
    queue.finish(claimed)
    assert (look(task).state, look(task).reason, due_names()) == (State.CANCELLED, "the wrong name", [])
    assert events() == [("sync.cancelled", {"reason": "the wrong name"})]
    with pytest.raises(Conflict):
        queue.cancel(task, "once more", actor=OPERATOR)
    assert queue.ask("left-pad", why="now really").pk != task.pk


@pytest.mark.parametrize("end", [queue.refuse, queue.put_off], ids=["refused", "put off"])
def test_a_task_that_is_tried_again_begins_as_if_for_the_first_time(task, end):
    end(queue.claim(task.pk), "it is private")
    queue.retry(task, "the rule was wrong", actor=OPERATOR)
    assert (look(task).state, look(task).attempts, look(task).finished_at) == (State.WAITING, 0, None)
    assert (look(task).reason, due_names()) == ("the rule was wrong", ["left-pad"])
    assert events()[-1] == ("sync.retried", {"reason": "the rule was wrong"})


def test_a_running_task_that_is_tried_again_runs_once_more(task):
    claimed = queue.claim(task.pk)
    queue.retry(task, "to be sure", actor=OPERATOR)
    queue.finish(claimed)
    assert look(task).state == State.WAITING


def test_an_old_task_is_not_tried_again_beside_one_that_is_live(task):
    queue.finish(queue.claim(task.pk))
    queue.ask("left-pad", why="somebody else")
    with pytest.raises(Conflict, match="another sync of left-pad"):
        queue.retry(task, "to be sure", actor=OPERATOR)
    assert (look(task).state, events()) == (State.DONE, [])


@pytest.mark.parametrize("verb", [queue.cancel, queue.retry])
def test_operators_say_why_and_others_may_not(task, verb):
    with pytest.raises(Invalid, match="say why"):
        verb(task, " ", actor=OPERATOR)
    somebody = User.objects.create_user("somebody")
    with pytest.raises(Forbidden):
        verb(task, "because", actor=Actor.user("somebody", user_id=somebody.pk))
    assert (look(task).state, look(task).reason, events()) == (State.WAITING, "", [])


def test_one_that_is_retried_while_it_runs_and_then_postponed_is_no_attempt(task):
    mine = queue.claim(task.pk)
    queue.retry(task, "the operator wants it now", actor=Actor.system("a test"))
    queue.postpone(mine, "the upstream is busy", 10)
    assert (look(task).state, look(task).attempts) == (State.WAITING, 0)


def test_who_asks_while_a_round_runs_that_fails_does_not_wait_for_its_back_off(task):
    SyncTask.objects.update(attempts=20)
    mine = queue.claim(task.pk)
    queue.ask("left-pad", why="a person is waiting")
    queue.put_off(mine, "the upstream is ill")
    assert (look(task).due_at - timezone.now()).total_seconds() <= queue._FIRST_DELAY
    assert not look(task).again


def test_one_whose_workers_die_is_flagged_and_told_of_once(task, settings):
    SyncTask.objects.update(attempts=settings.SYNC_FLAG_AFTER)
    for _ in range(2):
        queue.claim(task.pk)
        abandon(task)
    assert look(task).needs_human
    assert [kind for kind, _ in events()] == ["sync.flagged"]
    queue.put_off(queue.claim(task.pk), "the upstream is ill")
    assert [kind for kind, _ in events()] == ["sync.flagged"]


def test_what_ended_long_ago_is_forgotten_and_sooner_what_nobody_looks_for(settings):
    now = timezone.now()
    ended = [
        ("a-person-lately", State.DONE, Priority.PERSON, 20), ("a-person-once", State.DONE, Priority.PERSON, 40),
        ("a-feed-lately", State.DONE, Priority.FEED, 0), ("a-feed", State.DONE, Priority.FEED, 2),
        ("refused", State.REFUSED, Priority.FEED, 2), ("waiting", State.WAITING, Priority.FEED, 40),
    ]  # fmt: skip
    for name, state, priority, days in ended:
        over = None if state == State.WAITING else now - timedelta(days=days)
        SyncTask.objects.create(name=name, state=state, priority=priority, finished_at=over)
    assert queue.sweep() == 2
    assert set(SyncTask.objects.values_list("name", flat=True)) == {
        "a-person-lately", "a-feed-lately", "refused", "waiting",
    }  # fmt: skip


def test_what_is_refused_and_was_asked_for_once_more_is_not_told_of(task):
    mine = queue.claim(task.pk)
    queue.ask("left-pad", why="once more")
    queue.refuse(mine, "nobody has it")
    assert (look(task).state, events()) == (State.WAITING, [])

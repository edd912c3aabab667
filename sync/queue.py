"""The wish to bring packages in, as rows: asked for, claimed, finished, put off. One live task per package.

Rows are the truth. Who claims a task has it for a lease, and signs what it writes: a worker that has lost its task to
another, or to an operator, changes nothing of it any more.
"""

import os
import random
import socket
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from uuid import uuid4

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Case, F, IntegerField, Q, Value, When
from django.db.models.functions import Concat, Greatest, Right
from django.utils import timezone

from audit import journal
from audit.actors import Actor
from audit.facts import storable_text
from registry import access
from registry.errors import Conflict, Invalid
from sync import order, wake
from sync.events import SYNC_CANCELLED, SYNC_FLAGGED, SYNC_REFUSED, SYNC_RETRIED
from sync.models import SyncTask, Upstream
from sync.models.task import SyncTaskQuerySet

_FIRST_DELAY, _LONGEST_DELAY = 5.0, 3600.0
_LOG_SIZE = 100_000
_ROUTINE, _SWEPT_AT_ONCE = timedelta(days=1), 1000
_OURS = Actor.system("sync")

State = SyncTask.State


# --- Asking -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wish:
    """How much of a package is wanted, how soon, and from where if not from where the rules say."""

    priority: int
    with_tarballs: bool
    with_dependencies: bool
    versions: tuple[str, ...] | None  # None: all
    upstream: Upstream | None

    def add_to(self, task: SyncTask) -> None:
        """Make the task at least as urgent and as thorough; all versions and some are all, some and some are both."""
        if task.priority > self.priority:
            task.priority, task.due_at = self.priority, timezone.now()
        task.with_tarballs |= self.with_tarballs
        task.with_dependencies |= self.with_dependencies
        if self.versions is None or task.versions is None:
            task.versions = None
        else:
            task.versions = sorted({*task.versions, *self.versions})
        task.upstream = self.upstream or task.upstream
        # What a running one has read may be older than what was asked for.
        task.again |= task.state == State.RUNNING


def ask(
    name: str,
    *,
    why: str,
    priority: int = SyncTask.Priority.PERSON,
    with_tarballs: bool = False,
    with_dependencies: bool = False,
    versions: Collection[str] | None = None,
    upstream: Upstream | None = None,
) -> SyncTask:
    """A live task for `name`: a new one, or the one that is there, made at least as urgent and as thorough.

    One that is running runs once more afterwards. Who asks for many in one transaction asks in the order of names.
    """
    some = None if versions is None else tuple(sorted(set(versions)))
    wish = Wish(priority, with_tarballs, with_dependencies, some, upstream)
    task = None
    while task is None:
        task = _join(name, wish) or _create(name, why, wish)
    transaction.on_commit(partial(_announce, task))
    return task


def _join(name: str, wish: Wish) -> SyncTask | None:
    with transaction.atomic():
        task = SyncTask.objects.live().select_for_update(no_key=True).filter(name=name).first()
        if task is not None:
            wish.add_to(task)
            wishes = ["with_tarballs", "with_dependencies", "versions", "upstream"]
            task.save(update_fields=["priority", "due_at", "again", *wishes])
        return task


def _create(name: str, why: str, wish: Wish) -> SyncTask | None:
    task = SyncTask(
        name=name,
        why=why[:200],
        priority=wish.priority,
        with_tarballs=wish.with_tarballs,
        with_dependencies=wish.with_dependencies,
        versions=None if wish.versions is None else list(wish.versions),
        upstream=wish.upstream,
    )
    try:
        with transaction.atomic():
            task.save()
    except IntegrityError:  # somebody was faster
        return None
    return task


def _announce(task: SyncTask) -> None:
    if task.state == State.WAITING and task.due_at <= timezone.now():
        order.add(task)
        wake.wake()


def hurry(task: SyncTask) -> None:
    """Make a waiting task due now, whatever its back-off."""
    SyncTask.objects.filter(pk=task.pk, state=State.WAITING).update(due_at=timezone.now())


# --- Claiming -----------------------------------------------------------------------------------------------------


def take() -> SyncTask | None:
    """Claim the first task that is due; None when there is none."""
    return next((task for task_id in order.due() if (task := claim(task_id))), None)


def claim(task_id: int) -> SyncTask | None:
    """The task, ours until its lease ends; None when somebody else has it, or it is not due."""
    claimant = f"{socket.gethostname()[:40]}:{os.getpid()}:{uuid4().hex[:12]}"
    claimed = SyncTask.objects.due().filter(pk=task_id).update(
        state=State.RUNNING,
        leased_until=_lease_end(),
        leased_by=claimant,
        attempts=F("attempts") + 1,
        again=False,
    )  # fmt: skip
    task = SyncTask.objects.filter(pk=task_id, leased_by=claimant).first() if claimed else None
    if task is not None and task.attempts > settings.SYNC_FLAG_AFTER and not task.needs_human:
        _flag(task)
    return task


def _flag(task: SyncTask) -> None:
    """One that kills its workers is put off by nobody."""
    why = "its workers died"
    with transaction.atomic():
        if _mine(task).update(needs_human=True):
            journal.record(SYNC_FLAGGED, _subject(task), actor=_OURS, attempts=task.attempts - 1, reason=why)
    task.needs_human = True


def renew(task: SyncTask) -> datetime | None:
    """Keep the task until the moment that is returned. None: it is no longer ours."""
    until = _lease_end()
    return until if _mine(task).update(leased_until=until) else None


def _lease_end() -> datetime:
    return timezone.now() + timedelta(seconds=settings.SYNC_LEASE_SECONDS)


def _mine(task: SyncTask) -> SyncTaskQuerySet:
    return SyncTask.objects.filter(pk=task.pk, state=State.RUNNING, leased_by=task.leased_by)


# --- What came of it ----------------------------------------------------------------------------------------------


def note(task: SyncTask, line: str) -> None:
    """Add a line to the task's log, which can be read while it runs; what does not fit goes off its beginning."""
    log = Concat(F("log"), Value(storable_text(f"{timezone.now():%H:%M:%S} {line}\n")))
    _mine(task).update(log=Right(log, _LOG_SIZE))


def finish(task: SyncTask, *, skipped: int = 0, needs_human: bool = False) -> None:
    """The wish is fulfilled, but for the versions that were skipped; of these a human may have to know."""
    _end(task, State.DONE, skipped=skipped, error="", needs_human=needs_human)


def refuse(task: SyncTask, reason: str) -> None:
    """It must not be done, unless a human decides otherwise."""
    with transaction.atomic():
        is_ours = _end(task, State.REFUSED, error=storable_text(reason))
        if is_ours and SyncTask.objects.filter(pk=task.pk, state=State.REFUSED).exists():  # not asked for once more
            journal.record(SYNC_REFUSED, _subject(task), actor=_OURS, reason=reason)


def put_off(task: SyncTask, error: str, *, retry_after: float | None = None) -> None:
    """It did not work now: due again at random within a time that doubles up to an hour.

    That time begins when the upstream said that it does. After many attempts the task is flagged for a human.
    """
    longest = min(_LONGEST_DELAY, _FIRST_DELAY * 2.0 ** min(task.attempts - 1, 16))
    delay = (retry_after or 0.0) + random.uniform(0, longest)  # noqa: S311 (spreads load, guards nothing)
    is_stuck = task.attempts >= settings.SYNC_FLAG_AFTER
    # Who has asked for it meanwhile is not made to wait for what failed before.
    soon = min(delay, (retry_after or 0.0) + _FIRST_DELAY)
    with transaction.atomic():
        is_ours = _set_waiting(task, delay, soon, error=storable_text(error), needs_human=is_stuck)
        if is_ours and is_stuck and not task.needs_human:
            journal.record(SYNC_FLAGGED, _subject(task), actor=_OURS, attempts=task.attempts, reason=error)


def postpone(task: SyncTask, reason: str, seconds: float) -> None:
    """Its upstream must not be asked now: due again some time later. That was no attempt."""
    delay = seconds * random.uniform(1, 1.5)  # noqa: S311
    _set_waiting(task, delay, delay, error=reason, attempts=Greatest(F("attempts") - 1, 0))


def _set_waiting(task: SyncTask, delay: float, when_asked_again: float, **facts: object) -> bool:
    """Delays are in seconds."""
    due_at, sooner = (timezone.now() + timedelta(seconds=seconds) for seconds in (delay, when_asked_again))
    due = Case(When(again=True, then=Value(sooner)), default=Value(due_at))
    return bool(_mine(task).update(state=State.WAITING, due_at=due, again=False, leased_until=None, **facts))


def _end(task: SyncTask, state: State, **facts: object) -> bool:
    """Ended, or due again when it was asked for in the meantime: one statement, so that no wish is lost."""
    now = timezone.now()
    ended = _mine(task).update(
        state=Case(When(again=True, then=Value(State.WAITING)), default=Value(state)),
        attempts=Case(When(again=True, then=Value(0)), default=F("attempts"), output_field=IntegerField()),
        finished_at=Case(When(again=True, then=Value(None)), default=Value(now)),
        due_at=now,
        again=False,
        leased_until=None,
        **facts,
    )
    return bool(ended)


def sweep() -> int:
    """Forget tasks that ended long ago, sooner those that nobody looks for; returns how many they were."""
    now = timezone.now()
    is_old = Q(finished_at__lt=now - timedelta(days=settings.TASK_DAYS))
    is_routine = Q(state=State.DONE, priority__gte=SyncTask.Priority.FEED, skipped=0, needs_human=False)
    ended = SyncTask.objects.exclude(state__in=SyncTask.LIVE)
    found = ended.filter(is_old | (is_routine & Q(finished_at__lt=now - _ROUTINE)))
    count = 0
    while some := list(found.values_list("pk", flat=True)[:_SWEPT_AT_ONCE]):
        count += ended.filter(pk__in=some).delete()[0]  # not what an operator has just begun again
    return count


# --- What operators do --------------------------------------------------------------------------------------------


def cancel(task: SyncTask, reason: str, *, actor: Actor) -> None:
    """End a live task; a worker that runs it stops at its next step. Raises `Conflict` when it has ended already."""
    access.require_operator(actor)
    with transaction.atomic():
        cancelled = SyncTask.objects.live().filter(pk=task.pk).update(
            state=State.CANCELLED,
            reason=_reason(reason),
            finished_at=timezone.now(),
            again=False,
            leased_until=None,
        )  # fmt: skip
        if not cancelled:
            raise Conflict(f"the sync of {task.name} has ended already: there is nothing to cancel")
        journal.record(SYNC_CANCELLED, _subject(task), actor=actor, reason=reason)


def retry(task: SyncTask, reason: str, *, actor: Actor) -> None:
    """Have it tried now and as if for the first time, whatever became of it; one that runs runs once more.

    Raises `Conflict` when another task for the package is live.
    """
    access.require_operator(actor)
    with transaction.atomic():
        row = SyncTask.objects.select_for_update(no_key=True).get(pk=task.pk)
        row.reason, row.attempts, row.needs_human = _reason(reason), 0, False
        if row.state == State.RUNNING:
            row.again = True
        else:
            row.state, row.due_at, row.finished_at = State.WAITING, timezone.now(), None
        try:
            with transaction.atomic():
                row.save(update_fields=["reason", "attempts", "needs_human", "again", "state", "due_at", "finished_at"])
        except IntegrityError as error:
            raise Conflict(f"another sync of {task.name} is on its way: see what becomes of it") from error
        journal.record(SYNC_RETRIED, _subject(task), actor=actor, reason=row.reason)
        transaction.on_commit(partial(_announce, row))


def _reason(text: str) -> str:
    if not text.strip():
        raise Invalid("say why: the reason is kept with the task and in the journal")
    return text.strip()


def _subject(task: SyncTask) -> str:
    return f"package:{task.name}"

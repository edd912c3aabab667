"""The wish to bring packages in, as rows: asked for, claimed, finished, put off. One live task per package."""

import os
import random
import socket
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.db.models import Case, F, IntegerField, Q, Value, When
from django.db.models.functions import Concat, Least
from django.utils import timezone

from sync.models import SyncTask
from sync.models.task import SyncTaskQuerySet

LEASE = timedelta(minutes=5)
_FIRST_DELAY, _LONGEST_DELAY = 5.0, 3600.0


def ask(
    name: str,
    *,
    why: str,
    priority: int = SyncTask.Priority.PERSON,
    with_tarballs: bool = False,
    with_dependencies: bool = False,
) -> SyncTask:
    """A live task for `name`: a new one, or the one that is there, made at least as urgent and as thorough.

    One that is running runs once more afterwards: what it has read may be older than what was asked for.
    """
    wishes = {"with_tarballs": with_tarballs, "with_dependencies": with_dependencies}
    while True:
        task = SyncTask.objects.live().filter(name=name).first()
        if task is None:
            try:
                with transaction.atomic():
                    return SyncTask.objects.create(name=name, why=why[:200], priority=priority, **wishes)
            except IntegrityError:
                continue
        raised = SyncTask.objects.live().filter(pk=task.pk).update(
            priority=Least(F("priority"), Value(priority)),
            again=Case(When(state=SyncTask.State.RUNNING, then=Value(True)), default=F("again")),
            due_at=Case(When(priority__gt=priority, then=Value(timezone.now())), default=F("due_at")),
            **{wish: True for wish, wanted in wishes.items() if wanted},
        )  # fmt: skip
        if raised:
            task.refresh_from_db()
            return task


def claim(task_id: int) -> SyncTask | None:
    """The task, ours until its lease ends; None when somebody else has it, or it is not due."""
    now = timezone.now()
    claimed = SyncTask.objects.due().filter(pk=task_id).update(
        state=SyncTask.State.RUNNING,
        leased_until=now + LEASE,
        leased_by=worker(),
        attempts=F("attempts") + 1,
        again=False,
    )  # fmt: skip
    return SyncTask.objects.get(pk=task_id) if claimed else None


def renew(task: SyncTask) -> bool:
    """Keep the task for another while. False: it is no longer ours."""
    return bool(_mine(task).update(leased_until=timezone.now() + LEASE))


def note(task: SyncTask, line: str) -> None:
    """Add a line to the task's log, which can be read while it runs."""
    _mine(task).update(log=Concat(F("log"), Value(f"{timezone.now():%H:%M:%S} {line}\n")))


def finish(task: SyncTask) -> None:
    """The wish is fulfilled; if it came again in the meantime, it is due again. One statement, so that none is lost."""
    now = timezone.now()
    _mine(task).update(
        state=Case(When(again=True, then=Value(SyncTask.State.WAITING)), default=Value(SyncTask.State.DONE)),
        attempts=Case(When(again=True, then=Value(0)), default=F("attempts"), output_field=IntegerField()),
        finished_at=Case(When(again=True, then=Value(None)), default=Value(now)),
        due_at=now,
        again=False,
        error="",
        leased_until=None,
    )


def put_off(task: SyncTask, error: str, *, retry_after: float | None = None) -> None:
    """It did not work now: due again after a delay that grows, at random within it, up to an hour."""
    ceiling = min(_LONGEST_DELAY, _FIRST_DELAY * 2.0 ** min(task.attempts - 1, 16))
    delay = max(retry_after or 0.0, random.uniform(ceiling / 2, ceiling))  # noqa: S311 (spreads load, guards nothing)
    due_at = timezone.now() + timedelta(seconds=delay)
    _mine(task).update(state=SyncTask.State.WAITING, due_at=due_at, error=error, leased_until=None)


def refuse(task: SyncTask, reason: str) -> None:
    """It must not be done, unless a human decides otherwise."""
    _mine(task).update(state=SyncTask.State.REFUSED, error=reason, finished_at=timezone.now(), leased_until=None)


def worker() -> str:
    """Who claims: this process on this host."""
    return f"{socket.gethostname()[:40]}:{os.getpid()}"


def _mine(task: SyncTask) -> SyncTaskQuerySet:
    return SyncTask.objects.filter(
        Q(pk=task.pk), state=SyncTask.State.RUNNING, leased_by=worker(), attempts=task.attempts
    )


def hurry(task: SyncTask) -> None:
    """Make a waiting task due now, whatever its back-off."""
    SyncTask.objects.filter(pk=task.pk, state=SyncTask.State.WAITING).update(due_at=timezone.now())

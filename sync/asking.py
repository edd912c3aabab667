"""Somebody asks over HTTP for a package to be fetched: who may, how often, from where, and what has become of it."""

from collections.abc import Sequence
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from audit import journal
from audit.actors import Actor
from registry import access, attempts
from registry.errors import Forbidden, NotFound, TooManyAttempts
from registry.models import Attempt, Package
from registry.names import PackageName
from sync import following, queue, routing
from sync.events import SYNC_ASKED
from sync.models import SyncTask

_MINUTE = timedelta(minutes=1)
_LONGEST_ID = 18


def ask(
    name: PackageName,
    *,
    actor: Actor,
    source: str | None = None,
    versions: Sequence[str] | None = None,
    with_dependencies: bool = False,
) -> SyncTask:
    """The task that fetches `name`, or only some `versions`; tarballs come with it where a rule has them mirrored.

    `source` is the upstream where somebody expects it to come from. Which one it is, is for the rules to say.
    """
    _require_may_ask(actor)
    _require_not_too_often(actor)
    route = routing.route(name)
    if route.upstream is None or not _is_visible(name, actor):  # in the same words, as of a package and of none
        raise Forbidden(f"{name} is not fetched: no upstream may be asked for it")
    if source not in (None, route.upstream.name):
        raise Forbidden(f"{name} is fetched from {route.upstream} here, not from {source[:100]}: leave that out")
    with transaction.atomic():
        task = queue.ask(
            str(name), why=f"asked for by {actor}", versions=versions,
            with_tarballs=following.is_eager(route), with_dependencies=with_dependencies,
        )  # fmt: skip
        journal.record(SYNC_ASKED, f"package:{name}", actor=actor, task=task.pk)
    return task


def find(name: PackageName, task_id: str, *, viewer: Actor) -> SyncTask:
    """The task of `name` that has this id. Raises `NotFound` for another package's, and for what is not to be seen."""
    access.require_reader(viewer)
    is_id = task_id.isascii() and task_id.isdigit() and len(task_id) <= _LONGEST_ID
    task = SyncTask.objects.filter(name=str(name), pk=int(task_id)).first() if is_id else None
    if task is None or not _is_visible(name, viewer):  # in the same words: who may not see it must not know of it
        raise NotFound(f"{name} has no sync {task_id[:100]}")
    return task


def _require_may_ask(actor: Actor) -> None:
    """Raise unless `LARDER_SYNC_BY` lets `actor` ask."""
    access.require_reader(actor)
    if settings.SYNC_BY == "people":
        access.require_writer(actor)
    elif settings.SYNC_BY != "everybody":
        access.require_operator(actor)


def _require_not_too_often(actor: Actor) -> None:
    """Count, on the person or else on the address, and raise `TooManyAttempts` above the limit."""
    who = actor.user_id or (attempts.network(actor.origin) if actor.origin else "")
    with transaction.atomic():
        attempt = attempts.tally(attempts.key_of(f"sync:{who}"), _MINUTE)
    if attempt.failures > settings.SYNC_PER_MINUTE:
        raise _too_many(attempt)


def _too_many(attempt: Attempt) -> TooManyAttempts:
    seconds = max(1, round((attempt.since + _MINUTE - timezone.now()).total_seconds()))
    sentence = f"no more than {settings.SYNC_PER_MINUTE} packages may be asked for in a minute: wait {seconds} s"
    return TooManyAttempts(sentence, retry_after=seconds)


def _is_visible(name: PackageName, actor: Actor) -> bool:
    stamp = Package.objects.stamp(str(name))
    return stamp is None or access.may_read(actor, name, stamp)

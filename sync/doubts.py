"""What an upstream no longer has is not believed at once: remembered, confirmed by a later look, or asked a human.

- **First look**: noticed, and served as before. A task for the second look is made when its time has come.
- **Second look**, `LARDER_CONFIRM_SECONDS` later or more, says the same: tombstones. In between it is there again:
  forgotten.
- **Too much at once**, most versions of a package or more than `LARDER_MASS_REMOVAL` packages of an upstream: it stays,
  and the task is refused with the reason. A human believes it or keeps it (`manage.py removals`); what is kept is not
  asked about again.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from audit import journal
from audit.actors import Actor
from registry import access, burying
from registry.errors import Invalid, NotFound
from registry.models import Package
from registry.names import PackageName
from sync import queue
from sync.events import REMOVAL_ASKED, REMOVAL_BELIEVED, REMOVAL_KEPT
from sync.models import Doubt, SyncTask, Upstream
from sync.models.doubt import patience
from sync.plan import Plan

_LEAST_REASON = 10
State = Doubt.State


# --- What a look finds --------------------------------------------------------------------------------------------


def is_due(name: PackageName, upstream: Upstream) -> bool:
    """Whether the next look at the package can confirm something: then it reads all, also what has not changed."""
    doubt = _find(name, upstream)
    now = timezone.now()
    return doubt is not None and (doubt.is_gone(now) or bool(doubt.confirmed(now)))


def confirmed(name: PackageName, upstream: Upstream) -> frozenset[str]:
    """The versions whose absence was seen long enough ago to be believed when it is seen again."""
    doubt = _find(name, upstream)
    return doubt.confirmed(timezone.now()) if doubt else frozenset()


def seen(name: PackageName, upstream: Upstream, plan: Plan) -> str:
    """Remember what the upstream did not list, and forget what it listed; returns a question for a human, or nothing.

    It has something of the package, so that this is not gone.
    """
    if not plan.doubted and _find(name, upstream) is None:
        return ""
    with transaction.atomic():
        doubt = _lock(name, upstream)
        doubt.is_kept, doubt.gone_since = False, None
        doubt.kept = [number for number in doubt.kept if number in plan.doubted]
        now = timezone.now().timestamp()
        waiting = [number for number in plan.doubted if number not in doubt.kept]
        doubt.numbers = {number: doubt.numbers.get(number, now) for number in waiting}
        if not waiting:
            doubt.state, doubt.answer = State.WAITING, ""
            return _keep_or_forget(doubt)
        answer = f"{upstream} does not list {len(waiting)} versions of {name} any more"
        return _settle(doubt, answer, is_much=plan.is_mass)


@dataclass(frozen=True, slots=True)
class Removal:
    """What came of it that a package is gone upstream, in a line; and a question, if it is one for a human."""

    line: str
    question: str = ""


def gone(name: PackageName, upstream: Upstream, answer: str) -> Removal | None:
    """The upstream has nothing of the package, as `answer` says. Bury it when that is confirmed.

    None: nothing of it is here from that upstream.
    """
    if not Package.objects.filter(name=str(name), origin=upstream.name, unpublished_at=None).exists():
        return None
    now = timezone.now()
    with transaction.atomic():
        doubt = _lock(name, upstream)
        if doubt.is_kept:
            return Removal(f"{answer}; kept: {doubt.reason}")
        doubt.gone_since = doubt.gone_since or now
        if doubt.is_gone(now) and (doubt.state == State.BELIEVED or not _is_much(doubt)):
            burying.bury(name, origin=upstream.name, reason=answer, actor=Actor.upstream(upstream.name))
            doubt.delete()
            return Removal(f"{answer}: it is a tombstone now")
        question = _settle(doubt, answer, is_much=_is_much(doubt))
    return Removal(f"{answer}; it is served until that is confirmed", question)


def _settle(doubt: Doubt, answer: str, *, is_much: bool) -> str:
    """Save what was seen; when it is too much and nobody was asked yet, ask a human."""
    doubt.answer, name = answer, doubt.upstream.name
    is_new = is_much and doubt.state == State.WAITING
    if is_much and doubt.state != State.BELIEVED:
        doubt.state = State.ASKING
    elif doubt.state == State.ASKING:
        doubt.state = State.WAITING
    if doubt.pk is None or doubt.state == State.WAITING:
        gone_since = [doubt.gone_since.timestamp()] if doubt.gone_since else []
        first = datetime.fromtimestamp(min([*doubt.numbers.values(), *gone_since]), UTC)
        doubt.due_at = max(first + patience(), doubt.due_at) if doubt.pk else first + patience()
    doubt.save()
    if not is_new:
        return ""
    journal.record(REMOVAL_ASKED, _subject(doubt), actor=Actor.system("sync"), upstream=name, answer=answer)
    return f"{answer}: that is so much at once that a human decides (manage.py removals)"


def _keep_or_forget(doubt: Doubt) -> str:
    if doubt.kept:
        doubt.save()
    elif doubt.pk is not None:
        doubt.delete()
    return ""


def _is_much(doubt: Doubt) -> bool:
    """Whether so many packages of the upstream are gone that it is rather ill."""
    others = Doubt.objects.filter(upstream=doubt.upstream, is_kept=False).exclude(gone_since=None).exclude(pk=doubt.pk)
    return others.exclude(state=State.BELIEVED).count() >= settings.MASS_REMOVAL


def _find(name: PackageName, upstream: Upstream) -> Doubt | None:
    return Doubt.objects.filter(upstream=upstream, name=str(name)).first()


def _lock(name: PackageName, upstream: Upstream) -> Doubt:
    """The row, which nobody else changes before the transaction ends; one that is new is saved by who fills it."""
    rows = Doubt.objects.select_for_update(no_key=True, of=("self",)).select_related("upstream")
    return rows.filter(upstream=upstream, name=str(name)).first() or Doubt(upstream=upstream, name=str(name))


def _subject(doubt: Doubt) -> str:
    return f"package:{doubt.name}"


# --- The second look ----------------------------------------------------------------------------------------------


def look_again() -> int:
    """Make tasks for what may be confirmed now; returns how many."""
    count = 0
    now = timezone.now()
    for doubt in Doubt.objects.filter(state=State.WAITING, due_at__lte=now).order_by("name")[:1000]:
        with transaction.atomic():
            Doubt.objects.filter(pk=doubt.pk).update(due_at=now + max(patience(), timedelta(minutes=1)))
            if doubt.numbers or (doubt.gone_since and not doubt.is_kept):
                queue.ask(doubt.name, why=f"to confirm: {doubt.answer}", priority=SyncTask.Priority.BACKFILL)
                count += 1
    return count


# --- What a human decides -----------------------------------------------------------------------------------------


def believe(name: PackageName, *, reason: str, actor: Actor) -> None:
    """Let the upstream be right: what is gone there becomes tombstones at the next look, which is asked for now."""
    with transaction.atomic():
        doubt, reason = _decide(name, reason, actor)
        doubt.state, doubt.reason = State.BELIEVED, reason
        doubt.save()
        journal.record(REMOVAL_BELIEVED, _subject(doubt), actor=actor, reason=reason, answer=doubt.answer)
        queue.ask(str(name), why=f"{actor} believes that it is gone")


def keep(name: PackageName, *, reason: str, actor: Actor) -> None:
    """Keep what the upstream does not have any more, also what has become tombstones; it is not asked about again."""
    access.require_operator(actor)
    with transaction.atomic():
        doubt, reason = _decide(name, reason, actor, also_tombstones=True)
        restored = burying.restore(name, origin=doubt.upstream.name, actor=actor)
        doubt.kept = sorted({*doubt.kept, *doubt.numbers, *restored.numbers})
        doubt.is_kept = doubt.is_kept or doubt.gone_since is not None or restored.is_whole
        doubt.numbers, doubt.state, doubt.reason = {}, State.WAITING, reason
        doubt.save()
        journal.record(
            REMOVAL_KEPT, _subject(doubt), actor=actor, reason=reason, answer=doubt.answer, restored=restored.numbers
        )


def _decide(name: PackageName, reason: str, actor: Actor, *, also_tombstones: bool = False) -> tuple[Doubt, str]:
    access.require_operator(actor)
    reason = reason.strip()
    if len(reason) < _LEAST_REASON:
        raise Invalid(f"say why, in {_LEAST_REASON} characters or more: the reason is kept in the journal")
    rows = Doubt.objects.select_for_update(no_key=True, of=("self",)).select_related("upstream")
    doubt = rows.filter(name=str(name)).first()
    if doubt is None and also_tombstones:
        origin = Package.objects.filter(name=str(name)).values_list("origin", flat=True).first()
        upstream = Upstream.objects.filter(name=origin).first() if origin else None
        if upstream is not None and burying.has_tombstones(name):
            doubt = Doubt(upstream=upstream, name=str(name), answer="believed before")
    if doubt is None:
        raise NotFound(f"nothing of {name} is gone from its upstream and still here: manage.py removals shows what is")
    return doubt, reason


def waiting_for_a_human() -> Collection[Doubt]:
    """What only a human may decide, the oldest first."""
    return Doubt.objects.filter(state=State.ASKING).select_related("upstream").order_by("due_at", "name")

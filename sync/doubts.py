"""What an upstream no longer has is not believed at once: remembered, confirmed by a later look, or asked a human.

- **First look**: noticed, and served as before. A task for the second look is made when its time has come.
- **Second look**, `LARDER_CONFIRM_SECONDS` later or more, says the same: tombstones. In between it is there again:
  forgotten.
- **Too much**: most versions of a package, more than `LARDER_MASS_REMOVAL` packages of an upstream that are gone or
  lose versions in a day, anything that is brought over from an old registry. It stays, and the task is refused with the
  reason. A human believes it or keeps it (`manage.py removals`). What they believe is what they saw: what goes later is
  another question.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from audit import journal
from audit.actors import Actor
from registry import access, burying
from registry.errors import Invalid, NotFound
from registry.models import Package, Version
from registry.names import PackageName
from sync import queue, routing
from sync.events import REMOVAL_ASKED, REMOVAL_BELIEVED, REMOVAL_KEPT
from sync.models import Doubt, ScopeRule, SyncTask, Upstream
from sync.models.doubt import patience
from sync.plan import MASS_REMOVAL, Plan

_LEAST_REASON = 10
State = Doubt.State


# --- What a look finds --------------------------------------------------------------------------------------------


def is_due(name: PackageName, upstream: Upstream) -> bool:
    """Whether the next look at the package can confirm something: then it reads all, also what has not changed."""
    doubt = _find(name, upstream)
    now = timezone.now()
    return doubt is not None and (doubt.is_gone(now) or bool(doubt.confirmed(now)))


def confirmed(name: PackageName, upstream: Upstream, *, is_holding: bool = False) -> frozenset[str]:
    """The versions whose absence was seen long enough ago to be believed when it is seen again.

    `is_holding`: the upstream shows npm's placeholder in their place.
    """
    doubt = _find(name, upstream)
    if doubt is None:
        return frozenset()
    is_much = _is_moving(doubt) or (not is_holding and _is_much(doubt))
    return doubt.of_a_human if is_much else doubt.confirmed(timezone.now())


def seen(name: PackageName, upstream: Upstream, plan: Plan) -> str:
    """Remember what the upstream did not list, and forget what it listed; returns a question for a human, or nothing.

    It has something of the package, so that this is not gone. A question stays until what it is about is listed again.
    """
    if not plan.doubted and _find(name, upstream) is None:
        return ""
    with transaction.atomic():
        doubt = _lock(name, upstream)
        before, was_asking = set(doubt.numbers), doubt.state == State.ASKING
        doubt.is_kept, doubt.gone_since, doubt.is_believed = False, None, False
        doubt.kept = [number for number in doubt.kept if number in plan.doubted]
        now = timezone.now().timestamp()
        waiting = [number for number in plan.doubted if number not in doubt.kept]
        doubt.numbers = {number: doubt.numbers.get(number, now) for number in waiting}
        doubt.believed = [number for number in doubt.believed or () if number in waiting]
        if not waiting:
            doubt.state, doubt.answer = State.WAITING, ""
            _keep_or_forget(doubt)
            return ""
        answer = f"{upstream} does not list {len(waiting)} versions of {name} any more"
        is_much = plan.is_mass or (was_asking and bool(before & set(waiting)))
        is_much = is_much or _is_moving(doubt) or (not plan.is_holding and _is_much(doubt))
        return _settle(doubt, answer, is_much=is_much)


@dataclass(frozen=True, slots=True)
class Removal:
    """What came of it that a package is gone upstream, in a line; and a question, if it is one for a human."""

    line: str
    question: str = ""


def gone(name: PackageName, upstream: Upstream, answer: str) -> Removal | None:
    """The upstream has nothing of the package, as `answer` says. Bury it when that is confirmed.

    None: nothing of it is here from that upstream.
    """
    with transaction.atomic():  # the package is locked before the doubt, wherever both are
        here = Package.objects.filter(name=str(name), origin=upstream.name, unpublished_at=None)
        if here.select_for_update(no_key=True).only("pk").first() is None:
            return None
        doubt = _lock(name, upstream)
        if doubt.is_kept:
            return Removal(f"{answer}; kept: {doubt.reason}")
        doubt.gone_since = doubt.gone_since or timezone.now()
        is_asking = doubt.state == State.ASKING  # a question stays, whatever is decided of others
        is_much = is_asking or _is_moving(doubt) or _is_much(doubt)
        if doubt.is_gone(timezone.now()) and (doubt.is_believed or not is_much):
            burying.bury(name, origin=upstream.name, reason=answer, actor=Actor.upstream(upstream.name))
            doubt.delete()
            return Removal(f"{answer}: it is a tombstone now")
        question = _settle(doubt, answer, is_much=is_much)
    return Removal(f"{answer}; it is served until that is confirmed", question)


def _settle(doubt: Doubt, answer: str, *, is_much: bool) -> str:
    """Save what was seen; when it is too much and nobody was asked yet, ask a human."""
    doubt.answer, name = answer, doubt.upstream.name
    is_new = is_much and doubt.state == State.WAITING
    doubt.state = State.ASKING if is_much else State.WAITING
    gone_since = [doubt.gone_since.timestamp()] if doubt.gone_since else []
    first = datetime.fromtimestamp(min([*doubt.numbers.values(), *gone_since]), UTC)
    doubt.due_at = max(first + patience(), doubt.due_at)
    doubt.save()
    if not is_new:
        return ""
    if _are_many(doubt, timezone.now() - timedelta(days=1)):
        # They are one question, also those that were there before it was so much. Whoever has one locked asks itself.
        rows = _others(doubt).filter(state=State.WAITING).select_for_update(skip_locked=True)
        Doubt.objects.filter(pk__in=list(rows.values_list("pk", flat=True))).update(state=State.ASKING)
    journal.record(REMOVAL_ASKED, _subject(doubt), actor=Actor.system("sync"), upstream=name, answer=answer)
    return f"{answer}: that is so much at once that a human decides (manage.py removals)"


def _keep_or_forget(doubt: Doubt) -> None:
    if doubt.kept:
        doubt.save()
    else:
        doubt.delete()


def _is_much(doubt: Doubt) -> bool:
    """Whether so much is gone, or went in the last day, that the upstream is rather ill."""
    lately = timezone.now() - timedelta(days=1)
    return _is_most_of_it(doubt, lately) or _are_many(doubt, lately)


def _is_moving(doubt: Doubt) -> bool:
    """What is brought over from an old registry is not let go because that one is being emptied, or hides it."""
    return routing.route(PackageName.parse(doubt.name)).mode == ScopeRule.Mode.MIGRATE


def _is_most_of_it(doubt: Doubt, lately: datetime) -> bool:
    versions = Version.objects.filter(package__name=doubt.name)
    gone = len(doubt.numbers) + versions.filter(unpublished_at__gte=lately).count()
    return gone >= MASS_REMOVAL and gone * 2 > versions.published().count() + gone - len(doubt.numbers)


def _are_many(doubt: Doubt, lately: datetime) -> bool:
    """Packages that are gone, or lose versions."""
    others = _others(doubt).count()
    lost = Version.objects.filter(package=OuterRef("pk"), unpublished_at__gte=lately)
    touched = Package.objects.filter(origin=doubt.upstream.name, updated_at__gte=lately).exclude(name=doubt.name)
    return others + touched.filter(Exists(lost)).count() >= settings.MASS_REMOVAL


def _others(doubt: Doubt) -> QuerySet[Doubt]:
    """The other doubts about the same upstream that nobody has decided."""
    is_open = Q(gone_since__isnull=False, is_kept=False, is_believed=False) | (~Q(numbers={}) & Q(believed=[]))
    return Doubt.objects.filter(is_open, upstream=doubt.upstream).exclude(pk=doubt.pk)


def _find(name: PackageName, upstream: Upstream) -> Doubt | None:
    return Doubt.objects.filter(upstream=upstream, name=str(name)).first()


def _lock(name: PackageName, upstream: Upstream) -> Doubt:
    """The row, which nobody else changes before the transaction ends; made when there is none."""
    Doubt.objects.bulk_create([Doubt(upstream=upstream, name=str(name))], ignore_conflicts=True)
    rows = Doubt.objects.select_for_update(no_key=True, of=("self",)).select_related("upstream")
    return rows.get(upstream=upstream, name=str(name))


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
        doubt.believed, doubt.is_believed = sorted(doubt.numbers), doubt.gone_since is not None
        doubt.state, doubt.reason = State.WAITING, reason
        doubt.save()
        journal.record(REMOVAL_BELIEVED, _subject(doubt), actor=actor, reason=reason, answer=doubt.answer)
        queue.ask(str(name), why=f"{actor} believes that it is gone")


def keep(name: PackageName, *, reason: str, actor: Actor) -> None:
    """Keep what the upstream does not have any more, also what has become tombstones; it is not asked about again."""
    access.require_operator(actor)
    with transaction.atomic():
        Package.objects.select_for_update(no_key=True).filter(name=str(name)).only("pk").first()
        doubt, reason = _decide(name, reason, actor, also_tombstones=True)
        restored = burying.restore(name, origin=doubt.upstream.name, actor=actor)
        doubt.kept = sorted({*doubt.kept, *doubt.numbers, *restored.numbers})
        doubt.is_kept = doubt.is_kept or doubt.gone_since is not None or restored.is_whole
        doubt.numbers, doubt.believed, doubt.is_believed = {}, [], False
        doubt.state, doubt.reason = State.WAITING, reason
        doubt.save()
        journal.record(
            REMOVAL_KEPT, _subject(doubt), actor=actor, reason=reason, answer=doubt.answer, restored=restored.numbers
        )


def _decide(name: PackageName, reason: str, actor: Actor, *, also_tombstones: bool = False) -> tuple[Doubt, str]:
    access.require_operator(actor)
    reason = reason.strip()
    if len(reason) < _LEAST_REASON:
        raise Invalid(f"say why, in {_LEAST_REASON} characters or more: the reason is kept in the journal")
    origin = Package.objects.filter(name=str(name)).values_list("origin", flat=True).first()
    rows = Doubt.objects.select_for_update(no_key=True, of=("self",)).select_related("upstream")
    doubt = rows.filter(name=str(name), upstream__name=origin or "").first()
    if doubt is None and also_tombstones and burying.has_tombstones(name):
        upstream = Upstream.objects.filter(name=origin or "").first()
        doubt = Doubt(upstream=upstream, name=str(name), answer="believed before") if upstream else None
    if doubt is None:
        raise NotFound(f"nothing of {name} is gone from its upstream and still here: manage.py removals shows what is")
    return doubt, reason


def waiting_for_a_human() -> Collection[Doubt]:
    """What only a human may decide, the oldest first."""
    return Doubt.objects.filter(state=State.ASKING).select_related("upstream").order_by("due_at", "name")

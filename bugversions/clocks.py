"""What is withheld for its age: holds and freezes begin and end here, and others are told what the clock changes.

Readers need nobody for that: a judgement says until when it holds (`deciding`). Search, those who follow us and a CDN
know what they were told; so what becomes different by the clock alone is told of soon after, as with every rule.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Coalesce
from django.utils import timezone

from audit import journal
from audit.actors import Actor
from bugversions.editing import one_at_a_time, require_reason
from bugversions.events import FROZEN, HOLD_ENDED, HOLD_SET, THAWED
from bugversions.models import BugVersion, Clock, Freeze, Hold
from registry import access, lifecycle, patterns
from registry.errors import Conflict, Invalid
from registry.models import Package, Version
from registry.models.package import PackageQuerySet

_OURS = Actor.system("bugversions")
_LONGEST_HOLD = 10 * 365 * 24 * 3600
# A transaction that brings versions in and cannot see a new hold yet has ended after so long.
_UNDER_WAY = timedelta(minutes=10)


def hold(
    pattern: str, seconds: int, *, reason: str, upstream: str = "", allowed: Sequence[str] = (), actor: Actor
) -> Hold:
    """Serve what fits `pattern` only when it is so old. Raises `Invalid` for what makes no sense."""
    access.require_operator(actor)
    reason, pattern = require_reason(reason), patterns.canonical(pattern)
    if not 0 < seconds <= _LONGEST_HOLD:
        raise Invalid("a hold lasts a second at least and ten years at most")
    if not isinstance(allowed, list | tuple) or not all(isinstance(one, str) for one in allowed):
        raise Invalid('names that are not held are a list of texts, such as ["@acme", "typescript"]')
    names = [patterns.canonical(one) for one in allowed]
    facts = {"seconds": seconds, "reason": reason, "is_active": True, "allowed": names}
    with one_at_a_time():
        longest = _longest()  # the most specific hold counts: with this one another one may count no more
        row, _ = Hold.objects.update_or_create(pattern=pattern, upstream=upstream, defaults=facts)
        _touch_young(_ago(max(seconds, longest)), actor)
        journal.record(
            HOLD_SET, f"hold:{pattern}", actor=actor, seconds=seconds, reason=reason, upstream=upstream,
            allowed=list(names),
        )  # fmt: skip
    return row


def end_hold(row: Hold, *, reason: str, actor: Actor) -> None:
    """Hold no more."""
    access.require_operator(actor)
    reason = require_reason(reason)
    with one_at_a_time():
        longest = _longest()  # another hold may count in its place
        if Hold.objects.filter(pk=row.pk, is_active=True).update(is_active=False):
            _touch_young(_ago(longest), actor)
            journal.record(HOLD_ENDED, f"hold:{row.pattern}", actor=actor, reason=reason)


def freeze(since: datetime, *, reason: str, actor: Actor) -> Freeze:
    """Serve nothing that was published upstream after `since`, until `thaw`. Raises `Conflict` when it is frozen."""
    access.require_operator(actor)
    reason = require_reason(reason)
    if since.tzinfo is None:
        raise Invalid("say in which time zone the moment is, such as 2026-11-27T12:00:00Z")
    with one_at_a_time():
        if Freeze.objects.select_for_update(no_key=True).filter(lifted_at=None).exists():
            raise Conflict("it is frozen already: lift that freeze first")
        row = Freeze.objects.create(since=since, reason=reason)
        _touch_young(since, actor)
        journal.record(FROZEN, "freeze", actor=actor, since=since.isoformat(), reason=reason)
    return row


def thaw(*, reason: str, actor: Actor) -> None:
    """Lift the freeze."""
    access.require_operator(actor)
    reason = require_reason(reason)
    with one_at_a_time():
        frozen = Freeze.objects.select_for_update(no_key=True).filter(lifted_at=None).first()
        if frozen is None:
            raise Conflict("nothing is frozen")
        frozen.lifted_at = timezone.now()
        frozen.save(update_fields=["lifted_at"])
        _touch_young(frozen.since, actor)
        journal.record(THAWED, "freeze", actor=actor, reason=reason)


def look_again(begun: datetime) -> list[str]:
    """Touch what came in while a hold or a freeze was made at `begun`: its transaction could not see those versions,
    nor theirs it. Returns which packages that are."""
    limits = _limits(Hold.objects.all(), Freeze.objects.order_by("-pk")[:1])
    with transaction.atomic():
        lately = Q(first_seen_at__gt=begun - _UNDER_WAY) | Q(published_at__gt=begun - _UNDER_WAY)
        which = Q(born__gt=min(limits)) & lately if limits else Q(pk__in=[])
        return lifecycle.touch_all(_names(which), actor=_OURS)


def tell() -> list[str]:
    """Touch the packages that the clock has changed since the last time; returns which they are."""
    clock, _ = Clock.objects.get_or_create(pk=1, defaults={"told_until": timezone.now()})
    before, now = clock.told_until, timezone.now()
    names = list(_changed(before, now))  # looked for before anybody is kept waiting
    with one_at_a_time():
        if not Clock.objects.filter(pk=1, told_until=before).update(told_until=now):
            return []  # somebody else has told
        return lifecycle.touch_all(names, actor=_OURS)


def _longest() -> int:
    return max(Hold.objects.filter(is_active=True).values_list("seconds", flat=True), default=0)


def _ago(seconds: int) -> datetime:
    return timezone.now() - timedelta(seconds=seconds)


def _touch_young(limit: datetime, actor: Actor) -> None:
    """Those with a younger version are shown differently; all others stay as they are, and need not be built again."""
    lifecycle.touch_all(_names(Q(born__gt=limit)), actor=actor)


def _changed(start: datetime, end: datetime) -> Iterator[str]:
    """What rules and holds, at their edges between these moments, change."""
    edges = Q(valid_from__gt=start, valid_from__lte=end) | Q(valid_until__gt=start, valid_until__lte=end)
    yield from BugVersion.objects.filter(edges, is_active=True).values_list("package", flat=True)
    for seconds in set(Hold.objects.filter(is_active=True).values_list("seconds", flat=True)):
        age = timedelta(seconds=seconds)
        yield from _names(Q(born__gt=start - age, born__lte=end - age))


def with_withheld() -> PackageQuerySet:
    """Packages of which a hold or a freeze may withhold something now."""
    limits = _limits(Hold.objects.filter(is_active=True), Freeze.objects.filter(lifted_at=None))
    return _having(Q(born__gt=min(limits))) if limits else Package.objects.none()


def _limits(holds: Iterable[Hold], freezes: Iterable[Freeze]) -> list[datetime]:
    return [*(_ago(row.seconds) for row in holds), *(row.since for row in freezes)]


def _names(which: Q) -> Iterator[str]:
    return _having(which).values_list("name", flat=True).iterator()


def _having(which: Q) -> PackageQuerySet:
    """The packages of upstreams that have such a version (`born`: when it was published, or seen here first)."""
    rows = Version.objects.published().annotate(born=Coalesce("published_at", "first_seen_at"))
    return Package.objects.exclude(origin=None).filter(Exists(rows.filter(which, package_id=OuterRef("pk"))))

"""Leaving an old registry: its names are copied, followed and compared, until they are cut over (`cutting_over`).

- `start` makes a rule of mode `migrate`, so that no other upstream is ever asked for these names, and asks for all that
  the old registry lists. `look` does so again, on a schedule; changes feeds are followed besides.
- Until the cut-over the old registry is where people publish these names, and nobody changes the rule by itself.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from audit import journal
from audit.actors import Actor
from registry import access, lifecycle, patterns
from registry.errors import Conflict, Invalid, NotFound
from registry.models import Package
from registry.names import PackageName
from sync import comparing, listing, queue, rules, upstreams
from sync.comparing import Difference
from sync.events import MIGRATION_STARTED, MIGRATION_STOPPED
from sync.http import UpstreamError
from sync.models import Migration, ScopeRule, SyncTask, Upstream

_LEAST_REASON = 10


# --- Copying ------------------------------------------------------------------------------------------------------


def start(
    pattern: str,
    upstream: str,
    *,
    listed: Collection[PackageName] = (),
    is_restricted: bool | None = None,
    actor: Actor,
) -> Migration:
    """Begin to bring over what fits `pattern`; `listed` are names besides those that the old registry tells of.

    What the old registry gives only to who has a token is restricted here too, also what came from there before, unless
    `is_restricted` says otherwise. Begun once more it forgets nothing of that. Raises `UpstreamError` when the old
    registry tells of no names at all and none are listed.
    """
    access.require_operator(actor)
    pattern = patterns.canonical(pattern)
    _require_sense(pattern, listed)
    with transaction.atomic():
        [old] = upstreams.locked([upstream])
    before = Migration.objects.filter(pattern=pattern).first()
    if before is not None and before.cut_over_at is not None:
        raise Conflict(f"{pattern} was cut over already: take that back first (manage.py migration back)")
    if before is not None and before.stopped_at is None and before.upstream != old:
        raise Conflict(f"{pattern} is being migrated from {before.upstream}: stop that first (migration stop)")
    if is_restricted is None:
        is_restricted = before.is_restricted if before else bool(old.credentials)
    by_hand = sorted({*map(str, listed), *(before.listed if before else ())})
    found = _listed(old, pattern, names_of(by_hand))
    with transaction.atomic():
        rules.put(pattern, ScopeRule.Mode.MIGRATE, [upstream], tarballs=None, is_migrating=True, actor=actor)
        facts = {"upstream": old, "listed": by_hand, "is_restricted": is_restricted, "stopped_at": None}
        migration, _ = Migration.objects.update_or_create(pattern=pattern, defaults=facts)
        if is_restricted:
            _restrict(migration, actor)
        journal.record(
            MIGRATION_STARTED, f"rule:{pattern}", actor=actor, upstream=upstream,
            names=[str(name) for name in found.names], found=found.found,
        )  # fmt: skip
    _ask_for(migration, found)
    return migration


def stop(migration: Migration, *, reason: str, actor: Actor) -> None:
    """Copy, follow and compare no more. What has come stays, and the rule becomes one of mode `proxy`.

    What somebody asks for comes from the old registry still, and is restricted as before, until an operator changes
    the rule.
    """
    access.require_operator(actor)
    reason = require_reason(reason)
    if migration.cut_over_at is not None:
        raise Conflict(f"{migration.pattern} was cut over: there is nothing to stop, only a way back (migration back)")
    with transaction.atomic():
        lock(migration, is_cut_over=False)
        Migration.objects.filter(pk=migration.pk).update(stopped_at=timezone.now(), error="")
        cancel_tasks(migration, f"the migration of {migration.pattern} was stopped")
        mode, names = ScopeRule.Mode.PROXY, [migration.upstream.name]
        rules.put(migration.pattern, mode, names, is_migrating=True, actor=actor)
        journal.record(MIGRATION_STOPPED, f"rule:{migration.pattern}", actor=actor, reason=reason)


def look(migration: Migration) -> int:
    """Ask the old registry for its names once more, and for what is new of each. Returns how many they are."""
    try:
        found = _listed(migration.upstream, migration.pattern, names_of(migration.listed))
    except UpstreamError as error:
        Migration.objects.filter(pk=migration.pk).update(error=error.sentence, looked_at=timezone.now())
        return 0
    _ask_for(migration, found)
    return len(found.names)


def due() -> list[Migration]:
    """Those whose old registry is to be asked again now, which by that is nobody else's to do."""
    now = timezone.now()
    before = now - timedelta(seconds=settings.MIGRATE_SECONDS)
    is_due = Q(looked_at=None) | Q(looked_at__lte=before)
    rows = list(Migration.objects.under_way().filter(is_due))
    return [one for one in rows if Migration.objects.filter(is_due, pk=one.pk).update(looked_at=now)]


def find(pattern: str) -> Migration:
    """The migration of this pattern. Raises `NotFound`."""
    pattern = patterns.canonical(pattern)
    migration = Migration.objects.select_related("upstream").filter(pattern=pattern).first()
    if migration is None:
        raise NotFound(f"{pattern} is not being migrated: manage.py migration start {pattern} --from <upstream>")
    return migration


def names_of(texts: Sequence[str]) -> list[PackageName]:
    """The names in a row's list."""
    return [PackageName.parse(text) for text in texts]


def _listed(old: Upstream, pattern: str, listed: Collection[PackageName]) -> listing.Listing:
    try:
        found = listing.names(old, pattern)
    except UpstreamError:
        if not listed:
            raise
        found = listing.Listing((), "")
    if not listed:
        return found
    known = {str(name): name for name in (*found.names, *listed)}
    told = f"{found.found}, listed by hand: {len(listed)}".removeprefix(", ")
    return listing.Listing(tuple(known[text] for text in sorted(known)), told)


def _ask_for(migration: Migration, found: listing.Listing) -> None:
    for name in found.names:
        priority = SyncTask.Priority.BACKFILL
        queue.ask(str(name), why=f"{migration.pattern} is migrated", priority=priority, with_tarballs=True)
    facts = {"found": found.found[:255], "looked_at": timezone.now(), "error": ""}
    Migration.objects.filter(pk=migration.pk).update(**facts)


# --- Comparing ----------------------------------------------------------------------------------------------------


def status(migration: Migration) -> Iterator[Difference]:
    """How each package differs at this moment: those that the old registry lists, and those that came from there.

    Raises `Conflict` after the cut-over: the old registry is not asked any more.
    """
    if migration.cut_over_at is not None:
        raise Conflict(
            f"{migration.pattern} was cut over on {migration.cut_over_at:%Y-%m-%d}: the old registry is not asked again"
        )
    found = _listed(migration.upstream, migration.pattern, names_of(migration.listed)).names
    here = came(migration).filter(unpublished_at=None).values_list("name", flat=True)
    names = sorted(mine(migration, [*map(str, found), *here]))
    yield from comparing.compare(names_of(names), migration.upstream)


def came(migration: Migration) -> QuerySet[Package]:
    """What is here of it, tombstones too. What a more specific rule is about is not its."""
    here = Package.objects.filter(origin=migration.upstream.name)
    names = mine(migration, here.filter(fits(migration.pattern, "name")).values_list("name", flat=True))
    return here.filter(name__in=names).order_by("name")


def mine(migration: Migration, names: Iterable[str]) -> list[str]:
    """Those of the names that no more specific rule is about."""
    ruled = set(ScopeRule.objects.values_list("pattern", flat=True)) | {migration.pattern}
    fitting = {name: patterns.fitting(PackageName.parse(name)) for name in names}
    first = {name: next((one for one in found if one in ruled), "") for name, found in fitting.items()}
    return [name for name, pattern in first.items() if pattern == migration.pattern]


def cancel_tasks(migration: Migration, reason: str) -> None:
    """End the tasks that are live for its names."""
    live = SyncTask.objects.live()
    names = mine(migration, live.filter(fits(migration.pattern, "name")).values_list("name", flat=True))
    live.filter(name__in=names).update(
        state=SyncTask.State.CANCELLED, finished_at=timezone.now(), again=False, leased_until=None, reason=reason
    )


def fits(pattern: str, field: str) -> Q:
    """The condition that a row's name fits the pattern."""
    beginning = pattern.removesuffix("*")
    return Q(**{field: pattern}) if beginning == pattern else Q(**{f"{field}__startswith": beginning})


def lock(migration: Migration, *, is_cut_over: bool) -> None:
    """Keep others from deciding about it too, and syncs from bringing anything in. Raises `Conflict`."""
    row = Migration.objects.select_for_update(no_key=True).filter(pk=migration.pk).first()
    if row is not None:
        require_not_stopped(row)
    if row is None or (row.cut_over_at is not None) is not is_cut_over:
        raise Conflict(f"somebody else has just decided about {migration.pattern}: see what became of it")


def require_not_stopped(migration: Migration) -> None:
    """Raise `Conflict` for one that was stopped."""
    if migration.stopped_at is not None:
        raise Conflict(f"{migration.pattern} was stopped: manage.py migration start goes on with it")


def require_reason(text: str) -> str:
    """The reason, or `Invalid` when it says too little."""
    if len(text.strip()) < _LEAST_REASON:
        raise Invalid(f"say why, in {_LEAST_REASON} characters or more: the reason is kept in the journal")
    return text.strip()


def _restrict(migration: Migration, actor: Actor) -> None:
    public = came(migration).filter(is_restricted=False).select_for_update(no_key=True)
    names = list(public.values_list("name", flat=True))
    Package.objects.filter(name__in=names).update(is_restricted=True)
    lifecycle.touch_all(names, actor=actor)


def _require_sense(pattern: str, listed: Collection[PackageName]) -> None:
    strange = [str(name) for name in listed if not patterns.fits(pattern, name)]
    if strange:
        raise Invalid(f"{strange[0]} does not fit {pattern}: migrate it under a pattern of its own")
    if pattern == patterns.EVERYTHING:
        raise Invalid("name what is yours: a scope, or single packages; not everything there is")

"""Leaving an old registry: its names are copied and followed, compared, and then cut over to be ours; and back.

- `start` makes a rule of mode `migrate`, so that no other upstream is ever asked for these names, and asks for all that
  the old registry lists. `look` does so again, on a schedule; changes feeds are followed besides.
- Until the cut-over the old registry is where people publish: a package that came from there cannot be published here.
- `cut_over` wants everything to be here, or a human who does not. In one transaction the packages become ours, with
  the owners that are people here, and the rule `private`: the old registry is not asked again.
- `take_back` undoes that, until something was published here.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from audit import journal
from audit.actors import Actor
from registry import access, jsontext, lifecycle, manifests, patterns, people
from registry.errors import Conflict, Invalid, NotFound
from registry.models import Grant, Maintainer, Member, Package, Scope, Team, User, Version
from registry.names import PackageName
from registry.orgs import DEVELOPERS
from sync import comparing, listing, queue, rules, upstreams
from sync.comparing import Difference
from sync.events import MIGRATION_CUT_OVER, MIGRATION_STARTED, MIGRATION_TAKEN_BACK
from sync.http import UpstreamError
from sync.models import Doubt, Freshness, Migration, ScopeRule, SyncTask, Upstream

_LEAST_REASON = 10
_TOLD = 5


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

    What the old registry gives only to who has a token is restricted here too, unless `is_restricted` says otherwise.
    Raises `UpstreamError` when it tells of none at all and none are listed.
    """
    access.require_operator(actor)
    pattern = patterns.canonical(pattern)
    strange = [str(name) for name in listed if not patterns.fits(pattern, name)]
    if strange:
        raise Invalid(f"{strange[0]} does not fit {pattern}: migrate it under a pattern of its own")
    if pattern == patterns.EVERYTHING:
        raise Invalid("name what is yours: a scope, or single packages; not everything there is")
    with transaction.atomic():
        [old] = upstreams.locked([upstream])
    if Migration.objects.filter(pattern=pattern).exclude(cut_over_at=None).exists():
        raise Conflict(f"{pattern} was cut over already: take that back first (manage.py migration back)")
    found = _listed(old, pattern, listed)
    if is_restricted is None:
        is_restricted = bool(old.credentials)
    with transaction.atomic():
        rules.put(pattern, ScopeRule.Mode.MIGRATE, [upstream], actor=actor)
        facts = {"upstream": old, "listed": sorted(map(str, listed)), "is_restricted": is_restricted}
        migration, _ = Migration.objects.update_or_create(pattern=pattern, defaults=facts)
        journal.record(
            MIGRATION_STARTED, f"rule:{pattern}", actor=actor, upstream=upstream,
            names=[str(name) for name in found.names], found=found.found,
        )  # fmt: skip
    _ask_for(migration, found)
    return migration


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
    """How each package differs at this moment: those that the old registry lists, and those that came from there."""
    found = _listed(migration.upstream, migration.pattern, names_of(migration.listed)).names
    here = names_of(list(_packages(migration).values_list("name", flat=True)))
    known = {str(name): name for name in (*found, *here)}
    yield from comparing.compare([known[text] for text in sorted(known)], migration.upstream)


def _packages(migration: Migration) -> QuerySet[Package]:
    came = Package.objects.filter(origin=migration.upstream.name, unpublished_at=None)
    return came.filter(_fits(migration.pattern, "name"))


def _fits(pattern: str, field: str) -> Q:
    beginning = pattern.removesuffix("*")
    return Q(**{field: pattern}) if beginning == pattern else Q(**{f"{field}__startswith": beginning})


# --- Cutting over -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CutOver:
    """What became ours: packages, owners who are people here, and the names of owners who are not."""

    packages: list[str]
    owners: int
    strangers: list[str]


def cut_over(
    migration: Migration, *, reason: str, owners: Sequence[str] = (), is_forced: bool = False, actor: Actor
) -> CutOver:
    """Make ours what came over, and never ask the old registry again; `owners` own all of it, besides those it had.

    Raises `Conflict` when something of it is not here yet, unless `is_forced`.
    """
    access.require_operator(actor)
    extra = people.named(*owners)
    reason = _reason(reason)
    if migration.cut_over_at is not None:
        raise Conflict(f"{migration.pattern} was cut over already")
    differing = [one for one in status(migration) if not one.is_complete]
    if differing and not is_forced:
        more = f", and {len(differing) - _TOLD} more" if len(differing) > _TOLD else ""
        told = "; ".join(str(one) for one in differing[:_TOLD])
        raise Conflict(f"not everything is here: {told}{more}. Wait for the tasks, or force it")
    with transaction.atomic():
        _lock(migration, is_cut_over=False)
        done = _make_ours(migration, extra)
        rules.put(migration.pattern, ScopeRule.Mode.PRIVATE, actor=actor)
        _forget_the_old(migration, done.packages)
        facts = {"cut_over_at": timezone.now(), "names": done.packages, "made_scope": _make_organisation(migration)}
        Migration.objects.filter(pk=migration.pk).update(**facts)
        journal.record(
            MIGRATION_CUT_OVER, f"rule:{migration.pattern}", actor=actor, upstream=migration.upstream.name,
            reason=reason, names=done.packages, differing=[str(one) for one in differing],
        )  # fmt: skip
    return done


def _make_ours(migration: Migration, extra: Sequence[User]) -> CutOver:
    owners, strangers, names = 0, set[str](), list[str]()
    for package in _packages(migration).select_for_update(no_key=True).order_by("name"):
        head = jsontext.decode(package.head)
        had = _maintainers(head) or _publishers(package)
        users = list(User.objects.filter(username__in=had, is_active=True))
        strangers |= set(had) - {user.username for user in users}
        users += [user for user in extra if user not in users]
        rows = [Maintainer(package=package, user=user) for user in users]
        Maintainer.objects.bulk_create(rows, ignore_conflicts=True)
        package.origin, package.head = None, jsontext.encode(_as_ours(head, package))
        package.save(update_fields=["origin", "head"])
        lifecycle.touch(package)
        owners += len(users)
        names.append(package.name)
    return CutOver(names, owners, sorted(strangers))


def _make_organisation(migration: Migration) -> bool:
    """Let the scope be one of ours, with those who own something in it as developers.

    They publish what is new in it from now on, and read what is in it already.
    """
    scope, slash, rest = migration.pattern.partition("/")
    if not (scope.startswith("@") and slash and rest == "*"):
        return False
    organisation, is_new = Scope.objects.get_or_create(name=scope)
    owners = User.objects.filter(maintainer__package__scope=scope).distinct()
    rows = [Member(scope=organisation, user=user, role=Member.Role.DEVELOPER) for user in owners]
    Member.objects.bulk_create(rows, ignore_conflicts=True)
    team, _ = Team.objects.get_or_create(scope=organisation, name=DEVELOPERS)
    team.members.add(*owners)
    packages = Package.objects.filter(scope=scope, origin=None)
    grants = [Grant(team=team, package=package, permission=Grant.Permission.READ) for package in packages]
    Grant.objects.bulk_create(grants, ignore_conflicts=True)
    return is_new


def _maintainers(head: dict[str, object]) -> list[str]:
    listed = head.get("maintainers")
    named = [one.get("name") for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    return [name.lower() for name in named if isinstance(name, str)]


def _publishers(package: Package) -> list[str]:
    """Who published its versions, where the old registry kept no maintainers: Verdaccio does not."""
    found = dict[str, None]()
    for text in Version.objects.published().filter(package=package).values_list("manifest", flat=True).iterator():
        somebody = manifests.parse(text).get("_npmUser")
        name = somebody.get("name") if isinstance(somebody, dict) else None
        if isinstance(name, str):
            found[name.lower()] = None
    return list(found)


def _as_ours(head: dict[str, object], package: Package) -> dict[str, object]:
    """The top level without what the old registry kept there for itself, and with the times that we go on from."""
    created = lifecycle.moment(package.created_at)
    time = head.get("time")
    known = time if isinstance(time, dict) else {}
    times = {"created": created, "modified": lifecycle.moment(timezone.now()), **known}
    kept = {key: value for key, value in head.items() if not key.startswith("_")}
    return {**kept, "time": times}


def _forget_the_old(migration: Migration, names: list[str]) -> None:
    for rows in (Freshness.objects, Doubt.objects):
        rows.filter(upstream=migration.upstream, name__in=names).delete()
    live = SyncTask.objects.live().filter(name__in=names)
    live.update(
        state=SyncTask.State.CANCELLED, finished_at=timezone.now(), again=False, leased_until=None,
        reason=f"{migration.pattern} was cut over",
    )  # fmt: skip


# --- And back -----------------------------------------------------------------------------------------------------


def take_back(migration: Migration, *, reason: str, actor: Actor) -> list[str]:
    """Let the old registry be the one that counts again. Raises `Conflict` when something was published here since."""
    access.require_operator(actor)
    reason = _reason(reason)
    if migration.cut_over_at is None:
        raise Conflict(f"{migration.pattern} was not cut over: there is nothing to take back")
    with transaction.atomic():
        _lock(migration, is_cut_over=True)
        packages = Package.objects.filter(name__in=migration.names, origin=None).order_by("name")
        locked = list(packages.select_for_update(no_key=True))
        _require_nothing_new(migration)
        for package in locked:
            package.origin = migration.upstream.name
            package.save(update_fields=["origin"])
            lifecycle.touch(package)
        if migration.made_scope:
            Scope.objects.filter(name=migration.pattern.partition("/")[0]).delete()
            access.forget()
        rules.put(migration.pattern, ScopeRule.Mode.MIGRATE, [migration.upstream.name], actor=actor)
        Migration.objects.filter(pk=migration.pk).update(cut_over_at=None, names=[], looked_at=None, made_scope=False)
        names = [package.name for package in locked]
        journal.record(
            MIGRATION_TAKEN_BACK, f"rule:{migration.pattern}", actor=actor, upstream=migration.upstream.name,
            reason=reason, names=names,
        )  # fmt: skip
    return names


def _require_nothing_new(migration: Migration) -> None:
    ours = Version.objects.filter(package__origin=None, source_digest="").select_related("package")
    new = ours.filter(_fits(migration.pattern, "package__name")).order_by("id").first()
    if new is not None:
        raise Conflict(f"{new} was published here: the old registry does not have it, so this cannot be taken back")


def _lock(migration: Migration, *, is_cut_over: bool) -> None:
    """Keep others from deciding about it too. Raises `Conflict` when somebody was faster."""
    row = Migration.objects.select_for_update(no_key=True).filter(pk=migration.pk).first()
    if row is None or (row.cut_over_at is not None) is not is_cut_over:
        raise Conflict(f"somebody else has just decided about {migration.pattern}: see what became of it")


def _reason(text: str) -> str:
    if len(text.strip()) < _LEAST_REASON:
        raise Invalid(f"say why, in {_LEAST_REASON} characters or more: the reason is kept in the journal")
    return text.strip()

"""The end of leaving an old registry: what came from there becomes ours, in one transaction; and back.

The cut-over wants everything to be here, or a human who does not. It holds the migration's row, and so does every sync
that brings one of its names in (`sync.apply`): what comes later than the comparison is not taken over unseen.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, Value
from django.db.models.functions import Concat
from django.utils import timezone

from audit import journal
from audit.actors import Actor, ActorKind
from audit.models import Event
from registry import access, jsontext, lifecycle, manifests, people
from registry.errors import Conflict
from registry.events import USER_CREATED
from registry.models import DistTag, Grant, Maintainer, Member, Package, Scope, Team, User, Version
from registry.orgs import DEVELOPERS
from sync import migrating, reading, rules
from sync.comparing import Difference
from sync.events import MIGRATION_CUT_OVER, MIGRATION_TAKEN_BACK
from sync.http import UpstreamError
from sync.models import Doubt, Freshness, Migration, ScopeRule

_TOLD = 5
_SHELL = "manage.py "  # how actors are called whose commands operators give
# Stands for a digest that no upstream sends: at the next sync all of a version is taken as it is there.
_UNLIKE = "taken back"


@dataclass(slots=True)
class CutOver:
    """What became ours: packages, their owners by name, and the names of owners who are nobody here."""

    packages: list[str] = field(default_factory=list)
    owners: list[tuple[str, str]] = field(default_factory=list)
    strangers: set[str] = field(default_factory=set)


def cut_over(
    migration: Migration, *, reason: str, owners: Sequence[str] = (), is_forced: bool = False, actor: Actor
) -> CutOver:
    """Make ours what came over, and never ask the old registry again; `owners` own all of it, besides those it had.

    Raises `Conflict` when there is nothing, or something of it is not here yet, unless `is_forced`.
    """
    access.require_operator(actor)
    extra = people.named(*owners)
    reason = migrating.require_reason(reason)
    if migration.cut_over_at is not None:
        raise Conflict(f"{migration.pattern} was cut over already")
    migrating.require_not_stopped(migration)
    _require_no_narrower(migration)
    compared, trouble = _compare(migration, is_forced=is_forced)
    differing = [one for one in compared if not one.is_complete]
    if differing and not is_forced:
        raise Conflict(f"not everything is here: {_told(differing)}. Wait for the tasks, or force it")
    with transaction.atomic():
        migrating.lock(migration, is_cut_over=False)
        done = _make_ours(migration, extra)
        _require_seen(migration, done, compared, is_forced=is_forced)
        mode = ScopeRule.Mode.PRIVATE
        rules.put(migration.pattern, mode, tarballs=None, is_migrating=True, actor=actor)
        _forget_the_old(migration, done.packages)
        facts = {"cut_over_at": timezone.now(), "names": done.packages, "owners": done.owners}
        facts |= _make_organisation(migration)
        Migration.objects.filter(pk=migration.pk).update(**facts)
        journal.record(
            MIGRATION_CUT_OVER, f"rule:{migration.pattern}", actor=actor, upstream=migration.upstream.name,
            reason=reason, names=done.packages, differing=[*trouble, *map(str, differing)],
        )  # fmt: skip
    return done


def _compare(migration: Migration, *, is_forced: bool) -> tuple[list[Difference], list[str]]:
    """With the old registry as it is; who forces it does not need one that answers. What it failed of comes second."""
    try:
        return list(migrating.status(migration)), []
    except UpstreamError as error:
        if not is_forced:
            raise
        return [], [error.sentence]


def _require_no_narrower(migration: Migration) -> None:
    """The whole scope becomes private: what a narrower rule brings in would not be served any more."""
    if not migration.pattern.startswith("@") or not migration.pattern.endswith("/*"):
        return
    scope, modes = migration.pattern.removesuffix("*"), ScopeRule.FROM_UPSTREAMS
    narrower = ScopeRule.objects.filter(pattern__startswith=scope, mode__in=modes).exclude(pattern=migration.pattern)
    names = sorted(narrower.values_list("pattern", flat=True))
    if names:
        raise Conflict(
            f"{', '.join(names[:_TOLD])} in it come from elsewhere by rules of their own, and the whole scope becomes "
            "private: cut those over first, or remove their rules (manage.py rule remove)"
        )


def _told(differing: Sequence[Difference]) -> str:
    more = f", and {len(differing) - _TOLD} more" if len(differing) > _TOLD else ""
    return "; ".join(str(one) for one in differing[:_TOLD]) + more


def _require_seen(migration: Migration, done: CutOver, compared: Sequence[Difference], *, is_forced: bool) -> None:
    if not done.packages:
        raise Conflict(
            f"nothing of {migration.pattern} came over from {migration.upstream}: see whether its credentials still "
            f"show the packages, or stop the migration (manage.py migration stop)"
        )
    living = Package.objects.filter(name__in=done.packages, unpublished_at=None).values_list("name", flat=True)
    unseen = sorted(set(living) - {one.name for one in compared})
    if unseen and not is_forced:
        raise Conflict(f"{', '.join(unseen[:_TOLD])} came in just now: compare once more, and then cut over")


def _make_ours(migration: Migration, extra: Sequence[User]) -> CutOver:
    done = CutOver()
    for package in migrating.came(migration).select_for_update(no_key=True):
        head = jsontext.decode(package.head)
        had = reading.maintainers(head) or _latest_publisher(package)
        users = list(_known_people(migration).filter(username__in=had))
        done.strangers |= set(had) - {user.username for user in users}
        users += [user for user in extra if user not in users]
        done.owners += _make_owners(package, users)
        package.origin, package.head = None, jsontext.encode(_as_ours(head, package))
        package.save(update_fields=["origin", "head"])
        lifecycle.touch(package)
        done.packages.append(package.name)
    return done


def _known_people(migration: Migration) -> Any:
    """A name proves nothing of who chose it after the migration began; operators know whom they make or bring over."""
    made = Event.objects.filter(kind=USER_CREATED.name, subject=Concat(Value("user:"), OuterRef("username")))
    by_operators = Exists(made.filter(actor_kind=ActorKind.SYSTEM, actor_name__startswith=_SHELL))
    return User.objects.filter(Q(date_joined__lt=migration.started_at) | by_operators, is_active=True)


def _make_owners(package: Package, users: Sequence[User]) -> list[tuple[str, str]]:
    """Those who did not own it before, by which a way back takes it from them again."""
    before = set(Maintainer.objects.filter(package=package).values_list("user_id", flat=True))
    new = [user for user in users if user.pk not in before]
    Maintainer.objects.bulk_create(Maintainer(package=package, user=user) for user in new)
    return [(package.name, user.username) for user in new]


def _make_organisation(migration: Migration) -> dict[str, Any]:
    """Let the scope be one of ours, with those who own something in it as developers.

    They publish what is new in it from now on, and read what is in it already.
    """
    scope, slash, rest = migration.pattern.partition("/")
    if not (scope.startswith("@") and slash and rest == "*"):
        return {"made_scope": False}
    organisation, is_new = Scope.objects.get_or_create(name=scope)
    owners = User.objects.filter(maintainer__package__scope=scope).distinct()
    rows = [Member(scope=organisation, user=user, role=Member.Role.DEVELOPER) for user in owners]
    Member.objects.bulk_create(rows, ignore_conflicts=True)
    team, _ = Team.objects.get_or_create(scope=organisation, name=DEVELOPERS)
    team.members.add(*owners)
    packages = Package.objects.filter(scope=scope, origin=None)
    grants = [Grant(team=team, package=package, permission=Grant.Permission.READ) for package in packages]
    Grant.objects.bulk_create(grants, ignore_conflicts=True)
    return {"made_scope": is_new, "people": _people(scope)}


def _people(scope: str) -> list[str]:
    """Who is in the organisation, as what, and its teams: what a way back compares."""
    members = Member.objects.filter(scope__name=scope).order_by("user__username").values_list("user__username", "role")
    teams = Team.objects.filter(scope__name=scope).order_by("name").values_list("name", flat=True)
    return [*(f"{role} {name}" for name, role in members), *(f"team {name}" for name in teams)]


def _latest_publisher(package: Package) -> list[str]:
    """Who published its latest version, where the old registry kept no maintainers: Verdaccio does not."""
    rows = DistTag.objects.filter(package=package, tag="latest").values_list("version__manifest", flat=True)
    somebody = [manifests.parse(text).get("_npmUser") for text in rows]
    return reading.names(somebody)


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
    migrating.cancel_tasks(migration, f"{migration.pattern} was cut over")


# --- And back -----------------------------------------------------------------------------------------------------


def take_back(migration: Migration, *, reason: str, actor: Actor) -> list[str]:
    """Let the old registry be the one that counts again. Raises `Conflict` when something was made here since."""
    access.require_operator(actor)
    reason = migrating.require_reason(reason)
    if migration.cut_over_at is None:
        raise Conflict(f"{migration.pattern} was not cut over: there is nothing to take back")
    with transaction.atomic():
        migrating.lock(migration, is_cut_over=True)
        packages = Package.objects.filter(name__in=migration.names, origin=None).order_by("name")
        locked = list(packages.select_for_update(no_key=True))
        _require_nothing_new(migration)
        for name, username in migration.owners or ():
            Maintainer.objects.filter(package__name=name, user__username=username).delete()
        Version.objects.filter(package__in=locked).exclude(source_digest="").update(source_digest=_UNLIKE)
        for package in locked:
            package.origin = migration.upstream.name
            package.save(update_fields=["origin"])
            lifecycle.touch(package)
        _give_up_organisation(migration)
        mode, names = ScopeRule.Mode.MIGRATE, [migration.upstream.name]
        rules.put(migration.pattern, mode, names, tarballs=None, is_migrating=True, actor=actor)
        facts: dict[str, Any] = {"cut_over_at": None, "names": [], "owners": [], "people": []}
        facts |= {"looked_at": None, "made_scope": False}
        Migration.objects.filter(pk=migration.pk).update(**facts)
        journal.record(
            MIGRATION_TAKEN_BACK, f"rule:{migration.pattern}", actor=actor, upstream=migration.upstream.name,
            reason=reason, names=[package.name for package in locked],
        )  # fmt: skip
    return [package.name for package in locked]


def _require_nothing_new(migration: Migration) -> None:
    since = Version.objects.filter(package__origin=None, source_digest="", published_at__gt=migration.cut_over_at)
    new = since.filter(migrating.fits(migration.pattern, "package__name")).select_related("package")
    mine = set(migrating.mine(migration, new.values_list("package__name", flat=True)))
    if version := next((one for one in new.order_by("id") if one.package.name in mine), None):
        raise Conflict(f"{version} was published here: the old registry does not have it, so this cannot be taken back")


def _give_up_organisation(migration: Migration) -> None:
    """Else no upstream may be asked for its names. Raises `Conflict` where people have made something of it since."""
    scope = migration.pattern.partition("/")[0]
    if not migration.made_scope:
        return
    if _people(scope) != migration.people:
        raise Conflict(f"the people or teams of {scope} changed since the cut-over: make them what they were first")
    Scope.objects.filter(name=scope).delete()
    access.forget()

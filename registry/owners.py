"""Who owns a package: `npm owner`. npm sends all owners at once, pnpm the one who comes or goes."""

from collections.abc import Callable, Sequence

from django.db import transaction

from audit import journal
from audit.actors import Actor
from registry import access, lifecycle, people, revisions
from registry.errors import Invalid
from registry.events import OWNER_ADDED, OWNER_REMOVED
from registry.models import Maintainer, Package
from registry.names import PackageName

_MOST_AT_ONCE = 1000


def listed(package: Package) -> list[dict[str, str]]:
    """The owners as packuments name them, in the order in which they came."""
    rows = Maintainer.objects.filter(package=package).select_related("user").order_by("id")
    return [{"name": row.user.username, "email": row.user.email} for row in rows]


def replace(name: PackageName, usernames: Sequence[str], *, actor: Actor, rev: str | None = None) -> None:
    """Make these people the owners, and nobody else. Raises `Conflict` when the package is not at `rev` any more."""
    _change(name, lambda _owners: list(usernames), actor, rev)


def add(name: PackageName, username: str, *, actor: Actor) -> None:
    """Make one more person an owner."""
    _change(name, lambda owners: [*owners, username], actor)


def remove(name: PackageName, username: str, *, actor: Actor) -> None:
    """Take the package from one of its owners."""
    _change(name, lambda owners: [owner for owner in owners if owner != username], actor)


def _change(name: PackageName, wanted: Callable[[list[str]], list[str]], actor: Actor, rev: str | None = None) -> None:
    with transaction.atomic():
        package = lifecycle.lock(name)
        access.require_own(actor, package)
        revisions.require_current(package, rev)
        before = [owner["name"] for owner in listed(package)]
        after = wanted(before)
        if set(after) == set(before):
            return
        if not after:
            raise Invalid(f"{name} must keep an owner: add somebody else first")
        new, removed = set(after) - set(before), sorted(set(before) - set(after))
        if len(new) > _MOST_AT_ONCE:
            raise Invalid(f"a package gets {_MOST_AT_ONCE} new owners at once at most")
        added = people.named(*new)
        Maintainer.objects.bulk_create(Maintainer(package=package, user=user) for user in added)
        Maintainer.objects.filter(package=package, user__username__in=removed).delete()
        lifecycle.edit(package, maintainers=listed(package))
        for user in added:
            journal.record(OWNER_ADDED, f"package:{name}", actor=actor, owner=user.username)
        for username in removed:
            journal.record(OWNER_REMOVED, f"package:{name}", actor=actor, owner=username)

"""Who may see a package and who works on it: `npm access`.

Owners of a package are named in its packument. Who is in a scope and in its teams is nobody else's business: rights
that people have through a scope are told to the scope's members, to the owners of the package, and to themselves.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache, partial
from typing import NamedTuple

from django.db import transaction
from django.db.models import QuerySet

from audit import journal
from audit.actors import Actor
from registry import access, catalog, lifecycle, people
from registry.access import LEADING
from registry.errors import NotFound
from registry.events import ACCESS_CHANGED, SECOND_FACTOR_RULE_CHANGED
from registry.limits import Standing
from registry.models import Grant, Maintainer, Member, Package, Scope, SecondFactorRule, User
from registry.names import PackageName

_WRITE = Grant.Permission.WRITE.value


class _Right(NamedTuple):
    """What somebody may do with a package, and through which scope; None: as its owner."""

    package: str
    user: str
    permission: str
    scope: str | None


def is_public(name: PackageName, *, viewer: Actor) -> bool:
    """Whether everybody who may read anything here may read the package."""
    return not catalog.find(name, viewer=viewer).is_restricted


def change(
    name: PackageName,
    *,
    actor: Actor,
    is_restricted: bool | None = None,
    second_factor: SecondFactorRule | None = None,
) -> None:
    """Say who may read a package, and who needs a second factor to publish it; None leaves it as it is."""
    with transaction.atomic():
        package = lifecycle.lock(name)
        access.require_own(actor, package)
        if is_restricted not in (None, package.is_restricted):
            Package.objects.filter(pk=package.pk).update(is_restricted=is_restricted)
            lifecycle.touch(package)
            word = "restricted" if is_restricted else "public"
            journal.record(ACCESS_CHANGED, f"package:{name}", actor=actor, access=word)
        if second_factor not in (None, package.second_factor):
            Package.objects.filter(pk=package.pk).update(second_factor=second_factor)
            journal.record(SECOND_FACTOR_RULE_CHANGED, f"package:{name}", actor=actor, rule=second_factor)


def collaborators(name: PackageName, *, viewer: Actor) -> dict[str, str]:
    """What people may do with a package, as far as `viewer` may know, by their names."""
    stamp = catalog.find(name, viewer=viewer)
    rights = _rights(Package.objects.filter(pk=stamp.id), User.objects.filter(is_active=True))
    if access.standing(viewer, name, stamp.id) < Standing.OWN:
        rights = _known(rights, viewer)
    return _highest((right.user, right.permission) for right in rights)


def packages_of(username: str, *, viewer: Actor) -> dict[str, str]:
    """What a person may do with which packages, as far as `viewer` may read those and know that."""
    access.require_reader(viewer)
    [person] = people.named(username)
    rights = _rights(_readable(viewer), User.objects.filter(pk=person.pk))
    return _highest((right.package, right.permission) for right in _known(rights, viewer))


def packages_in(scope: str, *, viewer: Actor) -> dict[str, str]:
    """The packages of a scope that `viewer` may read. They are the scope's own: it may do everything with them."""
    access.require_reader(viewer)
    names = _readable(viewer).filter(scope=scope).order_by("name").values_list("name", flat=True)
    is_known = Scope.objects.filter(name=scope).exists() and access.may_see_scope(viewer, scope)
    if not names and not is_known:
        raise NotFound(f"there is no organisation {scope} here, or you are not in it")
    return dict.fromkeys(names, _WRITE)


def _readable(viewer: Actor) -> QuerySet[Package]:
    return Package.objects.filter(access.readable(viewer), origin=None, unpublished_at=None)


def _rights(packages: QuerySet[Package], users: QuerySet[User]) -> Iterator[_Right]:
    """What these people may do with these packages, once for each reason why."""
    owned = Maintainer.objects.filter(package__in=packages, user__in=users)
    for package, user in owned.values_list("package__name", "user__username"):
        yield _Right(package, user, _WRITE, None)
    granted = Grant.objects.filter(package__in=packages, team__members__in=users)
    for row in granted.values_list("package__name", "team__members__username", "permission", "team__scope__name"):
        yield _Right(*row)
    led = Member.objects.filter(user__in=users, role__in=LEADING).values_list("scope__name", "user__username")
    in_scope = defaultdict(list)
    for scope, package in packages.filter(scope__in=led.values("scope__name")).values_list("scope", "name"):
        in_scope[scope].append(package)
    for scope, user in led.filter(scope__name__in=in_scope):
        yield from (_Right(package, user, _WRITE, scope) for package in in_scope[scope])


def _known(rights: Iterable[_Right], viewer: Actor) -> Iterator[_Right]:
    """Those that `viewer` may know of."""
    sees = cache(partial(access.may_see_scope, viewer))
    return (right for right in rights if right.scope is None or right.user == viewer.name or sees(right.scope))


def _highest(permissions: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The best permission of each name, by name."""
    best: dict[str, str] = {}
    for name, permission in permissions:
        if permission == _WRITE or name not in best:
            best[name] = permission
    return dict(sorted(best.items()))

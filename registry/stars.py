"""Packages that people like: `npm star`, `npm stars`.

A star is in the packument (`users`), so it gives the package a new revision, and its documents are built once more.
The alternative, a document with a part that has no revision, would be one that no cache can check. `time.modified`
stays: nothing that anybody installs has changed.
"""

from django.db import transaction

from audit import journal
from audit.actors import Actor
from registry import access, catalog, lifecycle, people
from registry.events import PACKAGE_STARRED, PACKAGE_UNSTARRED
from registry.models import Package, Star, User
from registry.names import PackageName


def star(name: PackageName, *, actor: Actor) -> None:
    """Note that the actor likes a package that they may read."""
    catalog.find(name, viewer=actor)
    with transaction.atomic():
        package, person = _lock(name, actor)
        _, is_new = Star.objects.get_or_create(package=package, user=person)
        if is_new:
            lifecycle.touch(package)
            journal.record(PACKAGE_STARRED, f"package:{name}", actor=actor)


def unstar(name: PackageName, *, actor: Actor) -> None:
    """Take the actor's star back; there need not be one."""
    with transaction.atomic():
        package, person = _lock(name, actor)
        taken, _ = Star.objects.filter(package=package, user=person).delete()
        if taken:
            lifecycle.touch(package)
            journal.record(PACKAGE_UNSTARRED, f"package:{name}", actor=actor)


def starred_by(username: str, *, viewer: Actor) -> list[str]:
    """The packages with the person's star that `viewer` may read, in the order of their names."""
    access.require_reader(viewer)
    [person] = people.named(username)
    theirs = Package.objects.filter(access.readable(viewer), star__user=person, unpublished_at=None)
    return list(theirs.order_by("name").values_list("name", flat=True))


def _lock(name: PackageName, actor: Actor) -> tuple[Package, User]:
    access.require_writer(actor)
    [person] = people.named(actor.name)
    package = lifecycle.lock(name)
    access.require_read(actor, name, package.stamp)
    return package, person

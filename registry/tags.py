"""Names for versions: `npm dist-tag add`, `rm`, `ls`."""

import re
from collections.abc import Mapping

from django.db import transaction

from audit import journal
from audit.actors import Actor
from registry import access, lifecycle, semver
from registry.errors import Forbidden, Invalid, NotFound
from registry.events import TAG_REMOVED, TAG_SET
from registry.models import DistTag, Package, Version
from registry.names import PackageName

# What npm can ask for: it leaves nothing of a tag to be escaped (npm-package-arg).
_NAME = re.compile(r"(?!\.+\Z)[A-Za-z0-9\-_.!~*'()]{1,214}")


def check_name(tag: str) -> None:
    """Raise `Invalid` unless a version may be tagged so: nobody could ask for a tag that reads like a version."""
    if semver.is_range(tag):
        raise Invalid(f"Tag name must not be a valid SemVer range: {tag[:80]}")
    if not _NAME.fullmatch(tag):
        raise Invalid(f'"{tag[:80]}" cannot be a tag: use letters, digits, "-", "_" and "."')


def add(name: PackageName, tags: Mapping[str, str], *, actor: Actor) -> None:
    """Point tags at versions, each at its own."""
    _change(name, tags, actor, keeps_others=True)


def replace(name: PackageName, tags: Mapping[str, str], *, actor: Actor) -> None:
    """Point tags at versions, and remove all other tags."""
    _change(name, tags, actor, keeps_others=False)


def remove(name: PackageName, tag: str, *, actor: Actor) -> None:
    """Remove a tag. One that is not there is removed already, so that a script may run twice."""
    with transaction.atomic():
        package = _lock(name, actor)
        before = _current(package)
        _save(package, before, {one: number for one, number in before.items() if one != tag}, actor)


def _change(name: PackageName, tags: Mapping[str, str], actor: Actor, *, keeps_others: bool) -> None:
    for tag in tags:
        check_name(tag)
    wanted = {tag: semver.clean(number) or number for tag, number in tags.items()}
    with transaction.atomic():
        package = _lock(name, actor)
        before = _current(package)
        _save(package, before, {**before, **wanted} if keeps_others else wanted, actor)


def _lock(name: PackageName, actor: Actor) -> Package:
    package = lifecycle.lock(name)
    access.require_write(actor, package)
    return package


def _current(package: Package) -> dict[str, str]:
    return dict(DistTag.objects.filter(package=package).order_by("id").values_list("tag", "version__number"))


def _save(package: Package, before: Mapping[str, str], after: Mapping[str, str], actor: Actor) -> None:
    changed = {tag: number for tag, number in after.items() if before.get(tag) != number}
    removed = {tag: number for tag, number in before.items() if tag not in after}
    if "latest" in removed:
        raise Forbidden('the "latest" tag cannot be removed: point it at another version instead')
    if not changed and not removed:
        return
    versions = _versions(package, set(changed.values()))
    for tag, number in changed.items():
        DistTag.objects.update_or_create(package=package, tag=tag, defaults={"version_id": versions[number]})
    DistTag.objects.filter(package=package, tag__in=removed).delete()
    if "latest" in changed:
        lifecycle.present(package, versions[changed["latest"]])
    lifecycle.edit(package)
    subject = f"package:{package.name}"
    for tag, number in changed.items():
        journal.record(TAG_SET, subject, actor=actor, tag=tag, version=number, previous=before.get(tag))
    for tag, number in removed.items():
        journal.record(TAG_REMOVED, subject, actor=actor, tag=tag, version=number)


def _versions(package: Package, numbers: set[str]) -> dict[str, int]:
    """The rows of these versions. What is no version is not looked up: no database takes NUL or half characters."""
    possible = [number for number in numbers if semver.clean(number)]
    found = Version.objects.published().filter(package=package, number__in=possible)
    versions = dict(found.values_list("number", "id"))
    missing = numbers - versions.keys()
    if missing:
        raise NotFound(f"{package} has no version {min(missing)[:100]}: npm view {package} versions lists them")
    return versions

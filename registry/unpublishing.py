"""`npm unpublish`, and its undoing.

What is unpublished leaves tombstones: nothing of it is served, and its numbers are never given again. An operator can
restore it for `LARDER_UNDO_DAYS`; after that the janitor takes the tarballs.

A package whose last version goes is unpublished as a whole. Its document is then a 404 like that of a missing package,
and not a 200 with `time.unpublished`: clients understand both, and nobody learns what was there. Its maintainers may
publish the name again at once, others after `LARDER_REPUBLISH_HOURS` (`access.may_take_over`).
"""

from collections import defaultdict
from collections.abc import Collection
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from audit import journal
from audit.actors import Actor
from registry import access, jsontext, lifecycle, manifests, revisions
from registry.errors import Conflict, Forbidden, Invalid, NotFound
from registry.events import PACKAGE_RESTORED, PACKAGE_UNPUBLISHED, VERSION_RESTORED, VERSION_UNPUBLISHED
from registry.models import DistTag, Grant, Maintainer, Package, SecondFactorRule, Star, Version
from registry.models.version import VersionQuerySet
from registry.names import PackageName


def unpublish(name: PackageName, number: str, *, rev: str, actor: Actor) -> None:
    """Take one version back. For one that is taken back already nothing happens: npm asks in two steps."""
    with transaction.atomic():
        package = _lock(name, actor)
        version = Version.objects.filter(package=package, number=number).first()
        if version is None:
            raise NotFound(f"{name} has no version {number}")
        if version.unpublished_at is None:
            revisions.require_current(package, rev)
            _bury(package, {number}, actor)


def unpublish_all_but(name: PackageName, kept: Collection[str], *, rev: str, actor: Actor) -> None:
    """Take back the versions that readers of `rev` saw and that are not among those `kept`."""
    with transaction.atomic():
        package = _lock(name, actor)
        judgement = revisions.require_current(package, rev)
        numbers = set(_published(package).values_list("number", flat=True))
        if unknown := set(kept) - numbers:
            raise NotFound(f"{name} has no version {min(unknown)[:100]}: publish it first")
        if not kept:
            raise Invalid(f"to unpublish all versions of {name}, send DELETE (npm unpublish {name} --force)")
        gone = numbers - set(kept) - judgement.hidden.keys()
        if gone:
            _bury(package, gone, actor)


def unpublish_package(name: PackageName, *, rev: str, actor: Actor) -> None:
    """Take the whole package back."""
    with transaction.atomic():
        package = _lock(name, actor)
        revisions.require_current(package, rev)
        _close(package, actor)


def restore(name: PackageName, number: str | None, *, actor: Actor) -> None:
    """Undo the unpublishing of a version, or of a whole package with the versions that went with it.

    Dist-tags of a package come back with it. Those of a version do not, as they may name another one by now.
    """
    access.require_operator(actor)
    with transaction.atomic():
        package = Package.objects.select_for_update(no_key=True).filter(name=str(name)).first()
        if package is None:
            access.hide(name)
        versions = _restorable(package, number)
        Version.objects.filter(pk__in=[version.pk for version in versions]).update(unpublished_at=None)
        Package.objects.filter(pk=package.pk).update(unpublished_at=None)
        latest = _tell_of_the_rest(package)
        subject, numbers = f"package:{name}", [version.number for version in versions]
        if number is None:
            journal.record(PACKAGE_RESTORED, subject, actor=actor, versions=numbers)
        else:
            journal.record(VERSION_RESTORED, subject, actor=actor, version=number, latest=latest)


def reopen(package: Package, *, is_restricted: bool, actor: Actor) -> bool:
    """Begin an unpublished package anew, in the transaction of the publish that does it.

    Returns whether the name passes to somebody else by it. Then nothing stays of what was said of the former package,
    but for the numbers of its versions, and it is restricted as a new one would be.
    """
    is_taken_over = access.may_take_over(actor, package)
    DistTag.objects.filter(package=package).delete()
    if is_taken_over:
        for rows in (Maintainer.objects, Grant.objects, Star.objects):
            rows.filter(package=package).delete()
        package.is_restricted, package.second_factor = is_restricted, SecondFactorRule.NONE
    package.head, package.unpublished_at = "{}", None
    package.save(update_fields=["head", "unpublished_at", "is_restricted", "second_factor"])
    return is_taken_over


def _lock(name: PackageName, actor: Actor) -> Package:
    package = lifecycle.lock(name)
    access.require_own(actor, package)
    return package


def _published(package: Package) -> VersionQuerySet:
    return Version.objects.published().filter(package=package)


def _bury(package: Package, numbers: Collection[str], actor: Actor) -> None:
    gone = _published(package).filter(number__in=numbers)
    if not _published(package).exclude(number__in=numbers).exists():
        _close(package, actor)
        return
    tags = defaultdict[str, list[str]](list)
    for tag in DistTag.objects.filter(version__in=gone).select_related("version").order_by("tag"):
        tags[tag.version.number].append(tag.tag)
    gone.update(unpublished_at=timezone.now())
    latest = _tell_of_the_rest(package)
    for number in sorted(numbers):
        facts = {"version": number, "tags": tags[number], "latest": latest}
        journal.record(VERSION_UNPUBLISHED, f"package:{package.name}", actor=actor, **facts)


def _close(package: Package, actor: Actor) -> None:
    """Tags and top level stay as they are, unseen, so that all of it can be restored."""
    now, numbers = timezone.now(), list(_published(package).values_list("number", flat=True))
    _published(package).update(unpublished_at=now)
    Package.objects.filter(pk=package.pk).update(unpublished_at=now)
    lifecycle.touch(package)
    journal.record(PACKAGE_UNPUBLISHED, f"package:{package.name}", actor=actor, versions=numbers)


def _restorable(package: Package, number: str | None) -> list[Version]:
    tombstones = Version.objects.filter(package=package).exclude(unpublished_at=None).order_by("id")
    if package.origin is not None:
        raise Forbidden(f"{package} comes from the upstream {package.origin}: what is there is here")
    if number is None and package.unpublished_at is None:
        raise Conflict(f"{package} is not unpublished: say which version of it to restore, as {package}@<version>")
    same = {"unpublished_at": package.unpublished_at} if number is None else {"number": number}
    found = list(tombstones.filter(**same).defer("manifest", "abbreviated", "readme"))
    if not found:
        raise NotFound(f"{package} has no unpublished version {number}")
    limit = timezone.now() - timedelta(days=settings.UNDO_DAYS)
    if any(one.blob_id is None or one.unpublished_at is None or one.unpublished_at < limit for one in found):
        raise Conflict(f"{package} was unpublished more than {settings.UNDO_DAYS} days ago: publish a new version")
    return found


def _tell_of_the_rest(package: Package) -> str:
    """Let tags, times and top level tell of the versions that are published; returns the latest one's number."""
    tags = DistTag.objects.filter(package=package)
    tags.exclude(version__unpublished_at=None).delete()
    latest = tags.filter(tag="latest").values_list("version__number", flat=True).first()
    if latest is None:
        best = max(_published(package).defer("manifest", "readme"), key=_rank)
        DistTag.objects.create(package=package, tag="latest", version=best)
        lifecycle.present(package, best.pk)
        latest = best.number
    lifecycle.edit(package, time=_times(package))
    return str(latest)


def _times(package: Package) -> dict[str, str]:
    """`time` as it would be if only the versions that are published now had ever been."""
    created = jsontext.decode(package.head).get("time", {}).get("created")
    times = {"created": created or lifecycle.moment(package.created_at), "modified": lifecycle.moment(timezone.now())}
    rows = _published(package).values_list("number", "published_at")
    return {**times, **{number: lifecycle.moment(moment) for number, moment in rows if moment}}


def _rank(version: Version) -> tuple[bool, bool, str]:
    """Orders versions by how good a `latest` they are: stable ones first, and those that nobody is warned of."""
    is_stable = "-" not in version.number
    return is_stable, is_stable and not manifests.parse(version.abbreviated).get("deprecated"), version.order_key

"""Tombstones of what an upstream took away, and their undoing.

`unpublishing` does the same for what is published here. What comes back upstream is taken up again by `ingesting`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from audit import journal
from audit.actors import Actor
from registry import lifecycle
from registry.events import PACKAGE_RESTORED, PACKAGE_UNPUBLISHED
from registry.models import Package, Version
from registry.names import PackageName


@dataclass(frozen=True, slots=True)
class Restored:
    """What is served again: versions, and whether the whole package was a tombstone."""

    numbers: list[str]
    is_whole: bool


def bury(name: PackageName, *, origin: str, reason: str, actor: Actor) -> None:
    """Make tombstones of a whole package that came from `origin`. For one that is buried nothing happens.

    Tags and top level stay as they are, unseen, so that all of it can be restored; so do the tarballs for
    `LARDER_UNDO_DAYS`.
    """
    with transaction.atomic():
        rows = Package.objects.select_for_update(no_key=True).filter(name=str(name), origin=origin, unpublished_at=None)
        package = rows.first()
        if package is None:
            return
        now = timezone.now()
        numbers = list(Version.objects.published().filter(package=package).values_list("number", flat=True))
        Version.objects.published().filter(package=package).update(unpublished_at=now)
        Package.objects.filter(pk=package.pk).update(unpublished_at=now)
        lifecycle.touch(package)
        journal.record(PACKAGE_UNPUBLISHED, f"package:{name}", actor=actor, versions=numbers, reason=reason)


def restore(name: PackageName, *, origin: str, actor: Actor) -> Restored:
    """Serve again what was buried less than `LARDER_UNDO_DAYS` ago of a package that came from `origin`."""
    with transaction.atomic():
        package = Package.objects.select_for_update(no_key=True).filter(name=str(name), origin=origin).first()
        if package is None:
            return Restored([], is_whole=False)
        tombstones = Version.objects.filter(package=package, unpublished_at__gte=_limit())
        restored = Restored(list(tombstones.values_list("number", flat=True)), package.unpublished_at is not None)
        if restored.numbers or restored.is_whole:
            tombstones.update(unpublished_at=None)
            Package.objects.filter(pk=package.pk).update(unpublished_at=None)
            lifecycle.touch(package)
            journal.record(PACKAGE_RESTORED, f"package:{name}", actor=actor, versions=restored.numbers)
        return restored


def has_tombstones(name: PackageName) -> bool:
    """Whether something of the package can be restored."""
    return Version.objects.filter(package__name=str(name), unpublished_at__gte=_limit()).exists()


def _limit() -> datetime:
    return timezone.now() - timedelta(days=settings.UNDO_DAYS)

"""What happens to a package as a whole."""

import time
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F, Value
from django.db.models.functions import Greatest, Now
from django.utils import timezone

from audit import journal
from audit.actors import Actor
from registry import access, generation, jsontext, manifests, packuments
from registry.events import VIEW_CHANGED
from registry.models import Package, Version
from registry.names import PackageName

_BATCH = 500


def lock(name: PackageName) -> Package:
    """The package's row, which nobody else changes before the transaction ends. Raises `NotFound`."""
    package = Package.objects.select_for_update(no_key=True).filter(name=str(name), unpublished_at=None).first()
    if package is None:
        access.hide(name)
    return package


def edit(package: Package, **members: Any) -> None:
    """Change members of the packument's top level, move its `time.modified`, and touch the package.

    Also without members: clients compare `time.modified`, so it moves with tags and with deprecations.
    """
    head: dict[str, Any] = jsontext.decode(package.head)
    time_of = {**head.get("time", {}), "modified": moment(timezone.now())}
    package.head = jsontext.encode({**head, "time": time_of, **members})
    Package.objects.filter(pk=package.pk).update(head=package.head)
    touch(package)


def present(package: Package, latest: int) -> None:
    """Let the packument's top level tell of this version (its id), in `package.head`; `edit` or a save keeps it."""
    manifest, readme = Version.objects.values_list("manifest", "readme").get(pk=latest)
    shown = {**manifests.parse(manifest), "readme": readme or None}
    package.head = jsontext.encode(packuments.hoist(jsontext.decode(package.head), shown))


def touch(package: Package) -> None:
    """Raise the package's revision, in the transaction of a change that readers can see, and tell all processes.

    The revision is the clock in microseconds, or one more than it was when the clock stands behind it.
    """
    raised = Greatest(F("revision") + 1, Value(first_revision()))
    Package.objects.filter(pk=package.pk).update(revision=raised, updated_at=Now())
    transaction.on_commit(generation.advance)


def touch_all(names: Iterable[str], *, actor: Actor) -> list[str]:
    """Raise the revisions of those of these packages that are here, and return which they are.

    That is for what readers see differently by rules. Each is told of in the journal, so that search and those who
    follow us look at it anew.
    """
    names, found = sorted(set(names)), list[str]()
    for start in range(0, len(names), _BATCH):
        rows = Package.objects.filter(name__in=names[start : start + _BATCH])
        found += rows.order_by("name").select_for_update(no_key=True).values_list("name", flat=True)
        rows.update(revision=Greatest(F("revision") + 1, Value(first_revision())), updated_at=Now())
    journal.record_all(VIEW_CHANGED, [f"package:{name}" for name in found], actor=actor)
    transaction.on_commit(generation.advance)
    return found


def moment(when: datetime) -> str:
    """A time as packuments give it."""
    return when.strftime("%Y-%m-%dT%H:%M:%S.") + f"{when.microsecond // 1000:03d}Z"


def first_revision() -> int:
    """The revision of a package that is made now. Nobody has read it yet, so nobody need be told."""
    return time.time_ns() // 1000

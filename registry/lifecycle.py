"""What happens to a package as a whole."""

import time

from django.db import transaction
from django.db.models import F, Value
from django.db.models.functions import Greatest, Now

from registry import generation
from registry.models import Package


def touch(package: Package) -> None:
    """Raise the package's revision, in the transaction of a change that readers can see, and tell all processes.

    The revision is the clock in microseconds, or one more than it was when the clock stands behind it.
    """
    raised = Greatest(F("revision") + 1, Value(first_revision()))
    Package.objects.filter(pk=package.pk).update(revision=raised, updated_at=Now())
    transaction.on_commit(generation.advance)


def first_revision() -> int:
    """The revision of a package that is made now. Nobody has read it yet, so nobody need be told."""
    return time.time_ns() // 1000

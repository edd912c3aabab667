"""One reader per cursor at a time, without holding a transaction or a connection open.

A cursor is leased by a conditional UPDATE, which SQLite and PostgreSQL both do alike (SQLite has no
FOR UPDATE). Who does not get the lease leaves; there is nothing to wait for. A holder that dies leaves a
lease that runs out. One that was merely slow finds out at its next `advance`, because each lease has a
holder of its own and only the present holder moves the cursor: clocks that differ between hosts can cost a
delivery twice, and never a lost place.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from time import monotonic
from uuid import uuid4

from django.utils import timezone

from audit.models import Cursor

LEASE = timedelta(seconds=60)


class LeaseLost(Exception):
    """The lease ran out, and somebody else has taken it."""


class Lease:
    """The right to move one cursor."""

    def __init__(self, cursor: Cursor, holder: str) -> None:
        self.name = cursor.name
        self.serial = cursor.serial
        self.is_inherited = bool(cursor.leased_by)
        """The holder before us did not let go: it died, or was too slow."""
        self._held = Cursor.objects.filter(name=cursor.name, leased_by=holder)
        self._renewed = monotonic()

    def advance(self, serial: int) -> None:
        """Moves the cursor and renews the lease; raises `LeaseLost` when it is no longer ours."""
        if not self._held.update(serial=serial, leased_until=timezone.now() + LEASE):
            raise LeaseLost(f"the lease of {self.name} was taken by another")
        self._renewed = monotonic()

    def keep(self, serial: int) -> None:
        """Advances when a third of the lease is used up; costs nothing before."""
        if monotonic() - self._renewed > LEASE.total_seconds() / 3:
            self.advance(serial)

    def release(self) -> None:
        self._held.update(leased_by="", leased_until=None)


@contextmanager
def hold(cursor: Cursor) -> Iterator[Lease | None]:
    """Leases the cursor while the block runs; gives None when somebody else has it."""
    lease = _claim(cursor)
    try:
        yield lease
    finally:
        if lease is not None:
            lease.release()


def _claim(cursor: Cursor) -> Lease | None:
    """Takes the lease if the cursor is still exactly as it was read, so that `serial` is true as well."""
    now = timezone.now()
    if cursor.is_leased(now):
        return None
    holder = uuid4().hex
    as_read = Cursor.objects.filter(
        pk=cursor.pk, serial=cursor.serial, leased_by=cursor.leased_by, leased_until=cursor.leased_until
    )
    claimed = as_read.update(leased_by=holder, leased_until=now + LEASE)
    return Lease(cursor, holder) if claimed else None

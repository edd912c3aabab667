"""Gives committed events their place in commit order.

A primary key is handed out when a row is inserted, not when it is committed. A reader that has come to 41
would never see row 40 if that commits later. So nobody reads by primary key: one sequencer at a time takes
the rows that it can see (they are committed, for it is in no transaction of anybody's), numbers them after
the last number, and links them into the hash chain. A row that commits later gets a later number.

Nothing is numbered twice and no number is left out, because one transaction moves the cursor and stamps
the rows. It begins with the cursor's row, which fails a sequencer that has lost its lease and holds back
any other until the commit; it stamps only rows without a serial; serials are unique.
"""

from django.db import transaction
from django.db.models import Max

from audit import chain, leases
from audit.leases import Lease, LeaseLost
from audit.models import SEQUENCER, Cursor, Event


class SequenceBroken(RuntimeError):
    """Rows were stamped or removed under the sequencer's hands; nothing was written."""


def sequence(limit: int = 1000) -> int:
    """Numbers up to `limit` committed events; returns how many, 0 when another sequencer is at work."""
    if not Event.objects.unsequenced().exists():
        return 0
    try:
        with leases.hold(_cursor()) as lease:
            return _number(lease, limit) if lease else 0
    except LeaseLost:
        return 0


def _cursor() -> Cursor:
    """The sequencer's cursor; made anew it stands behind the events that have a number already."""
    try:
        return Cursor.objects.get(name=SEQUENCER)
    except Cursor.DoesNotExist:
        last = Event.objects.aggregate(last=Max("serial"))["last"] or 0
        return Cursor.objects.get_or_create(name=SEQUENCER, defaults={"serial": last})[0]


def _number(lease: Lease, limit: int) -> int:
    batch = list(Event.objects.unsequenced()[:limit])
    # Durable: inside somebody's transaction we would number rows that may still be rolled back.
    with transaction.atomic(durable=True):
        lease.advance(lease.serial + len(batch))
        _link(batch, lease.serial)
        stamped = Event.objects.unsequenced().bulk_update(batch, ["serial", "previous_hash", "hash"], batch_size=100)
        if stamped != len(batch):
            raise SequenceBroken(f"{len(batch) - stamped} of {len(batch)} events were no longer to be numbered")
    return len(batch)


def _link(batch: list[Event], last: int) -> None:
    previous = Event.objects.filter(serial=last).values_list("hash", flat=True).first() or ""
    for serial, event in enumerate(batch, start=last + 1):
        event.serial = serial
        event.previous_hash = previous
        previous = event.hash = chain.digest(event, previous)

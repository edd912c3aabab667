"""Lets the subscribers hear what happened.

Each subscriber has a cursor and is served on its own, one process at a time, a batch per pass. What a
subscriber fails to hear is parked and tried again later; the cursor moves on. A pass is short by count and
by the clock, so that a slow subscriber costs the others one pass and not their evening, and a task that
drains stays far within its time limit.

The cursor is written after the deliveries it stands for, so a crash repeats some and loses none. Where
the process before us died in the middle of a pass, perhaps of the very event that comes next, each event is
set aside *before* it is delivered: if it kills us too, the next pass goes around it.
"""

import logging
from time import monotonic

from audit import leases, parking, subscribers
from audit.leases import Lease, LeaseLost
from audit.models import Cursor, Event, Parked
from audit.sequencer import sequence
from audit.subscribers import Subscriber

BATCH = 200
PASS_SECONDS = 10.0
DRAIN_SECONDS = 30.0

logger = logging.getLogger(__name__)


def drain_all(*, seconds: float = DRAIN_SECONDS) -> int:
    """Numbers what was committed and lets every subscriber hear it, until nothing is left or time is up.

    Returns by how many events the cursors of the subscribers have moved.
    """
    deadline = monotonic() + seconds
    passed = 0
    while True:
        sequenced = sequence()
        moved = sum(drain(subscriber) for subscriber in _behind())
        passed += moved
        if not (sequenced or moved) or monotonic() > deadline:
            return passed


def _behind() -> list[Subscriber]:
    """The subscribers that have something to hear, or have never listened: mostly none, and that is two queries."""
    head, places = Cursor.objects.head(), dict(Cursor.objects.values_list("name", "serial"))
    return [one for one in subscribers.registered() if places.get(one.name, -1) < head]


def drain(subscriber: Subscriber, *, seconds: float = PASS_SECONDS) -> int:
    """Lets one subscriber hear its next batch; returns how many events its cursor has moved by.

    Returns 0 when there is nothing new, and when another process is reading for this subscriber.
    """
    head = Cursor.objects.head()
    start = head if subscriber.from_now else 0
    cursor, _ = Cursor.objects.get_or_create(name=subscriber.name, defaults={"serial": start})
    if cursor.serial >= head:
        return 0
    try:
        with leases.hold(cursor) as lease:
            return _pass(subscriber, lease, monotonic() + seconds) if lease else 0
    except LeaseLost:
        logger.warning("%s was too slow: its lease ran out, and another process goes on", subscriber.name)
        return 0


def _pass(subscriber: Subscriber, lease: Lease, deadline: float) -> int:
    batch = list(Event.objects.after(lease.serial)[:BATCH])
    reached = batch[-1].place if batch else lease.serial
    for event in subscriber.pick(batch):
        if lease.is_inherited:
            _deliver_warily(subscriber, event)
        else:
            _deliver(subscriber, event)
        if monotonic() > deadline:
            # Also right where events were coalesced: what was left out has a later event still to come.
            reached = event.place
            break
        lease.keep(event.place)
    lease.advance(reached)
    return reached - lease.serial


def _deliver(subscriber: Subscriber, event: Event) -> bool:
    try:
        subscriber.hear(event)
    except Exception as error:
        logger.exception("%s failed to hear event %s; it is parked", subscriber.name, event.serial)
        parking.note_failure(subscriber.name, event, error)
        return False
    return True


def _deliver_warily(subscriber: Subscriber, event: Event) -> None:
    """Delivers an event that may have killed the process before us."""
    if not parking.set_aside(subscriber.name, event, "The process died while this was being heard."):
        return  # it waits for its next try
    if _deliver(subscriber, event):
        parking.settle(subscriber.name, event)


def retry_parked(*, limit: int = BATCH, seconds: float = DRAIN_SECONDS) -> int:
    """Tries parked deliveries again that are due; returns how many went through."""
    deadline = monotonic() + seconds
    present = {each.name: each for each in subscribers.registered()}
    due = Parked.objects.due().filter(subscriber__in=present).select_related("event")
    heard = 0
    for parked in due[:limit]:
        if monotonic() > deadline:
            break
        if parking.claim(parked) and _deliver(present[parked.subscriber], parked.event):
            parking.settle(parked.subscriber, parked.event)
            heard += 1
    return heard

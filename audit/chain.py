"""Each event carries the hash of the one before it, so that history cannot be edited unnoticed."""

import json
from dataclasses import dataclass
from datetime import UTC
from hashlib import sha256

from audit.models import Cursor, Event


def digest(event: Event, previous: str) -> str:
    """The hash of an event in its place, after the event whose hash is `previous`."""
    return sha256((previous + _canonical(event)).encode()).hexdigest()


def _canonical(event: Event) -> str:
    """One spelling of the row's content. Columns added later stay out of it where they are empty, or
    every chain that exists would break. The primary key stays out: it is the database's, not history's."""
    content = {
        "serial": event.serial,
        "kind": event.kind,
        "subject": event.subject,
        "actor_kind": str(event.actor_kind),
        "actor_name": event.actor_name,
        "origin": event.origin,
        "request_id": event.request_id,
        "facts": event.facts,
        "at": event.at.astimezone(UTC).isoformat(),
    }
    return json.dumps(content, sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Verdict:
    """How far the chain holds, and why no further."""

    events: int
    head: str
    fault: str = ""


def verify() -> Verdict:
    """Walks all events in commit order up to the first that was changed or is missing.

    Cutting off the end is noticed by the sequencer's cursor. Against somebody who rewrites the whole chain
    and the cursor helps only a head that was noted elsewhere, which is why it is part of the verdict.
    """
    expected = Cursor.objects.head()
    count, previous = 0, ""
    for event in Event.objects.sequenced().iterator(chunk_size=1000):
        if fault := _fault(event, count + 1, previous):
            return Verdict(count, previous, fault)
        count, previous = count + 1, event.hash
    if count < expected:
        return Verdict(count, previous, _missing(count + 1, expected))
    return Verdict(count, previous)


def _fault(event: Event, serial: int, previous: str) -> str:
    if event.place != serial:
        return _missing(serial, event.place - 1)
    if event.previous_hash != previous:
        return f"event {serial} does not continue event {serial - 1}: one of them was changed"
    if event.hash != digest(event, previous):
        return f"event {serial} was changed"
    return ""


def _missing(first: int, last: int) -> str:
    return f"event {first} is missing" if first == last else f"events {first} to {last} are missing"

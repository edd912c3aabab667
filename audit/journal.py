"""The one way by which an event comes to be."""

from collections.abc import Iterable

from django.db import connection, transaction

from audit import kinds
from audit.actors import Actor
from audit.facts import JSONValue, storable, storable_text
from audit.kinds import EventKind
from audit.models import Event
from audit.wake import wake

_BATCH = 500


class NotInTransaction(RuntimeError):
    """An event was recorded apart from the change that it tells of."""


def record(kind: EventKind | str, subject: str, *, actor: Actor, **facts: JSONValue) -> Event:
    """Writes down what happened, in the transaction that makes it happen.

    Record after locking the rows that change, never before: events of one subject are then numbered in
    the order of their transactions.
    """
    return record_all(kind, [subject], actor=actor, **facts)[0]


def record_all(kind: EventKind | str, subjects: Iterable[str], *, actor: Actor, **facts: JSONValue) -> list[Event]:
    """Writes down that the same happened to each of the subjects, as `record` does."""
    if not connection.in_atomic_block:
        raise NotInTransaction("record an event inside the transaction of its change")
    known = kinds.find(kind if isinstance(kind, str) else kind.name)
    known.insist(facts)
    said = storable(facts)
    events = Event.objects.bulk_create(
        (
            Event(
                kind=known.name,
                subject=subject,
                actor_kind=actor.kind,
                actor_name=storable_text(actor.name)[:255],
                origin=actor.origin,
                request_id=actor.request_id,
                facts=said,
            )
            for subject in subjects
        ),
        batch_size=_BATCH,
    )
    transaction.on_commit(wake)
    return events

"""The one way by which an event comes to be."""

from django.db import connection, transaction

from audit import kinds
from audit.actors import Actor
from audit.facts import JSONValue, storable, storable_text
from audit.kinds import EventKind
from audit.models import Event
from audit.wake import wake


class NotInTransaction(RuntimeError):
    """An event was recorded apart from the change that it tells of."""


def record(kind: EventKind | str, subject: str, *, actor: Actor, **facts: JSONValue) -> Event:
    """Writes down what happened, in the transaction that makes it happen.

    Record after locking the rows that change, never before: events of one subject are then numbered in
    the order of their transactions.
    """
    if not connection.in_atomic_block:
        raise NotInTransaction("record an event inside the transaction of its change")
    known = kinds.find(kind if isinstance(kind, str) else kind.name)
    known.insist(facts)
    event = Event.objects.create(
        kind=known.name,
        subject=subject,
        actor_kind=actor.kind,
        actor_name=storable_text(actor.name)[:255],
        origin=actor.origin,
        request_id=actor.request_id,
        facts=storable(facts),
    )
    transaction.on_commit(wake)
    return event

"""The changes feed: what readers see differently since a place in the journal, so that others can follow us.

A place is an event's serial. Serials are given in the order of commits, without gaps (`audit.sequencer`): whoever goes
on from where they came to misses nothing. Of several changes of a package a page tells the last only; what has become
of it is to be seen at the package itself, and whether it is there at all is told as it is now.

A package that `viewer` may not read is not told of. One that stops being theirs to read just goes quiet, and one that
becomes public shows with the change that makes it so.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

from django.db.models import Exists, OuterRef
from django.db.models.functions import Substr

from audit.actors import Actor
from audit.models import Cursor, Event
from registry import access, policies
from registry.models import Package

MOST = 10_000
_SUBJECT = "package:"


@dataclass(frozen=True, slots=True)
class Change:
    """A package that changed: at which place, what happened there, and how the package is now."""

    place: int
    name: str
    kind: str
    version: str | None
    revision: int
    is_gone: bool


@dataclass(frozen=True, slots=True)
class Page:
    """Some changes, the place to go on from, and how far that is from the newest one."""

    changes: list[Change]
    upto: int
    pending: int


def since(place: int, *, limit: int, viewer: Actor) -> Page:
    """What changed after `place`, told to `viewer`: what at most `limit` events tell of.

    Raises `Unauthenticated` where the registry is closed to `viewer`.
    """
    access.require_reader(viewer)
    head = newest()  # before the events are read: all up to it can be seen
    if place >= head:  # also for who followed another journal: they find that this one has not come as far
        return Page([], head, 0)
    visible = Package.objects.filter(access.readable(viewer), name=Substr(OuterRef("subject"), len(_SUBJECT) + 1))
    found = Event.objects.after(place).filter(Exists(visible), kind__startswith="package.", serial__lte=head)
    events = list(found.only("serial", "kind", "subject", "facts")[:limit])
    upto = events[-1].place if len(events) == limit else head
    last = sorted({event.subject: event for event in events}.values(), key=lambda event: event.place)
    states = _states([_name(event) for event in last])
    return Page([_change(event, states[_name(event)]) for event in last if _name(event) in states], upto, head - upto)


def newest() -> int:
    """The place of the newest change."""
    return Cursor.objects.head()


class _State(NamedTuple):
    """How a package is now."""

    revision: int
    is_gone: bool


def _states(names: Collection[str]) -> dict[str, _State]:
    rows = list(Package.objects.filter(name__in=names).defer("head"))
    refused = policies.refused_whole({row.name: row.stamp for row in rows})
    return {row.name: _State(row.revision, row.unpublished_at is not None or row.name in refused) for row in rows}


def _name(event: Event) -> str:
    return event.subject.removeprefix(_SUBJECT)


def _change(event: Event, state: _State) -> Change:
    version = event.facts.get("version")
    return Change(event.place, _name(event), event.kind, version, state.revision, state.is_gone)

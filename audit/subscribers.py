"""Who hears of what.

A subscriber is called at least once for each event that it asked for, in order per subject. It is given the
event, looks at the rows as they are now, and may be called again for the same event: it must be idempotent.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from operator import attrgetter
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    # Apps subscribe while Django is still loading them, when no model can be imported yet.
    from audit.models import Event

Hear: TypeAlias = "Callable[[Event], None]"
Coalesce: TypeAlias = Literal["subject"] | None


def covers(pattern: str, kind: str) -> bool:
    """Whether a pattern covers a kind; `package.*` covers all below `package`, at any depth."""
    return fnmatchcase(kind, pattern)


@dataclass(frozen=True, slots=True)
class Subscriber:
    """Something that hears of events, under a name that its cursor keeps for ever.

    With `coalesce="subject"` it hears only the last of the events of one subject that wait for it.
    It hears everything from the first event on, unless `from_now`: then from its first pass on.
    """

    name: str
    kinds: tuple[str, ...]
    hear: Hear
    coalesce: Coalesce = None
    from_now: bool = False

    def wants(self, kind: str) -> bool:
        """Whether one of its patterns covers the kind."""
        return any(covers(pattern, kind) for pattern in self.kinds)

    def pick(self, batch: Sequence["Event"]) -> list["Event"]:
        """The events of a batch that it has to hear, in their order."""
        wanted = [event for event in batch if self.wants(event.kind)]
        if self.coalesce is None:
            return wanted
        return sorted({event.subject: event for event in wanted}.values(), key=attrgetter("place"))


_registered: list[Subscriber] = []


def register(subscriber: Subscriber) -> None:
    """Lets the subscriber hear of events from the next pass of the drain on."""
    _registered.append(subscriber)


def registered() -> tuple[Subscriber, ...]:
    return tuple(_registered)


def subscriber(
    name: str, *, kinds: Iterable[str], coalesce: Coalesce = None, from_now: bool = False
) -> Callable[[Hear], Hear]:
    """Registers the decorated function: `@subscriber("registry.warm", kinds=["package.*"])`."""

    def subscribe(hear: Hear) -> Hear:
        register(Subscriber(name, tuple(kinds), hear, coalesce, from_now))
        return hear

    return subscribe

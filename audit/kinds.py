"""The kinds of event: each app defines its own, on one page, before it records any."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from string import Formatter

from audit.facts import JSONValue


class UndefinedKind(LookupError):
    """Nobody has defined a kind of this name."""


class MissingFacts(ValueError):
    """An event lacks facts that its kind promises."""


@dataclass(frozen=True, slots=True)
class EventKind:
    """A kind of event, the sentence that tells it, and the facts that each event of it carries.

    The facts are a promise to subscribers: an event without them cannot be recorded. It may carry more.
    """

    name: str
    sentence: str
    facts: frozenset[str]

    def insist(self, facts: Mapping[str, JSONValue]) -> None:
        """Raises `MissingFacts` unless all that the kind promises is there."""
        if missing := self.facts - facts.keys():
            raise MissingFacts(f"{self.name} needs the facts {', '.join(sorted(missing))}")

    def tell(self, subject: str, actor: str, facts: Mapping[str, JSONValue]) -> str:
        """The sentence of one event; a fact that an old row lacks reads as an ellipsis."""
        unknown = dict.fromkeys(self.facts, "…")
        return self.sentence.format_map({**unknown, **facts, "subject": subject, "actor": actor})


_defined: dict[str, EventKind] = {}


def define(name: str, sentence: str, facts: Iterable[str] = ()) -> EventKind:
    """Makes a kind known, so that events of it can be recorded and subscribed to.

    `{subject}`, `{actor}` and facts in braces may stand in the sentence; a fact named there is promised too.
    """
    named = {field for _, field, _, _ in Formatter().parse(sentence) if field} - {"subject", "actor"}
    kind = EventKind(name, sentence, frozenset(facts) | named)
    if _defined.setdefault(name, kind) != kind:
        raise ValueError(f"the event kind {name} is defined twice, and differently")
    return kind


def find(name: str) -> EventKind:
    """The kind of this name; raises `UndefinedKind`."""
    try:
        return _defined[name]
    except KeyError:
        raise UndefinedKind(f"define the event kind {name!r} before recording it") from None


def defined() -> tuple[EventKind, ...]:
    """All kinds, by name."""
    return tuple(sorted(_defined.values(), key=lambda kind: kind.name))

"""What is wrong with the wiring, said at start-up rather than at the first event."""

from collections import Counter
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.utils.module_loading import import_string

from audit import kinds, subscribers


def subscribers_have_names_of_their_own(**kwargs: Any) -> list[CheckMessage]:
    """Two subscribers of one name would share a cursor, and each miss what the other hears."""
    names = Counter(each.name for each in subscribers.registered())
    return [
        Error(f"{count} subscribers are called {name}.", hint="Give each its own name.", id="audit.E001")
        for name, count in names.items()
        if count > 1
    ]


def subscribers_hear_defined_kinds(**kwargs: Any) -> list[CheckMessage]:
    """A pattern that matches no kind is a slip of the pen: its subscriber would never hear."""
    defined = [kind.name for kind in kinds.defined()]
    return [
        Error(
            f"{each.name} subscribes to {pattern}, and no event kind is called so.",
            hint="Correct the pattern, or define the kind in the events module of its app.",
            id="audit.E002",
        )
        for each in subscribers.registered()
        for pattern in each.kinds
        if not any(subscribers.covers(pattern, kind) for kind in defined)
    ]


def wake_can_be_called(**kwargs: Any) -> list[CheckMessage]:
    """`AUDIT["WAKE"]` is loaded after a commit, where a wrong path would only show in a log."""
    path = getattr(settings, "AUDIT", {}).get("WAKE", "")
    if not path:
        return []
    try:
        target = import_string(path)
    except ImportError as error:
        return [Error(f'AUDIT["WAKE"] names {path}: {error}.', id="audit.E003")]
    if not callable(target):
        return [Error(f'AUDIT["WAKE"] names {path}, which cannot be called.', id="audit.E003")]
    return []

"""What an event may carry beside its subject: plain JSON that every database can hold."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

JSONValue: TypeAlias = "str | int | float | bool | Sequence[JSONValue] | Mapping[str, JSONValue] | None"


def storable_text(text: str) -> str:
    """Replaces the characters that PostgreSQL refuses.

    Names and messages come from strangers; one NUL or half a surrogate pair in them must not fail
    the change that is being recorded.
    """
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def storable(value: JSONValue) -> JSONValue:
    """Copies a JSON value with all its texts made storable."""
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, Mapping):
        return {storable_text(key): storable(each) for key, each in value.items()}
    if isinstance(value, Sequence):
        return [storable(each) for each in value]
    return value

"""An upstream's packument, read as far as needed: its versions stay slices of the text that came. Pure."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from registry import jsontext
from registry.names import MAX_LENGTH


class Unreadable(ValueError):
    """The body is not a packument."""


@dataclass(frozen=True, slots=True)
class Theirs:
    """What an upstream says of a package."""

    head: dict[str, Any]
    versions: dict[str, msgspec.Raw]
    tags: dict[str, str]

    @property
    def is_unpublished(self) -> bool:
        """Whether it is what npm left of a package that its owner took back: its times, and no version."""
        time = self.head.get("time")
        return not self.versions and isinstance(time, dict) and "unpublished" in time

    @property
    def digests(self) -> dict[str, str]:
        """A digest of each version's text: what changes when anything of it does."""
        return {number: digest(text) for number, text in self.versions.items()}


def digest(text: bytes | msgspec.Raw) -> str:
    """32 hex characters that stand for `text`."""
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def read(body: bytes, name: str) -> Theirs:
    """The packument in `body`. Raises `Unreadable` when it is not one, or is another package's."""
    try:
        top = jsontext.slices(jsontext.compact(body))
        versions = jsontext.slices(top["versions"]) if "versions" in top else {}
        head = {key: None if key in ("versions", "dist-tags") else jsontext.decode(bytes(top[key])) for key in top}
        tags = jsontext.decode(bytes(top["dist-tags"])) if "dist-tags" in top else {}
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"it is not a packument: {error}") from error
    if head.get("name") != name:
        raise Unreadable(f"it is the packument of {head.get('name')!r}")
    _complete_time(head)
    return Theirs(head=head, versions=versions, tags=_usable(tags) if isinstance(tags, dict) else {})


def maintainers(head: Mapping[str, Any]) -> list[str]:
    """The names of a package's maintainers."""
    listed = head.get("maintainers")
    return names(listed) if isinstance(listed, list) else []


def names(people: Iterable[object]) -> list[str]:
    """Those that somebody may have: a database cannot hold half a letter, nor NUL."""
    found = [one.get("name") for one in people if isinstance(one, dict)]
    return [name for name in found if isinstance(name, str) and name.isprintable()]


def _usable(tags: dict[str, Any]) -> dict[str, str]:
    """The tags that can be kept and asked for: a database cannot hold half a letter, nor NUL."""
    return {
        tag: number
        for tag, number in tags.items()
        if isinstance(number, str) and number.isprintable() and tag.isprintable() and len(tag) <= MAX_LENGTH
    }


def _complete_time(head: dict[str, Any]) -> None:
    """`time.modified` is what pnpm and Renovate go by; where it is left out, it is the latest of the rest."""
    time = head.get("time")
    if isinstance(time, dict) and "modified" not in time:
        moments = [moment for moment in time.values() if isinstance(moment, str)]
        if moments:
            time["modified"] = max(moments)

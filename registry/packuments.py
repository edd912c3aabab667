"""Packuments: joined from the stored texts of their versions, without decoding one of them."""

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Any

from registry import jsontext
from registry.manifests import BASE_MARK

# Raised when documents are built in another way, so that no client keeps one that was built in the old way.
FORMAT = 3

# What a packument's top level shows of its latest version (the public registry does the same).
_HOISTED = (
    "description", "readme", "readmeFilename", "keywords", "license", "homepage", "repository", "bugs", "author",
    "contributors",
)  # fmt: skip


class Flavour(Enum):
    """The two documents that one URL has. npm 10.4 and later install from the full one."""

    FULL = "f"
    ABBREVIATED = "a"

    @property
    def content_type(self) -> str:
        """What the response says it is; pnpm reads it."""
        return (
            "application/json; charset=utf-8"
            if self is Flavour.FULL
            else "application/vnd.npm.install-v1+json; charset=utf-8"
        )


def hoist(head: Mapping[str, Any], latest: Mapping[str, Any]) -> dict[str, Any]:
    """The top level with what it shows of the manifest of its latest version, and of no other."""
    shown = {key: latest[key] for key in _HOISTED if latest.get(key) is not None}
    return {**{key: value for key, value in head.items() if key not in _HOISTED}, **shown}


def pieces(
    flavour: Flavour,
    head: Mapping[str, Any],
    versions: Iterable[tuple[str, str]],
    tags: Mapping[str, str],
    base: str,
) -> Iterator[str]:
    """The document, piece by piece: `versions` are (number, text) in order of publication, `base` the registry's URL.

    Whoever compresses the pieces as they come never has the whole document in memory.
    """
    members = _full(head) if flavour is Flavour.FULL else _abbreviated(head)
    before = "{"
    for key, value in members.items():
        yield f"{before}{jsontext.encode(key)}:"
        before = ","
        if key == "versions":
            yield from _versions(versions, base)
        else:
            yield jsontext.encode(dict(tags) if key == "dist-tags" else value)
    yield "}"


def _versions(versions: Iterable[tuple[str, str]], base: str) -> Iterator[str]:
    before = "{"
    for number, text in versions:
        yield f"{before}{jsontext.encode(number)}:{text.replace(BASE_MARK, base)}"
        before = ","
    yield "{}" if before == "{" else "}"


def _full(head: Mapping[str, Any]) -> dict[str, Any]:
    return {**head, **{key: None for key in ("dist-tags", "versions") if key not in head}}


def _abbreviated(head: Mapping[str, Any]) -> dict[str, Any]:
    time = head.get("time")
    time = time if isinstance(time, dict) else {}
    members = {
        "name": head.get("name"),
        "dist-tags": None,
        "versions": None,
        "modified": time.get("modified"),
    }
    # Neither is in npm's abbreviated metadata. pnpm reads `time` there when a registry has it (resolution by time),
    # npm 7 to 10.3 the restrictions: why a version is withheld.
    return {**members, **{key: head[key] for key in ("time", "policyRestrictions") if head.get(key)}}

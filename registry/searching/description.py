"""What a search shows of a package and finds it by, out of a manifest and a packument's top level.

Manifests are from strangers, and npm lets them be anything: a person is an object or `Jane <jane@x.example> (url)`,
keywords are a list or one text. Clients trip over less: what is shown has the types that they expect.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from registry.names import PackageName
from registry.searching import query
from registry.semver import InvalidVersion, Version

_PERSON = re.compile(r"([^<(]*+)(?:<([^>]*+)>)?\s*+(?:\(([^)]*+)\))?\s*+")
_GIT_URL = re.compile(r"(?:git\+)?(?:https?|git|ssh)://(?:git@)?([^\s]+?)(?:\.git)?")
_MAX_TEXT, _MAX_NAME = 2000, 200
_MAX_KEYWORDS = 100
_MAX_PEOPLE = 100

Json = Mapping[str, Any]


def describe(name: PackageName, number: str, manifest: Json, head: Json, date: str) -> dict[str, Any]:
    """The `package` of a search result, without the links that depend on who asks."""
    shown = {
        "name": str(name),
        "scope": name.scope.removeprefix("@") or "unscoped",
        "version": number,
        "description": _text(manifest.get("description")),
        "keywords": list(_keywords(manifest.get("keywords"))),
        "date": date,
        "links": dict(_links(manifest)),
        "author": _author(manifest.get("author")),
        "publisher": _user(manifest.get("_npmUser")),
        "maintainers": list(_maintainers(head.get("maintainers"))),
        "license": _text(manifest.get("license")) or None,
    }
    return {key: value for key, value in shown.items() if value is not None}


def terms(name: PackageName, shown: Json, *, is_deprecated: bool) -> str:
    """The words and labels that the package is found by, from what is shown of it."""
    author, publisher = shown.get("author", {}), shown.get("publisher", {})
    texts = [str(name), shown["description"], *shown["keywords"], author.get("name", "")]
    labels = [
        *(query.label("keywords", keyword) for keyword in shown["keywords"]),
        *(query.label("author", who) for who in (author.get("name"), publisher.get("username")) if who),
        *(query.label("maintainer", one["username"]) for one in shown["maintainers"]),
        query.label("scope", shown["scope"]),
        query.label("is", "unstable" if _is_unstable(shown["version"]) else ""),
        query.label("is", "deprecated" if is_deprecated else ""),
    ]
    return query.joined([*query.words(" ".join(texts)), *labels])


def _is_unstable(number: str) -> bool:
    try:
        version = Version.parse(number, loose=True)
    except InvalidVersion:
        return True
    return version.major == 0 or version.is_prerelease


def _text(value: object) -> str:
    return value[:_MAX_TEXT] if isinstance(value, str) else ""


def _keywords(value: object) -> Iterator[str]:
    items = re.split(r"[,\s]+", value) if isinstance(value, str) else value
    texts = (_text(item)[:_MAX_NAME].strip() for item in items[:_MAX_KEYWORDS]) if isinstance(items, list) else ()
    yield from filter(None, texts)


def _author(value: object) -> dict[str, str] | None:
    """`author`, which has a name: pnpm prints it."""
    person = _person(value)
    return person if person.get("name") else None


def _user(value: object) -> dict[str, str] | None:
    """Somebody with a user name: npm breaks off at one without."""
    person = _person(value)
    return {"username": person["name"], "email": person.get("email", "")} if person.get("name") else None


def _maintainers(value: object) -> Iterator[dict[str, str]]:
    people = value[:_MAX_PEOPLE] if isinstance(value, list) else [value]
    yield from filter(None, map(_user, people))


def _person(value: object) -> dict[str, str]:
    if isinstance(value, str):
        found = _PERSON.fullmatch(value[:_MAX_TEXT])
        value = dict(zip(("name", "email", "url"), found.groups(), strict=True)) if found else {}
    if not isinstance(value, dict):
        return {}
    return {key: text for key in ("name", "email", "url") if (text := _text(value.get(key))[:_MAX_NAME].strip())}


def _links(manifest: Json) -> Iterator[tuple[str, str]]:
    for key in ("homepage", "repository", "bugs"):
        value = manifest.get(key)
        url = _text(value.get("url") if isinstance(value, dict) else value).strip()
        if key == "repository":
            found = _GIT_URL.fullmatch(url)
            url = f"https://{found[1]}" if found else ""
        if url.startswith(("https://", "http://")):
            yield key, url

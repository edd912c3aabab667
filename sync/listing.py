"""What names an old registry has. None of the ways to find out is sure to tell of all, so all are asked.

What each kind answers: npm's search (`/-/v1/search`), what an organisation may see (`/-/org/<scope>/package`), the
changes feed, Verdaccio's own list for its pages. Names that none of them tells of are listed by the operator.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from registry import jsontext, patterns
from registry.errors import Invalid
from registry.names import PackageName
from sync import feeds
from sync.http import Refused
from sync.kinds.registry import Registry
from sync.models import Upstream

_MOST_BYTES = 64 << 20
_MOST_NAMES = 200_000
_SEARCH_PAGE, _SEARCH_PAGES = 250, 200
_FEED_PAGES = 2_000

_Road = Callable[[Upstream, str], Iterator[str]]


@dataclass(frozen=True, slots=True)
class Listing:
    """The names that fit a pattern, in order, and which ways told of how many."""

    names: tuple[PackageName, ...]
    found: str


def names(upstream: Upstream, pattern: str) -> Listing:
    """What the upstream has that fits the pattern. Raises `UpstreamError` when it answers in no way at all."""
    told, found, refusals = list[str](), dict[str, PackageName](), list[str]()
    for word, road in _ROADS.items():
        if word not in _OF_KIND.get(upstream.kind, tuple(_ROADS)):
            continue
        try:
            fitting = {str(name): name for name in _fitting(road(upstream, pattern), pattern)}
        except Refused as error:
            refusals.append(error.sentence)
            continue
        told.append(f"{word}: {len(fitting)}")
        found |= fitting
    if not told:
        raise Refused(f"{upstream} lists no names: {'; '.join(refusals)}. List them yourself (--file)")
    return Listing(tuple(found[text] for text in sorted(found)), ", ".join(told))


def _fitting(texts: Iterator[str], pattern: str) -> Iterator[PackageName]:
    for count, text in enumerate(texts):
        if count >= _MOST_NAMES:
            raise Refused(f"it lists more than {_MOST_NAMES:,} names")
        try:
            name = PackageName.parse(text)
        except Invalid:
            continue
        if patterns.fits(pattern, name):
            yield name


def _verdaccio(upstream: Upstream, pattern: str) -> Iterator[str]:
    yield from _named(_get(upstream, "/-/verdaccio/data/packages"), "name")


def _organisation(upstream: Upstream, pattern: str) -> Iterator[str]:
    if pattern.startswith("@"):
        answer = _get(upstream, f"/-/org/{quote(pattern[1:].partition('/')[0], safe='')}/package")
        yield from (key for key in answer if isinstance(key, str)) if isinstance(answer, dict) else ()


def _search(upstream: Upstream, pattern: str) -> Iterator[str]:
    """Page after page, until one brings nothing new: not every registry knows `from`."""
    seen = set[str]()
    for page in range(_SEARCH_PAGES):
        query = {"text": pattern.removesuffix("*").removesuffix("/"), "size": _SEARCH_PAGE, "from": page * _SEARCH_PAGE}
        answer = _get(upstream, f"/-/v1/search?{urlencode(query)}")
        objects = answer.get("objects") if isinstance(answer, dict) else None
        packages = [one.get("package") for one in objects if isinstance(one, dict)] if isinstance(objects, list) else []
        new = set(_named(packages, "name")) - seen
        if not new:
            return
        seen |= new
        yield from new


def _feed(upstream: Upstream, _pattern: str) -> Iterator[str]:
    url, since = feeds.address(upstream), "0"
    for _ in range(_FEED_PAGES if url else 0):
        page = feeds.read(upstream, str(url), since)
        yield from (change.name for change in page.changes)
        if not page.changes or page.upto == since:
            return
        since = page.upto


def _named(rows: object, key: str) -> Iterator[str]:
    for one in rows if isinstance(rows, list) else ():
        if isinstance(one, dict) and isinstance(one.get(key), str):
            yield one[key]


def _get(upstream: Upstream, path: str) -> Any:
    with Registry(upstream).get(upstream.url + path, {"accept": "application/json"}) as response:
        if response.status != 200:
            raise Refused(f"{response.shown} answered {response.status}")
        body = response.read_all(_MOST_BYTES)
    try:
        return jsontext.decode(body)
    except ValueError as error:
        raise Refused(f"{response.shown} did not answer with JSON") from error


_ROADS: dict[str, _Road] = {
    "Verdaccio's pages": _verdaccio,
    "organisation": _organisation,
    "search": _search,
    "feed": _feed,
}
_OF_KIND: dict[str, tuple[str, ...]] = {
    Upstream.Kind.VERDACCIO: ("Verdaccio's pages", "search"),
    Upstream.Kind.NPM: ("organisation", "search"),
    Upstream.Kind.CNPMCORE: ("feed", "search"),
    Upstream.Kind.CNPMJSORG: ("feed", "search"),
    Upstream.Kind.LARDER: ("organisation", "feed"),
    Upstream.Kind.FOLDER: (),
}

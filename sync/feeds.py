"""Reads the changes feed of a registry, a page at a time.

npm's, cnpmcore's and a Larder's feeds say the same in nearly the same words: `results` with a `seq` and the name of a
package each. npm and Larder begin behind `since` and say with `last_seq` from where to go on. cnpmcore begins with
`since` itself, says no `last_seq`, and gives its numbers before it commits: one that is missing may still come.

cnpmjs.org has times for places: `since` is a moment in milliseconds, with which it begins, and any number of changes
may share one. So a page is read to the end of the last moment that is whole, and the last minute is left for later.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode, urljoin

from registry import jsontext
from sync import credentials
from sync.http import Origin, Refused
from sync.kinds.registry import client
from sync.models import Upstream

PAGE = 1000
_MOST_BYTES = 16 << 20
_LONGEST_PLACE = 100  # that a cursor can keep

# Registries of these kinds have a feed beside their packages. Of the others an operator says where it is, if it is.
_HAVE_ONE = (Upstream.Kind.NPM, Upstream.Kind.CNPMCORE, Upstream.Kind.CNPMJSORG, Upstream.Kind.LARDER)

# cnpmjs.org: how many changes of one moment are read at most, and the milliseconds in which one may still come late.
_MOST_AT_ONCE = 16 * PAGE
_LATE = 60_000


@dataclass(frozen=True, slots=True)
class Change:
    """A package that changed, and the change's place in the feed."""

    place: str
    name: str
    is_gone: bool


@dataclass(frozen=True, slots=True)
class Page:
    """What a feed has behind a place, and the place to go on from."""

    changes: tuple[Change, ...]
    upto: str
    # The newest place that the page tells of; empty when it tells of none but its own.
    newest: str
    # Whether the feed still knows the place that was asked from, and whether its places come in order.
    knows_since: bool
    is_ordered: bool


def address(upstream: Upstream) -> str | None:
    """Where the upstream's feed is; None when it has none."""
    if upstream.feed_url:
        return upstream.feed_url
    return f"{upstream.url}/_changes" if upstream.kind in _HAVE_ONE else None


def read(upstream: Upstream, url: str, since: str) -> Page:
    """The page of the feed at `url` that comes behind `since`. Raises `UpstreamError`."""
    if upstream.kind == Upstream.Kind.CNPMJSORG:
        return _read_moments(upstream, url, since, PAGE)
    document = _get(upstream, _asking(url, since, PAGE))
    results, last_seq = document.get("results"), place(document.get("last_seq"))
    found = list(_changes(results)) if isinstance(results, list) else []
    if not (found or last_seq or results == []):
        raise Refused(f"{url} is no changes feed: set the one that {upstream} has")
    entries = [change for change in found if change.place != since]
    return Page(
        changes=tuple(entries),
        upto=last_seq or (entries[-1].place if entries else since),
        newest=_further(last_seq, document.get("pending")),
        knows_since=len(entries) < len(found),
        is_ordered=bool(last_seq),
    )


def _read_moments(upstream: Upstream, url: str, since: str, limit: int) -> Page:
    results = _get(upstream, _asking(url, since, limit)).get("results")
    if not isinstance(results, list):
        raise Refused(f"{url} is no changes feed of cnpmjs.org")
    # In its order, whatever that is: who asked from a moment on wants nothing that was before it.
    found = (change for change in _moments(results) if int(change.place) >= (number(since) or 0))
    entries = sorted(found, key=lambda change: int(change.place))
    if len(results) >= limit:  # the last moment may go on behind the page's end
        whole = [change for change in entries if change.place != entries[-1].place] if entries else []
        if not whole and limit >= _MOST_AT_ONCE:
            raise Refused(f"{url} has more than {limit:,} changes of one moment")
        if not whole:
            return _read_moments(upstream, url, since, 2 * limit)
        entries = whole
    settled = tuple(change for change in entries if int(change.place) < _now() - _LATE)
    upto = str(int(settled[-1].place) + 1) if settled else since
    return Page(settled, upto, newest="", knows_since=True, is_ordered=True)


def _moments(results: Iterable[object]) -> Iterator[Change]:
    for one in results:
        if isinstance(one, dict) and isinstance(one.get("id"), str):
            with suppress(ValueError, TypeError, OverflowError):
                moment = datetime.fromisoformat(one["gmt_modified"])
                at = round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
                yield Change(str(at), one["id"], is_gone=False)


def _now() -> int:
    return round(time.time() * 1000)


def _asking(url: str, since: str, limit: int) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode({'since': since, 'limit': limit})}"


def newest(upstream: Upstream, url: str) -> str:
    """The place of the feed's newest change, as the root beside the feed tells it; empty when it does not.

    Raises `UpstreamError`.
    """
    if upstream.kind == Upstream.Kind.CNPMJSORG:
        return str(_now())
    try:
        return place(_get(upstream, urljoin(url, ".")).get("update_seq"))
    except Refused:
        return ""


def number(place: str) -> int | None:
    """How far a place is, where that can be told: CouchDB has `12-g1AAAA` for the twelfth."""
    digits = place.partition("-")[0]
    return int(digits) if digits.isascii() and digits.isdigit() else None


def place(value: object) -> str:
    """A place as a cursor keeps it; empty for what is none."""
    is_number = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63
    text = str(value) if is_number or isinstance(value, str) else ""
    return text if text.isprintable() and len(text) <= _LONGEST_PLACE else ""


def _changes(results: Iterable[object]) -> Iterator[Change]:
    """Those that can be read; what is about no package (a design document) is left out by who looks for packages."""
    for one in results:
        if isinstance(one, dict) and isinstance(one.get("id"), str) and (at := place(one.get("seq"))):
            yield Change(at, one["id"], one.get("deleted") is True)


def _further(last_seq: str, pending: object) -> str:
    """The newest place, from the page's last one and how many come after it."""
    at = number(last_seq)
    return str(at + pending) if at is not None and place(pending) and isinstance(pending, int) else ""


def _get(upstream: Upstream, url: str) -> dict[str, Any]:
    headers = {"accept": "application/json", "npm-replication-opt-in": "true"}
    with client().get(url, origin=_origin(upstream, url), headers=headers) as response:
        if response.status != 200:
            raise Refused(f"{response.shown} answered {response.status}")
        body = response.read_all(_MOST_BYTES)
    try:
        document = jsontext.decode(body)
    except ValueError as error:
        raise Refused(f"{response.shown} did not answer with JSON: {error}") from error
    return document if isinstance(document, dict) else {}


def _origin(upstream: Upstream, url: str) -> Origin:
    """The feed's own origin, which may see the upstream's credentials when it is the upstream's too."""
    at, home = Origin.of(url), Origin.of(upstream.url)
    return Origin.of(url, credentials.authorization(upstream)) if at == home else at

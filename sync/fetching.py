"""Fetching packuments: one at a time per name on this host, conditionally, and straight into rows."""

import threading
from dataclasses import dataclass, replace
from datetime import datetime

from django.conf import settings
from django.utils import timezone

from registry import flight
from registry.errors import Forbidden
from registry.names import PackageName
from sync import apply, breaker, doubts, kinds, reading, routing
from sync.apply import Outcome
from sync.doubts import Removal
from sync.http import Refused, Unreachable, UpstreamError
from sync.kinds import Reply
from sync.models import Freshness, Upstream
from sync.threads import Budget

# Bytes of documents that may be on their way at once. In memory each is a few times that while it is brought in.
_underway = Budget(24 << 20)
_EXPANSION = 8  # of JSON that is sent compressed

# Reading and writing a document is work for one core and, on SQLite, for one writer: in turns it is faster than all at
# once, and no more than one large document is in memory.
_turn = threading.Lock()


def freshness(name: PackageName, upstream: Upstream) -> Freshness | None:
    """What the upstream last said of the name."""
    return Freshness.objects.filter(upstream=upstream, name=str(name)).first()


def current_until(fresh: Freshness) -> float:
    """The Unix time until which that counts as current."""
    seconds = settings.MISSING_SECONDS if fresh.is_missing or fresh.refusal else settings.FRESH_SECONDS
    return fresh.checked_at.timestamp() + float(seconds)


@dataclass(frozen=True, slots=True)
class Answer:
    """What an upstream has said: until when (Unix time) that counts, and what came in, if anything did."""

    until: float
    outcome: Outcome | None = None
    # It has never heard of the name; then the next upstream may be asked (sync.routing), and in no other case.
    is_unknown: bool = False
    # What is said of a package that is here and gone there (sync.doubts).
    removal: Removal | None = None


def remembered(fresh: Freshness, outcome: Outcome | None = None) -> Answer:
    """What the upstream said then."""
    return Answer(current_until(fresh), outcome, is_unknown=fresh.is_missing and not fresh.refusal)


def fetch(name: PackageName, upstream: Upstream, *, newer_than: float) -> Answer:
    """Ask the upstream for `name`, and bring in what it says.

    Who waited for another's fetch that began after `newer_than` (Unix time) has its answer. Raises `UpstreamError`,
    and `Forbidden` when the name may not come from there.
    """
    routing.require(name, upstream)
    with flight.single(f"packument {upstream.pk} {name}"):
        fresh = freshness(name, upstream)
        if fresh is not None and fresh.checked_at.timestamp() > newer_than:
            return remembered(fresh)
        if breaker.is_resting_now(upstream):  # since this fetch was asked for
            raise Unreachable(f"{upstream} is resting after failures")
        try:
            answer = _fetch(name, upstream, fresh)
        except Refused as error:
            _remember(Freshness(upstream=upstream, name=str(name), checked_at=timezone.now(), refusal=error.sentence))
            raise
        except UpstreamError as error:
            breaker.failed(upstream, error)
            raise
        breaker.succeeded(upstream)
        return answer


def _fetch(name: PackageName, upstream: Upstream, fresh: Freshness | None) -> Answer:
    asked_at = timezone.now()
    if doubts.is_due(name, upstream):  # read all of it, also when it is what it was
        fresh = None
    with kinds.source(upstream).packument(name, _conditions(name, fresh)) as response:
        if response.status == 304 and fresh is not None:
            Freshness.objects.filter(pk=fresh.pk).update(checked_at=asked_at)
            return Answer(asked_at.timestamp() + settings.FRESH_SECONDS)
        if response.status in (404, 410, 451):
            withheld = "" if response.status == 404 else f"{upstream} answered {response.status}"
            facts = {"checked_at": asked_at, "is_missing": True, "refusal": withheld}
            removal = doubts.gone(name, upstream, f"{upstream} answered {response.status} for {name}")
            return replace(_remember(Freshness(upstream=upstream, name=str(name), **facts)), removal=removal)
        if response.status != 200:
            raise Refused(f"{upstream} answered {response.status} for {name}")
        with _underway.hold(_size(response)):
            return _take(name, upstream, fresh, asked_at, response)


def _take(
    name: PackageName, upstream: Upstream, fresh: Freshness | None, asked_at: datetime, response: Reply
) -> Answer:
    body = response.read_all(settings.MAX_PACKUMENT_BYTES)
    said = Freshness(
        upstream=upstream,
        name=str(name),
        checked_at=asked_at,
        etag=response.headers.get("etag", "")[:300],
        last_modified=response.headers.get("last-modified", "")[:100],
        digest=reading.digest(body),
    )
    latest = freshness(name, upstream)
    if latest is not None and latest.checked_at > asked_at:  # on another host while we were held up: ours is old news
        return remembered(latest)
    is_known = fresh is not None and fresh.digest == said.digest and apply.is_here(name)
    outcome = None if is_known else _bring_in(name, body, upstream)
    return replace(_remember(said, outcome), removal=outcome.removal if outcome else None)


def _size(response: Reply) -> int:
    """About how large the document will be."""
    return (response.content_length or 0) * (_EXPANSION if "content-encoding" in response.headers else 1)


def _bring_in(name: PackageName, body: bytes, upstream: Upstream) -> Outcome:
    try:
        with _turn:
            return apply.bring_in(name, body, upstream)
    except reading.Unreadable as error:
        raise Refused(f"{upstream} answered for {name}, but {error}") from error
    except Forbidden as error:
        raise Refused(error.sentence) from error


def _conditions(name: PackageName, fresh: Freshness | None) -> dict[str, str]:
    """Only when what we would keep is really here."""
    if fresh is None or fresh.is_missing or not apply.is_here(name):
        return {}
    if fresh.etag:
        return {"if-none-match": fresh.etag}
    return {"if-modified-since": fresh.last_modified} if fresh.last_modified else {}


def _remember(said: Freshness, outcome: Outcome | None = None) -> Answer:
    Freshness.objects.bulk_create(
        [said],
        update_conflicts=True,
        unique_fields=["name", "upstream"],
        update_fields=["checked_at", "is_missing", "refusal", "etag", "last_modified", "digest"],
    )
    return remembered(said, outcome)

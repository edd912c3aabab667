"""Follows the changes feeds of upstreams: what changes there is asked for here.

Followed are upstreams that a rule mirrors, and those whose feed an operator has set. Of what a feed tells only that is
asked for which the import guard lets in from this upstream, and which is here already or is to be mirrored.

The cursor moves in the transaction that stores the tasks of a page: after a crash, or when somebody else was faster,
a page is read again or not taken at all, and nothing is left out. A feed that ends before the place where we are began
anew; so do we then, with everything here that came from there. (One that began anew and has come further than we were
before we looked again cannot be told from one that went on.)
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from registry.errors import Invalid
from registry.models import Package
from registry.names import PackageName
from sync import breaker, feeds, queue, routing
from sync.feeds import Change, Page
from sync.http import UpstreamError
from sync.models import FeedCursor, ScopeRule, SyncTask, Upstream
from sync.routing import Route

_MIRRORING = (ScopeRule.Mode.MIRROR, ScopeRule.Mode.MIGRATE)
# Seconds for which a feed that failed is left alone: at random up to twice as long each time, from the first of these
# to the last. Whoever follows sees afterwards what it missed: nothing is urgent.
_FIRST_PAUSE, _LONGEST_PAUSE = 30.0, 3600.0
# So many pages at most are read at once; the rest at the next time.
_PAGES = 20


def due() -> list[Upstream]:
    """The upstreams whose feeds are to be looked at now. By that they count as looked at: nobody else gets them too."""
    now = timezone.now()
    is_due = Q(updated_at__lte=now - timedelta(seconds=settings.FEED_SECONDS))
    is_due &= Q(resting_until=None) | Q(resting_until__lte=now)
    found = []
    for upstream in followed():
        cursor, is_new = FeedCursor.objects.get_or_create(upstream=upstream)
        claimed = FeedCursor.objects.filter(is_due, pk=cursor.pk).update(updated_at=now)
        if (is_new or claimed) and not breaker.resting(upstream):
            found.append(upstream)
    return found


def followed() -> list[Upstream]:
    """The upstreams that have a feed, and of which it is to be followed."""
    default = routing.default_upstream()
    rules = ScopeRule.objects.filter(mode__in=_MIRRORING)
    mirrored = Q(pk__in=rules.values("upstream")) | Q(pk__in=rules.values("fallbacks__upstream"))
    if default is not None and rules.filter(upstream=None).exists():
        mirrored |= Q(pk=default.pk)
    rows = Upstream.objects.filter(mirrored | Q(feed_url__gt=""), is_enabled=True)
    in_use = rows if default is not None else rows.exclude(name=routing.DEFAULT)
    return [upstream for upstream in in_use if feeds.address(upstream)]


def follow(upstream: Upstream) -> None:
    """Read the upstream's feed from where we are, and ask for what is wanted of it. Why that failed is in the row."""
    cursor, _ = FeedCursor.objects.get_or_create(upstream=upstream)
    url = feeds.address(upstream)
    if url is None:
        return
    try:
        if not cursor.since:
            _begin(upstream, cursor, url)
        _read_on(upstream, cursor, url)
    except UpstreamError as error:
        _rest(cursor, error)
    else:
        FeedCursor.objects.filter(pk=cursor.pk, failures__gt=0).update(failures=0, resting_until=None)


def _rest(cursor: FeedCursor, error: UpstreamError) -> None:
    """Leave it alone, for longer each time, and at least as long as it has asked for."""
    pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(cursor.failures, 16))
    rest = (error.retry_after or 0.0) + random.uniform(pause / 2, pause)  # noqa: S311 (spreads load, guards nothing)
    now = timezone.now()
    FeedCursor.objects.filter(pk=cursor.pk).update(
        error=error.sentence, updated_at=now, failures=F("failures") + 1, resting_until=now + timedelta(seconds=rest)
    )


def is_mirrored(route: Route) -> bool:
    """Whether a rule has us fetch a package before somebody asks for it."""
    return route.rule is not None and route.rule.mode in _MIRRORING


def is_eager(route: Route) -> bool:
    """Whether tarballs come with what is followed: as the rule says, or else its mode."""
    chosen = route.rule.tarballs if route.rule else ""
    return chosen == ScopeRule.Tarballs.EAGER if chosen else is_mirrored(route)


def _begin(upstream: Upstream, cursor: FeedCursor, url: str) -> None:
    """Follow from now on, with a look at everything here that came from this upstream.

    A Larder's feed is followed from its beginning: it is short, and tells of all that is to be mirrored.
    """
    start = "0" if upstream.kind == Upstream.Kind.LARDER else feeds.newest(upstream, url) or "0"
    here = Package.objects.filter(origin=upstream.name, unpublished_at=None).values_list("name", flat=True)
    for name, is_eager in _wanted([Change("", name, is_gone=False) for name in here], upstream):
        priority = SyncTask.Priority.BACKFILL
        queue.ask(name, why=f"{upstream} is followed anew", priority=priority, with_tarballs=is_eager)
    cursor.since, cursor.newest, cursor.error = start, "", ""
    cursor.save()


def _read_on(upstream: Upstream, cursor: FeedCursor, url: str) -> None:
    """Take page after page, until there is no more, or what there is must wait."""
    seen_before, newest = cursor.newest, ""
    for _ in range(_PAGES):
        page = feeds.read(upstream, url, cursor.since)
        newest = page.newest or newest or feeds.newest(upstream, url)
        if _began_anew(page, cursor.since, newest) and _is_behind(seen_before, cursor.since):
            _begin(upstream, cursor, url)
            return
        ripe = page if page.is_ordered else _up_to_a_gap(page, cursor.since, seen_before)
        if page.changes and not _is_behind(page.upto, newest):
            newest = page.upto
        if not _take(upstream, cursor, ripe, newest) or not ripe.changes or ripe is not page:
            return


def _began_anew(page: Page, since: str, newest: str) -> bool:
    """Whether the feed ends before `since`. Believed the second time: a copy of it may be a little behind another."""
    return not page.changes and not page.knows_since and _is_behind(newest, since)


def _up_to_a_gap(page: Page, since: str, seen_before: str) -> Page:
    """What has no gap before it, and what stood behind one at the last look already: by now nothing comes there."""
    last, known, ripe = feeds.number(since), feeds.number(seen_before) or 0, list[Change]()
    for change in page.changes:
        at = feeds.number(change.place)
        if at is not None and last is not None and at > max(last + 1, known):
            return replace(page, changes=tuple(ripe), upto=ripe[-1].place if ripe else since)
        ripe.append(change)
        last = at
    return page


def _take(upstream: Upstream, cursor: FeedCursor, page: Page, newest: str) -> bool:
    """Store the tasks of a page, and that we have come so far. False: somebody else has, in the meantime."""
    is_further = _is_behind(cursor.since, page.upto) or (page.changes and not _is_behind(page.upto, cursor.since))
    upto = page.upto if is_further else cursor.since
    wanted = sorted(_wanted(page.changes, upstream))  # in one order, so that two who follow never wait for each other
    with transaction.atomic():
        as_read = FeedCursor.objects.filter(pk=cursor.pk, since=cursor.since)
        if not as_read.update(since=upto, newest=newest, error="", updated_at=timezone.now()):
            return False
        for name, is_eager in wanted:
            why = f"it changed on {upstream}"
            queue.ask(name, why=why, priority=SyncTask.Priority.FEED, with_tarballs=is_eager)
    cursor.since, cursor.newest = upto, newest
    return True


def _wanted(changes: Iterable[Change], upstream: Upstream) -> Iterator[tuple[str, bool]]:
    """The names to be asked for, and whether with tarballs."""
    for change in {change.name: change for change in changes}.values():
        try:
            name = PackageName.parse(change.name)
        except Invalid:  # a design document of CouchDB's
            continue
        route = routing.route(name)
        if upstream.pk not in {one.pk for one in route.listed}:
            continue
        if route.is_here or (is_mirrored(route) and not change.is_gone):
            yield str(name), is_eager(route)


def _is_behind(place: str, other: str) -> bool:
    """Whether a place comes before another one, as far as one can tell."""
    at, there = feeds.number(place), feeds.number(other)
    return at is not None and there is not None and at < there


def lag(cursor: FeedCursor) -> int | None:
    """How many places we are behind the upstream; None where that cannot be told."""
    if cursor.upstream.kind == Upstream.Kind.CNPMJSORG:  # its places are moments
        return None
    at, newest = feeds.number(cursor.since), feeds.number(cursor.newest)
    return None if at is None or newest is None else max(0, newest - at)

"""Carries out a plan: what came from an upstream becomes rows, through `registry.ingesting`."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from audit.actors import Actor
from audit.facts import storable_text
from registry import jsontext, semver
from registry.errors import Forbidden
from registry.ingesting import Changes, Incoming, ingest
from registry.manifests import fragments
from registry.models import DistTag, Package, Version
from registry.names import PackageName
from sync import doubts, plan, reading, routing
from sync.doubts import Removal
from sync.models import Migration, Upstream
from sync.plan import Plan
from sync.reading import Theirs

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a sync found and did."""

    plan: Plan
    versions: int
    # What of theirs is no version that can be kept, in sentences.
    left_out: tuple[str, ...] = ()
    # For a human, when so much is gone upstream that only one may believe it.
    question: str = ""
    removal: Removal | None = None


def bring_in(name: PackageName, body: bytes, upstream: Upstream) -> Outcome:
    """Make our rows of `name` say what the packument in `body` says. Raises `reading.Unreadable`."""
    theirs = reading.read(body, str(name))
    if theirs.is_unpublished and (removal := doubts.gone(name, upstream, f"{upstream} says it was unpublished")):
        return Outcome(Plan((), (), ()), 0, removal=removal)
    digests = theirs.digests
    ours, gone = _ours(name)
    confirmed = doubts.confirmed(name, upstream, is_holding=plan.is_holding(digests))
    todo = plan.compare(digests, ours, gone, confirmed)
    kept, left_out = _kept(name, theirs, todo), list[str]()
    changes = Changes(
        head=kept.head,
        tags=kept.tags,
        added=list(_incoming(name, theirs, todo.added, upstream, left_out)),
        edited=list(_incoming(name, theirs, todo.edited, upstream, left_out)),
        removed=todo.removed,
        is_restricted=Migration.objects.restricts(name, upstream),
    )
    require = partial(_require_still, name, upstream)
    ingest(name, changes, origin=upstream.name, actor=Actor.upstream(upstream.name), require=require)
    return Outcome(todo, len(digests), tuple(left_out), doubts.seen(name, upstream, todo))


def _require_still(name: PackageName, upstream: Upstream) -> None:
    """The guard once more, by the rows as they are now: the answer was long on its way."""
    if not Migration.objects.hold(name, upstream):
        raise Forbidden(f"{name} was cut over from {upstream}, which is not asked for it any more")
    rule = routing.barring_now(name)
    if rule is not None:
        raise Forbidden(f"not taken from {upstream}: the rule for {rule.pattern} says {rule.mode}")


def _kept(name: PackageName, theirs: Theirs, todo: Plan) -> Theirs:
    """What they say, with what they do not say of the versions that stay: their times, and the tags that point at them.

    Of a document without any version nothing is taken.
    """
    if not todo.doubted:
        return theirs
    head = jsontext.decode(Package.objects.values_list("head", flat=True).get(name=str(name)))
    rows = DistTag.objects.filter(package__name=str(name), version__number__in=todo.doubted)
    tags = {**dict(rows.values_list("tag", "version__number")), **theirs.tags}
    if not theirs.versions:
        return replace(theirs, head=head, tags=tags)
    ours, time = head.get("time"), theirs.head.get("time")
    if isinstance(ours, dict) and isinstance(time, dict):
        stay = {number: ours[number] for number in todo.doubted if number in ours}
        return replace(theirs, head={**theirs.head, "time": {**stay, **time}}, tags=tags)
    return replace(theirs, tags=tags)


def _ours(name: PackageName) -> tuple[dict[str, str], frozenset[str]]:
    rows = Version.objects.filter(package__name=str(name)).order_by("id")
    found = list(rows.values_list("number", "source_digest", "unpublished_at"))
    return {row[0]: row[1] for row in found}, frozenset(row[0] for row in found if row[2] is not None)


def _incoming(
    name: PackageName, theirs: Theirs, numbers: Iterable[str], upstream: Upstream, left_out: list[str]
) -> Iterator[Incoming]:
    """The versions, decoded one at a time. One that is no manifest is left out; it cannot spoil the others."""
    times = theirs.head.get("time")
    for number in numbers:
        try:
            order_key = semver.Version.parse(number, loose=True).order_key
            manifest = jsontext.texts(theirs.versions[number])
            texts = fragments(manifest, name, number)
            dist = jsontext.decode(manifest.get("dist", "null"))
        except ValueError as error:
            left_out.append(storable_text(f"{name}@{number[:100]} of {upstream} is left out: {error}")[:400])
            logger.warning(left_out[-1])
            continue
        yield Incoming(
            number=number,
            order_key=order_key,
            texts=texts,
            source_url=_source_url(dist, name, number, upstream),
            source_digest=reading.digest(theirs.versions[number]),
            published_at=_moment(times.get(number)) if isinstance(times, dict) else None,
        )


def _source_url(dist: object, name: PackageName, number: str, upstream: Upstream) -> str:
    url = dist.get("tarball") if isinstance(dist, dict) else None
    return url if isinstance(url, str) and url.isprintable() else upstream.url + name.tarball_path(number)


def _moment(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return moment if moment and moment.tzinfo and moment.year > 1 else None


def is_mirrored(name: PackageName) -> bool:
    """Whether we have the package from an upstream."""
    return Package.objects.filter(name=str(name), unpublished_at=None).exclude(origin=None).exists()


def is_here(name: PackageName) -> bool:
    """Whether we have the package, so that there is something to serve while an upstream is ill."""
    return Package.objects.filter(name=str(name), unpublished_at=None).exists()

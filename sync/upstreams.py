"""Upstreams as operators keep them: added, changed, given credentials, tried out. `sync.moving` takes them away."""

import re
import time
from collections.abc import Collection
from copy import copy
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack
from urllib.parse import urlsplit

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet

from audit import journal
from audit.actors import Actor
from registry import access, semver
from registry.errors import Forbidden, Invalid, NotFound
from registry.names import PackageName
from sync import credentials, kinds, reading, routing
from sync.events import UPSTREAM_ADDED, UPSTREAM_CHANGED, UPSTREAM_CREDENTIALS_CHANGED, UPSTREAM_RESET
from sync.http import ForbiddenTarget, Origin
from sync.models import Freshness, Upstream

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_FOLDER = re.compile(r"file:///[^?#]+")
_LONGEST_URL = 500
_MOST = 100_000

_HEALTHY = {"failures": 0, "resting_until": None, "last_error": ""}


class Facts(TypedDict, total=False):
    """What an operator says about an upstream."""

    url: str
    kind: str
    is_enabled: bool
    feed_url: str
    max_at_once: int
    max_per_minute: int


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of asking an upstream for one package."""

    status: int
    seconds: float
    size: int = 0
    versions: int = 0
    latest: str | None = None


def add(name: str, *, actor: Actor, secret: str = "", **facts: Unpack[Facts]) -> Upstream:
    """Make an upstream known. Nothing is fetched from it before a rule names it."""
    access.require_operator(actor)
    if not _NAME.fullmatch(name):
        raise Invalid('an upstream\'s name has lower-case letters, digits, ".", "_" and "-", 100 at most')
    if name == routing.DEFAULT:
        raise Invalid(f"{name} is the upstream of LARDER_UPSTREAM_URL: set that, or choose another name")
    upstream = _changed(Upstream(name=name), facts)
    kept: dict[str, Any] = {field: getattr(upstream, field) for field in Facts.__annotations__}
    kept["credentials"] = _sealed(upstream, secret)
    with transaction.atomic():
        upstream, is_new = Upstream.objects.get_or_create(name=name, defaults=kept)
        if not is_new:
            raise Invalid(f"there is an upstream {name} already: change that one, or choose another name")
        subject, kind = f"upstream:{name}", upstream.kind
        journal.record(UPSTREAM_ADDED, subject, actor=actor, url=upstream.url, upstream_kind=kind)
        if secret:
            journal.record(UPSTREAM_CREDENTIALS_CHANGED, subject, actor=actor, is_set=True)
        transaction.on_commit(routing.forget)
    return upstream


def change(name: str, *, actor: Actor, **facts: Unpack[Facts]) -> Upstream:
    """Change what is given. At another origin it loses its credentials: they were not meant for who is there."""
    access.require_operator(actor)
    with transaction.atomic():
        [before] = locked([name])
        after = _changed(copy(before), facts)
        if name == routing.DEFAULT and after.url != before.url:
            raise Invalid(f"the URL of {name} is LARDER_UPSTREAM_URL: set that")
        fields = sorted(field for field in facts if getattr(before, field) != getattr(after, field))
        if fields:
            after.credentials = credentials.kept(before, after.url)
            _save(after, [*fields, "credentials"], is_another={"url", "kind"} & set(fields))
            journal.record(UPSTREAM_CHANGED, f"upstream:{name}", actor=actor, fields=fields, url=after.url)
            if after.credentials != before.credentials:
                journal.record(UPSTREAM_CREDENTIALS_CHANGED, f"upstream:{name}", actor=actor, is_set=False)
    return after


def set_credentials(name: str, secret: str, *, actor: Actor) -> None:
    """Replace the token, or the `user:password`, that the upstream is sent; an empty one is none."""
    access.require_operator(actor)
    with transaction.atomic():
        [upstream] = locked([name])
        upstream.credentials = _sealed(upstream, secret)
        _save(upstream, ["credentials"], is_another=False)
        journal.record(UPSTREAM_CREDENTIALS_CHANGED, f"upstream:{name}", actor=actor, is_set=bool(secret))


def reset(name: str, *, actor: Actor) -> None:
    """Ask the upstream again at once, however often it failed."""
    access.require_operator(actor)
    with transaction.atomic():
        [upstream] = locked([name])
        _save(upstream, [], is_another=False)
        journal.record(UPSTREAM_RESET, f"upstream:{name}", actor=actor)


def try_out(name: str, package: PackageName) -> Trial:
    """Ask the upstream for a package and keep nothing of it.

    Raises `UpstreamError`, and `Forbidden` for names that no upstream may hear of.
    """
    [upstream] = _found(Upstream.objects.all(), [name])
    if why := routing.reserved(package):
        raise Forbidden(f"{name} is not asked for {package}, not even to try it out: {why}")
    began = time.monotonic()
    with kinds.source(upstream).packument(package, {}) as reply:
        if reply.status != 200:
            return Trial(reply.status, time.monotonic() - began)
        body = reply.read_all(settings.MAX_PACKUMENT_BYTES)
    try:
        theirs = reading.read(body, str(package))
    except reading.Unreadable as error:
        raise Invalid(f"{name} answered, but {error}") from error
    latest = theirs.tags.get("latest") or semver.highest(theirs.versions)
    return Trial(reply.status, time.monotonic() - began, len(body), len(theirs.versions), latest)


def locked(names: Collection[str]) -> list[Upstream]:
    """The upstreams of these names in their order, which nobody else changes before the transaction ends."""
    return _found(Upstream.objects.select_for_update(no_key=True).order_by("name"), names)


def is_us(url: str) -> bool:
    """Whether the URL is this Larder's own: it would ask itself."""
    ours = {f"{settings.HOST}:{settings.PORT}", f"localhost:{settings.PORT}", urlsplit(settings.PUBLIC_URL).netloc}
    return urlsplit(url).netloc in ours - {""}


def _found(upstreams: QuerySet[Upstream], names: Collection[str]) -> list[Upstream]:
    routing.default_upstream()  # so that there is a row of it
    rows = {upstream.name: upstream for upstream in upstreams.filter(name__in=names)}
    for name in names:
        if name not in rows:
            raise NotFound(f"there is no upstream {name[:100]}: manage.py upstream list shows those that there are")
    return [rows[name] for name in names]


def _sealed(upstream: Upstream, secret: str) -> str:
    if secret and upstream.kind == Upstream.Kind.FOLDER:
        raise Invalid(f"{upstream} is a folder, and nobody there asks for credentials")
    return credentials.sealed(secret)


def _save(upstream: Upstream, fields: Collection[str], *, is_another: object) -> None:
    """Save it as a healthy one. What it refused is asked for again; where it is another registry, all is."""
    Upstream.objects.filter(pk=upstream.pk).update(**{field: getattr(upstream, field) for field in fields}, **_HEALTHY)
    said = Freshness.objects.filter(upstream=upstream)
    (said if is_another else said.filter(Q(is_missing=True) | Q(refusal__gt=""))).delete()
    transaction.on_commit(routing.forget)


def _changed(upstream: Upstream, facts: Facts) -> Upstream:
    """The row with these facts, in one spelling. Raises `Invalid` where they make no sense."""
    values: dict[str, Any] = dict(facts)
    for field, value in values.items():
        setattr(upstream, field, value)
    upstream.url = upstream.url.strip().rstrip("/")
    if upstream.kind not in Upstream.Kind.values:
        raise Invalid(f"there is no kind {upstream.kind[:50]!r} of upstream: {', '.join(Upstream.Kind.values)}")
    if upstream.kind == Upstream.Kind.FOLDER:
        _require_folder(upstream.url)
    else:
        require_root(upstream.url)
    if upstream.feed_url:
        _require_web(upstream.feed_url)
    if not all(0 <= number <= _MOST for number in (upstream.max_at_once, upstream.max_per_minute)):
        raise Invalid(f"limits are whole numbers from 0, which is none, to {_MOST}")
    return upstream


def _require_folder(url: str) -> None:
    if not _FOLDER.fullmatch(url) or not url.isprintable() or len(url) > _LONGEST_URL:
        raise Invalid("the URL of a folder is file:///and/its/path")


def require_root(url: str) -> None:
    """Raise `Invalid` unless things can be asked for below the URL."""
    _require_web(url)
    if "?" in url or "#" in url:
        raise Invalid("the URL ends with its path: the names of what is fetched come behind it")
    if is_us(url):
        raise Invalid(f"{url} is this registry itself: it would ask itself")


def _require_web(url: str) -> None:
    if not url.isprintable() or " " in url or len(url) > _LONGEST_URL:
        raise Invalid(f"{url[:100]!r} is not an http or https URL")
    try:
        Origin.of(url)
    except ForbiddenTarget as error:
        raise Invalid(error.sentence) from error

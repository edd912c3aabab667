"""Contradictions in the settings and the rows that concern upstreams.

Those in rows are looked for by `manage.py check --database default`, and by `migrate`. They are warnings: a row that
makes no sense must not keep anybody from upgrading.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004 (Django's name)
from django.db import DatabaseError

from registry import patterns
from registry.errors import Invalid
from sync import credentials, rules, upstreams
from sync.http import Refused
from sync.models import ScopeRule, Upstream


@register()
def upstream_url(**_: Any) -> Iterable[CheckMessage]:
    """`LARDER_UPSTREAM_URL` must be a URL that we can fetch from."""
    if settings.UPSTREAM_URL in ("", "none"):
        return
    parts = urlsplit(settings.UPSTREAM_URL)
    if parts.scheme not in ("http", "https") or not parts.hostname or not _has_good_port(parts):
        yield Error(
            f"LARDER_UPSTREAM_URL is {settings.UPSTREAM_URL!r}, which is no URL of a registry.",
            hint="Set it to http(s)://host[/path], or to none for a registry without upstream.",
            id="sync.E001",
        )
        return
    if upstreams.is_us(settings.UPSTREAM_URL):
        yield Error(
            f"LARDER_UPSTREAM_URL is {settings.UPSTREAM_URL}, which is this Larder: it would ask itself.",
            hint="Set it to another registry, or to none.",
            id="sync.E002",
        )


def _has_good_port(parts: SplitResult) -> bool:
    try:
        return parts.port != 0
    except ValueError:
        return False


@register()
def upstream_ca(**_: Any) -> Iterable[CheckMessage]:
    """`LARDER_UPSTREAM_CA` must be a file."""
    if settings.UPSTREAM_CA and not Path(settings.UPSTREAM_CA).is_file():
        yield Error(f"LARDER_UPSTREAM_CA names {settings.UPSTREAM_CA}, which is not a file.", id="sync.E003")


@register()
def node_dist_url(**_: Any) -> Iterable[CheckMessage]:
    """`LARDER_NODE_DIST_URL` must be a URL below which we can ask."""
    try:
        if settings.NODE_DIST_URL not in ("", "none"):
            upstreams.require_root(settings.NODE_DIST_URL)
    except Invalid as error:
        hint = "Set it to http(s)://host/path, or to none."
        yield Error(f"LARDER_NODE_DIST_URL: {error.sentence}.", hint=hint, id="sync.E005")


@register()
def sync_by(**_: Any) -> Iterable[CheckMessage]:
    """`LARDER_SYNC_BY` has three values."""
    if settings.SYNC_BY not in ("people", "everybody", "operators"):
        yield Error(f"LARDER_SYNC_BY is {settings.SYNC_BY!r}; it is people, everybody or operators.", id="sync.E004")


@register(Tags.database)
def rows(databases: Collection[str] | None = None, **_: Any) -> Iterable[CheckMessage]:
    """Rules and upstreams must have a chance to do what they say."""
    if not databases:
        return []
    try:
        found = list(Upstream.objects.order_by("name"))
        kept = list(ScopeRule.objects.select_related("upstream").order_by("pattern"))
        named = {rule.pattern: rules.names_of(rule) for rule in kept}
        return [*_about_rules(kept), *_about_upstreams(found, named)]
    except DatabaseError:  # the tables are about to be made, or changed
        return []


def _about_rules(kept: Iterable[ScopeRule]) -> Iterator[CheckMessage]:
    seen: dict[str, str] = {}
    for rule in kept:
        if not patterns.is_one(rule.pattern):
            yield Warning(f"The rule for {rule.pattern} fits no name at all: remove it.", id="sync.W010")
            continue
        pattern = patterns.canonical(rule.pattern)
        if pattern in seen:
            yield Warning(f"The rules for {seen[pattern]} and {rule.pattern} are about the same names.", id="sync.W011")
        seen[pattern] = rule.pattern
        if rule.mode in ScopeRule.FROM_UPSTREAMS and rules.is_in_private_scope(pattern):
            yield Warning(f"The rule for {rule.pattern} says {rule.mode}, but the scope is private.", id="sync.W012")


def _about_upstreams(found: Iterable[Upstream], named: Mapping[str, list[str]]) -> Iterator[CheckMessage]:
    for upstream in found:
        waiting = [pattern for pattern, names in named.items() if upstream.name in names]
        if waiting and not upstream.is_enabled:
            names = ", ".join(waiting)
            yield Warning(f"{upstream} is switched off, and the rules for {names} wait for it.", id="sync.W013")
        if upstream.credentials and urlsplit(upstream.url).scheme == "http" and not _is_loopback(upstream.url):
            yield Warning(f"The credentials of {upstream} travel in the clear.", hint="Use https.", id="sync.W014")
        try:
            credentials.authorization(upstream)
        except Refused as error:
            yield Warning(f"{error.sentence[0].upper()}{error.sentence[1:]}.", id="sync.W015")


def _is_loopback(url: str) -> bool:
    return urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")

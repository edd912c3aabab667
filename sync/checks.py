"""Contradictions in the settings that concern upstreams."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, register


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
    ours = {f"{settings.HOST}:{settings.PORT}", f"localhost:{settings.PORT}", urlsplit(settings.PUBLIC_URL).netloc}
    if parts.netloc in ours:
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

"""HTTP PURGE, which Varnish, nginx and Fastly understand: what we ship for `REGISTRY["CDN"]`."""

from collections.abc import Iterable
from urllib.parse import urlsplit

from django.conf import settings

from registry.errors import Unavailable
from sync.http import Origin, UpstreamError
from sync.kinds.registry import client

_NOT_THERE = 404


def purge(name: str, paths: Iterable[str]) -> None:
    """Ask each cache of `LARDER_CDN_URLS` to forget the paths; with none nothing is done.

    Each request says the package's tag besides, for a cache that forgets by tag. Raises `Unavailable`.
    """
    token = f"Bearer {settings.CDN_TOKEN}" if settings.CDN_TOKEN else None
    host, wanted = urlsplit(settings.PUBLIC_URL).netloc, list(paths) if settings.CDN_URLS else []
    headers = {"cache-tag": f"package/{name}"} | ({"host": host} if host else {})
    for cache in settings.CDN_URLS:
        origin = Origin.of(cache, token)
        for path in wanted:
            _purge(f"{cache}{path}", origin, headers)


def _purge(url: str, origin: Origin, headers: dict[str, str]) -> None:
    try:
        with client().get(url, origin=origin, headers=headers, method="PURGE") as response:
            if response.status >= 400 and response.status != _NOT_THERE:
                raise Unavailable(f"{response.shown} was not purged: {response.status} {response.reason}")
    except UpstreamError as error:
        raise Unavailable(f"{url} was not purged: {error.sentence}") from error

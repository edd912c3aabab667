"""Registries: npm's own protocol over HTTP, which cnpmcore, cnpmjs.org, Verdaccio and Larder speak too."""

from collections.abc import Mapping
from functools import lru_cache
from typing import ClassVar

from django.conf import settings

from registry.names import PackageName
from sync import credentials
from sync.http import Client, Origin, Response, Timeouts
from sync.models import Upstream


@lru_cache
def client() -> Client:
    """The one client of this process: its connections are pooled."""
    total = settings.UPSTREAM_TIMEOUT_SECONDS
    return Client(timeout=Timeouts(total=total), user_agent="larder", ca_file=settings.UPSTREAM_CA or None)


class Registry:
    """A registry, asked with the credentials that it wants."""

    query: ClassVar[str] = ""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    def packument(self, name: PackageName, conditions: Mapping[str, str]) -> Response:
        """Ask for the document."""
        url = f"{self._upstream.url}/{name.url}{self.query}"
        return self.get(url, {"accept": "application/json", **conditions})

    def tarball(self, url: str, timeout: Timeouts) -> Response:
        """Ask for the file as it is."""
        return self.get(url, {"accept-encoding": "identity"}, timeout)

    def get(self, url: str, headers: Mapping[str, str], timeout: Timeouts | None = None) -> Response:
        """Ask for any URL on behalf of this registry; only its own origin gets its credentials."""
        origin = Origin.of(self._upstream.url, credentials.authorization(self._upstream))
        return client().get(url, origin=origin, headers=headers, timeout=timeout)


class Cnpm(Registry):
    """cnpmcore, cnpmjs.org, Larder: mirrors ask for what publishers said, without what is mended for installs."""

    query = "?cache=0"

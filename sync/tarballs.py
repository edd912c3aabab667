"""Fetching the tarballs of versions, each verified against the integrity in its manifest."""

from django.conf import settings

from registry import manifests
from registry.digests import Integrity
from registry.errors import Unavailable
from registry.models import Blob, Version
from registry.upstream import Delivery
from sync import arriving, kinds, routing
from sync.arriving import Arrival
from sync.http import Timeouts
from sync.kinds import Reply
from sync.models import Upstream
from sync.threads import Threads

_threads = Threads(32, "tarball")


class Tarball(Arrival):
    """The tarball of a version, on its way."""

    limit = "LARDER_MAX_TARBALL_MB"

    def __init__(self, version: Version, upstream: Upstream) -> None:
        super().__init__(_key(version), f"the tarball of {version}", upstream)
        self._version = version
        self._source = upstream
        self._integrity: Integrity | None = None

    def kept(self) -> Blob | None:
        """The blob, when another process has fetched it by now.

        An equal one under another name is no reason not to fetch: a hash that an upstream names is no proof that it
        has those bytes, and they may be ones that not everybody may read.
        """
        version = Version.objects.select_related("blob").only("blob", "abbreviated").get(pk=self._version.pk)
        if version.blob is not None and version.blob.state == Blob.State.STORED:
            return version.blob
        self._integrity = _promised(version)
        return None

    def promised(self) -> Integrity | None:
        """The strongest promise of the manifest, as `kept` has read it."""
        return self._integrity

    def ask(self, timeout: Timeouts) -> Reply:
        """Ask the upstream, if the name may come from there."""
        routing.require(self._version.package.parsed_name, self._source)
        return kinds.source(self._source).tarball(self._version.source_url, timeout)

    def name(self, blob: Blob) -> None:
        """It is the version's, unless the upstream has said meanwhile that another one is."""
        version = Version.objects.select_for_update(no_key=True).only("abbreviated").get(pk=self._version.pk)
        if _promised(version) != self._integrity:
            raise Unavailable(f"the tarball of {self._version} was replaced while it came: try again")
        Version.objects.filter(pk=version.pk).update(blob=blob)

    def largest(self) -> int:
        """As large as one that is published here."""
        return settings.MAX_TARBALL_BYTES


def fetch(version: Version, upstream: Upstream) -> Delivery | Blob:
    """The tarball of `version`, joined in its fetch when one is under way. Raises `NotFound` or `Unavailable`."""
    return _join(version, upstream).result()


def fetch_whole(version: Version, upstream: Upstream) -> Blob:
    """The tarball of `version` when it is kept. Raises `NotFound` or `Unavailable`."""
    return _join(version, upstream).blob()


def _join(version: Version, upstream: Upstream) -> Arrival:
    return arriving.join(_key(version), lambda: Tarball(version, upstream), _threads)


def _promised(version: Version) -> Integrity | None:
    dist = manifests.parse(version.abbreviated).get("dist")
    return Integrity.of(dist) if isinstance(dist, dict) else None


def _key(version: Version) -> str:
    return f"tarball {version.pk}"

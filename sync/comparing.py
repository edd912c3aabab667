"""How what is here differs from what an old registry has, version by version, at this moment."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from django.conf import settings

from registry import jsontext, manifests
from registry.digests import Integrity
from registry.models import Blob, DistTag, Package, Version
from registry.names import PackageName
from sync import kinds, reading
from sync.http import Refused, UpstreamError
from sync.leases import Free
from sync.limits import Turns
from sync.models import Upstream

_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Difference:
    """One package, there and here. Numbers are versions."""

    name: str
    here: int = 0
    there: int = 0
    missing: list[str] = field(default_factory=list)  # there and not here
    only_here: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)  # with another integrity
    edited: list[str] = field(default_factory=list)  # the same tarball, and another manifest: deprecated there, say
    without_tarball: list[str] = field(default_factory=list)  # known here, and not fetched yet
    tags: list[str] = field(default_factory=list)  # that point elsewhere, or are only here or there
    owners: list[str] = field(default_factory=list)  # who is one only here or there
    error: str = ""

    @property
    def is_complete(self) -> bool:
        """Whether all that is there is here: what is only here is no reason to wait."""
        wrong = self.missing or self.differing or self.edited or self.without_tarball
        return not (wrong or self.tags or self.owners or self.error)

    def __str__(self) -> str:
        if self.error:
            return f"{self.name}: {self.error}"
        parts = [
            f"{len(numbers)} {word} ({', '.join(numbers[:3])}{', …' if len(numbers) > 3 else ''})"
            for word, numbers in (
                ("missing here", self.missing), ("only here", self.only_here), ("differing", self.differing),
                ("edited there", self.edited),
                ("without tarball", self.without_tarball), ("tags differing", self.tags),
                ("owners differing", self.owners),
            )
            if numbers
        ]  # fmt: skip
        return f"{self.name}: {self.there} there, {self.here} here{': ' if parts else ''}{'; '.join(parts)}"


def compare(names: Iterable[PackageName], upstream: Upstream) -> Iterator[Difference]:
    """Ask the upstream for each, several at once, and compare with the rows as they are then."""
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="compare") as threads:
        listed = list(names)
        for name, theirs in zip(listed, threads.map(lambda name: _ask(name, upstream), listed), strict=True):
            yield _difference(name, theirs, upstream)


@dataclass(frozen=True, slots=True)
class _Theirs:
    integrities: dict[str, Integrity | None]
    digests: dict[str, str]
    tags: dict[str, str]
    owners: frozenset[str] = frozenset()
    error: str = ""
    is_unknown: bool = False


def _ask(name: PackageName, upstream: Upstream) -> _Theirs:
    """No database here: this runs in threads."""
    try:
        with Turns(upstream, Free()).take(), kinds.source(upstream).packument(name, {}) as response:
            if response.status == 404:
                return _Theirs({}, {}, {}, is_unknown=True)
            if response.status != 200:
                raise Refused(f"{upstream} answered {response.status}")
            document = reading.read(response.read_all(settings.MAX_PACKUMENT_BYTES), str(name))
        versions = {number: _integrity(bytes(text)) for number, text in document.versions.items()}
    except (UpstreamError, reading.Unreadable) as error:
        return _Theirs({}, {}, {}, error=getattr(error, "sentence", str(error)))
    return _Theirs(versions, document.digests, document.tags, frozenset(reading.maintainers(document.head)))


def _integrity(text: bytes) -> Integrity | None:
    try:
        manifest = jsontext.decode(text)
    except ValueError:
        return None
    dist = manifest.get("dist") if isinstance(manifest, dict) else None
    return Integrity.of(dist) if isinstance(dist, dict) else None


def _difference(name: PackageName, theirs: _Theirs, upstream: Upstream) -> Difference:
    package = Package.objects.filter(name=str(name), unpublished_at=None).only("origin", "head").first()
    if theirs.is_unknown and package is not None and package.origin == upstream.name:
        why = f"{upstream} says that it has no such package: see whether its credentials still show it"
        return Difference(str(name), error=why)
    if theirs.error:
        return Difference(str(name), error=theirs.error)
    if package is not None and package.origin not in (None, upstream.name):
        return Difference(str(name), error=f"what is here came from {package.origin}: manage.py upstream move")
    rows = Version.objects.published().filter(package=package).select_related("blob").defer("manifest", "readme")
    ours = {row.number: row for row in rows} if package else {}
    tags = dict(DistTag.objects.filter(package=package).values_list("tag", "version__number")) if package else {}
    there = theirs.integrities
    both = [number for number in there if number in ours]
    differing = [number for number in both if _differs(there[number], ours[number])]
    pointing = _pointing(theirs)
    other = [number for number in both if theirs.digests[number] != ours[number].source_digest]
    return Difference(
        str(name),
        here=len(ours),
        there=len(there),
        missing=[number for number in there if number not in ours],
        only_here=[number for number in ours if number not in there],
        differing=differing,
        edited=[number for number in other if number not in differing],
        without_tarball=[number for number in both if not _is_stored(ours[number])],
        tags=sorted(tag for tag in {**tags, **pointing} if tags.get(tag) != pointing.get(tag)),
        owners=sorted(theirs.owners ^ set(reading.maintainers(jsontext.decode(package.head)))) if package else [],
    )


def _pointing(theirs: _Theirs) -> dict[str, str]:
    """Their tags, but for those that point at nothing."""
    return {tag: number for tag, number in theirs.tags.items() if number in theirs.integrities}


def _differs(theirs: Integrity | None, ours: Version) -> bool:
    """A tarball that is here has been verified against what its manifest says."""
    dist = manifests.parse(ours.abbreviated).get("dist")
    return theirs is not None and theirs != (Integrity.of(dist) if isinstance(dist, dict) else None)


def _is_stored(version: Version) -> bool:
    return version.blob is not None and version.blob.state == Blob.State.STORED

"""The read door: what a reader gets for a name. API, web pages and the front door all come through here.

`document` and `tarball` do everything that a read needs: ask elsewhere when what is here is old, look at the row, ask
the policies, build, keep. `ready` answers only from memory, and only what is certain.
"""

import logging
import time
from dataclasses import replace
from email.utils import formatdate

from django.conf import settings

from audit.actors import Actor
from registry import access, blobs, documents, flight, generation, policies, semver, upstream
from registry.cache import DocumentKey, FileKey, Ready, Ring
from registry.errors import Blocked, NotFound
from registry.manifests import BASE_MARK, Fragments
from registry.models import Blob, Package, Stamp, Version
from registry.names import PackageName
from registry.packuments import Flavour
from registry.policies import Judgement
from registry.upstream import Delivery

logger = logging.getLogger(__name__)

# Opening and sending a file costs more than sending bytes that are here, for tarballs up to about this size.
_SMALL_BYTES = 32 << 10

_ring = Ring(settings.RING_BYTES)


def document(
    name: PackageName, flavour: Flavour, *, encoding: str, base: str, viewer: Actor, is_raw: bool = False
) -> Ready:
    """The packument of `name`. Raises `Unauthenticated`, `NotFound`, `Blocked` or `Unavailable`.

    `is_raw`: as another mirror needs it, without what policies rewrite; what they hide is not in it either.
    """
    access.require_reader(viewer)
    until = upstream.elsewhere().refresh(name)
    key = DocumentKey(str(name), flavour, encoding, base, is_raw)
    while True:
        before = generation.current()
        try:
            entry = _current(key, name, viewer)
        except documents.Moved:
            continue
        entry.until = until
        entry.generation, entry.stamped_at = before, time.monotonic()
        return entry


def ready(key: DocumentKey | FileKey) -> Ready | None:
    """The response if it is in memory, for everybody, and certainly current, with at most one indexed query."""
    entry = _ring.get(key)
    if entry is None or entry.is_private or entry.is_due() or entry.is_outdated():
        return None
    if not entry.is_stamped():
        before = generation.current()
        stamp = Package.objects.stamp(entry.name)
        if stamp is None or stamp.revision != entry.revision:
            _ring.drop(key)
            return None
        entry.generation, entry.stamped_at = before, time.monotonic()
    return entry


def manifest(
    name: PackageName, spec: str, flavour: Flavour, *, base: str, viewer: Actor
) -> tuple[str, list[tuple[str, str]]]:
    """One version's manifest as JSON text, and what caches are told; `spec` is a version, a dist-tag or a range.

    A version that is not known here is looked for elsewhere before the answer is no.
    """
    access.require_reader(viewer)
    upstream.elsewhere().refresh(name)
    stamp, found = _pick(name, spec, viewer)
    if found is None:
        upstream.elsewhere().refresh(name, wanting=spec)
        stamp, found = _pick(name, spec, viewer)
    if found is None:
        raise NotFound(f"{name} has no version or tag {spec}")
    text = found.full if flavour is Flavour.FULL else found.abbreviated
    return text.replace(BASE_MARK, base), documents.caching(stamp, str(name), "public, max-age=0")


def find(name: PackageName, *, viewer: Actor) -> Stamp:
    """The stamp of a package that `viewer` may read, looked for elsewhere too."""
    access.require_reader(viewer)
    upstream.elsewhere().refresh(name)
    return _judged(name, viewer)[0]


def tags(name: PackageName, *, viewer: Actor) -> dict[str, str]:
    """The dist-tags of `name`, each pointing at a version that is served."""
    access.require_reader(viewer)
    upstream.elsewhere().refresh(name)
    stamp, judgement = _judged(name, viewer)
    return documents.read_tags(stamp.id, judgement.hidden.keys())


def tarball(name: PackageName, filename: str, *, viewer: Actor) -> Ready | Delivery:
    """The tarball: ready to be sent, or on its way here. Raises as `document` does."""
    access.require_reader(viewer)
    number = name.version_of(filename)
    if number is None:
        raise NotFound(f"{filename} is not a tarball of {name}: they are named {name.tarball('<version>')}")
    before = generation.current()
    version = _published(name, number) or _look_for(name, number, viewer)
    stamp = version.package.stamp
    access.require_read(viewer, name, stamp)
    judgement = _admitted(name, stamp)
    if number in judgement.refused:
        raise Blocked(f"{name}@{number} is withheld: {judgement.refused[number]}")
    blob = _kept_blob(version)
    if blob is None:
        found = upstream.elsewhere().tarball(version)
        if isinstance(found, Delivery):
            return replace(found, headers=tuple(documents.caching(stamp, str(name), documents.FOR_GOOD)))
        blob = found
    entry = _stored(name, stamp, judgement, blob)
    entry.generation, entry.stamped_at = before, time.monotonic()
    if entry.path is not None:
        _ring.put(FileKey(str(name), filename), entry)
    return entry


def other_tarball(name: PackageName, number: str, blob: Blob, *, viewer: Actor) -> Ready:
    """A tarball that stands in for a version's own, for whoever may have that one. Raises as `tarball` does.

    Caches before us ask for it each time: they are not told where it is when its version is withheld (`registry.cdn`).
    """
    stamp, judgement = _judged(name, viewer)
    if number in judgement.refused:
        raise Blocked(f"{name}@{number} is withheld: {judgement.refused[number]}")
    if not Version.objects.published().filter(package_id=stamp.id, number=number).exists():
        raise NotFound(f"{name}@{number} is not here any more")
    return _stored(name, stamp, judgement, blob, control="public, no-cache")


def forget() -> None:
    """Empty this process's memory of ready responses."""
    _ring.clear()


def _judged(name: PackageName, viewer: Actor) -> tuple[Stamp, Judgement]:
    stamp = Package.objects.stamp(str(name))
    if stamp is None:
        access.hide(name)
    access.require_read(viewer, name, stamp)
    return stamp, _admitted(name, stamp)


def _admitted(name: PackageName, stamp: Stamp) -> Judgement:
    judgement = policies.judge(str(name), stamp)
    if judgement.refused_whole:
        raise Blocked(judgement.refused_whole)
    return judgement


def _current(key: DocumentKey, name: PackageName, viewer: Actor) -> Ready:
    stamp, judgement = _judged(name, viewer)
    if key.is_raw:
        judgement = replace(judgement, rewritten={})
    entry = _kept(key, stamp)
    if entry is None:
        with flight.single(f"build {key}"):
            entry = _kept(key, stamp) or documents.build(key, stamp, judgement)
            _ring.put(key, entry)
    return entry


def _kept(key: DocumentKey, stamp: Stamp) -> Ready | None:
    entry = _ring.get(key)
    return entry if entry and entry.revision == stamp.revision and not entry.is_outdated() else None


def _published(name: PackageName, number: str) -> Version | None:
    rows = Version.objects.published().select_related("package", "blob")
    light = rows.defer("abbreviated", "readme", "package__head")
    return light.filter(package__name=str(name), package__unpublished_at=None, number=number).first()


def _kept_blob(version: Version) -> Blob | None:
    """The version's blob, if the store really has it: a disk may lose what a database remembers."""
    blob = version.blob
    if blob is None or blob.state != Blob.State.STORED:
        return None
    if blobs.holds(blob.sha512, blob.size):
        return blob
    logger.error("the blob store has lost the tarball of %s: %s", version, blob.sha512)
    Blob.objects.filter(pk=blob.pk).update(state=Blob.State.BAD)
    return None


def _look_for(name: PackageName, number: str, viewer: Actor) -> Version:
    """A version that is not known here: clients with a lockfile ask for tarballs before they ask for the document."""
    upstream.elsewhere().refresh(name, wanting=number)
    version = _published(name, number)
    if version is None:
        _judged(name, viewer)
        raise NotFound(f"{name} has no version {number}")
    return version


def _pick(name: PackageName, spec: str, viewer: Actor) -> tuple[Stamp, Fragments | None]:
    stamp, judgement = _judged(name, viewer)
    rows = Version.objects.published().filter(package_id=stamp.id)
    number = documents.read_tags(stamp.id, judgement.hidden.keys()).get(spec) or semver.clean(spec) or spec
    if semver.is_range(number) and not rows.filter(number=number).exists():
        visible = [one for one in rows.values_list("number", flat=True) if one not in judgement.hidden]
        number = semver.max_satisfying(visible, spec) or number
    if number in judgement.hidden:
        raise Blocked(f"{name}@{number} is withheld: {judgement.hidden[number]}")
    row = rows.filter(number=number).values_list("manifest", "abbreviated").first()
    return stamp, (judgement.rewritten.get(number, Fragments(*row)) if row else None)


def _stored(
    name: PackageName, stamp: Stamp, judgement: Judgement, blob: Blob, control: str = documents.FOR_GOOD
) -> Ready:
    modified = int(blob.stored_at.timestamp())
    etag = f'"{blob.sha512[:40]}"'
    headers = [
        ("Content-Type", "application/octet-stream"),
        ("Content-Length", str(blob.size)),
        ("ETag", etag),
        ("Last-Modified", formatdate(modified, usegmt=True)),
        ("Accept-Ranges", "bytes"),
        *documents.caching(stamp, str(name), control),
    ]
    path = blobs.path(blob.sha512)
    return Ready(
        str(name), stamp.revision, etag, modified, headers,
        body=path.read_bytes() if path and blob.size <= _SMALL_BYTES else b"",
        path=str(path) if path else None, sha512=blob.sha512,
        judged_until=judgement.until, is_private=documents.is_private(stamp),
    )  # fmt: skip

"""Tarballs whose package.json says what a rule has overridden.

npm 7 and later go by the document; yarn 1, pnpm up to 9 and npm 6 run the scripts of the tarball's own package.json
(peers: measured). For them a rule may have the tarball repacked: equal input makes equal bytes, it has a URL and an
integrity of its own, and nothing of the original changes. Until it is made, the document alone is overridden.
"""

import gzip
import io
import json
import posixpath
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from django.db import transaction

from audit import journal
from audit.actors import Actor
from bugversions import rewriting, values
from bugversions.events import TARBALL_REPACKED
from bugversions.models import BugVersion, Repacked
from registry import blobs, flight, jsontext, lifecycle, upstream
from registry.digests import Digests
from registry.errors import Invalid, RegistryError, TooLarge
from registry.models import Blob, Version
from registry.names import PackageName
from registry.tarballs import TarballLimits
from registry.upstream import Delivery

_CHUNK = 1 << 16
_PACKAGE_JSON, _BINDING = "package.json", "binding.gyp"
_PACKAGE_JSON_BYTES = 4 << 20
_OURS = Actor.system("bugversions")


def repack(name: str) -> int:
    """Make what the rules of a package want and there is not yet; returns how many tarballs that was.

    Raises what fetching an original raises, or `Invalid` and `TooLarge` for one that cannot be repacked.
    """
    count, failed = 0, list[RegistryError]()
    for rule in BugVersion.objects.in_force().filter(package=name, action="override", repack=True):
        for version in _versions(rule):
            try:
                count += _repack(rule, version)
            except RegistryError as error:  # one that cannot be repacked keeps no other from it
                failed.append(error)
    if failed:
        raise failed[0]
    return count


def find(name: PackageName, beginning: str, filename: str) -> Repacked | None:
    """The one at this place (`deciding.path_of`); also when its rule is gone: a lockfile may name it."""
    rows = Repacked.objects.select_related("blob").filter(package=str(name), number=name.version_of(filename))
    return rows.filter(blob__sha512__startswith=beginning).first()


def _versions(rule: BugVersion) -> Iterator[Version]:
    rows = Version.objects.published().filter(package__name=rule.package, package__unpublished_at=None)
    for version in rows.select_related("package", "blob").defer("manifest", "abbreviated", "readme", "package__head"):
        if values.matches(rule.versions, version.number):
            yield version


def _repack(rule: BugVersion, version: Version) -> bool:
    made = Repacked.objects.filter(package=rule.package, number=version.number).order_by("-pk")
    original = _original(version)
    newest = next((row for row in made if row.overrides == rule.overrides), None)
    if newest is not None and newest.original == original.sha512:
        return False
    with tempfile.NamedTemporaryFile(dir=blobs.spool_folder(), delete=False) as spool:
        path = Path(spool.name)
    try:
        with blobs.read(original.sha512) as source, path.open("wb") as target:
            rewrite(source, target, rule.overrides)
        digests = _digests(path)
        with flight.single(f"blob {digests.sha512}"):
            blobs.put(path, digests.sha512)
            _record(rule, version, original, digests)
    finally:
        path.unlink(missing_ok=True)
    return True


def _original(version: Version) -> Blob:
    """The version's own tarball, fetched if it is not here."""
    if version.blob is not None and blobs.holds(version.blob.sha512, version.blob.size):
        return version.blob
    found = upstream.elsewhere().tarball(version)
    if isinstance(found, Delivery):
        for _ in found.chunks:
            pass
        version.refresh_from_db(fields=["blob"])
        found = version.blob  # type: ignore[assignment]  # it was kept before its last bytes were given
    assert isinstance(found, Blob)  # noqa: S101
    return found


def _record(rule: BugVersion, version: Version, original: Blob, digests: Digests) -> None:
    with transaction.atomic():
        blob = Blob.objects.keep(sha512=digests.sha512, sha1=digests.sha1, size=digests.size)
        facts = {"blob": blob, "original": original.sha512, "overrides": rule.overrides}
        Repacked.objects.create(package=rule.package, number=version.number, **facts)
        lifecycle.touch_all([rule.package], actor=_OURS)
        subject = f"package:{rule.package}"
        journal.record(TARBALL_REPACKED, subject, actor=_OURS, version=version.number, sha512=digests.sha512)


def _digests(path: Path) -> Digests:
    digests = Digests()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digests.update(chunk)
    return digests


def rewrite(source: IO[bytes], target: IO[bytes], overrides: dict[str, Any]) -> None:
    """Copy a tarball with another package.json. Only files come along, as npm installs no more than those.

    Raises `Invalid` for what is no tarball, or has its package.json under a name that clients read differently.
    """
    try:
        found = _copy_all(source, target, overrides)
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise Invalid(f"the tarball cannot be read: {error}") from error
    if not found:
        raise Invalid("the tarball has no package.json")


def _copy_all(source: IO[bytes], target: IO[bytes], overrides: dict[str, Any]) -> bool:
    """Returns whether there was a package.json."""
    found = False
    is_quiet = _is_quiet(source, overrides)
    with (
        tarfile.open(fileobj=source, mode="r|gz") as theirs,
        gzip.GzipFile(filename="", mode="wb", fileobj=target, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as ours,
    ):
        for member in _within_limits(theirs):
            content = theirs.extractfile(member) if member.isreg() else None
            if content is not None:
                if is_quiet and _is_at_top(member.name, _BINDING):
                    continue
                found |= _is_package_json(member.name)
                _copy(member, content, ours, overrides)
    return found


def _within_limits(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    limits, total = TarballLimits(), 0
    for count, member in enumerate(archive):
        total += member.size
        if count >= limits.entries or total > limits.unpacked_bytes:
            raise TooLarge("the tarball unfolds to more than is repacked")
        yield member


def _is_quiet(source: IO[bytes], overrides: dict[str, Any]) -> bool:
    """Whether nothing is to run when it is installed: then binding.gyp stays away too.

    npm 6 to 9, pnpm and yarn 1 start node-gyp for that file whatever `gypfile` says (measured).
    """
    with tarfile.open(fileobj=source, mode="r|gz") as theirs:
        for member in _within_limits(theirs):
            content = theirs.extractfile(member) if member.isreg() and _is_package_json(member.name) else None
            if content is not None and member.size <= _PACKAGE_JSON_BYTES:
                found = _overridden(content.read(), overrides).get("gypfile") is False
                break
        else:
            found = False
    source.seek(0)
    return found


def _is_package_json(path: str) -> bool:
    """Whether it is the one that counts. npm takes off the first folder, other clients tidy the path first."""
    plain = path.partition("/")[2] == _PACKAGE_JSON
    if not plain and _is_at_top(path, _PACKAGE_JSON):
        raise Invalid(f"its package.json is called {path[:80]!r}, which clients read differently")
    return plain


def _is_at_top(path: str, file: str) -> bool:
    tidy = posixpath.normpath(path.replace("\\", "/")).lower()
    return tidy.count("/") <= 1 and posixpath.basename(tidy) == file


def _copy(member: tarfile.TarInfo, content: IO[bytes], ours: tarfile.TarFile, overrides: dict[str, Any]) -> None:
    entry = tarfile.TarInfo(member.name)
    entry.mode, entry.mtime = 0o755 if member.mode & 0o100 else 0o644, 499162500  # as npm pack has it
    if not _is_package_json(member.name):
        entry.size = member.size
        ours.addfile(entry, content)
        return
    if member.size > _PACKAGE_JSON_BYTES:
        raise Invalid("its package.json is too large to be repacked")
    text = json.dumps(_overridden(content.read(), overrides), indent=2).encode()
    entry.size = len(text)
    ours.addfile(entry, io.BytesIO(text))


def _overridden(text: bytes, overrides: dict[str, Any]) -> dict[str, Any]:
    try:
        theirs = jsontext.decode(text.removeprefix(b"\xef\xbb\xbf"))
    except ValueError as error:
        raise Invalid(f"its package.json cannot be read: {error}") from error
    if not isinstance(theirs, dict):
        raise Invalid("its package.json is no object")
    return rewriting.package_json(theirs, overrides)

"""A folder of tarballs, read as if it were a registry: whatever lies in it or below it is published.

Files are named as npm packs them, `left-pad-1.0.0.tgz` and `acme-tools-1.0.0.tgz`, or as Verdaccio keeps them, without
the scope. What they hold says their package.json. Nothing is kept between two questions: the ETag stands for the
names, sizes and times of the files, so that a package whose files are the same costs a look at the folder.
"""

import hashlib
import io
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Self
from urllib.parse import unquote, urlsplit

from registry import jsontext, lifecycle, manifests, packuments, semver, tarballs
from registry.digests import Digests
from registry.errors import RegistryError
from registry.names import PackageName
from sync.http import Timeouts, TooLarge, Unreachable
from sync.models import Upstream

logger = logging.getLogger(__name__)


class FileReply:
    """What a server of the folder would answer."""

    def __init__(self, status: int, body: BinaryIO | None = None, etag: str = "", length: int | None = None) -> None:
        self.status = status
        self.headers: Mapping[str, str] = {"etag": etag} if etag else {}
        self.content_length = length
        self._body = body or io.BytesIO()

    def stream(self, chunk: int = 65536) -> Iterator[bytes]:
        """Give the file, at most `chunk` bytes at a time."""
        while data := self._body.read(chunk):
            yield data

    def read_all(self, max_bytes: int) -> bytes:
        """The whole, when it is no larger than that."""
        body = self._body.read(max_bytes + 1)
        if len(body) > max_bytes:
            raise TooLarge(f"the document is larger than {max_bytes} bytes")
        return body

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._body.close()


class Folder:
    """An upstream whose URL is `file:///…`."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._root = Path(unquote(urlsplit(upstream.url).path)).resolve()

    def packument(self, name: PackageName, conditions: Mapping[str, str]) -> FileReply:
        """Join the document from the tarballs of `name`."""
        try:
            files = self._files_of(name)
            etag = _etag(files)
        except OSError as error:
            raise Unreachable(f"{self._root} cannot be read: {error.strerror}") from error
        if conditions.get("if-none-match") == etag:
            return FileReply(304, etag=etag)
        versions = _versions(name, files)
        if not versions:
            return FileReply(404)
        body = jsontext.encode(_document(name, versions)).encode(errors="surrogatepass")
        return FileReply(200, io.BytesIO(body), etag, len(body))

    def tarball(self, url: str, _timeout: Timeouts) -> FileReply:
        """Open the file, if it is one of this folder's: the URL may come from another upstream's document."""
        parts = urlsplit(url)
        path = Path(unquote(parts.path)).resolve()
        if parts.scheme != "file" or not path.is_relative_to(self._root) or not path.is_file():
            return FileReply(404)
        try:
            return FileReply(200, path.open("rb"), length=path.stat().st_size)
        except OSError as error:
            raise Unreachable(f"{path} cannot be read: {error.strerror}") from error

    def _files_of(self, name: PackageName) -> list[Path]:
        """The tarballs that may be the package's, by their file names."""
        if not self._root.is_dir():  # a share that is not mounted now must not look like one that lost all packages
            raise Unreachable(f"{self._root} is not a folder on this machine")
        spellings = [name, PackageName("", f"{name.scope[1:]}-{name.base}")] if name.scope else [name]
        return sorted(
            path
            for path in self._root.rglob("*.tgz")
            if any(_is_version(spelling.version_of(path.name)) for spelling in spellings) and path.is_file()
        )


def _is_version(text: str | None) -> bool:
    return text is not None and semver.clean(text) is not None


def _etag(files: Sequence[Path]) -> str:
    state = [(str(path), stat.st_size, stat.st_mtime_ns) for path in files if (stat := path.stat())]
    return f'"{hashlib.blake2b(repr(state).encode(errors="replace"), digest_size=16).hexdigest()}"'


@dataclass(frozen=True, slots=True)
class _Packed:
    """One version, as its tarball tells it."""

    manifest: dict[str, Any]
    readme: str | None
    changed_at: str


def _versions(name: PackageName, files: Sequence[Path]) -> dict[str, _Packed]:
    """What the tarballs hold, by version. One that is broken, or another package's, cannot spoil the others."""
    found: dict[str, _Packed] = {}
    for path in files:
        try:
            packed = _unpacked(name, path)
        except (RegistryError, OSError) as error:
            logger.warning("%s is left out: %s", path, error)
            continue
        if packed is not None:
            found.setdefault(packed.manifest["version"], packed)
    return found


def _unpacked(name: PackageName, path: Path) -> _Packed | None:
    digests = Digests()
    with path.open("rb") as file:
        changed_at = datetime.fromtimestamp(os.fstat(file.fileno()).st_mtime, UTC)
        report = tarballs.inspect(file, tarballs.TarballLimits())
        file.seek(0)
        while chunk := file.read(1 << 20):
            digests.update(chunk)
    number = semver.clean(str(report.package_json.get("version")))
    if report.package_json.get("name") != str(name) or number is None:
        return None
    commands = manifests.commands(report.package_json.get("bin"), name.base)
    manifest = {
        **report.package_json,
        "version": number,
        "_id": f"{name}@{number}",
        **({"bin": commands} if commands else {}),
        **({"hasInstallScript": True} if report.has_install_script else {}),
        "dist": {
            "integrity": digests.integrity,
            "shasum": digests.sha1,
            "tarball": path.as_uri(),
            "fileCount": report.entries,
            "unpackedSize": report.unpacked_size,
        },
    }
    return _Packed(manifest, report.readme, lifecycle.moment(changed_at))


def _document(name: PackageName, versions: Mapping[str, _Packed]) -> dict[str, Any]:
    latest = semver.highest(versions)
    times = {number: packed.changed_at for number, packed in versions.items()}
    head = {
        "_id": str(name),
        "name": str(name),
        "dist-tags": {"latest": latest},
        "versions": {number: packed.manifest for number, packed in versions.items()},
        "time": {"created": min(times.values()), "modified": max(times.values()), **times},
    }
    shown = versions[latest] if latest else None
    return packuments.hoist(head, {**shown.manifest, "readme": shown.readme}) if shown else head

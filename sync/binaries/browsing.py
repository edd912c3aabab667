"""What a reader gets for a path below `/-/binary/`: a file, one on its way, or a list of what there is.

Each category is served twice: under its name as it is upstream, and with `-safe` behind its name as if the versions
that are unsafe (the socket `registry.safety`) had never been released: no index and no list names them, and `latest` or
`latest-v22.x` is the newest that is safe. Whoever asks there for an exact file of an unsafe version is told why not,
and which version to take instead; nobody is given other bytes than those that were asked for.
"""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache

from django.conf import settings

from audit.actors import Actor
from registry import access, blobs, generation, safety
from registry.cache import Ready
from registry.errors import Blocked, NotFound
from registry.models import Blob
from registry.upstream import Delivery
from sync.binaries import categories, documents, files, layouts
from sync.binaries.layouts import Index, Release
from sync.models import BinaryCategory, BinaryFile

_TYPES = {".json": "application/json", ".tab": "text/plain", ".txt": "text/plain", ".asc": "text/plain"}
FOR_GOOD = "public, immutable, max-age=31536000"
FOR_NOW = "public, max-age=0"
_UNDATED = 1 << 62  # later than any date that a client may have


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a list. Paths of folders end with a slash; `size` is in bytes, and None while nobody knows."""

    path: str
    date: str = ""
    size: int | None = None

    @property
    def is_folder(self) -> bool:
        """Whether there is more below it."""
        return self.path.endswith("/")


@dataclass(frozen=True, slots=True)
class Listing:
    """What there is in a folder of a category."""

    category: BinaryCategory
    entries: Sequence[Entry]


@dataclass(frozen=True, slots=True)
class View:
    """A category as one reader sees it."""

    category: BinaryCategory
    is_safe: bool

    def index(self) -> Index:
        """The releases that are listed."""
        index = documents.index(self.category)
        if not self.is_safe:
            return index
        return _safe_part(index, self.category.layout, generation.current(), int(time.monotonic()))

    def release(self, folder: str) -> Release:
        """The release that is called so. Raises `NotFound`, and `Blocked` when it is not to be used."""
        everything = documents.index(self.category, wanting=folder)
        release = self.index().find(folder) or everything.find(folder)
        if release is None:
            raise NotFound(f"{self.category} has no release {folder[:100]}")
        self.require_safe(release.version)
        return release

    def require_safe(self, version: str) -> None:
        """Raise `Blocked` for a version that is not to be used, where that matters."""
        advice = safety.versions().unsafe(self.category.layout, version) if self.is_safe else None
        if advice is not None:
            named = f"{self.category.layout} {version}"
            raise Blocked(f"{named} is unsafe: {advice.reason}. Use {advice.safe} in its place")


@lru_cache(maxsize=4)
def _safe_part(index: Index, program: str, generation: int, second: int) -> Index:
    """The releases that are not unsafe, made once for each second in which nothing was committed on this host.

    Who lays out its releases as Node does (`program`) releases Node, under whatever name and from wherever.
    """
    known = safety.versions()
    return index.without(folder for folder, one in index.releases.items() if known.unsafe(program, one.version))


def mirrored(viewer: Actor) -> list[BinaryCategory]:
    """All categories, by name. Raises `Unauthenticated`."""
    access.require_reader(viewer)
    return categories.listed()


def read(name: str, path: str, *, viewer: Actor) -> Listing | Ready | Delivery:
    """What is at `path` of the category that is served as `name`.

    Raises `Unauthenticated`, `NotFound`, `Blocked` or `Unavailable`.
    """
    access.require_reader(viewer)
    view = View(*categories.find(name))
    above, _, below = path.partition("/")
    path = below if above == layouts.ROOT else path
    plain = path.rstrip("/")
    if not plain:
        return Listing(view.category, _root(view))
    if not layouts.is_path(plain):
        raise NotFound(f"{view.category} has no such path")
    if plain in layouts.INDEXES:
        return _index(view, plain)
    called, _, file = plain.partition("/")
    kept = _kept(view, called, file)
    if kept is not None:
        return kept
    release = view.release(called)
    if not file or (path.endswith("/") and _is_folder(view, release, file)):
        return Listing(view.category, _folder(view, release, file))
    is_exact = called == release.folder
    if _is_document(file):
        path = f"{release.folder}/{file}"
        return _document(view.category, path, documents.text(view.category, path), is_dated=is_exact)
    found = files.fetch(view.category, release.folder, file)
    return found if isinstance(found, Delivery) else _file(view, file, found, is_exact=is_exact)


# --- Files ------------------------------------------------------------------------------------------------------------


def _kept(view: View, folder: str, file: str) -> Ready | None:
    """A file of a release that is here. Nobody need be asked about it: it does not change."""
    if not file or not layouts.is_release(folder) or _is_document(file):
        return None
    row = documents.find(view.category, f"{folder}/{file}")
    if row is None or row.blob is None:
        return None
    view.require_safe(folder.removeprefix("v"))
    return _file(view, file, row.blob, is_exact=True)


def _is_document(file: str) -> bool:
    return file == layouts.CHECKSUMS or file in layouts.SIGNATURES


def _index(view: View, path: str) -> Ready:
    text = documents.text(view.category, path)
    if view.is_safe:
        text = _rewritten(path, text, view.index())
    return _document(view.category, path, text, is_dated=not view.is_safe)


@lru_cache(maxsize=4)
def _rewritten(path: str, text: bytes, index: Index) -> bytes:
    """An index with the releases of another one only."""
    write = layouts.index_of if path == "index.json" else layouts.table_of
    return write(text, index.releases)


def _document(category: BinaryCategory, path: str, text: bytes, *, is_dated: bool) -> Ready:
    """A small file. What changes with something else than itself has no date: only its ETag tells it from before."""
    row = documents.find(category, path)
    moment = int(row.blob.stored_at.timestamp()) if is_dated and row and row.blob else _UNDATED
    etag = f'"{hashlib.sha256(text).hexdigest()[:40]}"'
    return Ready(str(category), 0, etag, moment, _headers(category, path, len(text), etag, moment), body=text)


def _file(view: View, path: str, blob: Blob, *, is_exact: bool) -> Ready:
    moment = int(blob.stored_at.timestamp()) if is_exact else _UNDATED
    etag = f'"{blob.sha512[:40]}"'
    control = FOR_GOOD if is_exact and not view.is_safe else FOR_NOW
    headers = _headers(view.category, path, blob.size, etag, moment, control)
    where = blobs.path(blob.sha512)
    return Ready(
        str(view.category), 0, etag, moment, [*headers, ("Accept-Ranges", "bytes")],
        path=str(where) if where else None, sha512=blob.sha512,
    )  # fmt: skip


def _headers(
    category: BinaryCategory, path: str, size: int, etag: str, moment: int, control: str = FOR_NOW
) -> list[tuple[str, str]]:
    suffix = path[path.rfind(".") :]
    return [
        ("Content-Type", _TYPES.get(suffix, "application/octet-stream")),
        ("Content-Length", str(size)),
        ("ETag", etag),
        *([("Last-Modified", formatdate(moment, usegmt=True))] if moment < _UNDATED else []),
        ("Cache-Control", control if settings.ANONYMOUS_READ else "private, no-store"),
        ("Cache-Tag", f"binary/{category}"),
    ]


# --- Lists ------------------------------------------------------------------------------------------------------------


def _root(view: View) -> list[Entry]:
    index = view.index()
    folders = [Entry(f"{release.folder}/", release.date) for release in index.releases.values()]
    aliases = [Entry(f"{alias}/", release.date) for alias, release in index.aliases.items()]
    return [*folders, *aliases, *(Entry(path) for path in layouts.INDEXES)]


def _is_folder(view: View, release: Release, path: str) -> bool:
    listed = documents.checksums(view.category, release.folder)
    return path not in listed and any(file.startswith(f"{path}/") for file in listed)


def _folder(view: View, release: Release, path: str) -> list[Entry]:
    """What is directly in a folder of a release, as its list of checksums has it."""
    below = f"{path}/" if path else ""
    listed = documents.checksums(view.category, release.folder)
    inside = [file.removeprefix(below) for file in listed if file.startswith(below)]
    folders = dict.fromkeys(file.partition("/")[0] + "/" for file in inside if "/" in file)
    names = [file for file in inside if "/" not in file]
    if not path:
        names += [layouts.CHECKSUMS, *layouts.SIGNATURES]
    sizes = _sizes(view.category, f"{release.folder}/{below}")
    at = f"{release.folder}/{below}"
    return [
        *(Entry(f"{at}{folder}", release.date) for folder in folders),
        *(Entry(f"{at}{file}", release.date, sizes.get(f"{at}{file}")) for file in names),
    ]


def _sizes(category: BinaryCategory, below: str) -> dict[str, int]:
    rows = BinaryFile.objects.filter(category=category, path__startswith=below).exclude(blob=None)
    return dict(rows.values_list("path", "blob__size"))

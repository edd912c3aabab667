"""The files of a release: streamed to readers while they are verified against its list of checksums, and kept."""

from django.conf import settings
from django.utils import timezone

from registry.digests import Integrity
from registry.errors import NotFound
from registry.models import Blob
from registry.upstream import Delivery
from sync import arriving
from sync.arriving import Arrival
from sync.binaries import documents, layouts
from sync.http import Timeouts
from sync.kinds import Reply
from sync.models import BinaryCategory, BinaryFile
from sync.threads import Threads

_threads = Threads(16, "binary")


class Binary(Arrival):
    """A file of a release, on its way."""

    limit = "LARDER_MAX_BINARY_MB"

    def __init__(self, category: BinaryCategory, path: str, sha256: bytes) -> None:
        super().__init__(_key(category, path), path, category)
        self._category = category
        self._path = path
        self._sha256 = sha256

    def kept(self) -> Blob | None:
        """The blob, when another process has fetched it by now."""
        row = documents.find(self._category, self._path)
        return row.blob if row else None

    def promised(self) -> Integrity | None:
        """What the list of checksums says."""
        return Integrity("sha256", frozenset([self._sha256]))

    def ask(self, timeout: Timeouts) -> Reply:
        """Ask for the file as it is."""
        documents.require_rested(self._category, self._path)
        return documents.get(self._category, self._path, {"accept-encoding": "identity"}, timeout=timeout)

    def name(self, blob: Blob) -> None:
        """It is the file's."""
        facts = {"blob": blob, "checked_at": timezone.now(), "refusal": ""}
        BinaryFile.objects.update_or_create(category=self._category, path=self._path, defaults=facts)

    def largest(self) -> int:
        """More than a tarball: there are installers among them."""
        return settings.MAX_BINARY_BYTES


def fetch(category: BinaryCategory, folder: str, file: str) -> Delivery | Blob:
    """A file of a release, from here or on its way. Raises `NotFound` or `Unavailable`.

    What the list of checksums does not name cannot be verified, and is not served.
    """
    sha256 = documents.checksums(category, folder, wanting=file).get(file)
    if sha256 is None:
        raise NotFound(f"{folder}/{layouts.CHECKSUMS} of {category} does not list {file}")
    path = f"{folder}/{file}"
    row = documents.find(category, path)
    if row is not None and row.blob is not None:
        return row.blob
    return arriving.join(_key(category, path), lambda: Binary(category, path, sha256), _threads).result()


def _key(category: BinaryCategory, path: str) -> str:
    return f"binary {category.pk} {path}"

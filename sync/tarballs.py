"""Fetching tarballs: to a spool file, verified as they come, into the blob store; readers follow the file as it grows.

A fetch runs in a thread of its own at the upstream's speed, not at that of the reader who asked first. The last bytes
are given to readers only when the whole has its integrity, so that a bad tarball is never ended as if it were good.
"""

import errno
import logging
import math
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from django.conf import settings
from django.db import transaction

from registry import blobs, flight, manifests
from registry.digests import Checker, Digests, Integrity
from registry.errors import NotFound, RegistryError, Unavailable
from registry.models import Blob, Version
from registry.upstream import Delivery
from sync import breaker, kinds, routing
from sync.http import USUAL, ForbiddenTarget, Timeouts, TooLarge, UpstreamError
from sync.kinds import Reply
from sync.models import Upstream
from sync.threads import Threads, waiting

logger = logging.getLogger(__name__)

_CHUNK = 256 << 10
_HELD_BACK = 4 << 10
# One that fits in here is answered when it is whole: then the reader gets a length, validators and a clear error.
_SMALL = 256 << 10

_threads = Threads(32, "tarball")
_guard = threading.Lock()
_turn = threading.Lock()  # SQLite lets one write at a time, and makes the others wait longer than they need
_fetches: dict[int, "Fetch"] = {}


class BrokenDelivery(ConnectionResetError):
    """The rest of a tarball cannot be sent. As an OSError of the connection it makes the server close it."""

    def __init__(self, sentence: str) -> None:
        super().__init__(errno.ECONNRESET, sentence)


class NotTaken(Unavailable):
    """We do not take this tarball, however often it is asked for: it is too large, or where we do not go."""


class NotGiven(Unavailable):
    """The upstream answered, but with something else than the tarball."""


class Fetch:
    """One tarball on its way."""

    def __init__(self, version: Version, upstream: Upstream) -> None:
        self._version = version
        self._upstream = upstream
        self._integrity: Integrity | None = None
        self._changed = threading.Condition()
        self._file: Path | None = None
        self._size: int | None = None
        self._written = 0
        self._blob: Blob | None = None
        self._error: RegistryError | None = None

    def run(self) -> None:
        """Fetch, verify and keep. Whatever happens, readers are told."""
        try:
            self._tell(blob=self._obtain())
        except RegistryError as error:
            self._tell(error=error)
        except Exception:
            logger.exception("%s could not be kept", self._version)
            self._tell(error=Unavailable(f"the tarball of {self._version} could not be kept; the log says why"))

    def result(self) -> Delivery | Blob:
        """What the reader gets: the blob when it is small or here by now, else the bytes while they come."""
        with self._changed:
            patience = settings.UPSTREAM_TIMEOUT_SECONDS
            with waiting.take():
                self._changed.wait_for(lambda: self._is_over() or (self._file and (self._size or 0) > _SMALL), patience)
            if not self._is_over() and self._file is None:
                raise Unavailable(f"{self._upstream} is slow with the tarball of {self._version}: try again")
            if self._file is None or self._size is None:
                return self._outcome()
            return Delivery(self._size, self._follow(self._file.open("rb"), self._size))

    def blob(self) -> Blob:
        """The blob, when the whole is kept."""
        with self._changed:
            self._changed.wait_for(self._is_over)
            return self._outcome()

    def _outcome(self) -> Blob:
        if self._blob is None:
            raise self._error or Unavailable(f"the tarball of {self._version} is not coming")
        return self._blob

    def _follow(self, file: IO[bytes], size: int) -> Iterator[bytes]:
        sent = 0
        with file:
            while sent < size:
                with self._changed:
                    self._changed.wait_for(lambda: self._is_over() or self._written - _HELD_BACK > sent)  # noqa: B023
                    if self._error is not None:
                        raise BrokenDelivery(self._error.sentence)
                    given = size if self._blob is not None else self._written - _HELD_BACK
                chunk = file.read(min(_CHUNK, given - sent))
                if not chunk:
                    raise BrokenDelivery(f"the tarball of {self._version} ended early")
                sent += len(chunk)
                yield chunk

    def _is_over(self) -> bool:
        return self._blob is not None or self._error is not None

    def _tell(self, *, blob: Blob | None = None, error: RegistryError | None = None) -> None:
        with _guard:
            _fetches.pop(self._version.pk, None)
        with self._changed:
            self._blob, self._error = blob, error
            self._changed.notify_all()

    def _obtain(self) -> Blob:
        try:
            with flight.single(f"tarball {self._version.pk}"):
                return self._kept_already() or self._fetch()
        except UpstreamError as error:
            logger.warning("%s could not be fetched: %s", self._version, error.sentence)
            if isinstance(error, TooLarge | ForbiddenTarget):
                raise NotTaken(error.sentence) from error
            breaker.failed(self._upstream, error)
            raise Unavailable(error.sentence, retry_after=math.ceil(error.retry_after or 5)) from error

    def _kept_already(self) -> Blob | None:
        """The blob, when another process has fetched it by now, or an equal tarball is here under another name."""
        version = Version.objects.select_related("blob").only("blob", "abbreviated").get(pk=self._version.pk)
        if version.blob is not None and version.blob.state == Blob.State.STORED:
            return version.blob
        dist = manifests.parse(version.abbreviated).get("dist")
        self._integrity = Integrity.of(dist) if isinstance(dist, dict) else None
        sha512 = self._integrity.sha512_hex if self._integrity else None
        blob = Blob.objects.stored().filter(sha512=sha512).first() if sha512 else None
        if blob is not None:
            Version.objects.filter(pk=self._version.pk).update(blob=blob)
        return blob

    def _fetch(self) -> Blob:
        if rest := breaker.resting(self._upstream):
            why = f"{self._upstream} cannot be asked now ({self._upstream.last_error})"
            raise Unavailable(f"the tarball of {self._version} is not here, and {why}", retry_after=math.ceil(rest))
        routing.require(self._version.package.parsed_name, self._upstream)
        # The next piece of a large tarball may not be long in coming; all of them together may.
        timeout = Timeouts(
            read=min(USUAL.read, settings.UPSTREAM_TIMEOUT_SECONDS), total=settings.TARBALL_TIMEOUT_SECONDS
        )
        with kinds.source(self._upstream).tarball(self._version.source_url, timeout) as response:
            if response.status in (404, 410):
                raise NotFound(f"{self._upstream} has no tarball of {self._version}")
            if response.status != 200:
                raise NotGiven(f"{self._upstream} answered {response.status} for the tarball of {self._version}")
            return self._keep(response)

    def _keep(self, response: Reply) -> Blob:
        checker = self._integrity.checker() if self._integrity else None
        digests = Digests()
        with tempfile.NamedTemporaryFile(dir=blobs.spool_folder(), suffix=".fetch", delete=False) as file:
            path = Path(file.name)
            try:
                self._receive(response, path, file, [digests, checker] if checker else [digests])
                if checker and not checker.matches():
                    raise NotGiven(
                        f"{self._upstream} sent a tarball of {self._version} that does not have its integrity"
                    )
                return self._put_away(path, digests)
            finally:
                path.unlink(missing_ok=True)

    def _receive(self, response: Reply, path: Path, file: IO[bytes], listeners: Sequence[Digests | Checker]) -> None:
        self._begin(path, response.content_length)
        try:
            for chunk in response.stream(_CHUNK):
                file.write(chunk)
                file.flush()
                for listener in listeners:
                    listener.update(chunk)
                self._progress(len(chunk))
        finally:
            self._end()

    def _begin(self, path: Path, size: int | None) -> None:
        if size is not None and size > settings.MAX_TARBALL_BYTES:
            raise NotTaken(f"the tarball of {self._version} is larger than LARDER_MAX_TARBALL_MB allows")
        with self._changed:
            self._file, self._size = path, size
            self._changed.notify_all()

    def _progress(self, size: int) -> None:
        if self._written + size > settings.MAX_TARBALL_BYTES:
            raise NotTaken(f"the tarball of {self._version} is larger than LARDER_MAX_TARBALL_MB allows")
        with self._changed:
            self._written += size
            self._changed.notify_all()

    def _end(self) -> None:
        """Let no more readers open the file: it will be moved or removed. They wait until all is over."""
        with self._changed:
            self._file = None

    def _put_away(self, path: Path, digests: Digests) -> Blob:
        with flight.single(f"blob {digests.sha512}"):  # the janitor takes no blob that is on its way to a name
            blobs.put(path, digests.sha512, is_only_copy=False)
            return self._record(digests)

    def _record(self, digests: Digests) -> Blob:
        with _turn, transaction.atomic():
            blob = Blob.objects.keep(sha512=digests.sha512, sha1=digests.sha1, size=digests.size)
            Version.objects.filter(pk=self._version.pk).update(blob=blob)
        breaker.succeeded(self._upstream)
        return blob


def fetch(version: Version, upstream: Upstream) -> Delivery | Blob:
    """The tarball of `version`, joined in its fetch when one is under way. Raises `NotFound` or `Unavailable`."""
    return _join(version, upstream).result()


def fetch_whole(version: Version, upstream: Upstream) -> Blob:
    """The tarball of `version` when it is kept. Raises `NotFound` or `Unavailable`."""
    return _join(version, upstream).blob()


def _join(version: Version, upstream: Upstream) -> Fetch:
    with _guard:
        found = _fetches.get(version.pk)
        if found is None:
            found = _fetches[version.pk] = Fetch(version, upstream)
            _threads.submit(found.run)
    return found

"""Files on their way: to a spool file, verified as they come, into the blob store; readers follow the file as it grows.

A fetch runs in a thread of its own at the upstream's speed, not at that of the reader who asked first. The last bytes
are given to readers only when the whole is what was promised, so that a bad file is never ended as if it were good.
What a file is, where it is asked for and who names its blob is decided by those who build on `Arrival`.
"""

import errno
import logging
import math
import tempfile
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, ClassVar

from django.conf import settings
from django.db import transaction

from registry import blobs, flight
from registry.digests import Checker, Digests, Integrity
from registry.errors import NotFound, RegistryError, Unavailable
from registry.models import Blob
from registry.upstream import Delivery
from sync import breaker
from sync.http import USUAL, ForbiddenTarget, Timeouts, TooLarge, UpstreamError
from sync.kinds import Reply
from sync.models import Asked
from sync.threads import Threads, waiting

logger = logging.getLogger(__name__)

_CHUNK = 256 << 10
_HELD_BACK = 4 << 10
# One that fits in here is answered when it is whole: then the reader gets a length, validators and a clear error.
_SMALL = 256 << 10

_guard = threading.Lock()
_turn = threading.Lock()  # SQLite lets one write at a time, and makes the others wait longer than they need
_arrivals: dict[str, "Arrival"] = {}


class BrokenDelivery(ConnectionResetError):
    """The rest of a file cannot be sent. As an OSError of the connection it makes the server close it."""

    def __init__(self, sentence: str) -> None:
        super().__init__(errno.ECONNRESET, sentence)


class NotTaken(Unavailable):
    """We do not take this file, however often it is asked for: it is too large, or where we do not go."""


class NotGiven(Unavailable):
    """The upstream answered, but with something else than the file."""


class Arrival(ABC):
    """One file on its way: `what` it is in sentences, `key` makes two of them the same one."""

    limit: ClassVar[str]  # the variable that says how large it may be

    def __init__(self, key: str, what: str, upstream: Asked) -> None:
        self._key = key
        self._what = what
        self._upstream = upstream
        self._changed = threading.Condition()
        self._file: Path | None = None
        self._size: int | None = None
        self._written = 0
        self._blob: Blob | None = None
        self._error: RegistryError | None = None

    # --- What it is ------------------------------------------------------------------------------------------

    @abstractmethod
    def kept(self) -> Blob | None:
        """The blob, when it is here by now."""

    @abstractmethod
    def promised(self) -> Integrity | None:
        """What its bytes must be; None when nobody said."""

    @abstractmethod
    def ask(self, timeout: Timeouts) -> Reply:
        """Ask for it. Raises `UpstreamError`, or `RegistryError` when it must not be asked for."""

    @abstractmethod
    def name(self, blob: Blob) -> None:
        """Write down that these are its bytes, in the transaction in which they become a blob."""

    @abstractmethod
    def largest(self) -> int:
        """How many bytes it may have."""

    # --- Those who wait for it -------------------------------------------------------------------------------

    def result(self) -> Delivery | Blob:
        """What the reader gets: the blob when it is small or here by now, else the bytes while they come."""
        with self._changed:
            patience = settings.UPSTREAM_TIMEOUT_SECONDS
            with waiting.take():
                self._changed.wait_for(lambda: self._is_over() or (self._file and (self._size or 0) > _SMALL), patience)
            if not self._is_over() and self._file is None:
                raise Unavailable(f"{self._upstream} is slow with {self._what}: try again")
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
            raise self._error or Unavailable(f"{self._what} is not coming")
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
                    raise BrokenDelivery(f"{self._what} ended early")
                sent += len(chunk)
                yield chunk

    def _is_over(self) -> bool:
        return self._blob is not None or self._error is not None

    # --- The fetch -------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Fetch, verify and keep. Whatever happens, readers are told."""
        try:
            self._tell(blob=self._obtain())
        except RegistryError as error:
            self._tell(error=error)
        except Exception:
            logger.exception("%s could not be kept", self._what)
            self._tell(error=Unavailable(f"{self._what} could not be kept; the log says why"))

    def _tell(self, *, blob: Blob | None = None, error: RegistryError | None = None) -> None:
        with _guard:
            _arrivals.pop(self._key, None)
        with self._changed:
            self._blob, self._error = blob, error
            self._changed.notify_all()

    def _obtain(self) -> Blob:
        try:
            with flight.single(self._key):
                return self.kept() or self._fetch()
        except UpstreamError as error:
            logger.warning("%s could not be fetched: %s", self._what, error.sentence)
            if isinstance(error, TooLarge | ForbiddenTarget):
                raise NotTaken(error.sentence) from error
            breaker.failed(self._upstream, error)
            raise Unavailable(error.sentence, retry_after=math.ceil(error.retry_after or 5)) from error

    def _fetch(self) -> Blob:
        if rest := breaker.resting(self._upstream):
            why = f"{self._upstream} cannot be asked now ({self._upstream.last_error})"
            raise Unavailable(f"{self._what} is not here, and {why}", retry_after=math.ceil(rest))
        # The next piece of a large file may not be long in coming; all of them together may.
        timeout = Timeouts(
            read=min(USUAL.read, settings.UPSTREAM_TIMEOUT_SECONDS), total=settings.TARBALL_TIMEOUT_SECONDS
        )
        with self.ask(timeout) as response:
            if response.status in (404, 410):
                raise NotFound(f"{self._upstream} does not have {self._what}")
            if response.status != 200:
                raise NotGiven(f"{self._upstream} answered {response.status} for {self._what}")
            return self._keep(response)

    def _keep(self, response: Reply) -> Blob:
        promised = self.promised()
        checker = promised.checker() if promised else None
        digests = Digests()
        with tempfile.NamedTemporaryFile(dir=blobs.spool_folder(), suffix=".fetch", delete=False) as file:
            path = Path(file.name)
            try:
                self._receive(response, path, file, [digests, checker] if checker else [digests])
                if checker and not checker.matches():
                    raise NotGiven(f"{self._upstream} sent {self._what}, and it does not have its integrity")
                blob = put_away(path, digests, self.name)
            finally:
                path.unlink(missing_ok=True)
        breaker.succeeded(self._upstream)
        return blob

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
        self._require_room(size or 0)
        with self._changed:
            self._file, self._size = path, size
            self._changed.notify_all()

    def _progress(self, size: int) -> None:
        self._require_room(self._written + size)
        with self._changed:
            self._written += size
            self._changed.notify_all()

    def _require_room(self, size: int) -> None:
        if size > self.largest():
            raise NotTaken(f"{self._what} is larger than {self.limit} allows")

    def _end(self) -> None:
        """Let no more readers open the file: it will be moved or removed. They wait until all is over."""
        with self._changed:
            self._file = None


def put_away(path: Path, digests: Digests, name: Callable[[Blob], None]) -> Blob:
    """Make a blob of a spool file; `name` is called in the transaction, and writes down whose bytes they are."""
    with flight.single(f"blob {digests.sha512}"):  # the janitor takes no blob that is on its way to a name
        blobs.put(path, digests.sha512, is_only_copy=False)
        with _turn, transaction.atomic():
            blob = Blob.objects.keep(sha512=digests.sha512, sha1=digests.sha1, size=digests.size)
            name(blob)
    return blob


def join(key: str, make: Callable[[], Arrival], threads: Threads) -> Arrival:
    """The arrival of that key, when one is under way in this process, or a new one."""
    with _guard:
        found = _arrivals.get(key)
        if found is None:
            found = _arrivals[key] = make()
            threads.submit(found.run)
    return found

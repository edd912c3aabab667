"""What is kept ready to be sent, in two rings. No other file uses Django's cache.

Ring 1 is this process's memory, bounded in bytes. An entry is served as it is while the host's generation stands and
it was stamped less than a second ago; else its revision is looked up once. Ring 2 is Redis, when there is one; its
keys contain the revision, so a stale value cannot be read. Either may be lost at any time.
"""

import hashlib
import logging
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field

from django.core.cache import caches
from django.core.cache.backends.dummy import DummyCache
from redis.exceptions import RedisError

from registry import generation
from registry.packuments import Flavour

logger = logging.getLogger(__name__)

# How old a stamp may be before the revision is looked up again: the bound on staleness between hosts, in seconds.
STAMP_SECONDS = 1.0
_SHARED_SECONDS = 24 * 3600
_SHARED_BYTES = 32 << 20
_REST_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class DocumentKey:
    """What makes two responses the same one."""

    name: str
    flavour: Flavour
    encoding: str
    base: str
    # As other mirrors get it: without what policies rewrite, and without what they hide.
    is_raw: bool = False


@dataclass(frozen=True, slots=True)
class FileKey:
    """A tarball's place below its package."""

    name: str
    filename: str


@dataclass(slots=True)
class Ready:
    """A response that is ready to be sent: `body` for documents and small tarballs, `path` for tarballs in a folder."""

    name: str
    revision: int
    etag: str
    modified: int
    headers: list[tuple[str, str]]
    body: bytes = b""
    path: str | None = None
    sha512: str = ""
    # Unix time after which an upstream must be asked, and one after which the policies must be; None: never.
    until: float | None = None
    judged_until: float | None = None
    # Not for everybody: whoever sends it must have asked whether its reader may see it.
    is_private: bool = False
    generation: int = -1
    stamped_at: float = field(default=0.0)

    @property
    def weight(self) -> int:
        """Bytes that it is counted with."""
        return len(self.body) + 1024

    def is_due(self) -> bool:
        """Whether an upstream must be asked again before this may be served."""
        return self.until is not None and time.time() >= self.until

    def is_outdated(self) -> bool:
        """Whether the policies may judge otherwise by now."""
        return self.judged_until is not None and time.time() >= self.judged_until

    def is_stamped(self) -> bool:
        """Whether it may be served without a look at the row."""
        return self.generation == generation.current() and time.monotonic() - self.stamped_at < STAMP_SECONDS


class Ring:
    """The least recently used entries go when there are more bytes than `capacity`."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[DocumentKey | FileKey, Ready] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: DocumentKey | FileKey) -> Ready | None:
        """The entry, whatever its age."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                self._entries.move_to_end(key)
            return entry

    def put(self, key: DocumentKey | FileKey, entry: Ready) -> None:
        """Keep the entry, in place of one that was there. One above a quarter of the capacity is not kept."""
        if entry.weight > self._capacity // 4:
            return
        with self._lock:
            self._drop(key)
            self._entries[key] = entry
            self._bytes += entry.weight
            while self._bytes > self._capacity:
                self._drop(next(iter(self._entries)))

    def drop(self, key: DocumentKey | FileKey) -> None:
        """Forget the entry."""
        with self._lock:
            self._drop(key)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()
            self._bytes = 0

    def _drop(self, key: DocumentKey | FileKey) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= entry.weight


def is_shared() -> bool:
    """Whether there is a ring 2."""
    return not isinstance(caches["documents"], DummyCache)


def shared_get(key: DocumentKey, etag: str) -> bytes | None:
    """A document's bytes from ring 2."""
    if time.monotonic() < _resting_until:
        return None
    try:
        body: bytes | None = caches["documents"].get(_shared_key(key, etag))
    except (RedisError, OSError) as error:
        _rest(error)
        return None
    return body


def shared_put(key: DocumentKey, etag: str, body: bytes) -> None:
    """Keep a document's bytes in ring 2 for a day."""
    if len(body) > _SHARED_BYTES or time.monotonic() < _resting_until:
        return
    try:
        caches["documents"].set(_shared_key(key, etag), body, _SHARED_SECONDS)
    except (RedisError, OSError) as error:
        _rest(error)


def _shared_key(key: DocumentKey, etag: str) -> str:
    """A hash of all that makes two documents one. A client chooses the base: nobody may forge another's."""
    facts = f"{key.name}\n{key.flavour.value}\n{key.encoding}\n{key.base}\n{etag}"
    return hashlib.blake2b(facts.encode(), digest_size=24).hexdigest()


_resting_until = 0.0


def _rest(error: Exception) -> None:
    """Leave Redis alone for a while, and say why: asking it while it hangs would cost each reader its time-out."""
    global _resting_until  # noqa: PLW0603 (one clock per process)
    _resting_until = time.monotonic() + _REST_SECONDS
    logger.warning("the shared cache does not answer; serving without it for a while: %s", error)

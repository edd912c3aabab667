"""One number that every process of this host shares: it is raised after each commit that readers can see.

What a process keeps ready is served as it is while the number stands; when it has moved, the entry's revision is
looked up once. The number lives in a small file that all processes map into memory, so that reading it is neither a
query nor a system call. Between hosts nothing travels: there an entry's revision is looked up once a second
(`registry.cache.STAMP_SECONDS`), which also covers a process that died between its commit and `advance`.
"""

import fcntl
import mmap
import struct
import threading

from django.conf import settings

_NUMBER = struct.Struct("=Q")
_guard = threading.Lock()
_map: mmap.mmap | None = None


def current() -> int:
    """The generation now."""
    number: int = _NUMBER.unpack_from(_map or _open())[0]
    return number


def advance() -> None:
    """Tell every process of this host that something readers can see was committed."""
    numbers = _map or _open()
    with _guard, (settings.VAR / "run" / "generation").open("ab") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        _NUMBER.pack_into(numbers, 0, _NUMBER.unpack_from(numbers)[0] + 1)


def _open() -> mmap.mmap:
    global _map  # noqa: PLW0603 (one map per process, opened when it is first needed)
    with _guard:
        if _map is None:
            path = settings.VAR / "run" / "generation"
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a+b") as file:
                if path.stat().st_size < _NUMBER.size:
                    file.truncate(_NUMBER.size)
                _map = mmap.mmap(file.fileno(), _NUMBER.size)
        return _map

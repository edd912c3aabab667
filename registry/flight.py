"""One at a time, per key, over all threads and processes of this host.

A key is a file that is locked; the kernel lets go of it when a process dies. (`flock` and not POSIX record locks: those
belong to processes, not threads, and the kernel sees deadlocks in them that are none.)
"""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from django.conf import settings


@contextmanager
def single(key: str) -> Iterator[None]:
    """Hold `key`; whoever else wants it waits. Not re-entrant."""
    path = _folder() / hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
    file = _lock(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # before letting go: who waits finds out that its file is gone, and starts again
        file.close()


def _lock(path: Path) -> IO[bytes]:
    while True:
        file = path.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            with suppress(FileNotFoundError):
                if path.stat().st_ino == _inode(file):
                    return file
        except BaseException:
            file.close()
            raise
        file.close()


def _inode(file: IO[bytes]) -> int:
    return os.fstat(file.fileno()).st_ino


def _folder() -> Path:
    folder: Path = settings.VAR / "run" / "flights"
    folder.mkdir(parents=True, exist_ok=True)
    return folder

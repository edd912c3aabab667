"""Threads that fetch: they go on when the reader who asked has gone, and keep no connection that costs a server one."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from django.conf import settings
from django.db import close_old_connections, connection

from registry.errors import Unavailable

P = ParamSpec("P")
T = TypeVar("T")


class Threads(ThreadPoolExecutor):
    """A pool whose threads give their database connection back after each piece of work.

    On SQLite a connection is a file handle, and kept; on PostgreSQL it is a process of the server's.
    """

    def __init__(self, count: int, name: str) -> None:
        super().__init__(max_workers=count, thread_name_prefix=name)

    def submit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Do the work in one of the threads."""

        def with_connection() -> T:
            close_old_connections()
            try:
                return work(*args, **kwargs)
            finally:
                if connection.vendor != "sqlite":
                    connection.close()

        return super().submit(with_connection)


class Places:
    """How many readers may wait at once. One more is told to come back, so that others find a thread that is free."""

    def __init__(self) -> None:
        self._taken = 0
        self._lock = threading.Lock()

    @contextmanager
    def take(self) -> Iterator[None]:
        """Wait in one of them. Raises `Unavailable` when none is left. Who waits keeps no server's connection."""
        with self._lock:
            if self._taken >= settings.MAX_WAITING:
                raise Unavailable("too many wait for the upstream already: try again", retry_after=2)
            self._taken += 1
        try:
            if connection.vendor != "sqlite" and not connection.in_atomic_block:
                connection.close()
            yield
        finally:
            with self._lock:
                self._taken -= 1


waiting = Places()


class Budget:
    """Lets as much go on at once as fits into it. What is larger than all of it goes on alone."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._held = 0
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Wait until `size` fits in, and keep it taken."""
        with self._changed:
            self._changed.wait_for(lambda: self._held == 0 or self._held + size <= self._size)
            self._held += size
        try:
            yield
        finally:
            with self._changed:
                self._held -= size
                self._changed.notify_all()

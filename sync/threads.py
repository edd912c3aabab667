"""Threads that fetch: they go on when the reader who asked has gone, and keep no connection that costs a server one."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from django.db import close_old_connections, connection

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

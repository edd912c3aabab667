"""Threads for tests with a database."""

from concurrent.futures import ThreadPoolExecutor

from django.db import connections


class PassingThreads(ThreadPoolExecutor):
    """Keeps no connection to the database when a piece of work is done, so that the database can be dropped."""

    def submit(self, work, /, *args, **kwargs):
        def leave_nothing():
            try:
                return work(*args, **kwargs)
            finally:
                connections.close_all()

        return super().submit(leave_nothing)

"""A claim on a task that lasts as long as its worker lives: renewed by a thread beside it, lost when that is late."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.utils import timezone

from sync import queue
from sync.models import SyncTask

logger = logging.getLogger(__name__)

_BEATS = 4  # in the length of a lease: that many may fail


class LeaseLost(Exception):
    """The task may be another worker's by now, or an operator has cancelled it: nothing more is written for it."""


class Free:
    """In the place of a lease, for what is no task's: nobody can take it away."""

    def __init__(self) -> None:
        self.at_each_beat: list[Callable[[], None]] = []

    def insist(self) -> None:
        """Never raises."""


class Lease:
    """What a worker holds while it runs a task."""

    def __init__(self, task: SyncTask) -> None:
        self.at_each_beat: list[Callable[[], None]] = []
        self._task = task
        self._until = task.leased_until
        self._has_gone = False

    def insist(self) -> None:
        """Raises `LeaseLost` unless the task is ours for a while; the clock counts, even while nobody could renew."""
        if self._has_gone or self._until is None or timezone.now() >= self._until:
            raise LeaseLost(f"the sync of {self._task.name} was taken over or cancelled")

    def confirm(self) -> None:
        """The same, asked of the row: an operator may have cancelled the task a moment ago."""
        self.renew()
        self.insist()

    def renew(self) -> bool:
        """Hold it for another while; a database that is away now may be back at the next beat. False: it has gone."""
        try:
            until = queue.renew(self._task)
        except (DatabaseError, InterfaceError) as error:
            logger.warning("the lease of %s could not be renewed: %s", self._task.name, error)
            connection.close()
            return True
        self._until = until or self._until
        self._has_gone = until is None
        return not self._has_gone


@contextmanager
def kept(task: SyncTask) -> Iterator[Lease]:
    """Renew the lease while the block runs."""
    lease = Lease(task)
    is_over = threading.Event()
    beat = threading.Thread(target=_beat, args=(lease, is_over), name=f"lease of {task.name}", daemon=True)
    beat.start()
    try:
        yield lease
    finally:
        is_over.set()
        beat.join()


def _beat(lease: Lease, is_over: threading.Event) -> None:
    try:
        while not is_over.wait(settings.SYNC_LEASE_SECONDS / _BEATS) and lease.renew():
            for renew in lease.at_each_beat:
                renew()
    finally:
        connection.close()

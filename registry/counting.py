"""Counts what is downloaded, and by whom: in memory, written in batches. `downloads` reads it.

A tarball's reader waits for no write. Each web process counts for itself; a thread of it writes what has come together
every few seconds, and so does an orderly stop (`config/gunicorn.py`). `kill -9` loses those few seconds.
Days are UTC's, and those on which counts are written.
"""

import base64
import logging
import threading
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from datetime import date
from typing import Any, NamedTuple, Self

from django.conf import settings
from django.db import DatabaseError, InterfaceError, close_old_connections, connection, transaction
from django.utils import timezone

from audit import context
from registry import tokens
from registry.names import PackageName

logger = logging.getLogger(__name__)

_WRITE_SECONDS = 5.0
_MOST, _LONGEST_SECRET = 20_000, 2048
_BATCH = 500
# The ORM can write a conflicting row's new value, but not add to what is there.
_ADD = (
    "INSERT INTO registry_download (package, version, day, count) VALUES {} "
    "ON CONFLICT (package, day, version) DO UPDATE SET count = registry_download.count + excluded.count"
)
_ADD_WHO = (
    "INSERT INTO registry_downloader (package, version, who, first_day, last_day, count) VALUES {} "
    "ON CONFLICT (package, version, who) DO UPDATE SET "
    "count = registry_downloader.count + excluded.count, last_day = excluded.last_day"
)


class Reader(NamedTuple):
    """Who downloads, as a request says it: its `Authorization`, and the address that it comes from."""

    authorization: str = ""
    address: str = ""

    @classmethod
    def of(cls, environ: Mapping[str, Any]) -> Self:
        """The reader of a WSGI request."""
        authorization = environ.get("HTTP_AUTHORIZATION", "")
        return cls(authorization if len(authorization) <= _LONGEST_SECRET else "", context.origin(environ))


class Tarball(NamedTuple):
    """What was downloaded, and by whom."""

    name: str
    filename: str
    reader: Reader = Reader()


_counts: dict[Tarball, int] = {}
_counting = threading.Lock()
_writing = threading.Lock()
_stopping = threading.Event()


def count(name: str, filename: str, reader: Reader) -> None:
    """Count a download of a tarball that is there."""
    with _counting:
        # While the database is away only the numbers are kept: strangers choose what they send.
        key = Tarball(name, filename, reader if len(_counts) < _MOST else Reader())
        _counts[key] = _counts.get(key, 0) + 1


def count_sent(name: str, filename: str, environ: Mapping[str, Any], status: int) -> None:
    """Count a tarball that was given in answer to this WSGI request.

    Whoever sends a range goes on with a download that was counted when it began.
    """
    if environ["REQUEST_METHOD"] == "GET" and status in (200, 302) and "HTTP_RANGE" not in environ:
        count(name, filename, Reader.of(environ))


def start() -> None:
    """Write what is counted every few seconds from now on, in a thread of this process."""
    _stopping.clear()
    threading.Thread(target=_write_now_and_then, name="downloads", daemon=True).start()


def stop() -> None:
    """End the thread, and write what is left."""
    _stopping.set()
    flush()


def flush() -> None:
    """Write what has come together. What cannot be written is kept for the next time."""
    global _counts
    with _writing:
        with _counting:
            taken, _counts = _counts, {}
        if not taken:
            return
        try:
            _add(taken, timezone.now().date())
        except (DatabaseError, InterfaceError) as error:
            logger.warning("the downloads of %d tarballs wait for the database: %s", len(taken), error)
            _take_back(taken)


def _write_now_and_then() -> None:
    while not _stopping.wait(_WRITE_SECONDS):
        close_old_connections()
        try:
            flush()
        except Exception:  # nothing that somebody sends may end the thread
            logger.exception("some downloads were not counted")


def _take_back(counts: dict[Tarball, int]) -> None:
    with _counting:
        for key, number in counts.items():
            _counts[key] = _counts.get(key, 0) + number


def _add(counts: Mapping[Tarball, int], day: date) -> None:
    """Add the counts to their rows."""
    versions, readers = Counter[tuple[str, str]](), Counter[tuple[str, str, str]]()
    names = _names({key.reader for key in counts}) if settings.DOWNLOADERS_DAYS else {}
    for key, number in counts.items():
        version = PackageName.parse(key.name).version_of(key.filename)
        if version is None:
            continue
        versions[key.name, version] += number
        if who := names.get(key.reader):
            readers[key.name, version, who] += number
    today = day.isoformat()
    with transaction.atomic():
        _upsert(_ADD, [(*key, today, number) for key, number in versions.items()])
        _upsert(_ADD_WHO, [(*key, today, today, number) for key, number in readers.items()])


def _upsert(statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
    """In the order of names: two processes that add at once do not deadlock."""
    ordered = sorted(rows)
    with connection.cursor() as cursor:
        for first in range(0, len(ordered), _BATCH):
            batch = ordered[first : first + _BATCH]
            place = f"({', '.join(['%s'] * len(batch[0]))})"
            cursor.execute(statement.format(", ".join([place] * len(batch))), [value for row in batch for value in row])


def _names(readers: Collection[Reader]) -> dict[Reader, str]:
    """Who they are: the person whose token it is, else the address. A password is not verified once more for this."""
    secrets = {reader: _secret(reader.authorization) for reader in readers}
    owners = tokens.owners(set(secrets.values()))
    return {
        reader: f"user:{owners[secret]}" if secret in owners else f"address:{reader.address}"
        for reader, secret in secrets.items()
        if secret in owners or reader.address
    }


def _secret(authorization: str) -> str:
    """The token in an `Authorization`: after Bearer, or in the place of a password."""
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() != "basic":
        return credentials.strip()
    try:
        return base64.b64decode(credentials.strip(), validate=True).decode().partition(":")[2]
    except ValueError:  # what is neither base64 nor UTF-8
        return ""

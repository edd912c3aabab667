"""How often what is downloaded: counted in memory, written in batches, read by day.

A tarball's reader waits for no write. Each web process counts for itself; a thread of it writes what has come together
every few seconds, and so does an orderly stop (`config/gunicorn.py`). `kill -9` loses those few seconds.
Days are UTC's, and those on which counts are written.
"""

import logging
import re
import threading
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import date, timedelta
from typing import NamedTuple

from django.db import DatabaseError, InterfaceError, close_old_connections, connection, transaction
from django.db.models import Q, Sum
from django.utils import timezone

from audit.actors import Actor
from registry import access
from registry.errors import Invalid
from registry.models import Download, Package
from registry.names import PackageName

logger = logging.getLogger(__name__)

Tarball = tuple[str, str]  # the package's name, and the file's
Days = dict[date, int]

_WRITE_SECONDS = 5.0
_BATCH = 500
_MAX_DAYS = 549  # 18 months
_LENGTHS = {"last-day": 1, "last-week": 7, "last-month": 30, "last-year": 365}
_DATE = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")

# --- Counting -------------------------------------------------------------------------------------------------------

# The ORM can write a conflicting row's new value, but not add to what is there.
_ADD = (
    "INSERT INTO registry_download (package, version, day, count) VALUES {} "
    "ON CONFLICT (package, day, version) DO UPDATE SET count = registry_download.count + excluded.count"
)

_counts: dict[Tarball, int] = {}
_counting = threading.Lock()
_writing = threading.Lock()
_stopping = threading.Event()


def count(name: str, filename: str) -> None:
    """Count a download of a tarball that is there."""
    key = (name, filename)
    with _counting:
        _counts[key] = _counts.get(key, 0) + 1


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
        flush()


def _take_back(counts: dict[Tarball, int]) -> None:
    with _counting:
        for key, number in counts.items():
            _counts[key] = _counts.get(key, 0) + number


def _add(counts: dict[Tarball, int], day: date) -> None:
    """Add the counts to their rows, in the order of names: two processes that add at once do not deadlock."""
    rows = sorted(
        (name, version, day.isoformat(), number)
        for (name, filename), number in counts.items()
        if (version := PackageName.parse(name).version_of(filename)) is not None
    )
    with transaction.atomic(), connection.cursor() as cursor:
        for first in range(0, len(rows), _BATCH):
            batch = rows[first : first + _BATCH]
            places = ", ".join(["(%s, %s, %s, %s)"] * len(batch))
            cursor.execute(_ADD.format(places), [value for row in batch for value in row])


# --- Reading --------------------------------------------------------------------------------------------------------


class Period(NamedTuple):
    """Days, the first and the last included."""

    start: date
    end: date

    def days(self) -> Iterator[date]:
        """Each of them."""
        return (self.start + timedelta(days=number) for number in range((self.end - self.start).days + 1))


class Recent(NamedTuple):
    """Downloads of the last 7 and of the last 30 days."""

    weekly: int = 0
    monthly: int = 0


def period(text: str) -> Period:
    """The days that `last-week`, `2026-01-31` or `2026-01-01:2026-01-31` mean; today is the last of the `last-` ones.

    Raises `Invalid`, also for more than 18 months.
    """
    if text in _LENGTHS:
        today = timezone.now().date()
        return Period(today - timedelta(days=_LENGTHS[text] - 1), today)
    try:
        days = sorted(date.fromisoformat(day) for day in text.split(":") if _DATE.fullmatch(day))
    except ValueError:
        days = []
    if len(days) != text.count(":") + 1 or len(days) > 2:
        raise Invalid(
            f'"{text[:80]}" is no period: use last-day, last-week, last-month or last-year, '
            "a day as 2026-01-31, or two as 2026-01-01:2026-01-31"
        )
    if (days[-1] - days[0]).days > _MAX_DAYS:
        raise Invalid("downloads can be asked for 18 months at a time: ask for a shorter period")
    return Period(days[0], days[-1])


def by_day(names: Collection[str], days: Period, *, viewer: Actor) -> dict[str, Days | None]:
    """The downloads of each package on the days that have any; None for one that is not here for `viewer`."""
    access.require_reader(viewer)
    here = Package.objects.filter(access.readable(viewer), name__in=names, unpublished_at=None)
    counts: dict[str, Days] = {name: {} for name in here.values_list("name", flat=True)}
    rows = Download.objects.filter(package__in=counts.keys(), day__range=days)
    for name, day, number in rows.values_list("package", "day").annotate(Sum("count")):
        counts[name][day] = number
    return {name: counts.get(name) for name in names}


def of_all(days: Period, *, viewer: Actor) -> Days:
    """The downloads of everything that `viewer` may know of, on the days that have any."""
    access.require_reader(viewer)
    hidden = Package.objects.exclude(access.readable(viewer)).values("name")
    rows = Download.objects.exclude(package__in=hidden).filter(day__range=days)
    return dict(rows.values_list("day").annotate(Sum("count")))


def by_version(name: PackageName, days: Period, *, viewer: Actor) -> dict[str, int]:
    """The downloads of each version that has any. Raises `NotFound`."""
    access.require_reader(viewer)
    stamp = Package.objects.stamp(str(name))
    if stamp is None:
        access.hide(name)
    access.require_read(viewer, name, stamp)
    rows = Download.objects.filter(package=str(name), day__range=days)
    return dict(rows.values_list("version").annotate(Sum("count")).order_by("version"))


def recent(names: Iterable[str]) -> Mapping[str, Recent]:
    """The downloads of each package lately."""
    week, month = period("last-week"), period("last-month")
    rows = Download.objects.filter(package__in=list(names), day__range=month).values_list("package")
    counted = rows.annotate(weekly=Sum("count", filter=Q(day__range=week), default=0), monthly=Sum("count"))
    return defaultdict(Recent, {name: Recent(weekly, monthly) for name, weekly, monthly in counted})

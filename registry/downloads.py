"""What was downloaded, how often and by whom: what `counting` has written, read by day."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import date, timedelta
from typing import NamedTuple

from django.conf import settings
from django.db.models import Q, QuerySet, Sum
from django.utils import timezone

from audit.actors import Actor
from registry import access
from registry.errors import Invalid
from registry.models import Download, Downloader, Package
from registry.names import PackageName

Days = dict[date, int]

_MAX_DAYS = 549  # 18 months
_LENGTHS = {"last-day": 1, "last-week": 7, "last-month": 30, "last-year": 365}
_DATE = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")


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


def downloaders(package: str, numbers: Collection[str] | None = None) -> QuerySet[Downloader]:
    """Who downloaded these versions of a package lately, or any, the last one first. For operators."""
    rows = Downloader.objects.filter(package=package, last_day__gt=_forgotten_before())
    rows = rows if numbers is None else rows.filter(version__in=numbers)
    return rows.order_by("-last_day", "who", "version")


def forget_downloaders() -> int:
    """Forget who downloaded what so long ago; returns how many rows that were."""
    return Downloader.objects.filter(last_day__lte=_forgotten_before()).delete()[0]


def _forgotten_before() -> date:
    return timezone.now().date() - timedelta(days=settings.DOWNLOADERS_DAYS)

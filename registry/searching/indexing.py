"""Keeps what search knows in step with the packages that it is about."""

from datetime import datetime

from django.db import transaction
from django.db.models import OuterRef, Subquery, Sum
from django.db.models.functions import Coalesce

from registry import documents, downloads, jsontext, manifests, policies, semver
from registry.models import Download, Package, SearchEntry, Version
from registry.policies import Judgement
from registry.searching import description


def index(name: str) -> None:
    """Make the entry of the package anew from its rows, or take it away when there is nothing that readers can see."""
    with transaction.atomic():
        package = Package.objects.select_for_update(no_key=True).filter(name=name).first()
        if package is None:
            return
        entry = _entry(package)
        if entry is None:
            SearchEntry.objects.filter(package=package).delete()
            return
        SearchEntry.objects.bulk_create(
            [entry], update_conflicts=True, unique_fields=["package"], update_fields=["name", "terms", "shown"]
        )


def index_all() -> int:
    """Make all entries anew; returns of how many packages."""
    names = list(Package.objects.order_by("name").values_list("name", flat=True))
    for name in names:
        index(name)
    rank()
    return len(names)


def rank() -> None:
    """Count the downloads of the last week again, by which packages that match equally well are ordered."""
    period = downloads.period("last-week")
    counted = Download.objects.filter(package=OuterRef("name"), day__range=period).order_by().values("package")
    weekly = Coalesce(Subquery(counted.annotate(total=Sum("count")).values("total")), 0)
    SearchEntry.objects.exclude(weekly=weekly).update(weekly=weekly)


def _entry(package: Package) -> SearchEntry | None:
    judgement = policies.judge(package.name, package.stamp)
    if package.unpublished_at or judgement.refused_whole:
        return None
    number = _latest(package, judgement)
    version = Version.objects.published().filter(package=package, number=number).first()
    if version is None:
        return None
    rewritten = judgement.rewritten.get(version.number)
    manifest = manifests.parse(rewritten.full if rewritten else version.manifest)
    shown = description.describe(
        package.parsed_name,
        version.number,
        manifest,
        jsontext.decode(package.head),
        _moment(version.published_at or version.first_seen_at),
    )
    terms = description.terms(package.parsed_name, shown, is_deprecated=bool(manifest.get("deprecated")))
    return SearchEntry(package=package, name=package.name, terms=terms, shown=jsontext.encode(shown))


def _latest(package: Package, judgement: Judgement) -> str | None:
    """The version that the document calls `latest`; of a document without one, the best that it has."""
    tagged = documents.read_tags(package.pk, judgement.hidden).get("latest")
    if tagged is not None:
        return tagged
    numbers = Version.objects.published().filter(package=package).values_list("number", flat=True)
    return semver.highest(number for number in numbers if number not in judgement.hidden)


def _moment(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"

"""The other door of publishing: versions that come from an upstream.

`publish` takes one version from a person; `ingest` takes what changed of a whole package from a sync. The manifest
stays as the upstream gave it, and so does its integrity, which the tarball must have when it is fetched.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from audit import journal
from audit.actors import Actor
from registry import jsontext, lifecycle, manifests
from registry.digests import Integrity
from registry.errors import Forbidden
from registry.events import PACKAGE_MIRRORED, TARBALLS_REPLACED
from registry.manifests import Fragments
from registry.models import Blob, DistTag, Package, Version
from registry.names import PackageName

_BATCH = 200
_COLUMNS = (
    "package_id", "number", "order_key", "manifest", "abbreviated",
    "source_url", "source_digest", "published_at", "first_seen_at",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Incoming:
    """One version as an upstream gives it."""

    number: str
    order_key: str
    texts: Fragments
    source_url: str
    source_digest: str
    published_at: datetime | None


@dataclass(frozen=True, slots=True)
class Changes:
    """What an upstream has and we do not, or not like this."""

    head: Mapping[str, Any]
    tags: Mapping[str, str]
    added: Sequence[Incoming]
    edited: Sequence[Incoming]
    removed: Collection[str]
    # Of a package that is new here: only those who have a right to it may read it.
    is_restricted: bool = False


def ingest(
    name: PackageName, changes: Changes, *, origin: str, actor: Actor, require: Callable[[], None] = lambda: None
) -> Package:
    """Carry out `changes` in one transaction. Doing it twice does no more than doing it once, and is told once.

    `require` is called in it, before anything else, and may raise. Raises `Forbidden` when the name is published here,
    or comes from another upstream.
    """
    with transaction.atomic():
        require()
        package, is_new = _lock_or_create(name, changes, origin)
        if package.origin != origin:
            raise Forbidden(f"{name} comes from {package.origin or 'this registry'}, not from {origin}")
        if not is_new and _is_done(package, changes):
            return package
        _add(package, changes.added)
        replaced = _edit(package, changes.edited)
        _remove(package, changes.removed)
        _set_tags(package, changes.tags)
        if not is_new:
            Package.objects.filter(pk=package.pk).update(head=jsontext.encode(changes.head), unpublished_at=None)
            lifecycle.touch(package)
        journal.record(
            PACKAGE_MIRRORED, f"package:{name}", actor=actor,
            added=len(changes.added), edited=len(changes.edited), removed=sorted(changes.removed),
        )  # fmt: skip
        if replaced:
            journal.record(TARBALLS_REPLACED, f"package:{name}", actor=actor, versions=replaced)
    return package


def _lock_or_create(name: PackageName, changes: Changes, origin: str) -> tuple[Package, bool]:
    rows = Package.objects.select_for_update(no_key=True)
    facts = {
        "scope": name.scope,
        "origin": origin,
        "head": jsontext.encode(changes.head),
        "revision": lifecycle.first_revision(),
        "is_restricted": changes.is_restricted,
    }
    return rows.get_or_create(name=str(name), defaults=facts)


def _is_done(package: Package, changes: Changes) -> bool:
    """Whether there is nothing to carry out, as after a crash that came between us and the memory of the sync."""
    if changes.added or changes.edited or changes.removed or package.unpublished_at is not None:
        return False
    tags = dict(DistTag.objects.filter(package=package).values_list("tag", "version_id"))
    return package.head == jsontext.encode(changes.head) and tags == _tagged(package, changes.tags)


def _add(package: Package, incoming: Sequence[Incoming]) -> None:
    """Insert the versions in plain SQL: `bulk_create` takes longer over a packument than all else of a sync together.

    One that another process was faster with stays as it is.
    """
    now, adapt = timezone.now(), connection.ops.adapt_datetimefield_value
    insert = f"INSERT INTO {Version._meta.db_table} ({', '.join(_COLUMNS)}) VALUES "  # noqa: S608, SLF001 (constants)
    marks = f"({', '.join(['%s'] * len(_COLUMNS))})"
    with connection.cursor() as cursor:
        for start in range(0, len(incoming), _BATCH):
            values: list[Any] = []
            for one in incoming[start : start + _BATCH]:
                values += package.pk, one.number, one.order_key, one.texts.full, one.texts.abbreviated
                values += one.source_url, one.source_digest, adapt(one.published_at), adapt(now)
            count = len(values) // len(_COLUMNS)
            cursor.execute(f"{insert}{', '.join([marks] * count)} ON CONFLICT DO NOTHING", values)


def _edit(package: Package, incoming: Sequence[Incoming]) -> list[str]:
    """Returns the versions whose tarball is another one there by now: a lockfile that has the old one is told so."""
    replaced, now = [], timezone.now()
    by_number = {one.number: one for one in incoming}
    found = Version.objects.filter(package=package, number__in=by_number).select_related("blob").defer("manifest")
    rows = list(found.select_for_update(no_key=True, of=("self",)).order_by("pk"))  # a tarball may just be arriving
    for row in rows:
        one = by_number[row.number]
        if not _is_same_tarball(_dist(row.abbreviated), _dist(one.texts.abbreviated), row.blob):
            row.blob = None  # what we keep is not what the upstream has now
            replaced.append(row.number)
            row.published_at = max(one.published_at or now, now)  # whatever it says: nobody has looked at these yet
        elif row.unpublished_at is not None:
            row.published_at = max(filter(None, (one.published_at, row.published_at)), default=None)
        row.manifest, row.abbreviated = one.texts.full, one.texts.abbreviated
        row.source_url, row.source_digest, row.unpublished_at = one.source_url, one.source_digest, None
    _update(rows)
    return replaced


def _update(rows: Sequence[Version]) -> None:
    """In plain SQL: `bulk_update` takes a quarter of a minute over 5,000 versions."""
    columns = ("manifest", "abbreviated", "source_url", "source_digest", "blob_id")
    changes = f"{' = %s, '.join(columns)} = %s, published_at = %s, unpublished_at = NULL"
    statement = f"UPDATE {Version._meta.db_table} SET {changes} WHERE id = %s"  # noqa: S608, SLF001 (constants)
    adapt = connection.ops.adapt_datetimefield_value
    with connection.cursor() as cursor:
        cursor.executemany(
            statement,
            [(*(getattr(row, column) for column in columns), adapt(row.published_at), row.pk) for row in rows],
        )


def _is_same_tarball(before: Mapping[str, Any], after: Mapping[str, Any], blob: Blob | None) -> bool:
    """Whether the promises are of the same bytes: registries add stronger hashes to old versions."""
    promised = Integrity.of(after)
    if promised == Integrity.of(before):
        return True
    if blob is not None:
        return promised is not None and promised.admits(sha512=blob.sha512, sha1=blob.sha1)
    was = Integrity.of(before)
    if was is not None and promised is not None and was.algorithm == promised.algorithm:
        return bool(was.hashes & promised.hashes)
    return isinstance(before.get("shasum"), str) and before["shasum"] == after.get("shasum")


def _dist(text: str) -> Mapping[str, Any]:
    dist = manifests.parse(text).get("dist")
    return dist if isinstance(dist, dict) else {}


def _remove(package: Package, numbers: Collection[str]) -> None:
    if numbers:
        Version.objects.filter(package=package, number__in=numbers).update(unpublished_at=timezone.now())


def _set_tags(package: Package, tags: Mapping[str, str]) -> None:
    DistTag.objects.filter(package=package).exclude(tag__in=tags).delete()
    rows = [DistTag(package=package, tag=tag, version_id=pk) for tag, pk in _tagged(package, tags).items()]
    DistTag.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["package", "tag"], update_fields=["version"]
    )


def _tagged(package: Package, tags: Mapping[str, str]) -> dict[str, int]:
    """The ids of the versions that `tags` name, of those that are here."""
    rows = Version.objects.published().filter(package=package, number__in=set(tags.values()))
    ids = dict(rows.values_list("number", "id"))
    return {tag: ids[number] for tag, number in tags.items() if number in ids}

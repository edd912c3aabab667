"""Bringing advisories in from a dump, and fetching one on a schedule.

A dump is read to its end before anything is changed: what will change waits in a spool file. Then one transaction makes
all of it so, or nothing. A dump that is like the last one changes no row.
"""

import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO

import msgspec
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from audit import journal
from audit.actors import Actor
from bugversions import dumps, osv
from bugversions.events import ADVISORIES_IMPORTED, ADVISORIES_REFUSED
from bugversions.models import Advisory, AdvisoryFeed
from bugversions.osv import Finding, Unreadable
from registry import blobs, fetching, flight
from registry.errors import Conflict, Invalid, RegistryError

_AT_ONCE = 1000
_SHOWN = 10  # of what could not be read
_FIELDS = (*Finding.__dataclass_fields__, "digest")
_ACTOR = Actor.system("advisories")

Key = tuple[str, str]


@dataclass(slots=True)
class Summary:
    """What an import did, in numbers of advisories and packages that they are about."""

    added: int = 0
    changed: int = 0
    removed: int = 0
    same: int = 0
    unreadable: int = 0
    complaints: list[str] = field(default_factory=list)  # about the first of what could not be read

    def __str__(self) -> str:
        counts = f"{self.added} added, {self.changed} changed, {self.removed} removed, {self.same} as before"
        return f"{counts}, {self.unreadable} not readable" if self.unreadable else counts

    @property
    def total(self) -> int:
        """How many there were to read."""
        return self.added + self.changed + self.same + self.unreadable


def bring_in(path: Path, *, actor: Actor, name: str = "", is_shrinking: bool = False) -> Summary:
    """Make what is here what the zip or folder at `path` says; `name` is what it is called in the journal.

    Raises `Invalid` for a dump that makes no sense, and `Conflict` for one that would take away more than half of what
    is here, unless that `is_shrinking` on purpose. Then nothing was changed.
    """
    with flight.single("advisories"), tempfile.TemporaryFile(dir=blobs.spool_folder()) as spool:
        rows = Advisory.objects.values_list("source", "package", "digest").iterator(chunk_size=5000)
        before = {(source, package): bytes(digest) for source, package, digest in rows}
        summary = Summary()
        gone = _compare(path, before, spool, summary)
        _require_sense(summary, len(before), len(gone), is_shrinking=is_shrinking)
        summary.removed = len(gone)
        with transaction.atomic():
            _write(spool)
            _remove(gone)
            if summary.added or summary.changed or summary.removed:
                facts = asdict(summary) | {"complaints": ", ".join(summary.complaints)}
                journal.record(ADVISORIES_IMPORTED, f"advisories:{name or path.name}", actor=actor, **facts)
        return summary


def _compare(path: Path, before: dict[Key, bytes], spool: IO[bytes], summary: Summary) -> list[Key]:
    """Write what is new or other to the spool, count, and return what is not in the dump any more."""
    seen: set[Key] = set()
    encoder = msgspec.msgpack.Encoder()
    with dumps.opened(path) as entries:
        for finding in _findings(entries, summary):
            key = finding.source, finding.package
            if key in seen:
                raise Invalid(f"the dump has {finding.source} twice")
            seen.add(key)
            text = encoder.encode(finding)
            digest = hashlib.blake2b(text, digest_size=16).digest()
            if before.get(key) == digest:
                summary.same += 1
                continue
            summary.changed += key in before
            summary.added += key not in before
            spool.write(len(text).to_bytes(4) + digest + text)
    return [key for key in before if key not in seen]


def _findings(entries: Iterable[dumps.Entry], summary: Summary) -> Iterator[Finding]:
    for name, text in entries:
        try:
            yield from osv.read(text, max_bytes=settings.MAX_ADVISORY_BYTES)
        except Unreadable as error:
            summary.unreadable += 1
            if len(summary.complaints) < _SHOWN:
                summary.complaints.append(f"{name[-100:]}: {error}"[:300])


def _require_sense(summary: Summary, before: int, gone: int, *, is_shrinking: bool) -> None:
    """Refuse what cannot be a dump, whoever gave it."""
    said = "; ".join(summary.complaints)
    if summary.total == summary.unreadable:
        raise Invalid(f"there are no advisories about npm packages in it{': ' + said if said else ''}")
    if summary.unreadable > max(_SHOWN, summary.total // 20):
        raise Invalid(f"{summary.unreadable} of its {summary.total} entries cannot be read: {said}")
    if gone * 2 > before and not is_shrinking:
        raise Conflict(f"it lacks {gone} of the {before} advisories that are here: import it by hand with --shrink")


def _write(spool: IO[bytes]) -> None:
    spool.seek(0)
    rows = _spooled(spool)
    while batch := list(islice(rows, _AT_ONCE)):
        Advisory.objects.bulk_create(
            batch, update_conflicts=True, unique_fields=["source", "package"],
            update_fields=[name for name in _FIELDS if name not in ("source", "package")],
        )  # fmt: skip


def _spooled(spool: IO[bytes]) -> Iterator[Advisory]:
    decoder = msgspec.msgpack.Decoder(Finding)
    while head := spool.read(20):
        finding = decoder.decode(spool.read(int.from_bytes(head[:4])))
        yield Advisory(**{name: getattr(finding, name) for name in _FIELDS[:-1]}, digest=head[4:])


def _remove(gone: list[Key]) -> None:
    packages: dict[str, list[str]] = {}
    for source, package in gone:
        packages.setdefault(source, []).append(package)
    sources = list(packages)
    for start in range(0, len(sources), _AT_ONCE // 2):
        some = set(sources[start : start + _AT_ONCE // 2])
        rows = Advisory.objects.filter(source__in=some).values_list("pk", "source", "package")
        doomed = [pk for pk, source, package in rows if package in packages[source]]
        for first in range(0, len(doomed), _AT_ONCE // 2):
            Advisory.objects.filter(pk__in=doomed[first : first + _AT_ONCE // 2]).delete()


# --- On a schedule ---------------------------------------------------------------------------------------------------


def fetch() -> Summary | None:
    """Fetch the dump at LARDER_ADVISORIES_URL, when it is due and has changed, and bring it in.

    What goes wrong is written down, once for each reason, and tried again when the next look is due.
    """
    url = settings.ADVISORIES_URL
    feed = AdvisoryFeed.objects.filter(url=url).first()
    if not url or (feed and (timezone.now() - feed.checked_at).total_seconds() < settings.ADVISORIES_SECONDS):
        return None
    feed = feed or AdvisoryFeed(url=url)
    try:
        with _fetched(feed) as path:
            summary = bring_in(path, actor=_ACTOR, name=url) if path else None
    except RegistryError as error:
        _remember(feed, error.sentence)
        return None
    _remember(feed, "")
    return summary


@contextmanager
def _fetched(feed: AdvisoryFeed) -> Iterator[Path | None]:
    """The dump in a spool file; None when it is what it was."""
    with tempfile.NamedTemporaryFile(dir=blobs.spool_folder(), suffix=".advisories") as file:
        path = Path(file.name)
        is_new = not Advisory.objects.exists()
        validators = fetching.Validators() if is_new else fetching.Validators(feed.etag, feed.last_modified)
        found = fetching.download(feed.url, path, unless=validators, max_bytes=settings.MAX_ADVISORIES_BYTES)
        yield path if found else None
        if found:
            feed.etag, feed.last_modified = found.etag, found.last_modified


def _remember(feed: AdvisoryFeed, refusal: str) -> None:
    is_news = refusal not in ("", feed.refusal)
    feed.checked_at, feed.refusal = timezone.now(), refusal
    with transaction.atomic():
        fields = ["checked_at", "etag", "last_modified", "refusal"]
        AdvisoryFeed.objects.bulk_create([feed], update_conflicts=True, unique_fields=["url"], update_fields=fields)
        if is_news:
            journal.record(ADVISORIES_REFUSED, f"advisories:{feed.url}", actor=_ACTOR, reason=refusal)

"""The small files of a mirror, which say what there is: an index, lists of checksums, and the signatures of these.

They are fetched whole, read before they are believed, and kept as blobs, byte for byte. One that is here and no longer
fresh is asked for again, for as long as a reader's budget allows; while the upstream is ill, it is served as it is.

**A checksum that was once given stays.** Upstreams add files to a release, and sign its list again; but a list that
gives another checksum for a file, or none any more, is not taken: what is here goes on being served, and operators are
told.
"""

import logging
import math
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from audit import journal
from audit.actors import Actor
from registry import blobs, flight
from registry.digests import Digests
from registry.errors import NotFound, Unavailable
from registry.models import Blob
from sync import arriving, breaker
from sync.binaries import layouts
from sync.binaries.layouts import Index, Unreadable
from sync.events import BINARY_REFUSED
from sync.http import Origin, Refused, Response, UpstreamError
from sync.kinds.registry import client
from sync.models import BinaryCategory, BinaryFile
from sync.threads import Threads, waiting

logger = logging.getLogger(__name__)

_RECHECK_SECONDS = 1.0

_threads = Threads(8, "binary document")
_guard = threading.Lock()
_fetches: dict[tuple[int, str], Future[None]] = {}


def index(category: BinaryCategory, *, wanting: str = "") -> Index:
    """The releases that there are; `wanting` is the folder of one that should be among them."""
    found = _index(text(category, "index.json"))
    if wanting and found.find(wanting) is None:
        found = _index(text(category, "index.json", is_in_doubt=True))
    return found


def checksums(category: BinaryCategory, folder: str, *, wanting: str = "") -> dict[str, bytes]:
    """The sha256 of each file of a release; `wanting` is one that should be among them."""
    path = f"{folder}/{layouts.CHECKSUMS}"
    found = _checksums(text(category, path))
    if wanting and wanting not in found:
        found = _checksums(text(category, path, is_in_doubt=True))
    return found


def text(category: BinaryCategory, path: str, *, is_in_doubt: bool = False) -> bytes:
    """A document as the upstream has it, or had it. Raises `NotFound` or `Unavailable`.

    One that is in doubt, because it lacks what is asked for, is not fresh for longer than a second.
    """
    row = find(category, path)
    if row is None or not _is_fresh(row, is_in_doubt=is_in_doubt):
        _refresh(category, path, row)
        row = find(category, path)
    if row is not None and row.blob is not None:
        return _bytes(row.blob.sha512)
    if row is not None and row.refusal:
        raise Unavailable(f"{path} could not be taken from {category}: {row.refusal}", retry_after=30)
    raise NotFound(f"{category} does not have {path}")


def find(category: BinaryCategory, path: str) -> BinaryFile | None:
    """What is known of a file; its blob is None unless its bytes are in the store."""
    row = BinaryFile.objects.select_related("blob").filter(category=category, path=path).first()
    if row is not None and row.blob is not None and not _is_held(row.blob):
        row.blob = None
    return row


@lru_cache(maxsize=8)
def _bytes(sha512: str) -> bytes:
    with blobs.read(sha512) as file:
        return file.read()


@lru_cache(maxsize=2)
def _index(text: bytes) -> Index:
    return layouts.read_index(text)


@lru_cache(maxsize=8)
def _checksums(text: bytes) -> dict[str, bytes]:
    return layouts.read_checksums(text)


def _is_held(blob: Blob) -> bool:
    return blob.state == Blob.State.STORED and blobs.holds(blob.sha512, blob.size)


def _is_fresh(row: BinaryFile, *, is_in_doubt: bool) -> bool:
    seconds = float(settings.FRESH_SECONDS if row.blob else settings.MISSING_SECONDS)
    if is_in_doubt:
        seconds = min(seconds, _RECHECK_SECONDS)
    return timezone.now() < row.checked_at + timedelta(seconds=seconds)


# --- Asking the upstream ---------------------------------------------------------------------------------------------


def _refresh(category: BinaryCategory, path: str, row: BinaryFile | None) -> None:
    """Have it fetched. What is here stays good enough when that fails or takes too long."""
    is_here = row is not None and row.blob is not None
    try:
        _wait(category, path, row.checked_at if row else None, is_here=is_here)
    except Unavailable as error:
        if not is_here:
            raise
        logger.warning("%s of %s is served as it is here: %s", path, category, error.sentence)


def _wait(category: BinaryCategory, path: str, seen_at: datetime | None, *, is_here: bool) -> None:
    require_rested(category, path)
    patience = settings.UPSTREAM_BUDGET_SECONDS if is_here else settings.UPSTREAM_TIMEOUT_SECONDS
    try:
        with waiting.take():
            _join(category, path, seen_at).result(timeout=patience)
    except FutureTimeout as error:
        raise Unavailable(f"{category} is slow with {path}: try again") from error
    except UpstreamError as error:
        raise Unavailable(error.sentence, retry_after=math.ceil(error.retry_after or 10)) from error


def require_rested(category: BinaryCategory, path: str) -> None:
    """Raise `Unavailable` while the upstream must not be asked."""
    if not category.is_enabled:
        raise Unavailable(f"{path} is not here, and {category} is switched off: an operator decides", retry_after=60)
    if rest := breaker.resting(category):
        why = f"{category} cannot be asked now ({category.last_error})"
        raise Unavailable(f"{path} is not here, and {why}", retry_after=math.ceil(rest))


def _join(category: BinaryCategory, path: str, seen_at: datetime | None) -> Future[None]:
    """The fetch that is under way in this process, or a new one."""
    key = (category.pk, path)
    with _guard:
        found = _fetches.get(key)
        if found is None:
            found = _fetches[key] = _threads.submit(_fetch, category, path, seen_at)
            found.add_done_callback(lambda _: _fetches.pop(key))
    return found


def _fetch(category: BinaryCategory, path: str, seen_at: datetime | None) -> None:
    """Ask, unless another process has asked since `seen_at`."""
    with flight.single(f"binary {category.pk} {path}"):
        row = find(category, path)
        if row is not None and (seen_at is None or row.checked_at > seen_at):
            return
        try:
            with _ask(category, path, row) as response:
                _take(category, path, row, response)
        except Refused as error:
            _refuse(category, path, error.sentence)
        except UpstreamError as error:
            breaker.failed(category, error)
            raise
        breaker.succeeded(category)


def _ask(category: BinaryCategory, path: str, row: BinaryFile | None) -> Response:
    headers = {}
    if row is not None and row.blob is not None:
        conditions = {"if-none-match": row.etag, "if-modified-since": row.last_modified}
        headers = {name: value for name, value in conditions.items() if value}
    return get(category, path, headers)


def get(category: BinaryCategory, path: str, headers: dict[str, str], **options: Any) -> Response:
    """Ask for a path below the category's URL, and nowhere else (`sync.http` follows no redirect into our networks)."""
    return client().get(f"{category.url}/{path}", origin=Origin.of(category.url), headers=headers, **options)


# --- Taking what came -------------------------------------------------------------------------------------------------


def _take(category: BinaryCategory, path: str, row: BinaryFile | None, response: Response) -> None:
    if response.status == 304 and row is not None:
        BinaryFile.objects.filter(pk=row.pk).update(checked_at=timezone.now())
    elif response.status in (404, 410):
        _miss(category, path, row)
    elif response.status == 200:
        _keep(category, path, row, response)
    else:
        raise Refused(f"{response.shown} answered {response.status}")


def _miss(category: BinaryCategory, path: str, row: BinaryFile | None) -> None:
    """What is here stays here: builds of yesterday were made with a release that is taken back upstream today."""
    if row is not None and row.blob is not None:
        BinaryFile.objects.filter(pk=row.pk).update(checked_at=timezone.now())
        return
    if path in layouts.INDEXES:
        raise Refused(f"{category.url} has no {path}: it is no distribution of this layout")
    missing = {"checked_at": timezone.now(), "blob": None, "refusal": ""}
    BinaryFile.objects.update_or_create(category=category, path=path, defaults=missing)


def _keep(category: BinaryCategory, path: str, row: BinaryFile | None, response: Response) -> None:
    body = response.read_all(settings.MAX_BINARY_INDEX_BYTES)
    try:
        _require_sense(path, body)
    except Unreadable as error:
        raise Refused(f"{response.shown} is not what it should be: {error}") from error
    if row is not None and row.blob is not None and (why := _contradiction(path, _bytes(row.blob.sha512), body)):
        raise Refused(f"{response.shown} is not what it was: {why}")
    said = {
        "checked_at": timezone.now(),
        "etag": _header(response, "etag", 300),
        "last_modified": _header(response, "last-modified", 100),
        "refusal": "",
    }

    def name(blob: Blob) -> None:
        BinaryFile.objects.update_or_create(category=category, path=path, defaults={**said, "blob": blob})

    _store(body, name)


def _require_sense(path: str, body: bytes) -> None:
    if path == "index.json":
        layouts.read_index(body)
    elif path == "index.tab":
        layouts.read_table(body)
    elif path.endswith(f"/{layouts.CHECKSUMS}"):
        layouts.read_checksums(body)


def _contradiction(path: str, ours: bytes, theirs: bytes) -> str:
    """How a list of checksums contradicts the one that is here; empty when it does not."""
    if not path.endswith(f"/{layouts.CHECKSUMS}"):
        return ""
    before, after = layouts.read_checksums(ours), layouts.read_checksums(theirs)
    changed = sorted(file for file, digest in before.items() if after.get(file) != digest)
    return f"it gives another checksum than before, or none, for {', '.join(changed)[:500]}" if changed else ""


def _refuse(category: BinaryCategory, path: str, why: str) -> None:
    """Go on with what is here, if anything is, and tell operators once of each reason."""
    logger.error("%s of %s is not taken: %s", path, category, why)
    with transaction.atomic():
        row, _ = BinaryFile.objects.get_or_create(category=category, path=path, defaults={"checked_at": timezone.now()})
        is_news = row.refusal != why
        BinaryFile.objects.filter(pk=row.pk).update(checked_at=timezone.now(), refusal=why)
        if is_news:
            actor = Actor.upstream(str(category))
            journal.record(BINARY_REFUSED, f"binary:{category}/{path}", actor=actor, reason=why)


def _store(body: bytes, name: Callable[[Blob], None]) -> None:
    digests = Digests()
    digests.update(body)
    with tempfile.NamedTemporaryFile(dir=blobs.spool_folder(), suffix=".fetch", delete=False) as file:
        path = Path(file.name)
        try:
            file.write(body)
            file.flush()
            arriving.put_away(path, digests, name)
        finally:
            path.unlink(missing_ok=True)


def _header(response: Response, name: str, longest: int) -> str:
    """A validator of the upstream's, if we can keep it."""
    value = response.headers.get(name, "")
    return value if value.isprintable() and len(value) <= longest else ""

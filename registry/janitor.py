"""Takes away what a crash can leave: blobs that nothing names, spool files that nobody writes any more."""

import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.core.files.storage import Storage, storages
from django.db import transaction
from django.utils import timezone

from registry import attempts, blobs, downloads, flight, weblogin
from registry.models import Blob, Version

logger = logging.getLogger(__name__)

# Younger than this, they may belong to a publish or a fetch that is under way.
GRACE = timedelta(days=1)


def sweep() -> int:
    """Remove orphan rows, orphan bytes and old spool files; returns how many."""
    release()
    weblogin.sweep()
    attempts.sweep()
    downloads.forget_downloaders()
    swept = _sweep_rows() + _sweep_bytes() + _sweep_spool()
    if swept:
        logger.info("swept %d orphans", swept)
    return swept


def release() -> int:
    """Let go of the tarballs of unpublished versions that nobody can restore any more; returns of how many.

    They become orphans, unless another version has the same bytes. The grace keeps off a restore that is under way.
    """
    limit = timezone.now() - timedelta(days=settings.UNDO_DAYS) - GRACE
    return Version.objects.filter(unpublished_at__lt=limit).exclude(blob=None).update(blob=None)


def _sweep_rows() -> int:
    old = Blob.objects.orphans().filter(stored_at__lt=timezone.now() - GRACE)
    count = 0
    for blob in old.iterator():
        with flight.single(f"blob {blob.sha512}"), transaction.atomic():
            deleted, _ = Blob.objects.orphans().filter(pk=blob.pk).delete()
        count += bool(deleted)
    return count


def _sweep_bytes() -> int:
    """Bytes whose row was swept above, or never came to be."""
    storage = storages["blobs"]
    limit = timezone.now() - GRACE
    count = 0
    for name in list(_files(storage, "sha512")):
        sha512 = name.rsplit("/", 1)[-1]
        if Blob.objects.filter(sha512=sha512).exists() or storage.get_modified_time(name) >= limit:
            continue
        with flight.single(f"blob {sha512}"):  # nobody gives it a name while we look once more
            if not Blob.objects.filter(sha512=sha512).exists():
                blobs.delete(sha512)
                count += 1
    return count


def _files(storage: Storage, folder: str) -> Iterator[str]:
    try:
        folders, files = storage.listdir(folder)
    except FileNotFoundError:
        return
    yield from (f"{folder}/{file}" for file in files)
    for inner in folders:
        yield from _files(storage, f"{folder}/{inner}")


def _sweep_spool() -> int:
    limit = time.time() - GRACE.total_seconds()
    count = 0
    for file in Path(blobs.spool_folder()).iterdir():
        with suppress(FileNotFoundError):  # whoever writes it has just put it away
            if file.stat().st_mtime < limit:
                file.unlink()
                count += 1
    return count

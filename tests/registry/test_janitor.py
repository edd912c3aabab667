"""The janitor takes what a crash left, when nobody can still be at work on it, and nothing else."""

import os
import time
from datetime import timedelta

import pytest
from django.core.files.storage import storages
from django.utils import timezone

from registry import blobs, janitor, keys
from registry.digests import Digests
from registry.models import Blob, Version
from registry.tasks import sweep

pytestmark = pytest.mark.django_db(transaction=True)

OLD = janitor.GRACE + timedelta(minutes=1)


def store(content: bytes, *, with_row: bool = True) -> str:
    """Bytes in the store that no version names, as a crash leaves them; gives their sha512."""
    digests = Digests()
    digests.update(content)
    file = blobs.spool_folder() / "crashed"
    file.write_bytes(content)
    blobs.put(file, digests.sha512)
    if with_row:
        Blob.objects.create(sha512=digests.sha512, sha1=digests.sha1, size=digests.size)
    return digests.sha512


def age() -> None:
    """Let everything that is here be old."""
    Blob.objects.update(stored_at=timezone.now() - OLD)
    for file in [*storages_files(), *blobs.spool_folder().iterdir()]:
        os.utime(file, (0, time.time() - OLD.total_seconds()))


def storages_files() -> list:
    folder = blobs.path("x" * 128).parents[3]
    return [file for file in folder.rglob("*") if file.is_file()]


def is_stored(sha512: str) -> bool:
    return storages["blobs"].exists(keys.blob(sha512))


def test_orphans_go_with_their_rows(transactional_db):
    with_row, bytes_only = store(b"one"), store(b"two", with_row=False)
    age()
    assert janitor.sweep() == 3
    assert not Blob.objects.exists()
    assert not is_stored(with_row)
    assert not is_stored(bytes_only)
    assert janitor.sweep() == 0


def test_the_young_may_belong_to_somebody_who_is_at_work(transactional_db):
    young = [store(b"one"), store(b"two", with_row=False)]
    assert janitor.sweep() == 0
    assert all(is_stored(sha512) for sha512 in young)


def test_what_a_version_names_is_kept_however_old(alice, anyone, pad):
    age()
    assert janitor.sweep() == 0
    assert anyone.download(pad, "1.0.0").status == 200


def test_the_tarball_of_a_version_that_was_taken_back_is_kept(alice, pad):
    Version.objects.update(unpublished_at=timezone.now())
    age()
    assert janitor.sweep() == 0
    assert Blob.objects.count() == 3


def test_spool_files_that_nobody_writes_any_more_go(transactional_db):
    for name in ("publish-old", "fetch-old"):
        (blobs.spool_folder() / name).write_bytes(b"half")
    age()
    (blobs.spool_folder() / "publish-new").write_bytes(b"half")
    sweep()
    assert [file.name for file in blobs.spool_folder().iterdir()] == ["publish-new"]
    (blobs.spool_folder() / "publish-new").unlink()


def test_an_empty_house_is_swept_too(transactional_db):
    assert janitor.sweep() == 0

"""The blob store: bytes named by their sha512, over `STORAGES["blobs"]` (a folder, or S3 through django-storages)."""

import os
from pathlib import Path
from typing import IO, cast

from django.conf import settings
from django.core.files import File
from django.core.files.storage import Storage, storages

from registry import keys


def put(file: Path, sha512: str, *, is_only_copy: bool = True) -> None:
    """Store the bytes of `file`, which is consumed. Storing the same bytes again changes nothing.

    In a folder the file is moved, so that a blob appears whole or not at all. `file` must be on the file system of the
    folder (`spool_folder`). The only copy is waited for until the disk has it; what a power cut takes of others is
    found out when it is read (`holds`), and fetched again.
    """
    final = path(sha512)
    if final is None:
        with file.open("rb") as stream:  # over what may be there: its age must be that of the last put (janitor)
            _storage().save(keys.blob(sha512), File(stream))
        file.unlink()
        return
    final.parent.mkdir(parents=True, exist_ok=True)
    if is_only_copy:
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
    file.replace(final)


def path(sha512: str) -> Path | None:
    """Where the blob is, or would be, in the file system; None when the store is not a folder."""
    try:
        return Path(_storage().path(keys.blob(sha512)))
    except NotImplementedError:
        return None


def holds(sha512: str, size: int) -> bool:
    """Whether the bytes are where they should be. A folder is looked at; S3 is believed."""
    where = path(sha512)
    try:
        return where is None or where.stat().st_size == size
    except FileNotFoundError:
        return False


def read(sha512: str) -> IO[bytes]:
    """The blob's bytes, as a file. Raises FileNotFoundError."""
    return cast(IO[bytes], _storage().open(keys.blob(sha512), "rb"))


def url(sha512: str) -> str:
    """A URL that anyone may read the blob at for ten minutes. Only for stores that are not a folder."""
    return _storage().url(keys.blob(sha512))


def delete(sha512: str) -> None:
    """Remove the blob's bytes; that they are not there is no error."""
    _storage().delete(keys.blob(sha512))


def spool_folder() -> Path:
    """The folder for bytes that are not yet blobs."""
    folder: Path = settings.VAR / "spool"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _storage() -> Storage:
    return storages["blobs"]

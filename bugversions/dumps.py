"""Dumps of advisories as they come: a zip or a folder of JSON files, one for each advisory.

Nothing is unpacked to the disk, so names in a zip lead nowhere. What is read is bounded before it is in memory.
"""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

from registry.errors import Invalid

Entry = tuple[str, bytes]


@contextmanager
def opened(path: Path) -> Iterator[Iterator[Entry]]:
    """The name and text of each JSON file in the zip or folder at `path`. Raises `Invalid`."""
    if path.is_dir():
        yield _bounded(_folder(path))
        return
    try:
        with zipfile.ZipFile(path) as archive:
            yield _bounded(_archive(archive))
    except FileNotFoundError:
        raise Invalid(f"there is no file or folder {path.name}") from None
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise Invalid(f"it is not a zip that can be read: {error}") from error


def _bounded(entries: Iterator[Entry]) -> Iterator[Entry]:
    total = 0
    for count, (name, text) in enumerate(entries, 1):
        total += len(text)
        if count > settings.MAX_ADVISORIES:
            raise Invalid(f"the dump has more than {settings.MAX_ADVISORIES} files: raise LARDER_MAX_ADVISORIES")
        if total > settings.MAX_ADVISORIES_BYTES:
            raise Invalid("the dump unpacks to more bytes than LARDER_MAX_ADVISORIES_MB allows")
        yield name, text


def _folder(path: Path) -> Iterator[Entry]:
    for file in sorted(path.rglob("*.json")):
        if not file.is_symlink() and file.is_file():
            with file.open("rb") as stream:
                yield str(file.relative_to(path)), stream.read(settings.MAX_ADVISORY_BYTES + 1)


def _archive(archive: zipfile.ZipFile) -> Iterator[Entry]:
    for member in archive.infolist():
        if member.filename.endswith(".json") and not member.is_dir():
            with archive.open(member) as stream:
                yield member.filename, stream.read(settings.MAX_ADVISORY_BYTES + 1)

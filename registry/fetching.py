"""The socket for files that are fetched from a configured place: `settings.REGISTRY["DOWNLOAD"]`."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from django.conf import settings
from django.utils.module_loading import import_string


@dataclass(frozen=True, slots=True)
class Validators:
    """What tells one state of a file from another; empty where the place gave none."""

    etag: str = ""
    last_modified: str = ""


class Download(Protocol):
    """Fetches one file."""

    def __call__(self, url: str, into: Path, *, unless: Validators, max_bytes: int) -> Validators | None:
        """Write what is at `url` to the file `into`; None when it is still what `unless` says.

        `url` is one that an operator configured: no redirect leads from it into a private network, but into its own.
        Raises `Unavailable` when it does not come, and `TooLarge`.
        """
        ...


@lru_cache
def _socket() -> Download:
    found: Download = import_string(str(settings.REGISTRY["DOWNLOAD"]))
    return found


def download(url: str, into: Path, *, unless: Validators, max_bytes: int) -> Validators | None:
    """Fetch as `Download` says, by the configured implementation."""
    return _socket()(url, into, unless=unless, max_bytes=max_bytes)

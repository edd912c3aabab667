"""The socket for what is not here: `settings.REGISTRY["ON_MISS"]`. `sync.pullthrough` is what we ship for it."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from django.conf import settings
from django.utils.module_loading import import_string

from registry.errors import NotFound
from registry.models import Blob, Version
from registry.names import PackageName


@dataclass(frozen=True, slots=True)
class Delivery:
    """A tarball on its way: `chunks` raises when it turns out to be cut off or not what its integrity says.

    The last bytes are only given once the whole is verified, so a bad tarball never looks finished.
    """

    size: int
    chunks: Iterator[bytes]
    # What caches between us and the reader are told.
    headers: tuple[tuple[str, str], ...] = (("Cache-Control", "private, no-store"),)


class OnMiss(Protocol):
    """Looks elsewhere for what readers ask for."""

    def refresh(self, name: PackageName, *, wanting: str | None = None) -> float | None:
        """Make what is here of `name` as current as it should be; `wanting` names a version that is not known here.

        Returns the Unix time until which the result counts as current, or None when nobody else can change it.
        Raises `Unavailable` when nothing is here and nobody can say whether there is such a package.
        """
        ...

    def tarball(self, version: Version) -> Delivery | Blob:
        """The tarball of `version`: on its way while it is verified and kept, or kept already.

        Raises `NotFound` or `Unavailable`.
        """
        ...

    def has(self, name: PackageName) -> bool:
        """Whether somebody else publishes under `name`. Raises `Unavailable` when that cannot be found out."""
        ...

    def attestations(self, name: PackageName, number: str) -> list[tuple[str, str]]:
        """What signers say elsewhere of a version: types of predicates and bundles, as texts; perhaps nothing.

        Raises `Unavailable`.
        """
        ...


class Nowhere:
    """There is no elsewhere."""

    def refresh(self, name: PackageName, *, wanting: str | None = None) -> float | None:
        """What is here is all there is."""
        return None

    def tarball(self, version: Version) -> Delivery | Blob:
        """No tarball comes from nowhere."""
        raise NotFound(f"the tarball of {version.number} is not here")

    def has(self, name: PackageName) -> bool:
        """Nobody else publishes."""
        return False

    def attestations(self, name: PackageName, number: str) -> list[tuple[str, str]]:
        """Nobody says anything."""
        return []


@lru_cache
def elsewhere() -> OnMiss:
    """The configured implementation."""
    path = settings.REGISTRY["ON_MISS"]
    socket: OnMiss = import_string(str(path))() if path else Nowhere()
    return socket

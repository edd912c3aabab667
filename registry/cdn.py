"""Caches between us and readers, such as a CDN: told what is not theirs to give any more.

Documents are asked for again each time they are given (`max-age=0`), but for a minute while that is done; tarballs are
kept for good, since what their URL stands for does not change. What is withheld, unpublished or restricted must go
there too. The socket is `settings.REGISTRY["CDN"]`.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Protocol

from django.conf import settings
from django.utils.module_loading import import_string

from registry import documents, policies
from registry.models import Package, Version
from registry.names import PackageName


class Purge(Protocol):
    """Has caches forget what they keep of a package."""

    def __call__(self, name: str, paths: Iterable[str]) -> None:
        """Purge these paths below the registry's URL, or all that has the tag `package/<name>`: whatever the cache can.

        Raises when it does not work: then it is tried again, until it does.
        """
        ...


@lru_cache
def _purge() -> Purge | None:
    path = str(settings.REGISTRY.get("CDN") or "")
    found: Purge | None = import_string(path) if path else None
    return found


def forget(name: PackageName) -> None:
    """Have caches forget the package's documents, and the tarballs that not everybody may have now."""
    purge = _purge()
    if purge is not None:
        purge(str(name), _paths(name))


def _paths(name: PackageName) -> Iterator[str]:
    spellings = dict.fromkeys([str(name), name.url.replace("%2f", "%2F")])  # escapes in capitals, as caches have them
    yield from (f"/{spelling}" for spelling in spellings)
    for number in _withheld(name):
        yield from (f"/{spelling}{path}" for spelling in spellings for path in _tarball_paths(name, number))


def _withheld(name: PackageName) -> list[str]:
    """The versions that are not for everybody, of those whose tarballs have been here: a cache has no others."""
    package = Package.objects.filter(name=str(name)).defer("head").first()
    if package is None:
        return []
    rows = Version.objects.filter(package=package).exclude(blob=None).values_list("number", "unpublished_at")
    judgement = policies.judge(package.name, package.stamp)
    if judgement.refused_whole or documents.is_private(package.stamp) or package.unpublished_at:
        return [number for number, _ in rows]
    return [number for number, unpublished_at in rows if unpublished_at or number in judgement.refused]


def _tarball_paths(name: PackageName, number: str) -> list[str]:
    """Where below its package clients ask for a tarball (`paths.TARBALLS`)."""
    file, scope = name.tarball(number), f"{name.scope}/" if name.scope else ""
    folders = dict.fromkeys(["-/", f"-/{scope}", "download/", f"download/{scope}"])
    return [f"/{folder}{file}" for folder in folders]

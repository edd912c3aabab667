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

from registry import policies
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
        purge(str(name), _paths(name, _withheld(name)))


def forget_tarballs(name: PackageName, numbers: Iterable[str]) -> None:
    """Have caches forget these tarballs: others have come in their place."""
    purge = _purge()
    if purge is not None:
        purge(str(name), _paths(name, numbers))


def forget_if_restricted(name: PackageName) -> None:
    """Have caches forget all of a package that is not for everybody any more."""
    package = Package.objects.filter(name=str(name), is_restricted=True).defer("head").first()
    if package is not None:
        rows = Version.objects.filter(package=package).exclude(blob=None)
        forget_tarballs(name, rows.values_list("number", flat=True).iterator())


def _paths(name: PackageName, numbers: Iterable[str]) -> Iterator[str]:
    spellings = dict.fromkeys([str(name), name.url.replace("%2f", "%2F")])  # escapes in capitals, as caches have them
    yield from (f"/{spelling}" for spelling in spellings)
    for number in numbers:
        yield from (f"/{spelling}{path}" for spelling in spellings for path in _tarball_paths(name, number))


def _withheld(name: PackageName) -> Iterator[str]:
    """The versions that are not for everybody.

    Of those that are held for their age, or went with their whole package, only what has been here: a cache has no
    others. One that a rule is about may have been here and be another tarball by now.
    """
    package = Package.objects.filter(name=str(name)).defer("head").first()
    if package is None:
        return
    judgement = policies.judge(package.name, package.stamp)
    is_whole = bool(judgement.refused_whole or package.unpublished_at)
    rows = Version.objects.filter(package=package).values_list("number", "unpublished_at", "blob")
    for number, unpublished_at, blob in rows.iterator():
        if number in judgement.refused or unpublished_at or (is_whole and blob is not None):
            yield number


def _tarball_paths(name: PackageName, number: str) -> list[str]:
    """Where below its package clients ask for a tarball (`paths.TARBALLS`)."""
    file, scope = name.tarball(number), f"{name.scope}/" if name.scope else ""
    folders = dict.fromkeys(["-/", f"-/{scope}", "download/", f"download/{scope}"])
    return [f"/{folder}{file}" for folder in folders]

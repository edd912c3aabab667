"""The socket for what is unsafe though it is no npm package: `settings.REGISTRY["SAFE_VERSIONS"]`.

A mirror of programs asks it which versions it should not offer. Without one, everything is safe.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from django.conf import settings
from django.utils.module_loading import import_string


@dataclass(frozen=True, slots=True)
class Unsafe:
    """Why a version should not be used, and which one should be in its place."""

    safe: str
    reason: str


class SafeVersions(Protocol):
    """Knows unsafe versions of programs."""

    def unsafe(self, program: str, version: str) -> Unsafe | None:
        """What is wrong with a version of a program, such as `22.1.0` of `node`; None when it is safe."""
        ...


class Everything:
    """Nobody knows anything bad."""

    def unsafe(self, program: str, version: str) -> Unsafe | None:
        """It is safe."""
        return None


@lru_cache
def versions() -> SafeVersions:
    """The configured implementation."""
    path = settings.REGISTRY.get("SAFE_VERSIONS", "")
    socket: SafeVersions = import_string(str(path))() if path else Everything()
    return socket

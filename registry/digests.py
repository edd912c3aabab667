"""Hashes of a tarball, computed in the one pass in which its bytes go by."""

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

# Strongest first, each with its length in bytes. Without md5: a match under it proves nothing.
_SIZES = {"sha512": 64, "sha384": 48, "sha256": 32, "sha1": 20}
_SHASUM = re.compile(r"[0-9a-fA-F]{40}")


class Digests:
    """What `dist` says about a tarball: feed it every chunk, then read."""

    def __init__(self) -> None:
        self._sha1 = hashlib.sha1(usedforsecurity=False)
        self._sha512 = hashlib.sha512()
        self._size = 0

    def update(self, chunk: bytes) -> None:
        """Counts `chunk` in."""
        self._sha1.update(chunk)
        self._sha512.update(chunk)
        self._size += len(chunk)

    @property
    def sha1(self) -> str:
        """In hex, as `dist.shasum` has it."""
        return self._sha1.hexdigest()

    @property
    def sha512(self) -> str:
        """In hex, as a blob is named."""
        return self._sha512.hexdigest()

    @property
    def size(self) -> int:
        """In bytes."""
        return self._size

    @property
    def integrity(self) -> str:
        """In base64 with its algorithm, as `dist.integrity` has it."""
        return f"sha512-{base64.b64encode(self._sha512.digest()).decode()}"


@dataclass(frozen=True, slots=True)
class Integrity:
    """What a `dist` promises about the bytes of its tarball: they have one of these hashes."""

    algorithm: str
    hashes: frozenset[bytes]

    @classmethod
    def of(cls, dist: Mapping[str, object]) -> Self | None:
        """The strongest promise that `dist` makes; None when it makes none that we can check."""
        promised = _from_sri(dist.get("integrity")) or _from_shasum(dist.get("shasum"))
        strongest = next((algorithm for algorithm in _SIZES if algorithm in promised), None)
        return cls(strongest, frozenset(promised[strongest])) if strongest else None

    def admits(self, *, sha512: str, sha1: str) -> bool:
        """Whether bytes with these hashes, in hex, are shown to be the promised ones."""
        known = {"sha512": sha512, "sha1": sha1}.get(self.algorithm)
        return known is not None and bytes.fromhex(known) in self.hashes

    def checker(self) -> "Checker":
        """A fresh check of one stream of bytes."""
        return Checker(self)


class Checker:
    """Tells whether the bytes that went by are the promised ones."""

    def __init__(self, integrity: Integrity) -> None:
        self._integrity = integrity
        self._hash = hashlib.new(integrity.algorithm, usedforsecurity=False)

    def update(self, chunk: bytes) -> None:
        """Counts `chunk` in."""
        self._hash.update(chunk)

    def matches(self) -> bool:
        """Whether all the bytes so far have a promised hash."""
        return self._hash.digest() in self._integrity.hashes


def _from_sri(integrity: object) -> dict[str, set[bytes]]:
    """The hashes that a subresource integrity string gives, by algorithm; what is malformed is left out."""
    promised: dict[str, set[bytes]] = {}
    for entry in integrity.split() if isinstance(integrity, str) else ():
        algorithm, _, encoded = entry.partition("?")[0].partition("-")
        try:
            digest = base64.b64decode(encoded, validate=True)
        except ValueError:
            continue
        if len(digest) == _SIZES.get(algorithm):
            promised.setdefault(algorithm, set()).add(digest)
    return promised


def _from_shasum(shasum: object) -> dict[str, set[bytes]]:
    if isinstance(shasum, str) and _SHASUM.fullmatch(shasum):
        return {"sha1": {bytes.fromhex(shasum)}}
    return {}

"""Which versions of Node are safe, by the ranges that were imported."""

import time
from dataclasses import dataclass

from bugversions.models import UnsafeNode
from bugversions.reading import NODE_TABLE
from registry import generation, semver
from registry.errors import Invalid
from registry.safety import Unsafe

_KEPT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said of a version of Node: `safe` is the version to use, itself when nothing is wrong with it."""

    version: str
    safe: str
    reason: str | None


class SafeNode:
    """Implements `registry.safety.SafeVersions`."""

    def unsafe(self, program: str, version: str) -> Unsafe | None:
        """What the ranges say of a version of Node; of other programs they say nothing."""
        found = unsafe(version) if program == "node" else None
        return Unsafe(*found) if found else None


def unsafe(number: str) -> tuple[str, str] | None:
    """The version to use in its place, and why; None for one that is safe. `v22.1.0` and `22.1.0` are the same.

    The ranges are about prereleases too: a nightly build of an unsafe version is no better.
    """
    try:
        version = semver.Version.parse(number.removeprefix("v"), loose=True)
    except semver.InvalidVersion:
        return None
    for versions, row in _table().rows:
        if versions.satisfied_by(version, include_prerelease=True):
            return row.replacement, row.reason
    return None


def judge(text: str) -> Verdict:
    """The verdict on an exact version. Raises `Invalid` for what is none."""
    number = semver.clean(text)
    if number is None:
        raise Invalid(
            f"{text[:80]!r} is no version: ask about an exact one, such as 22.1.0. What is safe of a line or a range, "
            "/-/binary/node-safe/index.json lists"
        )
    found = unsafe(number)
    return Verdict(number, *found) if found else Verdict(number, number, None)


def told() -> dict[str, dict[str, str]]:
    """The ranges, in the shape of the table `unsafe-node-versions` of the package `bug-versions`."""
    return {row.versions: {"version": row.replacement, "reason": row.reason} for _, row in _table().rows}


@dataclass(frozen=True, slots=True)
class _Table:
    """The ranges as they were at one moment, in their order: the first that a version is in counts.

    They are kept as read, because an index asks about each of its hundreds of releases.
    """

    rows: tuple[tuple[semver.Range, UnsafeNode], ...]
    generation: int
    read_at: float


_known: _Table | None = None


def _table() -> _Table:
    global _known  # noqa: PLW0603 (one memory per process)
    now, known = generation.current(), _known
    if known is None or known.generation != now or time.monotonic() - known.read_at > _KEPT_SECONDS:
        rows = UnsafeNode.objects.filter(source=NODE_TABLE)
        read = tuple((semver.Range.parse(row.versions), row) for row in rows)
        _known = known = _Table(read, now, time.monotonic())
    return known

"""Which versions of Node are safe, by the ranges that were imported."""

from dataclasses import dataclass

from bugversions import values
from bugversions.models import UnsafeNode
from bugversions.reading import NODE_TABLE
from registry import semver
from registry.errors import Invalid


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said of a version of Node: `safe` is the version to use, itself when nothing is wrong with it."""

    version: str
    safe: str
    reason: str | None


def unsafe(number: str) -> tuple[str, str] | None:
    """The version to use in its place, and why; None for one that is safe. `v22.1.0` and `22.1.0` are the same."""
    for row in UnsafeNode.objects.filter(source=NODE_TABLE):
        if values.matches(row.versions, number.removeprefix("v")):
            return row.replacement, row.reason
    return None


def judge(text: str) -> Verdict:
    """The verdict on an exact version. Raises `Invalid` for what is none."""
    number = semver.clean(text)
    if number is None:
        raise Invalid(f"{text[:80]!r} is no version: ask for one such as 22.1.0")
    found = unsafe(number)
    return Verdict(number, *found) if found else Verdict(number, number, None)

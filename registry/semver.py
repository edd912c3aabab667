"""Versions and ranges as npm means them: what ``node-semver`` 7 answers, this answers.

A *range* is a list of alternatives (``||``), each of them a set of *comparators* that must all hold.
Whatever else people write (``^1.2``, ``~1``, ``1.x``, ``1 - 2``) is sugar: an operator and a *partial*
version, rewritten as comparators when the range is read.

Text comes from strangers: lengths are bounded, and every pattern reads a character by one route only
(possessive quantifiers), so that reading takes time linear in the text. What npm half-reads by accident is
refused here: a star glued to a full version (``1.2.3*``), bounds that leave JavaScript's exact numbers.
"""

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import total_ordering
from itertools import chain, takewhile
from operator import eq, ge, gt, le, lt
from typing import Self, TypeAlias

MAX_VERSION_LENGTH = 256
MAX_RANGE_LENGTH = 1_024
MAX_COMPONENT = 2**53 - 1  # JavaScript's numbers are exact up to here

# JavaScript's whitespace. Python's has a few control characters more, and not the byte order mark.
_SPACES = re.compile("[\t-\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]+")


def _squeezed(text: str) -> str:
    return _SPACES.sub(" ", text).strip(" ")


def _dotted(identifier: str) -> str:
    return rf"{identifier}(?:\.{identifier})*+"


_DIGITS = "[0-9]++"
_NUMBER = "(?:0|[1-9][0-9]*+)"
_IDENTIFIER = "[0-9A-Za-z-]++"
_STRICT_IDENTIFIER = rf"(?!0[0-9]++(?![A-Za-z-])){_IDENTIFIER}"  # no number with a leading zero
_BUILD = rf"\+({_dotted(_IDENTIFIER)})"
_STRICT_PRERELEASE = f"(?:-({_dotted(_STRICT_IDENTIFIER)}))?"
_LOOSE_PRERELEASE = f"(?:-?({_dotted(_IDENTIFIER)}))?"
# A loose prerelease needs no hyphen, so npm reads 1.2.34.5 as 1.2.3-4.5: the last digit changes sides.
_LOOSE_PATCH = r"(?:[0-9]++|[0-9]+(?=[0-9]\.))"

_STRICT_VERSION = re.compile(rf"v?({_NUMBER})\.({_NUMBER})\.({_NUMBER}){_STRICT_PRERELEASE}(?:{_BUILD})?")
_LOOSE_VERSION = re.compile(rf"[v= ]*+({_DIGITS})\.({_DIGITS})\.({_LOOSE_PATCH}){_LOOSE_PRERELEASE}(?:{_BUILD})?")


class InvalidVersion(ValueError):
    """The text is no version that npm would accept."""


class InvalidRange(ValueError):
    """The text is no range that npm would accept."""


Precedence: TypeAlias = tuple[tuple[int, int, int], bool, tuple[tuple[bool, int | str], ...]]


@total_ordering
@dataclass(frozen=True, slots=True)
class Version:
    """One version of a package, ordered as npm orders it; build metadata takes no part in that."""

    major: int
    minor: int
    patch: int
    prerelease: tuple[int | str, ...] = ()
    build: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        if max(self.core) > MAX_COMPONENT:
            raise InvalidVersion(f"A version component is larger than {MAX_COMPONENT}.")

    @classmethod
    def parse(cls, text: str, *, loose: bool = False) -> Self:
        """Read a version; loose also takes what old packages carry: ``=1.2.3``, ``01.2.3``, ``1.2.3beta``."""
        if len(text) > MAX_VERSION_LENGTH:
            raise InvalidVersion(f"A version is longer than {MAX_VERSION_LENGTH} characters.")
        pattern = _LOOSE_VERSION if loose else _STRICT_VERSION
        match = pattern.fullmatch(_squeezed(text))
        if match is None:
            raise InvalidVersion(f"{text!r} is not a version.")
        major, minor, patch, prerelease, build = match.groups("")
        identifiers = tuple(int(part) if part.isdecimal() else part for part in _parts(prerelease))
        return cls(int(major), int(minor), int(patch), identifiers, _parts(build))

    @property
    def core(self) -> tuple[int, int, int]:
        return self.major, self.minor, self.patch

    @property
    def is_prerelease(self) -> bool:
        return bool(self.prerelease)

    @property
    def order_key(self) -> str:
        """A text whose byte order is npm's order of versions, for an index in the database.

        ``~`` marks a release and is above every identifier; ``,`` joins identifiers and is below everything
        that one may contain. A numeric identifier starts with its count of digits, which orders numbers of
        any size, and an alphanumeric one with ``=``, which is above the digits.
        """
        core = ".".join(f"{number:016d}" for number in self.core)
        return f"{core}-{','.join(map(_identifier_key, self.prerelease)) or '~'}"

    def __str__(self) -> str:
        core = ".".join(map(str, self.core))
        return f"{core}-{'.'.join(map(str, self.prerelease))}" if self.prerelease else core

    def __lt__(self, other: Self) -> bool:
        return self.precedence < other.precedence

    @property
    def precedence(self) -> Precedence:
        """What npm compares, in its order: releases above prereleases, words above numbers."""
        identifiers = tuple((isinstance(part, str), part) for part in self.prerelease)
        return self.core, not self.prerelease, identifiers


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(dotted.split(".")) if dotted else ()


def _identifier_key(identifier: int | str) -> str:
    return f"={identifier}" if isinstance(identifier, str) else f"{len(str(identifier)):03d}{identifier}"


def clean(text: str) -> str | None:
    """Give the canonical text of a version that may wear a ``v`` or ``=`` and build metadata."""
    try:
        return str(Version.parse(_squeezed(text).lstrip("=v")))
    except InvalidVersion:
        return None


_HOLDS: dict[str, Callable[[Precedence, Precedence], bool]] = {"<": lt, "<=": le, "=": eq, ">=": ge, ">": gt}


@dataclass(frozen=True, slots=True)
class Comparator:
    """One bound of a range.

    ``is_floor`` marks a lower bound that the range did not spell out (the ``1.0.0`` of ``1.x``). Where
    prereleases are included it takes in those of its own version too.
    """

    operator: str
    version: Version
    is_floor: bool = False

    @property
    def is_any(self) -> bool:
        """Whether npm takes this for ``*``, as it does while prereleases are not included."""
        return self.operator == ">=" and self.version == _ZERO

    def admits(self, version: Version) -> bool:
        return _HOLDS[self.operator](version.precedence, self.version.precedence)

    def admits_with_prereleases(self, version: Version) -> bool:
        return version.core >= self.version.core if self.is_floor else self.admits(version)

    def invites(self, version: Version) -> bool:
        """Whether the range names a prerelease of this same version, and so asks for prereleases of it."""
        return self.version.is_prerelease and self.version.core == version.core


Comparators: TypeAlias = tuple[Comparator, ...]
_ZERO = Version(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Partial:
    """A version of which only the first numbers need be given: ``1``, ``1.x``, ``1.2``, ``1.2.3-beta``."""

    numbers: tuple[int, ...]  # those before the first x
    version: Version  # the lowest one meant
    has_gap: bool  # a number after an x, as in 1.x.3

    @classmethod
    def of(cls, match: re.Match[str]) -> Self:
        written = match.group("major", "minor", "patch")
        numbers = tuple(map(int, takewhile(_is_number, written)))
        if len(numbers) == 3:
            return cls(numbers, Version.parse(match["version"], loose=True), has_gap=False)
        return cls(numbers, _release(numbers), has_gap=any(map(_is_number, written[len(numbers) :])))


def _is_number(component: str | None) -> bool:
    return component is not None and component not in {"x", "X", "*"}


def _release(numbers: tuple[int, ...]) -> Version:
    major, minor, patch = (*numbers, 0, 0, 0)[:3]
    return Version(major, minor, patch)


def _below(release: Version) -> Comparator:
    """Everything below a release and below its prereleases, of which ``-0`` is the lowest."""
    return Comparator("<", replace(release, prerelease=(0,)))


def _desugar(sign: str, partial: Partial) -> Comparators:
    """Rewrite an operator and a partial version as comparators."""
    if not partial.numbers:
        return (_below(_ZERO),) if sign in {"<", ">"} else ()
    is_full = len(partial.numbers) == 3
    if is_full and sign not in {"^", "~"}:
        return (Comparator(sign or "=", partial.version),)
    leftmost_nonzero = next((at for at, number in enumerate(partial.numbers) if number), 2)
    *kept, raised = partial.numbers[: {"^": leftmost_nonzero, "~": 1}.get(sign, 2) + 1]
    above = _release((*kept, raised + 1))
    floor = Comparator(">=", partial.version, is_floor=not is_full)
    ceiling = _below(above)
    beyond = Comparator(">=", above, is_floor=True)
    bounds = {"<": _below(partial.version), "<=": ceiling, ">": beyond, ">=": floor}
    return (bounds[sign],) if sign in bounds else (floor, ceiling)


def _simple_pattern(prefix: str, number: str, patch: str, prerelease: str) -> re.Pattern[str]:
    x = "[xX*]"
    tail = rf"(?:\.(?P<minor>{number}|{x})(?:\.(?P<patch>{patch}|{x}){prerelease})?)?"
    version = f"(?P<version>(?P<major>{number}|{x}){tail})"
    return re.compile(rf"(?P<sign>[<>]=?|[~^]|){prefix}{version}")


_STRICT_SIMPLE = _simple_pattern("(?:(?<![<>=])=)?v?", _NUMBER, _NUMBER, _STRICT_PRERELEASE)
_LOOSE_SIMPLE = _simple_pattern("[v=]*+", _DIGITS, _LOOSE_PATCH, _LOOSE_PRERELEASE)
_BUILDS = re.compile(_BUILD)
# What stands between a sign and its version. As in npm, "> =1" is no sign at all, and "~>" is "~".
_SIGN_GAP = re.compile(r"(~) ?>?=? ?|(\^) |([<>]=?|(?<![v=<>])=) (?=[v=]*[0-9xX*])")


def _simple(word: str, pattern: re.Pattern[str]) -> Comparators | None:
    """What one word asks for; None when it is no part of a range."""
    match = pattern.fullmatch(word)
    if match is None:
        return None if word else ()
    sign, partial = match["sign"], Partial.of(match)
    return None if partial.has_gap and sign not in {"^", "~"} else _desugar(sign, partial)


def _hyphen_range(text: str, pattern: re.Pattern[str]) -> Comparators | None:
    """What ``1.2 - 2.3`` asks for; None when the text is not of that form."""
    sides = [pattern.fullmatch(side) for side in text.split(" - ")]
    partials = [Partial.of(match) for match in sides if match and not match["sign"]]
    if not len(partials) == len(sides) == 2:
        return None
    low, high = partials
    floor = Comparator(">=", low.version, is_floor=not low.version.is_prerelease)
    return ((floor,) if low.numbers else ()) + _desugar("<=", high)


def _alternative(text: str, *, loose: bool) -> Comparators | None:
    """What one side of ``||`` asks for; None when a loose reading leaves nothing of it."""
    pattern = _LOOSE_SIMPLE if loose else _STRICT_SIMPLE
    text = _SIGN_GAP.sub(r"\1\2\3", _BUILDS.sub("", text))
    hyphen_range = _hyphen_range(text, pattern)
    if hyphen_range is not None:
        return hyphen_range
    read = [_simple(word, pattern) for word in text.split(" ")]
    understood = [comparators for comparators in read if comparators is not None]
    if len(understood) < len(read) and not loose:
        raise InvalidRange(f"{text!r} is not a range.")
    return tuple(chain.from_iterable(understood)) if understood else None


@dataclass(frozen=True, slots=True)
class Range:
    """A set of versions, as a dependency or a rule names it."""

    text: str
    alternatives: tuple[Comparators, ...]

    @classmethod
    def parse(cls, text: str, *, loose: bool = True) -> Self:
        """Read a range; loose skips the words that mean nothing, as npm does for dependencies."""
        if len(text) > MAX_RANGE_LENGTH:
            raise InvalidRange(f"A range is longer than {MAX_RANGE_LENGTH} characters.")
        text = _squeezed(text)
        try:
            read = [_alternative(side.strip(), loose=loose) for side in text.split("||")]
        except InvalidVersion as error:
            raise InvalidRange(str(error)) from error
        alternatives = tuple(comparators for comparators in read if comparators is not None)
        if not alternatives:
            raise InvalidRange(f"{text!r} is not a range.")
        return cls(text, alternatives)

    @property
    def is_any(self) -> bool:
        """Whether one alternative is ``*``: it swallows the others, and the prereleases that they name."""
        return any(all(comparator.is_any for comparator in side) for side in self.alternatives)

    def satisfied_by(self, version: Version, *, include_prerelease: bool = False) -> bool:
        """Whether the version is in the range.

        A prerelease is only if the range names a prerelease of the same version, or all are included.
        """
        if include_prerelease:
            return any(all(c.admits_with_prereleases(version) for c in side) for side in self.alternatives)
        if self.is_any:
            return not version.is_prerelease
        sides: Iterable[Comparators] = self.alternatives
        if version.is_prerelease:
            sides = (side for side in sides if any(c.invites(version) for c in side))
        return any(all(c.is_any or c.admits(version) for c in side) for side in sides)


def is_range(text: str) -> bool:
    """Whether a client would take the text for a range or a version, and not for the name of a tag."""
    try:
        Range.parse(text)
    except InvalidRange:
        return False
    return True


def max_satisfying(versions: Iterable[str], range_text: str, *, include_prerelease: bool = False) -> str | None:
    """Give the highest of the versions that is in the range; None when there is none, or no such range."""
    try:
        wanted = Range.parse(range_text)
    except InvalidRange:
        return None
    fitting = {
        text: version
        for text, version in _readable(versions).items()
        if wanted.satisfied_by(version, include_prerelease=include_prerelease)
    }
    return max(fitting, key=fitting.__getitem__, default=None)


def highest(versions: Iterable[str]) -> str | None:
    """Give the highest release, or the highest prerelease where there is no release."""
    read = _readable(versions)
    return max(read, key=lambda text: (not read[text].is_prerelease, read[text]), default=None)


def _readable(versions: Iterable[str]) -> dict[str, Version]:
    read = {}
    for text in versions:
        with suppress(InvalidVersion):
            read[text] = Version.parse(text, loose=True)
    return read

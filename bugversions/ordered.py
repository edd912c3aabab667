"""Versions in npm's order, so that all that a rule is about are found at once. Pure.

The answer is `values.matches` for each of them; but versions are read once and not for each rule, and the bounds of a
range are looked up in the order: a package may have thousands of versions, and dozens of rules.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cached_property, lru_cache

from registry import semver
from registry.semver import Comparators, InvalidRange, InvalidVersion, Precedence, Range, Version


class Ordered:
    """Some versions of a package."""

    def __init__(self, numbers: Iterable[str]) -> None:
        self._at = defaultdict[Precedence, list[str]](list)
        self._unread = set[str]()  # what is no version is only itself
        for number in numbers:
            place = _place(number)
            if place is not None:
                self._at[place].append(number)
            else:
                self._unread.add(number)

    def about(self, versions: str) -> Iterator[str]:
        """Those that a rule's versions are about; no order is promised."""
        if versions in self._unread:
            yield versions
        exact = semver.clean(versions)
        if exact is not None:
            yield from self._at.get(Version.parse(exact).precedence, ())
            return
        try:
            wanted = Range.parse(versions)
        except InvalidRange:
            return
        for side in wanted.alternatives:
            for place in self._places[self._span(side)]:
                yield from self._at[place]

    @cached_property
    def _places(self) -> list[Precedence]:
        return sorted(self._at)

    def _span(self, side: Comparators) -> slice:
        """Where those are that all the comparators admit, prereleases among them."""
        first, last = 0, len(self._places)
        for comparator in side:
            bound = comparator.version.precedence
            if comparator.is_floor:
                bound = (comparator.version.core, False, ())  # below all prereleases of it
            if comparator.operator in (">=", "="):
                first = max(first, bisect_left(self._places, bound))
            if comparator.operator == ">":
                first = max(first, bisect_right(self._places, bound))
            if comparator.operator in ("<=", "="):
                last = min(last, bisect_right(self._places, bound))
            if comparator.operator == "<":
                last = min(last, bisect_left(self._places, bound))
        return slice(first, last)


@lru_cache(maxsize=8192)
def _place(number: str) -> Precedence | None:
    try:
        return Version.parse(number, loose=True).precedence
    except InvalidVersion:
        return None

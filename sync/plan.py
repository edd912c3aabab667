"""What there is to do, as a value that one can print. Pure: most of what can be got wrong about a sync is here."""

from collections.abc import Mapping
from dataclasses import dataclass

# An upstream that suddenly lists less than half of what it had, or nothing at all, is rather ill than right.
MASS_REMOVAL = 10

# What npm leaves in place of a package that it took away for security's sake.
_HOLDING = "0.0.1-security"


@dataclass(frozen=True, slots=True)
class Plan:
    """Version numbers to add, to change and to turn into tombstones."""

    added: tuple[str, ...]
    edited: tuple[str, ...]
    removed: tuple[str, ...]
    # Gone upstream, and not believed yet: they stay.
    doubted: tuple[str, ...] = ()
    # So many of them that it takes a human to believe it.
    is_mass: bool = False
    # npm's placeholder for what it took away for security's sake: that is believed however much it is.
    is_holding: bool = False

    def __str__(self) -> str:
        parts = [
            f"{len(self.added)} to add",
            f"{len(self.edited)} to change",
            f"{len(self.removed)} to remove",
        ]
        return ", ".join([*parts, f"{len(self.doubted)} gone upstream and kept"] if self.doubted else parts)


def compare(
    theirs: Mapping[str, str],
    ours: Mapping[str, str],
    gone: frozenset[str] = frozenset(),
    confirmed: frozenset[str] = frozenset(),
) -> Plan:
    """What makes `ours` like `theirs`; both map version numbers to digests, `gone` are our tombstones among `ours`.

    What they do not have is removed when it is among those `confirmed`.
    """
    missing = tuple(number for number in ours if number not in theirs and number not in gone)
    standing = len(ours) - len(gone)
    is_many = not theirs or (len(missing) >= MASS_REMOVAL and len(missing) * 2 > standing)
    return Plan(
        added=tuple(number for number in theirs if number not in ours),
        edited=tuple(
            number for number, digest in theirs.items() if number in ours and (ours[number] != digest or number in gone)
        ),
        removed=tuple(number for number in missing if number in confirmed),
        doubted=tuple(number for number in missing if number not in confirmed),
        is_mass=bool(missing) and is_many and not is_holding(theirs),
        is_holding=is_holding(theirs),
    )


def is_holding(theirs: Mapping[str, str]) -> bool:
    """Whether these versions are npm's placeholder for a package that was taken away (`0.0.1-security`, `….1`)."""
    return bool(theirs) and all(number.startswith(_HOLDING) for number in theirs)

"""What there is to do, as a value that one can print. Pure: most of what can be got wrong about a sync is here."""

from collections.abc import Mapping
from dataclasses import dataclass

# An upstream that suddenly lists less than half of what it had, or nothing at all, is rather ill than right.
MASS_REMOVAL = 10


@dataclass(frozen=True, slots=True)
class Plan:
    """Version numbers to add, to change and to turn into tombstones."""

    added: tuple[str, ...]
    edited: tuple[str, ...]
    removed: tuple[str, ...]
    # Gone upstream, but so many at once that it takes a human to believe it; they stay.
    doubted: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [
            f"{len(self.added)} to add",
            f"{len(self.edited)} to change",
            f"{len(self.removed)} to remove",
        ]
        return ", ".join([*parts, f"{len(self.doubted)} doubtful removals kept"] if self.doubted else parts)


def compare(theirs: Mapping[str, str], ours: Mapping[str, str], gone: frozenset[str] = frozenset()) -> Plan:
    """What makes `ours` like `theirs`; both map version numbers to digests, `gone` are our tombstones among `ours`."""
    missing = tuple(number for number in ours if number not in theirs and number not in gone)
    standing = len(ours) - len(gone)
    is_mass = not theirs or (len(missing) >= MASS_REMOVAL and len(missing) * 2 > standing)
    return Plan(
        added=tuple(number for number in theirs if number not in ours),
        edited=tuple(
            number for number, digest in theirs.items() if number in ours and (ours[number] != digest or number in gone)
        ),
        removed=() if is_mass else missing,
        doubted=missing if is_mass else (),
    )

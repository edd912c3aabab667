"""The trees that npm 6, pnpm 8 to 10 and yarn 1 send to be audited, and the report that they print. Pure.

A tree is where packages lie, as in a lockfile; the report names the ways in which they are required. A node of the tree
that requires a package means the nearest one of that name, as `require` does.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from registry.errors import Invalid, TooLarge

# How many ways to one package are told, and how many steps are looked at to find them.
_MAX_PATHS, _MAX_STEPS = 20, 2_000

Json = Mapping[str, Any]


@dataclass(slots=True, eq=False)
class Node:
    """A package where it lies. The root, which is the project, has no version."""

    name: str
    version: str
    parent: "Node | None"
    facts: Json
    below: dict[str, "Node"] = field(default_factory=dict)
    required_by: list["Node"] = field(default_factory=list)

    def requires(self, name: str) -> str:
        """The range in which it requires another."""
        wanted = self.facts.get("requires")
        given = wanted.get(name) if isinstance(wanted, dict) else None
        return given if isinstance(given, str) else "*"

    @property
    def wants(self) -> list[str]:
        """What it requires."""
        wanted = self.facts.get("requires")
        return list(wanted) if isinstance(wanted, dict) else list(self.below)

    def nearest(self, name: str) -> "Node | None":
        """What it gets when it requires `name`."""
        node: Node | None = self
        while node is not None:
            if name in node.below:
                return node.below[name]
            node = node.parent
        return None

    def paths(self) -> list[tuple["Node", ...]]:
        """Ways from the project to it, the shortest first; where it lies, when nobody requires it."""
        found: list[tuple[Node, ...]] = []
        waiting: list[tuple[Node, ...]] = [(self,)]
        for step in range(_MAX_STEPS):
            if step == len(waiting) or len(found) == _MAX_PATHS:
                break
            path = waiting[step]
            for node in path[0].required_by:
                if node.parent is None:
                    found.append(path)
                elif node not in path:
                    waiting.append((node, *path))
        return found[:_MAX_PATHS] or [self._lineage()]

    def _lineage(self) -> tuple["Node", ...]:
        lineage, node = [self], self.parent
        while node is not None and node.parent is not None:
            lineage.append(node)
            node = node.parent
        return tuple(reversed(lineage))


def read(body: object, *, max_nodes: int, max_depth: int) -> list[Node]:
    """All packages of the tree in `body`. Raises `Invalid` or `TooLarge`."""
    root = _root(body)
    nodes: list[Node] = []
    level = [root]
    for _ in range(max_depth):
        level = [child for node in level for child in _children(node)]
        nodes += level
        if len(nodes) > max_nodes:
            raise TooLarge(f"this tree has more than {max_nodes} packages: audit it with a newer client")
        if not level:
            break
    else:
        raise Invalid(f"this tree is deeper than {max_depth} packages: audit it with a newer client")
    for node in [root, *nodes]:
        for name in node.wants:
            wanted = node.nearest(name)
            if wanted is not None:
                wanted.required_by.append(node)
    return nodes


def _root(body: object) -> Node:
    if not isinstance(body, dict):
        raise Invalid("an audit is a JSON object: the tree of a lockfile")
    if body.get("requires") and "dependencies" not in body:
        # npm 9 and 10 fall back to this with a lockfile of version 3, whose packages are not in the tree.
        raise Invalid("this tree has no packages, although it requires some: nothing can be said about it")
    return Node("", "", None, body)


def _children(node: Node) -> Iterator[Node]:
    given = node.facts.get("dependencies")
    for name, facts in given.items() if isinstance(given, dict) else ():
        if isinstance(facts, dict):
            real_name, version = _real(name, facts.get("version"))
            node.below[name] = child = Node(real_name, version, node, facts)
            yield child


def _real(name: str, version: object) -> tuple[str, str]:
    """npm writes an alias as `npm:<name>@<version>`."""
    if not isinstance(version, str):
        return name, ""
    if version.startswith("npm:"):
        aliased, _, number = version.removeprefix("npm:").rpartition("@")
        return aliased or name, number
    return name, version


def asked(nodes: Sequence[Node]) -> dict[str, list[str]]:
    """Which versions of which packages there are in the tree."""
    found: dict[str, dict[str, None]] = {}
    for node in nodes:
        if node.version:
            found.setdefault(node.name, {})[node.version] = None
    return {name: list(versions) for name, versions in found.items()}

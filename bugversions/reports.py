"""The report on a tree, as the old endpoints of `npm audit` gave it: what was found, where, and what mends it. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bugversions.auditing import Advice, Known
from bugversions.trees import Node
from registry import semver

Json = dict[str, Any]
Path = tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class _Hit:
    """An advice, and one way in which a package that it is about is required."""

    advice: Advice
    path: Path

    @property
    def node(self) -> Node:
        return self.path[-1]

    @property
    def text(self) -> str:
        return ">".join(node.name for node in self.path)


def write(nodes: Sequence[Node], known: Known, versions: Mapping[str, Sequence[str]]) -> Json:
    """The report; `versions` are those that there are of the packages that are hit."""
    hits = list(_hits(nodes, known))
    counts = dict.fromkeys(("info", "low", "moderate", "high", "critical"), 0)
    for hit in hits:
        counts[hit.advice.severity] += 1
    return {
        "actions": _actions(hits, _Mender(known, versions)),
        "advisories": _advisories(hits),
        "muted": [],
        "metadata": {"vulnerabilities": counts, **_sizes(nodes)},
    }


def _hits(nodes: Sequence[Node], known: Known) -> Iterator[_Hit]:
    for node in nodes:
        advices = [advice for advice in known.hits.get(node.name, ()) if advice.hits(node.version)]
        paths = node.paths() if advices else ()
        yield from (_Hit(advice, path) for advice in advices for path in paths)


def _sizes(nodes: Sequence[Node]) -> Json:
    dev = sum(1 for node in nodes if node.facts.get("dev") is True)
    optional = sum(1 for node in nodes if node.facts.get("optional") is True)
    return {
        "dependencies": len(nodes) - dev - optional,
        "devDependencies": dev,
        "optionalDependencies": optional,
        "totalDependencies": len(nodes),
    }


def _advisories(hits: Sequence[_Hit]) -> Json:
    found: dict[str, Json] = {}
    for hit in hits:
        shown = found.setdefault(str(hit.advice.number), _advisory(hit.advice))
        finding = next((one for one in shown["findings"] if one["version"] == hit.node.version), None)
        if finding is None:
            finding = {"version": hit.node.version, "paths": []}
            shown["findings"].append(finding)
        finding["paths"].append(hit.text)
    return found


def _advisory(advice: Advice) -> Json:
    ids = [advice.source, *advice.aliases.split()]
    return {
        "findings": [],
        "id": advice.number,
        "title": advice.title,
        "module_name": advice.package,
        "vulnerable_versions": advice.vulnerable_versions,
        "patched_versions": advice.patched_versions,
        "severity": advice.severity,
        "url": advice.url,
        "overview": advice.title,
        "recommendation": "",
        "references": advice.url,
        "cwe": ", ".join(advice.cwe.split()),
        "cves": [one for one in ids if one.startswith("CVE-")],
        "github_advisory_id": next((one for one in ids if one.startswith("GHSA-")), None),
        "cvss": {"score": advice.cvss_score, "vectorString": advice.cvss_vector or None},
        "found_by": None,
        "reported_by": None,
        "access": "public",
        "metadata": None,
    }


# --- What mends it ---------------------------------------------------------------------------------------------------


class _Mender:
    """Finds versions that are good in the place of bad ones."""

    def __init__(self, known: Known, versions: Mapping[str, Sequence[str]]) -> None:
        self._good = {
            name: [one for one in versions.get(name, ()) if not any(advice.hits(one) for advice in known.all[name])]
            for name in known.hits
        }

    def action(self, path: Path) -> Json:
        """What the person should do about the package at the end of `path`."""
        node, above = path[-1], path[-2] if len(path) > 1 else _root(path[0])
        good = self._good.get(node.name, [])
        target = semver.max_satisfying(good, above.requires(_called(node)))
        if target is not None and len(path) == 1:
            return {"action": "install", "module": node.name, "target": target, "isMajor": False}
        if target is not None:
            return {"action": "update", "module": node.name, "target": target, "depth": len(path)}
        newest = semver.highest(good) if len(path) == 1 else None
        if newest is not None and _is_above(newest, node.version):
            return {"action": "install", "module": node.name, "target": newest, "isMajor": True}
        return {"action": "review", "module": node.name}


def _actions(hits: Sequence[_Hit], mender: _Mender) -> list[Json]:
    """One for each thing to do, with all that it resolves."""
    found: dict[tuple[Any, ...], Json] = {}
    for hit in hits:
        action = mender.action(hit.path)
        facts = hit.node.facts
        resolves = found.setdefault(tuple(action.values()), {**action, "resolves": []})["resolves"]
        flags = {flag: facts.get(flag) is True for flag in ("dev", "optional", "bundled")}
        resolves.append({"id": hit.advice.number, "path": hit.text, **flags})
    return list(found.values())


def _root(node: Node) -> Node:
    while node.parent is not None:
        node = node.parent
    return node


def _called(node: Node) -> str:
    """The name under which it is required: another than its own, for an alias."""
    below = node.parent.below if node.parent else {}
    return next((name for name, one in below.items() if one is node), node.name)


def _is_above(version: str, other: str) -> bool:
    try:
        return semver.Version.parse(version, loose=True) > semver.Version.parse(other, loose=True)
    except semver.InvalidVersion:
        return False

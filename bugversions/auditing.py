"""What is known against versions that somebody has installed: the answer to `npm audit`, from here and nobody else.

Two things are told: rules of this registry that are in force, and advisories that were imported. Advisories are public.
A rule is told only to those who may read the package that it is about. What the world knows of a name is not said of a
package of our own by that name: that is another package, for whoever may see ours.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from django.conf import settings

from audit.actors import Actor
from bugversions import deciding
from bugversions.models import Advisory, BugVersion
from registry import access, semver
from registry.errors import Invalid, TooLarge
from registry.models import Package, Version
from registry.names import PackageName
from registry.semver import MAX_RANGE_LENGTH, InvalidRange, InvalidVersion, Range

_NAMES_AT_ONCE = 500
_MAX_NAME, _MAX_TITLE = 255, 300
_SEVERITIES = {
    BugVersion.Action.FORBID: "critical",
    BugVersion.Action.HIDE: "high",
    BugVersion.Action.REPLACE: "high",
    BugVersion.Action.OVERRIDE: "moderate",
}
_COLUMNS = (
    "package", "vulnerable_versions", "source", "patched_versions", "severity", "title", "url", "aliases", "cwe",
    "cvss_score", "cvss_vector",
)  # fmt: skip

Asked = Mapping[str, Sequence[str]]


class Advice(NamedTuple):
    """One thing that is known against versions of a package."""

    package: str
    vulnerable_versions: str
    source: str
    patched_versions: str
    severity: str
    title: str
    url: str
    aliases: str = ""  # ids, with spaces between them
    cwe: str = ""
    cvss_score: float = 0
    cvss_vector: str = ""

    @property
    def number(self) -> int:
        """A number for clients, which want one: always the same, on every Larder. People write it down to ignore it."""
        digest = hashlib.sha256(f"{self.source} {self.package}".encode()).digest()
        return int.from_bytes(digest[:4]) >> 1

    def hits(self, version: str) -> bool:
        """Whether it is about this version."""
        return _hits(self.vulnerable_versions, version)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the packages that were asked about: what hits, and all that there is of those packages."""

    hits: dict[str, list[Advice]] = field(default_factory=dict)
    all: dict[str, list[Advice]] = field(default_factory=dict)


def find(asked: Asked, *, viewer: Actor, base: str) -> Known:
    """What is known against the `asked` versions, by package; `base` is this registry's URL for the reader."""
    access.require_reader(viewer)
    if len(asked) > settings.MAX_AUDIT_NAMES:
        raise TooLarge(f"an audit may ask about {settings.MAX_AUDIT_NAMES} packages at most")
    known = Known()
    names = [name for name in asked if len(name) <= _MAX_NAME and name.isprintable()]
    for start in range(0, len(names), _NAMES_AT_ONCE):
        _look_up({name: asked[name] for name in names[start : start + _NAMES_AT_ONCE]}, known, viewer, base)
    return known


def versions_here(names: Iterable[str], *, viewer: Actor) -> dict[str, list[str]]:
    """The versions that there are of those of the packages that `viewer` may read."""
    rows = Version.objects.filter(
        package__in=Package.objects.filter(access.readable(viewer), name__in=list(names)), unpublished_at=None
    )
    found: dict[str, list[str]] = {}
    for name, number in rows.values_list("package__name", "number"):
        found.setdefault(name, []).append(number)
    return found


def _look_up(asked: Asked, known: Known, viewer: Actor, base: str) -> None:
    world, hit = _world(asked)
    ours = _own(list(hit), viewer)
    rules, ruled = _rules(asked, base)
    told_of = _may_know(list(rules), viewer)
    for name in dict.fromkeys([*rules, *hit]):
        told = rules.get(name, []) if name in told_of else []
        advisories = hit[name] if name in hit and name not in ours else []
        hits = [*(advice for advice in told if advice in ruled), *_without_doubles(advisories, asked[name])]
        if hits:
            known.hits[name] = hits
            known.all[name] = [*told, *([] if name in ours else map(Advice._make, world.get(name, ())))]


def _world(asked: Asked) -> tuple[dict[str, list[tuple[Any, ...]]], dict[str, list[Advice]]]:
    """The rows of all advisories by package, and those that hit a version that was asked about."""
    rows: dict[str, list[tuple[Any, ...]]] = {}
    hit: dict[str, list[Advice]] = {}
    for row in Advisory.objects.filter(package__in=list(asked)).values_list(*_COLUMNS):
        name, vulnerable_versions = row[:2]
        rows.setdefault(name, []).append(row)
        if any(_hits(vulnerable_versions, version) for version in asked[name]):
            hit.setdefault(name, []).append(Advice._make(row))
    return rows, {name: sorted(advices, key=_source) for name, advices in hit.items()}


def _source(advice: Advice) -> str:
    return advice.source


def _without_doubles(advices: Sequence[Advice], versions: Sequence[str]) -> Sequence[Advice]:
    """Without those that only repeat what another one of them says under another id."""
    by_source = {advice.source: advice for advice in advices}
    doubles = {
        one.source
        for one in advices
        for other in map(by_source.get, one.aliases.split() if len(advices) > 1 else ())
        if other is not None and _repeats(one, other, versions)
    }
    return [advice for advice in advices if advice.source not in doubles] if doubles else advices


def _repeats(one: Advice, other: Advice, versions: Sequence[str]) -> bool:
    if (
        one.source in other.aliases.split() and one.source < other.source
    ):  # of two that name each other, the first stays
        return False
    return all(one.hits(version) == other.hits(version) for version in versions)


def _rules(asked: Asked, base: str) -> tuple[dict[str, list[Advice]], set[Advice]]:
    """All rules in force by package, as advice; and those of them that count for a version that was asked about."""
    by_name: dict[str, list[BugVersion]] = {}
    for rule in BugVersion.objects.in_force().filter(package__in=list(asked)).order_by("pk"):
        by_name.setdefault(rule.package, []).append(rule)
    advices = {rule.pk: _advice(rule, base) for rules in by_name.values() for rule in rules}
    counting = [rule for name, rules in by_name.items() for rule in deciding.choose(rules, asked[name]).values()]
    told = {name: [advices[rule.pk] for rule in rules] for name, rules in by_name.items()}
    return told, {advices[rule.pk] for rule in counting}


def _advice(rule: BugVersion, base: str) -> Advice:
    return Advice(
        package=rule.package,
        vulnerable_versions=rule.versions,
        source=f"{rule.action} {rule.versions}",
        patched_versions="<0.0.0",
        severity=_SEVERITIES[BugVersion.Action(rule.action)],
        title="".join(letter for letter in rule.reason if letter.isprintable())[:_MAX_TITLE],
        url=f"{base}/{rule.package}",
    )


def _own(names: Sequence[str], viewer: Actor) -> set[str]:
    """Those of the names under which a package is published here that `viewer` may read."""
    if not names:
        return set()
    packages = Package.objects.filter(access.readable(viewer), name__in=names, origin=None)
    return set(packages.values_list("name", flat=True))


def _may_know(names: Sequence[str], viewer: Actor) -> set[str]:
    """Those of the names whose rules `viewer` may know of: in a scope of ours, only those of packages they may read."""
    if not names:
        return set()
    here = dict(Package.objects.filter(name__in=names).values_list("name", "pk"))
    readable = set(Package.objects.filter(access.readable(viewer), pk__in=here.values()).values_list("name", flat=True))
    return readable | {name for name in names if name not in here and not _is_private(name)}


def _is_private(name: str) -> bool:
    with suppress(Invalid):
        return access.is_private_scope(PackageName.parse(name))
    return False


# --- Ranges, each read once ------------------------------------------------------------------------------------------


@lru_cache(maxsize=8_192)
def _range(text: str) -> Range | None:
    """None for one that cannot be read. Lists of versions may be longer than what people write as a range."""
    try:
        if len(text) <= MAX_RANGE_LENGTH:
            return Range.parse(text)
        sides = [Range.parse(side) for side in text.split("||")]
        return Range("", tuple(alternative for side in sides for alternative in side.alternatives))
    except InvalidRange:
        return None


@lru_cache(maxsize=8_192)
def _version(text: str) -> semver.Version | None:
    try:
        return semver.Version.parse(text, loose=True)
    except InvalidVersion:
        return None


def _hits(vulnerable_versions: str, version: str) -> bool:
    wanted, number = _range(vulnerable_versions), _version(version)
    return wanted is not None and number is not None and wanted.satisfied_by(number, include_prerelease=True)


def bulk(known: Known) -> dict[str, list[dict[str, Any]]]:
    """As npm 7 and later, pnpm 11, yarn berry, bun and deno read it."""
    return {name: [_bulk(advice) for advice in advices] for name, advices in known.hits.items()}


def _bulk(advice: Advice) -> dict[str, Any]:
    return {
        "id": advice.number,
        "url": advice.url,
        "title": advice.title,
        "severity": advice.severity,
        "vulnerable_versions": advice.vulnerable_versions,
        "cwe": advice.cwe.split(),
        "cvss": {"score": advice.cvss_score, "vectorString": advice.cvss_vector or None},
    }

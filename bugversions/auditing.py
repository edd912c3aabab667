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
from typing import Any

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


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing that is known against versions of a package."""

    package: str
    vulnerable_versions: str
    source: str
    patched_versions: str
    severity: str
    title: str
    url: str
    aliases: Sequence[str] = ()
    cwe: Sequence[str] = ()
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
    ours = _own(hit, viewer)
    rules, ruled = _rules(asked, base)
    told_of = _may_know(list(rules), viewer)
    for name in dict.fromkeys([*rules, *hit]):
        is_known = name in told_of
        advisories = [] if name in ours else _without_doubles(world.get(name, []), asked[name])
        hits = [
            *(advice for advice in rules.get(name, ()) if is_known and advice in ruled),
            *(advice for advice in advisories if any(map(advice.hits, asked[name]))),
        ]
        if hits:
            known.hits[name] = hits
            known.all[name] = [*(rules.get(name, ()) if is_known else ()), *advisories]


def _world(asked: Asked) -> tuple[dict[str, list[Advice]], list[str]]:
    """All advisories by package; and the names of those of which a version that was asked about is hit."""
    by_name: dict[str, list[Advice]] = {}
    rows = Advisory.objects.filter(package__in=list(asked)).order_by("package", "source").values_list(*_COLUMNS)
    for row in rows:
        by_name.setdefault(row[0], []).append(Advice(*row))
    hit = [name for name, ones in by_name.items() if any(one.hits(v) for one in ones for v in asked[name])]
    return by_name, hit


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


def _without_doubles(advices: Sequence[Advice], versions: Sequence[str]) -> list[Advice]:
    """Without those that only repeat what another one of them says under another id."""

    def extent(advice: Advice) -> list[bool]:
        return [advice.hits(version) for version in versions]

    by_source = {advice.source: advice for advice in advices}
    return [
        one
        for one in advices
        if not any(
            (other := by_source.get(alias)) is not None
            and extent(other) == extent(one)
            and not (one.source in other.aliases and one.source < other.source)
            for alias in one.aliases
        )
    ]


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
        "cwe": advice.cwe,
        "cvss": {"score": advice.cvss_score, "vectorString": advice.cvss_vector or None},
    }

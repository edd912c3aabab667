"""What an entry of an OSV dump says about npm packages (https://ossf.github.io/osv-schema/).

Entries come from strangers: each field is checked before it is believed, and no text keeps characters that a terminal
would obey.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bugversions import cvss
from registry import jsontext
from registry.semver import InvalidRange, InvalidVersion, Range, Version

MAX_RANGE = 16_384  # characters of the ranges of one package; malware has hundreds of versions, listed one by one
_MAX_INTERVALS, _MAX_VERSIONS = 500, 5_000
_MAX_TEXT, _MAX_NAME, _MAX_ITEMS = 300, 214, 50
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
_SEVERITIES = {
    "LOW": "low", "MODERATE": "moderate", "MEDIUM": "moderate", "HIGH": "high", "CRITICAL": "critical"
}  # fmt: skip
_NEVER = "<0.0.0"  # how npm says that no version is patched

Json = Mapping[str, Any]


class Unreadable(ValueError):
    """What it holds is no entry of OSV."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One package that an entry is about."""

    source: str  # the entry's id: GHSA-…, MAL-…
    package: str
    vulnerable_versions: str
    patched_versions: str
    severity: str
    title: str
    url: str
    aliases: str  # ids, with spaces between them
    cwe: str
    cvss_score: float
    cvss_vector: str
    modified: str


def read(text: bytes, *, max_bytes: int) -> list[Finding]:
    """What the entry says about npm packages: nothing when it is withdrawn, or about others. Raises `Unreadable`."""
    if len(text) > max_bytes:
        raise Unreadable("it is larger than LARDER_MAX_ADVISORY_KB allows")
    try:
        entry = jsontext.decode(text)
    except ValueError as error:
        raise Unreadable(f"it is not JSON: {error}") from error
    source = entry.get("id") if isinstance(entry, dict) else None
    if not isinstance(source, str) or not _ID.fullmatch(source):
        raise Unreadable("it has no id of at most 64 letters, digits, -, _, : and .")
    if entry.get("withdrawn"):
        return []
    affected: dict[str, list[Json]] = {}
    for one in _dicts(entry.get("affected")):
        package = _dict(one.get("package"))
        if package.get("ecosystem") == "npm":
            affected.setdefault(_name(package.get("name")), []).append(one)
    return [_finding(entry, name, ones) for name, ones in affected.items()]


def _finding(entry: Json, name: str, affected: Sequence[Json]) -> Finding:
    details = _dict(entry.get("database_specific"))
    source: str = entry["id"]
    vector, score = _cvss(
        [*_dicts(entry.get("severity")), *(v for one in affected for v in _dicts(one.get("severity")))]
    )
    intervals = [interval for one in affected for interval in _intervals(one)]
    versions = [version for one in affected for version in _versions(one)]
    if len(intervals) > _MAX_INTERVALS or len(versions) > _MAX_VERSIONS:
        raise Unreadable(f"it has more than {_MAX_INTERVALS} ranges or {_MAX_VERSIONS} versions of {name}")
    return Finding(
        source=source,
        package=name,
        vulnerable_versions=_vulnerable(intervals, versions),
        patched_versions=_patched(intervals),
        severity=_severity(source, details, score),
        title=_title(entry, source, name),
        url=_url(source),
        aliases=_ids(entry.get("aliases")),
        cwe=_ids(details.get("cwe_ids")),
        cvss_score=score or 0.0,
        cvss_vector=vector,
        modified=_text(entry.get("modified")),
    )


def _title(entry: Json, source: str, name: str) -> str:
    first_line = _text(entry.get("summary")) or _text(entry.get("details"))
    return first_line or (f"Malware in {name}" if source.startswith("MAL-") else f"{source}, about {name}")


def _url(source: str) -> str:
    """A page about the entry. pnpm finds the id of GitHub's in it."""
    place = "github.com/advisories" if source.startswith("GHSA-") else "osv.dev/vulnerability"
    return f"https://{place}/{source}"


def _severity(source: str, details: Json, score: float | None) -> str:
    said = _SEVERITIES.get(str(details.get("severity")).upper())
    if source.startswith("MAL-"):
        return "critical"
    return said or ("high" if score is None else cvss.severity(score))


def _cvss(given: Sequence[Json]) -> tuple[str, float | None]:
    """The first vector that has a score, or the first one."""
    vectors = [_text(one.get("score")) for one in given if str(one.get("type")).startswith("CVSS_")]
    scored = [(vector, score) for vector in vectors if (score := cvss.score(vector)) is not None]
    return next(iter(scored), (vectors[0] if vectors else "", None))


# --- Ranges ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Interval:
    """Versions from `first` (None: from the beginning) to where `end` says: `<1.2.3`, `<=1.2.3`, or nothing."""

    first: Version | None
    end: str
    fixed: Version | None  # what `end` is below of

    def __str__(self) -> str:
        return f"{f'>={self.first} ' if self.first else ''}{self.end}".strip() or "*"


def _intervals(one: Json) -> Iterator[_Interval]:
    known_end = _known_end(one)
    for given in _dicts(one.get("ranges")):
        if given.get("type") not in ("SEMVER", "ECOSYSTEM"):
            continue
        is_open, first = False, None
        for version, kind in sorted(_events(given), key=_place):
            if kind == "introduced" and not is_open:
                is_open, first = True, version
            elif kind != "introduced" and is_open:
                is_open = False
                if version is None:  # nothing is below the beginning
                    continue
                yield _Interval(
                    first, f"{'<' if kind == 'fixed' else '<='}{version}", version if kind == "fixed" else None
                )
        if is_open:
            yield _Interval(first, known_end, None)


def _events(given: Json) -> Iterator[tuple[Version | None, str]]:
    for event in _dicts(given.get("events")):
        for kind in ("introduced", "fixed", "last_affected"):
            if kind in event:
                yield _version(event[kind]), kind


def _place(event: tuple[Version | None, str]) -> tuple[Any, ...]:
    """The order of events: of one version, what ends comes first, except what ends with it."""
    version, kind = event
    rank = ("fixed", "introduced", "last_affected").index(kind)
    return (version is not None, version.precedence if version else (), rank)


def _known_end(one: Json) -> str:
    """GitHub writes an upper bound without a fix beside the range: `<= 1.2.3`."""
    said = _text(_dict(one.get("database_specific")).get("last_known_affected_version_range")).replace(" ", "")
    sign = "<=" if said.startswith("<=") else "<"
    if not said.startswith(sign):
        return ""
    return f"{sign}{_version(said.removeprefix(sign)) or '0.0.0'}"


def _vulnerable(intervals: Sequence[_Interval], versions: Sequence[Version]) -> str:
    texts = list(dict.fromkeys(map(str, intervals)))
    ranges = [Range.parse(text) for text in texts]
    listed = (one for one in versions if not any(r.satisfied_by(one, include_prerelease=True) for r in ranges))
    text = " || ".join(dict.fromkeys([*texts, *map(str, listed)]))
    if not text:
        raise Unreadable("it does not say which versions")
    if len(text) > MAX_RANGE:
        raise Unreadable(f"its ranges have more than {MAX_RANGE} characters")
    return text


def _patched(intervals: Sequence[_Interval]) -> str:
    """From each fix to where the next range begins."""
    ordered = sorted(intervals, key=lambda one: (one.first is not None, one.first.precedence if one.first else ()))
    texts = []
    for place, one in enumerate(ordered):
        following = next((later.first for later in ordered[place + 1 :] if later.first), None)
        if one.fixed and not (following and following < one.fixed):
            texts.append(f">={one.fixed} <{following}" if following else f">={one.fixed}")
    return " || ".join(texts)[:MAX_RANGE] or _NEVER


def _versions(one: Json) -> Iterator[Version]:
    listed = one.get("versions")
    for text in listed if isinstance(listed, list) else ():
        version = _version(text)
        if version is not None:
            yield version


def _version(value: object) -> Version | None:
    """None for `0`, which is before all versions."""
    if value == "0":
        return None
    try:
        return Version.parse(str(value), loose=True)
    except (InvalidVersion, InvalidRange) as error:
        raise Unreadable(str(error)) from error


# --- Fields ----------------------------------------------------------------------------------------------------------


def _name(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_NAME or not value.isprintable() or " " in value:
        raise Unreadable(f"it is about {str(value)[:50]!r}, which is no name of a package")
    return value


def _dict(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _dicts(value: object) -> list[Json]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _text(value: object) -> str:
    """The first line, as far as a terminal may show it."""
    if not isinstance(value, str):
        return ""
    line = value[: 4 * _MAX_TEXT].strip().partition("\n")[0]
    return "".join(letter for letter in line if letter.isprintable())[:_MAX_TEXT]


def _ids(value: object) -> str:
    items = value[:_MAX_ITEMS] if isinstance(value, list) else []
    return " ".join(text for item in items if (text := _text(item)) and len(text) <= 64 and " " not in text)

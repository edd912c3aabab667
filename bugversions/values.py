"""Rules as values: what one says, whether that makes sense, and which versions it is about. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from audit.facts import storable
from registry import semver
from registry.errors import Invalid
from registry.names import PackageName

LONGEST_REASON = 4_096
_LONGEST = 256
_MOST_OVERRIDES = 100
_TABLES = ("scripts", "dependencies", "optionalDependencies")


@dataclass(frozen=True, slots=True)
class Rule:
    """What to do about some versions of a package, and why."""

    package: str
    versions: str
    action: str
    reason: str
    replacement: str = ""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    repack: bool = False

    def require_sense(self) -> None:
        """Raise `Invalid` for what cannot be meant."""
        PackageName.parse(self.package)
        about = f"{self.package}@{self.versions[:80]}"
        _require_versions(self.versions, about)
        said: list[Any] = [self.versions, self.reason, self.replacement, self.overrides]
        if storable(said) != said:
            raise Invalid(f"{about}: there is half a letter or a NUL in it, which nobody can keep")
        if not self.reason.strip() or len(self.reason) > LONGEST_REASON:
            raise Invalid(f"{about} needs a reason, of {LONGEST_REASON:,} characters at most: people read it")
        if self.action == "replace":
            _require_replacement(self.replacement, about)
            if matches(self.versions, self.replacement):
                raise Invalid(f"{about} would be replaced by itself: name a version that the rule is not about")
        elif self.replacement:
            raise Invalid(f"{about}: only replace has a replacement")
        if self.action == "override":
            _require_overrides(self.overrides, about)
        elif self.overrides or self.repack:
            raise Invalid(f"{about}: only override has overrides, and repacks")
        _require_window(self.valid_from, self.valid_until, about)


def _require_versions(versions: str, about: str) -> None:
    if not versions.strip():
        raise Invalid(f"{about}: say which versions the rule is about; * are all")
    if not _is_range(versions) or len(versions) > _LONGEST:
        raise Invalid(f"{about}: {versions[:80]!r} is neither a version nor a range")


def _require_window(begins: datetime | None, ends: datetime | None, about: str) -> None:
    if any(moment is not None and moment.tzinfo is None for moment in (begins, ends)):
        raise Invalid(f"{about}: say in which time zone it begins and ends, such as 2026-11-27T12:00:00Z")
    if begins and ends and begins >= ends:
        raise Invalid(f"{about} would end before it begins")


def _is_range(text: str) -> bool:
    """Strictly: what clients skip without a word, such as the half before a comma, somebody has meant."""
    try:
        semver.Range.parse(text, loose=False)
    except semver.InvalidRange:
        return semver.clean(text) is not None
    return True


def _require_replacement(replacement: str, about: str) -> None:
    if semver.clean(replacement) != replacement:
        raise Invalid(f"{about}: the replacement {replacement[:80]!r} is no version: name one, such as 1.2.3")


def _require_overrides(overrides: object, about: str) -> None:
    if not isinstance(overrides, dict) or not overrides or set(overrides) - {*_TABLES, "gypfile"}:
        raise Invalid(f"{about}: override {', '.join(_TABLES)} or gypfile, and nothing else")
    for table in _TABLES:
        entries = overrides.get(table, {})
        if not isinstance(entries, dict) or len(entries) > _MOST_OVERRIDES:
            raise Invalid(f"{about}: {table} must be an object of {_MOST_OVERRIDES} entries at most")
        if not all(isinstance(text, str) and len(text) <= LONGEST_REASON for text in entries.values()):
            raise Invalid(f"{about}: what {table} are overridden with must be texts")
    if not isinstance(overrides.get("gypfile", False), bool):
        raise Invalid(f"{about}: gypfile is true or false")


def matches(versions: str, number: str) -> bool:
    """Whether a rule's versions are about this one. Build metadata does not count, and ranges are about prereleases."""
    try:
        version = semver.Version.parse(number, loose=True)
        exact = semver.clean(versions)
        if exact is not None:
            return semver.Version.parse(exact, loose=True) == version
        return semver.Range.parse(versions).satisfied_by(version, include_prerelease=True)
    except (semver.InvalidVersion, semver.InvalidRange):
        return versions == number


def require_no_chains(rules: Iterable[Rule]) -> None:
    """Raise `Invalid` when a rule sends installs to a version that another one sends away. All are of one package."""
    rules = list(rules)
    for rule in rules:
        if rule.action == "replace":
            require_no_chains_from(rule, rules)


def require_no_chains_from(rule: Rule, others: Iterable[Rule]) -> None:
    """Raise `Invalid` when one of the others sends away what this rule replaces versions by."""
    for other in others:
        if other is not rule and other.action != "override" and matches(other.versions, rule.replacement):
            raise Invalid(
                f"{rule.package}@{rule.versions} would be replaced by {rule.replacement}, which a rule for "
                f"{other.versions} is about ({other.action}): chains are not followed, name a version that is good"
            )

"""Which upstreams answer for a name, if any: the import guard that every road in asks.

A name that is ours, or reserved for us, is never asked for elsewhere: who registers it upstream must not get into our
installs (dependency confusion). The guard is asked twice: by the road, for where to ask (`route`), and by whoever
makes the request (`require`), so that no road, also none that is built later, can go around it.

**Several upstreams of a rule** are asked in their order, and the next one only when the one before said 404: that it
has never heard of the name. One that is ill, slow, resting, switched off, or that withholds a name (401, 410, 451), has
not said so. Then nobody else is asked; readers get what is here, or are told to try again. Otherwise whoever can make
the company's registry stumble for a moment decides that its names come from the public one.

**A package stays with the upstream that it came from** (`Package.origin`). The others are not asked for it, whatever
they have under its name and whatever becomes of it at its own, until an operator moves it
(`manage.py upstream move`). Where a rule names upstreams and the package came from none of them, it comes from nowhere.

Rules and upstreams are few and asked for at every miss, so a process keeps them for a second, or until the generation
says that something was committed.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from django.conf import settings

from registry import access, generation, patterns
from registry.errors import Forbidden
from registry.models import Package
from registry.names import PackageName
from sync import credentials
from sync.models import Freshness, ScopeRule, Upstream

DEFAULT = "default"
_KEPT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Route:
    """Where a name comes from, and in words why. No upstreams: from here or from nowhere."""

    name: PackageName
    mode: str  # what is done with the name; without a rule it is fetched when somebody asks
    rule: ScopeRule | None
    listed: tuple[Upstream, ...]  # those that may have it, in the order in which they are asked
    why: str
    is_here: bool
    origin: str | None  # where the package that is here came from; None too when it was published here

    @property
    def upstreams(self) -> tuple[Upstream, ...]:
        """Those that are asked: none that is switched off, and nobody in its place."""
        return tuple(takewhile(lambda one: one.is_enabled, self.listed))

    @property
    def waits_for(self) -> Upstream | None:
        """The first that is switched off."""
        return next((one for one in self.listed if not one.is_enabled), None)

    @property
    def upstream(self) -> Upstream | None:
        """The one that is asked first."""
        return self.upstreams[0] if self.upstreams else None

    def told(self) -> dict[str, Any]:
        """All of it, for people and programs."""
        here = f"from {self.origin}" if self.origin else "published here"
        return {
            "name": str(self.name),
            "rule": self.rule.pattern if self.rule else None,
            "mode": self.mode,
            "upstreams": [upstream.name for upstream in self.upstreams],
            "why": self.why,
            "here": here if self.is_here else None,
        }


@dataclass(frozen=True, slots=True)
class _Map:
    """The rules by their canonical patterns and the upstreams by name, as they were at one moment."""

    rules: Mapping[str, ScopeRule]
    upstreams: Mapping[str, Upstream]
    generation: int
    url: str
    read_at: float

    def is_current(self) -> bool:
        return (
            self.generation == generation.current()
            and self.url == settings.UPSTREAM_URL
            and time.monotonic() - self.read_at < _KEPT_SECONDS
        )

    def listed(self, rule: ScopeRule | None) -> list[Upstream]:
        """The upstreams that a rule names, in order; without any, and without a rule, the default one."""
        names = [DEFAULT if rule is None or rule.upstream is None else rule.upstream.name]
        if rule is not None:
            names += [fallback.upstream.name for fallback in rule.fallbacks.all()]
        return [self.upstreams[name] for name in dict.fromkeys(names) if name in self.upstreams]


_map: _Map | None = None


def route(name: PackageName, *, wanted: Upstream | None = None) -> Route:
    """The upstreams that `name` may be imported from; `wanted` is the one that somebody asks for it."""
    row = Package.objects.filter(name=str(name)).values_list("origin", "unpublished_at").first()
    origin = row[0] if row else None
    known = _known()
    rule = _fitting(known.rules, name)
    barred = _reserved(name, rule) or ("it was published on this registry" if row and origin is None else None)
    listed, why = ([], barred) if barred else _sources(known, rule, origin, wanted.name if wanted else None)
    mode = rule.mode if rule else ScopeRule.Mode.PROXY
    if barred and mode in ScopeRule.FROM_UPSTREAMS:  # for another reason than its rule
        mode = ScopeRule.Mode.PRIVATE
    return Route(name, mode, rule, tuple(listed), why, row is not None and row[1] is None, origin)


def require(name: PackageName, upstream: Upstream) -> None:
    """Raise `Forbidden` unless `name` may be fetched from `upstream`."""
    found = route(name, wanted=upstream)
    if not found.upstreams:
        raise Forbidden(f"not fetched: {found.why}")


def reserved(name: PackageName) -> str | None:
    """Why no upstream may even hear of `name`; None when that is no secret."""
    return _reserved(name, _fitting(_known().rules, name))


def barring_now(name: PackageName) -> ScopeRule | None:
    """The rule by which `name` must come from nowhere, if that is its rule.

    Asked of the rows, for an answer that is kept: on another host a rule may be known a second late.
    """
    if not ScopeRule.objects.exclude(mode__in=ScopeRule.FROM_UPSTREAMS).exists():
        return None
    return _barring(_rules(), name)


def barred_now(names: Iterable[str]) -> set[str]:
    """Those of the names that must come from nowhere, by rules as they are in the rows."""
    rules = _rules()
    return {name for name in names if _barring(rules, PackageName.parse(name))}


def forget() -> None:
    """Read rules and upstreams again at the next miss, in every process of this host."""
    generation.advance()


def default_upstream() -> Upstream | None:
    """The upstream of `LARDER_UPSTREAM_URL`. The setting wins over the row, which keeps what the breaker knows."""
    if settings.UPSTREAM_URL in ("", "none"):
        return None
    upstream, _ = Upstream.objects.get_or_create(name=DEFAULT, defaults={"url": settings.UPSTREAM_URL})
    if upstream.url != settings.UPSTREAM_URL:
        upstream.credentials = credentials.kept(upstream, settings.UPSTREAM_URL)
        upstream.url, upstream.failures, upstream.resting_until = settings.UPSTREAM_URL, 0, None
        upstream.save(update_fields=["url", "credentials", "failures", "resting_until"])
        Freshness.objects.filter(upstream=upstream).delete()  # another registry said all that
    return upstream


def _fitting(rules: Mapping[str, ScopeRule], name: PackageName) -> ScopeRule | None:
    """The most specific rule for `name`."""
    return next((rules[pattern] for pattern in patterns.fitting(name) if pattern in rules), None)


def _barring(rules: Mapping[str, ScopeRule], name: PackageName) -> ScopeRule | None:
    rule = _fitting(rules, name)
    return rule if rule is not None and rule.mode not in ScopeRule.FROM_UPSTREAMS else None


def _reserved(name: PackageName, rule: ScopeRule | None) -> str | None:
    if access.is_private_scope(name):
        return f"{name.scope} is a private scope of this registry"
    if rule is not None and rule.mode not in ScopeRule.FROM_UPSTREAMS:
        return f"the rule for {rule.pattern} says {rule.mode}"
    return None


def _sources(known: _Map, rule: ScopeRule | None, origin: str | None, wanted: str | None) -> tuple[list[Upstream], str]:
    """The upstreams to ask, and why these: the one that has the package, or is wanted, else all that the rule names."""
    listed = known.listed(rule)
    why = f"the rule for {rule.pattern}" if rule else "the default upstream" if listed else "no upstream is configured"
    chosen = origin or wanted
    if chosen is not None:
        why = f"it came from {origin}" if origin else f"asked for at {wanted}"
        if wanted not in (None, chosen):
            return [], f"{why}, not from {wanted}: manage.py upstream move {origin} {wanted} <name>"
        if chosen not in known.upstreams:
            return [], f"{why}, which is no upstream any more"
        if rule is not None and _names_upstreams(rule) and known.upstreams[chosen] not in listed:
            return [], f"{why}, which the rule for {rule.pattern} does not name"
        listed = [known.upstreams[chosen]]
    off = next((upstream for upstream in listed if not upstream.is_enabled), None)
    return listed, f"{why}; {off} is switched off, and nobody is asked in its place" if off else why


def _names_upstreams(rule: ScopeRule) -> bool:
    """Whether somebody decided where these names come from; the default upstream is for those nobody thought of."""
    return rule.upstream is not None or bool(rule.fallbacks.all())


def _known() -> _Map:
    global _map  # noqa: PLW0603 (one map per process)
    if _map is None or not _map.is_current():
        now, moment = generation.current(), time.monotonic()
        default = default_upstream()
        upstreams = {upstream.name: upstream for upstream in Upstream.objects.exclude(name=DEFAULT)}
        if default is not None:
            upstreams[DEFAULT] = default
        _map = _Map(_rules(), upstreams, now, settings.UPSTREAM_URL, moment)
    return _map


def _rules() -> dict[str, ScopeRule]:
    """The rules by what they are about. Of two for the same names the one that fetches nothing wins."""
    rows = ScopeRule.objects.select_related("upstream").prefetch_related("fallbacks__upstream")
    by_strictness = sorted(rows, key=lambda rule: rule.mode not in ScopeRule.FROM_UPSTREAMS)
    return {patterns.canonical(rule.pattern): rule for rule in by_strictness if patterns.is_one(rule.pattern)}

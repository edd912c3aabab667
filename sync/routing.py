"""Which upstream answers for a name, if any: the import guard that every road in asks.

A name that is ours, or reserved for us, is never asked for elsewhere: who registers it upstream must not get into our
installs (dependency confusion).

Rules and upstreams are few and asked for at every miss, so a process keeps them for a second, or until the generation
says that something was committed.
"""

import time
from dataclasses import dataclass

from django.conf import settings

from registry import access, generation
from registry.models import Package
from registry.names import PackageName
from sync.models import ScopeRule, Upstream

DEFAULT = "default"
_KEPT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Route:
    """Where a name comes from, and in words why. No upstream: from here or from nowhere."""

    upstream: Upstream | None
    why: str
    is_here: bool


@dataclass(frozen=True, slots=True)
class _Map:
    """The rules by pattern and the default upstream, as they were at one moment."""

    rules: dict[str, ScopeRule]
    default: Upstream | None
    generation: int
    url: str
    read_at: float

    def is_current(self) -> bool:
        return (
            self.generation == generation.current()
            and self.url == settings.UPSTREAM_URL
            and time.monotonic() - self.read_at < _KEPT_SECONDS
        )


_map: _Map | None = None


def route(name: PackageName) -> Route:
    """The upstream that `name` may be imported from."""
    row = Package.objects.filter(name=str(name)).values_list("origin", "unpublished_at").first()
    is_here = row is not None and row[1] is None
    upstream, why = _upstream(name, is_ours=row is not None and row[0] is None)
    return Route(upstream, why, is_here)


def forget() -> None:
    """Read rules and upstreams again at the next miss, in every process of this host."""
    generation.advance()


def _upstream(name: PackageName, *, is_ours: bool) -> tuple[Upstream | None, str]:
    if access.is_private_scope(name):
        return None, f"{name.scope} is a private scope of this registry"
    if is_ours:
        return None, f"{name} is published on this registry"
    known = _known()
    rule = _rule(name, known.rules)
    if rule is not None and rule.mode != ScopeRule.Mode.PROXY:
        return None, f"the rule for {rule.pattern} says {rule.mode}"
    if rule is not None and rule.upstream is not None:
        return (rule.upstream if rule.upstream.is_enabled else None), f"the rule for {rule.pattern}"
    return known.default, "the default upstream" if known.default else "no upstream is configured"


def _known() -> _Map:
    global _map  # noqa: PLW0603 (one map per process)
    if _map is None or not _map.is_current():
        now, moment = generation.current(), time.monotonic()
        rules = {rule.pattern: rule for rule in ScopeRule.objects.select_related("upstream")}
        _map = _Map(rules, default_upstream(), now, settings.UPSTREAM_URL, moment)
    return _map


def default_upstream() -> Upstream | None:
    """The upstream of `LARDER_UPSTREAM_URL`. The setting wins over the row, which keeps what the breaker knows."""
    if settings.UPSTREAM_URL in ("", "none"):
        return None
    upstream, _ = Upstream.objects.get_or_create(name=DEFAULT, defaults={"url": settings.UPSTREAM_URL})
    if upstream.url != settings.UPSTREAM_URL:
        upstream.url = settings.UPSTREAM_URL
        Upstream.objects.filter(pk=upstream.pk).update(url=upstream.url, failures=0, resting_until=None)
    return upstream if upstream.is_enabled else None


def _rule(name: PackageName, rules: dict[str, ScopeRule]) -> ScopeRule | None:
    """The most specific rule: the name itself, then its scope."""
    patterns = [str(name), *([name.scope, f"{name.scope}/*"] if name.scope else []), "*"]
    return next((rules[pattern] for pattern in patterns if pattern in rules), None)

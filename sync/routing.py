"""Which upstream answers for a name, if any: the import guard that every road in asks.

A name that is ours, or reserved for us, is never asked for elsewhere: who registers it upstream must not get into our
installs (dependency confusion).
"""

from dataclasses import dataclass

from django.conf import settings

from registry.models import Package
from registry.names import PackageName
from sync.models import ScopeRule, Upstream

DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Route:
    """Where a name comes from, and in words why. No upstream: from here or from nowhere."""

    upstream: Upstream | None
    why: str


def route(name: PackageName) -> Route:
    """The upstream that `name` may be imported from."""
    if name.scope in settings.PRIVATE_SCOPES:
        return Route(None, f"{name.scope} is a private scope of this registry")
    if Package.objects.filter(name=str(name), origin=None).exists():
        return Route(None, f"{name} is published on this registry")
    rule = _rule(name)
    if rule is not None and rule.mode != ScopeRule.Mode.PROXY:
        return Route(None, f"the rule for {rule.pattern} says {rule.mode}")
    if rule is not None and rule.upstream is not None:
        return Route(rule.upstream if rule.upstream.is_enabled else None, f"the rule for {rule.pattern}")
    upstream = default_upstream()
    return Route(upstream, "the default upstream" if upstream else "no upstream is configured")


def default_upstream() -> Upstream | None:
    """The upstream of `LARDER_UPSTREAM_URL`. The setting wins over the row, which keeps what the breaker knows."""
    if settings.UPSTREAM_URL in ("", "none"):
        return None
    upstream, _ = Upstream.objects.get_or_create(name=DEFAULT, defaults={"url": settings.UPSTREAM_URL})
    if upstream.url != settings.UPSTREAM_URL:
        upstream.url = settings.UPSTREAM_URL
        Upstream.objects.filter(pk=upstream.pk).update(url=upstream.url, failures=0, resting_until=None)
    return upstream if upstream.is_enabled else None


def _rule(name: PackageName) -> ScopeRule | None:
    """The most specific rule: the name itself, then its scope."""
    patterns = [str(name), *([name.scope, f"{name.scope}/*"] if name.scope else []), "*"]
    rules = {rule.pattern: rule for rule in ScopeRule.objects.filter(pattern__in=patterns).select_related("upstream")}
    return next((rules[pattern] for pattern in patterns if pattern in rules), None)

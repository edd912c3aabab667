"""Rules as operators keep them: which names come from where, in order, or from nowhere."""

from collections.abc import Sequence

from django.db import transaction
from django.db.models import Q

from audit import journal
from audit.actors import Actor
from registry import access, lifecycle, patterns
from registry.errors import Conflict, Invalid, NotFound
from registry.models import Package
from registry.names import PackageName
from sync import routing, upstreams
from sync.events import RULE_REMOVED, RULE_SET
from sync.models import Fallback, Migration, ScopeRule, Upstream


def put(
    pattern: str,
    mode: str,
    names: Sequence[str] = (),
    *,
    tarballs: str | None = ScopeRule.Tarballs.BY_MODE,
    is_migrating: bool = False,
    actor: Actor,
) -> ScopeRule:
    """Make the rule for `pattern` say this. `names` are upstreams in their order; none: the default one.

    `tarballs` is what `ScopeRule.tarballs` says; None leaves it. The rule of a migration is not changed by itself.
    """
    access.require_operator(actor)
    pattern, names = patterns.canonical(pattern), list(dict.fromkeys(names))
    _require_sense(pattern, mode, names, tarballs or "")
    with transaction.atomic():
        if not is_migrating:
            _require_no_migration(pattern)
            _require_no_migrating(pattern, mode)
        chosen = upstreams.locked(names)
        rule, is_new = ScopeRule.objects.get_or_create(pattern=_as_spelled(pattern), defaults={"mode": mode})
        previous = None if is_new else {"mode": rule.mode, "upstreams": names_of(rule)}
        is_about_barred = {rule.mode, mode} - set(ScopeRule.FROM_UPSTREAMS)
        kept = rule.tarballs if mode in ScopeRule.FROM_UPSTREAMS else ScopeRule.Tarballs.BY_MODE
        rule.pattern, rule.mode, rule.tarballs = pattern, mode, kept if tarballs is None else tarballs
        write(rule, chosen)
        if is_about_barred:
            _touch_what_came(pattern, actor)
        said = {"tarballs": tarballs} if tarballs else {}
        journal.record(RULE_SET, f"rule:{pattern}", actor=actor, mode=mode, upstreams=names, previous=previous, **said)
        transaction.on_commit(routing.forget)
    return rule


def remove(pattern: str, *, actor: Actor) -> None:
    """Let the next more general rule decide."""
    access.require_operator(actor)
    with transaction.atomic():
        rule = ScopeRule.objects.filter(pattern=_as_spelled(pattern)).first()
        if rule is None:
            raise NotFound(f"there is no rule for {pattern[:100]}: manage.py rule list shows those that there are")
        _require_no_migration(rule.pattern)
        mode, names = rule.mode, names_of(rule)
        rule.delete()
        if mode not in ScopeRule.FROM_UPSTREAMS:
            _touch_what_came(rule.pattern, actor)
        journal.record(RULE_REMOVED, f"rule:{rule.pattern}", actor=actor, mode=mode, upstreams=names)
        transaction.on_commit(routing.forget)


def names_of(rule: ScopeRule) -> list[str]:
    """The upstreams that the rule names, in order."""
    first = [rule.upstream.name] if rule.upstream else []
    return first + [fallback.upstream.name for fallback in rule.fallbacks.select_related("upstream")]


def is_in_private_scope(pattern: str) -> bool:
    """Whether the pattern is about names of a scope that is ours, for which no upstream is ever asked."""
    return pattern.startswith("@") and access.is_private_scope(PackageName(pattern.partition("/")[0], ""))


def write(rule: ScopeRule, chosen: Sequence[Upstream]) -> None:
    """Save the rule with these upstreams, in the caller's transaction."""
    rule.upstream = chosen[0] if chosen else None
    rule.save()
    rule.fallbacks.all().delete()
    others = [Fallback(rule=rule, upstream=one, position=place) for place, one in enumerate(chosen[1:], start=1)]
    Fallback.objects.bulk_create(others)


def _require_no_migration(pattern: str) -> None:
    """Without its rule, what is being brought over would be asked for at whatever registry comes next."""
    if Migration.objects.under_way().filter(pattern=pattern).exists():
        raise Conflict(f"{pattern} is being migrated: cut it over, or stop that first (manage.py migration stop)")


def _require_no_migrating(pattern: str, mode: str) -> None:
    """A migration knows who may read what comes; a mode alone does not."""
    if mode == ScopeRule.Mode.MIGRATE:
        raise Invalid(f"manage.py migration start {pattern} --from <upstream> makes that rule, and what belongs to it")


def _require_sense(pattern: str, mode: str, names: Sequence[str], tarballs: str) -> None:
    if mode not in ScopeRule.Mode.values:
        raise Invalid(f"there is no mode {mode[:50]!r}: {', '.join(ScopeRule.Mode.values)}")
    if tarballs not in ScopeRule.Tarballs.values:
        raise Invalid(f"tarballs are eager or lazy, not {tarballs[:50]!r}")
    if mode not in ScopeRule.FROM_UPSTREAMS:
        if tarballs:
            raise Invalid(f"no tarballs come of what is {mode}: leave {tarballs} out")
        if names:
            raise Invalid(f"what is {mode} comes from no upstream: leave {', '.join(names)} out")
    elif is_in_private_scope(pattern):
        raise Invalid(f"{pattern} is in a private scope of this registry, for which no upstream is ever asked")


def _as_spelled(pattern: str) -> str:
    """The pattern as a row has it; rows of old may say `@acme` for `@acme/*`."""
    known = list(ScopeRule.objects.select_for_update(no_key=True).values_list("pattern", flat=True))
    wanted = patterns.canonical(pattern) if patterns.is_one(pattern) else pattern
    same = [one for one in known if patterns.is_one(one) and patterns.canonical(one) == wanted]
    return next((one for one in (pattern, wanted) if one in known), same[0] if same else wanted)


def _touch_what_came(pattern: str, actor: Actor) -> None:
    """Have the documents of what came under these names made anew: it is served, or not any more (`sync.policies`)."""
    beginning = pattern.removesuffix("*")
    fits = Q(name__iexact=pattern) if beginning == pattern else Q(name__istartswith=beginning)
    names = Package.objects.filter(fits).exclude(origin=None).values_list("name", flat=True)
    lifecycle.touch_all(names, actor=actor)

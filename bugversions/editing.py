"""Rules come to be, change and go here: row, revision of the package, and event, in one transaction."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from audit import journal
from audit.actors import Actor
from audit.models import Event
from bugversions import values
from bugversions.events import RULE_ADDED, RULE_CHANGED, RULE_RETIRED, RULE_UNDONE
from bugversions.models import LOCAL, BugVersion, Clock
from bugversions.values import Rule
from registry import access, lifecycle
from registry.errors import Conflict, Invalid, NotFound

_LEAST_REASON = 10
_BATCH = 500
_FIELDS = ("package", "versions", "action", "reason", "replacement", "overrides", "valid_from", "valid_until", "repack")


# --- Rules --------------------------------------------------------------------------------------------------------


def add(rule: Rule, *, actor: Actor) -> BugVersion:
    """Make a rule of ours. Raises `Invalid` for one that makes no sense, `Conflict` for one that is there already."""
    access.require_operator(actor)
    with one_at_a_time():
        _require(rule)
        row, is_new = BugVersion.objects.get_or_create(
            package=rule.package, versions=rule.versions, action=rule.action, source=LOCAL, defaults=_facts(rule)
        )
        if not is_new and row.is_active:
            raise Conflict(f"there is such a rule already: {row}. Change that one")
        return _save(row, rule, RULE_ADDED, {}, actor)


def change(row: BugVersion, rule: Rule, *, actor: Actor) -> BugVersion:
    """Let a rule say something else. One that was imported is changed by a rule of ours about the same versions."""
    access.require_operator(actor)
    if row.source != LOCAL:
        raise Conflict(f"{row} comes from {row.source}, and would be back after its next import: add a rule of ours")
    with one_at_a_time():
        _require(rule, but=row)
        row = BugVersion.objects.select_for_update(no_key=True).get(pk=row.pk)
        _require_only(rule.package, rule.versions, rule.action, but=row)
        return _save(row, rule, RULE_CHANGED, {"before": said(row)}, actor)


def retire(row: BugVersion, *, reason: str, actor: Actor) -> None:
    """Let a rule count no more. It stays to be read, and an import does not bring it back."""
    access.require_operator(actor)
    reason = require_reason(reason)
    with transaction.atomic():
        if BugVersion.objects.filter(pk=row.pk, is_active=True).update(is_active=False):
            lifecycle.touch_all([row.package], actor=actor)
            subject, rule = f"package:{row.package}", said(row)
            journal.record(RULE_RETIRED, subject, actor=actor, action=row.action, reason=reason, rule=rule)


def undo(event: Event, *, reason: str, actor: Actor) -> None:
    """Take back what an event says was done to a rule: made, changed or retired.

    Raises `Invalid` or `Conflict` where rules that were made since do not go with what was before.
    """
    access.require_operator(actor)
    reason = require_reason(reason)
    facts = event.facts
    row = BugVersion.objects.filter(pk=facts.get("rule", {}).get("id")).first()
    if row is None or event.kind not in (RULE_ADDED.name, RULE_CHANGED.name, RULE_RETIRED.name):
        raise NotFound("there is nothing of a rule to take back in this event")
    before = {**facts.get("before", {})} if event.kind == RULE_CHANGED.name else {}
    with one_at_a_time():
        row = BugVersion.objects.select_for_update(no_key=True).get(pk=row.pk)
        lifecycle.touch_all({row.package, before.get("package", row.package)}, actor=actor)
        for name in _FIELDS if before else ():
            setattr(row, name, _moment(before[name]) if name.startswith("valid_") else before.get(name, False))
        if event.kind != RULE_CHANGED.name:  # what was changed counts, or does not, as it did before that
            row.is_active = event.kind == RULE_RETIRED.name
        _require_room(row)
        row.save()
        journal.record(RULE_UNDONE, f"package:{row.package}", actor=actor, reason=reason, event=event.pk)


def said(row: BugVersion) -> dict[str, Any]:
    """All that a rule says, as the journal keeps it."""
    moments = {name: _told(getattr(row, name)) for name in ("valid_from", "valid_until")}
    return {"id": row.pk, **{name: getattr(row, name) for name in _FIELDS}, **moments, "source": row.source}


def rule_of(row: BugVersion) -> Rule:
    """The rule in a row."""
    return Rule(**{name: getattr(row, name) for name in _FIELDS})


def rule_said(facts: Mapping[str, Any]) -> Rule:
    """The rule that `said` told of. Raises `Invalid`."""
    texts = [facts.get(name, "") for name in ("package", "versions", "action", "reason")]
    texts.append(facts.get("replacement") or "")
    if not all(isinstance(text, str) for text in texts) or texts[2] not in BugVersion.Action.values:
        raise Invalid(f"this is no rule, it needs a package, versions, an action and a reason: {str(facts)[:200]}")
    try:
        begins, ends = (_moment(facts.get(name)) for name in ("valid_from", "valid_until"))
    except (TypeError, ValueError) as error:
        raise Invalid(f"this is no moment of a rule: {error}") from error
    package, versions, action, reason, replacement = texts
    overrides, repack = facts.get("overrides") or {}, bool(facts.get("repack"))
    return Rule(package, versions, action, reason, replacement, overrides, begins, ends, repack)


def local() -> QuerySet[BugVersion]:
    """The rules of ours that are active."""
    return BugVersion.objects.filter(source=LOCAL, is_active=True).order_by("package", "versions", "action")


def require_reason(text: str) -> str:
    """The reason, or `Invalid` when it is too short to say anything."""
    if len(text.strip()) < _LEAST_REASON:
        raise Invalid(f"say why, in {_LEAST_REASON} characters or more: people who install read it")
    return text.strip()


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """A transaction in which no other rule is edited: two that are made at once could lead to each other."""
    with transaction.atomic():
        Clock.objects.get_or_create(pk=1, defaults={"told_until": timezone.now()})
        Clock.objects.select_for_update(no_key=True).get(pk=1)
        yield


def _require(rule: Rule, but: BugVersion | None = None) -> None:
    require_reason(rule.reason)
    rule.require_sense()
    others = BugVersion.objects.filter(package=rule.package, is_active=True, source=LOCAL)
    values.require_no_chains([rule, *(rule_of(row) for row in others if but is None or row.pk != but.pk)])
    if rule.action == "replace":
        imported = BugVersion.objects.filter(package=rule.package, is_active=True).exclude(source=LOCAL)
        values.require_no_chains_from(rule, [rule_of(row) for row in imported])


def _require_room(row: BugVersion) -> None:
    """Raise unless a row can be again what it was."""
    _require_only(row.package, row.versions, row.action, but=row)
    if row.is_active and row.source == LOCAL:
        _require(rule_of(row), but=row)


def _require_only(package: str, versions: str, action: str, *, but: BugVersion) -> None:
    rows = BugVersion.objects.filter(package=package, versions=versions, action=action, source=but.source)
    same = rows.exclude(pk=but.pk).first()
    if same is not None:
        which = "there is such a rule already" if same.is_active else "there is such a rule, retired"
        raise Conflict(f"{which}: {same}. Change that one{'' if same.is_active else ', or add it again'}")


def _facts(rule: Rule) -> dict[str, Any]:
    facts = asdict(rule)
    return {name: facts[name] for name in _FIELDS if name not in ("package", "versions", "action")}


def _save(row: BugVersion, rule: Rule, kind: Any, facts: dict[str, Any], actor: Actor) -> BugVersion:
    packages = {row.package, rule.package}
    for name, value in asdict(rule).items():
        setattr(row, name, value)
    row.is_active = True
    row.save()
    lifecycle.touch_all(packages, actor=actor)
    journal.record(
        kind, f"package:{row.package}", actor=actor, action=row.action, reason=row.reason, rule=said(row), **facts
    )
    return row


def _told(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


# --- Lists that are imported --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Diff:
    """What an import changed, in the words of `str(rule)`; `packages` are those that readers see differently."""

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    packages: list[str] = field(default_factory=list)


def replace_sources(lists: Mapping[str, Sequence[Rule]], *, actor: Actor) -> Diff:
    """Make the rules of each source these, in the caller's transaction. What operators retired stays retired.

    Only packages whose rules change are touched, all at once: who locks packages does so in the order of their names.
    Raises `Invalid` for a list in which anything makes no sense.
    """
    for rules in lists.values():
        _require_all(rules)
    diff, touched = Diff(), set[str]()
    for source, rules in lists.items():
        touched |= _replace_source(source, rules, diff)
    diff.packages.extend(lifecycle.touch_all(touched, actor=actor))
    for texts in (diff.added, diff.changed, diff.removed):
        texts.sort()
    return diff


def _replace_source(source: str, rules: Sequence[Rule], diff: Diff) -> set[str]:
    """Adds what changes to `diff`; returns the packages that readers may see differently by it."""
    rows = {_key(row): row for row in BugVersion.objects.select_for_update(no_key=True).filter(source=source)}
    wanted = {_key(rule): rule for rule in rules}
    added = [BugVersion(source=source, **asdict(rule)) for key, rule in wanted.items() if key not in rows]
    changed = [row for key, row in rows.items() if key in wanted and _update(row, wanted[key])]
    removed = [row for key, row in rows.items() if key not in wanted and row.is_active]  # the others stay retired
    BugVersion.objects.bulk_create(added, batch_size=_BATCH)
    BugVersion.objects.bulk_update(changed, ["reason", "replacement", "overrides"], batch_size=_BATCH)
    for start in range(0, len(removed), _BATCH):
        BugVersion.objects.filter(pk__in=[row.pk for row in removed[start : start + _BATCH]]).delete()
    for texts, some in ((diff.added, added), (diff.changed, changed), (diff.removed, removed)):
        texts.extend(str(row) for row in some)
    return {row.package for row in (*added, *changed, *removed) if row.is_active}


def _require_all(rules: Sequence[Rule]) -> None:
    by_package = defaultdict[str, list[Rule]](list)
    for rule in rules:
        rule.require_sense()
        by_package[rule.package].append(rule)
    for some in by_package.values():
        values.require_no_chains(some)


def _key(rule: Rule | BugVersion) -> tuple[str, str, str]:
    return rule.package, rule.versions, rule.action


def _update(row: BugVersion, rule: Rule) -> bool:
    before = row.reason, row.replacement, row.overrides
    row.reason, row.replacement, row.overrides = rule.reason, rule.replacement, dict(rule.overrides)
    return before != (row.reason, row.replacement, row.overrides)

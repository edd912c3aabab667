"""Lists of bad versions come in whole: as a diff, in one transaction, or not at all."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.db import transaction

from audit import journal
from audit.actors import Actor
from bugversions import editing, reading
from bugversions.events import IMPORT_REFUSED, RULES_IMPORTED
from bugversions.models import RuleImport, UnsafeNode
from bugversions.reading import NODE_TABLE, SOURCE, Tables
from bugversions.values import Rule
from registry import access, documents, manifests, policies, semver, upstream
from registry.errors import Invalid, NotFound
from registry.models import Package, Version
from registry.names import PackageName


def arrived(*, actor: Actor) -> None:
    """A version of `bug-versions` may have arrived, or gone: import the latest, unless that was the last one.

    One that is refused is told to operators, and changes nothing.
    """
    package = Package.objects.filter(name=SOURCE, unpublished_at=None).only("origin").first()
    if package is None or ("here" if package.origin is None else "upstream") != settings.BUG_VERSIONS:
        return
    try:
        number, config = _latest()
    except NotFound:  # all of it is withheld
        return
    numbers = Version.objects.filter(package=package).values("number")  # also those that are gone by now
    if RuleImport.objects.filter(number__in=numbers).values_list("number", flat=True).first() == number:
        return
    try:
        bring_in(config, number=number, actor=actor)
    except Invalid as error:
        refuse(number, error.sentence, actor=actor)


def fetch(*, actor: Actor) -> RuleImport:
    """Import the latest version of the package `bug-versions`, fetched if need be. Raises `Invalid` or `NotFound`."""
    upstream.elsewhere().refresh(PackageName.parse(SOURCE))
    number, config = _latest()
    try:
        return bring_in(config, number=number, actor=actor)
    except Invalid as error:
        refuse(number, error.sentence, actor=actor)
        raise


def bring_in(config: object, *, number: str, actor: Actor) -> RuleImport:
    """Make the imported rules those of the list. Raises `Invalid` when anything in it is wrong, and changes nothing."""
    access.require_operator(actor)
    tables = reading.read(config, most=settings.MAX_RULES)
    _require_no_names_of_ours(tables.rules)
    with editing.one_at_a_time():
        _replace_ranges(tables)
        diff = editing.replace_sources({SOURCE: tables.rules, NODE_TABLE: tables.node_rules}, actor=actor)
        row = RuleImport.objects.create(number=number, diff=asdict(diff))
        if diff.added or diff.changed or diff.removed:
            counts = {part: len(getattr(diff, part)) for part in ("added", "changed", "removed")}
            journal.record(
                RULES_IMPORTED, "bugversions", actor=actor, source=f"{SOURCE}@{number}", packages=diff.packages,
                diff=row.pk, **counts,
            )  # fmt: skip
    return row


def refuse(number: str, reason: str, *, actor: Actor) -> None:
    """Remember that a list was refused, and why: operators see it."""
    with transaction.atomic():
        RuleImport.objects.create(number=number, refusal=reason)
        journal.record(IMPORT_REFUSED, "bugversions", actor=actor, source=f"{SOURCE}@{number}", reason=reason)


def exported() -> dict[str, Any]:
    """Our own rules in the shape of the list, as far as it can say them; the rest under `rules`."""
    tables: dict[str, Any] = {SOURCE: {}, "rules": []}
    for row in editing.local():
        rule = editing.rule_of(row)
        is_plain = semver.clean(rule.versions) == rule.versions and not (rule.valid_from or rule.valid_until)
        if is_plain and rule.action == "replace":
            said = {"version": rule.replacement, "reason": rule.reason}
            tables[SOURCE].setdefault(rule.package, {})[rule.versions] = said
        else:
            tables["rules"].append({key: value for key, value in editing.said(row).items() if key != "id"})
    return tables


def add_all(document: Mapping[str, Any], *, actor: Actor) -> int:
    """Make rules of ours of what `exported` gave, all or none; returns how many. Those that are here stay."""
    rules = [*_of_list(document), *_of_rules(document.get("rules", []))]
    known = {(row.package, row.versions, row.action) for row in editing.local()}
    new = [rule for rule in rules if (rule.package, rule.versions, rule.action) not in known]
    with editing.one_at_a_time():
        for rule in sorted(new, key=lambda rule: rule.package):  # packages are locked in the order of their names
            editing.add(rule, actor=actor)
    return len(new)


def _of_list(document: Mapping[str, Any]) -> Sequence[Rule]:
    if not document.get(SOURCE):
        return ()
    return reading.read({SOURCE: document[SOURCE]}, most=settings.MAX_RULES).rules


def _of_rules(rows: object) -> list[Rule]:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise Invalid("rules must be a list of objects, as bugversions export writes them")
    return [editing.rule_said(row) for row in rows]


def _latest() -> tuple[str, object]:
    """The number of the latest version of the package that readers get here, and its `config`."""
    package = Package.objects.filter(name=SOURCE, unpublished_at=None).first()
    hidden = policies.judge(SOURCE, package.stamp).hidden if package else {}
    number = documents.read_tags(package.pk, hidden).get("latest") if package else None
    version = Version.objects.published().filter(package=package, number=number).only("number", "manifest").first()
    if version is None:
        raise NotFound(f"the package {SOURCE} is not here, or withheld: give a --file, or let an upstream have it")
    return version.number, manifests.parse(version.manifest).get("config")


def _require_no_names_of_ours(rules: Sequence[Rule]) -> None:
    """Nobody elsewhere says what is bad of what is published here."""
    names = {rule.package for rule in rules}
    for name in sorted(names):
        if access.is_private_scope(PackageName.parse(name)):
            raise Invalid(f"{SOURCE}: {name} is in a scope of ours, about which only operators make rules")
    ours = Package.objects.filter(name__in=names, origin=None).order_by("name").values_list("name", flat=True).first()
    if ours is not None:
        raise Invalid(f"{SOURCE}: {ours} is published here, and only operators make rules about it")


def _replace_ranges(tables: Tables) -> None:
    UnsafeNode.objects.all().delete()
    UnsafeNode.objects.bulk_create(
        UnsafeNode(
            versions=one.versions, replacement=one.replacement, reason=one.reason, source=one.table, position=position
        )
        for position, one in enumerate(tables.unsafe)
    )

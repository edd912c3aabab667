"""What a rule would do, before it is saved: to which versions, to their manifests, and to what installs get."""

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from difflib import unified_diff
from typing import Any

from django.db.models import Sum
from django.utils import timezone

from bugversions import clocks, deciding, rewriting, values
from bugversions.models import LOCAL, BugVersion
from bugversions.values import Rule
from registry import downloads, manifests, semver
from registry.models import DistTag, Download, Downloader, Package, Version
from registry.names import PackageName
from registry.policies import Judgement

_SHOWN = 20
_MOST_HELD = 500  # packages of which something is held: each is decided about by itself
_MONTH = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Use:
    """How often a version was downloaded in 30 days, by whom last, and how many others there are."""

    downloads: int
    last: tuple[Downloader, ...]
    others: int


@dataclass(frozen=True, slots=True)
class Hit:
    """A version that the rule is about: what becomes of it, its manifest's difference, and who has it."""

    number: str
    outcome: str
    difference: str
    use: Use


@dataclass(frozen=True, slots=True)
class Preview:
    """What a rule would do now."""

    hits: list[Hit] = field(default_factory=list)
    more: int = 0
    # What `npm install <package>@<spec>` gets, before and after; specs are the tags and what people usually write.
    installs: list[tuple[str, str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def preview(rule: Rule, instead_of: int | None = None) -> Preview:
    """What the rule would do to the package as it is here, in the place of the row `instead_of` when it is a change.

    Raises `Invalid` for a rule that makes no sense.
    """
    rule.require_sense()
    package = Package.objects.filter(name=rule.package, unpublished_at=None).first()
    if package is None:
        return Preview(warnings=[f"{rule.package} is not here yet: the rule will be about it when it comes"])
    numbers = list(Version.objects.published().filter(package=package).values_list("number", flat=True))
    draft = BugVersion(source=LOCAL, **asdict(rule))
    present = list(BugVersion.objects.in_force().filter(package=rule.package))
    same = (rule.versions, rule.action, LOCAL)
    others = [row for row in present if (row.versions, row.action, row.source) != same and row.pk != instead_of]
    mine = [number for number, row in deciding.choose([*others, draft], numbers).items() if row is draft]
    before, after = (
        deciding.decide(package.name, package.pk, package.origin, instead=rules)
        for rules in (present, [*others, draft])
    )
    texts = _texts(package, [*mine[:_SHOWN], rule.replacement])
    hits = [_hit(package, number, rule, texts) for number in mine[:_SHOWN]]
    replaced = {number: rule.replacement for number in mine if rule.action == "replace"}
    installs = _installs(package, numbers, before, after, replaced)
    warnings = [*_warnings(rule, numbers, mine), *_others(before, after, mine)]
    return Preview(hits, max(0, len(mine) - _SHOWN), installs, warnings)


def _texts(package: Package, numbers: Sequence[str]) -> dict[str, str]:
    rows = Version.objects.published().filter(package=package, number__in=numbers)
    return dict(rows.values_list("number", "manifest"))


def _use(package: Package, number: str) -> Use:
    since = (timezone.now() - _MONTH).date()
    rows = Download.objects.filter(package=package.name, version=number, day__gte=since)
    who = downloads.downloaders(package.name, [number])
    return Use(rows.aggregate(total=Sum("count", default=0))["total"], tuple(who[:_SHOWN]), who[_SHOWN:].count())


def _hit(package: Package, number: str, rule: Rule, texts: Mapping[str, str]) -> Hit:
    name, own, use = package.parsed_name, texts[number], _use(package, number)
    if rule.action == "forbid":
        return Hit(number, "refused, its tarball too", "", use)
    if rule.action == "hide":
        return Hit(number, "not resolved to any more; lockfiles still get its tarball", "", use)
    if rule.action == "override":
        changed = rewriting.overridden(name, number, own, rule.overrides)
        return Hit(number, "served with what is overridden", _difference(own, changed.full), use)
    if rule.replacement not in texts:
        return Hit(number, f"left as it is: {rule.replacement} is not here", "", use)
    changed = rewriting.replaced(name, number, own, rule.replacement, texts[rule.replacement], rule.reason)
    return Hit(number, f"installs get {rule.replacement}", _difference(own, changed.full), use)


def _difference(before: str, after: str) -> str:
    """Of two manifests, line by line."""
    old, new = _lines(manifests.parse(before)), _lines(manifests.parse(after))
    return "\n".join(unified_diff(old, new, "before", "after", lineterm="", n=1))


def _lines(manifest: Mapping[str, Any]) -> list[str]:
    return json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False).split("\n")


def _installs(
    package: Package, numbers: Sequence[str], before: Judgement, after: Judgement, replaced: Mapping[str, str]
) -> list[tuple[str, str, str]]:
    tags = dict(DistTag.objects.filter(package=package).order_by("tag").values_list("tag", "version__number"))
    majors = {number.partition(".")[0] for number in numbers}
    lines = sorted((major for major in majors if major.isdecimal() and major != "0"), key=int)
    specs = [*tags, *(f"^{major}.0.0" for major in lines)][:_SHOWN]
    known = _replaced(package)
    then = {**known, **replaced}
    rows = [
        (spec, _resolved(spec, tags, numbers, before, known), _resolved(spec, tags, numbers, after, then))
        for spec in specs
    ]
    return [row for row in rows if row[1] != row[2]]


def _replaced(package: Package) -> dict[str, str]:
    """What installs get in the place of versions now."""
    rules = list(BugVersion.objects.in_force().filter(package=package.name, action="replace"))
    numbers = Version.objects.published().filter(package=package).values_list("number", flat=True)
    return {number: row.replacement for number, row in deciding.choose(rules, numbers).items()}


def _resolved(
    spec: str, tags: Mapping[str, str], numbers: Sequence[str], judgement: Judgement, replaced: Mapping[str, str]
) -> str:
    """The version that an install of the spec gets, and what it really is."""
    visible = [number for number in numbers if number not in judgement.hidden]
    number = tags.get(spec) if tags.get(spec) in visible else None
    if number is None:
        number = semver.highest(visible) if spec == "latest" else semver.max_satisfying(visible, spec)
    if number is None:
        return "nothing"
    is_another = number in judgement.rewritten and number in replaced
    return f"{number}, which is {replaced[number]}" if is_another else number


def _warnings(rule: Rule, numbers: Sequence[str], mine: Sequence[str]) -> list[str]:
    found = []
    if not mine:
        found.append("no version that is here is hit by it")
    elif len(mine) == len(numbers) and rule.action in ("hide", "forbid"):
        found.append(f"nothing is left of {PackageName.parse(rule.package)}: all {len(numbers)} versions are withheld")
    if rule.replacement and rule.replacement not in numbers:
        found.append(f"{rule.replacement} is not here: versions stay as they are until it comes")
    return found


def _others(before: Judgement, after: Judgement, mine: Sequence[str]) -> list[str]:
    """What is hidden or shown from now on though the rule is not about it: it would be replaced by one of those."""
    known = {*before.hidden, *mine}
    hidden = [f"{number} is hidden: {why}" for number, why in after.hidden.items() if number not in known]
    shown = [f"{number} is not held back any more" for number in before.hidden if number not in after.hidden]
    return [*hidden, *shown][:_SHOWN]


@dataclass(frozen=True, slots=True)
class Withheld:
    """A version that is kept from installs now, and why."""

    package: str
    number: str
    action: str
    reason: str
    source: str


def withheld(most: int = 5000) -> list[Withheld]:
    """What rules withhold or change of what is here, and what is withheld for its age."""
    rules = list(BugVersion.objects.in_force().order_by("package"))
    numbers = _numbers({rule.package for rule in rules})
    found = list[Withheld]()
    for name in sorted(numbers):
        chosen = deciding.choose([rule for rule in rules if rule.package == name], numbers[name])
        rows = [Withheld(name, number, rule.action, rule.reason, rule.source) for number, rule in chosen.items()]
        found += _first_of(rows)
        if len(found) >= most:
            return found[:most]
    ruled = {(row.package, row.number) for row in found}
    for package in clocks.with_withheld().order_by("name").only("name", "origin")[:_MOST_HELD]:
        refused = deciding.decide(package.name, package.pk, package.origin).refused
        some = [Withheld(package.name, number, "hold", why, "its age") for number, why in refused.items()]
        found += _first_of([row for row in some if (row.package, row.number) not in ruled])
        if len(found) >= most:
            break
    return found[:most]


def _first_of(rows: list[Withheld]) -> list[Withheld]:
    """Of a package with many versions only some, so that no other is hidden behind it."""
    more = len(rows) - _SHOWN
    rest = [replace(rows[-1], number=f"and {more} more versions")] if more > 0 else []
    return [*rows[:_SHOWN], *rest]


def without_replacement() -> list[BugVersion]:
    """Rules in force that do nothing, though their package is here: what they would replace it by is not."""
    rules = list(BugVersion.objects.in_force().filter(action="replace").order_by("package", "versions"))
    numbers = _numbers({rule.package for rule in rules})
    return [rule for rule in rules if _is_idle(rule, numbers.get(rule.package, []))]


def _numbers(names: Collection[str]) -> dict[str, list[str]]:
    """The versions of each of these packages that is here."""
    rows = Version.objects.published().filter(package__name__in=names, package__unpublished_at=None)
    numbers = defaultdict[str, list[str]](list)
    for name, number in rows.values_list("package__name", "number"):
        numbers[name].append(number)
    return numbers


def _is_idle(rule: BugVersion, numbers: Sequence[str]) -> bool:
    return rule.replacement not in numbers and any(values.matches(rule.versions, number) for number in numbers)

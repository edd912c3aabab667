"""The one decision about the versions of a package: which are shown, rewritten or refused, why, and until when.

It is asked through `registry.policies` by all that readers get: documents, single versions, tags, ranges, tarballs,
search. A document is built once for each revision, and whoever changes a rule touches the package; so rules cost
nothing where nothing changed. Holds and freezes are about the clock: they say until when the answer stands.

Of several rules about a version one counts: a local one before an imported one, one that names it before a range, and
what withholds before what changes. What withholds because of its age gives way to a version that a rule replaces
others by, or that an advisory names as the fix: a fix must not wait. A freeze lets nothing through.

Rules of one source make no chains, but a rule of ours may be about what an imported one leads to. A version whose
replacement is withheld, or replaced itself, is hidden: neither of the two is one that anybody should get.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from django.db.models import Q
from django.db.models.functions import Coalesce
from django.utils import timezone

from bugversions import rewriting
from bugversions.models import LOCAL, Advisory, BugVersion, Freeze, Hold, Repacked
from bugversions.ordered import Ordered
from bugversions.rewriting import Tarball
from registry import patterns, semver
from registry.manifests import Fragments
from registry.models import Stamp, Version
from registry.names import PackageName
from registry.policies import Judgement

_BEGINNING = re.compile(r">=([0-9][^\s|<>=]*)")
# What is held is looked at again so often: an advisory that came in may name it as the fix.
_LOOK_AGAIN = timedelta(hours=1)
_RANK = {"forbid": 0, "hide": 1, "replace": 2, "override": 3}


class Advice:
    """Implements `registry.policies.Policy`."""

    def judge(self, name: str, stamp: Stamp) -> Judgement:
        """What rules, holds and a freeze say about the package."""
        return decide(name, stamp.id, stamp.origin)

    def refused_whole(self, stamps: Mapping[str, Stamp]) -> Collection[str]:
        """None: rules are about versions."""
        return ()


def decide(name: str, package_id: int, origin: str | None, *, instead: Iterable[BugVersion] | None = None) -> Judgement:
    """The decision about a package as it is now, or as it would be with other rules `instead` of those that it has."""
    now, rows = timezone.now(), instead
    if rows is None:
        rows = BugVersion.objects.filter(package=name, is_active=True)
        rows = rows.filter(source=LOCAL) if origin is None else rows  # of what is ours only we say what is bad
    rules = [rule for rule in rows if not _is_over(rule, now)]
    begun = [rule for rule in rules if rule.valid_from is None or rule.valid_from <= now]
    edges = [edge for rule in rules for edge in (rule.valid_from, rule.valid_until) if edge and edge > now]
    young = _young(name, package_id, origin, now)
    if not begun and not young.held and not young.frozen:
        return Judgement(until=_first([*edges, *young.edges]))
    numbers = list(Version.objects.published().filter(package_id=package_id).values_list("number", flat=True))
    chosen = choose(begun, numbers)
    fixes = {rule.replacement for rule in begun if rule.action == "replace"}
    fixes |= _named_by_advisories(name) if young.held else set()
    kept_back = {number: why for number, why in young.held.items() if number not in fixes}
    hidden = kept_back | dict(young.frozen)
    refused = dict(hidden)
    for number, rule in chosen.items():
        if rule.action in ("hide", "forbid"):
            hidden[number] = rule.reason
        if rule.action == "forbid":
            refused[number] = rule.reason
    hidden |= leading_astray(chosen, hidden)
    rewritten = Rewritten(PackageName.parse(name), package_id, chosen, hidden, numbers)
    return Judgement(hidden=hidden, refused=refused, rewritten=rewritten, until=_first([*edges, *young.edges]))


def _named_by_advisories(name: str) -> set[str]:
    """The versions in which advisories say that something was fixed: where each patched range begins."""
    ranges = Advisory.objects.filter(package=name).values_list("patched_versions", flat=True)
    return {number for text in ranges for number in _BEGINNING.findall(text)}


def choose(rules: Sequence[BugVersion], numbers: Iterable[str]) -> dict[str, BugVersion]:
    """The rule that counts for each of the versions that any is about."""
    if not rules:
        return {}
    numbers = list(numbers)
    ordered, first = Ordered(numbers), dict[str, BugVersion]()
    for rule in sorted(rules, key=_precedence):
        for number in ordered.about(rule.versions):
            first.setdefault(number, rule)
    return {number: first[number] for number in numbers if number in first}


def leading_astray(chosen: Mapping[str, BugVersion], hidden: Mapping[str, str]) -> dict[str, str]:
    """Versions that would be replaced by one which nobody should get either, and why."""
    found = {}
    for number, rule in chosen.items():
        if rule.action != "replace":
            continue
        other = chosen.get(rule.replacement)
        instead = f"{rule.reason}; {rule.replacement}, to use instead, is"
        if rule.replacement in hidden:
            found[number] = f"{instead} withheld: {hidden[rule.replacement]}"
        elif other is not None and other.action == "replace":
            found[number] = f"{instead} bad too: {other.reason}"
    return found


def _precedence(rule: BugVersion) -> tuple[bool, bool, int, int]:
    return rule.source != LOCAL, semver.clean(rule.versions) is None, _RANK[rule.action], rule.pk or 0


def _is_over(rule: BugVersion, now: datetime) -> bool:
    return rule.valid_until is not None and rule.valid_until <= now


def _first(edges: Iterable[datetime]) -> float | None:
    return min((edge.timestamp() for edge in edges), default=None)


# --- Rewriting ----------------------------------------------------------------------------------------------------


class Rewritten(Mapping[str, Fragments]):
    """The versions that rules rewrite, with their texts: read from rows when they are asked for.

    Most who ask for a decision want to know what is hidden or refused; a document wants all of the texts, and reads
    them at once. A replacement that is not here leaves the version as it is; checks tell operators.
    """

    def __init__(
        self,
        name: PackageName,
        package_id: int,
        chosen: Mapping[str, BugVersion],
        hidden: Mapping[str, str],
        numbers: Collection[str],
    ) -> None:
        here = set(numbers)
        self._name, self._package_id = name, package_id
        self._rules = {
            number: rule
            for number, rule in chosen.items()
            if rule.action == "override"
            or (rule.action == "replace" and rule.replacement in here and number not in hidden)
        }
        self._chosen = chosen
        self._texts: dict[str, Fragments] = {}

    def __getitem__(self, number: str) -> Fragments:
        if number not in self._texts and number in self._rules:
            self._texts |= self._read([number])
        return self._texts[number]

    def __iter__(self) -> Iterator[str]:
        """All of them are read, since somebody wants them all; what has gone since is not among them."""
        self._texts |= self._read([number for number in self._rules if number not in self._texts])
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._rules)

    def _read(self, wanted: Collection[str]) -> dict[str, Fragments]:
        rules = {number: self._rules[number] for number in wanted}
        targets = {rule.replacement for rule in rules.values() if rule.action == "replace"}
        rows = Version.objects.published().filter(package_id=self._package_id, number__in={*rules, *targets})
        texts = dict(rows.values_list("number", "manifest")) if rules else {}
        overriding = {number: rule for number in {*rules, *targets} if (rule := self._override(number))}
        tarballs = _tarballs(self._name, [rule for rule in overriding.values() if rule.repack])
        found = {
            number: rewriting.overridden(
                self._name, number, texts[number], rule.overrides, tarballs.get((rule.pk, number))
            )
            for number, rule in overriding.items()
            if number in texts
        }
        for number, rule in rules.items():
            good = rule.replacement
            if rule.action == "replace" and {number, good} <= texts.keys():
                target = found[good].full if good in found else texts[good]
                found[number] = rewriting.replaced(self._name, number, texts[number], good, target, rule.reason)
        return {number: found[number] for number in wanted if number in found}

    def _override(self, number: str) -> BugVersion | None:
        rule = self._chosen.get(number)
        return rule if rule is not None and rule.action == "override" else None


def path_of(name: PackageName, number: str, sha512: str) -> str:
    """Where a repacked tarball is, below the registry."""
    return f"/-/repacked/{name}/{sha512[:32]}/{name.tarball(number)}"


def _tarballs(name: PackageName, rules: Sequence[BugVersion]) -> dict[tuple[int, str], Tarball]:
    """Those that are made, of just what the rules say now; of several the newest."""
    rows = list(Repacked.objects.filter(package=str(name)).select_related("blob").order_by("pk")) if rules else []
    return {
        (rule.pk, row.number): Tarball(path_of(name, row.number, row.blob.sha512), row.blob.sha512, row.blob.sha1)
        for rule in rules
        for row in rows
        if row.overrides == rule.overrides
    }


# --- The clock ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Young:
    """Versions that are withheld for their age, with the reasons; and when that changes by itself."""

    held: Mapping[str, str] = field(default_factory=dict)
    frozen: Mapping[str, str] = field(default_factory=dict)
    edges: tuple[datetime, ...] = ()


def _young(name: str, package_id: int, origin: str | None, now: datetime) -> _Young:
    """What is published here is nobody's to wait for.

    Holds and the freeze are asked of their rows and not remembered: the answer is kept for as long as the revision
    stands, and a memory may be older than the revision that they raised.
    """
    if origin is None:
        return _Young()
    hold = _hold_for(PackageName.parse(name), origin, Hold.objects.filter(is_active=True).order_by("pk"))
    freeze = Freeze.objects.filter(lifted_at=None).first()
    if hold is None and freeze is None:
        return _Young()
    limits = [freeze.since] if freeze else []
    limits += [now - timedelta(seconds=hold.seconds)] if hold else []
    rows = Version.objects.published().annotate(born=Coalesce("published_at", "first_seen_at"))
    young = rows.filter(Q(born__gt=min(limits)), package_id=package_id).values_list("number", "born")
    held, frozen, edges = {}, {}, list[datetime]()
    for number, born in young:
        if freeze and born > freeze.since:
            frozen[number] = f"nothing published after {freeze.since:%Y-%m-%d %H:%M} UTC is served: {freeze.reason}"
        elif hold and (ripe := _ripe(born, hold)) > now:
            held[number] = f"held until {ripe:%Y-%m-%d %H:%M} UTC: {hold.reason}"
            edges += ripe, now + _LOOK_AGAIN
    return _Young(held, frozen, tuple(edges))


def _ripe(born: datetime, hold: Hold) -> datetime:
    """When the hold lets it go; what an upstream dates to the end of time never."""
    try:
        return born + timedelta(seconds=hold.seconds)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def _hold_for(name: PackageName, origin: str, holds: Iterable[Hold]) -> Hold | None:
    """The hold of the most specific pattern, one for just this upstream first."""
    fitting = list(patterns.fitting(name))
    about = [hold for hold in holds if hold.pattern in fitting and hold.upstream in ("", origin)]
    hold = min(about, key=lambda one: (fitting.index(one.pattern), one.upstream == ""), default=None)
    return None if hold is None or any(pattern in fitting for pattern in hold.allowed) else hold

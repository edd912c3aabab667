"""Which entries of a lockfile rules are about, and what becomes of them."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from bugversions import deciding
from bugversions.models import BugVersion
from registry.errors import Invalid
from registry.lockfiles import Pin

_BATCH = 500
_SAID = {
    "forbid": "its tarball is refused",
    "hide": "installs from this lockfile still get it, and nothing new resolves to it",
    "override": "installs from documents get it with other scripts or dependencies",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """An entry that a rule is about."""

    name: str
    version: str
    rule: BugVersion
    # Why nothing new resolves to it, when what would be in its place is withheld too.
    astray: str = ""

    def __str__(self) -> str:
        if self.astray:
            return f"{self.name}@{self.version}: hidden: {_SAID['hide']}. {self.astray} ({self.rule.source})"
        said = _SAID.get(self.rule.action) or f"new installs get {self.rule.replacement} in its place"
        return f"{self.name}@{self.version}: {self.rule.action}: {said}. {self.rule.reason} ({self.rule.source})"


def check(pins: Iterable[Pin]) -> list[Finding]:
    """What rules say about these versions, in the order of names. Raises `Invalid` for a name without a version."""
    wanted = defaultdict[str, list[str]](list)
    for pin in pins:
        if pin.version is None:
            raise Invalid(f"{pin.name} stands there without a version: rules are about versions")
        wanted[pin.name].append(pin.version)
    names, found = sorted(wanted), list[Finding]()
    for start in range(0, len(names), _BATCH):
        rules = defaultdict[str, list[BugVersion]](list)
        for rule in BugVersion.objects.in_force().filter(package__in=names[start : start + _BATCH]):
            rules[rule.package].append(rule)
        for name in sorted(rules):
            targets = {rule.replacement for rule in rules[name] if rule.replacement}
            chosen = deciding.choose(rules[name], sorted({*wanted[name], *targets}))
            hidden = {number: rule.reason for number, rule in chosen.items() if rule.action in ("hide", "forbid")}
            astray = deciding.leading_astray(chosen, hidden)
            found += [
                Finding(name, number, rule, astray.get(number, ""))
                for number, rule in chosen.items()
                if number in wanted[name]
            ]
    return found

"""Which entries of a lockfile rules are about, and what becomes of them."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from bugversions import deciding
from bugversions.models import BugVersion
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

    def __str__(self) -> str:
        said = _SAID.get(self.rule.action) or f"new installs get {self.rule.replacement} in its place"
        return f"{self.name}@{self.version}: {self.rule.action}: {said}. {self.rule.reason} ({self.rule.source})"


def check(pins: Iterable[Pin]) -> list[Finding]:
    """What rules say about these versions, in the order of names."""
    wanted = defaultdict[str, list[str]](list)
    for pin in pins:
        if pin.version is not None:
            wanted[pin.name].append(pin.version)
    names, found = sorted(wanted), list[Finding]()
    for start in range(0, len(names), _BATCH):
        rules = defaultdict[str, list[BugVersion]](list)
        for rule in BugVersion.objects.in_force().filter(package__in=names[start : start + _BATCH]):
            rules[rule.package].append(rule)
        for name in sorted(rules):
            chosen = deciding.choose(rules[name], sorted(wanted[name]))
            found += [Finding(name, number, rule) for number, rule in chosen.items()]
    return found

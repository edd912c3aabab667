"""What readers may see: policies hide versions, rewrite them or refuse them, and say why.

Each policy in `settings.REGISTRY["POLICIES"]` is asked once when a document is built and once when a tarball is asked
for. Its answer may depend on rows (then changing a row touches the package) and on the clock (then it says until when
it holds).
"""

import hashlib
from collections import ChainMap
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol, TypeVar

from django.conf import settings
from django.utils.module_loading import import_string

from registry import access
from registry.manifests import Fragments
from registry.models import Stamp
from registry.names import PackageName

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Judgement:
    """A policy's answer for one package. Keys are version numbers, values of `hidden` and `refused` the reasons."""

    refused_whole: str | None = None
    hidden: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    rewritten: Mapping[str, Fragments] = field(default_factory=dict)
    # Unix time at which the answer changes by itself; None when only rows can change it.
    until: float | None = None

    @property
    def view(self) -> str:
        """Another text for all that readers see differently by it: the clock changes answers within one revision."""
        digest = hashlib.blake2b(digest_size=12)
        for number, reason in sorted(self.hidden.items()):
            digest.update(f"hidden {number} {reason}\n".encode(errors="replace"))
        for number, texts in sorted(self.rewritten.items()):
            digest.update(f"rewritten {number} {texts.full}\n".encode(errors="replace"))
        return digest.hexdigest()


class Policy(Protocol):
    """Decides what readers see of a package."""

    def judge(self, name: str, stamp: Stamp) -> Judgement:
        """The judgement for the package `name`, whose row says `stamp`."""
        ...

    def refused_whole(self, stamps: Mapping[str, Stamp]) -> Collection[str]:
        """Those of the packages, by their names, of which nothing is served: what `judge` says, of many at once."""
        ...


class Blocks:
    """Operators' blocks of whole packages."""

    def judge(self, name: str, stamp: Stamp) -> Judgement:
        """Refuse the package with the reason that the operator gave."""
        return Judgement(refused_whole=f"{name} was blocked: {stamp.blocked_reason}" if stamp.blocked_reason else None)

    def refused_whole(self, stamps: Mapping[str, Stamp]) -> Collection[str]:
        """The blocked ones."""
        return [name for name, stamp in stamps.items() if stamp.blocked_reason]


class PrivateScopes:
    """Scopes that are ours: what came from elsewhere before they were is not served any more."""

    def judge(self, name: str, stamp: Stamp) -> Judgement:
        """Refuse a foreign package under a name of ours."""
        if stamp.origin is None or not access.is_private_scope_now(PackageName.parse(name)):
            return Judgement()
        return Judgement(
            refused_whole=f"{name} came from the upstream {stamp.origin} before its scope was made private: "
            "an operator must remove it"
        )

    def refused_whole(self, stamps: Mapping[str, Stamp]) -> Collection[str]:
        """Foreign ones under names of ours."""
        foreign = {name: PackageName.parse(name) for name, stamp in stamps.items() if stamp.origin is not None}
        ours = access.private_scopes_now({name.scope.lower() for name in foreign.values()})
        return [text for text, name in foreign.items() if name.scope.lower() in ours]


@lru_cache
def _policies() -> tuple[Policy, ...]:
    return tuple(import_string(path)() for path in settings.REGISTRY["POLICIES"])


def judge(name: str, stamp: Stamp) -> Judgement:
    """What all policies together say: the first one to name a version decides about it."""
    judgements = [policy.judge(name, stamp) for policy in _policies()]
    return Judgement(
        refused_whole=next((one.refused_whole for one in judgements if one.refused_whole), None),
        hidden=_first([one.hidden for one in judgements]),
        refused=_first([one.refused for one in judgements]),
        rewritten=ChainMap(*(one.rewritten for one in judgements)),  # type: ignore[arg-type]  # it is only read
        until=min((one.until for one in judgements if one.until is not None), default=None),
    )


def refused_whole(stamps: Mapping[str, Stamp]) -> set[str]:
    """Those of the packages, by their names, of which nothing is served."""
    return {name for policy in _policies() for name in policy.refused_whole(stamps)}


def _first(answers: list[Mapping[str, T]]) -> dict[str, T]:
    return {number: answer for one in reversed(answers) for number, answer in one.items()}

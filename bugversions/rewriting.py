"""Manifests as installs get them: another version's under the bad number, or its own with other scripts. Pure.

A replacement is what cnpmcore serves (app/core/entity/BugVersion.ts): the good version's manifest, in which `version`
is the bad number and `deprecated` says what happened.
"""

from collections.abc import Mapping
from typing import Any

from registry import jsontext, manifests
from registry.manifests import Fragments
from registry.names import PackageName

# npm runs node-gyp by itself for a package with a binding.gyp, unless the manifest says `gypfile: false`.
_IMPLICIT = "gypfile"


def replaced(name: PackageName, bad: str, old: str, good: str, target: str, reason: str) -> Fragments:
    """The texts of version `bad`, whose own are `old`; `target` is the full text of the version `good`."""
    texts = manifests.texts(target)
    texts["deprecated"] = jsontext.encode(_warning(manifests.parse(old).get("deprecated"), bad, good, reason))
    texts["version"] = jsontext.encode(bad)
    return manifests.fragments(texts, name, good)


def _warning(before: object, bad: str, good: str, reason: str) -> str:
    warning = f"[WARNING] Use {good} instead of {bad}, reason: {reason}"
    return f"{before} ({warning})" if before else warning


def overridden(name: PackageName, number: str, full: str, overrides: Mapping[str, Any], reason: str) -> Fragments:
    """The texts of a version with other scripts or dependencies. An empty text takes one away."""
    texts = manifests.texts(full)
    for table in ("scripts", "dependencies", "optionalDependencies"):
        if table in overrides:
            texts[table] = jsontext.encode(_merged(jsontext.decode(texts.get(table, "{}")), overrides[table]))
    if "scripts" in overrides:
        _tell_of_scripts(texts, overrides["scripts"])
    if _IMPLICIT in overrides:
        texts[_IMPLICIT] = jsontext.encode(overrides[_IMPLICIT])
    return manifests.fragments(texts, name, number)


def _merged(theirs: object, ours: Mapping[str, str]) -> dict[str, Any]:
    merged = {**theirs, **ours} if isinstance(theirs, dict) else dict(ours)
    return {key: value for key, value in merged.items() if value != ""}


def _tell_of_scripts(texts: dict[str, str], ours: Mapping[str, str]) -> None:
    """`hasInstallScript` as the scripts have it now; without any, node-gyp is not to run by itself either."""
    texts.pop("hasInstallScript", None)
    runs = manifests.runs_at_install(jsontext.decode(texts.get("scripts", "{}")))
    if not runs and "" in ours.values():
        texts[_IMPLICIT] = "false"

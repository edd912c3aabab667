"""Manifests as installs get them: another version's under the bad number, or its own with other scripts. Pure.

A replacement is what cnpmcore serves (app/core/entity/BugVersion.ts): the good version's manifest, in which `version`
is the bad number and `deprecated` says what happened.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from registry import jsontext, manifests
from registry.manifests import Fragments
from registry.names import PackageName

# npm runs node-gyp by itself for a package with a binding.gyp, unless the manifest says `gypfile: false`.
_IMPLICIT = "gypfile"
# What npm writes into a manifest for that file when it is published, and what runs then whatever `gypfile` says.
_IMPLIED = "node-gyp rebuild"
_TABLES = ("scripts", "dependencies", "optionalDependencies")
# What a `dist` says about bytes, besides their hashes.
_OF_BYTES = ("signatures", "npm-signature", "attestations", "fileCount", "unpackedSize", "size")


def replaced(name: PackageName, bad: str, old: str, good: str, target: str, reason: str) -> Fragments:
    """The texts of version `bad`, whose own are `old`; `target` is the full text of the version `good`."""
    texts = manifests.texts(target)
    place = jsontext.decode(texts["dist"])["tarball"]
    texts["deprecated"] = jsontext.encode(_warning(manifests.parse(old).get("deprecated"), bad, good, reason))
    texts["version"] = jsontext.encode(bad)
    return manifests.fragments(texts, name, good, tarball_path=place)


def _warning(before: object, bad: str, good: str, reason: str) -> str:
    warning = f"[WARNING] Use {good} instead of {bad}, reason: {reason}"
    return f"{before} ({warning})" if before else warning


@dataclass(frozen=True, slots=True)
class Tarball:
    """A tarball in place of a version's own."""

    path: str
    sha512: str
    sha1: str


def overridden(
    name: PackageName, number: str, full: str, overrides: Mapping[str, Any], tarball: Tarball | None = None
) -> Fragments:
    """The texts of a version with other scripts or dependencies. An empty text takes one away."""
    texts = manifests.texts(full)
    tables = _tables({table: jsontext.decode(texts[table]) for table in _TABLES if table in texts}, overrides)
    texts |= {table: jsontext.encode(entries) for table, entries in tables.items()}
    if "scripts" in overrides or _IMPLICIT in overrides:
        _tell_of_scripts(texts, overrides.get("scripts", {}))
    if _IMPLICIT in overrides:
        texts[_IMPLICIT] = jsontext.encode(overrides[_IMPLICIT])
    if tarball is None:
        return manifests.fragments(texts, name, number)
    texts["dist"] = jsontext.encode(_dist(jsontext.decode(texts.get("dist", "{}")), tarball))
    return manifests.fragments(texts, name, number, tarball_path=tarball.path)


def package_json(theirs: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """A tarball's package.json with what is overridden."""
    tables = _tables(theirs, overrides)
    implicit = {_IMPLICIT: overrides[_IMPLICIT]} if _IMPLICIT in overrides else {}
    takes_away = "" in overrides.get("scripts", {}).values()
    if takes_away and not implicit and not manifests.runs_at_install(tables["scripts"]):
        implicit = {_IMPLICIT: False}
    return {**theirs, **tables, **implicit}


def _dist(theirs: object, tarball: Tarball) -> dict[str, Any]:
    """Without what was said, or signed, about other bytes."""
    kept = {key: value for key, value in theirs.items() if key not in _OF_BYTES} if isinstance(theirs, dict) else {}
    integrity = f"sha512-{base64.b64encode(bytes.fromhex(tarball.sha512)).decode()}"
    return {**kept, "integrity": integrity, "shasum": tarball.sha1}


def _tables(theirs: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The tables that become others. Without a gypfile the script that stands for it goes too."""
    ours = {table: overrides[table] for table in _TABLES if table in overrides}
    scripts = theirs.get("scripts")
    if overrides.get(_IMPLICIT) is False and isinstance(scripts, dict) and scripts.get("install") == _IMPLIED:
        ours["scripts"] = {"install": "", **ours.get("scripts", {})}
    return {table: merged(theirs.get(table), entries) for table, entries in ours.items()}


def merged(theirs: object, ours: Mapping[str, str]) -> dict[str, Any]:
    """A table with entries replaced; an empty text takes one away."""
    both = {**theirs, **ours} if isinstance(theirs, dict) else dict(ours)
    return {key: value for key, value in both.items() if value != ""}


def _tell_of_scripts(texts: dict[str, str], ours: Mapping[str, str]) -> None:
    """`hasInstallScript` as the scripts have it now; without any, node-gyp is not to run by itself either."""
    texts.pop("hasInstallScript", None)
    runs = manifests.runs_at_install(jsontext.decode(texts.get("scripts", "{}")))
    if not runs and "" in ours.values():
        texts[_IMPLICIT] = "false"

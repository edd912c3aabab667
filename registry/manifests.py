"""Version manifests: from what a publisher or an upstream sent to the two texts that packuments are joined from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from registry import jsontext
from registry.names import PackageName

# Stands in a stored text where a document gets the public URL. JSON text cannot contain it: control characters are
# always escaped there.
BASE_MARK = "\x01"

# What npm's abbreviated metadata has (npm/registry docs, package-metadata.md), and `libc`, whose absence there made
# npm 10.4 and later read full documents (npm/cli#7126).
_ABBREVIATED = frozenset({
    "name", "version", "deprecated", "dependencies", "optionalDependencies", "devDependencies", "bundleDependencies",
    "bundledDependencies", "peerDependencies", "peerDependenciesMeta", "acceptDependencies", "bin", "directories",
    "dist", "engines", "cpu", "os", "libc", "funding", "_hasShrinkwrap", "hasInstallScript",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fragments:
    """One version in both flavours, as JSON text."""

    full: str
    abbreviated: str


def fragments(manifest: Mapping[str, str], name: PackageName, version: str) -> Fragments:
    """The texts of one version, from the texts of its manifest's members.

    Every field stays as it came, in its order; `dist.tarball` becomes ours. `hasInstallScript` is added when the
    scripts imply it: npm 7 and later rely on it. Raises ValueError when a text is not JSON.
    """
    texts = {**manifest, "dist": _dist(manifest.get("dist", ""), name.tarball_path(version))}
    if "hasInstallScript" not in texts and runs_at_install(jsontext.decode(texts.get("scripts", "null"))):
        texts["hasInstallScript"] = "true"
    return Fragments(
        full=jsontext.members(texts.items()),
        abbreviated=jsontext.members(item for item in texts.items() if item[0] in _ABBREVIATED),
    )


def parse(text: str) -> dict[str, Any]:
    """The manifest in a stored text, with the tarball's path in `dist.tarball`."""
    manifest: dict[str, Any] = jsontext.decode(text.replace(BASE_MARK, ""))
    return manifest


def runs_at_install(scripts: object) -> bool:
    """Whether npm would run one of a manifest's scripts when it installs the version."""
    if not isinstance(scripts, dict):
        return False
    return any(scripts.get(event) for event in ("preinstall", "install", "postinstall"))


def _dist(dist: str, tarball_path: str) -> str:
    texts = jsontext.texts(dist.encode()) if dist.startswith("{") else {}
    return jsontext.members({**texts, "tarball": f'"{BASE_MARK}{tarball_path}"'}.items())

"""Version manifests: from what a publisher or an upstream sent to the two texts that packuments are joined from."""

import posixpath
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


def fragments(
    manifest: Mapping[str, str], name: PackageName, version: str, *, tarball_path: str | None = None
) -> Fragments:
    """The texts of one version, from the texts of its manifest's members; its tarball is at the usual place, or there.

    Every field stays as it came, in its order; `dist.tarball` becomes ours. `hasInstallScript` is added when the
    scripts imply it: npm 7 and later rely on it. Raises ValueError when a text is not JSON.
    """
    texts = {**manifest, "dist": _dist(manifest.get("dist", ""), tarball_path or name.tarball_path(version))}
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


def texts(text: str) -> dict[str, str]:
    """The members of a stored manifest, each as its text: what `fragments` takes."""
    return jsontext.texts(text.replace(BASE_MARK, "").encode())


def runs_at_install(scripts: object) -> bool:
    """Whether npm would run one of a manifest's scripts when it installs the version."""
    if not isinstance(scripts, dict):
        return False
    return any(scripts.get(event) for event in ("preinstall", "install", "postinstall"))


def commands(sent: object, base: str) -> dict[str, str]:
    """The commands that a manifest's `bin` gives, and the files behind them, in the one shape that all clients read.

    npm and yarn 1 send it like this; yarn berry sends what the author wrote, and bun commands that contain the scope.
    `base` is the package's name without its scope, the command when there is only a file.
    """
    if isinstance(sent, str):
        sent = {base: sent}
    if isinstance(sent, list):
        sent = {file: file for file in sent if isinstance(file, str)}
    if not isinstance(sent, dict):
        return {}
    pairs = ((_inside(name), _inside(file)) for name, file in sent.items() if isinstance(file, str))
    return {posixpath.basename(name): file for name, file in pairs if name and file}


def _inside(path: str) -> str:
    """The path below the package's folder, which none of its `..` leads out of."""
    return posixpath.normpath("/" + path.replace("\\", "/")).lstrip("/")


def _dist(dist: str, tarball_path: str) -> str:
    texts = jsontext.texts(dist.encode()) if dist.startswith("{") else {}
    texts["tarball"] = f'"{BASE_MARK}{tarball_path}"'
    if "attestations" in texts:  # an upstream's have its host; ours get the public URL, as the tarball does
        texts["attestations"] = texts["attestations"].replace('{"url":"/', f'{{"url":"{BASE_MARK}/', 1)
    return jsontext.members(texts.items())

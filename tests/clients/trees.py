"""What a client left behind: the packages that are really on disk, and what its lockfile promises about them.

Nothing here knows how a client is run; each function reads one layout or one lockfile format.
"""

import json
import os
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

STORES = {".pnpm", ".bun"}  # virtual stores: a folder for each package, each with a node_modules of its own


def in_node_modules(folder: Path, below: str = "") -> Iterator[tuple[str, Path]]:
    """Yield every package under a `node_modules` with its path; links are passed over for their targets."""
    for entry in sorted(folder.iterdir()) if folder.is_dir() else ():
        path = f"{below}{entry.name}"
        if entry.is_symlink() or not entry.is_dir():
            continue
        if entry.name in STORES:
            for slot in sorted(entry.iterdir()):
                yield from in_node_modules(slot / "node_modules", f"{path}/{slot.name}/node_modules/")
        elif entry.name.startswith("@"):
            yield from in_node_modules(entry, f"{path}/")
        elif not entry.name.startswith(".") and (entry / "package.json").is_file():
            yield path, entry
            yield from in_node_modules(entry / "node_modules", f"{path}/node_modules/")


def in_pnp(app: Path) -> Iterator[tuple[str, Path]]:
    """Yield every package of a Plug'n'Play map with its place, which usually lies inside a zip.

    The map also names packages of other platforms, which are not here.
    """
    map_file = app / ".pnp.data.json"
    if not map_file.is_file():
        return
    for name, references in json.loads(map_file.read_text())["packageRegistryData"]:
        for reference, facts in references:
            if name and not reference.startswith("workspace:"):
                number = reference.rpartition("npm:")[2]
                place = app / _devirtualised(facts["packageLocation"])
                if ".zip/" in str(place) or place.is_dir():
                    yield f"{name}@{number}", place


def _devirtualised(location: str) -> str:
    """Return where a virtual package (one per set of peers) has its files."""
    base, virtual, rest = location.partition("__virtual__/")
    if not virtual:
        return location
    _, depth, path = rest.split("/", 2)
    return base + "../" * int(depth) + path


def read(place: Path, name: str) -> bytes:
    """Return the bytes of one file of an installed package, also of one that is kept zipped."""
    archive, zipped, inside = str(place).partition(".zip/")
    if not zipped:
        return (place / name).read_bytes()
    with zipfile.ZipFile(os.path.normpath(archive + ".zip")) as packed:
        return packed.read(f"{inside}/{name}")


def npm_lock(text: str) -> dict[str, str]:
    """Read package-lock.json: version 1 nests `dependencies` (npm 6), 2 and 3 list `packages` by path."""
    lock = json.loads(text)
    return dict(_by_path(lock) if "packages" in lock else _nested(lock))


def _by_path(lock: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for path, entry in lock["packages"].items():
        if "integrity" in entry:
            name = entry.get("name") or path.rpartition("node_modules/")[2]
            yield f"{name}@{entry['version']}", entry["integrity"]


def _nested(entry: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, below in entry.get("dependencies", {}).items():
        if "integrity" in below:
            yield f"{name}@{below['version']}", below["integrity"]
        yield from _nested(below)


def pnpm_lock(text: str) -> dict[str, str]:
    """Read pnpm-lock.yaml of version 6 (pnpm 8, `/name@1.0.0`) and of version 9 (later, `name@1.0.0`)."""
    entry = r"^  '?/?(@?[^@'\s]+@[^:'(\s]+).*:\n    resolution: \{integrity: ([^,}\s]+)"
    return dict(re.findall(entry, text, re.MULTILINE))


def yarn_lock(text: str) -> dict[str, str]:
    """Read the yarn.lock of yarn 1."""
    entry = r'^"?(@?[^@\n"]+)@.*:\n  version "([^"]+)"\n(?:  resolved .*\n)?  integrity (\S+)'
    found = re.findall(entry, text, re.MULTILINE)
    return {f"{name}@{version}": integrity for name, version, integrity in found}


def berry_lock(text: str) -> dict[str, str]:
    """Read the yarn.lock of yarn 2 and later: checksums of the zip that yarn made, not of the tarball."""
    entry = r'^  resolution: "(@?[^@"]+)@npm:([^":]+)[^"]*"\n(?:  .*\n)*?  checksum: (\S+)'
    found = re.findall(entry, text, re.MULTILINE)
    return {f"{name}@{version}": checksum for name, version, checksum in found}


def bun_lock(text: str) -> dict[str, str]:
    """Read bun.lock, which is JSON with trailing commas."""
    lock = json.loads(re.sub(r",(\s*[}\]])", r"\1", text))
    return {entry[0]: entry[-1] for entry in lock["packages"].values() if str(entry[-1]).startswith("sha")}

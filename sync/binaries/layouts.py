"""How trees of binaries are laid out: what is an index in them, what a release, and what vouches for a file.

The layout of Node's distribution (https://nodejs.org/dist/): `index.json` and `index.tab` list the releases; each has a
folder named by its version, in which `SHASUMS256.txt` gives the sha256 of every file. `latest`, `latest-v22.x` and
`latest-jod` are other names of the newest release of all, of a line, and of a line by its code name.

What an upstream says is hostile until it was read here: only what fits the grammar of a path is ever looked at.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from registry import jsontext, semver

# Where nodejs.org has it all. actions/setup-node looks for that below whatever mirror it is given.
ROOT = "dist"
INDEXES = ("index.json", "index.tab")
CHECKSUMS = "SHASUMS256.txt"
SIGNATURES = (f"{CHECKSUMS}.asc", f"{CHECKSUMS}.sig")

_PATH = re.compile(r"(?:(?!\.{1,2}(?:/|$))[A-Za-z0-9._+-]{1,128}/){0,7}(?!\.{1,2}$)[A-Za-z0-9._+-]{1,128}")
_LONGEST_PATH = 300
_VERSION = re.compile(r"v[0-9]{1,9}\.[0-9]{1,9}\.[0-9]{1,9}(?:-[0-9A-Za-z.-]{1,100})?")
_CODE_NAME = re.compile(r"[A-Za-z]{1,40}")
_LINE = re.compile(r"([0-9a-fA-F]{64}) [ *](.+)")
_HEADER = "version\t"


class Unreadable(ValueError):
    """What came is not what it should be; the message says why."""


@dataclass(frozen=True, slots=True)
class Release:
    """A release as the index tells of it. `folder` is its version with a `v`."""

    folder: str
    date: str
    code_name: str

    @property
    def version(self) -> str:
        """Without the `v`."""
        return self.folder[1:]

    @property
    def line(self) -> str:
        """`v22.x`; of the first ones, whose major was zero, `v0.10.x`."""
        major, minor, _ = self.version.split(".", 2)
        return f"v{major}.{minor}.x" if major == "0" else f"v{major}.x"

    def aliases(self) -> Iterator[str]:
        """The names under which it can be had while it is the newest of those that have them."""
        yield "latest"
        yield f"latest-{self.line}"
        if self.code_name:
            yield f"latest-{self.code_name.lower()}"


@dataclass(frozen=True, eq=False)
class Index:
    """The releases that there are, in the order of the index. No two are equal, so that they are quick as keys."""

    releases: Mapping[str, Release]

    @cached_property
    def aliases(self) -> Mapping[str, Release]:
        """The other names of releases. Prereleases have none."""
        found: dict[str, Release] = {}
        stable = [release for release in self.releases.values() if "-" not in release.folder]
        for release in sorted(stable, key=lambda one: semver.Version.parse(one.version), reverse=True):
            for alias in release.aliases():
                found.setdefault(alias, release)
        return found

    def find(self, folder: str) -> Release | None:
        """The release that is called so."""
        return self.releases.get(folder) or self.aliases.get(folder)

    def without(self, folders: Iterable[str]) -> "Index":
        """All but these."""
        gone = set(folders)
        return Index({folder: release for folder, release in self.releases.items() if folder not in gone})


def is_path(text: str) -> bool:
    """Whether this can be the path of a file: plain names with slashes between them, and nothing that climbs."""
    return len(text) <= _LONGEST_PATH and _PATH.fullmatch(text) is not None


def is_release(folder: str) -> bool:
    """Whether this is how the folder of a release is called, and not one of its other names."""
    return _VERSION.fullmatch(folder) is not None


def read_index(text: bytes) -> Index:
    """`index.json`. Entries that are no releases are left out; without any it is no index (`Unreadable`)."""
    entries = _entries(text)
    releases = {release.folder: release for release in map(_release, entries) if release}
    if not releases:
        raise Unreadable("it lists no releases")
    return Index(releases)


def read_table(text: bytes) -> list[tuple[str, str]]:
    """The lines of `index.tab` below its header, each with the folder that it is about. Raises `Unreadable`."""
    try:
        header, *lines = text.decode().splitlines()
    except ValueError as error:
        raise Unreadable("it is no table of releases") from error
    if not header.startswith(_HEADER):
        raise Unreadable("it is no table of releases")
    return [(line.partition("\t")[0], line) for line in lines if _VERSION.fullmatch(line.partition("\t")[0])]


def read_checksums(text: bytes) -> dict[str, bytes]:
    """The sha256 of each file that `SHASUMS256.txt` lists. Raises `Unreadable`."""
    found: dict[str, bytes] = {}
    try:
        lines = text.decode().splitlines()
    except ValueError as error:
        raise Unreadable("it is no text") from error
    for line in filter(None, lines):
        match = _LINE.fullmatch(line)
        if match is None:
            raise Unreadable(f"{line[:100]!r} is no checksum with the name of a file")
        digest, path = bytes.fromhex(match[1]), match[2].removeprefix("./")
        if found.setdefault(path, digest) != digest:
            raise Unreadable(f"it gives two checksums for {path[:100]}")
    if not found:
        raise Unreadable("it lists no files")
    return {path: digest for path, digest in found.items() if is_path(path)}


def index_of(text: bytes, folders: Iterable[str]) -> bytes:
    """`index.json` with the entries of these folders only, each as it came."""
    wanted = set(folders)
    kept = [entry for entry in _entries(text) if (release := _release(entry)) and release.folder in wanted]
    return jsontext.encode(kept).encode()


def table_of(text: bytes, folders: Iterable[str]) -> bytes:
    """`index.tab` with the lines of these folders only."""
    wanted = set(folders)
    header = text.decode().splitlines()[0]
    return "".join(f"{line}\n" for line in [header, *(one for at, one in read_table(text) if at in wanted)]).encode()


def _entries(text: bytes) -> list[object]:
    try:
        entries = jsontext.decode(text)
    except ValueError as error:
        raise Unreadable(f"it is not JSON: {error}") from error
    if not isinstance(entries, list):
        raise Unreadable("it is no list of releases")
    return entries


def _release(entry: object) -> Release | None:
    if not isinstance(entry, dict):
        return None
    folder, date, code_name = (entry.get(key) for key in ("version", "date", "lts"))
    if not isinstance(folder, str) or not _VERSION.fullmatch(folder) or semver.clean(folder[1:]) != folder[1:]:
        return None
    is_named = isinstance(code_name, str) and _CODE_NAME.fullmatch(code_name)
    return Release(folder, date[:40] if isinstance(date, str) else "", str(code_name) if is_named else "")

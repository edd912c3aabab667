"""Which versions of which packages a file names: a lockfile of npm, pnpm or yarn, or a plain list. Pure.

The lockfiles of pnpm and yarn are read by their lines and not as YAML: programs write them, one entry to a line and
always indented alike, what is wanted stands in two kinds of lines, and yarn 1's format is no YAML.

What comes from git, a URL, a folder or inside another package's tarball comes from no registry and is left out.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Self

from registry import jsontext, semver
from registry.errors import Invalid
from registry.names import PackageName

_SCOPED = r"(?:@[^/@:'\"\s]+/)?[^/@:'\"\s]+"
# `/name/1.0.0_peer@2.0.0` (version 5), `/name@1.0.0(peer@2.0.0)` (6), `name@1.0.0` (9); before them perhaps a host.
_PNPM_KEY = re.compile(rf"  ['\"]?(?:[^/@:'\"\s]*/)?({_SCOPED})[/@](\d[^_(/:'\"\s]*)(?:[_(/].*)?['\"]?:")
_YARN_HEADER = re.compile(rf"\"?({_SCOPED})@([^\",]*)")
_BUN_PACKAGE = re.compile(r'^\s*"[^"]+": \["([^"]+)"', re.MULTILINE)
_BERRY_RESOLUTION = re.compile(rf'^  resolution: "?({_SCOPED})@npm:([^":#\s]+)', re.MULTILINE)
_NPM_NEEDS = ("dependencies", "devDependencies", "optionalDependencies", "peerDependencies")


class Pin(NamedTuple):
    """A package, and the version of it that is wanted; None: all."""

    name: str
    version: str | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """The pin that a person wrote, `name` or `name@version`. Raises `Invalid`."""
        at = text.find("@", 1)
        name = PackageName.parse(text if at < 0 else text[:at])
        number = None if at < 0 else text[at + 1 :]
        if number is not None and not _is_version(number):
            raise Invalid(f'"{number[:80]}" is no version of {name}: write an exact one, or the name alone for all')
        return cls(str(name), number and (semver.clean(number) or number))


def read(text: str) -> list[Pin]:
    """What the text of a file names, each once. Raises `Invalid` when it is none of these files, or names nothing."""
    text = text.replace("\r\n", "\n")
    found = list(dict.fromkeys(_format_of(text)(text)))
    if not found:
        raise Invalid("it names no package of a registry")
    return found


def _format_of(text: str) -> Callable[[str], Iterator[Pin]]:
    """The reader for the text, by what it says itself: files are renamed."""
    if text.lstrip().startswith("{"):
        return _bun if '"workspaces"' in text and _BUN_PACKAGE.search(text) and not _is_json(text) else _npm
    if re.search(r"^lockfileVersion:", text, re.MULTILINE):
        return _pnpm
    if re.search(r"^__metadata:", text, re.MULTILINE):
        return _berry
    return _yarn if re.search(r"^# yarn lockfile v1", text, re.MULTILINE) else _list


def _is_json(text: str) -> bool:
    try:
        jsontext.decode(text)
    except ValueError:
        return False
    return True


def _list(text: str) -> Iterator[Pin]:
    for number, line in enumerate(text.splitlines(), start=1):
        written = line.partition("#")[0].strip()
        try:
            if written:
                yield Pin.parse(written)
        except Invalid as error:
            raise Invalid(f"line {number}: {error.sentence}") from error


def _npm(text: str) -> Iterator[Pin]:
    try:
        lock: dict[str, Any] = jsontext.decode(text)
    except ValueError as error:
        raise Invalid(f"its JSON cannot be read: {error}") from error
    packages = lock.get("packages")
    entries = _installed(packages) if isinstance(packages, dict) else _nested(lock)
    for name, entry in entries:
        is_inside = entry.get("link") or entry.get("inBundle") or entry.get("bundled")
        if not is_inside and str(entry.get("resolved", "https:")).startswith(("https:", "http:")):
            yield from _alias_or(name, entry.get("version"))


def _bun(text: str) -> Iterator[Pin]:
    """`bun.lock`: JSON with a comma too many, in which each package begins with `name@version`."""
    for described in _BUN_PACKAGE.findall(text):
        name, _, number = described.rpartition("@")
        yield from _pin(name, number)


def _installed(packages: dict[str, Any]) -> Iterator[tuple[object, dict[str, Any]]]:
    """The entries of versions 2 and 3, by their paths; but for those that somebody depends on by their URL."""
    entries = {path: entry for path, entry in packages.items() if isinstance(entry, dict)}
    needs = [entry[field] for entry in entries.values() for field in _NPM_NEEDS if isinstance(entry.get(field), dict)]
    specs = {spec for need in needs for spec in need.values() if isinstance(spec, str)}
    for path, entry in entries.items():
        _, is_installed, name = path.rpartition("node_modules/")
        if is_installed and str(entry.get("resolved")) not in specs:
            yield entry.get("name", name), entry


def _nested(lock: dict[str, Any]) -> Iterator[tuple[object, dict[str, Any]]]:
    """The entries of version 1, in which packages stand inside those that they are installed in."""
    waiting = [lock]
    while waiting:
        inside = waiting.pop().get("dependencies")
        for name, entry in inside.items() if isinstance(inside, dict) else ():
            if isinstance(entry, dict):
                waiting.append(entry)
                yield name, entry


def _pnpm(text: str) -> Iterator[Pin]:
    is_wanted = False
    for line in text.splitlines():
        if line and not line.startswith((" ", "#")):
            is_wanted = line.rstrip() == "packages:"
        elif is_wanted and (key := _PNPM_KEY.match(line)):
            yield from _pin(*key.groups())


def _yarn(text: str) -> Iterator[Pin]:
    name = None
    for line in text.splitlines():
        if line and not line.startswith((" ", "#")):
            header = _YARN_HEADER.match(line)
            name = _yarn_name(header[1], header[2].rstrip(":")) if header else None
        elif line.startswith("  version "):
            yield from _pin(name, line.removeprefix("  version ").strip('"'))


def _yarn_name(alias: str, wanted: str) -> str | None:
    """The package that an entry is of; None when it comes from no registry."""
    target = wanted.removeprefix("npm:")
    if target != wanted:
        return target[0] + target[1:].partition("@")[0] if target else None
    return None if ":" in wanted or "/" in wanted else alias


def _berry(text: str) -> Iterator[Pin]:
    for name, number in _BERRY_RESOLUTION.findall(text):
        yield from _pin(name, number)


def _alias_or(name: object, version: object) -> Iterator[Pin]:
    """A pin of `name`, or of what a version such as `npm:name@1.0.0` says that it stands for."""
    if isinstance(version, str) and version.startswith("npm:"):
        name, _, version = version.removeprefix("npm:").rpartition("@")
    yield from _pin(name, version)


def _pin(name: object, number: object) -> Iterator[Pin]:
    """The pin, if these can be of a registry."""
    if isinstance(name, str) and isinstance(number, str) and _is_version(number):
        try:
            yield Pin(str(PackageName.parse(name)), number)
        except Invalid:
            return


def _is_version(text: str) -> bool:
    """Whether it is a version as old packages have them too."""
    try:
        semver.Version.parse(text, loose=True)
    except semver.InvalidVersion:
        return False
    return True

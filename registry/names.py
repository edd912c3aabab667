"""Package names as npm means them, parsed once at the edge."""

import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote, unquote

from registry.errors import Invalid

MAX_LENGTH = 214  # validate-npm-package-name, 2014 to today
_URL_SAFE = re.compile(r"[A-Za-z0-9\-_.!~*'()]+")
_NEW = re.compile(r"[a-z0-9\-_.~]+")
_RESERVED = frozenset({"node_modules", "favicon.ico"})


@dataclass(frozen=True, slots=True)
class PackageName:
    """A valid package name: `left-pad`, or `@scope/left-pad` with `scope` set to `@scope`.

    Names are case-sensitive and never folded: `JSONStream` and `jsonstream` are two packages of the public registry.
    """

    scope: str
    base: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """The name in `text`, in any spelling that clients send: `@s/n`, `@s%2fn`, `%40s%2Fn`.

        Raises `Invalid` for what no registry can hold. Old names with capitals or `!~*'()` are accepted.
        """
        name = unquote(text) if "%" in text else text
        scope, slash, base = name.partition("/") if name.startswith("@") else ("", "", name)
        parts = [scope[1:], base] if slash else [base]
        if (scope and not slash) or not all(_URL_SAFE.fullmatch(part) for part in parts):
            raise Invalid(f'"{name[:80]}" is not a package name: use letters, digits, "-", "_" and "."')
        if len(name) > MAX_LENGTH or base in _RESERVED or any(part.startswith(".") for part in parts):
            raise Invalid(f'"{name[:80]}" is not a package name that npm allows')
        return cls(scope=scope, base=base)

    def check_new(self) -> None:
        """Raise `Invalid` unless a package may be created under this name today (npm's rules for new names)."""
        parts = [self.scope[1:], self.base] if self.scope else [self.base]
        if not all(_NEW.fullmatch(part) for part in parts):
            raise Invalid(f'"{self}" cannot be used for a new package: use lower case, digits, "-", "_" and "."')
        if any(part.startswith(("_", "-")) for part in parts):
            raise Invalid(f'"{self}" cannot be used for a new package: a name must not start with "_" or "-"')

    def __str__(self) -> str:
        return f"{self.scope}/{self.base}" if self.scope else self.base

    @property
    def url(self) -> str:
        """The name as one path segment, the way npm sends it: `@scope%2fname`."""
        return quote(str(self), safe="@!~*'()").replace("%2F", "%2f")

    def tarball(self, version: str) -> str:
        """The file name of a version's tarball. The scope is not part of it."""
        return f"{self.base}-{version}.tgz"

    def tarball_path(self, version: str) -> str:
        """The tarball's path below the registry: npm's shape, which lockfiles of every registry are mapped to."""
        return f"/{self}/-/{self.tarball(version)}"

    def version_of(self, filename: str) -> str | None:
        """The version that a tarball's file name carries, or None when it is not one of this package.

        By the known base name, never by a pattern on `-`: `n-1.0.0-rc.1-2.tgz` is version `1.0.0-rc.1-2` of `n`.
        """
        prefix, suffix = f"{self.base}-", ".tgz"
        if not (filename.startswith(prefix) and filename.endswith(suffix)):
            return None
        return filename[len(prefix) : -len(suffix)] or None

"""What is in a tarball, learned by reading it once as a stream and unpacking nothing.

The archive is walked here and not by `tarfile`, which takes extended headers into memory however large they
are, leaves the end of a gzip file unchecked, and stops at the first empty block. Above all, an archive that
`tarfile` and npm's own reader (node-tar) understand differently could show one package.json to us and another
to those who install it. What can be read in two ways is refused.
"""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, NoReturn, Self

from registry import jsontext
from registry.errors import Invalid, TooLarge
from registry.manifests import runs_at_install

CHUNK = 64 * 1024
BLOCK = 512
PACKAGE_JSON_BYTES = 4 * 1024 * 1024
README_BYTES = 1024 * 1024
EXTENSION_BYTES = 1024 * 1024  # pax headers can carry extended attributes

_FILES = (b"0", b"\0", b"7")
_FOLDER = b"5"
_PAX, _PAX_FOR_ALL, _LONG_PATH, _LONG_LINK = b"x", b"g", b"L", b"K"
_EXTENSIONS = (_PAX, _PAX_FOR_ALL, _LONG_PATH, _LONG_LINK)
_REFUSED = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a character device",
    b"4": "a block device",
    b"6": "a pipe",
    b"S": "a sparse file",
}
_USTAR = b"ustar\x0000"
_OCTAL = re.compile(rb" *([0-7]+)[ \0]*")
_PAX_LENGTH = re.compile(rb"([1-9][0-9]{0,6}) ")
_PAX_LINE = re.compile(rb"^[0-9]+ (?:path|size)=", re.MULTILINE)
_DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True, slots=True)
class TarballLimits:
    """What one tarball may unfold to.

    Deflate makes zeros 1,000 times smaller and source code 4 times. After a start that anybody may have (empty
    images, test data) 200 times is no package.
    """

    unpacked_bytes: int = 2 * 1024 * 1024 * 1024
    entries: int = 100_000
    path_bytes: int = 1_024
    ratio: int = 200
    ratio_free_bytes: int = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class TarballReport:
    """What publishing needs to know. `entries` are the files, as in npm's `fileCount`; folders do not count."""

    package_json: dict[str, Any]
    readme: str | None
    has_install_script: bool
    entries: int
    unpacked_size: int


def inspect(file: BinaryIO, limits: TarballLimits) -> TarballReport:
    """Reads all of `file`. Raises Invalid or TooLarge, with a sentence that names the entry to blame."""
    archive = _Archive(file, limits)
    contents = _Contents()
    for entry in _entries(archive, limits):
        if entry.is_file:
            contents.add(entry, archive)
    archive.finish()
    return contents.report()


class _Archive:
    """The bytes of the tar inside the gzip. It checks both to their ends, and stops a bomb while it is small."""

    def __init__(self, file: BinaryIO, limits: TarballLimits) -> None:
        self.position = 0
        self._file = file
        self._limits = limits
        self._gzip = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)  # with its header, length and CRC
        self._compressed_size = 0
        self._size = 0
        self._chunk = b""
        self._at = 0

    def block(self) -> bytes:
        """The next block; nothing where the archive ends without a word."""
        start = self._some(BLOCK)
        return start + self.take(BLOCK - len(start)) if start else b""

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        taken = bytearray()
        while len(taken) < size:
            taken += self._some(size - len(taken)) or _refuse_cut_off()
        return bytes(taken)

    def skip_to(self, position: int) -> None:
        """Reads on and keeps nothing."""
        while self.position < position:
            _ = self._some(position - self.position) or _refuse_cut_off()

    def finish(self) -> None:
        """Refuses what stands behind the end of the tar or of the gzip: other readers would look at it."""
        while rest := self._some(CHUNK):
            if rest.strip(b"\0"):
                raise Invalid("the tarball has data behind the end of its archive: pack it again")
        if self._gzip.unused_data or self._file.read(1):
            raise Invalid("the tarball has data behind the end of its gzip stream: pack it again")

    def _some(self, most: int) -> bytes:
        if self._at == len(self._chunk):
            self._chunk, self._at = self._inflate(), 0
        some = self._chunk[self._at : self._at + most]
        self._at += len(some)
        self.position += len(some)
        return some

    def _inflate(self) -> bytes:
        while not self._gzip.eof:
            compressed = self._gzip.unconsumed_tail
            if not compressed:
                compressed = self._file.read(CHUNK)
                self._compressed_size += len(compressed)
            try:
                inflated = self._gzip.decompress(compressed, CHUNK)
            except zlib.error as error:
                raise Invalid(f"the tarball is not gzip, or damaged ({error}): pack it again") from error
            if inflated:
                self._count(inflated)
                return inflated
            if not compressed and not self._gzip.eof:
                _refuse_cut_off()
        return b""

    def _count(self, inflated: bytes) -> None:
        limits = self._limits
        self._size += len(inflated)
        if self._size > limits.unpacked_bytes:
            raise TooLarge(
                f"the tarball unpacks to more than {limits.unpacked_bytes:,} bytes: leave files out of it"
            )
        if self._size > limits.ratio_free_bytes and self._size > limits.ratio * self._compressed_size:
            raise Invalid(
                f"the tarball unpacks to more than {limits.ratio} times its size, as only bombs do: "
                "leave out the large files that are empty"
            )


@dataclass(frozen=True, slots=True)
class _Header:
    path: bytes
    kind: bytes
    size: int

    @classmethod
    def parse(cls, block: bytes) -> Self:
        """What a header says, read as node-tar does."""
        checksum = sum(block) - sum(block[148:156]) + 8 * ord(" ")
        if _number(block[148:156]) != checksum:
            raise Invalid("the tarball is not a tar archive, or damaged: pack it again")
        path, kind = _text(block[:100]), block[156:157]
        # Some writers keep times in the last bytes of the prefix, and then a NUL before them.
        prefix = _text(block[345:500] if block[475] else block[345:475])
        if prefix:
            if block[257:265] != _USTAR:
                _refuse_ambiguous(path)
            path = prefix + b"/" + path
        # Folders have no content, whatever some writers put here.
        return cls(path, kind, 0 if kind == _FOLDER else _number(block[124:136]))

    @property
    def padded_size(self) -> int:
        return -(-self.size // BLOCK) * BLOCK


@dataclass(frozen=True, slots=True)
class _Entry:
    path: str
    is_file: bool
    size: int

    @property
    def inner_path(self) -> str:
        """Where npm unpacks it to: the first folder is left out, whatever it is called."""
        return self.path.partition("/")[2]


def _entries(archive: _Archive, limits: TarballLimits) -> Iterator[_Entry]:
    """Each file and folder; between two of them the caller may take the content from the archive."""
    headers = 0
    extended: dict[bytes, bytes] = {}
    while any(block := archive.block()):
        headers += 1
        if headers > limits.entries:
            raise TooLarge(f"the tarball has more than {limits.entries:,} entries: leave files out of it")
        header = _Header.parse(block)
        end = archive.position + header.padded_size
        if header.kind in _EXTENSIONS:
            fields = _extension(header, archive)
            if fields.keys() & extended.keys():
                _refuse_ambiguous(header.path)
            extended |= fields
        else:
            yield _entry(header, extended, limits)
            extended = {}
        archive.skip_to(end)
    if extended:
        _refuse_cut_off()


def _entry(header: _Header, extended: dict[bytes, bytes], limits: TarballLimits) -> _Entry:
    path = _checked_path(extended.get(b"path", header.path), limits)
    if header.kind in _REFUSED:
        raise Invalid(f"{path!r} in the tarball is {_REFUSED[header.kind]}: put the file itself there")
    is_file = header.kind in _FILES and not path.endswith("/")
    if not is_file and header.kind != _FOLDER and (header.kind not in _FILES or header.size):
        raise Invalid(f"{path!r} in the tarball is neither a file nor a folder: leave it out")
    if extended.get(b"size", b"%d" % header.size) != b"%d" % header.size:
        _refuse_ambiguous(header.path)
    return _Entry(path, is_file, header.size)


def _extension(header: _Header, archive: _Archive) -> dict[bytes, bytes]:
    """What a header that stands before an entry says about the entry."""
    if header.size > EXTENSION_BYTES:
        raise Invalid(f"the tarball has a header of {header.size:,} bytes: pack it again with npm pack")
    content = archive.take(header.size)
    if header.kind == _LONG_PATH:
        return {b"path": _text(content)}
    if header.kind == _LONG_LINK:
        return {}
    fields = _pax(content)
    if fields and header.kind == _PAX_FOR_ALL:
        raise Invalid("the tarball has one path or size for all its entries: pack it again with npm pack")
    return fields


def _pax(content: bytes) -> dict[bytes, bytes]:
    """The records of a pax header that matter here: `path` and `size`.

    A record is as long as it says and may contain line ends; node-tar looks at lines. So both must see the same.
    """
    records: list[tuple[bytes, bytes]] = []
    at = 0
    while at < len(content):
        length = _PAX_LENGTH.match(content, at)
        end = at + int(length[1]) if length else 0
        key, equals, value = content[length.end() if length else 0 : end].partition(b"=")
        if not equals or not value.endswith(b"\n") or end > len(content):
            raise Invalid("the tarball has a damaged extended header: pack it again")
        records.append((key, value[:-1]))
        at = end
    if any(key.startswith(b"GNU.sparse.") for key, _ in records):
        raise Invalid("the tarball has a sparse file: pack it again with npm pack")
    told = [(key, value) for key, value in records if key in (b"path", b"size")]
    if len(_PAX_LINE.findall(content)) != len(told) or len(dict(told)) != len(told):
        _refuse_ambiguous(content[:100])
    return dict(told)


def _checked_path(path: bytes, limits: TarballLimits) -> str:
    """The path, when every reader on every system unpacks it to one place below the package's folder."""
    text = path.decode(errors="replace")
    if len(path) > limits.path_bytes:
        raise Invalid(f"the path {text[:80]!r}... in the tarball is longer than {limits.path_bytes:,} bytes")
    first, *inner = text.removesuffix("/").split("/")
    if first in ("", "..") or not {"", ".", ".."}.isdisjoint(inner):
        raise Invalid(f"{text!r} in the tarball may lead out of the package: use plain relative paths")
    if any(character in text for character in "\\\0\n") or any(_DRIVE.match(part) for part in (first, *inner)):
        raise Invalid(f"{text!r} in the tarball means different files on different systems: rename it")
    return text


def _text(field: bytes) -> bytes:
    """A field up to its NUL. Nothing may follow, because node-tar looks at what comes after a line end there."""
    text, _, rest = field.partition(b"\0")
    if rest.strip(b"\0"):
        _refuse_ambiguous(text)
    return text


def _number(field: bytes) -> int:
    digits = _OCTAL.fullmatch(field)
    if not digits:
        raise Invalid("the tarball has a damaged header, or a file of many gigabytes: pack it again")
    return int(digits[1], 8)


class _Contents:
    """The files that say what the package is, as the archive goes by."""

    def __init__(self) -> None:
        self._package_json: bytes | None = None
        self._readme: tuple[int, bytes] | None = None
        self._has_binding_gyp = False
        self._entries = 0
        self._unpacked_size = 0

    def add(self, entry: _Entry, archive: _Archive) -> None:
        """Counts a file in, and reads it if it is one of them."""
        self._entries += 1
        self._unpacked_size += entry.size
        # macOS and Windows know no case, and Windows no dots and spaces at the end.
        name = entry.inner_path.casefold().rstrip(". ")
        if name == "package.json":
            self._add_package_json(entry, archive)
        elif name == "binding.gyp":
            self._has_binding_gyp = True
        elif name.startswith("readme") and "/" not in name and entry.size <= README_BYTES:
            rank = _readme_rank(name)
            if self._readme is None or rank < self._readme[0]:
                self._readme = rank, archive.take(entry.size)

    def _add_package_json(self, entry: _Entry, archive: _Archive) -> None:
        if self._package_json is not None:
            raise Invalid(f"{entry.path!r} is the second package.json of the tarball: npm would mix them up")
        if entry.inner_path != "package.json":
            raise Invalid(f"{entry.path!r} in the tarball must be spelled package.json")
        if entry.size > PACKAGE_JSON_BYTES:
            raise TooLarge(f"{entry.path!r} in the tarball is larger than {PACKAGE_JSON_BYTES:,} bytes")
        self._package_json = archive.take(entry.size)

    def report(self) -> TarballReport:
        """What was found."""
        package_json = _parsed(self._package_json)
        builds = self._has_binding_gyp and package_json.get("gypfile") is not False
        return TarballReport(
            package_json=package_json,
            readme=self._readme[1].decode(errors="replace") if self._readme else None,
            has_install_script=runs_at_install(package_json) or builds,
            entries=self._entries,
            unpacked_size=self._unpacked_size,
        )

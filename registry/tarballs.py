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

_FILES = (b"0", b"\0")
_FOLDER = b"5"
_PAX, _PAX_FOR_ALL, _LONG_PATH = b"x", b"g", b"L"
_EXTENSIONS = (_PAX, _PAX_FOR_ALL, _LONG_PATH)
_REFUSED = {b"1": "a link", b"2": "a link", b"K": "a link", b"3": "a device", b"4": "a device", b"6": "a pipe"}
_OCTAL = re.compile(rb" *([0-7]+)[ \0]*")
_PAX_LENGTH = re.compile(rb"([1-9][0-9]{0,6}) ")
_PAX_KEYS = (b"path", b"linkpath", b"size")
_PAX_LINE = re.compile(rb"^.{2,8}(?:path|size)=", re.MULTILINE)
# Numbers that we do not need. node-tar skips a header whose numbers it cannot read, and not its content.
_OTHER_NUMBERS = [slice(100, 108), slice(108, 116), slice(116, 124), slice(136, 148), slice(329, 337), slice(337, 345)]
_TIMES = [slice(476, 488), slice(488, 500)]
_READABLE = re.compile(rb"[\0-\x7f].*|\x80\0+.{6}|\xff+.{6}", re.DOTALL)
_DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True, slots=True)
class TarballLimits:
    """What one tarball may unfold to.

    Deflate makes zeros 1,000 times smaller and source code 4 times. After a start that anybody may have
    (empty images, test data) 200 times is no package.
    """

    unpacked_bytes: int = 2 * 1024 * 1024 * 1024
    entries: int = 100_000
    path_bytes: int = 1_024
    ratio: int = 200
    ratio_free_bytes: int = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class TarballReport:
    """What publishing needs to know. `entries` are the files, as in `fileCount`: folders do not count."""

    package_json: dict[str, Any]
    readme: str | None
    has_install_script: bool
    entries: int
    unpacked_size: int


def inspect(file: BinaryIO, limits: TarballLimits) -> TarballReport:
    """Reads all of `file`. Raises Invalid or TooLarge, with a sentence that names the entry to blame."""
    archive = _Archive(file, limits)
    contents = _Contents()
    for path, size in _files(archive, limits):
        contents.add(path, size, archive)
    archive.finish()
    return contents.report()


class _Archive:
    """The tar inside the gzip: both are checked to their ends, and a bomb is stopped while it is small."""

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
            raise TooLarge(f"the tarball unpacks to more than {limits.unpacked_bytes:,} bytes: leave files out of it")
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
            if block[257:265] != b"ustar\x0000":
                _refuse_ambiguous(path)
            path = prefix + b"/" + path
        if any(block[157:257]) and kind not in _REFUSED:
            _refuse_ambiguous(path)  # node-tar skips what is no link and points somewhere, and not its content
        numbers = _OTHER_NUMBERS if block[475] else _OTHER_NUMBERS + _TIMES
        if not all(_READABLE.fullmatch(block[place]) for place in numbers):
            _refuse_ambiguous(path)
        # Folders have no content, whatever some writers put here.
        return cls(path, kind, 0 if kind == _FOLDER else _number(block[124:136]))


def _files(archive: _Archive, limits: TarballLimits) -> Iterator[tuple[str, int]]:
    """The path and size of each file, whose content the caller may take before asking for the next."""
    headers = 0
    extended: dict[bytes, bytes] = {}
    while any(block := archive.block()):
        headers += 1
        if headers > limits.entries:
            raise TooLarge(f"the tarball has more than {limits.entries:,} entries: leave files out of it")
        header = _Header.parse(block)
        end = archive.position + header.size + -header.size % BLOCK
        if header.kind in _EXTENSIONS:
            if extended:  # node-tar would take them for this header's own
                _refuse_ambiguous(header.path)
            extended = _extension(header, archive)
        else:
            path = _checked_path(extended.get(b"path", header.path), limits)
            if extended.get(b"size", b"%d" % header.size) != b"%d" % header.size:
                _refuse_ambiguous(header.path)
            if _is_file(header, path):
                yield path, header.size
            extended = {}
        archive.skip_to(end)
    if extended:
        _refuse_cut_off()


def _is_file(header: _Header, path: str) -> bool:
    """Whether it is a file and not a folder; whatever is neither is refused."""
    if header.kind == _FOLDER or (header.kind in _FILES and path.endswith("/") and not header.size):
        return False
    if header.kind not in _FILES or path.endswith("/"):
        what = _REFUSED.get(header.kind, "neither a file nor a folder")
        raise Invalid(f"{path!r} in the tarball is {what}: npm unpacks plain files only, leave it out")
    return True


def _extension(header: _Header, archive: _Archive) -> dict[bytes, bytes]:
    """What a header that stands before an entry says about the entry."""
    if header.size > EXTENSION_BYTES:
        raise Invalid(f"the tarball has a header of {header.size:,} bytes: pack it again with npm pack")
    content = archive.take(header.size)
    if header.kind == _LONG_PATH:
        return {b"path": _text(content)}
    fields = _pax(content)
    if fields and header.kind == _PAX_FOR_ALL:
        raise Invalid("the tarball has one path or size for all its entries: pack it again with npm pack")
    return fields


def _pax(content: bytes) -> dict[bytes, bytes]:
    """The records of a pax header that matter here.

    A record is as long as it says and may contain line ends. node-tar looks at lines, and takes any character for
    the space behind the length. Both ways must see the same.
    """
    records: list[tuple[bytes, bytes]] = []
    at = 0
    while at < len(content):
        length = _PAX_LENGTH.match(content, at)
        end = at + int(length[1]) if length else at
        key, equals, value = content[at:end].partition(b" ")[2].partition(b"=")
        if not equals or not value.endswith(b"\n") or end > len(content):
            raise Invalid("the tarball has a damaged extended header: pack it again")
        records.append((key, value[:-1]))
        at = end
    if any(key.startswith(b"GNU.sparse.") for key, _ in records):
        raise Invalid("the tarball has a sparse file: pack it again with npm pack")
    told = [(key, value) for key, value in records if key in _PAX_KEYS]
    if len(_PAX_LINE.findall(content)) != len(told) or len(dict(told)) != len(told):
        _refuse_ambiguous(content[:100])
    return dict(told)


def _checked_path(path: bytes, limits: TarballLimits) -> str:
    """The path, when every reader on every system unpacks it to one place below the package's folder."""
    text = path.decode(errors="replace")
    if len(path) > limits.path_bytes:
        raise Invalid(f"the path {text[:80]!r}... in the tarball is longer than {limits.path_bytes:,} bytes")
    if text.encode() != path:
        raise Invalid(f"the path {text!r} in the tarball is not UTF-8: rename it")
    first, *inner = text.removesuffix("/").split("/")
    if first in ("", "..") or not {"", ".", ".."}.isdisjoint(inner):
        raise Invalid(f"{text!r} in the tarball may lead out of the package: use plain relative paths")
    if any(character in text for character in "\\\0\n") or any(_DRIVE.match(part) for part in (first, *inner)):
        raise Invalid(f"{text!r} in the tarball means different files on different systems: rename it")
    return text


def _text(field: bytes) -> bytes:
    """A field up to its NUL. Nothing may follow: node-tar would look at it after a line end."""
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
        self._readme: tuple[bool, bytes] | None = None
        self._has_binding_gyp = False
        self._entries = 0
        self._unpacked_size = 0

    def add(self, path: str, size: int, archive: _Archive) -> None:
        """Counts a file in, and reads it if it is one of them."""
        self._entries += 1
        self._unpacked_size += size
        # npm leaves the first folder out, whatever it is called; Windows and macOS take similar names for the same.
        name = path.partition("/")[2].casefold().rstrip(". ")
        if name == "package.json":
            self._add_package_json(path, size, archive)
        elif name == "binding.gyp":
            self._has_binding_gyp = True
        elif name.partition(".")[0] == "readme" and "/" not in name and size <= README_BYTES:
            is_other = name not in ("readme.md", "readme.markdown")  # npm prefers these, and then takes any
            if self._readme is None or is_other < self._readme[0]:
                self._readme = is_other, archive.take(size)

    def _add_package_json(self, path: str, size: int, archive: _Archive) -> None:
        if self._package_json is not None:
            raise Invalid(f"{path!r} is the second package.json of the tarball: leave one of them out")
        if not path.endswith("/package.json"):
            raise Invalid(f"{path!r} in the tarball must be spelled package.json: rename it")
        if size > PACKAGE_JSON_BYTES:
            raise TooLarge(f"{path!r} in the tarball is larger than {PACKAGE_JSON_BYTES:,} bytes")
        self._package_json = archive.take(size)

    def report(self) -> TarballReport:
        """What was found."""
        package_json = _parsed(self._package_json)
        builds = self._has_binding_gyp and package_json.get("gypfile") is not False
        return TarballReport(
            package_json=package_json,
            readme=self._readme[1].decode(errors="replace") if self._readme else None,
            has_install_script=runs_at_install(package_json.get("scripts")) or builds,
            entries=self._entries,
            unpacked_size=self._unpacked_size,
        )


def _parsed(package_json: bytes | None) -> dict[str, Any]:
    if package_json is None:
        raise Invalid("the tarball has no package.json in its first folder: pack it with npm pack")
    try:
        parsed = jsontext.decode(package_json.decode("utf-8-sig"))
    except ValueError as error:
        raise Invalid(f"the package.json in the tarball is not JSON ({error}): correct it") from error
    if not isinstance(parsed, dict):
        raise Invalid("the package.json in the tarball is not a JSON object: correct it")
    return parsed


def _refuse_ambiguous(path: bytes) -> NoReturn:
    text = path[:100].decode(errors="replace")
    raise Invalid(f"{text!r} in the tarball has a header that can be read in two ways: pack it with npm pack")


def _refuse_cut_off() -> NoReturn:
    raise Invalid("the tarball ends in the middle: pack it again, and publish again")

"""Tarballs for tests: what `npm pack` makes, and what it never would.

`package()` is what most tests want. `tarball()` takes any files, and members that no honest client packs come from
`link()`, `device()` and their neighbours. Equal arguments make equal bytes.
"""

import gzip
import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from typing import Any

Content = bytes | str | Mapping[str, Any]
Member = tuple[tarfile.TarInfo, bytes]


def package(name: str = "left-pad", version: str = "1.0.0", files: Mapping[str, Content] = {}, **fields: Any) -> bytes:
    """A package as `npm pack` would make it; `fields` go into its package.json."""
    return tarball({"package.json": {"name": name, "version": version, **fields}, **files})


def tarball(
    files: Mapping[str, Content],
    *,
    top: str = "package/",
    extra: Iterable[Member] = (),
    tar_format: int = tarfile.USTAR_FORMAT,
) -> bytes:
    """The files below `top`, then the extra members, in a .tgz."""
    return zipped(tar([*(file(top + path, content) for path, content in files.items()), *extra], tar_format))


def tar(members: Iterable[Member], tar_format: int = tarfile.USTAR_FORMAT) -> bytes:
    """The plain archive."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tar_format) as writer:
        for member, content in members:
            writer.addfile(member, io.BytesIO(content))
    return archive.getvalue()


def zipped(archive: bytes) -> bytes:
    """The archive in gzip, without the time of day."""
    return gzip.compress(archive, mtime=0)


def file(path: str, content: Content = b"", /, **pax: str) -> Member:
    """A file under exactly this path; `pax` are records of an extended header before it."""
    member = _member(path, tarfile.REGTYPE)
    data = json.dumps(content).encode() if isinstance(content, Mapping) else content
    data = data.encode() if isinstance(data, str) else data
    member.size = len(data)
    member.pax_headers = pax
    return member, data


def folder(path: str) -> Member:
    """A folder, which npm leaves out and `tar` does not."""
    return _member(path, tarfile.DIRTYPE), b""


def link(path: str, target: str, *, hard: bool = False) -> Member:
    """A link from `path` to `target`."""
    member = _member(path, tarfile.LNKTYPE if hard else tarfile.SYMTYPE)
    member.linkname = target
    return member, b""


def device(path: str, *, block: bool = False) -> Member:
    """A device, such as /dev/zero."""
    member = _member(path, tarfile.BLKTYPE if block else tarfile.CHRTYPE)
    member.devmajor, member.devminor = 1, 5
    return member, b""


def pipe(path: str) -> Member:
    """A named pipe."""
    return _member(path, tarfile.FIFOTYPE), b""


def with_checksum(header: bytes) -> bytes:
    """A header block of 512 bytes whose checksum is right, whatever was done to it."""
    total = sum(header) - sum(header[148:156]) + 8 * ord(" ")
    return header[:148] + b"%06o\0 " % total + header[156:]


def patched(archive: bytes, offset: int, value: bytes, *, block: int = 0) -> bytes:
    """The plain archive with some bytes of one header replaced and its checksum made right again."""
    start = block * 512
    header = archive[start : start + 512]
    header = with_checksum(header[:offset] + value + header[offset + len(value) :])
    return archive[:start] + header + archive[start + 512 :]


def _member(path: str, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(path)
    member.type = kind
    member.mode = 0o644
    return member

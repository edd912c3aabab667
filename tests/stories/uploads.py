"""What `npm publish` sends, made piece by piece: a test may publish more than it could hold."""

import base64
import hashlib
import json
import random
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from functools import cached_property
from urllib.parse import quote

PIECE = 1 << 20


class Upload:
    """One version with a tarball of about `size` bytes that no compression makes smaller.

    Equal arguments make equal bytes; another `seed` makes other bytes of the same version.
    """

    def __init__(self, name: str, version: str = "1.0.0", *, size: int = 0, seed: int = 0, tag: str = "latest") -> None:
        self.name = name
        self.version = version
        self.path = f"/{quote(name, safe='@').replace('%2F', '%2f')}"
        self._size = size
        self._seed = seed
        self._tag = tag

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"

    @property
    def tarball_path(self) -> str:
        base = self.name.rpartition("/")[2]
        return f"{self.path}/-/{base}-{self.version}.tgz"

    @property
    def integrity(self) -> str:
        return f"sha512-{base64.b64encode(bytes.fromhex(self.sha512)).decode()}"

    @property
    def sha512(self) -> str:
        return self._facts[0]

    def tarball(self) -> Iterator[bytes]:
        """The bytes of the .tgz."""
        gzip = zlib.compressobj(0, wbits=16 + zlib.MAX_WBITS)
        for piece in self._tar():
            yield gzip.compress(piece)
        yield gzip.flush()

    def body(self) -> Iterator[bytes]:
        """The document with the tarball in it."""
        start, end = self._frame
        yield start
        yield from filter(None, _base64(self.tarball()))  # an empty chunk would end a chunked body
        yield end

    @property
    def content_length(self) -> int:
        start, end = self._frame
        return len(start) + -(-self._facts[2] // 3) * 4 + len(end)

    @cached_property
    def _facts(self) -> tuple[str, str, int]:
        """sha512, sha1 and length of the tarball."""
        sha512, sha1, length = hashlib.sha512(), hashlib.sha1(), 0
        for piece in self.tarball():
            sha512.update(piece)
            sha1.update(piece)
            length += len(piece)
        return sha512.hexdigest(), sha1.hexdigest(), length

    @cached_property
    def _frame(self) -> tuple[bytes, bytes]:
        """What stands before and behind the tarball's base64 in the body."""
        _, sha1, length = self._facts
        filename = f"{self.name}-{self.version}.tgz"
        dist = {"integrity": self.integrity, "shasum": sha1, "tarball": f"http://registry.example/{filename}"}
        document = {
            "_id": self.name,
            "name": self.name,
            "dist-tags": {self._tag: self.version},
            "versions": {self.version: {**self._package_json, "_id": str(self), "dist": dist}},
            "access": None,
            "_attachments": {
                filename: {"content_type": "application/octet-stream", "data": "the tarball", "length": length}
            },
        }
        start, end = json.dumps(document).split("the tarball")
        return start.encode(), end.encode()

    @property
    def _package_json(self) -> dict[str, str]:
        return {"name": self.name, "version": self.version, "description": f"bytes of seed {self._seed}"}

    def _tar(self) -> Iterator[bytes]:
        package_json = json.dumps(self._package_json).encode()
        yield _header("package/package.json", len(package_json)) + package_json + _padding(len(package_json))
        yield _header("package/noise", self._size)
        noise = random.Random(self._seed)
        for start in range(0, self._size, PIECE):
            yield noise.randbytes(min(PIECE, self._size - start))
        yield _padding(self._size) + bytes(2 * tarfile.BLOCKSIZE)


def _header(path: str, size: int) -> bytes:
    member = tarfile.TarInfo(path)
    member.size = size
    return member.tobuf(tarfile.USTAR_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)


def _base64(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Base64 of all the pieces together: groups of three bytes do not end where pieces do."""
    rest = b""
    for piece in pieces:
        data = rest + piece
        whole = len(data) // 3 * 3
        yield base64.b64encode(data[:whole])
        rest = data[whole:]
    yield base64.b64encode(rest)

"""A little distribution of Node, laid out as nodejs.org/dist is, on the fake upstream.

dist = NodeDist(upstream)
dist.release("22.1.0", date="2024-05-02", lts="Jod")
dist.file("22.1.0", "node-v22.1.0-linux-x64.tar.gz")    # its bytes
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from typing import Any

from tests.fake_upstream import FakeUpstream


class NodeDist:
    """What is released; each change is on the upstream at once."""

    def __init__(self, upstream: FakeUpstream, root: str = "dist") -> None:
        self._upstream = upstream
        self._root = root
        self._releases: dict[str, dict[str, Any]] = {}
        self._files: dict[str, dict[str, bytes]] = {}

    @property
    def url(self) -> str:
        return f"{self._upstream.url}/{self._root}"

    def release(
        self,
        version: str,
        *,
        date: str = "2024-05-02",
        lts: str | bool = False,
        files: Mapping[str, bytes] | None = None,
    ) -> None:
        """Release a version, or more of its files."""
        self._releases.setdefault(version, {"version": f"v{version}", "date": date, "files": ["linux-x64"], "lts": lts})
        own = {} if version in self._files else _usual(version)
        self._files.setdefault(version, {}).update({**own, **(files or {})})
        self.sign(version)
        self._list()

    def sign(self, version: str, **wrong: str) -> None:
        """Write the list of checksums; `wrong` ones are given in place of the true ones."""
        sums = {name: hashlib.sha256(data).hexdigest() for name, data in self._files[version].items()}
        text = "".join(f"{digest}  {name}\n" for name, digest in sorted({**sums, **wrong}.items())).encode()
        self.put(f"v{version}/SHASUMS256.txt", text)
        self.put(f"v{version}/SHASUMS256.txt.asc", b"-----BEGIN PGP SIGNED MESSAGE-----\n" + text)
        for name, data in self._files[version].items():
            self.put(f"v{version}/{name}", data)

    def put(self, path: str, data: bytes, **options: Any) -> None:
        """Serve exactly these bytes."""
        self._upstream.put_raw(f"{self._root}/{path}", data, content_type="application/octet-stream", **options)

    def file(self, version: str, name: str) -> bytes:
        """The bytes of a file."""
        return self._files[version][name]

    def text(self, path: str) -> bytes:
        """What is served at a path."""
        return self._upstream._raw[f"/{self._root}/{path}"].body

    def _list(self) -> None:
        newest_first = sorted(self._releases.values(), key=_numbers, reverse=True)
        self.put("index.json", json.dumps(newest_first, indent=1).encode())
        lines = [f"{one['version']}\t{one['date']}\tlinux-x64\t-\t-" for one in newest_first]
        self.put("index.tab", "".join(f"{line}\n" for line in ["version\tdate\tfiles\tnpm\tv8", *lines]).encode())


def _numbers(entry: Mapping[str, Any]) -> list[int]:
    return [int(number) for number in entry["version"][1:].partition("-")[0].split(".")]


def _usual(version: str) -> dict[str, bytes]:
    """What a release has: programs for two platforms, and the headers that node-gyp wants."""
    name = f"node-v{version}"
    header = f'#define NODE_VERSION "{version}"\n'.encode()
    program = f"#!/bin/sh\necho v{version}\n".encode()
    tree = {f"{name}-linux-x64/bin/{command}": program for command in ("node", "npm", "npx")}
    return {
        f"{name}-linux-x64.tar.gz": archive(tree),
        f"{name}-linux-x64.tar.xz": archive(tree, "xz"),
        f"{name}-headers.tar.gz": archive({f"{name}/include/node/node_version.h": header}),
        "win-x64/node.exe": program,
        "win-x64/node.lib": b"a library",
    }


def archive(files: Mapping[str, bytes], compression: str = "gz") -> bytes:
    """A tar file with these programs in it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{compression}") as tar:  # type: ignore[call-overload]
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o755
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()

"""How upstreams are asked, by their kind: all registries speak npm's protocol, a folder is read as if it did."""

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol, Self

from registry.names import PackageName
from sync.http import Timeouts
from sync.kinds.folder import Folder
from sync.kinds.registry import Cnpm, Registry
from sync.models import Upstream


class Reply(Protocol):
    """An answer whose body is still to come, as HTTP has it. It is closed by its `with` block."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def content_length(self) -> int | None: ...
    def stream(self, chunk: int = ..., /) -> Iterator[bytes]: ...
    def read_all(self, max_bytes: int, /) -> bytes: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None: ...


class Source(Protocol):
    """What can be asked of an upstream. All of it raises `UpstreamError`."""

    def packument(self, name: PackageName, conditions: Mapping[str, str], /) -> Reply:
        """The full document of `name`; `conditions` are headers such as If-None-Match."""
        ...

    def tarball(self, url: str, timeout: Timeouts, /) -> Reply:
        """The tarball that a document of the upstream places at `url`."""
        ...


_KINDS: Mapping[str, Callable[[Upstream], Source]] = {
    Upstream.Kind.CNPMCORE: Cnpm,
    Upstream.Kind.CNPMJSORG: Cnpm,
    Upstream.Kind.LARDER: Cnpm,
    Upstream.Kind.FOLDER: Folder,
}


def source(upstream: Upstream) -> Source:
    """The upstream, to be asked in the way of its kind."""
    return _KINDS.get(upstream.kind, Registry)(upstream)

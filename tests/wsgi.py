"""Speaks HTTP to the whole application, front door and all, without a socket."""

import gzip
import io
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit
from wsgiref.util import FileWrapper

import zstandard

BASE = "http://registry.test"


@dataclass(frozen=True)
class Answer:
    status: int
    reason: str
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> bytes:
        """The body, decoded as its Content-Encoding says."""
        encoding = self.headers.get("content-encoding")
        if encoding == "gzip":
            return gzip.decompress(self.raw)
        return zstandard.ZstdDecompressor().decompressobj().decompress(self.raw) if encoding == "zstd" else self.raw

    def json(self) -> Any:
        return json.loads(self.body)


def request(method: str, url: str, *, body: bytes | str | dict | None = None, headers: dict | None = None) -> Answer:
    """One request. `url` is a path, %-encoded as a client would send it; names in `headers` as HTTP has them."""
    from config.wsgi import application

    parts = urlsplit(url)
    payload = (
        body if isinstance(body, bytes) else (body or "").encode() if isinstance(body, str | None) else _dump(body)
    )
    environ = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(parts.path).decode("latin-1"),
        "QUERY_STRING": parts.query,
        "SERVER_NAME": "registry.test",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "registry.test",
        "CONTENT_LENGTH": str(len(payload)),
        "CONTENT_TYPE": (headers or {}).get("Content-Type", "application/json"),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(payload),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
        **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in (headers or {}).items()},
    }
    started: list[Any] = []
    chunks = application(environ, lambda status, sent, _error=None: started.append((status, sent)))
    try:
        raw = b"".join(chunks)
    finally:
        if hasattr(chunks, "close"):
            chunks.close()
    status, sent = started[-1]
    code, _, reason = status.partition(" ")
    if method == "HEAD":  # a server sends no body then, whatever the application gives
        raw = b""
    return Answer(int(code), reason, {name.lower(): value for name, value in sent}, raw)


def _dump(body: dict) -> bytes:
    return json.dumps(body).encode()

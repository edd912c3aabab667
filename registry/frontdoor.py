"""A thin layer in front of Django that answers public reads from memory.

It knows two things, packuments and tarballs in a folder, and only what `catalog.ready` is certain of; everything else
falls through to Django, which answers the same in the same words. Views and verbs know nothing of it. With
`LARDER_FRONT_DOOR=no` everything still works.
"""

import logging
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DatabaseError, close_old_connections

from registry import catalog, counting, negotiation, paths
from registry.cache import DocumentKey, FileKey, Ready
from registry.counting import Reader
from registry.errors import Invalid
from registry.names import PackageName

logger = logging.getLogger(__name__)

Environ = dict[str, Any]
Key = DocumentKey | FileKey
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]

_packument = re.compile(f"/{paths.PACKUMENT}")
_tarballs = [re.compile(f"/{pattern}") for pattern in paths.TARBALLS]
_CHUNK = 256 << 10
_USUAL_LENGTH = 600


class FrontDoor:
    """WSGI middleware."""

    def __init__(self, application: Application) -> None:
        self._application = application

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer from memory, or let Django answer."""
        key = _wanted(environ) if settings.FRONT_DOOR and settings.ANONYMOUS_READ else None
        entry = _ready(key) if key else None
        if key is None or entry is None:
            return self._application(environ, start_response)
        is_head = environ["REQUEST_METHOD"] == "HEAD"
        conditions = environ.get("HTTP_IF_NONE_MATCH"), environ.get("HTTP_IF_MODIFIED_SINCE")
        if negotiation.is_current(entry.etag, entry.modified, *conditions):
            start_response("304 Not Modified", [item for item in entry.headers if item[0] != "Content-Length"])
            return []
        if entry.body or entry.path is None:
            start_response("200 OK", entry.headers)
            if is_head:
                return []
            _count(key, environ)
            return [entry.body]
        return self._send_file(entry.path, key, entry, environ, start_response)

    def _send_file(
        self, path: str, key: Key, entry: Ready, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        try:
            file = Path(path).open("rb")  # noqa: SIM115 (the server closes it when it has sent it)
        except FileNotFoundError:
            return self._application(environ, start_response)
        start_response("200 OK", entry.headers)
        if environ["REQUEST_METHOD"] == "HEAD":
            file.close()
            return []
        _count(key, environ)
        sent: Iterable[bytes] = environ["wsgi.file_wrapper"](file, _CHUNK)
        return sent


def _wanted(environ: Environ) -> Key | None:
    """What the request wants, when that may be answered from memory."""
    if environ["REQUEST_METHOD"] not in ("GET", "HEAD") or environ.get("QUERY_STRING"):
        return None
    asked = (
        environ["PATH_INFO"],
        environ.get("HTTP_ACCEPT", ""),
        environ.get("HTTP_ACCEPT_ENCODING", ""),
        settings.PUBLIC_URL or f"{environ['wsgi.url_scheme']}://{environ.get('HTTP_HOST', '')}",
    )
    # What no client sends is not remembered: the memory would be filled by whoever likes to.
    key = _key(*asked) if sum(map(len, asked)) < _USUAL_LENGTH else _key.__wrapped__(*asked)
    if isinstance(key, FileKey) and (environ.get("HTTP_RANGE") or settings.ACCEL_PREFIX):
        return None
    return key


def _ready(key: Key) -> Ready | None:
    try:
        return catalog.ready(key)
    except DatabaseError as error:
        logger.warning("the front door could not look up %s: %s", key.name, error)
        close_old_connections()
        return None


def _count(key: Key, environ: Environ) -> None:
    if isinstance(key, FileKey):
        counting.count(key.name, key.filename, Reader.of(environ))


@lru_cache(maxsize=8192)
def _key(path: str, accept: str, accept_encoding: str, base: str) -> Key | None:
    """What the request wants, by its path and headers alone; None when that is not for the front door."""
    try:
        if found := _packument.fullmatch(path):
            flavour, encoding = negotiation.flavour(accept), negotiation.encoding(accept_encoding)
            return DocumentKey(str(PackageName.parse(found["name"])), flavour, encoding, base)
        for pattern in _tarballs:
            if found := pattern.fullmatch(path):
                return FileKey(str(PackageName.parse(found["name"])), found["filename"])
    except Invalid:
        pass
    return None

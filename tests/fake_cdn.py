"""A cache in front of a server, as a CDN is one: keeps what it may, and forgets by PURGE.

with FakeCDN(token="secret") as cdn:
    cdn.origin = server.url
    cdn.get("/left-pad/-/left-pad-1.0.0.tgz")
"""

import http.client
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

from tests.wsgi import Answer


class FakeCDN:
    """What is public and has a `max-age` above zero is kept, whole answers only; nothing is ever asked for again."""

    def __init__(self, *, token: str = "") -> None:
        self.origin = ""
        self.kept: dict[str, Answer] = {}
        self.purged: list[tuple[str, str]] = []  # paths, and the tags that came with them
        self.knows_purge = True
        self._token = token
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._connection())
        self._server.daemon_threads = True

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=[0.02], daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def get(self, path: str, headers: dict[str, str] | None = None) -> Answer:
        """What a reader gets through it."""
        return _ask(self.url, path, headers or {})

    def _answer(self, path: str, headers: dict[str, str]) -> Answer:
        path = _normal(path)
        if path in self.kept:
            return self.kept[path]
        answer = _ask(self.origin, path, headers)
        if answer.status == 200 and _may_keep(answer.headers.get("cache-control", "")):
            self.kept[path] = answer
        return answer

    def _purge(self, path: str, headers: Any) -> int:
        if not self.knows_purge:
            return 405
        if self._token and headers.get("authorization") != f"Bearer {self._token}":
            return 403
        path = _normal(path)
        self.purged.append((path, headers.get("cache-tag", "")))
        return 200 if self.kept.pop(path, None) else 404

    def _connection(cdn) -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Connection(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                given = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
                answer = cdn._answer(self.path, given)
                self._send(answer.status, answer.raw)

            def do_PURGE(self) -> None:
                self._send(cdn._purge(self.path, self.headers), b"")

            def _send(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        return Connection


def _normal(path: str) -> str:
    """Escapes in capitals (RFC 3986, 6.2.2.1)."""
    return re.sub("%[0-9a-f]{2}", lambda found: found[0].upper(), path)


def _may_keep(control: str) -> bool:
    age = re.search(r"max-age=(\d+)", control)
    return "public" in control and age is not None and int(age[1]) > 0


def _ask(base: str, path: str, headers: dict[str, str]) -> Answer:
    connection = http.client.HTTPConnection(urlsplit(base).netloc, timeout=60)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        given = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, response.reason, given, response.read())
    finally:
        connection.close()

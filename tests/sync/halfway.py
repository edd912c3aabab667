"""A server of one file that it sends in two halves, the second when it is told to."""

import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class Halfway:
    """`with Halfway(data) as server`: `server.url` is the file; `server.go_on()` lets the second half come."""

    def __init__(self, data: bytes) -> None:
        self.requests = 0
        self._told, self._asked = threading.Event(), threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._connection(data))
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/file.tgz"

    def wait(self) -> None:
        """Until the first half is on its way."""
        assert self._asked.wait(20)

    def go_on(self) -> None:
        self._told.set()

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=[0.02], daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.go_on()
        self._server.shutdown()
        self._server.server_close()

    def _connection(halfway, data: bytes) -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Connection(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                halfway.requests += 1
                self.send_response(200)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                middle = len(data) // 2
                with suppress(OSError):
                    self.wfile.write(data[:middle])
                    halfway._asked.set()
                    halfway._told.wait()
                    self.wfile.write(data[middle:])

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        return Connection

"""How gunicorn serves: few processes, many threads, connections kept."""

import os
import socket
import struct
import sys
import time
from contextlib import suppress
from typing import Any

from gunicorn.glogging import Logger  # type: ignore[import-untyped]
from gunicorn.http.errors import ParseException  # type: ignore[import-untyped]

from config import settings
from registry.redaction import Redaction


class RedactedLogger(Logger):  # type: ignore[misc]
    """gunicorn's own log, and the access log that it can be told to write: URLs hold tokens (`npm logout`)."""

    def setup(self, cfg: Any) -> None:
        """Make the handlers, and let none of them see a secret."""
        super().setup(cfg)
        for handler in (*self.error_log.handlers, *self.access_log.handlers):
            handler.addFilter(Redaction())

    def exception(self, msg: str, *args: Any, **options: Any) -> None:
        """Log a failure. That a client stalled (`when_ready`) is none of ours."""
        log = self.debug if isinstance(sys.exception(), BlockingIOError) else super().exception
        log(msg, *args, **options)


workers, threads = settings.WORKERS, settings.THREADS
worker_class = "gthread"
# Loaded once and shared: processes start at once and use less memory. What each must have of its own (threads,
# connections, the mapped generation) is made when it is first needed.
preload_app = True
# Clients keep connections for the length of an install.
keepalive = 75
# A publish of 512 MB over a slow line takes a while; gthread's heartbeat does not depend on requests.
timeout = 120
graceful_timeout = 10
limit_request_line = 8190
limit_request_field_size = 16380
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: PTH112, S108 (heartbeats must not wait for a disk)
# gunicorn's own console: a socket in the home folder, which two that run side by side would take from each other.
control_socket_disable = True
accesslog = None
logger_class = RedactedLogger
loglevel = os.environ.get("LARDER_LOG_LEVEL", "warning").lower()
proc_name = "larder"
forwarded_allow_ips = os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1,::1")

_REFUSED_BODY_SECONDS = 60
_CHUNK = 64 << 10


def when_ready(server: Any) -> None:
    """Let no client hold a thread for ever that stops in the middle of a request; connections inherit the limit."""
    limit = struct.pack("ll", settings.STALL_SECONDS, 0)
    for listener in server.LISTENERS:
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)


def post_request(_worker: Any, _request: Any, environ: dict[str, Any], _response: Any) -> None:
    """Read the rest of a body that was refused early, so that the client comes to read why.

    One that is cut off while it sends sees a broken connection, and npm sends it all again. gunicorn itself reads no
    more than 64 KiB of it.
    """
    if environ.get("REQUEST_METHOD", "GET") in ("GET", "HEAD"):
        return
    deadline = time.monotonic() + _REFUSED_BODY_SECONDS
    connection = environ["gunicorn.socket"]
    with suppress(OSError, ParseException):
        while (left := deadline - time.monotonic()) > 0:
            connection.settimeout(min(left, settings.STALL_SECONDS))
            if not environ["wsgi.input"].read(_CHUNK):
                connection.settimeout(None)
                return


def post_worker_init(_worker: Any) -> None:
    """Write what is downloaded, now and then."""
    from registry import counting  # noqa: PLC0415 (the application must be loaded first)

    counting.start()


def worker_exit(_arbiter: Any, _worker: Any) -> None:
    """Write the downloads that are not written yet: no orderly stop loses any."""
    from registry import counting  # noqa: PLC0415 (the application must be loaded first)

    counting.stop()

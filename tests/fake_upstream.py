"""A little npm registry on loopback, which misbehaves on demand.

    with FakeUpstream() as upstream:
        upstream.publish("left-pad", "1.0.0", dependencies={"repeat": "^1.0.0"})
        upstream.fault("/left-pad", "status", times=1, code=503, headers={"retry-after": "7"})
        ...
        assert upstream.count("/left-pad") == 2

It keeps everything in memory, speaks HTTP/1.1 with keep-alive over real sockets, and can be stopped and
started again on its port. As a process of its own, `python -m tests.fake_upstream --packages spec.json`
prints its URL; the file is a list of keyword arguments of `publish`. Then `POST /-/fault` (and the other
verbs in CONTROLS) take their keyword arguments as a JSON object, and `GET /-/requests` tells what was asked.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import hashlib
import json
import signal
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from tests import tarballs

ABBREVIATED = "application/vnd.npm.install-v1+json"
ABBREVIATED_FIELDS = frozenset(
    """
    name version deprecated dist engines os cpu libc bin directories funding hasInstallScript _hasShrinkwrap
    dependencies devDependencies optionalDependencies peerDependencies peerDependenciesMeta bundleDependencies
    acceptDependencies
    """.split()  # noqa: SIM905
)
INSTALL_SCRIPTS = ("preinstall", "install", "postinstall")
CONTROLS = frozenset({"publish", "unpublish", "deprecate", "set_tag", "describe", "fault", "heal"})
FAULTS = frozenset(
    "status slow drip reset truncate wrong_bytes redirect redirect_loop not_json huge".split()  # noqa: SIM905
)


@dataclass(frozen=True)
class Request:
    """What a client sent. `path` is decoded and without its query; `target` is what stood on the wire.

    `client_port` tells connections apart; header names are in lower case.
    """

    method: str
    target: str
    path: str
    headers: dict[str, str]
    body: bytes = b""
    client_port: int = 0


@dataclass(frozen=True)
class Answer:
    """What a client gets when nothing goes wrong."""

    status: int
    headers: dict[str, str]
    body: bytes = b""


@dataclass
class Fault:
    """Something that goes wrong for the requests whose path matches, `times` times or for good."""

    path_glob: str
    kind: str
    times: int | None = None
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class Package:
    """One package as this registry has it; tarball URLs are put in when it is served."""

    versions: dict[str, dict[str, Any]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    time: dict[str, str] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)
    tarballs: dict[str, bytes] = field(default_factory=dict)
    modified: datetime = field(default_factory=lambda: datetime.now(UTC))


class Gate:
    """Holds the requests whose path matches until somebody opens it."""

    def __init__(self, path_glob: str) -> None:
        self.path_glob = path_glob
        self._changed = threading.Condition()
        self._arrived = 0
        self._is_open = False

    def open(self) -> None:
        """Let everybody through, those who wait and those who come later."""
        with self._changed:
            self._is_open = True
            self._changed.notify_all()

    def wait_arrived(self, n: int = 1, timeout: float = 10) -> None:
        """Return when `n` requests stand before the gate (or stood there)."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._arrived >= n, timeout):
                raise AssertionError(f"{self._arrived} of {n} requests arrived at {self.path_glob}")

    def pass_through(self) -> None:
        with self._changed:
            self._arrived += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._is_open)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.open()


class FakeUpstream:
    """The registry: what it holds, what it was asked, and what shall go wrong."""

    def __init__(self, *, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.validators = True  # whether ETag and Last-Modified are sent and honoured
        self.authorization: str | None = None  # when set, requests without exactly this header value get 401
        self.requests: list[Request] = []
        self._port = port
        self._tls = tls
        self._packages: dict[str, Package] = {}
        self._raw: dict[str, Answer] = {}
        self._faults: list[Fault] = []
        self._gates: list[Gate] = []
        self._lock = threading.RLock()
        self._server: _Server | None = None
        self.stopping = threading.Event()

    # --- Its life -------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Listen; after a stop, on the same port as before."""
        self.stopping.clear()
        self._server = _Server(self._port, self, self._tls)
        self._port = self._server.server_address[1]
        threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.02},
            name="fake-upstream",
            daemon=True,
        ).start()
        return self

    def stop(self) -> None:
        """Refuse connections from now on, and break off those that are open."""
        if self._server is None:
            return
        self.stopping.set()
        for gate in self._gates:
            gate.open()
        self._server.shutdown()
        self._server.server_close()
        self._server.drop_connections()
        self._server = None

    def drop_connections(self) -> None:
        """Close every open connection, as a server does with keep-alive connections that it finds too old."""
        if self._server is not None:
            self._server.drop_connections()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    @property
    def port(self) -> int:
        return self._port

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end; it has to be started to know."""
        assert self._port, "the upstream was not started yet"
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}"

    # --- What it holds --------------------------------------------------------------------------------------

    def publish(
        self,
        name: str,
        version: str,
        *,
        files: Mapping[str, str | bytes] | None = None,
        tag: str | None = "latest",
        time: str | None = None,
        dist: Mapping[str, Any] | None = None,
        **manifest: Any,
    ) -> dict[str, Any]:
        """Add a version with a real tarball, and return its manifest as it will be served.

        `dist` is laid over the computed one, so that a test can lie in it; a value of None removes a key.
        """
        manifest = {"name": name, "version": version, **manifest}
        contents = {"package.json": json.dumps(manifest), "index.js": "module.exports = 1\n", **(files or {})}
        data = tarballs.tarball(contents)
        file = f"{name.rpartition('/')[2]}-{version}.tgz"
        computed = {
            "integrity": "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode(),
            "shasum": hashlib.sha1(data).hexdigest(),
            "tarball": f"{self.url}/{name}/-/{file}",
            "fileCount": len(contents),
            "unpackedSize": sum(len(content) for content in contents.values()),
            **(dist or {}),
        }
        if any(manifest.get("scripts", {}).get(script) for script in INSTALL_SCRIPTS):
            manifest.setdefault("hasInstallScript", True)
        manifest["_id"] = f"{name}@{version}"
        manifest["dist"] = {key: value for key, value in computed.items() if value is not None}
        with self._lock:
            package = self._packages.setdefault(name, Package())
            package.versions[version] = manifest
            package.tarballs[file] = data
            package.time[version] = time or _timestamp(datetime.now(UTC))
            if tag is not None:
                package.tags[tag] = version
            self._touch(package)
        return manifest

    def unpublish(self, name: str, version: str | None = None) -> None:
        """Take a version or the whole package away; a version's `time` entry stays, as at npm."""
        with self._lock:
            package = self._packages[name]
            if version is not None:
                del package.versions[version]
                del package.tarballs[f"{name.rpartition('/')[2]}-{version}.tgz"]
                package.tags = {tag: target for tag, target in package.tags.items() if target != version}
            if version is None or not package.versions:
                del self._packages[name]
                return
            package.tags.setdefault("latest", list(package.versions)[-1])
            self._touch(package)

    def deprecate(self, name: str, version: str, message: str) -> None:
        """Mark a version as deprecated; an empty message takes the mark away."""
        with self._lock:
            package = self._packages[name]
            package.versions[version] = {**package.versions[version], "deprecated": message}
            if not message:
                del package.versions[version]["deprecated"]
            self._touch(package)

    def set_tag(self, name: str, tag: str, version: str | None) -> None:
        """Point a tag at a version, or take it away."""
        with self._lock:
            package = self._packages[name]
            if version is None:
                package.tags.pop(tag, None)
            else:
                package.tags[tag] = version
            self._touch(package)

    def describe(self, name: str, **fields: Any) -> None:
        """Set fields of the package itself: readme, description, maintainers and whatever else."""
        with self._lock:
            package = self._packages[name]
            package.fields.update(fields)
            self._touch(package)

    def put_raw(
        self,
        name: str,
        body: bytes,
        *,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
        status: int = 200,
    ) -> None:
        """Serve exactly these bytes under `/<name>`, in place of anything that was published there."""
        self._raw["/" + name] = Answer(status, {"content-type": content_type, **(headers or {})}, body)

    def tarball(self, name: str, version: str) -> bytes:
        """The bytes of a published tarball."""
        return self._packages[name].tarballs[f"{name.rpartition('/')[2]}-{version}.tgz"]

    @staticmethod
    def _touch(package: Package) -> None:
        package.modified = datetime.now(UTC)

    # --- What goes wrong ------------------------------------------------------------------------------------

    def fault(self, path_glob: str, kind: str, times: int | None = None, **options: Any) -> Fault:
        """Let requests whose decoded path matches meet a fault; those set first are used up first.

        status         answers `code` (500), with `headers` and `body`
        slow           waits `seconds` (5) before the first byte
        drip           sends `chunk` (1) bytes of the body every `seconds` (0.05)
        reset          resets the connection, before the first byte, or after `after` bytes of the body
        truncate       declares the full length, sends half and closes
        wrong_bytes    flips a bit in the middle, the length stays
        redirect       sends to `to`, where {path} stands for the path that was asked, with `code` (302)
        redirect_loop  sends to where the client already is
        not_json       answers 200 with a page of HTML
        huge           begins a JSON document that never ends
        """
        if kind not in FAULTS:
            raise ValueError(f"no fault of kind {kind!r}, there are: {', '.join(sorted(FAULTS))}")
        fault = Fault(path_glob, kind, times, options)
        with self._lock:
            self._faults.append(fault)
        return fault

    def heal(self, path_glob: str | None = None) -> None:
        """Forget the faults that were set with this glob, or all."""
        with self._lock:
            self._faults = [fault for fault in self._faults if path_glob not in (None, fault.path_glob)]

    def gate(self, path_glob: str) -> Gate:
        """Hold requests whose path matches until the gate is opened; stopping the upstream opens it."""
        gate = Gate(path_glob)
        with self._lock:
            self._gates.append(gate)
        return gate

    def take_fault(self, path: str) -> Fault | None:
        with self._lock:
            for fault in self._faults:
                if fault.times != 0 and fnmatchcase(path, fault.path_glob):
                    if fault.times is not None:
                        fault.times -= 1
                    return fault
        return None

    # --- What it was asked ----------------------------------------------------------------------------------

    def count(self, path_glob: str = "*", method: str | None = None) -> int:
        """How many requests came for paths that match."""
        with self._lock:
            return sum(
                fnmatchcase(request.path, path_glob) and method in (None, request.method) for request in self.requests
            )

    def last(self, path_glob: str = "*") -> Request:
        """The newest request for a path that matches."""
        with self._lock:
            return next(request for request in reversed(self.requests) if fnmatchcase(request.path, path_glob))

    def receive(self, request: Request) -> None:
        """Note a request, and hold it at the gates that it has to pass."""
        with self._lock:
            self.requests.append(request)
            gates = [gate for gate in self._gates if fnmatchcase(request.path, gate.path_glob)]
        for gate in gates:
            gate.pass_through()

    # --- What it answers ------------------------------------------------------------------------------------

    def answer(self, request: Request) -> Answer:
        """Find what is asked for, as if nothing ever went wrong."""
        if self.authorization is not None and request.headers.get("authorization") != self.authorization:
            return _json_answer(401, {"error": "authentication required"})
        if request.method not in {"GET", "HEAD"}:
            return _json_answer(405, {"error": "method not allowed"})
        name, is_tarball, file = request.path.removeprefix("/").partition("/-/")
        with self._lock:
            raw, package = self._raw.get(request.path), self._packages.get(name)
            if raw is not None:
                return raw
            if package is not None and not is_tarball:
                return self._document(name, package, request)
            if package is not None and file in package.tarballs:
                tarball = Answer(200, {"content-type": "application/octet-stream"}, package.tarballs[file])
                return self._conditional(tarball, package.modified, request)
        return _json_answer(404, {"error": "not_found", "reason": "document not found"})

    def _document(self, name: str, package: Package, request: Request) -> Answer:
        is_abbreviated = ABBREVIATED in request.headers.get("accept", "")
        document = _abbreviated(name, package) if is_abbreviated else _full(name, package)
        headers = {
            "content-type": ABBREVIATED if is_abbreviated else "application/json",
            "vary": "Accept, Accept-Encoding",
        }
        body = json.dumps(document).encode()
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["content-encoding"] = "gzip"
            body = gzip.compress(body, mtime=0)
        return self._conditional(Answer(200, headers, body), package.modified, request)

    def _conditional(self, answer: Answer, modified: datetime, request: Request) -> Answer:
        if not self.validators:
            return answer
        etag = f'"{hashlib.sha256(answer.body).hexdigest()[:32]}"'
        validators = {"etag": etag, "last-modified": format_datetime(modified, usegmt=True)}
        if_none_match, since = (request.headers.get(key) for key in ("if-none-match", "if-modified-since"))
        if if_none_match is not None:
            is_fresh = etag in if_none_match
        else:
            is_fresh = since is not None and modified.replace(microsecond=0) <= parsedate_to_datetime(since)
        if is_fresh:
            return Answer(304, validators)
        return replace(answer, headers={**answer.headers, **validators})


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, upstream: FakeUpstream, tls: ssl.SSLContext | None) -> None:
        self.upstream = upstream
        self._tls = tls
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        super().__init__(("127.0.0.1", port), _Connection)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        if self._tls is not None:
            # The connection's own thread makes the handshake, so that one client cannot hold up the others.
            connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        with self._open_lock:
            self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def drop_connections(self) -> None:
        with self._open_lock:
            for connection in self._open:
                # Of the socket itself: an SSLSocket would forget its TLS state and go on in plain text.
                with suppress(OSError):
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # a client that went away is none of our business
            super().handle_error(request, client_address)


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *_args: Any) -> None:
        """Say nothing: tests read `upstream.requests`."""

    def do_GET(self) -> None:
        upstream = self.server.upstream
        length = int(self.headers.get("content-length") or 0)
        path = unquote(urlsplit(self.path).path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, path, headers, self.rfile.read(length), self.client_address[1])
        if path.startswith("/-/") and path.removeprefix("/-/") in CONTROLS | {"requests"}:
            self._send(self._control(request))
            return
        upstream.receive(request)
        fault = upstream.take_fault(path)
        answer = upstream.answer(request)
        if fault is None:
            self._send(answer)
        else:
            self._fail(fault, _altered(answer, fault, upstream.url, request))

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815

    def _control(self, request: Request) -> Answer:
        upstream = self.server.upstream
        verb = request.path.removeprefix("/-/")
        if verb == "requests":
            seen = [asdict(replace(seen, body=b"")) | {"body": None} for seen in upstream.requests]
            return _json_answer(200, seen)
        if request.method != "POST":
            return _json_answer(405, {"error": "POST the keyword arguments as a JSON object"})
        try:
            getattr(upstream, verb)(**json.loads(request.body or b"{}"))
        except (ValueError, TypeError, KeyError) as error:
            return _json_answer(400, {"error": repr(error)})
        return _json_answer(200, {"ok": True})

    def _send(self, answer: Answer) -> None:
        self._send_head(answer, length=len(answer.body))
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def _send_head(self, answer: Answer, *, length: int | None) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status != 304 and length is not None:
            self.send_header("content-length", str(length))
        if length is None:
            self.send_header("connection", "close")
        self.end_headers()

    def _fail(self, fault: Fault, answer: Answer) -> None:
        match fault.kind:
            case "slow":
                self.server.upstream.stopping.wait(fault.options.get("seconds", 5))
                self._send(answer)
            case "drip":
                self._drip(answer, **fault.options)
            case "reset":
                self._reset(answer, **fault.options)
            case "truncate":
                self._send_head(answer, length=len(answer.body))
                self.wfile.write(answer.body[: len(answer.body) // 2])
                self.close_connection = True
            case "huge":
                self._send_without_end()
            case _:
                self._send(answer)

    def _drip(self, answer: Answer, seconds: float = 0.05, chunk: int = 1) -> None:
        self._send_head(answer, length=len(answer.body))
        for start in range(0, len(answer.body), chunk):
            if self.server.upstream.stopping.wait(seconds):
                return
            self.wfile.write(answer.body[start : start + chunk])

    def _reset(self, answer: Answer, after: int | None = None) -> None:
        if after is not None:
            self._send_head(answer, length=len(answer.body))
            self.wfile.write(answer.body[:after])
        # A lingering time of zero makes close send RST instead of FIN.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.rfile.close()  # it holds the socket open
        self.connection.close()
        self.close_connection = True

    def _send_without_end(self) -> None:
        self._send_head(Answer(200, {"content-type": "application/json"}), length=None)
        self.wfile.write(b'{"readme":"')
        while not self.server.upstream.stopping.is_set():
            self.wfile.write(b"x" * 65536)


def _altered(answer: Answer, fault: Fault, url: str, request: Request) -> Answer:
    """Give the answer that a fault puts in place of the right one; faults of the transport leave it."""
    options = fault.options
    match fault.kind:
        case "status":
            body = options.get("body", '{"error":"told to fail"}').encode()
            headers = {"content-type": "application/json", **options.get("headers", {})}
            return Answer(options.get("code", 500), headers, body)
        case "redirect":
            to = options["to"].replace("{path}", request.path)
            return Answer(options.get("code", 302), {"location": to})
        case "redirect_loop":
            return Answer(302, {"location": url + request.target})
        case "not_json":
            return Answer(200, {"content-type": "text/html"}, b"<!doctype html><title>Please log in</title>")
        case "wrong_bytes":
            flipped = bytearray(answer.body)
            flipped[len(flipped) // 2] ^= 1
            return replace(answer, body=bytes(flipped))
    return answer


def _full(name: str, package: Package) -> dict[str, Any]:
    modified = _timestamp(package.modified)
    created = min(package.time.values(), default=modified)
    return {
        "_id": name,
        "_rev": f"{len(package.time)}-{int(package.modified.timestamp() * 1e6):x}",
        "name": name,
        "dist-tags": package.tags,
        "versions": package.versions,
        "time": {"created": created, "modified": modified, **package.time},
        **package.fields,
    }


def _abbreviated(name: str, package: Package) -> dict[str, Any]:
    return {
        "name": name,
        "modified": _timestamp(package.modified),
        "dist-tags": package.tags,
        "versions": {
            version: {key: value for key, value in manifest.items() if key in ABBREVIATED_FIELDS}
            for version, manifest in package.versions.items()
        },
    }


def _json_answer(status: int, document: Any) -> Answer:
    return Answer(status, {"content-type": "application/json"}, json.dumps(document).encode())


def _timestamp(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def main(arguments: Iterable[str] | None = None) -> None:
    """Run as a process: print the URL, then serve until told to end."""
    parser = argparse.ArgumentParser(prog="python -m tests.fake_upstream", description="An npm registry for tests.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--packages", type=Path, help="a JSON list of keyword arguments of publish()")
    options = parser.parse_args(None if arguments is None else list(arguments))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with FakeUpstream(port=options.port) as upstream:
        for package in json.loads(options.packages.read_text()) if options.packages else []:
            upstream.publish(**package)
        print(upstream.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()

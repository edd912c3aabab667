"""Hostile requests by name, where a fuzzer is a poor witness: broken framing, slow ones, large ones."""

import json
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from registry.api import people
from tests.actors import Person, publish_body
from tests.server import Server
from tests.stories.conftest import eventually
from tests.stories.publisher import Publisher
from tests.stories.uploads import Upload
from tests.tarballs import package

MB = 1 << 20
THREADS = 4


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One with few threads and little patience."""
    with Server(
        workers=1, threads=THREADS, LARDER_STALL_SECONDS=1, LARDER_MAX_TARBALL_MB=20, LARDER_MAX_METADATA_MB=8
    ) as server:
        yield server


@pytest.fixture(scope="module")
def token(server: Server) -> str:
    return Publisher.sign_in(server).token


@pytest.fixture(autouse=True)
def _lives_on(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever was sent to it, the server answers, has kept nothing, and has nothing to say of it."""
    yield
    if "server" in request.fixturenames:
        server = request.getfixturevalue("server")
        assert server.get("/-/ping").status == 200
        eventually(lambda: not list((server.var / "spool").glob("*")))
        assert "Traceback" not in server.log


def head(line: str, *headers: str, token: str = "") -> bytes:
    """The head of a request on a connection that ends with the answer."""
    lines = [f"{line} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", *headers]
    return "\r\n".join([*lines, *([f"Authorization: Bearer {token}"] if token else []), "", ""]).encode("latin-1")


def say(server: Server, *pieces: bytes, pause: float = 0) -> bytes:
    """All that the server answers to these bytes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(pause)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def refused(answer, status: int, *words: str) -> None:
    assert answer.status == status, answer.body
    assert all(word in answer.json()["error"] for word in words), answer.body


# --- The head of a request --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        head("GET /left-pad", f"X-Long: {'x' * 65536}"),
        head("GET /left-pad", *(f"X-{number}: x" for number in range(5000))),
        head("GET /left-pad", f"Authorization: Bearer {'x' * 65536}"),
        head(f"GET /{'x' * 65536}"),
        head("GET /left-pad", "X-Nul: a\0b"),
        head("GET /left-pad", " folded: x"),
        head("PUT /left-pad", "Content-Length: -1"),
        head("PUT /left-pad", "Content-Length: 1", "Content-Length: 2"),
        head("PUT /left-pad", "Content-Length: 9", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",  # TLS, which we do not speak
        b"\0" * 10_000,
    ],
    ids=["64 KB header", "5000 headers", "64 KB token", "64 KB path", "NUL", "folded", "negative length", "two lengths",
         "length and chunks", "TLS", "NULs"],
)  # fmt: skip
def test_what_is_no_http_is_refused(server: Server, sent: bytes):
    assert 400 <= status(say(server, sent)) < 500


def test_heads_that_never_end_hold_up_nobody_for_long(server: Server):
    with ExitStack() as connections:
        for _ in range(2 * THREADS):
            connection = connections.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            connection.sendall(b"GET /-/ping HTTP/1.1\r\nHost: 127.")
        assert server.get("/-/ping").status == 200


# --- Its body ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/@acme%2fbox", "/-/v1/login", "/-/npm/v1/tokens", "/-/package/@acme%2fbox/dist-tags/a"]
)
@pytest.mark.parametrize("chunks", [b"ZZ\r\nxx\r\n", b"5\r\nxx", b"-1\r\nxx\r\n0\r\n\r\n", b"2\r\nxxxx\r\n"])
def test_chunks_that_are_none_are_refused(server: Server, token: str, path: str, chunks: bytes):
    method = "POST" if "/v1/" in path else "PUT"
    answer = say(server, head(f"{method} {path}", "Transfer-Encoding: chunked", token=token), chunks)
    assert 400 <= status(answer) < 500, answer


def test_a_slow_body_is_waited_for(server: Server, token: str):
    body = b"".join(Upload("@acme/slow").body())
    pieces = [body[start : start + 100] for start in range(0, len(body), 100)]
    answer = say(server, head("PUT /@acme%2fslow", f"Content-Length: {len(body)}", token=token), *pieces, pause=0.05)
    assert status(answer) == 201, answer
    assert server.get("/@acme%2fslow").json()["dist-tags"] == {"latest": "1.0.0"}


@pytest.mark.parametrize("path", ["/@acme%2fbox", "/-/package/@acme%2fbox/dist-tags/beta"])
@pytest.mark.parametrize("framing", ["Content-Length: 50000", "Transfer-Encoding: chunked"])
def test_bodies_that_never_end_hold_up_nobody_for_long(server: Server, token: str, path: str, framing: str):
    start = b'4000\r\n{"name":' if "chunked" in framing else b'{"name":'
    with ExitStack() as connections:
        for _ in range(THREADS):
            connection = connections.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            connection.sendall(head(f"PUT {path}", framing, token=token) + start)
        assert server.get("/-/ping").status == 200


@pytest.mark.parametrize("path", ["/@acme%2fbox", "/-/package/@acme%2fbox/dist-tags/beta"])
def test_whoever_hangs_up_in_the_middle_is_forgotten(server: Server, token: str, path: str):
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(head(f"PUT {path}", "Content-Length: 50000", token=token) + b'{"name":')
        time.sleep(0.2)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close by reset


def large(start: bytes, end: bytes, size: int) -> Iterator[bytes]:
    yield start
    yield from (bytes([65]) * MB for _ in range(size // MB))
    yield end


@pytest.mark.parametrize(
    ("method", "path", "start", "end"),
    [
        ("PUT", "/@acme%2fbox", b'{"_attachments":{"box-1.0.0.tgz":{"data":"', b'"}}}'),
        ("PUT", "/@acme%2fbox", b'{"name":"@acme/box","readme":"', b'"}'),
        ("PUT", "/@acme%2fbox/-rev/1", b'{"name":"@acme/box","readme":"', b'"}'),
        ("PUT", "/-/pnpm/v1/publish", b'{"packages":[{"readme":"', b'"}]}'),
        ("POST", "/-/npm/v1/tokens", b'{"password":"', b'"}'),
        ("POST", "/-/v1/login", b'{"hostname":"', b'"}'),
    ],
    ids=["in a tarball", "in a document", "in a document that is changed", "in a batch", "for a token", "for a login"],
)
def test_600_megabytes_are_413_and_never_in_memory(server: Server, token: str, method, path, start, end):
    size = 600 * MB
    headers = {
        "Authorization": f"Bearer {token}",
        "npm-auth-type": "web",
        "Content-Length": str(len(start) + size + len(end)),
    }
    answer = server.send(method, path, body=large(start, end, size), headers=headers)
    refused(answer, 413)
    assert server.peak_memory < 250 * MB


# --- What is in it ----------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("place", ["url", "body", "manifest", "tarball"])
def test_the_name_is_one_everywhere(alice: Person, effects, place: str):
    body = publish_body(
        "left-pad", "1.0.0", tarball=package("right-pad" if place == "tarball" else "left-pad", "1.0.0")
    )
    if place == "body":
        body["name"] = "right-pad"
    if place == "manifest":
        body["versions"]["1.0.0"]["name"] = "right-pad"
    answer = alice.send("PUT", "/right-pad" if place == "url" else "/left-pad", body=body)
    refused(answer, 400, "left-pad", "right-pad")
    assert effects() == []


@pytest.mark.django_db(transaction=True)
def test_of_megabytes_that_are_wrong_a_line_is_quoted(alice: Person, effects):
    body = publish_body("left-pad", "1.0.0") | {"name": "x" * MB}
    answer = alice.send("PUT", "/left-pad", body=json.dumps(body))
    refused(answer, 400)
    assert len(answer.body) < 5_000
    assert effects() == []


@pytest.mark.django_db(transaction=True)
def test_what_nobody_foresaw_is_in_the_log(anyone: Person, monkeypatch: pytest.MonkeyPatch, caplog):
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a bug of ours")

    monkeypatch.setattr(people.PingView, "get", fail)
    answer = anyone.send("GET", "/-/ping")
    refused(answer, 500, "log")
    assert "a bug of ours" not in answer.body.decode()
    assert "ZeroDivisionError: a bug of ours" in caplog.text

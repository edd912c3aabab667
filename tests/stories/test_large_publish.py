"""A publish of hundreds of megabytes, one that is too large, and ones that never come to their end."""

import hashlib
import socket
import struct
from collections.abc import Iterator
from itertools import islice

import pytest

from tests.server import Server
from tests.stories.conftest import eventually
from tests.stories.publisher import Publisher
from tests.stories.uploads import Upload

MB = 1 << 20


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One that takes 20 MB at most."""
    with Server(workers=1, LARDER_MAX_TARBALL_MB=20) as server:
        yield server


def test_three_hundred_megabytes_are_never_in_memory():
    upload = Upload("@acme/huge", size=300 * MB)
    with Server(workers=1) as server:
        answer = Publisher.sign_in(server).publish(upload)

        assert (answer.status, answer.body[:200]) == (201, b'{"ok":true,"id":"@acme/huge","rev":"1-1.0.0"}')
        with server.opened("GET", upload.tarball_path) as response:
            assert hashlib.file_digest(response, "sha512").hexdigest() == upload.sha512
        assert server.peak_memory < 250 * MB
        assert not list((server.var / "spool").glob("*"))


@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "in chunks"])
def test_one_above_the_limit_is_told_so(server: Server, alice: Publisher, chunked: bool):
    """Also where the client sends all that it has before it reads."""
    answer = alice.publish(Upload("@acme/fat", size=40 * MB), chunked=chunked)

    assert answer.status == 413
    assert "is larger than 20,971,520 bytes" in answer.json()["error"]
    assert server.get("/@acme%2ffat").status == 404
    assert_nothing_is_left(server)


def test_one_just_below_the_limit_is_published(server: Server, alice: Publisher):
    assert alice.publish(Upload("@acme/plump", size=19 * MB)).status == 201


def test_a_large_one_without_a_token_is_told_so(server: Server):
    answer = Publisher(server, token="larder_made_up").publish(Upload("@acme/sly", size=19 * MB))

    assert answer.status == 401
    assert "npm login" in answer.json()["error"]
    assert_nothing_is_left(server)


def test_a_connection_goes_on_after_a_refusal(server: Server, alice: Publisher):
    with server.opened("PUT", "/@acme%2fsly", body=b"x" * 5 * MB) as response:
        assert response.status == 401
        response.read()
        assert not response.will_close


@pytest.mark.parametrize("size", [0, 10 * MB], ids=["a small one", "10 MB"])
def test_chunks_make_the_same_version(server: Server, alice: Publisher, size: int):
    upload = Upload(f"@acme/chunks-{size}", size=size)

    assert alice.publish(upload, chunked=True).status == 201

    dist = server.get(upload.path).json()["versions"][upload.version]["dist"]
    assert dist["integrity"] == upload.integrity
    assert hashlib.sha512(server.get(upload.tarball_path).body).hexdigest() == upload.sha512


@pytest.mark.parametrize("is_reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "in chunks"])
def test_a_body_that_is_cut_off_leaves_nothing(server: Server, alice: Publisher, chunked: bool, is_reset: bool):
    upload = Upload(f"@acme/cut-{chunked}-{is_reset}".lower(), size=10 * MB)

    send_half(server, alice, upload, chunked=chunked, is_reset=is_reset)

    assert_nothing_is_left(server)
    assert server.get(upload.path).status == 404
    assert alice.publish(upload).status == 201
    assert "Traceback" not in server.log


def test_a_body_whose_length_is_short_is_refused(server: Server, alice: Publisher):
    """The tarball is whole; the document around it is not."""
    upload = Upload("@acme/short", size=MB)
    headers = {"Authorization": f"Bearer {alice.token}", "Content-Length": str(upload.content_length - 1)}

    answer = server.send("PUT", upload.path, body=b"".join(upload.body())[:-1], headers=headers)

    assert answer.status == 400
    assert "ends in the middle" in answer.json()["error"]
    assert_nothing_is_left(server)
    assert server.get(upload.path).status == 404


def send_half(server: Server, publisher: Publisher, upload: Upload, *, chunked: bool, is_reset: bool) -> None:
    """About half of the body, until it is being written down; then the client is gone."""
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {upload.content_length}"
    head = (
        f"PUT {upload.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {publisher.token}\r\n{framing}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(head.encode())
        for piece in islice(upload.body(), 6):
            connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        eventually(lambda: any(file.stat().st_size for file in (server.var / "spool").glob("*")))
        if is_reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def assert_nothing_is_left(server: Server) -> None:
    eventually(lambda: not list((server.var / "spool").glob("*")))

"""The client for upstreams, against real sockets: what it gives, what it survives, and where it will not go."""

import gzip
import hashlib
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from email.utils import formatdate

import pytest
import zstandard

from sync.http import (
    BadAnswer,
    Client,
    ForbiddenTarget,
    Origin,
    Timeouts,
    TooLarge,
    Truncated,
    Unreachable,
    UpstreamError,
)
from tests.fake_upstream import FakeUpstream

MB = 1 << 20
PATIENCE = Timeouts(connect=5, read=5, total=10)
SECRET = "Bearer of the upstream"


@pytest.fixture(autouse=True)
def _no_proxy_of_this_machine(monkeypatch):
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def upstream():
    with FakeUpstream() as upstream:
        upstream.publish("left-pad", "1.0.0")
        yield upstream


@pytest.fixture
def elsewhere():
    """Another registry: another port, so another origin."""
    with FakeUpstream() as elsewhere:
        elsewhere.publish("left-pad", "1.0.0")
        yield elsewhere


@pytest.fixture
def client():
    client = Client(user_agent="larder-test", timeout=PATIENCE)
    yield client
    client.close()


@pytest.fixture
def names(monkeypatch):
    """A name server of our own. Fill in the addresses of a name; a list of lists is answered one after the other."""
    known, real = {}, socket.getaddrinfo

    def getaddrinfo(host, port, *args, **options):
        if not host.endswith(".example"):
            return real(host, port, *args, **options)
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        answer = known[host]
        if isinstance(answer[0], list):
            answer = answer.pop(0)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in answer]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known


@contextmanager
def scripted(*acts):
    """A server with one act for each connection, in order; an act is bytes to answer, or a function of the socket."""
    connections, threads = [], []

    def accept_all():
        for act in acts:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connections.append(connection)
            threads.append(threading.Thread(target=perform, args=(act, connection), daemon=True))
            threads[-1].start()

    def perform(act, connection):
        with connection, suppress(OSError):
            if callable(act):
                act(connection)
            else:
                connection.recv(65536)
                connection.sendall(act)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=accept_all, daemon=True)
        accepting.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        accepting.join(10)
    for connection in connections:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join(10)


def in_two_parts(may_go_on):
    """An act that sends half a body, and the rest when it may go on."""

    def act(connection):
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfirst")
        may_go_on.wait(10)
        connection.sendall(b"later")

    return act


def get(client, url, *, origin=None, **options):
    """The status, headers and body of an answer, read whole."""
    with client.get(url, origin=origin or Origin.of(url), **options) as response:
        return response.status, response.headers, response.read_all(100 * MB)


# --- What arrives ----------------------------------------------------------------------------------------------------


def test_a_document_is_asked_for_with_gzip_and_arrives_decoded(client, upstream):
    status, headers, body = get(client, f"{upstream.url}/left-pad", headers={"Accept": "application/json"})

    assert (status, headers["content-encoding"]) == (200, "gzip")
    assert headers["ETAG"] == headers["etag"]
    assert body.startswith(b'{"_id": "left-pad"')
    asked = upstream.last().headers
    assert asked["accept-encoding"] == "gzip"
    assert asked["user-agent"] == "larder-test"
    assert asked["accept"] == "application/json"


def test_a_tarball_is_asked_for_as_it_is_and_streamed_as_it_is(client, upstream):
    manifest = upstream.publish("big", "1.0.0", files={"noise": os.urandom(MB)})
    url = manifest["dist"]["tarball"]

    digest = hashlib.sha1()
    with client.get(url, origin=Origin.of(upstream.url), headers={"accept-encoding": "identity"}) as response:
        assert response.content_length == len(upstream.tarball("big", "1.0.0"))
        for chunk in response.stream(10_000):
            assert 0 < len(chunk) <= 10_000
            digest.update(chunk)

    assert digest.hexdigest() == manifest["dist"]["shasum"]
    assert upstream.last().headers["accept-encoding"] == "identity"


def test_the_first_bytes_of_a_stream_are_given_before_the_last_ones_are_there(client):
    may_go_on = threading.Event()

    with scripted(in_two_parts(may_go_on)) as url, client.get(url, origin=Origin.of(url)) as response:
        body = response.stream()
        assert next(body) == b"first"
        may_go_on.set()
        assert b"".join(body) == b"later"


def test_a_chunked_body_has_no_length_and_arrives_whole(client):
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\n{}\n\r\n2\r\n[]\r\n0\r\n\r\n"
    with scripted(chunked) as url, client.get(url, origin=Origin.of(url)) as response:
        assert response.content_length is None
        assert response.read_all(100) == b"{}\n[]"


DOCUMENT = b'{"name":"left-pad","readme":"' + os.urandom(2000).hex().encode() + b'"}'


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(DOCUMENT)),
        ("GZip", gzip.compress(DOCUMENT)),
        ("x-gzip", gzip.compress(DOCUMENT)),
        ("gzip", gzip.compress(DOCUMENT[:700]) + gzip.compress(DOCUMENT[700:])),
        ("deflate", zlib.compress(DOCUMENT)),
        ("zstd", zstandard.compress(DOCUMENT)),
        ("zstd", zstandard.compress(DOCUMENT[:9]) + zstandard.compress(DOCUMENT[9:])),
        ("identity", DOCUMENT),
    ],
)
def test_every_coding_that_a_mirror_may_use_is_undone(client, upstream, coding, body):
    upstream.put_raw("coded", body, headers={"content-encoding": coding})

    assert get(client, f"{upstream.url}/coded")[2] == DOCUMENT
    with client.get(f"{upstream.url}/coded", origin=Origin.of(upstream.url)) as response:
        assert b"".join(response.stream()) == body


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", b"not gzip at all"),
        ("gzip", gzip.compress(DOCUMENT)[:-9]),
        ("gzip", gzip.compress(DOCUMENT) + b"and more"),
        ("gzip", gzip.compress(DOCUMENT)[:-8] + b"\0" * 8),
        ("deflate", b"\xff" * 50),
        ("zstd", zstandard.compress(DOCUMENT)[:-9]),
        ("zstd", b"not zstd at all"),
        ("br", b"anything"),
        ("gzip, gzip", gzip.compress(gzip.compress(DOCUMENT))),
    ],
)
def test_what_cannot_be_decoded_is_a_bad_answer(client, upstream, coding, body):
    upstream.put_raw("coded", body, headers={"content-encoding": coding})

    with pytest.raises(BadAnswer, match="cannot be decoded"):
        get(client, f"{upstream.url}/coded")


@pytest.mark.parametrize("status", [204, 304, 400, 401, 403, 404, 405, 410, 451])
def test_what_an_upstream_says_of_a_package_is_an_answer(client, upstream, status):
    upstream.fault("/left-pad", "status", code=status)

    with client.get(f"{upstream.url}/left-pad", origin=Origin.of(upstream.url)) as response:
        assert response.status == status


def test_what_has_not_changed_is_not_sent_again(client, upstream):
    _, headers, _ = get(client, f"{upstream.url}/left-pad")

    status, _, body = get(client, f"{upstream.url}/left-pad", headers={"if-none-match": headers["etag"]})

    assert (status, body) == (304, b"")


# --- Bounds ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("coding", "bomb"),
    [
        ("gzip", gzip.compress(bytes(200 * MB), compresslevel=9)),
        ("zstd", zstandard.ZstdCompressor(level=19).compress(bytes(200 * MB))),
        ("gzip", gzip.compress(gzip.compress(bytes(200 * MB)))),
    ],
    ids=["gzip", "zstd", "within bounds"],
)
def test_a_decompression_bomb_is_noticed_before_it_fills_the_memory(client, upstream, coding, bomb):
    upstream.put_raw("bomb", bomb, headers={"content-encoding": coding})
    origin = Origin.of(upstream.url)
    tracemalloc.start()
    try:
        with client.get(f"{upstream.url}/bomb", origin=origin) as response, suppress(TooLarge):
            assert len(response.read_all(MB)) <= MB
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64 * MB


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
def test_the_bound_holds_to_the_byte_after_decoding(client, upstream, coding):
    compress = {"gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstandard.compress}[coding]
    upstream.put_raw("sized", compress(bytes(1000)), headers={"content-encoding": coding})
    url = f"{upstream.url}/sized"

    with client.get(url, origin=Origin.of(url)) as response:
        assert response.read_all(1000) == bytes(1000)
    with client.get(url, origin=Origin.of(url)) as response, pytest.raises(TooLarge, match="more than 999 bytes"):
        response.read_all(999)


def test_a_document_without_end_is_given_up_at_the_bound(client, upstream):
    upstream.fault("/left-pad", "huge")

    url = f"{upstream.url}/left-pad"
    with client.get(url, origin=Origin.of(url)) as response, pytest.raises(TooLarge):
        response.read_all(MB)
    with client.get(url, origin=Origin.of(url), max_bytes=MB) as response, pytest.raises(TooLarge):
        for _ in response.stream():
            pass


def test_a_body_that_declares_itself_too_large_is_not_even_begun(client, upstream):
    upstream.put_raw("large", bytes(2000))

    with pytest.raises(TooLarge, match="2000 bytes, 1999 are allowed"):
        client.get(f"{upstream.url}/large", origin=Origin.of(upstream.url), max_bytes=1999)


# --- What goes wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [{"kind": "truncate"}, {"kind": "reset", "after": 40}])
def test_a_body_that_ends_early_is_never_taken_for_a_whole_one(client, upstream, fault):
    upstream.fault("/left-pad", **fault)
    url = f"{upstream.url}/left-pad"

    with client.get(url, origin=Origin.of(url)) as response, pytest.raises(Truncated):
        response.read_all(MB)
    with client.get(url, origin=Origin.of(url)) as response, pytest.raises(Truncated):
        for _ in response.stream(7):
            pass


@pytest.mark.parametrize("rest", [b"", b"5\r\nab", b"5\r\nabcde\r\n", b"nonsense\r\n"])
def test_a_chunked_body_that_ends_early_is_never_taken_for_a_whole_one(client, rest):
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n[1\r\n"
    with scripted(head + rest) as url, client.get(url, origin=Origin.of(url)) as response, pytest.raises(Truncated):
        response.read_all(MB)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599, 300, 305])
def test_an_ill_upstream_is_an_error_that_says_so(client, upstream, status):
    upstream.fault("/left-pad", "status", code=status)

    with pytest.raises(BadAnswer, match=f"answered {status}") as error:
        get(client, f"{upstream.url}/left-pad?token=hidden")

    assert error.value.retry_after is None
    assert upstream.url in error.value.sentence
    assert "hidden" not in error.value.sentence
    assert upstream.count() == 1


@pytest.mark.parametrize(
    ("said", "understood"),
    [("7", 7), ("0", 0), ("99999999", 3600), ("9" * 5000, 3600), ("-5", None), ("soon", None), ("", None), ("१", None)],
)
def test_how_long_an_upstream_wants_to_be_left_alone_is_passed_on_within_reason(client, said, understood):
    answer = b"HTTP/1.1 503 Busy\r\nretry-after: %b\r\ncontent-length: 0\r\n\r\n" % said.encode()
    with scripted(answer) as url, pytest.raises(BadAnswer) as error:
        client.get(url, origin=Origin.of(url))

    assert error.value.retry_after == understood


def test_a_date_to_come_back_at_is_understood_too(client, upstream):
    for moment, least, most in [(time.time() + 600, 500, 600), (time.time() - 600, 0, 0), (9e9, 3600, 3600)]:
        upstream.fault("*", "status", times=1, code=429, headers={"retry-after": formatdate(moment, usegmt=True)})
        with pytest.raises(BadAnswer) as error:
            get(client, f"{upstream.url}/left-pad")
        assert least <= error.value.retry_after <= most


def test_nobody_listens(client, upstream):
    upstream.stop()

    with pytest.raises(Unreachable, match="refused"):
        get(client, f"{upstream.url}/left-pad")


def test_a_name_that_nobody_knows(client, names):
    with pytest.raises(Unreachable, match="not known"):
        get(client, "http://gone.example/left-pad")


def test_a_connection_that_is_reset_before_the_answer(client, upstream):
    upstream.fault("/left-pad", "reset")

    with pytest.raises(Unreachable, match="broke the connection off"):
        get(client, f"{upstream.url}/left-pad")
    assert upstream.count() == 1


def test_something_that_does_not_speak_http(client):
    with scripted(b"SSH-2.0-OpenSSH_9.2\r\n") as url, pytest.raises(BadAnswer, match="does not speak HTTP"):
        get(client, url)


def test_two_lengths_that_contradict_each_other(client):
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 5\r\n\r\nabcde"
    with scripted(answer) as url, pytest.raises(BadAnswer):
        get(client, url)


def test_an_upstream_that_does_not_begin_is_not_waited_for(client, upstream):
    upstream.fault("/left-pad", "slow", seconds=60)

    with pytest.raises(Unreachable, match="in time"):
        get(client, f"{upstream.url}/left-pad", timeout=Timeouts(read=0.2))


def test_an_upstream_that_drips_its_body_is_ended_by_the_deadline(client, upstream):
    upstream.fault("/left-pad", "drip", seconds=0.05)

    with pytest.raises(Unreachable, match="in time"):
        get(client, f"{upstream.url}/left-pad", timeout=Timeouts(total=0.5))


def test_an_upstream_that_drips_its_head_is_ended_by_the_deadline(client):
    def drip(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nx-drip: ")
        for _ in range(1000):
            connection.sendall(b"x")
            time.sleep(0.02)

    with scripted(drip) as url, pytest.raises(Unreachable, match="in time"):
        get(client, url, timeout=Timeouts(total=0.5))


def test_the_deadline_holds_for_all_redirects_together(client, upstream):
    for step in range(5):
        upstream.fault(f"/{step}", "redirect", to=f"{upstream.url}/{step + 1}")
    upstream.fault("/5", "slow", seconds=30)

    with pytest.raises(Unreachable, match="in time"):
        client.get(f"{upstream.url}/0", origin=Origin.of(upstream.url), timeout=Timeouts(read=100, total=0.5))


def test_the_deadline_holds_though_it_was_our_reader_who_took_the_time(client):
    may_go_on, hurry = threading.Event(), Timeouts(total=0.2)

    with scripted(in_two_parts(may_go_on)) as url, client.get(url, origin=Origin.of(url), timeout=hurry) as response:
        body = response.stream()
        assert next(body) == b"first"
        time.sleep(0.3)
        may_go_on.set()
        with pytest.raises(Unreachable, match="in time"):
            next(body)


def test_every_error_is_one_that_callers_know_by_one_name():
    for kind in (Unreachable, BadAnswer, Truncated, TooLarge, ForbiddenTarget):
        error = kind("this happened", retry_after=3)
        assert isinstance(error, UpstreamError)
        assert (error.sentence, str(error), error.retry_after) == ("this happened", "this happened", 3)


# --- Connections -----------------------------------------------------------------------------------------------------


def test_connections_are_used_again_whatever_the_answer_was_and_whether_it_was_read(client, upstream):
    upstream.fault("/moved", "redirect", to=f"{upstream.url}/left-pad")
    for path in ("left-pad", "missing", "moved", "left-pad"):
        with client.get(f"{upstream.url}/{path}", origin=Origin.of(upstream.url)):
            pass
    get(client, f"{upstream.url}/left-pad")

    assert len({request.client_port for request in upstream.requests}) == 1


def test_a_large_body_that_nobody_wants_is_not_read_for_the_sake_of_its_connection(client, upstream):
    upstream.put_raw("large", bytes(50 * MB))

    with client.get(f"{upstream.url}/large", origin=Origin.of(upstream.url)):
        pass
    get(client, f"{upstream.url}/left-pad")

    assert len({request.client_port for request in upstream.requests}) == 2


def test_a_kept_connection_that_was_closed_meanwhile_is_not_noticed_by_anybody(client, upstream):
    get(client, f"{upstream.url}/left-pad")
    upstream.drop_connections()

    assert get(client, f"{upstream.url}/left-pad")[0] == 200
    upstream.stop()
    upstream.start()
    assert get(client, f"{upstream.url}/left-pad")[0] == 200


ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


def answer_once_then_hang_up(connection):
    """Take a second request over the kept connection, and close instead of answering."""
    connection.recv(65536)
    connection.sendall(ANSWER)
    connection.recv(65536)


def test_a_kept_connection_that_dies_under_the_request_costs_one_more_attempt(client):
    with scripted(answer_once_then_hang_up, ANSWER) as url:
        assert get(client, url)[2] == b"{}"
        assert get(client, url)[2] == b"{}"


def test_there_is_one_such_attempt_and_over_a_fresh_connection(client):
    """Two kept connections die at once. After the first the second is not tried but a new one, and no other."""
    both_are_asked = threading.Barrier(2)
    fresh = []

    def answer_together_then_hang_up(connection):
        connection.recv(65536)
        both_are_asked.wait(10)
        connection.sendall(ANSWER)
        connection.recv(65536)

    def hang_up(connection):
        fresh.append(connection.recv(65536))

    with scripted(answer_together_then_hang_up, answer_together_then_hang_up, hang_up, hang_up) as url:
        with ThreadPoolExecutor(2) as pool:
            assert [answer[2] for answer in pool.map(lambda _: get(client, url), range(2))] == [b"{}", b"{}"]
        with pytest.raises(Unreachable, match="broke the connection off"):
            get(client, url)
    assert len(fresh) == 1


def test_an_answer_that_breaks_off_in_its_head_is_neither_believed_nor_asked_for_again(client):
    def answer_once_then_break_off(connection):
        connection.recv(65536)
        connection.sendall(ANSWER)
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 O")

    with scripted(answer_once_then_break_off, ANSWER) as url:
        get(client, url)
        with pytest.raises(Unreachable, match="within its head"):
            get(client, url)


def test_threads_share_a_client(client, upstream):
    packages = [f"package-{number}" for number in range(8)]
    for package in packages:
        upstream.publish(package, "1.0.0")

    def bodies(package):
        return [get(client, f"{upstream.url}/{package}")[2] for _ in range(5)]

    with ThreadPoolExecutor(8) as pool:
        for package, found in zip(packages, pool.map(bodies, packages), strict=True):
            assert all(body.startswith(b'{"_id": "%b"' % package.encode()) for body in found)
    assert upstream.count() == 40


# --- Redirects and credentials ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirects_are_followed_and_the_answer_says_where_they_ended(client, upstream, elsewhere, code):
    upstream.fault("/left-pad", "redirect", code=code, to=f"{elsewhere.url}/left-pad?signature=1#here")

    with client.get(f"{upstream.url}/left-pad", origin=Origin.of(upstream.url)) as response:
        assert response.status == 200
        assert response.url == f"{elsewhere.url}/left-pad?signature=1"
    assert elsewhere.last().target == "/left-pad?signature=1"


def test_a_redirect_may_be_relative(client, upstream):
    upstream.fault("/old/name", "redirect", to="../left-pad")

    assert get(client, f"{upstream.url}/old/name")[0] == 200


def test_a_circle_of_redirects_is_left_at_once(client, upstream, elsewhere):
    upstream.fault("/self", "redirect_loop")
    upstream.fault("/ping", "redirect", to=f"{elsewhere.url}/pong")
    elsewhere.fault("/pong", "redirect", to=f"{upstream.url}/ping")

    for path in ("self", "ping"):
        with pytest.raises(BadAnswer, match="circle"):
            get(client, f"{upstream.url}/{path}")
    assert (upstream.count("/self"), upstream.count("/ping"), elsewhere.count()) == (1, 1, 1)


def test_so_many_redirects_and_no_more(client, upstream):
    for step in range(6):
        upstream.fault(f"/{step}", "redirect", to=f"{upstream.url}/{step + 1}")
    upstream.publish("6", "1.0.0")

    assert get(client, f"{upstream.url}/1")[0] == 200
    with pytest.raises(BadAnswer, match="more than 5 times"):
        get(client, f"{upstream.url}/0")


@pytest.mark.parametrize(
    ("location", "error"),
    [
        ("", BadAnswer),
        ("http://[nonsense/", BadAnswer),
        ("http://h:99999/", ForbiddenTarget),
        ("ftp://127.0.0.1/left-pad", ForbiddenTarget),
        ("file:///etc/passwd", ForbiddenTarget),
        ("javascript:alert(1)", ForbiddenTarget),
        ("http://user:password@127.0.0.1/", ForbiddenTarget),
        ("http://[fe80::1%25eth0]/", ForbiddenTarget),
    ],
)
def test_a_redirect_to_what_we_do_not_follow(client, upstream, location, error):
    upstream.fault("/left-pad", "redirect", to=location)

    with pytest.raises(error) as caught:
        get(client, f"{upstream.url}/left-pad")
    assert "password" not in caught.value.sentence.replace("name and password", "")


def test_credentials_go_to_the_origin_they_were_configured_for_and_to_nobody_else(client, upstream, elsewhere):
    origin = Origin.of(upstream.url, SECRET)
    upstream.authorization = SECRET
    upstream.fault("/away", "redirect", to=f"{elsewhere.url}/left-pad")
    upstream.fault("/within", "redirect", to="/left-pad")
    elsewhere.fault("/back", "redirect", to=f"{upstream.url}/left-pad")

    assert get(client, f"{upstream.url}/left-pad", origin=origin)[0] == 200
    assert get(client, f"{upstream.url}/within", origin=origin)[0] == 200
    assert get(client, f"{upstream.url}/away", origin=origin)[0] == 200
    assert get(client, f"{elsewhere.url}/left-pad", origin=origin)[0] == 200
    assert get(client, f"{elsewhere.url}/back", origin=origin)[0] == 200

    assert {request.headers.get("authorization") for request in upstream.requests} == {SECRET}
    assert not [request for request in elsewhere.requests if "authorization" in request.headers]


def test_credentials_travel_by_the_origin_only_and_do_not_show_when_it_is_printed(client, upstream):
    get(client, f"{upstream.url}/left-pad", headers={"Authorization": SECRET})

    assert "authorization" not in upstream.last().headers
    assert SECRET not in repr(Origin.of(upstream.url, SECRET))


def test_an_origin_is_a_scheme_a_host_and_a_port():
    assert Origin.of("https://Upstream.example/npm/") == Origin.of("https://upstream.example:443")
    assert Origin.of("https://upstream.example") != Origin.of("http://upstream.example")
    assert Origin.of("https://upstream.example") != Origin.of("https://upstream.example:8443")
    for url in ("upstream.example", "ftp://upstream.example", "https://me:secret@upstream.example", ""):
        with pytest.raises(ForbiddenTarget):
            Origin.of(url)


# --- TLS -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A certificate for `secure.example`, made for this run."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    path = tmp_path_factory.mktemp("tls") / "secure.pem"
    subprocess.run(
        f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -keyout {path} -out {path}.crt"
        " -subj /CN=secure.example -addext subjectAltName=DNS:secure.example",
        shell=True,
        check=True,
        capture_output=True,
    )
    path.write_text(path.read_text() + path.with_name("secure.pem.crt").read_text())
    return str(path)


@pytest.fixture
def secure(certificate, names):
    """A registry at https://secure.example, which is really on loopback."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    names["secure.example"] = ["127.0.0.1"]
    with FakeUpstream(tls=tls) as secure:
        secure.publish("left-pad", "1.0.0")
        yield secure


@pytest.fixture
def trusting(certificate):
    """A client that knows the certificate."""
    client = Client(user_agent="larder-test", timeout=PATIENCE, ca_file=certificate)
    yield client
    client.close()


def at(host, upstream):
    """The URL of an upstream under a name."""
    return upstream.url.replace("127.0.0.1", host)


def test_a_certificate_is_checked_against_the_name_though_the_connection_goes_to_a_vetted_address(trusting, secure):
    assert get(trusting, at("secure.example", secure) + "/left-pad")[0] == 200
    assert secure.last().headers["host"] == f"secure.example:{secure.port}"
    with pytest.raises(Unreachable, match="certificate"):
        get(trusting, f"{secure.url}/left-pad")


def test_a_certificate_that_nobody_vouches_for_is_refused(client, secure):
    with pytest.raises(Unreachable, match="certificate"):
        get(client, at("secure.example", secure) + "/left-pad")
    assert secure.count() == 0


def test_a_redirect_never_leads_from_https_to_plain_http(trusting, secure, upstream):
    secure.fault("/left-pad", "redirect", to=f"{upstream.url}/left-pad")
    upstream.fault("/left-pad", "redirect", to=at("secure.example", secure) + "/other")
    secure.publish("other", "1.0.0")

    with pytest.raises(ForbiddenTarget, match="plain http"):
        get(trusting, at("secure.example", secure) + "/left-pad")
    assert upstream.count() == 0
    assert get(trusting, f"{upstream.url}/left-pad")[0] == 200


def test_a_dead_connection_is_replaced_under_tls_too(trusting, secure):
    for _ in range(3):
        assert get(trusting, at("secure.example", secure) + "/left-pad")[0] == 200
        secure.drop_connections()


def test_a_port_that_speaks_no_tls_is_unreachable_by_https(client, upstream):
    with pytest.raises(Unreachable):
        get(client, upstream.url.replace("http:", "https:"))


# --- Where we do not go ----------------------------------------------------------------------------------------------


def test_an_upstream_in_public_cannot_send_us_inside(client, upstream, names):
    names.update({"public.example": ["8.8.8.8"], "inside.example": ["127.0.0.1"]})
    origin = Origin.of("http://public.example")

    for url in (at("inside.example", upstream), upstream.url, at("localhost", upstream)):
        with pytest.raises(ForbiddenTarget, match="nothing was sent there"):
            get(client, f"{url}/left-pad", origin=origin)
    assert upstream.count() == 0


@pytest.mark.parametrize("address", ["10.0.0.1", "169.254.169.254", "[fd00:ec2::254]", "[::ffff:10.0.0.1]", "0.0.0.0"])
def test_a_redirect_is_vetted_like_any_other_target(client, upstream, address):
    upstream.fault("/left-pad", "redirect", to=f"http://{address}/latest/meta-data")

    with pytest.raises(ForbiddenTarget):
        get(client, f"{upstream.url}/left-pad")


def test_an_upstream_on_loopback_may_point_at_loopback(client, upstream, elsewhere, names):
    names["cdn.example"] = ["127.0.0.1"]
    upstream.fault("/left-pad", "redirect", to=at("cdn.example", elsewhere) + "/left-pad")

    assert get(client, f"{upstream.url}/left-pad")[0] == 200


def test_a_name_server_that_changes_its_mind_between_check_and_connection_is_not_asked_again(client, upstream, names):
    names["public.example"] = ["8.8.8.8"]
    names["rebinding.example"] = [["10.0.0.1", "127.0.0.1"], ["8.8.8.8"]]
    url = at("rebinding.example", upstream) + "/left-pad"

    with pytest.raises(ForbiddenTarget):
        get(client, url, origin=Origin.of("http://public.example"))
    assert names["rebinding.example"] == [["8.8.8.8"]]


def test_of_several_addresses_the_forbidden_are_left_out_and_the_dead_passed_over(client, upstream, names):
    """127.0.0.2 refuses the connection, 10.0.0.1 must not even be tried."""
    names["several.example"] = ["10.0.0.1", "127.0.0.2", "127.0.0.1"]

    url = at("several.example", upstream) + "/left-pad"
    assert get(client, url, origin=Origin.of(upstream.url))[0] == 200


def test_a_connection_that_one_upstream_may_have_is_not_found_open_by_another(client, upstream, names):
    names["public.example"] = ["8.8.8.8"]
    get(client, f"{upstream.url}/left-pad")

    with pytest.raises(ForbiddenTarget):
        get(client, f"{upstream.url}/left-pad", origin=Origin.of("http://public.example"))
    assert upstream.count() == 1


# --- Proxies ---------------------------------------------------------------------------------------------------------


def test_a_proxy_of_the_environment_is_asked_with_its_own_credentials(client, upstream, monkeypatch):
    """The upstream of the test plays the proxy: it is asked for a name that only a proxy could resolve."""
    monkeypatch.setenv("http_proxy", f"http://me:p%40ss@127.0.0.1:{upstream.port}")

    assert (
        get(client, "http://upstream.example/left-pad", origin=Origin.of("http://upstream.example", SECRET))[0] == 200
    )
    asked = upstream.last()
    assert asked.target == "http://upstream.example/left-pad"
    assert asked.headers["host"] == "upstream.example"
    assert asked.headers["proxy-authorization"] == "Basic bWU6cEBzcw=="
    assert asked.headers["authorization"] == SECRET


def test_a_proxy_is_passed_by_for_the_hosts_that_no_proxy_names(client, upstream, elsewhere, names, monkeypatch):
    monkeypatch.setenv("http_proxy", elsewhere.url)
    monkeypatch.setenv("no_proxy", "direct.example,.internal.example")
    names.update({"direct.example": ["127.0.0.1"], "npm.internal.example": ["127.0.0.1"]})

    get(client, at("direct.example", upstream) + "/left-pad")
    get(client, at("npm.internal.example", upstream) + "/left-pad")
    get(client, at("other.example", upstream) + "/left-pad")

    assert (upstream.count(), elsewhere.count()) == (2, 1)


@pytest.mark.parametrize("address", ["127.0.0.1", "2130706433", "localhost", "10.0.0.1", "169.254.169.254", "[::1]"])
def test_a_proxy_is_not_asked_for_an_address_that_we_would_not_connect_to(client, upstream, monkeypatch, address):
    monkeypatch.setenv("http_proxy", upstream.url)

    with pytest.raises(ForbiddenTarget):
        get(client, f"http://{address}/left-pad", origin=Origin.of("http://upstream.example"))
    assert upstream.count() == 0


def test_https_goes_through_a_tunnel_of_the_proxy(trusting, secure, names, monkeypatch):
    """The tunnel leads to the registry whatever name is asked for; TLS is between us and that name."""
    del names["secure.example"]
    asked = []

    def tunnel(connection):
        asked.append(connection.recv(65536).split(b"\r\n")[0])
        with socket.create_connection(("127.0.0.1", secure.port)) as target:
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            upwards = threading.Thread(target=_pump, args=(connection, target), daemon=True)
            upwards.start()
            _pump(target, connection)
            upwards.join(10)

    with scripted(tunnel) as proxy:
        monkeypatch.setenv("https_proxy", proxy)
        assert get(trusting, at("secure.example", secure) + "/left-pad")[0] == 200
    assert [line.split()[:2] for line in asked] == [[b"CONNECT", b"secure.example:%d" % secure.port]]


def test_a_proxy_that_refuses_makes_an_upstream_unreachable(trusting, monkeypatch):
    with scripted(b"HTTP/1.1 407 Who are you?\r\ncontent-length: 0\r\n\r\n") as proxy:
        monkeypatch.setenv("https_proxy", proxy)
        with pytest.raises(Unreachable, match="407"):
            get(trusting, "https://secure.example/left-pad")


def _pump(source, target):
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)

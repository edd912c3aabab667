"""`kill -9` while somebody publishes: afterwards the version is wholly there, or was never."""

import hashlib
import http.client
import json
import os
import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from itertools import islice
from pathlib import Path
from threading import Event

import psycopg2
import pytest

from registry import keys
from tests.server import Server
from tests.stories.conftest import eventually
from tests.stories.publisher import Publisher
from tests.stories.uploads import Upload

SIZE = 8 << 20
LONG_AGO = time.time() - 7 * 24 * 3600

EVENTS = """
from audit.models import Event
import json
told = Event.objects.filter(kind="package.version.published").values_list("subject", "facts")
print(json.dumps([[subject.removeprefix("package:"), facts["version"]] for subject, facts in told]))
"""
SWEEP = "from registry import janitor; janitor.sweep()"


@pytest.fixture(scope="module")
def server(database: str) -> Iterator[Server]:
    with Server(workers=1) as server:
        yield server


def kill_worker(server: Server) -> None:
    """The master starts another one; this returns when it answers."""
    [worker] = server.workers
    os.kill(worker, signal.SIGKILL)
    server.get("/-/ping")


def kill_all(server: Server) -> None:
    server.kill()
    server.start()


# --- At any moment --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kill", "rounds"), [(kill_worker, 8), (kill_all, 5)])
def test_a_version_is_there_or_not_whenever_the_kill_comes(server, alice, box, kill, rounds):
    moments = random.Random(2026)
    outcomes: dict[Upload, int | None] = {}
    for minor in range(rounds):
        # Some into one package and some as packages of their own: what failed must not be there as an empty one either.
        names = [box, box, f"{box}-{minor}-a", f"{box}-{minor}-b"]
        uploads = [Upload(name, f"1.{minor}.{n}", size=SIZE, seed=n) for n, name in enumerate(names)]
        with publishing(alice, uploads) as results:
            wait_for_one_of_the(moments, server, uploads)
            kill(server)
            outcomes.update(zip(uploads, (result.result() for result in results), strict=True))
        empty_the_spool(server)  # so that in the next round what is in it tells how far that has come

    events = published_events(server)
    for upload, status in outcomes.items():
        is_there = assert_there_or_not(server, upload, events)
        assert is_there or status != 201, f"{upload} was promised and is not there"
        assert alice.publish(upload).status == (403 if is_there else 201)
    events = published_events(server)
    assert all(assert_there_or_not(server, upload, events) for upload in outcomes)


@contextmanager
def publishing(publisher: Publisher, uploads: list[Upload]) -> Iterator[list[Future]]:
    """All of them under way."""
    for upload in uploads:
        upload.content_length  # noqa: B018 (hashing is not part of the publish, and is remembered)
    with ThreadPoolExecutor(len(uploads)) as clients:
        yield [clients.submit(outcome, publisher, upload) for upload in uploads]


def wait_for_one_of_the(moments: random.Random, server: Server, uploads: list[Upload]) -> None:
    """Until some bytes have come, or some tarballs are stored, and a little longer: most is decided just then."""
    stored, received = moments.randint(0, len(uploads)), moments.randint(1, SIZE)

    def has_come() -> bool:
        there = sum(blob_of(upload, server).exists() for upload in uploads)
        return there >= stored if stored else there or bytes_in_spool(server) >= received

    eventually(has_come, every=0.001)
    time.sleep(10 ** moments.uniform(-3, -1))


def outcome(publisher: Publisher, upload: Upload, body: Iterable[bytes] | None = None) -> int | None:
    """The status, or None when the connection broke."""
    try:
        return publisher.publish(upload, body).status
    except (OSError, http.client.HTTPException):
        return None


def published_events(server: Server) -> Counter[str]:
    told = json.loads(server.manage("shell", "--no-imports", "-c", EVENTS).stdout)
    return Counter(f"{name}@{version}" for name, version in told)


def assert_there_or_not(server: Server, upload: Upload, events: Counter[str]) -> bool:
    """Whether the version is there; the document, the tarball, the tags and the journal must say the same."""
    document = server.get(upload.path)
    packument = document.json() if document.status == 200 else {"versions": {}, "dist-tags": {}, "time": {}}
    tarball = server.get(upload.tarball_path)
    is_there = upload.version in packument["versions"]
    assert events[str(upload)] == is_there
    assert (upload.version in packument["time"]) == is_there
    assert set(packument["dist-tags"].values()) <= packument["versions"].keys()
    assert tarball.status == (200 if is_there else 404)
    if is_there:
        assert packument["versions"][upload.version]["dist"]["integrity"] == upload.integrity
        assert hashlib.sha512(tarball.body).hexdigest() == upload.sha512
    return is_there


# --- At the moments that matter -------------------------------------------------------------------------------


def test_killed_while_the_tarball_comes_in(server, alice, box):
    """The spool has the first half of it, which the janitor takes when it has become old."""
    upload, before = Upload(box, size=SIZE), spooled(server)
    with ThreadPoolExecutor(1) as client, half_sent(upload) as body:
        publishing = client.submit(outcome, alice, upload, body)
        eventually(lambda: spooled(server) - before)
        kill_worker(server)
    assert publishing.result() is None

    left = spooled(server) - before
    assert left
    assert not assert_there_or_not(server, upload, published_events(server))
    server.manage("shell", "--no-imports", "-c", SWEEP)
    assert left <= spooled(server), "what is young may still be written to"
    make_old(server, "spool")
    server.manage("shell", "--no-imports", "-c", SWEEP)
    assert not spooled(server)
    assert alice.publish(upload).status == 201


def test_killed_between_the_blob_and_the_commit(server, alice, box):
    """The blob that no row names stays until the janitor comes, or until somebody publishes it after all."""
    lost, found = Upload(f"{box}-lost", size=SIZE), Upload(f"{box}-found", size=SIZE)
    for upload in (lost, found):
        with ThreadPoolExecutor(1) as client, commits_held_up(server):
            publishing = client.submit(outcome, alice, upload)
            eventually(blob_of(upload, server).exists)
            kill_worker(server)
            assert publishing.result() is None
        assert not assert_there_or_not(server, upload, published_events(server))

    assert alice.publish(found).status == 201
    make_old(server, "blobs")
    server.manage("shell", "--no-imports", "-c", SWEEP)

    assert not blob_of(lost, server).exists()
    assert assert_there_or_not(server, found, published_events(server))
    assert alice.publish(lost).status == 201


@pytest.mark.parametrize("kill", [kill_worker, kill_all])
def test_killed_right_after_the_answer(server, alice, box, kill):
    upload = Upload(box, size=SIZE)
    assert alice.publish(upload).status == 201
    kill(server)

    assert assert_there_or_not(server, upload, published_events(server))


@contextmanager
def half_sent(upload: Upload) -> Iterator[Iterable[bytes]]:
    """The upload's body, of which the second half comes when the block ends."""
    go_on = Event()

    def pieces() -> Iterator[bytes]:
        body = upload.body()
        yield from islice(body, SIZE // (1 << 20) // 2)
        go_on.wait()
        yield from body

    try:
        yield pieces()
    finally:
        go_on.set()


@contextmanager
def commits_held_up(server: Server) -> Iterator[None]:
    """Nobody can write an event while this lasts, so no publish gets to its commit."""
    name = server.manage(
        "shell", "--no-imports", "-c", "from django.db import connection; print(connection.settings_dict['NAME'])"
    ).stdout.strip()
    if name.endswith(".sqlite3"):
        with closing(sqlite3.connect(name, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            yield
    else:
        with closing(psycopg2.connect(os.environ["DATABASE_URL"], dbname=name)) as database:
            database.cursor().execute("LOCK TABLE audit_event IN SHARE ROW EXCLUSIVE MODE")
            yield


def spooled(server: Server) -> set[Path]:
    return set((server.var / "spool").glob("*"))


def bytes_in_spool(server: Server) -> int:
    size = 0
    for file in spooled(server):
        with suppress(FileNotFoundError):
            size += file.stat().st_size
    return size


def empty_the_spool(server: Server) -> None:
    for file in spooled(server):
        file.unlink(missing_ok=True)


def blob_of(upload: Upload, server: Server) -> Path:
    return server.var / "blobs" / keys.blob(upload.sha512)


def make_old(server: Server, folder: str) -> None:
    for file in (server.var / folder).rglob("*"):
        os.utime(file, (LONG_AGO, LONG_AGO))

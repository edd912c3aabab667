"""A rule that one process makes or retires is seen by the very next request to every process that serves."""

import http.client
import json
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.fake_upstream import FakeUpstream
from tests.server import PATIENCE, Server

WORKERS = 3
BAD, GOOD = "1.0.1", "1.0.0"
WHY = "it steals what it finds"
RETIRE = """
from audit.actors import Actor
from bugversions import editing
for row in editing.local():
    editing.retire(row, reason="it was a false alarm", actor=Actor.system("test"))
"""
# Each step is one byte more in a file, by whose length readers know whether a change has returned or is under way.
IN_TURNS = """
import pathlib, time
from audit.actors import Actor
from bugversions import editing
from bugversions.values import Rule
us = {{"actor": Actor.system("test")}}
steps = pathlib.Path({steps!r}).open("ab", buffering=0)
for turn in range({turns}):
    steps.write(b".")
    row = editing.add(Rule({package!r}, {versions!r}, "forbid", {why!r}), **us)
    steps.write(b".")
    time.sleep(0.15)
    steps.write(b".")
    editing.retire(row, reason="it was a false alarm", **us)
    steps.write(b".")
    time.sleep(0.15)
"""


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as upstream:
        for name in ("axios", "chalk"):
            for number in (GOOD, BAD):
                upstream.publish(name, number)
        yield upstream


@pytest.fixture(scope="module")
def server(database: str, upstream: FakeUpstream) -> Iterator[Server]:
    with Server(upstream=upstream.url, workers=WORKERS) as server:
        yield server


# --- What one sees --------------------------------------------------------------------------------------------------


def fetch(connection: http.client.HTTPConnection, path: str) -> tuple[int, bytes]:
    connection.request("GET", path)
    response = connection.getresponse()
    return response.status, response.read()


def is_forbidden(connection: http.client.HTTPConnection, name: str) -> list[bool]:
    """Whether the bad version is withheld, by the document, the single version and the tarball."""
    (seen, document), (single, _), (tarball, _) = (
        fetch(connection, path) for path in (f"/{name}", f"/{name}/{BAD}", f"/{name}/-/{name}-{BAD}.tgz")
    )
    assert seen == 200, document
    assert {single, tarball} <= {200, 404, 451}, "that it is withheld is no failure"
    told = json.loads(document)
    assert told["dist-tags"]["latest"] == max(told["versions"]), "the tag never dangles"
    return [BAD not in told["versions"], single != 200, tarball != 200]


def on(server: Server) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)


def worker_of(server: Server, connection: http.client.HTTPConnection) -> int:
    """The process that has the other end of a connection: its socket is among the open files of one of them."""
    ours, theirs = f":{connection.sock.getsockname()[1]:04X}", f":{server.port:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    socket = next(f"socket:[{row[9]}]" for row in rows if row[1].endswith(theirs) and row[2].endswith(ours))
    for worker in server.workers:
        if any(str(file.readlink()) == socket for file in Path(f"/proc/{worker}/fd").iterdir() if file.is_symlink()):
            return worker
    raise AssertionError("no worker has the connection")


# --- The stories ------------------------------------------------------------------------------------------------------


def test_the_next_request_to_every_worker_sees_a_rule_and_its_end(server: Server):
    with ExitStack() as open_ones:
        kept: list[http.client.HTTPConnection] = []
        by_worker = Counter[int]()
        while len(by_worker) < WORKERS or min(by_worker.values()) < 3:
            assert len(kept) < 500, f"some worker takes no connections: {by_worker}"
            kept.append(open_ones.enter_context(closing(on(server))))
            assert fetch(kept[-1], "/-/ping")[0] == 200
            by_worker[worker_of(server, kept[-1])] += 1
        for _ in range(2):
            assert not any(any(is_forbidden(connection, "axios")) for connection in kept)

        rule = server.var / "rule.json"
        rule.write_text(
            json.dumps({"rules": [{"package": "axios", "versions": BAD, "action": "forbid", "reason": WHY}]})
        )
        server.manage("bugversions", "import", "--file", str(rule))
        assert all(all(is_forbidden(connection, "axios")) for connection in kept)
        assert WHY.encode() in server.get(f"/axios/-/axios-{BAD}.tgz").raw
        for _ in range(20):
            with closing(on(server)) as fresh:
                assert all(is_forbidden(fresh, "axios"))

        server.manage("shell", "--no-imports", "-c", RETIRE)
        assert not any(any(is_forbidden(connection, "axios")) for connection in kept)
        assert set(by_worker) == set(server.workers), "nobody was started anew"


def test_while_rules_come_and_go_nobody_sees_what_was_before(server: Server):
    steps, over = server.var / "steps", threading.Event()
    steps.touch()

    def read() -> Counter[str]:
        """Look again and again; what is seen between two changes must be what the last one made it."""
        seen = Counter[str]()
        while not over.is_set():
            with closing(on(server)) as connection:
                for _ in range(8):
                    before = steps.stat().st_size
                    answers = is_forbidden(connection, "chalk")
                    if before % 2 == 0 and before == steps.stat().st_size:
                        wanted = before % 4 == 2
                        assert answers == [wanted] * 3, f"after {before} steps"
                        seen["forbidden" if wanted else "served"] += 1
                    else:
                        seen["between"] += 1
        return seen

    script = IN_TURNS.format(steps=str(steps), turns=4, package="chalk", versions=BAD, why=WHY)
    with ThreadPoolExecutor(6) as crowd:
        readers = [crowd.submit(read) for _ in range(6)]
        try:
            server.manage("shell", "--no-imports", "-c", script)
        finally:
            over.set()
        seen = sum((reader.result() for reader in readers), Counter[str]())
    assert steps.stat().st_size == 16
    assert min(seen["forbidden"], seen["served"]) > 0, f"nobody looked: {seen}"

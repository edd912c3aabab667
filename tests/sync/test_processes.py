"""Two worker processes of a real server, a real upstream, and sockets between them."""

import http.client
import os
import time
from pathlib import Path

import pytest

from tests.fake_upstream import FakeUpstream
from tests.node_dist import NodeDist
from tests.server import Server
from tests.sync.halfway import Halfway

# No test here uses this process's database; the mark has them run on PostgreSQL too.
pytestmark = pytest.mark.django_db(transaction=True)

MB = 1 << 20
CROWD = 16


@pytest.fixture(scope="module")
def registry():
    with FakeUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def server(registry):
    # All of a crowd may come to one worker, which has to let them wait.
    settings = {"LARDER_UPSTREAM_TIMEOUT_SECONDS": 30, "LARDER_NODE_DIST_URL": f"{registry.url}/dist"}
    with Server(upstream=registry.url, workers=2, threads=2 * CROWD, **settings) as server:
        assert len(server.workers) == 2
        yield server


@pytest.fixture(scope="module")
def dist(registry):
    """Two releases of Node, with a file of 2 MB each."""
    dist = NodeDist(registry)
    for version in ("22.1.0", "22.2.0"):
        dist.release(version, files={"noise": os.urandom(2 * MB)})
    return dist


@pytest.fixture(autouse=True)
def _well(registry):
    registry.heal()


@pytest.fixture
def large(registry, request) -> str:
    """The name of a package of this test's own with a tarball of 2 MB."""
    name = request.node.name.partition("[")[0].replace("_", "-") + os.urandom(4).hex()
    registry.publish(name, "1.0.0", files={"noise": os.urandom(2 * MB)})
    return name


def tarball(name: str) -> str:
    return f"/{name}/-/{name}-1.0.0.tgz"


def stored(server: Server) -> set[str]:
    return {path.name for path in Path(server.var / "blobs").rglob("*") if path.is_file()}


def spooled(server: Server) -> list[str]:
    return [path.name for path in (server.var / "spool").glob("*")]


def ask_together(server, gate, crowd, path) -> list:
    """All ask while the first one's request stands at the upstream's gate; what they got."""
    with gate:
        asked = crowd(1, lambda: server.get(path))
        gate.wait_arrived(1)
        asked += crowd(CROWD - 1, lambda: server.get(path))
        time.sleep(1)  # they come, over sixteen connections, to both workers
    return [future.result(60) for future in asked]


def is_broken_off_or_refused(server, path) -> bool:
    """Whoever asks while it comes sees it end early; whoever asks a moment later is told why."""
    try:
        return server.get(path).status == 503
    except (http.client.IncompleteRead, ConnectionResetError):
        return True


def test_one_packument_is_one_request(server, registry, crowd, large):
    answers = ask_together(server, registry.gate(f"/{large}"), crowd, f"/{large}")
    assert {(answer.status, answer.body) for answer in answers} == {(200, answers[0].body)}
    assert registry.count(f"/{large}") == 1


def test_one_tarball_is_one_request(server, registry, crowd, large):
    server.get(f"/{large}")
    answers = ask_together(server, registry.gate(tarball(large)), crowd, tarball(large))
    assert {answer.status for answer in answers} == {200}
    assert all(answer.raw == registry.tarball(large, "1.0.0") for answer in answers)
    assert registry.count(tarball(large)) == 1


def test_the_first_bytes_of_a_large_tarball_come_before_the_upstream_has_sent_its_last(server, registry, large):
    size = 20 * MB
    registry.publish(large, "1.0.0", files={"noise": os.urandom(size)})
    whole = registry.tarball(large, "1.0.0")
    with Halfway(whole) as halfway:
        registry.publish(large, "2.0.0", dist={
            **registry._packages[large].versions["1.0.0"]["dist"], "tarball": halfway.url,
        })  # fmt: skip
        with server.opened("GET", f"/{large}/-/{large}-2.0.0.tgz") as response:
            assert (response.status, response.headers["content-length"]) == (200, str(len(whole)))
            given = response.read(4 * MB)
            assert given == whole[: 4 * MB]
            halfway.go_on()
            assert given + response.read() == whole
    assert spooled(server) == []


@pytest.mark.parametrize("fault", [("wrong_bytes", {}), ("truncate", {}), ("reset", {"after": MB})], ids=str)
def test_a_broken_tarball_is_broken_off_for_the_client_too(server, registry, large, fault):
    kind, options = fault
    server.get(f"/{large}")
    before = stored(server)
    registry.fault(tarball(large), kind, times=1, **options)
    assert is_broken_off_or_refused(server, tarball(large))
    assert (stored(server), spooled(server)) == (before, [])

    assert server.get(tarball(large)).raw == registry.tarball(large, "1.0.0")
    assert len(stored(server)) == len(before) + 1


def test_a_broken_one_never_looks_whole_to_any_of_many(server, registry, crowd, large):
    server.get(f"/{large}")
    registry.fault(tarball(large), "wrong_bytes")
    asked = crowd(8, lambda: is_broken_off_or_refused(server, tarball(large)))
    assert all(future.result(60) for future in asked)


def test_sync_on_a_shell_is_seen_by_the_running_server(server, registry, large):
    done = server.manage("sync", large)
    assert done.stdout.startswith(f"{large}: 1 versions: 1 to add")
    asked = registry.count(tarball(large))
    assert server.get(tarball(large)).raw == registry.tarball(large, "1.0.0")
    assert registry.count(tarball(large)) == asked


def test_sync_on_a_shell_ends_with_a_status(server, registry, large):
    failed = server.manage("sync", "no-such-thing", large, check=False)
    assert (failed.returncode, "Traceback" in failed.stderr) == (1, False)
    assert "1 of 2 did not come in: no-such-thing" in failed.stderr
    assert server.manage("sync", large, check=False).returncode == 0


def test_one_file_of_node_is_one_request(server, registry, dist, crowd):
    """And so are the index and the checksums that all of them need first."""
    path = "/-/binary/node/v22.1.0/noise"
    answers = ask_together(server, registry.gate("/dist/v22.1.0/noise"), crowd, path)
    assert {(answer.status, answer.body) for answer in answers} == {(200, dist.file("22.1.0", "noise"))}
    asked = [registry.count(f"/dist/{one}") for one in ("index.json", "v22.1.0/SHASUMS256.txt", "v22.1.0/noise")]
    assert asked == [1, 1, 1]
    assert spooled(server) == []


def test_a_broken_file_of_node_is_never_a_whole_answer(server, registry, dist):
    registry.fault("/dist/v22.2.0/noise", "wrong_bytes", times=1)
    assert is_broken_off_or_refused(server, "/-/binary/node/v22.2.0/noise")
    assert server.get("/-/binary/node/v22.2.0/noise").status == 200

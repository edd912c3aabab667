"""The mirror of Node's distribution: fetched when asked for, verified, kept, and served as it is upstream."""

import hashlib
import os

import pytest
from django.utils import timezone

from audit.models import Event
from registry import janitor
from registry.models import Blob
from sync.binaries import documents
from sync.models import BinaryCategory, BinaryFile
from tests.node_dist import NodeDist

pytestmark = pytest.mark.django_db(transaction=True)

PROGRAM = "node-v22.1.0-linux-x64.tar.gz"
AT = "/-/binary/node"


@pytest.fixture
def dist(upstream, settings) -> NodeDist:
    dist = NodeDist(upstream)
    dist.release("20.11.0", date="2024-01-09", lts="Iron")
    dist.release("22.0.0", date="2024-04-24")
    dist.release("22.1.0", date="2024-05-02")
    settings.NODE_DIST_URL = dist.url
    return dist


def test_what_is_mirrored_is_listed(dist, anyone):
    listed = anyone.send("GET", "/-/binary/").json()
    assert [one["name"] for one in listed] == ["node/", "node-safe/"]
    assert listed[0] == {
        "name": "node/", "category": "node/", "description": "Releases of Node", "distUrl": dist.url, "repoUrl": "",
        "type": "dir", "url": "http://registry.test/-/binary/node/",
    }  # fmt: skip


@pytest.mark.parametrize("path", ["index.json", "index.tab", "v22.1.0/SHASUMS256.txt", "v22.1.0/SHASUMS256.txt.asc"])
def test_documents_come_byte_for_byte(dist, anyone, path):
    answer = anyone.send("GET", f"{AT}/{path}")
    assert (answer.status, answer.raw) == (200, dist.text(path))
    again = anyone.send("GET", f"{AT}/{path}", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status, again.raw) == (304, b"")


def test_a_file_comes_and_stays(dist, upstream, anyone, effects):
    answer = anyone.send("GET", f"{AT}/v22.1.0/{PROGRAM}")
    assert (answer.status, answer.raw) == (200, dist.file("22.1.0", PROGRAM))
    assert answer.headers["cache-control"] == "public, immutable, max-age=31536000"
    assert effects() == [
        "blob of index.json of node",
        "blob of v22.1.0/SHASUMS256.txt of node",
        f"blob of v22.1.0/{PROGRAM} of node",
    ]
    assert anyone.send("GET", f"{AT}/v22.1.0/{PROGRAM}").raw == dist.file("22.1.0", PROGRAM)
    assert upstream.count(f"*{PROGRAM}") == 1


def test_a_file_in_a_folder_of_the_release(dist, anyone):
    assert anyone.send("GET", f"{AT}/v22.1.0/win-x64/node.exe").raw == dist.file("22.1.0", "win-x64/node.exe")


def test_head_and_a_range_of_what_is_here(dist, anyone):
    whole = anyone.send("GET", f"{AT}/v22.1.0/{PROGRAM}").raw
    head = anyone.send("HEAD", f"{AT}/v22.1.0/{PROGRAM}")
    assert (head.status, head.raw, head.headers["content-length"]) == (200, b"", str(len(whole)))
    part = anyone.send("GET", f"{AT}/v22.1.0/{PROGRAM}", headers={"Range": "bytes=2-5"})
    assert (part.status, part.raw, part.headers["content-range"]) == (206, whole[2:6], f"bytes 2-5/{len(whole)}")
    beyond = anyone.send("GET", f"{AT}/v22.1.0/{PROGRAM}", headers={"Range": f"bytes={len(whole)}-"})
    assert beyond.status == 416


def test_a_range_of_what_is_not_here_brings_the_whole(dist, anyone):
    """RFC 9110, 14.2: a server may ignore a range. The client gets what it can use; the next one its range."""
    dist.release("22.1.0", files={"large.tar.gz": os.urandom(2 << 20)})
    answer = anyone.send("GET", f"{AT}/v22.1.0/large.tar.gz", headers={"Range": "bytes=2-5"})
    assert (answer.status, answer.raw) == (200, dist.file("22.1.0", "large.tar.gz"))


@pytest.mark.parametrize("called", ["latest", "latest-v22.x"])
def test_the_newest_of_a_line_has_names_of_its_own(dist, anyone, called):
    assert anyone.send("GET", f"{AT}/{called}/SHASUMS256.txt").raw == dist.text("v22.1.0/SHASUMS256.txt")
    answer = anyone.send("GET", f"{AT}/{called}/{PROGRAM}")
    assert answer.raw == dist.file("22.1.0", PROGRAM)
    assert answer.headers["cache-control"] == "public, max-age=0"  # another one is the newest tomorrow


def test_the_code_name_of_a_line(dist, anyone):
    assert anyone.send("GET", f"{AT}/latest-iron/SHASUMS256.txt").raw == dist.text("v20.11.0/SHASUMS256.txt")


# --- Lists ------------------------------------------------------------------------------------------------------------


def test_the_releases_are_listed_as_clients_of_cnpmcore_read_them(dist, anyone):
    listed = anyone.send("GET", f"{AT}/").json()
    assert [one["name"] for one in listed] == [
        "v22.1.0/", "v22.0.0/", "v20.11.0/", "latest/", "latest-v22.x/", "latest-v20.x/", "latest-iron/",
        "index.json", "index.tab",
    ]  # fmt: skip
    assert listed[0] == {
        "id": "node/v22.1.0/", "category": "node", "name": "v22.1.0/", "date": "2024-05-02", "type": "dir",
        "size": None, "url": "http://registry.test/-/binary/node/v22.1.0/", "modified": "2024-05-02",
    }  # fmt: skip


def test_a_release_lists_its_files_and_their_size_once_they_are_here(dist, anyone):
    anyone.send("GET", f"{AT}/v22.1.0/{PROGRAM}")
    listed = {one["name"]: one for one in anyone.send("GET", f"{AT}/v22.1.0/").json()}
    assert list(listed) == [
        "win-x64/", "node-v22.1.0-headers.tar.gz", PROGRAM, "node-v22.1.0-linux-x64.tar.xz",
        "SHASUMS256.txt", "SHASUMS256.txt.asc", "SHASUMS256.txt.sig",
    ]  # fmt: skip
    assert listed[PROGRAM]["size"] == len(dist.file("22.1.0", PROGRAM))
    assert listed[PROGRAM]["url"] == f"http://registry.test{AT}/v22.1.0/{PROGRAM}"
    assert listed["node-v22.1.0-headers.tar.gz"]["size"] is None
    inner = anyone.send("GET", f"{AT}/v22.1.0/win-x64/").json()
    assert [one["name"] for one in inner] == ["node.exe", "node.lib"]


def test_lists_can_be_cut(dist, anyone):
    assert [one["name"] for one in anyone.send("GET", f"{AT}/?limit=1").json()] == ["v22.1.0/"]
    since = anyone.send("GET", f"{AT}/?since=2024-05-01").json()
    assert [one["name"] for one in since if one["name"].startswith("v")] == ["v22.1.0/"]
    for limit in ("0", "1001", "many", "9" * 5000):
        answer = anyone.send("GET", f"{AT}/?limit={limit}")
        assert (answer.status, answer.json()["error"]) == (400, "limit is a whole number from 1 to 1000")


# --- Freshness, and an upstream that is ill ---------------------------------------------------------------------------


def test_a_new_release_is_seen(dist, anyone):
    anyone.send("GET", f"{AT}/index.json")
    dist.release("22.2.0", date="2024-05-15")
    assert anyone.send("GET", f"{AT}/index.json").raw == dist.text("index.json")


def test_while_the_index_is_fresh_a_release_that_it_lacks_is_looked_for_once_in_a_second(
    dist, upstream, anyone, settings
):
    settings.FRESH_SECONDS = 300
    anyone.send("GET", f"{AT}/index.json")
    BinaryFile.objects.update(checked_at="2024-01-01T00:00:00Z")
    anyone.send("GET", f"{AT}/index.json")
    for number in range(5):
        assert anyone.send("GET", f"{AT}/v99.0.{number}/SHASUMS256.txt").status == 404
    assert upstream.count("/dist/index.json") == 2
    assert upstream.count("/dist/v99*") == 0


def test_the_index_is_asked_for_conditionally(dist, upstream, anyone):
    dist.put("index.json", dist.text("index.json"), headers={"etag": '"one"'})
    anyone.send("GET", f"{AT}/index.json")
    anyone.send("GET", f"{AT}/index.json")
    assert upstream.last("/dist/index.json").headers["if-none-match"] == '"one"'


def test_a_dead_upstream_does_not_take_away_what_is_here(dist, upstream, anyone):
    for path in ("index.json", f"v22.1.0/{PROGRAM}"):
        anyone.send("GET", f"{AT}/{path}")
    upstream.stop()
    for _ in range(8):
        assert anyone.send("GET", f"{AT}/index.json").raw == dist.text("index.json")
    assert anyone.send("GET", f"{AT}/v22.1.0/{PROGRAM}").raw == dist.file("22.1.0", PROGRAM)
    assert BinaryCategory.objects.get().resting_until is not None
    answer = anyone.send("GET", f"{AT}/v22.0.0/SHASUMS256.txt")
    assert answer.status == 503
    assert "v22.0.0/SHASUMS256.txt is not here, and node cannot be asked now" in answer.json()["error"]
    assert int(answer.headers["retry-after"]) > 0


def test_a_release_that_is_here_is_served_without_a_look_upstream(dist, upstream, anyone):
    anyone.send("GET", f"{AT}/v22.1.0/{PROGRAM}")
    asked = upstream.count()
    assert anyone.send("GET", f"{AT}/v22.1.0/{PROGRAM}").status == 200
    assert upstream.count() == asked


def test_an_upstream_that_hangs_costs_a_reader_no_more_than_the_budget(dist, upstream, anyone, settings):
    anyone.send("GET", f"{AT}/index.json")
    settings.UPSTREAM_BUDGET_SECONDS = 0.1
    with upstream.gate("/dist/index.json") as gate:
        assert anyone.send("GET", f"{AT}/index.json").raw == dist.text("index.json")
        gate.wait_arrived()


def test_many_who_want_the_same_cause_one_request(dist, upstream, anyone, crowd):
    dist.release("22.1.0", files={"large.tar.gz": os.urandom(2 << 20)})
    anyone.send("GET", f"{AT}/v22.1.0/SHASUMS256.txt")
    with upstream.gate("*large.tar.gz") as gate:
        readers = crowd(8, lambda: anyone.send("GET", f"{AT}/v22.1.0/large.tar.gz"))
        gate.wait_arrived()
        gate.open()
        assert {reader.result(20).raw for reader in readers} == {dist.file("22.1.0", "large.tar.gz")}
    assert upstream.count("*large.tar.gz") == 1


def test_the_store_may_lose_a_file(dist, upstream, anyone):
    anyone.send("GET", f"{AT}/v22.1.0/{PROGRAM}")
    BinaryFile.objects.get(path__endswith=PROGRAM).blob.delete()
    assert anyone.send("GET", f"{AT}/v22.1.0/{PROGRAM}").raw == dist.file("22.1.0", PROGRAM)
    assert upstream.count(f"*{PROGRAM}") == 2


def test_without_an_upstream_there_is_no_mirror(anyone, transactional_db, settings):
    settings.NODE_DIST_URL = "none"
    assert anyone.send("GET", "/-/binary/").json() == []
    answer = anyone.send("GET", f"{AT}/index.json")
    assert answer.status == 404
    assert answer.json()["error"].startswith('Binary "node" not found')


def test_a_closed_registry_is_closed_here_too(dist, anyone, alice, settings):
    settings.ANONYMOUS_READ = False
    for path in ("", "node/", "node/index.json", f"node/v22.1.0/{PROGRAM}"):
        assert anyone.send("GET", f"/-/binary/{path}").status == 401
        answer = alice.send("GET", f"/-/binary/{path}")
        assert answer.status == 200
    assert answer.headers["cache-control"] == "private, no-store"


def test_another_url_is_asked_anew_and_what_is_here_stays(dist, upstream, anyone, settings):
    anyone.send("GET", f"{AT}/v22.1.0/{PROGRAM}")
    other = NodeDist(upstream, "other")
    other.release("22.1.0", date="2024-05-02")
    other.release("23.0.0", date="2024-10-16")
    settings.FRESH_SECONDS = 300
    settings.NODE_DIST_URL = other.url
    assert anyone.send("GET", f"{AT}/index.json").raw == other.text("index.json")
    assert anyone.send("GET", f"{AT}/v22.1.0/{PROGRAM}").raw == dist.file("22.1.0", PROGRAM)
    assert upstream.count(f"*{PROGRAM}") == 1


def test_the_janitor_takes_what_is_mirrored_no_longer_and_nothing_else(dist, upstream, anyone):
    anyone.send("GET", f"{AT}/v22.1.0/{PROGRAM}")
    Blob.objects.update(stored_at=timezone.now() - janitor.GRACE * 2)
    janitor.sweep()
    upstream.stop()
    assert anyone.send("GET", f"{AT}/v22.1.0/{PROGRAM}").status == 200
    BinaryCategory.objects.all().delete()
    janitor.sweep()
    assert not Blob.objects.exists()


def test_equal_bytes_under_two_names_are_one_blob(dist, anyone):
    dist.release("22.1.0", files={"one.tar.gz": b"the same", "two.tar.gz": b"the same"})
    for file in ("one", "two"):
        assert anyone.send("GET", f"{AT}/v22.1.0/{file}.tar.gz").raw == b"the same"
    assert Blob.objects.filter(size=8).count() == 1


# --- What an upstream must not get away with --------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["wrong_bytes", "truncate"])
@pytest.mark.parametrize("size", [1000, 2 << 20])
def test_a_broken_file_is_never_ended_as_if_it_were_good(dist, upstream, anyone, fault, size):
    data = os.urandom(size)
    dist.release("22.1.0", files={"noise.tar.gz": data})
    upstream.fault("*noise.tar.gz", fault, times=1)
    if size == 1000:
        assert anyone.send("GET", f"{AT}/v22.1.0/noise.tar.gz").status == 503
    else:
        with pytest.raises(ConnectionResetError):
            anyone.send("GET", f"{AT}/v22.1.0/noise.tar.gz")
    assert not Blob.objects.filter(binaryfile__path__endswith="noise.tar.gz").exists()
    assert anyone.send("GET", f"{AT}/v22.1.0/noise.tar.gz").raw == data


def test_a_file_that_the_checksums_do_not_list_is_not_served(dist, upstream, anyone):
    dist.put("v22.1.0/extra.tar.gz", b"who knows")
    answer = anyone.send("GET", f"{AT}/v22.1.0/extra.tar.gz")
    assert (answer.status, answer.json()["error"]) == (404, "v22.1.0/SHASUMS256.txt of node does not list extra.tar.gz")
    assert upstream.count("*extra*") == 0


def test_files_may_be_added_to_a_release(dist, anyone):
    anyone.send("GET", f"{AT}/v22.1.0/{PROGRAM}")
    dist.release("22.1.0", files={"node-v22.1.0-aix-ppc64.tar.gz": b"late"})
    assert anyone.send("GET", f"{AT}/v22.1.0/node-v22.1.0-aix-ppc64.tar.gz").raw == b"late"


def test_a_checksum_that_changes_is_not_believed_and_told_once(dist, anyone):
    before = anyone.send("GET", f"{AT}/v22.1.0/SHASUMS256.txt").raw
    data = dist.file("22.1.0", PROGRAM)
    dist.release("22.1.0", files={PROGRAM: b"something else"})
    for _ in range(3):
        assert anyone.send("GET", f"{AT}/v22.1.0/SHASUMS256.txt").raw == before
    told = Event.objects.get(kind="binary.refused")
    assert told.subject == "binary:node/v22.1.0/SHASUMS256.txt"
    assert f"it gives another checksum than before, or none, for {PROGRAM}" in told.facts["reason"]
    assert anyone.send("GET", f"{AT}/v22.1.0/{PROGRAM}").status == 503  # it is not what was promised
    dist.release("22.1.0", files={PROGRAM: data})
    assert anyone.send("GET", f"{AT}/v22.1.0/{PROGRAM}").raw == data


def test_a_checksum_is_not_changed_by_way_of_its_absence(dist, anyone):
    before = anyone.send("GET", f"{AT}/v22.1.0/SHASUMS256.txt").raw
    lines = before.splitlines(keepends=True)
    for text in (lines[1:], [b"0" * 64 + lines[0][64:], *lines[1:]]):
        dist.put("v22.1.0/SHASUMS256.txt", b"".join(text))
        assert anyone.send("GET", f"{AT}/v22.1.0/SHASUMS256.txt").raw == before


@pytest.mark.parametrize(
    "text",
    [b"", b"\xff\xfe", b"not a checksum at all\n", b"0" * 64 + b"  a\n" + b"1" * 64 + b"  a\n", b"0" * 63 + b"  a\n"],
    ids=["empty", "no text", "no list", "contradiction", "short"],
)  # fmt: skip
def test_a_list_that_is_none_is_not_taken(dist, anyone, text):
    dist.put("v22.1.0/SHASUMS256.txt", text)
    answer = anyone.send("GET", f"{AT}/v22.1.0/{PROGRAM}")
    assert answer.status == 503
    assert "v22.1.0/SHASUMS256.txt could not be taken from node" in answer.json()["error"]


@pytest.mark.parametrize(
    "text",
    [b"{}", b"[]", b"<!doctype html>", b"[[[[", b"[1, null, {}]", b'[{"version": "v1.0.0/../../x"}]', b"[" * 100_000],
    ids=["object", "nothing", "html", "broken", "no releases", "climbing", "deep"],
)
def test_an_index_that_is_none_is_not_taken(dist, anyone, text):
    good = anyone.send("GET", f"{AT}/index.json").raw
    dist.put("index.json", text)
    assert anyone.send("GET", f"{AT}/index.json").raw == good
    BinaryFile.objects.all().delete()
    answer = anyone.send("GET", f"{AT}/index.json")
    assert answer.status == 503
    assert "index.json could not be taken from node" in answer.json()["error"]


def test_a_huge_index_is_not_taken(dist, upstream, anyone, settings):
    settings.MAX_BINARY_INDEX_BYTES = 1 << 20
    upstream.fault("/dist/index.json", "huge")
    answer = anyone.send("GET", f"{AT}/index.json")
    assert answer.status == 503
    assert "more than 1048576 bytes" in answer.json()["error"]


def test_a_huge_file_is_not_taken(dist, anyone, settings):
    settings.MAX_BINARY_BYTES = 1 << 20
    dist.release("22.1.0", files={"huge.tar.gz": os.urandom(2 << 20)})
    answer = anyone.send("GET", f"{AT}/v22.1.0/huge.tar.gz")
    assert answer.status == 503
    assert answer.json()["error"] == "v22.1.0/huge.tar.gz is larger than LARDER_MAX_BINARY_MB allows"
    assert BinaryCategory.objects.get().failures == 0


@pytest.mark.parametrize(
    "path",
    [
        "../x", "%2e%2e/x", "v22.1.0/../index.json", "v22.1.0/..%2f..%2fetc/passwd", "//x", "v22.1.0//x",
        "./index.json", "v22.1.0/" + "a/" * 20 + "x", "v22.1.0/" + "a" * 1000, "v22.1.0/a b",
        "v22.1.0/%c3%a9", "v22.1.0/a%0ab", "v22.1.0/a?b#c", "v22.1.0\\x", "%2f%2fevil.example/x",
    ],
)  # fmt: skip
def test_paths_that_climb_or_are_none_are_asked_for_nowhere(dist, upstream, anyone, path):
    assert anyone.send("GET", f"{AT}/index.json").status == 200
    asked = {request.target for request in upstream.requests}
    assert anyone.send("GET", f"{AT}/{path}").status in (400, 404)
    assert {request.target for request in upstream.requests} <= asked | {"/dist/v22.1.0/SHASUMS256.txt"}


def test_names_in_a_list_that_climb_are_nobodys(dist, upstream, anyone):
    evil = hashlib.sha256(b"x").hexdigest()
    dist.put("v22.1.0/SHASUMS256.txt", f"{evil}  ../../secret\n{evil}  /etc/passwd\n{evil}  fine\n".encode())
    listed = anyone.send("GET", f"{AT}/v22.1.0/").json()
    assert [one["name"] for one in listed if not one["name"].startswith("SHASUMS")] == ["fine"]


def test_documents_of_a_signature_that_does_not_exist(dist, upstream, anyone, settings):
    settings.FRESH_SECONDS = settings.MISSING_SECONDS = 300
    for _ in range(3):
        assert anyone.send("GET", f"{AT}/v22.1.0/SHASUMS256.txt.sig").status == 404
    assert upstream.count("*.sig") == 1


def test_only_few_texts_are_kept_in_memory():
    """Each may have LARDER_MAX_BINARY_INDEX_MB."""
    for remembered in (documents._bytes, documents._index, documents._checksums):
        assert remembered.cache_info().maxsize <= 8


def test_it_is_below_dist_too_as_setup_node_looks_for_it(dist, anyone):
    for path in ("", "index.json", "v22.1.0/", "v22.1.0/SHASUMS256.txt", "latest/SHASUMS256.txt"):
        plain = anyone.send("GET", f"/-/binary/node/{path}")
        below = anyone.send("GET", f"/-/binary/node/dist/{path}")
        assert (below.status, below.body) == (plain.status, plain.body) == (200, plain.body), path

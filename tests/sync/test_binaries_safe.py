"""The view of a mirror in which unsafe versions were never released."""

import json

import pytest

from audit.actors import Actor
from registry import generation, safety
from sync.binaries import categories
from tests.node_dist import NodeDist
from tests.sync import some_unsafe
from tests.sync.some_unsafe import REASON

pytestmark = pytest.mark.django_db(transaction=True)

PLAIN, SAFE = "/-/binary/node", "/-/binary/node-safe"


@pytest.fixture
def dist(upstream, settings) -> NodeDist:
    """22.2.0 is the newest, and unsafe; of 19.x there is nothing that is safe."""
    dist = NodeDist(upstream)
    for version, date, lts in [
        ("19.0.0", "2022-10-18", False),
        ("20.11.0", "2024-01-09", "Iron"),
        ("22.0.0", "2024-04-24", "Jod"),
        ("22.1.0", "2024-05-02", "Jod"),
        ("22.2.0", "2024-05-15", "Jod"),
    ]:
        dist.release(version, date=date, lts=lts)
    settings.NODE_DIST_URL = dist.url
    settings.REGISTRY = settings.REGISTRY | {"SAFE_VERSIONS": "tests.sync.some_unsafe.SomeUnsafe"}
    safety.versions.cache_clear()
    return dist


def program(version: str) -> str:
    return f"v{version}/node-v{version}-linux-x64.tar.gz"


def test_the_indexes_lack_what_is_unsafe_and_keep_the_rest_as_it_is(dist, anyone):
    everything = json.loads(dist.text("index.json"))
    assert anyone.send("GET", f"{SAFE}/index.json").json() == [
        entry for entry in everything if entry["version"] in ("v22.1.0", "v20.11.0")
    ]
    table = anyone.send("GET", f"{SAFE}/index.tab").raw.decode()
    lines = dist.text("index.tab").decode().splitlines(keepends=True)
    assert table == "".join([lines[0], *(line for line in lines if line.startswith(("v22.1.0", "v20.11.0")))])


def test_the_plain_view_is_as_it_was(dist, anyone):
    for path in ("index.json", "index.tab", "v22.2.0/SHASUMS256.txt", program("22.2.0")):
        assert anyone.send("GET", f"{PLAIN}/{path}").raw == dist.text(path)


def test_safe_releases_come_byte_for_byte_with_what_vouches_for_them(dist, anyone):
    for path in ("v22.1.0/SHASUMS256.txt", "v22.1.0/SHASUMS256.txt.asc", program("22.1.0")):
        answer = anyone.send("GET", f"{SAFE}/{path}")
        assert (answer.status, answer.raw) == (200, dist.text(path))
        assert answer.headers["cache-control"] == "public, max-age=0"  # tomorrow it may be known to be unsafe


@pytest.mark.parametrize("path", ["", "/", "/SHASUMS256.txt", "/SHASUMS256.txt.asc", "/node-v22.2.0-linux-x64.tar.gz"])
def test_an_unsafe_release_is_refused_with_the_reason_and_what_to_use(dist, upstream, anyone, path):
    answer = anyone.send("GET", f"{SAFE}/v22.2.0{path}")
    sentence = f"node 22.2.0 is unsafe: {REASON}. Use 22.1.0 in its place"
    assert (answer.status, answer.reason, answer.json()["error"]) == (451, sentence, sentence)
    assert answer.headers["cache-control"] == "no-store"
    assert upstream.count("/dist/v22.2.0/*") == 0


def test_one_that_is_here_already_is_refused_too(dist, anyone):
    assert anyone.send("GET", f"{PLAIN}/{program('22.2.0')}").status == 200
    assert anyone.send("GET", f"{SAFE}/{program('22.2.0')}").status == 451


def test_an_unsafe_file_is_not_had_under_another_name_of_its_release(dist, anyone):
    assert anyone.send("GET", f"{SAFE}/latest/node-v22.2.0-linux-x64.tar.gz").status == 404
    assert anyone.send("GET", f"{SAFE}/v22.1.0/node-v22.2.0-linux-x64.tar.gz").status == 404


@pytest.mark.parametrize("called", ["latest", "latest-v22.x", "latest-jod"])
def test_the_newest_is_the_newest_that_is_safe(dist, anyone, called):
    assert anyone.send("GET", f"{PLAIN}/{called}/SHASUMS256.txt").raw == dist.text("v22.2.0/SHASUMS256.txt")
    assert anyone.send("GET", f"{SAFE}/{called}/SHASUMS256.txt").raw == dist.text("v22.1.0/SHASUMS256.txt")


def test_a_line_with_nothing_safe_in_it_says_so(dist, anyone):
    answer = anyone.send("GET", f"{SAFE}/latest-v19.x/SHASUMS256.txt")
    assert answer.status == 451
    assert answer.json()["error"] == f"node 19.0.0 is unsafe: {REASON}. Use 20.11.0 in its place"


def test_the_list_lacks_it_too(dist, anyone):
    names = [one["name"] for one in anyone.send("GET", f"{SAFE}/").json()]
    assert names == [
        "v22.1.0/", "v20.11.0/", "latest/", "latest-v22.x/", "latest-jod/", "latest-v20.x/", "latest-iron/",
        "index.json", "index.tab",
    ]  # fmt: skip
    assert anyone.send("GET", f"{SAFE}/").json()[0]["url"] == "http://registry.test/-/binary/node-safe/v22.1.0/"


def test_what_becomes_unsafe_changes_the_etag(dist, anyone, monkeypatch):
    before = anyone.send("GET", f"{SAFE}/index.json").headers["etag"]
    monkeypatch.setitem(some_unsafe.UNSAFE, "20.11.0", "22.1.0")
    generation.advance()  # as whoever commits such a thing does
    after = anyone.send("GET", f"{SAFE}/index.json", headers={"If-None-Match": before})
    assert (after.status, [one["version"] for one in after.json()]) == (200, ["v22.1.0"])


@pytest.mark.parametrize(
    "path", ["index.json", "index.tab", "latest/SHASUMS256.txt", f"latest/{program('22.1.0')[8:]}"]
)
def test_a_date_does_not_tell_whether_it_has_changed(dist, anyone, path):
    answer = anyone.send("GET", f"{SAFE}/{path}", headers={"If-Modified-Since": "Thu, 31 Dec 2099 00:00:00 GMT"})
    assert (answer.status, "last-modified" in answer.headers) == (200, False)


def test_where_nothing_is_known_everything_is_safe(dist, anyone, settings):
    settings.REGISTRY = {key: value for key, value in settings.REGISTRY.items() if key != "SAFE_VERSIONS"}
    safety.versions.cache_clear()
    assert anyone.send("GET", f"{SAFE}/index.json").json() == json.loads(dist.text("index.json"))
    assert anyone.send("GET", f"{SAFE}/{program('22.2.0')}").status == 200


def test_node_is_node_wherever_it_is_mirrored_from(dist, upstream, anyone):
    other = NodeDist(upstream, "other")
    other.release("22.2.0")
    categories.add("other", actor=Actor.system("a test"), url=other.url)
    assert anyone.send("GET", f"/-/binary/other/{program('22.2.0')}").raw == other.text(program("22.2.0"))
    assert anyone.send("GET", f"/-/binary/other-safe/{program('22.2.0')}").status == 451

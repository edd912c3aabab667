"""`GET /:pkg/:version|tag|range` and `GET /-/package/:pkg/dist-tags`."""

import pytest

from tests.actors import CORGI

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    ("spec", "number"),
    [
        ("1.0.0", "1.0.0"),
        ("v1.0.0", "1.0.0"),
        ("=1.0.0", "1.0.0"),
        ("1.0.0+build.5", "1.0.0"),
        ("latest", "1.1.0"),
        ("next", "2.0.0-rc.1"),
        ("1", "1.1.0"),
        ("1.0.x", "1.0.0"),
        ("^1.0.0", "1.1.0"),
        ("%5E1.0.0", "1.1.0"),
        ("~1.0", "1.0.0"),
        ("%3E=1.0.0%20%3C1.1.0", "1.0.0"),
        ("*", "1.1.0"),
        ("%3E=2.0.0-rc.0", "2.0.0-rc.1"),
        ("2.0.0-rc.1", "2.0.0-rc.1"),
        ("1.0.0/", "1.0.0"),
    ],
)
def test_a_version_is_found_by_its_number_its_tag_or_a_range(anyone, pad, spec, number):
    for name in ("@acme%2fpad", "@acme/pad"):
        answer = anyone.send("GET", f"/{name}/{spec}")
        manifest = answer.json()
        assert (answer.status, manifest["version"]) == (200, number)
        assert manifest["dist"]["tarball"] == f"http://registry.test/@acme/pad/-/pad-{number}.tgz"


@pytest.mark.parametrize("spec", ["9.9.9", "^9", "beta", "1.0.0.0", "%00", "%ff", "1.0.0-", "x" * 3000, "'"])
def test_what_is_not_there_is_said_by_name(anyone, pad, spec):
    answer = anyone.send("GET", f"/@acme%2fpad/{spec}")
    assert answer.status == 404
    assert answer.json()["error"]


def test_the_abbreviated_manifest_leaves_out_what_installing_does_not_take(anyone, pad):
    full = anyone.send("GET", "/@acme%2fpad/1.1.0").json()
    short = anyone.send("GET", "/@acme%2fpad/1.1.0", headers={"Accept": CORGI})
    assert short.headers["content-type"].startswith("application/vnd.npm.install-v1+json")
    assert set(full) - set(short.json()) == {"_id", "scripts", "_npmUser"}
    assert short.json()["hasInstallScript"] is True


def test_head_of_a_manifest(anyone, pad):
    head = anyone.send("HEAD", "/@acme%2fpad/1.0.0")
    assert (head.status, head.raw) == (200, b"")


def test_a_version_that_the_upstream_has_by_now_is_found(anyone, upstream):
    upstream.publish("left-pad", "1.0.0")
    assert anyone.send("GET", "/left-pad/latest").json()["version"] == "1.0.0"
    upstream.publish("left-pad", "1.0.1")
    assert anyone.send("GET", "/left-pad/1.0.1").json()["version"] == "1.0.1"


def test_a_tag_wins_over_a_version_of_that_name(anyone, upstream):
    upstream.publish("left-pad", "1.0.0")
    upstream.publish("left-pad", "2.0.0", tag="1.x-lts")
    assert anyone.send("GET", "/left-pad/1.x-lts").json()["version"] == "2.0.0"


@pytest.mark.parametrize("name", ["@acme%2fpad", "@acme%2Fpad", "@acme/pad", "%40acme%2fpad"])
def test_dist_tags_have_an_address_of_their_own(anyone, pad, name):
    answer = anyone.send("GET", f"/-/package/{name}/dist-tags")
    assert (answer.status, answer.json()) == (200, {"latest": "1.1.0", "next": "2.0.0-rc.1"})


def test_dist_tags_of_nothing(anyone):
    answer = anyone.send("GET", "/-/package/nothing/dist-tags")
    assert answer.status == 404
    assert "nothing is not in this registry" in answer.json()["error"]

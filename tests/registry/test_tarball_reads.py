"""`GET` of a tarball: in the shapes of all lockfiles, whole and in parts."""

import hashlib

import pytest
from django.core.files.storage import storages

from registry import catalog, keys
from registry.models import Blob
from tests import tarballs

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("_either_way")]

PACKED = tarballs.package("@acme/pad", "1.0.0", {"index.js": "module.exports = 1\n" * 50})
PATH = "/@acme/pad/-/pad-1.0.0.tgz"


@pytest.fixture
def _published(alice):
    assert alice.publish("@acme/pad", "1.0.0", tarball=PACKED).status == 201


def get(person, path: str = PATH, method: str = "GET", **headers: str):
    """The second of two equal questions; see test_packuments."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    first, second = (person.send(method, path, headers=sent) for _ in range(2))
    assert (first.status, first.raw) == (second.status, second.raw)
    for header in ("etag", "content-length", "content-type", "cache-control", "content-disposition", "last-modified"):
        assert first.headers.get(header) == second.headers.get(header)
    return second


@pytest.mark.usefixtures("_published")
@pytest.mark.parametrize(
    "path",
    [
        "/@acme/pad/-/pad-1.0.0.tgz",
        "/@acme%2fpad/-/pad-1.0.0.tgz",
        "/@acme%2Fpad/-/pad-1.0.0.tgz",
        "/%40acme%2fpad/-/pad-1.0.0.tgz",
        "/@acme/pad/-/@acme/pad-1.0.0.tgz",  # Verdaccio, GitLab
        "/@acme%2fpad/-/@acme%2fpad-1.0.0.tgz",
        "/@acme/pad/download/pad-1.0.0.tgz",  # cnpmjs.org
        "/@acme/pad/download/@acme/pad-1.0.0.tgz",
        "/@acme/pad/download/@acme/pad-1.0.0.tgz?cache=0&sync_timestamp=1577808000000",
    ],
)
def test_lockfiles_of_every_registry_find_the_tarball(anyone, path):
    assert get(anyone, path).raw == PACKED


@pytest.mark.usefixtures("_published")
def test_it_may_be_kept_for_ever(anyone):
    answer = get(anyone)
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-length"] == str(len(PACKED))
    assert answer.headers["accept-ranges"] == "bytes"
    assert "immutable" in answer.headers["cache-control"]
    assert "content-encoding" not in answer.headers
    assert "content-disposition" not in answer.headers


@pytest.mark.usefixtures("_published")
def test_head_is_get_without_the_body(anyone):
    head = get(anyone, method="HEAD", Range="bytes=0-9")
    assert (head.status, head.raw, head.headers["content-length"]) == (200, b"", str(len(PACKED)))


@pytest.mark.usefixtures("_published")
@pytest.mark.parametrize("accept_encoding", ["gzip", "zstd, gzip", "identity"])
def test_it_is_never_encoded_once_more(anyone, accept_encoding):
    assert get(anyone, Accept_Encoding=accept_encoding).raw == PACKED


@pytest.mark.usefixtures("_published")
def test_who_has_it_is_told_so(anyone):
    got = get(anyone)
    etag, modified = got.headers["etag"], got.headers["last-modified"]
    for headers in ({"If_None_Match": etag}, {"If_None_Match": f'"x", W/{etag}'}, {"If_Modified_Since": modified}):
        answer = get(anyone, **headers)
        assert (answer.status, answer.raw) == (304, b"")
        assert answer.headers["etag"] == etag
        assert "content-length" not in answer.headers
    assert get(anyone, If_None_Match='"other"').status == 200


@pytest.mark.usefixtures("_published")
@pytest.mark.parametrize(
    ("wanted", "part"),
    [
        ("bytes=0-0", slice(0, 1)),
        ("bytes=10-19", slice(10, 20)),
        ("bytes=10-", slice(10, None)),
        ("bytes=-7", slice(-7, None)),
        ("bytes=10-99999999", slice(10, None)),
        ("bytes=-99999999", slice(0, None)),
        (" bytes=1-2 ", slice(1, 3)),
    ],
)
def test_a_part_of_it(anyone, wanted, part):
    answer = get(anyone, Range=wanted)
    first = range(len(PACKED))[part][0]
    assert (answer.status, answer.raw) == (206, PACKED[part])
    assert answer.headers["content-range"] == f"bytes {first}-{first + len(answer.raw) - 1}/{len(PACKED)}"
    assert answer.headers["content-length"] == str(len(answer.raw))


@pytest.mark.usefixtures("_published")
@pytest.mark.parametrize("wanted", [f"bytes={len(PACKED)}-", "bytes=999999-9999999", "bytes=-0"])
def test_a_part_that_it_does_not_have(anyone, wanted):
    answer = get(anyone, Range=wanted)
    assert (answer.status, answer.headers["content-range"]) == (416, f"bytes */{len(PACKED)}")


@pytest.mark.usefixtures("_published")
@pytest.mark.parametrize(
    "wanted",
    ["bytes=0-1,5-6", "bytes=-", "bytes=a-b", "lines=1-2", "", "bytes=--1", "bytes=" + "9" * 5000 + "-", "bytes=٣-"],
)
def test_what_is_no_single_range_is_ignored(anyone, wanted):
    answer = get(anyone, Range=wanted.encode().decode("latin-1"))
    assert (answer.status, answer.raw) == (200, PACKED)


@pytest.mark.usefixtures("_published")
def test_a_download_is_resumed_only_if_it_is_still_the_same_file(anyone):
    etag = get(anyone).headers["etag"]
    assert get(anyone, Range="bytes=10-", If_Range=etag).status == 206
    assert get(anyone, Range="bytes=10-", If_Range='"other"').raw == PACKED


@pytest.mark.parametrize("version", ["1.0.0-rc.1", "2.0.0-alpha-2.x", "1.0.0-rc.1-2", "0.0.0-0"])
def test_prereleases_are_found_by_the_name_not_by_their_hyphens(alice, anyone, version):
    alice.publish("n", version)
    alice.publish("n-1.0.0", "1.0.0")
    answer = get(anyone, f"/n/-/n-{version}.tgz")
    assert answer.status == 200
    assert get(anyone, "/n-1.0.0/-/n-1.0.0-1.0.0.tgz").raw != answer.raw


def test_the_document_leads_to_the_bytes_that_were_published(alice, anyone):
    alice.publish("@acme/pad", "1.0.0", tarball=PACKED)
    url = anyone.view("@acme/pad").json()["versions"]["1.0.0"]["dist"]["tarball"]
    assert get(anyone, url.removeprefix("http://registry.test")).raw == PACKED


@pytest.mark.usefixtures("_published")
@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/@acme/pad/-/pad-1.0.1.tgz", 404),
        ("/@acme/pad/-/other-1.0.0.tgz", 404),
        ("/@acme/pad/-/pad-.tgz", 404),
        ("/@acme/pad/-/pad-1.0.0.zip", 404),
        ("/@acme/pad/-/pad-%00.tgz", 404),
        ("/@acme/pad/-/pad-..%2f..%2fetc.tgz", 404),
        ("/other/-/other-1.0.0.tgz", 404),
        ("/@acme/pad/-/", 404),
        ("/../-/x-1.0.0.tgz", 400),
    ],
)
def test_what_is_not_there(anyone, path, status):
    answer = get(anyone, path)
    assert answer.status == status
    assert answer.json()["error"]


@pytest.mark.usefixtures("_published")
def test_nginx_sends_it_where_that_is_set(anyone, settings):
    get(anyone)
    settings.ACCEL_PREFIX = "/blobs"
    answer = get(anyone)
    sha512 = hashlib.sha512(PACKED).hexdigest()
    assert answer.headers["x-accel-redirect"] == f"/blobs/sha512/{sha512[:2]}/{sha512[2:4]}/{sha512}"
    assert answer.raw == b""


def test_a_tarball_whose_bytes_are_lost_is_not_an_empty_one(alice, anyone):
    alice.publish("@acme/pad", "1.0.0", tarball=PACKED)
    assert get(anyone).raw == PACKED
    storages["blobs"].delete(keys.blob(Blob.objects.get().sha512))
    catalog.forget()  # as small as it is, it was in memory
    answer = get(anyone)
    assert (answer.status, "is not here" in answer.json()["error"]) == (404, True)
    assert Blob.objects.get().state == Blob.State.BAD

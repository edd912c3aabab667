"""Packuments that no honest registry sends: nothing breaks, and what can be used of them is."""

import json

import pytest

from registry.models import Package, Version

pytestmark = pytest.mark.django_db(transaction=True)

GOOD = {"name": "odd", "version": "1.0.0", "dist": {"tarball": "http://upstream.example/odd/-/odd-1.0.0.tgz"}}


def packument(**members) -> bytes:
    whole = {"name": "odd", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": GOOD}, **members}
    return json.dumps(whole).encode()


@pytest.mark.parametrize(
    "body",
    [
        packument(name="even"),
        packument(name=None),
        packument(versions=[GOOD]),
        packument(versions="1.0.0"),
        b"<html>",
        b"",
        b"null",
        b'{"name":"odd","versions":{"1.0.0":{}',
        b'{"name":"odd","versions":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b"}",
    ],
    ids=lambda body: body[:40].decode(),
)
def test_what_is_no_packument_of_this_name_is_not_taken(upstream, anyone, later, body):
    upstream.put_raw("odd", body)
    answer = anyone.view("odd")
    assert (answer.status, "odd is not here" in answer.json()["error"]) == (503, True)
    assert not Package.objects.exists()

    upstream.put_raw("odd", packument())
    later()
    assert anyone.view("odd").status == 200
    upstream.put_raw("odd", body)
    later()
    assert list(anyone.view("odd").json()["versions"]) == ["1.0.0"]


@pytest.mark.parametrize(
    ("number", "manifest"),
    [
        ("2.0.0", None),
        ("2.0.0", []),
        ("2.0.0", "2.0.0"),
        ("2.0.0", 2),
        ("two", {"name": "odd", "version": "two", "dist": {}}),
        ("", {"name": "odd", "version": "", "dist": {}}),
        ("../../etc/passwd", {**GOOD, "version": "../../etc/passwd"}),
        ("1.0.0-" + "a" * 1000, {**GOOD, "version": "1.0.0-" + "a" * 1000}),
        ("2.0.0\x00", {**GOOD, "version": "2.0.0\x00"}),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_version_that_is_none_is_left_out_and_the_others_are_served(upstream, anyone, number, manifest):
    upstream.put_raw("odd", packument(versions={"1.0.0": GOOD, number: manifest}))
    answer = anyone.view("odd")
    assert (answer.status, list(answer.json()["versions"])) == (200, ["1.0.0"])


@pytest.mark.parametrize("dist", [None, [], "no", 5, {}, {"tarball": None}, {"tarball": 5}], ids=str)
def test_a_version_that_does_not_say_where_its_tarball_is_has_it_in_the_usual_place(upstream, anyone, dist):
    real = upstream.publish("odd", "1.0.0")
    upstream.put_raw("odd", packument(versions={"1.0.0": {**real, "dist": dist}}))
    tarball = anyone.view("odd").json()["versions"]["1.0.0"]["dist"]["tarball"]
    assert tarball == "http://registry.test/odd/-/odd-1.0.0.tgz"
    assert anyone.download("odd", "1.0.0").raw == upstream.tarball("odd", "1.0.0")


def test_a_version_without_dist_is_the_same(upstream, anyone):
    upstream.publish("odd", "1.0.0")
    upstream.put_raw("odd", packument(versions={"1.0.0": {"name": "odd", "version": "1.0.0"}}))
    assert anyone.download("odd", "1.0.0").raw == upstream.tarball("odd", "1.0.0")


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://upstream.example/odd.tgz",
        "//upstream.example/odd.tgz",
        "http://user:password@upstream.example/odd.tgz",
        "http://[::1",
        "",
        "not a URL",
        "http://169.254.169.254/latest/meta-data",
        "http://127.0.0.1:1/odd\x00.tgz",
        "http://127.0.0.1:1/half\ud83d.tgz",
        "http://127.0.0.1:1/" + "long" * 10_000,
    ],
    ids=lambda url: repr(url)[:40],
)
def test_a_tarball_in_an_impossible_place_is_one_version_without_a_tarball(upstream, anyone, url):
    versions = {"1.0.0": GOOD, "2.0.0": {**GOOD, "version": "2.0.0", "dist": {"tarball": url}}}
    upstream.put_raw("odd", packument(versions=versions))
    assert next(iter(anyone.view("odd").json()["versions"])) == "1.0.0"
    assert anyone.download("odd", "2.0.0").status in (404, 503)
    assert anyone.view("odd").status == 200


@pytest.mark.parametrize(
    "tags",
    [
        None,
        [],
        {},
        {"latest": "9.9.9"},
        {"latest": None},
        {"latest": {"version": "1.0.0"}},
        {"latest": "1.0.0", "": "1.0.0"},
        {"latest": "1.0.0", "t" * 1000: "1.0.0"},
        {"latest": "1.0.0", "nul\x00": "1.0.0"},
        {"latest": "1.0.0", "half \ud83d": "1.0.0"},
        {"latest": "1.0.0", "odd": "nul\x00", "even": "half \ud83d"},
    ],
    ids=lambda tags: repr(tags)[:40],
)
def test_tags_that_point_nowhere_or_cannot_be_are_left_out(upstream, anyone, tags):
    upstream.put_raw("odd", packument(**{"dist-tags": tags}))
    document = anyone.view("odd").json()
    assert list(document["versions"]) == ["1.0.0"]
    assert set(document["dist-tags"].values()) <= {"1.0.0"}


@pytest.mark.parametrize("time", [None, [], "now", {"1.0.0": 5}, {"1.0.0": "yesterday"}, {"modified": []}], ids=str)
def test_times_that_are_none(upstream, anyone, time):
    upstream.put_raw("odd", packument(time=time))
    answer = anyone.view("odd")
    assert (answer.status, answer.headers["last-modified"][-3:]) == (200, "GMT")
    assert anyone.view("odd", accept="application/vnd.npm.install-v1+json").status == 200
    assert Version.objects.get().published_at is None


@pytest.mark.parametrize(
    "field",
    [
        {"scripts": "all"},
        {"scripts": {"install": ["rm"]}},
        {"dependencies": ["left-pad"]},
        {"dependencies": {"left-pad": {"version": "1"}}},
        {"bin": 5},
        {"name": "even", "version": "3.0.0"},
        {"readme": "nul \x00 and half \ud83d"},
        {"__proto__": {"polluted": True}},
        {"number": 1e308, "large": 10**30},
    ],
    ids=str,
)
def test_fields_of_odd_types_are_passed_through(upstream, anyone, field):
    upstream.put_raw("odd", packument(versions={"1.0.0": {**GOOD, **field}}))
    manifest = anyone.view("odd").json()["versions"]["1.0.0"]
    assert {key: manifest[key] for key in field} == field
    assert anyone.send("GET", "/odd/1.0.0").status == 200


def test_a_member_that_stands_twice_counts_once(upstream, anyone):
    upstream.put_raw("odd", packument()[:-1] + b',"versions":{}}')
    assert anyone.view("odd").status == 200

"""What people are told when it does not work: JSON, with a sentence."""

import json

import pytest

from tests.actors import Person

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    "path",
    [
        "/-/nothing",
        "/-/v1/nothing",
        "/-/npm/v1/nothing",
        "/-/package/x/nothing",
        "/-/all/x/y/z",
        "/-/",
        "/a/b/c/d",
    ],
)
def test_an_unknown_endpoint_is_no_package(anyone, upstream, path):
    for method in ("GET", "POST", "PUT", "DELETE"):
        answer = anyone.send(method, path, body={} if method in ("POST", "PUT") else None)
        assert answer.status == 404
        assert "not something this registry has" in answer.json()["error"]
    assert upstream.count() == 0


@pytest.mark.parametrize(
    "path", ["/.hidden", "/left%20pad", "/node_modules", "/a%00b", "/%ff", "/@acme%2f..", "/a%2fb%2fc/-/x-1.tgz"]
)
def test_a_bad_name_is_refused_without_asking_anybody(anyone, upstream, path):
    answer = anyone.send("GET", path)
    assert answer.status in (400, 404)
    assert answer.json()["error"]
    assert upstream.count() == 0


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", "/left-pad"),
        ("POST", "/left-pad"),
        ("PUT", "/left-pad/-/left-pad-1.0.0.tgz"),
        ("POST", "/-/whoami"),
        ("DELETE", "/-/ping"),
        ("POST", "/"),
        ("PUT", "/"),
        ("BREW", "/left-pad"),
    ],
)
def test_a_method_that_makes_no_sense(anyone, method, path):
    answer = anyone.send(method, path)
    assert (answer.status, answer.headers["content-type"].split(";")[0]) == (405, "application/json")
    assert answer.json()["error"]
    assert "GET" in answer.headers["allow"]


def test_a_missing_package_is_missing_in_words(anyone):
    answer = anyone.view("left-pad")
    assert (answer.status, answer.headers["content-type"].split(";")[0]) == (404, "application/json")
    assert answer.json() == {
        "error": "left-pad is not in this registry: check the spelling, sign in if it is private, or publish it"
    }
    assert answer.headers["cache-control"] == "no-store"


def test_an_upstream_that_is_down_is_no_404(anyone, upstream):
    upstream.stop()
    answer = anyone.view("left-pad")
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) > 0
    assert "left-pad is not here" in answer.json()["error"]


def test_a_host_that_is_not_ours_is_refused(anyone, settings):
    settings.ALLOWED_HOSTS = ["registry.test"]
    assert anyone.send("GET", "/-/ping", headers={"Host": "registry.test"}).status == 200
    answer = anyone.send("GET", "/left-pad", headers={"Host": "evil.example"})
    assert (answer.status, "LARDER_ALLOWED_HOSTS" in answer.json()["error"]) == (400, True)


@pytest.mark.parametrize("body", ["{", "[]", '"text"', "\ufeff{}", "{}", "null", "NaN", "\0", "{" * 10_000])
@pytest.mark.parametrize("path", ["/left-pad", "/-/user/org.couchdb.user:eve"])
def test_a_body_that_is_not_what_npm_sends(alice, path, body):
    answer = alice.send("PUT", path, body=body)
    assert answer.status == 400
    assert answer.json()["error"]


def test_a_sentence_that_quotes_half_a_character_still_arrives(alice):
    body = {"name": "left-pad", "versions": {}, "_attachments": {"x.tgz": {"data": "AAAA"}}}
    answer = alice.send("PUT", "/left-pad", body=json.dumps(body).replace('"left-pad"', '"\\ud83d"'))
    assert answer.status == 400
    assert "left-pad" in answer.json()["error"]


def test_the_root_says_what_this_is(anyone):
    answer = anyone.send("GET", "/")
    assert (answer.status, answer.json()["registry"]) == (200, "larder")
    browser = anyone.send("GET", "/", headers={"Accept": "text/html,*/*;q=0.8"})
    assert (browser.status, browser.headers["location"]) == (302, "/-/web/")


@pytest.mark.parametrize("path", ["/-/ping", "/-/ping?write=true", "/-/ping/"])
def test_ping(anyone, path):
    assert anyone.send("GET", path).json() == {}


def test_a_ping_asks_for_no_credentials_and_reads_none():
    assert Person(token="nonsense").send("GET", "/-/ping").status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/-/ping",
        "/@acme%2fpad",
        "/@acme%2fpad/1.0.0",
        "/-/package/@acme%2fpad/dist-tags",
        "/nothing",
        "/-/nothing",
        "/a/b/c",
    ],
)
def test_every_answer_says_how_long_it_is(anyone, pad, path):
    got, head = (anyone.send(method, path) for method in ("GET", "HEAD"))
    assert got.headers["content-length"] == head.headers["content-length"] == str(len(got.raw))

"""`GET /:pkg`: the document that every install begins with."""

import gzip
import json
from datetime import datetime
from email.utils import parsedate_to_datetime

import pytest

from registry import cache
from registry.models import Package
from tests.actors import CORGI
from tests.wsgi import Answer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("_either_way")]

FLAVOURS = pytest.mark.parametrize("accept", ["application/json", CORGI], ids=["full", "abbreviated"])
# What Django adds to its own answers; no client reads it.
BY_THE_WAY = ("allow", "x-request-id")


def view(person, name: str, **how) -> Answer:
    """The second of two equal questions: the first one made the answer ready. Both must be answered alike."""
    first, second = person.view(name, **how), person.view(name, **how)
    assert essence(first) == essence(second)
    return second


def essence(answer: Answer) -> tuple:
    headers = {name: value for name, value in answer.headers.items() if name not in BY_THE_WAY}
    return answer.status, answer.reason, headers, answer.raw


# --- One package, many spellings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/@acme%2fpad", "/@acme%2Fpad", "/@acme/pad", "/%40acme%2fpad", "/@acme%2fpad/", "/@acme/pad/"]
)
def test_every_spelling_of_a_scoped_name_is_the_same_document(anyone, pad, path):
    usual = anyone.send("GET", "/@acme%2fpad")
    for _ in range(2):
        answer = anyone.send("GET", path)
        assert answer.status == 200
        assert essence(answer) == essence(usual)


def test_a_slash_at_the_end_is_nothing(anyone, alice):
    alice.publish("left-pad", "1.0.0")
    assert anyone.send("GET", "/left-pad/").body == anyone.send("GET", "/left-pad").body


def test_capitals_are_another_package(anyone, patient):
    patient.publish("JSONStream", "1.3.5")
    patient.publish("jsonstream", "1.0.3")
    assert list(view(anyone, "JSONStream").json()["versions"]) == ["1.3.5"]
    assert list(view(anyone, "jsonstream").json()["versions"]) == ["1.0.3"]
    assert view(anyone, "jsonSTREAM").status == 404


# --- Two documents under one URL -------------------------------------------------------------------------------------


def test_the_full_document_has_everything(anyone, pad):
    answer = view(anyone, pad)
    document = answer.json()
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert list(document["versions"]) == ["1.0.0", "1.1.0", "2.0.0-rc.1"]
    assert document["dist-tags"] == {"latest": "1.1.0", "next": "2.0.0-rc.1"}
    assert set(document["time"]) == {"created", "modified", "1.0.0", "1.1.0", "2.0.0-rc.1"}
    assert document["versions"]["1.1.0"]["scripts"] == {"install": "make"}


def test_the_abbreviated_one_has_what_installing_takes(anyone, patient):
    patient.publish(
        "pad", "1.0.0", dependencies={"a": "1"}, libc=["musl"], os=["linux"], description="x", scripts={"install": "x"}
    )
    answer = view(anyone, "pad", accept=CORGI)
    document = answer.json()
    assert answer.headers["content-type"] == "application/vnd.npm.install-v1+json; charset=utf-8"
    assert set(document) == {"name", "modified", "time", "dist-tags", "versions"}
    assert document["modified"] == document["time"]["modified"]
    manifest = document["versions"]["1.0.0"]
    assert set(manifest) == {"name", "version", "dependencies", "libc", "os", "hasInstallScript", "dist"}
    assert manifest["hasInstallScript"] is True


@FLAVOURS
def test_head_is_get_without_the_body(anyone, pad, accept):
    got = view(anyone, pad, accept=accept)
    for _ in range(2):
        head = anyone.send("HEAD", "/@acme%2fpad", headers={"Accept": accept})
        assert essence(head) == (*essence(got)[:3], b"")


def test_each_document_has_a_short_etag_of_its_own(anyone, alice):
    name = "@acme/" + "x" * 208
    assert alice.publish(name, "1.0.0").status == 201
    full, abbreviated = (view(anyone, name, accept=accept).headers["etag"] for accept in ("*/*", CORGI))
    assert full != abbreviated
    assert max(len(full), len(abbreviated)) < 64  # bun keeps them in a buffer of that size


# --- Headers ---------------------------------------------------------------------------------------------------------


@FLAVOURS
@pytest.mark.parametrize("coding", ["identity", "gzip", "zstd"])
def test_a_document_comes_compressed_with_its_length(anyone, pad, accept, coding):
    plain = view(anyone, pad, accept=accept)
    answer = view(anyone, pad, accept=accept, accept_encoding=coding)
    assert answer.headers.get("content-encoding", "identity") == coding
    assert answer.headers["content-length"] == str(len(answer.raw))
    assert answer.body == plain.body
    assert answer.headers["vary"] == "Accept, Accept-Encoding"


def test_gzip_bytes_are_the_same_each_time(anyone, pad):
    answer = view(anyone, pad, accept_encoding="gzip")
    assert gzip.decompress(answer.raw) == answer.body
    assert answer.raw[4:8] == bytes(4)  # no time of day


def test_a_client_may_keep_it_and_asks_each_time(anyone, pad):
    control = view(anyone, pad).headers["cache-control"]
    directives = {directive.partition("=")[0].strip() for directive in control.split(",")}
    assert {"public", "max-age", "stale-if-error"} <= directives
    assert not directives & {"must-revalidate", "no-cache", "no-store", "private"}


def test_no_cookie_is_ever_set(anyone, pad):
    assert not {"set-cookie", "x-frame-options"} & set(view(anyone, pad).headers)


def test_last_modified_is_time_modified_to_the_next_second(anyone, patient):
    patient.publish("pad", "1.0.0", time="2020-02-02T10:00:00.000Z")
    answer = view(anyone, "pad", accept=CORGI)
    moment = parsedate_to_datetime(answer.headers["last-modified"]).timestamp()
    modified = answer.json()["modified"]
    assert modified > "2020-02-02"
    assert 0 <= moment - datetime.fromisoformat(modified).timestamp() < 1


def test_what_is_about_to_be_changed_never_comes_out_of_a_cache(anyone, pad):
    etag = view(anyone, pad).headers["etag"]
    answer = anyone.send("GET", "/@acme%2fpad?write=true", headers={"If-None-Match": etag})
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["name"] == pad


# --- Asking again ----------------------------------------------------------------------------------------------------


@FLAVOURS
@pytest.mark.parametrize("wrap", ["{}", "W/{}", '"other", {}', '{} , "other"', "*"])
def test_who_has_the_document_is_told_so(anyone, pad, accept, wrap):
    got = view(anyone, pad, accept=accept)
    etag = got.headers["etag"].removeprefix("W/")
    answer = view(anyone, pad, accept=accept, if_none_match=wrap.format(etag))
    assert (answer.status, answer.reason, answer.raw) == (304, "Not Modified", b"")
    expected = {name: value for name, value in got.headers.items() if name not in ("content-length", *BY_THE_WAY)}
    assert essence(answer)[2] == expected


def test_the_etag_of_one_flavour_does_not_stand_for_the_other(anyone, pad):
    etag = view(anyone, pad).headers["etag"]
    assert view(anyone, pad, accept=CORGI, if_none_match=etag).status == 200


def test_a_date_will_do_where_there_is_no_etag(anyone, pad):
    modified = view(anyone, pad).headers["last-modified"]
    assert view(anyone, pad, if_modified_since=modified).status == 304
    assert view(anyone, pad, if_modified_since="Sat, 01 Jan 2000 00:00:00 GMT").status == 200
    assert view(anyone, pad, if_modified_since=modified, if_none_match='"other"').status == 200


def test_a_new_version_makes_the_old_etag_worthless(anyone, alice, pad):
    etag = view(anyone, pad).headers["etag"]
    alice.publish(pad, "3.0.0")
    answer = view(anyone, pad, if_none_match=etag)
    assert answer.status == 200
    assert "3.0.0" in answer.json()["versions"]


# --- Where tarballs are ----------------------------------------------------------------------------------------------


@FLAVOURS
def test_tarballs_are_where_the_client_asked(anyone, pad, accept):
    for host in ("registry.test", "npm.corp.example:4873"):
        document = view(anyone, pad, accept=accept, Host=host).json()
        assert document["versions"]["1.0.0"]["dist"]["tarball"] == f"http://{host}/@acme/pad/-/pad-1.0.0.tgz"


def test_or_where_the_operator_says(anyone, pad, settings):
    asked = view(anyone, pad)
    settings.PUBLIC_URL = "https://npm.corp.example/registry"
    answer = view(anyone, pad)
    tarball = answer.json()["versions"]["1.0.0"]["dist"]["tarball"]
    assert tarball == "https://npm.corp.example/registry/@acme/pad/-/pad-1.0.0.tgz"
    assert answer.headers["etag"] != asked.headers["etag"]


# --- What an upstream says is passed on ------------------------------------------------------------------------------

ODD = {
    "_id": "odd",
    "x-unknown": {"deep": [1, 2.5, None, True, {"": []}]},
    "versions": {
        "2.0.0": {
            "version": "2.0.0",
            "name": "odd",
            "_npmUser": {"name": "x", "trustedPublisher": {"id": "github"}},
            "engines": ["node >= 0.8"],
            "dependencies": {},
            "bundleDependencies": False,
            "repository": "somewhere",
            "author": None,
            "license": [{"type": "MIT"}],
            "9007199254740993": 9007199254740993,
            "1.0": 1.0,
            "dist": {
                "signatures": [{"keyid": "SHA256:x", "sig": "MEU="}],
                "tarball": "http://upstream.example/odd/-/odd-2.0.0.tgz",
                "attestations": {"url": "http://upstream.example/x"},
                "shasum": "0" * 40,
                "npm-signature": "old",
            },
            "words": "half a \ud83d and a whole \U0001f600, \u2028, \x00 and \x01",
        },
        "1.0.0": {"name": "odd", "version": "1.0.0", "gypfile": 0, "dist": {"tarball": "http://upstream.example/1"}},
    },
    "time": {"modified": "2021-01-01T00:00:00.000Z", "1.0.0": "2020-01-01T00:00:00.000Z", "unpublished": None},
    "name": "odd",
    "dist-tags": {"latest": "1.0.0", "next": "2.0.0"},
    "maintainers": [{"name": "m", "email": "m@upstream.example"}],
    "users": {"fan": True},
    "readme": "# \ud83d",
}  # fmt: skip


def test_every_field_is_passed_on_as_it_came_and_in_its_order(anyone, patient):
    patient.put_raw("odd", json.dumps(ODD).encode())
    text = view(anyone, "odd").body
    ours = json.loads(text, object_pairs_hook=list)
    theirs = json.loads(json.dumps(ODD), object_pairs_hook=list)
    assert [key for key, _ in ours] == [key for key, _ in theirs]
    assert json.dumps(ours) == json.dumps(theirs).replace(
        '"http://upstream.example/odd/-/odd-2.0.0.tgz"', '"http://registry.test/odd/-/odd-2.0.0.tgz"'
    ).replace('"http://upstream.example/1"', '"http://registry.test/odd/-/odd-1.0.0.tgz"')


def test_install_scripts_are_announced_also_where_the_upstream_does_not(anyone, patient):
    scripts = {
        "a": {"preinstall": "x"},
        "b": {"postinstall": "x"},
        "c": {"test": "x"},
        "d": "make",
        "e": {"install": ""},
    }
    for name, value in scripts.items():
        manifest = {"name": name, "version": "1.0.0", "scripts": value, "dist": {}}
        patient.put_raw(name, json.dumps({"name": name, "versions": {"1.0.0": manifest}, "dist-tags": {}}).encode())
    announced = {
        name
        for name in scripts
        for accept in ("*/*", CORGI)
        if view(anyone, name, accept=accept).json()["versions"]["1.0.0"].get("hasInstallScript")
    }
    assert announced == {"a", "b"}


def test_a_document_without_times_is_still_dated(anyone, patient):
    manifest = {"name": "bare", "version": "1.0.0", "dist": {}}
    patient.put_raw("bare", json.dumps({"name": "bare", "versions": {"1.0.0": manifest}}).encode())
    answer = view(anyone, "bare", accept=CORGI)
    assert answer.json()["versions"]["1.0.0"]["version"] == "1.0.0"
    assert answer.json()["dist-tags"] == {}
    assert parsedate_to_datetime(answer.headers["last-modified"]).year >= 2025


# --- The front door --------------------------------------------------------------------------------------------------


@FLAVOURS
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "conditions", [{}, {"Accept-Encoding": "gzip"}, {"If-None-Match": "*"}, {"If-None-Match": '"other"'}]
)
def test_the_answer_is_the_same_with_the_front_door_off(anyone, pad, settings, accept, method, conditions):
    headers = {"Accept": accept, **conditions}
    anyone.send(method, "/@acme/pad", headers=headers)
    there = anyone.send(method, "/@acme/pad", headers=headers)
    settings.FRONT_DOOR = not settings.FRONT_DOOR
    assert essence(anyone.send(method, "/@acme/pad", headers=headers)) == essence(there)


def test_a_package_that_is_gone_is_gone_at_the_door_too(anyone, pad, monkeypatch):
    monkeypatch.setattr(cache, "STAMP_SECONDS", 0)
    assert view(anyone, pad).status == 200
    Package.objects.all().delete()
    assert view(anyone, pad).status == 404

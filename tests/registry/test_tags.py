"""`npm dist-tag`: what tags can be, where they can point, who may move them."""

import json
from urllib.parse import quote

import pytest

from audit.models import Event
from registry.models import DistTag, Package, Version
from tests.actors import CORGI, Person, escaped
from tests.registry.cast import READS, WRITES, gather
from tests.threads import PassingThreads

pytestmark = pytest.mark.django_db(transaction=True)


def url(name: str, tag: str | None = None) -> str:
    return f"/-/package/{escaped(name)}/dist-tags" + (f"/{tag}" if tag else "")


def add(person: Person, name: str, version: object, tag: str, method: str = "PUT"):
    """`npm dist-tag add name@version tag`."""
    return person.send(method, url(name, tag), body=json.dumps(version))


def remove(person: Person, name: str, tag: str):
    """`npm dist-tag rm name tag`."""
    return person.send("DELETE", url(name, tag))


def listed(person: Person, name: str) -> dict[str, str]:
    """`npm dist-tag ls name`."""
    answer = person.send("GET", url(name))
    assert (answer.status, answer.headers["cache-control"]) == (200, "private, no-store")
    return answer.json()


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_a_tag_is_added_moved_and_removed(alice, anyone, pad, effects, method):
    before = anyone.view(pad)
    assert add(alice, pad, "1.0.0", "stable", method).json() == {"ok": True}
    assert add(alice, pad, "1.1.0", "stable", method).status == 200
    after = anyone.view(pad)
    assert after.json()["dist-tags"] == {"latest": "1.1.0", "next": "2.0.0-rc.1", "stable": "1.1.0"}
    assert after.headers["etag"] != before.headers["etag"]
    assert after.json()["time"]["modified"] > before.json()["time"]["modified"]
    assert anyone.view(pad, accept=CORGI).json()["dist-tags"]["stable"] == "1.1.0"
    assert anyone.send("GET", f"/{escaped(pad)}/stable").json()["version"] == "1.1.0"
    assert anyone.send("GET", url(pad, "stable")).json() == "1.1.0"
    assert effects() == [f"package.tag.set package:{pad} by alice"] * 2
    assert Event.objects.last().facts == {"tag": "stable", "version": "1.1.0", "previous": "1.0.0"}

    answer = remove(alice, pad, "stable")
    assert (answer.status, answer.json()) == (200, {"ok": True})
    assert listed(anyone, pad) == {"latest": "1.1.0", "next": "2.0.0-rc.1"}
    assert effects() == [f"package.tag.removed package:{pad} by alice"]
    assert anyone.send("GET", url(pad, "stable")).status == 404


def test_what_changes_nothing_is_no_news(alice, pad, effects):
    revision = Package.objects.get().revision
    assert add(alice, pad, "1.1.0", "latest").status == 200
    assert remove(alice, pad, "nothing").status == 200
    assert alice.send("POST", url(pad), body={"next": "2.0.0-rc.1"}).status == 200
    assert Package.objects.get().revision == revision
    assert effects() == []


def test_the_packument_tells_of_the_version_that_is_the_latest(alice, anyone):
    alice.publish("left-pad", "1.0.0", description="One.", homepage="https://one.example", readme="# One")
    alice.publish("left-pad", "2.0.0", description="Two.", tag="next", readme="# Two")
    assert add(alice, "left-pad", "2.0.0", "latest").status == 200
    document = anyone.view("left-pad").json()
    assert (document["dist-tags"]["latest"], document["description"]) == ("2.0.0", "Two.")
    assert ("homepage" in document, document["readme"]) == (False, "# Two")
    assert add(alice, "left-pad", "1.0.0", "latest").status == 200
    assert anyone.send("GET", "/left-pad/latest").json()["version"] == "1.0.0"
    document = anyone.view("left-pad").json()
    assert (document["homepage"], document["readme"]) == ("https://one.example", "# One")


def test_old_clients_tag_below_the_package(alice, anyone, pad, effects):
    for name in (pad, escaped(pad)):
        assert alice.send("PUT", f"/{name}/beta", body='"2.0.0-rc.1"').status == 200
    assert listed(anyone, pad)["beta"] == "2.0.0-rc.1"
    assert effects() == [f"package.tag.set package:{pad} by alice"]
    assert anyone.send("PUT", f"/{pad}/beta", body='"1.0.0"').status == 401


def test_many_at_once(alice, anyone, pad, effects):
    assert alice.send("POST", url(pad), body={"a": "1.0.0", "b": "1.1.0"}).status == 200
    assert listed(anyone, pad) == {"latest": "1.1.0", "next": "2.0.0-rc.1", "a": "1.0.0", "b": "1.1.0"}
    assert alice.send("PUT", url(pad), body={"latest": "1.0.0", "b": "1.1.0"}).status == 200
    assert listed(anyone, pad) == {"latest": "1.0.0", "b": "1.1.0"}
    assert effects() == [
        *[f"package.tag.set package:{pad} by alice"] * 3,
        *[f"package.tag.removed package:{pad} by alice"] * 2,
    ]


def test_many_at_once_are_all_or_none(alice, anyone, pad, effects):
    answer = alice.send("POST", url(pad), body={"a": "1.0.0", "b": "9.9.9"})
    assert (answer.status, "has no version 9.9.9" in answer.json()["error"]) == (404, True)
    assert "a" not in listed(anyone, pad)
    assert effects() == []


def test_a_tag_that_reads_like_a_version_could_never_be_asked_for(alice, pad, effects):
    for tag in ("v1.4", "1", "1.x", "^1.0.0", "x", "*", "1.0.0"):
        answer = add(alice, pad, "1.0.0", quote(tag))
        assert (answer.status, answer.json()["error"]) == (400, f"Tag name must not be a valid SemVer range: {tag}")
    assert effects() == []


def test_a_tag_that_would_have_to_be_escaped(alice, pad, effects):
    for tag in ("a%20b", "%C3%A4", "a%0Ab", ".", "%22", "x" * 215, "%FF", "a%40b"):
        assert add(alice, pad, "1.0.0", tag).status == 400, tag
        assert remove(alice, pad, tag).status == 200, tag
    assert effects() == []


def test_a_tag_that_no_path_can_have(alice, pad, effects):
    for tag in ("a%2Fb", "%00", "a%00"):
        assert add(alice, pad, "1.0.0", tag).status == 404, tag
        assert remove(alice, pad, tag).status == 404, tag
    assert effects() == []


def test_a_body_that_is_no_version(alice, pad, effects):
    for body in ("", "null", "1", '["1.0.0"]', "{", "NaN", '{"1.0.0": 1}', "1.0.0"):
        for path in (url(pad, "beta"), url(pad), f"/{pad}/beta"):
            assert alice.send("PUT", path, body=body).status == 400, (path, body)
    assert effects() == []


def test_a_version_that_is_not_there(alice, pad, effects):
    for version in ("9.9.9", "latest", "^1.0.0", "", "1.0.0\0", "\ud800", "1" * 100_000):
        answer = add(alice, pad, version, "beta")
        assert (answer.status, "has no version" in answer.json()["error"]) == (404, True), version
    assert effects() == []


def test_a_version_in_another_spelling(alice, anyone, pad):
    assert add(alice, pad, "v1.0.0+build", "beta").status == 200
    assert listed(anyone, pad)["beta"] == "1.0.0"


def test_a_version_that_was_unpublished(alice, pad, effects):
    Version.objects.filter(number="1.0.0").update(unpublished_at=Package.objects.get().created_at)
    assert add(alice, pad, "1.0.0", "beta").status == 404
    assert effects() == []


def test_latest_cannot_be_removed(alice, anyone, pad, effects):
    for answer in (remove(alice, pad, "latest"), alice.send("PUT", url(pad), body={"beta": "1.0.0"})):
        assert (answer.status, '"latest" tag cannot be removed' in answer.json()["error"]) == (403, True)
    assert listed(anyone, pad) == {"latest": "1.1.0", "next": "2.0.0-rc.1"}
    assert effects() == []


def test_a_package_of_the_upstream_is_tagged_there(alice, upstream, effects):
    upstream.publish("left-pad", "1.0.0")
    assert listed(alice, "left-pad") == {"latest": "1.0.0"}
    effects()
    for answer in (add(alice, "left-pad", "1.0.0", "mine"), remove(alice, "left-pad", "latest")):
        assert (answer.status, "upstream" in answer.json()["error"]) == (403, True)
    assert effects() == []


def test_a_package_that_is_not_there(alice, anyone):
    for name in ("left-pad", "@acme/pad"):
        assert anyone.send("GET", url(name)).status == 404
        assert add(alice, name, "1.0.0", "beta").status == 404
        assert remove(alice, name, "beta").status == 404


@pytest.mark.parametrize("is_restricted", [False, True])
def test_who_may_see_and_move_tags(is_restricted):
    cast = gather(is_restricted=is_restricted)
    got = {
        who: (
            person.send("GET", url("@acme/pad")).status,
            person.send("GET", url("@acme/pad", "latest")).status,
            add(person, "@acme/pad", "1.0.0", "beta").status,
            person.send("POST", url("@acme/pad"), body={"beta": "1.0.0"}).status,
            person.send("PUT", "/@acme/pad/beta", body='"1.0.0"').status,
            remove(person, "@acme/pad", "beta").status,
        )
        for who, person in cast.items()
    }
    assert got == {who: (READS[who][is_restricted],) * 2 + (WRITES[who][is_restricted],) * 4 for who in cast}


def test_who_may_not_see_a_package_is_told_that_there_is_none():
    cast = gather(is_restricted=True)
    for who in ("stranger", "token for another package"):
        for method, path, body in (("GET", "", None), ("PUT", "/beta", '"1.0.0"'), ("DELETE", "/beta", None)):
            names = ("@acme/pad", "@acme/no")
            hidden, missing = (cast[who].send(method, url(name) + path, body=body) for name in names)
            assert hidden.body.replace(b"@acme/pad", b"@acme/no") == missing.body


def test_tags_that_are_set_at_once_are_all_kept(alice, pad):
    with PassingThreads(8) as threads:
        tags = [f"tag-{number}" for number in range(16)]
        futures = [threads.submit(add, alice, pad, "1.0.0", tag) for tag in tags]
        assert [future.result().status for future in futures] == [200] * 16
    assert set(DistTag.objects.values_list("tag", flat=True)) == {"latest", "next", *tags}

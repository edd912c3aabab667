"""`npm deprecate`: what comes of a whole packument that comes back, and what does not."""

import json
from collections import Counter

import pytest

from audit.models import Event
from registry.manifests import fragments, texts
from registry.models import Package, Version
from registry.names import PackageName
from tests.actors import CORGI, Person
from tests.registry.cast import WRITES, gather
from tests.registry.consistency import assert_consistent
from tests.registry.tombstones import refused
from tests.threads import PassingThreads

pytestmark = pytest.mark.django_db(transaction=True)

URL = "/@acme%2fpad"
DEPRECATED = "package.deprecated package:@acme/pad by alice"
UNDEPRECATED = "package.undeprecated package:@acme/pad by alice"


@pytest.fixture(autouse=True)
def _nothing_half_done(transactional_db):
    yield
    assert_consistent()


def messages(name: str = "@acme/pad", accept: str = "*/*") -> dict:
    versions = Person().view(name, accept=accept).json()["versions"]
    return {number: manifest["deprecated"] for number, manifest in versions.items() if "deprecated" in manifest}


# --- It works --------------------------------------------------------------------------------------------------------


def test_a_warning_is_read_in_both_documents(alice, anyone, pad, effects):
    before, etags = anyone.view(pad), [anyone.view(pad, accept=one).headers["etag"] for one in ("*/*", CORGI)]
    answer = alice.deprecate(pad, 'use "left-pad" ☕', "1.0.0", "2.0.0-rc.1")
    assert (answer.status, answer.headers["cache-control"]) == (200, "private, no-store")
    for accept in ("*/*", CORGI):
        assert messages(pad, accept) == dict.fromkeys(["1.0.0", "2.0.0-rc.1"], 'use "left-pad" ☕')
        assert anyone.view(pad, accept=accept).headers["etag"] not in etags
    assert effects() == [DEPRECATED]
    assert Event.objects.latest("id").facts == {"versions": ["1.0.0", "2.0.0-rc.1"], "message": 'use "left-pad" ☕'}
    after, changed = before.json(), anyone.view(pad).json()
    assert changed["time"]["modified"] > after["time"]["modified"]  # pnpm compares it
    for document in (after, changed):
        document.pop("_rev")
        document["time"].pop("modified")
        for manifest in document["versions"].values():
            manifest.pop("deprecated", None)
    assert changed == after


@pytest.mark.parametrize("nothing", ["", False, None], ids=["empty", "false", "null"])
def test_a_warning_is_taken_back(alice, pad, effects, nothing):
    alice.deprecate(pad, "old", "1.0.0", "1.1.0")
    effects()
    assert alice.deprecate(pad, nothing, "1.0.0").status == 200
    assert messages(pad) == messages(pad, CORGI) == {"1.1.0": "old"}
    assert effects() == [UNDEPRECATED]
    assert Event.objects.latest("id").facts == {"versions": ["1.0.0"]}


def test_a_warning_is_replaced(alice, pad, effects):
    alice.deprecate(pad, "old", "1.0.0")
    effects()
    alice.deprecate(pad, "older", "1.0.0")
    assert messages(pad) == {"1.0.0": "older"}
    assert effects() == [DEPRECATED]


def test_what_changes_nothing_leaves_no_trace(alice, anyone, pad, effects):
    alice.deprecate(pad, "old", "1.0.0")
    effects()
    etag = anyone.view(pad).headers["etag"]
    assert alice.deprecate(pad, "old", "1.0.0").status == 200
    assert [alice.deprecate(pad, nothing, "1.1.0").status for nothing in ("", False, None)] == [200] * 3
    assert effects() == []
    assert anyone.view(pad).headers["etag"] == etag


def test_a_warning_that_came_with_the_publish_can_be_taken_back(alice, effects):
    alice.publish("@acme/pad", "1.0.0", deprecated="do not use")
    alice.publish("@acme/pad", "1.1.0", deprecated=True)
    effects()
    alice.deprecate("@acme/pad", "", "1.0.0")
    assert messages() == messages(accept=CORGI) == {"1.1.0": True}
    assert effects() == [UNDEPRECATED]


def test_a_version_is_installed_as_before(alice, anyone, pad):
    """Nothing that installing takes is lost when its texts are made anew."""
    alice.deprecate(pad, "old", "1.1.0")
    for accept in ("*/*", CORGI):
        manifest = anyone.view(pad, accept=accept).json()["versions"]["1.1.0"]
        assert manifest["hasInstallScript"] is True
        assert manifest["dist"]["tarball"] == "http://registry.test/@acme/pad/-/pad-1.1.0.tgz"
        assert manifest["dist"]["integrity"].startswith("sha512-")


# --- Only what differs counts ----------------------------------------------------------------------------------------


def test_nothing_else_in_the_document_is_believed(alice, anyone, pad, effects):
    document = alice.read_to_change(pad)
    before = anyone.view(pad).json()
    document |= {"maintainers": [{"name": "eve"}], "dist-tags": {"latest": "2.0.0-rc.1"}, "readme": "!", "time": {}}
    document |= {"users": {"alice": True}, "name": "@acme/other", "_id": "other"}
    document["versions"]["1.0.0"] |= {"dist": {"tarball": "http://evil.test/"}, "scripts": {"install": "evil"}}
    document["versions"]["1.0.0"] |= {"version": "9.9.9"}
    assert alice.send("PUT", URL, body=document).status == 200
    assert anyone.view(pad).json() == before
    assert effects() == []


def test_versions_that_the_document_leaves_out_stay(alice, anyone, pad):
    body = {"versions": {"1.0.0": {"deprecated": "old"}}}
    assert alice.send("PUT", URL, body=body).status == 200
    assert messages(pad) == {"1.0.0": "old"}
    assert len(anyone.view(pad).json()["versions"]) == 3


def test_who_read_an_older_state_is_told_to_try_again(alice, pad, effects):
    document = alice.read_to_change(pad)
    alice.deprecate(pad, "theirs", "1.0.0")
    effects()
    document["versions"]["1.1.0"]["deprecated"] = "mine"
    refused(alice.send("PUT", URL, body=document), 409, "changed", "try again")
    assert messages(pad) == {"1.0.0": "theirs"}
    assert effects() == []
    assert alice.deprecate(pad, "mine", "1.1.0").status == 200
    assert messages(pad) == {"1.0.0": "theirs", "1.1.0": "mine"}


def test_what_a_policy_says_there_is_not_taken_for_the_publishers(alice, pad, judge):
    warned = {**texts(Version.objects.get(number="1.1.0").manifest), "deprecated": '"it mines coins"'}
    judge(rewritten={"1.1.0": fragments(warned, PackageName.parse(pad), "1.1.0")})
    assert alice.deprecate(pad, "old", "1.0.0").status == 200
    assert messages(pad) == {"1.0.0": "old", "1.1.0": "it mines coins"}
    document = alice.read_to_change(pad)
    judge(at_once=False)
    refused(alice.send("PUT", URL, body=document), 409)  # by now readers see something else
    judge()
    assert messages(pad) == {"1.0.0": "old"}


def test_a_document_of_twenty_megabytes(alice, pad, effects):
    document = alice.read_to_change(pad)
    document["versions"]["1.0.0"]["deprecated"] = "old"
    for number in range(200):
        document[f"field-{number}"] = {"text": "x" * 100_000, "list": [number] * 100}
    body = json.dumps(document).encode()
    assert len(body) > 20_000_000
    assert alice.send("PUT", URL, body=body).status == 200
    assert messages(pad) == {"1.0.0": "old"}
    assert effects() == [DEPRECATED]


# --- It may not be ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_restricted", [False, True], ids=["public", "restricted"])
def test_who_may_publish_may_deprecate(effects, is_restricted):
    cast = gather(is_restricted=is_restricted)
    effects()
    for message, (who, statuses) in enumerate(WRITES.items()):
        body = {"versions": {"1.0.0": {"deprecated": f"message {message}"}}}
        answer = cast[who].send("PUT", URL, body=body)
        assert answer.status == statuses[is_restricted], (who, answer.body)
        assert len(effects()) == (answer.status == 200), who
    missing, hidden = (cast["stranger"].send("PUT", url, body={"versions": {}}) for url in ("/@acme%2fno", URL))
    if is_restricted:
        assert missing.body.replace(b"@acme/no", b"@acme/pad") == hidden.body
    Package.objects.update(is_restricted=False)


def test_a_mirrored_package_is_not_ours_to_deprecate(alice, upstream, effects):
    upstream.publish("left-pad", "1.0.0")
    document = alice.read_to_change("left-pad")
    document["versions"]["1.0.0"]["deprecated"] = "old"
    effects()
    refused(alice.send("PUT", "/left-pad", body=document), 403, "upstream")
    assert messages("left-pad") == {}
    assert effects() == []


def test_what_is_not_here_cannot_be_deprecated(alice, pad):
    refused(alice.send("PUT", "/nothing", body={"versions": {"1.0.0": {"deprecated": "x"}}}), 404, "nothing")
    for number in ("9.9.9", "a\0b", "\ud83d", "x" * 10_000):
        refused(alice.send("PUT", URL, body={"versions": {number: {"deprecated": "x"}}}), 404, "no version")


NO_DOCUMENTS = [
    "", "{", "null", "[]", "3", "{}", '{"versions": null}', '{"versions": []}', '{"versions": "1.0.0"}',
    '{"versions": {"1.0.0": null}}', '{"versions": {"1.0.0": "old"}}', '{"versions": {"1.0.0": {"deprecated": 1}}}',
    '{"versions": {"1.0.0": {"deprecated": true}}}', '{"versions": {"1.0.0": {"deprecated": ["old"]}}}',
    '{"versions": {"1.0.0": {"deprecated": {}}}}', '{"versions": {"1.0.0": {"deprecated": NaN}}}',
    json.dumps({"versions": {"1.0.0": {"deprecated": "x" * 5_000}}}), '{"users": null}', '{"users": ["alice"]}',
    '{"maintainers": []}',
]  # fmt: skip


def test_what_is_no_document_is_refused_in_words(alice, pad, effects):
    for body in NO_DOCUMENTS:
        answer = alice.send("PUT", URL, body=body)
        refused(answer, 400)
        assert len(answer.json()["error"]) > 20
    assert effects() == []


def test_a_rev_that_never_was_is_an_old_one(alice, pad):
    for rev in ("", "1-1", 3, {}, []):
        refused(alice.send("PUT", URL, body={"_rev": rev, "versions": {}}), 409)


def test_a_message_may_have_any_characters(alice, pad):
    for message in ("a\0b", "half \ud83d", "\x01", "</script>", "☕"):
        assert alice.deprecate(pad, message, "1.0.0").status == 200
        assert messages(pad) == messages(pad, CORGI) == {"1.0.0": message}


# --- One URL, several commands ---------------------------------------------------------------------------------------


def test_a_publish_that_lost_its_tarball_is_no_deprecation(alice, pad):
    body = {"name": pad, "versions": {"1.0.0": {"name": pad, "version": "1.0.0"}}, "_attachments": {}}
    refused(alice.send("PUT", URL, body=body), 400, "tarball")


def test_a_document_with_attachments_that_a_registry_left_there_is_one(alice, pad):
    document = {**alice.read_to_change(pad), "_attachments": {}}
    document["versions"]["1.0.0"]["deprecated"] = "old"
    assert alice.send("PUT", URL, body=document).status == 200
    assert messages(pad) == {"1.0.0": "old"}


def test_only_users_is_a_star(alice, bob, pad, effects):
    document = bob.read_to_change(pad)
    body = {"_id": pad, "_rev": document["_rev"], "users": {"bob": True}}
    assert bob.send("PUT", URL, body=body).status == 200
    assert effects() == ["package.starred package:@acme/pad by bob"]
    assert bob.send("PUT", URL, body={**body, "users": {"alice": True}}).status == 200
    assert effects() == ["package.unstarred package:@acme/pad by bob"]


# --- Many at once ----------------------------------------------------------------------------------------------------


def test_deprecations_and_publishes_at_once_lose_nothing(alice, pad):
    def deprecate(number: int) -> None:
        while alice.deprecate(pad, f"message {number}", f"1.0.{number}").status == 409:
            pass

    for number in range(1, 7):
        alice.publish(pad, f"1.0.{number}", tag="old")
    with PassingThreads(4) as threads:
        deprecated = [threads.submit(deprecate, number) for number in range(1, 7)]
        published = [threads.submit(alice.publish, pad, f"3.0.{number}") for number in range(6)]
        assert Counter(future.result().status for future in published) == {201: 6}
        assert [future.result() for future in deprecated] == [None] * 6
    assert messages(pad) == {f"1.0.{number}": f"message {number}" for number in range(1, 7)}
    assert Version.objects.published().count() == 15

"""`npm publish`: what it leaves when it works, and that it leaves nothing when it does not."""

import base64
import json
from collections import Counter

import pytest
from django.utils import timezone

from registry.models import Package, User, Version
from tests import tarballs
from tests.actors import publish_body
from tests.registry.consistency import assert_consistent
from tests.threads import PassingThreads

pytestmark = pytest.mark.django_db(transaction=True)

PACKAGE_JSON = {"name": "left-pad", "version": "1.0.0"}


@pytest.fixture(autouse=True)
def _nothing_half_done(transactional_db):
    yield
    assert_consistent()


def refused(answer, status: int, *words: str) -> None:
    assert answer.status == status, answer.body
    error = answer.json()["error"]
    assert all(word in error for word in words), error


# --- It works --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["left-pad", "@acme/pad"])
def test_a_version_is_published(alice, anyone, effects, name):
    packed = tarballs.package(name, "1.0.0", {"README.md": "# Pad", "index.js": "1"}, description="Pads.")
    answer = alice.publish(name, "1.0.0", tarball=packed, description="Pads.", keywords=["x"])
    assert (answer.status, answer.json()["ok"], answer.json()["id"]) == (201, True, name)
    assert effects() == [
        f"blob of {name}@1.0.0",
        f"package.version.published package:{name} by alice",
    ]
    assert anyone.download(name, "1.0.0").raw == packed
    document = anyone.view(name).json()
    assert document["dist-tags"] == {"latest": "1.0.0"}
    assert document["readme"] == "# Pad"
    assert document["description"] == "Pads."
    assert document["maintainers"] == [{"name": "alice", "email": ""}]
    manifest = document["versions"]["1.0.0"]
    assert (manifest["_id"], manifest["_npmUser"], manifest["keywords"]) == (
        f"{name}@1.0.0",
        {"name": "alice", "email": ""},
        ["x"],
    )
    assert (manifest["dist"]["fileCount"], "readme" in manifest) == (3, False)
    assert (
        manifest["dist"]["integrity"]
        == publish_body(name, "1.0.0", tarball=packed)["versions"]["1.0.0"]["dist"]["integrity"]
    )


def test_time_goes_forward_and_keeps_what_was(alice, anyone):
    alice.publish("left-pad", "1.0.0")
    first = anyone.view("left-pad").json()["time"]
    alice.publish("left-pad", "1.0.1")
    second = anyone.view("left-pad").json()["time"]
    assert set(second) == {"created", "modified", "1.0.0", "1.0.1"}
    assert (second["created"], second["1.0.0"]) == (first["created"], first["1.0.0"])
    assert second["modified"] == second["1.0.1"] >= first["modified"]


def test_the_first_version_is_the_latest_whatever_its_tag(alice, anyone):
    alice.publish("left-pad", "1.0.0-beta.1", tag="beta")
    assert anyone.view("left-pad").json()["dist-tags"] == {"beta": "1.0.0-beta.1", "latest": "1.0.0-beta.1"}
    alice.publish("left-pad", "1.0.0-beta.2", tag="beta")
    assert anyone.view("left-pad").json()["dist-tags"] == {"beta": "1.0.0-beta.2", "latest": "1.0.0-beta.1"}


def test_a_fix_for_an_old_line_does_not_become_the_latest(alice, anyone):
    alice.publish("left-pad", "2.0.0", description="Two.")
    alice.publish("left-pad", "1.0.1", tag="v1-lts", description="One.")
    document = anyone.view("left-pad").json()
    assert document["dist-tags"] == {"latest": "2.0.0", "v1-lts": "1.0.1"}
    assert document["description"] == "Two."
    assert list(document["versions"]) == ["2.0.0", "1.0.1"]


@pytest.mark.parametrize("sent", ["1.0.0+build5", "v1.0.0", "=1.0.0", " 1.0.0 "])
def test_a_version_is_stored_as_npm_writes_it(alice, anyone, sent):
    assert alice.publish("left-pad", sent).status == 201
    document = anyone.view("left-pad").json()
    assert list(document["versions"]) == ["1.0.0"]
    assert document["versions"]["1.0.0"]["version"] == "1.0.0"
    assert document["dist-tags"] == {"latest": "1.0.0"}
    assert anyone.download("left-pad", "1.0.0").status == 200


def test_what_only_the_registry_can_know_is_not_taken_from_the_client(alice, anyone):
    body = publish_body("left-pad", "1.0.0", _npmUser={"name": "eve"}, hasInstallScript=True)
    body["versions"]["1.0.0"]["dist"] |= {"signatures": [{"keyid": "x", "sig": "y"}], "unpackedSize": -1}
    body["maintainers"] = [{"name": "eve"}]
    assert alice.send("PUT", "/left-pad", body=body).status == 201
    document = anyone.view("left-pad").json()
    manifest = document["versions"]["1.0.0"]
    assert manifest["_npmUser"] == {"name": "alice", "email": ""}
    assert [one["name"] for one in document["maintainers"]] == ["alice"]
    assert "hasInstallScript" not in manifest
    assert "signatures" not in manifest["dist"]
    assert manifest["dist"]["unpackedSize"] > 0


def test_a_body_without_length_or_digests_will_do(alice, anyone):
    body = publish_body("left-pad", "1.0.0")
    del body["versions"]["1.0.0"]["dist"]
    del body["_attachments"]["left-pad-1.0.0.tgz"]["length"]
    del body["_attachments"]["left-pad-1.0.0.tgz"]["content_type"]
    assert alice.send("PUT", "/left-pad", body=body).status == 201
    assert anyone.view("left-pad").json()["versions"]["1.0.0"]["dist"]["integrity"].startswith("sha512-")


def test_what_stands_beside_the_tarball_is_no_second_tarball(alice):
    body = publish_body("left-pad", "1.0.0")
    body["_attachments"]["left-pad-1.0.0.asc"] = {"content_type": "application/x", "data": "{}", "length": 2}
    assert alice.send("PUT", "/left-pad", body=body).status == 201


def test_a_readme_of_the_manifest_is_the_packages_and_not_the_versions(alice, anyone):
    alice.publish("left-pad", "1.0.0", readme="from the manifest", readmeFilename="README")
    document = anyone.view("left-pad").json()
    assert document["readme"] == "from the manifest"
    assert "readme" not in document["versions"]["1.0.0"]


@pytest.mark.parametrize("spelling", ["/@acme%2fpad", "/@acme%2Fpad", "/@acme/pad", "/%40acme%2fpad"])
def test_every_spelling_of_the_url_will_do(alice, spelling):
    assert alice.send("PUT", spelling, body=publish_body("@acme/pad", "1.0.0")).status == 201


# --- It may not be ---------------------------------------------------------------------------------------------------


def test_a_version_is_published_once_and_for_all(alice, anyone, effects):
    alice.publish("left-pad", "1.0.0")
    before = anyone.view("left-pad").body
    effects()
    for sent in ("1.0.0", "1.0.0+other", "v1.0.0"):
        answer = alice.publish("left-pad", sent, files={"new.js": "2"})
        assert answer.status == 403
        # lerna, changesets and many scripts look for these words.
        assert answer.json()["error"] == "You cannot publish over the previously published versions: 1.0.0."
    assert anyone.view("left-pad").body == before
    assert effects() == []


def test_nor_after_it_was_taken_back(alice):
    alice.publish("left-pad", "1.0.0")
    Version.objects.update(unpublished_at=timezone.now())
    refused(alice.publish("left-pad", "1.0.0"), 403, "previously published")


def test_who_is_nobody_publishes_nothing(anyone, effects):
    refused(anyone.publish("left-pad", "1.0.0"), 401, "npm login")
    refused(anyone.publish("@acme/pad", "1.0.0"), 401, "npm login")
    assert effects() == []


def test_a_stranger_may_not_publish_somebody_elses_package(alice, bob, anyone, effects):
    for name in ("left-pad", "@acme/pad"):
        alice.publish(name, "1.0.0")
        effects()
        refused(bob.publish(name, "2.0.0"), 403, "bob", name, "maintainers")
        assert effects() == []
        assert list(anyone.view(name).json()["versions"]) == ["1.0.0"]


def test_who_may_do_everything_may(alice, bob):
    alice.publish("left-pad", "1.0.0")
    User.objects.filter(username="bob").update(is_superuser=True)
    assert bob.publish("left-pad", "1.0.1").status == 201


def test_a_scope_that_is_not_ours_is_refused(alice, upstream, effects):
    refused(alice.publish("@types/pad", "1.0.0"), 403, "@types", "LARDER_PRIVATE_SCOPES")
    assert upstream.count() == 0
    assert effects() == []


def test_a_name_that_the_upstream_has_is_refused(alice, upstream):
    upstream.publish("left-pad", "1.0.0")
    refused(alice.publish("left-pad", "9.9.9"), 403, "upstream")
    refused(alice.publish("left-pad", "9.9.9"), 403, "upstream")  # by now it is here
    assert list(alice.view("left-pad").json()["versions"]) == ["1.0.0"]


def test_whether_the_upstream_has_it_cannot_be_found_out(alice, upstream, effects):
    upstream.fault("/left-pad", "status", code=500)
    answer = alice.publish("left-pad", "1.0.0")
    refused(answer, 503, "left-pad")
    assert int(answer.headers["retry-after"]) > 0
    upstream.stop()
    refused(alice.publish("left-pad", "1.0.0"), 503)
    assert effects() == []
    assert not Package.objects.exists()


def test_our_own_names_are_published_while_the_upstream_is_down(alice, upstream):
    alice.publish("left-pad", "1.0.0")
    asked = upstream.count()
    upstream.stop()
    assert alice.publish("left-pad", "1.0.1").status == 201
    assert alice.publish("@acme/pad", "1.0.0").status == 201
    assert upstream.count() == asked


@pytest.mark.parametrize("name", ["LeftPad", "left'pad", "_left-pad", "@acme/_pad", "@acme/Pad"])
def test_names_of_old_times_cannot_be_taken_anew(alice, effects, name):
    refused(alice.publish(name, "1.0.0"), 400, "new package")
    assert effects() == []


# --- It does not fit together ----------------------------------------------------------------------------------------


def body_with(change) -> dict:
    body = publish_body("left-pad", "1.0.0")
    manifest, [attachment] = body["versions"]["1.0.0"], body["_attachments"].values()
    change(body, manifest, attachment)
    return body


def rename(body, manifest, attachment):
    body["name"] = "right-pad"


def rename_manifest(body, manifest, attachment):
    manifest["name"] = "right-pad"


def renumber(body, manifest, attachment):
    manifest["version"] = "1.0.1"


def renumber_all(body, manifest, attachment):
    manifest["version"] = "1.0.1"
    body["versions"] = {"1.0.1": manifest}


def no_version(body, manifest, attachment):
    body["versions"] = {}


def two_versions(body, manifest, attachment):
    body["versions"]["1.0.1"] = manifest


def a_version_that_is_none(body, manifest, attachment):
    manifest["version"] = "one"
    body["versions"] = {"one": manifest}


def a_list_of_versions(body, manifest, attachment):
    body["versions"] = [manifest]


def a_manifest_that_is_none(body, manifest, attachment):
    body["versions"] = {"1.0.0": "manifest"}


def no_attachment(body, manifest, attachment):
    body["_attachments"] = {}


def two_attachments(body, manifest, attachment):
    body["_attachments"]["other.tgz"] = attachment


def not_base64(body, manifest, attachment):
    attachment["data"] = "!" * 100


def half_base64(body, manifest, attachment):
    attachment["data"] = attachment["data"][:-3]


def half_a_tarball(body, manifest, attachment):
    attachment["data"] = attachment["data"][:40]
    del manifest["dist"]


def other_bytes(body, manifest, attachment):
    attachment["data"] = base64.b64encode(tarballs.package("left-pad", "1.0.0", {"x": "y"})).decode()


def other_shasum(body, manifest, attachment):
    manifest["dist"] = {"shasum": "0" * 40}


def no_bytes(body, manifest, attachment):
    attachment["data"] = ""
    del manifest["dist"]


def a_tag_that_is_a_range(body, manifest, attachment):
    body["dist-tags"] = {"^1.0.0": "1.0.0"}


def a_tag_that_is_a_version(body, manifest, attachment):
    body["dist-tags"] = {"2.0.0": "1.0.0"}


def a_tag_without_a_name(body, manifest, attachment):
    body["dist-tags"] = {"": "1.0.0"}


def a_tag_like_a_book(body, manifest, attachment):
    body["dist-tags"] = {"x" * 300: "1.0.0"}


def a_tag_with_nul(body, manifest, attachment):
    body["dist-tags"] = {"a\0b": "1.0.0"}


def a_tag_with_half_a_character(body, manifest, attachment):
    body["dist-tags"] = {"a\ud83d": "1.0.0"}


def tags_that_are_none(body, manifest, attachment):
    body["dist-tags"] = ["latest"]


@pytest.mark.parametrize(
    "change",
    [
        rename, rename_manifest, renumber, renumber_all, no_version, two_versions, a_version_that_is_none,
        a_list_of_versions, a_manifest_that_is_none, no_attachment, two_attachments, not_base64, half_base64,
        half_a_tarball, other_bytes, other_shasum, no_bytes, a_tag_that_is_a_range, a_tag_that_is_a_version,
        a_tag_without_a_name, a_tag_like_a_book, a_tag_with_nul, a_tag_with_half_a_character, tags_that_are_none,
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_refused_in_words(alice, effects, change):
    answer = alice.send("PUT", "/left-pad", body=body_with(change))
    refused(answer, 400)
    assert len(answer.json()["error"]) > 20
    assert effects() == []
    assert not Package.objects.exists()


@pytest.mark.parametrize(
    ("packed", "word"),
    [
        (tarballs.package("right-pad", "1.0.0"), "right-pad"),
        (tarballs.package("left-pad", "1.0.1"), "1.0.1"),
        (tarballs.tarball({"index.js": ""}), "package.json"),
        (tarballs.tarball({"package.json": "{"}), "package.json"),
        (tarballs.tarball({"package.json": "[]"}), "package.json"),
        (tarballs.package(files={"../../evil": ""}), ".."),
        (tarballs.tarball({"package.json": PACKAGE_JSON}, extra=[tarballs.link("package/x", "/etc/passwd")]), "link"),
        (tarballs.tarball({"package.json": PACKAGE_JSON}, extra=[tarballs.device("package/x")]), "device"),
        (tarballs.package() + b"trailing", "gzip"),
        (b"PK\x03\x04 a zip file", "gzip"),
    ],
)  # fmt: skip
def test_hostile_and_broken_tarballs_are_refused_in_words(alice, effects, packed, word):
    refused(alice.publish("left-pad", "1.0.0", tarball=packed), 400, word)
    assert effects() == []


def test_what_is_too_large_is_413(alice, settings, effects):
    settings.MAX_TARBALL_BYTES = 100
    refused(alice.publish("left-pad", "1.0.0", files={"x": "y" * 100}), 413, "100 bytes")
    settings.MAX_TARBALL_BYTES, settings.MAX_METADATA_BYTES = 10_000, 10_000
    refused(alice.publish("left-pad", "1.0.0", readme="x" * 200_000), 413, "10,000 bytes")
    assert effects() == []


def test_a_body_that_breaks_off(alice, effects):
    whole = json.dumps(publish_body("left-pad", "1.0.0", files={"x": "y" * 5_000})).encode()
    for length in range(0, len(whole), 97):
        refused(alice.send("PUT", "/left-pad", body=whole[:length]), 400)
    assert effects() == []


# --- Many at once ----------------------------------------------------------------------------------------------------


def at_once(work, items) -> list:
    with PassingThreads(8) as threads:
        return [future.result() for future in [threads.submit(work, item) for item in items]]


@pytest.mark.parametrize("is_new", [True, False], ids=["of a new package", "of a known one"])
def test_sixteen_publish_one_version_and_one_wins(alice, anyone, is_new):
    if not is_new:
        alice.publish("@acme/pad", "0.9.0")
    packed = [tarballs.package("@acme/pad", "1.0.0", {"who.txt": str(number)}) for number in range(16)]
    answers = at_once(lambda one: alice.publish("@acme/pad", "1.0.0", tarball=one), packed)
    assert Counter(answer.status for answer in answers) == {201: 1, 403: 15}
    [winner] = [one for one, answer in zip(packed, answers, strict=True) if answer.status == 201]
    assert anyone.download("@acme/pad", "1.0.0").raw == winner


def test_fifty_versions_at_once_are_all_there(alice, anyone):
    numbers = [f"1.{number}.0" for number in range(50)]
    answers = at_once(lambda number: alice.publish("@acme/pad", number), numbers)
    assert {answer.status for answer in answers} == {201}
    document = anyone.view("@acme/pad").json()
    assert set(document["versions"]) == set(numbers)
    assert set(document["time"]) == {"created", "modified", *numbers}

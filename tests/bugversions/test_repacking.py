"""A rule may have tarballs repacked: another package.json in bytes and at a place of their own, and nothing else."""

import base64
import gzip
import hashlib
import io
import json
import tarfile
from urllib.parse import urlsplit

import pytest
from django.utils import timezone

from audit.actors import Actor
from bugversions import editing, repacking
from bugversions.models import BugVersion, Repacked
from bugversions.values import Rule
from registry import janitor
from registry.errors import Invalid
from registry.models import Blob, Version
from tests.bugversions.conftest import WHY

pytestmark = pytest.mark.django_db(transaction=True)

NOTHING = {"scripts": {"postinstall": ""}}


@pytest.fixture(autouse=True)
def _an_hour_is_fresh(upstream, settings):
    settings.FRESH_SECONDS = settings.MISSING_SECONDS = 3600


@pytest.fixture
def repacked(axios, anyone, rule, heard):
    """The rule, when its tarball is made."""
    anyone.view("axios")
    row = rule("axios", "1.14.1", "override", overrides=NOTHING, repack=True)
    heard()
    return row


def shown(anyone, number: str = "1.14.1") -> dict:
    return anyone.view("axios").json()["versions"][number]


def fetched(anyone, manifest: dict):
    return anyone.send("GET", urlsplit(manifest["dist"]["tarball"]).path)


def files(raw: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive if member.isreg()}


def test_the_document_points_at_a_tarball_that_does_what_it_says(axios, anyone, repacked):
    manifest = shown(anyone)
    answer = fetched(anyone, manifest)
    assert answer.status == 200
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(answer.raw).digest()).decode()
    assert manifest["dist"]["integrity"] == integrity
    assert manifest["dist"]["shasum"] == hashlib.sha1(answer.raw).hexdigest()
    assert "signatures" not in manifest["dist"], "what was signed were other bytes"
    theirs, ours = files(axios.tarball("axios", "1.14.1")), files(answer.raw)
    before, after = json.loads(theirs.pop("package/package.json")), json.loads(ours.pop("package/package.json"))
    assert ours == theirs, "every other file is as it was"
    assert before["scripts"] == {"postinstall": "node steal.js"}
    assert after == {**before, "scripts": {}, "gypfile": False}


def test_the_original_stays_where_lockfiles_expect_it(axios, anyone, repacked):
    assert anyone.download("axios", "1.14.1").raw == axios.tarball("axios", "1.14.1")
    assert "/-/repacked/" not in shown(anyone, "1.14.0")["dist"]["tarball"]
    raw = anyone.send("GET", "/axios?cache=0").json()["versions"]["1.14.1"]
    assert raw["dist"]["tarball"].endswith("/axios/-/axios-1.14.1.tgz"), "mirrors get the original"


def test_equal_input_makes_equal_bytes(axios):
    made = []
    for _ in range(2):
        target = io.BytesIO()
        repacking.rewrite(io.BytesIO(axios.tarball("axios", "1.14.1")), target, NOTHING)
        made.append(target.getvalue())
    assert made[0] == made[1]


def test_until_it_is_made_the_document_alone_is_overridden(axios, anyone, rule, heard):
    anyone.view("axios")
    rule("axios", "1.14.1", "override", overrides=NOTHING, repack=True)
    manifest = shown(anyone)
    assert (manifest["scripts"], manifest["dist"]["tarball"].endswith("/axios/-/axios-1.14.1.tgz")) == ({}, True)
    heard()
    assert "/-/repacked/axios/" in shown(anyone)["dist"]["tarball"]


def test_it_is_made_once_and_again_when_the_rule_changes(axios, anyone, repacked, operator, heard):
    first = shown(anyone)["dist"]
    assert repacking.repack("axios") == 0
    changed = Rule("axios", "1.14.1", "override", WHY, overrides={"scripts": {"postinstall": "true"}}, repack=True)
    editing.change(repacked, changed, actor=operator)
    assert shown(anyone)["dist"]["integrity"] != first["integrity"], "one of another rule is not shown"
    heard()
    second = shown(anyone)
    assert second["dist"]["integrity"] != first["integrity"]
    inside = files(fetched(anyone, second).raw)["package/package.json"]
    assert json.loads(inside)["scripts"] == {"postinstall": "true"}


def test_a_retired_rule_gives_the_original_again(axios, anyone, repacked, operator):
    manifest = shown(anyone)
    editing.retire(repacked, reason="it was harmless", actor=operator)
    assert shown(anyone)["dist"]["tarball"].endswith("/axios/-/axios-1.14.1.tgz")
    assert fetched(anyone, manifest).status == 200, "a lockfile of meanwhile names it"


def test_a_version_that_is_forbidden_or_gone_is_not_to_be_had_repacked(axios, anyone, repacked, rule):
    manifest = shown(anyone)
    rule("axios", "1.14.1", "forbid")
    assert fetched(anyone, manifest).status == 451
    Version.objects.filter(number="1.14.1").update(unpublished_at=timezone.now())
    assert fetched(anyone, manifest).status in (404, 451)
    editing.retire(BugVersion.objects.get(action="forbid"), reason="it is gone anyway", actor=Actor.system("a test"))
    assert fetched(anyone, manifest).status == 404


def test_one_that_was_made_for_another_text_of_the_rule_stays_to_be_had(axios, anyone, repacked, operator, heard):
    first = shown(anyone)
    changed = Rule("axios", "1.14.1", "override", WHY, overrides={"scripts": {"postinstall": "true"}}, repack=True)
    editing.change(repacked, changed, actor=operator)
    heard()
    second = shown(anyone)
    assert fetched(anyone, first).status == fetched(anyone, second).status == 200
    back = Rule("axios", "1.14.1", "override", WHY, overrides=NOTHING, repack=True)
    editing.change(BugVersion.objects.get(), back, actor=operator)
    assert shown(anyone)["dist"] == first["dist"]


def test_a_range_has_those_repacked_that_are_still_to_come(axios, anyone, rule, heard, later):
    anyone.view("axios")
    rule("axios", ">=1.14.1", "override", overrides=NOTHING, repack=True)
    heard()
    axios.publish("axios", "1.15.0", scripts={"postinstall": "node steal.js"})
    later()
    anyone.view("axios")
    heard()
    assert "/-/repacked/" in shown(anyone, "1.15.0")["dist"]["tarball"]


def test_who_may_not_have_the_version_may_not_have_this(alice, bob, anyone, rule, heard):
    alice.publish("@acme/box", "1.0.0", scripts={"postinstall": "node x.js"})
    rule("@acme/box", "1.0.0", "override", overrides=NOTHING, repack=True)
    heard()
    place = urlsplit(alice.view("@acme/box").json()["versions"]["1.0.0"]["dist"]["tarball"]).path
    assert bob.send("GET", place).status == 200
    alice.send("POST", "/-/package/@acme%2fbox/access", body={"access": "restricted"})
    assert (alice.send("GET", place).status, bob.send("GET", place).status) == (200, 404)
    assert anyone.send("GET", place.replace("/box/", "/other/")).status == 404


def test_the_janitor_leaves_it(axios, anyone, repacked):
    blob = Repacked.objects.get().blob
    Blob.objects.update(stored_at="2020-01-01T00:00:00Z")
    janitor.sweep()
    assert Blob.objects.filter(pk=blob.pk).exists()
    assert fetched(anyone, shown(anyone)).status == 200


def test_a_replacement_that_is_repacked_is_given_repacked(axios, anyone, repacked, rule):
    rule("axios", "1.14.0", "replace", replacement="1.14.1")
    good, bad = shown(anyone), shown(anyone, "1.14.0")
    assert bad["dist"] == good["dist"], "what its integrity says is what is at its place"
    assert "/-/repacked/" in bad["dist"]["tarball"]


@pytest.mark.parametrize("content", [b"not json", b"[]", b'{"a": NaN}'])
def test_what_cannot_be_repacked_says_why(content):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        entry = tarfile.TarInfo("package/package.json")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    with pytest.raises(Invalid, match=r"package\.json"):
        repacking.rewrite(io.BytesIO(made.getvalue()), io.BytesIO(), NOTHING)


def test_links_and_devices_do_not_come_along():
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, kind in (("package/link", tarfile.SYMTYPE), ("package/pipe", tarfile.FIFOTYPE)):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, "/etc/passwd"
            archive.addfile(entry)
        text = b"{}"
        entry = tarfile.TarInfo("package/package.json")
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text))
    target = io.BytesIO()
    repacking.rewrite(io.BytesIO(gzip.compress(made.getvalue())), target, NOTHING)
    assert list(files(target.getvalue())) == ["package/package.json"]

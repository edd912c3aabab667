"""A rule may have tarballs repacked: another package.json in bytes and at a place of their own, and nothing else."""

import base64
import gzip
import hashlib
import io
import json
import tarfile
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.utils import timezone

from audit.actors import Actor
from bugversions import clocks, editing, repacking
from bugversions.models import BugVersion, Clock, Repacked
from bugversions.values import Rule
from registry import janitor
from registry.errors import Invalid, RegistryError
from registry.models import Blob, Version
from tests.bugversions.conftest import WHY

pytestmark = pytest.mark.django_db(transaction=True)

NOTHING = {"scripts": {"postinstall": ""}}
HOUR = timedelta(hours=1)


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


def test_rules_that_make_equal_tarballs_do_not_take_them_from_each_other(axios, anyone, repacked, rule, heard):
    more = {"scripts": {"postinstall": "", "preinstall": ""}}
    rule("axios", ">=1.14.1 <2", "override", overrides=more, repack=True)
    for _ in range(2):
        heard()
        assert "/-/repacked/" in shown(anyone)["dist"]["tarball"]


def test_a_rule_that_begins_later_has_them_repacked_then(axios, anyone, rule, heard):
    anyone.view("axios")
    row = rule("axios", "1.14.1", "override", overrides=NOTHING, repack=True, valid_from=timezone.now() + HOUR)
    heard()
    clocks.tell()
    assert "/-/repacked/" not in shown(anyone)["dist"]["tarball"]
    BugVersion.objects.filter(pk=row.pk).update(valid_from=timezone.now() - timedelta(seconds=5))
    Clock.objects.update(told_until=timezone.now() - timedelta(seconds=60))
    assert clocks.tell() == ["axios"]
    heard()
    assert "/-/repacked/" in shown(anyone)["dist"]["tarball"]


def packed(*entries: tuple[str, bytes]) -> io.BytesIO:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, content in entries:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    out.seek(0)
    return out


BAD = b'{"name":"x","version":"1.0.0","scripts":{"postinstall":"evil"}}'


@pytest.mark.parametrize(
    "name",
    [
        "package//package.json",
        "package/./package.json",
        "./package/package.json",
        "package/Package.json",
        "x\\package.json",
    ],
)
def test_a_package_json_that_clients_read_differently_is_not_repacked(name):
    """Some take off the first folder, others tidy the path first: they would run what stands in the other one."""
    for entries in ([(name, BAD)], [("package/package.json", BAD), (name, BAD)]):
        with pytest.raises(Invalid, match="which clients read differently"):
            repacking.rewrite(packed(*entries), io.BytesIO(), NOTHING)


@pytest.mark.parametrize(
    "raw",
    [b"", b"junk", gzip.compress(b"junk" * 1000), packed(("package/x", BAD)).read()[:60]],
    ids=["nothing", "junk", "packed junk", "cut off"],
)
def test_what_is_no_tarball_is_said_to_be_none(raw):
    with pytest.raises(Invalid, match=r"cannot be read|has no package\.json"):
        repacking.rewrite(io.BytesIO(raw), io.BytesIO(), NOTHING)


def test_half_a_letter_in_it_stays_what_it_is():
    target = io.BytesIO()
    repacking.rewrite(packed(("package/package.json", b'{"description":"\\ud800"}')), target, NOTHING)
    assert b"\\ud800" in files(target.getvalue())["package/package.json"]


@pytest.mark.parametrize(
    ("scripts", "stays"), [({"postinstall": ""}, False), ({"postinstall": "", "install": "node-gyp rebuild"}, True)]
)
def test_nothing_is_left_that_starts_node_gyp_by_itself(scripts, stays):
    """npm 6 to 9, pnpm and yarn 1 do so for a binding.gyp, whatever `gypfile` says."""
    target = io.BytesIO()
    source = packed(("package/binding.gyp", b"{}"), ("package/lib/binding.gyp", b"{}"), ("package/package.json", BAD))
    repacking.rewrite(source, target, {"scripts": scripts})
    names = set(files(target.getvalue()))
    assert ("package/binding.gyp" in names) is stays
    assert "package/lib/binding.gyp" in names


def test_one_that_cannot_be_repacked_keeps_no_other_from_it(axios, anyone, rule):
    axios.publish("axios", "1.12.0", dist={"tarball": "http://169.254.169.254/x.tgz"})
    anyone.view("axios")
    rule("axios", "*", "override", overrides=NOTHING, repack=True)
    with pytest.raises(RegistryError):
        repacking.repack("axios")
    assert set(Repacked.objects.values_list("number", flat=True)) == {"1.13.0", "1.14.0", "1.14.1"}
    editing.retire(BugVersion.objects.get(), reason="this test is over", actor=Actor.system("a test"))


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

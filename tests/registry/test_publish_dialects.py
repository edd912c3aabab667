"""Publishes as each client words them, and what else a publish decides: tags, and who may read the package."""

import base64

import pytest
from django.core.checks import run_checks

from registry.digests import Digests
from registry.models import Grant, Maintainer, Member, Package, Scope, Team, User
from tests import tarballs
from tests.actors import CORGI, publish_body
from tests.registry.consistency import assert_consistent

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _nothing_half_done(transactional_db):
    yield
    Package.objects.update(is_restricted=False)  # everybody may look now
    assert_consistent()


README = "# Pad\n\nPads on the left.\n"
WRITTEN = {
    "description": "Pads.",
    "bin": "./cli.js",
    "scripts": {"install": "node cli.js"},
    "dependencies": {"left": "^1.0.0"},
    "bundledDependencies": ["left"],
    "repository": "github:acme/pad",
}
NORMALISED = {
    **WRITTEN,
    "bin": {"pad": "cli.js"},
    "bundleDependencies": ["left"],
    "repository": {"type": "git", "url": "git+https://github.com/acme/pad.git"},
}
PACKED = tarballs.package("@acme/pad", "1.0.0", {"README.md": README, "cli.js": ""}, **WRITTEN)


def _digests() -> Digests:
    digests = Digests()
    digests.update(PACKED)
    return digests


def _dist() -> dict:
    url = "http://registry.test/@acme/pad/-/@acme/pad-1.0.0.tgz"
    return {"integrity": _digests().integrity, "shasum": _digests().sha1, "tarball": url}


def _attachments() -> dict:
    data = base64.b64encode(PACKED).decode()
    entry = {"content_type": "application/octet-stream", "data": data, "length": len(PACKED)}
    return {"@acme/pad-1.0.0.tgz": entry}


def _manifest(fields: dict, **more: object) -> dict:
    named = {"name": "@acme/pad", "version": "1.0.0"}
    return {**named, **fields, "_id": "@acme/pad@1.0.0", **more, "dist": _dist()}


def _body(manifest: dict, **more: object) -> dict:
    return {
        "_id": "@acme/pad",
        "name": "@acme/pad",
        "description": "Pads.",
        "dist-tags": {"latest": "1.0.0"},
        "versions": {"1.0.0": manifest},
        **more,
        "_attachments": _attachments(),
    }


def npm(version: str) -> dict:
    """From 7 on; 6 has the readme in two places, and no access unless it is asked for."""
    told = {"_nodeVersion": "24.21.0", "_npmVersion": version, "gitHead": "c0ffee"}
    manifest = _manifest(NORMALISED, readme=README, readmeFilename="README.md", **told)
    return _body(manifest, **({"readme": README} if version.startswith("6.") else {"access": None}))


def pnpm_by_npm() -> dict:
    """Up to 10 it packs, and hands the file to npm, which says where it had it from."""
    body = npm("11.21.2")
    body["versions"]["1.0.0"] |= {"_integrity": _digests().integrity, "_from": "file:acme-pad-1.0.0.tgz"}
    return body


def pnpm_11() -> dict:
    fields = {**WRITTEN, "bin": {"pad": "./cli.js"}, "repository": {"type": "git", "url": "github:acme/pad"}}
    return _body(_manifest(fields, readme=README, _nodeVersion="24.21.0"), access=None)


def pnpm_12() -> dict:
    body = pnpm_11()
    del body["versions"]["1.0.0"]["_nodeVersion"]
    return body


def yarn_1() -> dict:
    manifest = _manifest(NORMALISED, readme=README, readmeFilename="README.md")
    return _body(manifest, readme=README)


def yarn_4() -> dict:
    return {
        "_id": "@acme/pad",
        "_attachments": _attachments(),
        "name": "@acme/pad",
        "access": "restricted",
        "dist-tags": {"latest": "1.0.0"},
        "versions": {"1.0.0": _manifest(WRITTEN, gitHead="c0ffee")},
        "readme": README,
    }


def bun() -> dict:
    told = {"_integrity": _digests().integrity, "_nodeVersion": "26.3.0", "_npmVersion": "10.8.3"}
    manifest = _manifest({**WRITTEN, "bin": {"@acme/pad": "cli.js"}}, **told, readme=README, readmeFilename="README.md")
    body = _body(manifest, access=None)
    del body["description"]
    return body


DIALECTS = {
    **{f"npm {version}": npm(version) for version in ("6.14.18", "8.19.4", "9.9.4", "10.9.9", "11.21.2", "12.2.0")},
    "pnpm 8 to 10": pnpm_by_npm(),
    "pnpm 11": pnpm_11(),
    "pnpm 12": pnpm_12(),
    "yarn 1": yarn_1(),
    "yarn 4": yarn_4(),
    "bun": bun(),
}


@pytest.mark.parametrize("body", DIALECTS.values(), ids=DIALECTS)
def test_every_client_publishes_the_same_package(alice, anyone, effects, body):
    answer = alice.send("PUT", "/@acme%2fpad", body=body)
    assert (answer.status, answer.json()["ok"]) == (201, True)
    assert effects() == ["blob of @acme/pad@1.0.0", "package.version.published package:@acme/pad by alice"]

    document = alice.view("@acme/pad").json()
    assert (document["readme"], document["description"]) == (README, "Pads.")
    assert document["dist-tags"] == {"latest": "1.0.0"}
    full = document["versions"]["1.0.0"]
    sent = body["versions"]["1.0.0"]
    for kept in ("scripts", "dependencies", "repository", "_nodeVersion", "_npmVersion", "gitHead", "_integrity"):
        assert full.get(kept) == sent.get(kept)
    assert "readme" not in full

    abbreviated = alice.view("@acme/pad", accept=CORGI).json()["versions"]["1.0.0"]
    for manifest in (full, abbreviated):
        assert manifest["bin"] == {"pad": "cli.js"}
        assert manifest["hasInstallScript"] is True
        assert manifest["bundledDependencies"] == ["left"]
        assert manifest["dist"]["tarball"].endswith("/@acme/pad/-/pad-1.0.0.tgz")
        assert "attestations" not in manifest["dist"]
    assert {"scripts", "gitHead", "_nodeVersion", "repository"}.isdisjoint(abbreviated)

    assert alice.download("@acme/pad", "1.0.0").raw == PACKED
    assert anyone.view("@acme/pad").status == (404 if body.get("access") == "restricted" else 200)


@pytest.mark.parametrize("sent", ["", None, {"about": "pads"}])
def test_the_readme_in_the_tarball_stands_in_for_one_that_is_none(alice, anyone, sent):
    body = yarn_4() | {"access": "public", "readme": sent}
    assert alice.send("PUT", "/@acme%2fpad", body=body).status == 201
    assert anyone.view("@acme/pad").json()["readme"] == README


def test_commands_are_served_in_one_shape(alice, anyone):
    shapes = [
        ("./bin/pad.js", {"pad": "bin/pad.js"}),
        ({"one": "./one.js", "@acme/two": "two.js"}, {"one": "one.js", "two": "two.js"}),
        (["./bin/one", "two"], {"one": "bin/one", "two": "two"}),
        ({"../../sh": "../../../bin/sh"}, {"sh": "bin/sh"}),
        ({"a\\b": "c\\d.js"}, {"b": "c/d.js"}),
        ({"none": "", "": "x", "number": 7, "..": "x"}, None),
        ({}, None),
        (None, None),
        (7, None),
    ]
    for number, (written, _) in enumerate(shapes):
        body = publish_body("@acme/pad", f"1.{number}.0")
        body["versions"][f"1.{number}.0"]["bin"] = written
        assert alice.send("PUT", "/@acme%2fpad", body=body).status == 201
    for accept in ("application/json", CORGI):
        versions = anyone.view("@acme/pad", accept=accept).json()["versions"].values()
        assert [manifest.get("bin") for manifest in versions] == [served for _, served in shapes]


def test_an_older_version_without_a_tag_becomes_the_latest(alice, anyone):
    """As on the public registry; npm 11 and later ask before they do that."""
    alice.publish("left-pad", "2.0.0", description="Two.")
    alice.publish("left-pad", "1.0.1", description="One.")
    document = anyone.view("left-pad").json()
    assert document["dist-tags"] == {"latest": "1.0.1"}
    assert document["description"] == "One."


# --- Who may read it --------------------------------------------------------------------------------------------------


def publish_with(person, access, version="1.0.0", name="@acme/pad"):
    return person.send("PUT", f"/{name.replace('/', '%2f')}", body=publish_body(name, version) | {"access": access})


def is_public(anyone, name="@acme/pad") -> bool:
    status = anyone.view(name).status
    assert status in (200, 404)
    assert anyone.download(name, "1.0.0").status == status
    return status == 200


@pytest.mark.parametrize("name", ["left-pad", "@acme/pad"])
@pytest.mark.parametrize(
    ("access", "default", "public"),
    [
        (None, "public", True),
        (None, "restricted", False),
        ("public", "restricted", True),
        ("restricted", "public", False),
        (None, "a misspelling", False),
    ],
)
def test_a_new_package_is_for_whom_its_publisher_says(alice, anyone, settings, name, access, default, public):
    settings.DEFAULT_ACCESS = default
    assert publish_with(alice, access, name=name).status == 201
    assert is_public(anyone, name) is public
    assert alice.view(name).status == 200


def test_a_default_that_is_none_is_found_at_start(settings):
    settings.DEFAULT_ACCESS = "private"
    assert "registry.E005" in {found.id for found in run_checks()}


def test_an_access_that_is_none_is_refused(alice, effects):
    for access in ["private", "", "PUBLIC", 7, True, ["public"], {"public": True}, "a\0b", "a\ud83d"]:
        answer = publish_with(alice, access)
        assert (answer.status, "public or restricted" in answer.json()["error"]) == (400, True), access
    assert effects() == []
    assert not Package.objects.exists()


def test_an_owner_who_says_so_changes_who_may_read_it(alice, anyone, effects):
    publish_with(alice, None)
    assert is_public(anyone)
    effects()
    assert publish_with(alice, "restricted", "1.0.1").status == 201
    assert effects() == [
        "blob of @acme/pad@1.0.1",
        "package.version.published package:@acme/pad by alice",
        "package.access.changed package:@acme/pad by alice",
    ]
    assert not is_public(anyone)
    publish_with(alice, None, "1.0.2")
    assert not is_public(anyone)
    publish_with(alice, "restricted", "1.0.3")
    before = alice.view("@acme/pad").headers["etag"]
    effects()
    publish_with(alice, "public", "1.0.4")
    assert is_public(anyone)
    assert "package.access.changed package:@acme/pad by alice" in effects()
    assert anyone.view("@acme/pad").headers["etag"] != before


@pytest.fixture
def writer(alice, bob):
    """Somebody who may publish @acme/pad, and does not own it."""
    assert publish_with(alice, "public").status == 201
    team = Team.objects.create(scope=Scope.objects.create(name="@acme"), name="writers")
    team.members.add(User.objects.get(username="bob"))
    Grant.objects.create(team=team, package=Package.objects.get(), permission=Grant.Permission.WRITE)
    return bob


def test_who_only_writes_cannot_change_who_may_read_it(writer, anyone, effects):
    effects()
    answer = publish_with(writer, "restricted", "1.0.1")
    assert answer.status == 403
    assert all(word in answer.json()["error"] for word in ("owners", "@acme/pad", "--access public"))
    assert effects() == []
    assert is_public(anyone)
    assert list(anyone.view("@acme/pad").json()["versions"]) == ["1.0.0"]


@pytest.mark.parametrize("access", [None, "public"])
def test_who_only_writes_may_say_what_holds_anyway(writer, anyone, access):
    assert publish_with(writer, access, "1.0.1").status == 201
    assert is_public(anyone)


# --- Whose it is ------------------------------------------------------------------------------------------------------


def test_a_new_package_of_a_scope_is_for_its_developers(alice, bob, anyone):
    scope = Scope.objects.create(name="@acme")
    developers = Team.objects.create(scope=scope, name="developers")
    Team.objects.create(scope=scope, name="designers")
    for username in ("alice", "bob"):
        person = User.objects.get(username=username)
        Member.objects.create(scope=scope, user=person)
        developers.members.add(person)
    assert publish_with(alice, "restricted").status == 201
    assert publish_with(bob, None, "1.0.1").status == 201
    grants = Grant.objects.values_list("team__name", "package__name", "permission")
    assert list(grants) == [("developers", "@acme/pad", "read-write")]
    assert list(Maintainer.objects.values_list("user__username", flat=True)) == ["alice"]
    assert list(bob.view("@acme/pad").json()["versions"]) == ["1.0.0", "1.0.1"]
    assert not is_public(anyone)


def test_a_package_without_a_scope_is_its_publishers_alone(alice, bob):
    Team.objects.create(scope=Scope.objects.create(name="@acme"), name="developers")
    alice.publish("left-pad", "1.0.0")
    assert not Grant.objects.exists()
    assert bob.publish("left-pad", "1.0.1").status == 403

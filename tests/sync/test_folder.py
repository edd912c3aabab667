"""A folder of tarballs is an upstream like any other: what lies in it can be installed."""

import shutil

import pytest

from audit.actors import Actor
from registry.models import Blob, Package, Version
from sync import rules, upstreams
from sync.models import Upstream
from tests import tarballs

pytestmark = pytest.mark.django_db(transaction=True)

OPERATOR = Actor.system("a test")


@pytest.fixture
def folder(tmp_path, upstream):
    """A folder, in the way of an operator who has all names come from it. (Of the upstream only its settings count.)"""
    found = tmp_path / "pack ages"
    found.mkdir()
    upstreams.add("shelf", kind="folder", url=found.as_uri(), actor=OPERATOR)
    rules.put("*", "proxy", ["shelf"], actor=OPERATOR)
    return found


def put(path, name: str = "left-pad", version: str = "1.0.0", **fields) -> bytes:
    data = tarballs.package(name, version, **fields)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return data


def test_what_npm_packed_is_installed(folder, anyone, upstream):
    put(folder / "left-pad-1.0.0.tgz", bin="pad.js", scripts={"postinstall": "make"}, description="pads")
    newest = put(folder / "left-pad-1.1.0.tgz", version="1.1.0", files={"README.md": "# Pads"}, description="pads more")
    put(folder / "left-pad-2.0.0-rc.1.tgz", version="2.0.0-rc.1")
    document = anyone.view("left-pad").json()
    assert (document["dist-tags"], document["description"], document["readme"]) == (
        {"latest": "1.1.0"}, "pads more", "# Pads",
    )  # fmt: skip
    assert list(document["versions"]) == ["1.0.0", "1.1.0", "2.0.0-rc.1"]
    first = document["versions"]["1.0.0"]
    assert (first["bin"], first["hasInstallScript"]) == ({"left-pad": "pad.js"}, True)
    assert set(document["time"]) == {"created", "modified", "1.0.0", "1.1.0", "2.0.0-rc.1"}
    assert anyone.download("left-pad", "1.1.0").raw == newest
    assert (Package.objects.get().origin, Blob.objects.count(), upstream.count()) == ("shelf", 1, 0)


@pytest.mark.parametrize("path", ["acme-tools-1.0.0.tgz", "tools-1.0.0.tgz", "@acme/tools/tools-1.0.0.tgz"])
def test_a_scoped_package_lies_where_npm_or_verdaccio_put_it(folder, anyone, settings, path):
    settings.PRIVATE_SCOPES = frozenset()
    data = put(folder / path, "@acme/tools")
    assert list(anyone.view("@acme/tools").json()["versions"]) == ["1.0.0"]
    assert anyone.download("@acme/tools", "1.0.0").raw == data
    assert anyone.view("tools").status == 404


def test_what_is_laid_there_later_is_found(folder, anyone, later):
    put(folder / "left-pad-1.0.0.tgz")
    assert list(anyone.view("left-pad").json()["versions"]) == ["1.0.0"]
    put(folder / "left-pad-1.1.0.tgz", version="1.1.0")
    later()
    assert list(anyone.view("left-pad").json()["versions"]) == ["1.0.0", "1.1.0"]


def test_files_that_are_the_same_are_not_read_again(folder, anyone, later, monkeypatch):
    put(folder / "left-pad-1.0.0.tgz")
    anyone.view("left-pad")
    later()
    monkeypatch.setattr("registry.tarballs.inspect", None)
    assert list(anyone.view("left-pad").json()["versions"]) == ["1.0.0"]


@pytest.mark.parametrize("content", [b"", b"no tarball", tarballs.tarball({"index.js": ""})], ids=len)
def test_a_broken_file_does_not_spoil_the_others(folder, anyone, content):
    put(folder / "left-pad-1.0.0.tgz")
    (folder / "left-pad-1.1.0.tgz").write_bytes(content)
    put(folder / "left-pad-1.2.0.tgz", "right-pad", "1.2.0")  # is not what its file name says
    assert list(anyone.view("left-pad").json()["versions"]) == ["1.0.0"]


def test_what_is_no_file_does_not_spoil_the_others(folder, anyone):
    put(folder / "left-pad-1.0.0.tgz")
    (folder / "left-pad-1.1.0.tgz").mkdir()
    (folder / "left-pad-1.2.0.tgz").symlink_to(folder / "nowhere")
    assert list(anyone.view("left-pad").json()["versions"]) == ["1.0.0"]


def test_names_that_begin_alike_are_told_apart(folder, anyone):
    put(folder / "pad-1.0.0.tgz", "pad")
    put(folder / "pad-left-2.0.0.tgz", "pad-left", "2.0.0")
    assert list(anyone.view("pad").json()["versions"]) == ["1.0.0"]
    assert list(anyone.view("pad-left").json()["versions"]) == ["2.0.0"]
    assert anyone.view("left").status == 404


def test_a_folder_that_is_away_has_not_lost_its_packages(folder, anyone, later):
    put(folder / "left-pad-1.0.0.tgz")
    anyone.view("left-pad")
    shutil.rmtree(folder)
    later()
    assert list(anyone.view("left-pad").json()["versions"]) == ["1.0.0"]
    answer = anyone.view("right-pad")
    assert (answer.status, "is not a folder on this machine" in answer.json()["error"]) == (503, True)


def test_no_file_outside_of_it_is_given_away(folder, anyone):
    put(folder / "left-pad-1.0.0.tgz")
    put(folder.parent / "secret.tgz")
    anyone.view("left-pad")
    (folder / "link.tgz").symlink_to(folder.parent / "secret.tgz")
    outside = [
        (folder.parent / "secret.tgz").as_uri(),
        f"{folder.as_uri()}/../secret.tgz",
        f"{folder.as_uri()}/link.tgz",
    ]
    for url in [*outside, "http://127.0.0.1/x.tgz", str(folder / "left-pad-1.0.0.tgz")]:
        Version.objects.update(source_url=url)
        assert anyone.download("left-pad", "1.0.0").status == 404, url
    assert not Blob.objects.exists()


def test_a_registry_cannot_send_us_to_a_file(upstream, anyone, tmp_path):
    put(tmp_path / "secret.tgz")
    upstream.publish("trap", "1.0.0", dist={"tarball": (tmp_path / "secret.tgz").as_uri()})
    assert anyone.download("trap", "1.0.0").status == 503
    assert not Blob.objects.exists()
    assert Upstream.objects.get().failures == 0

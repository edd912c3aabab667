"""What an upstream changes comes here. What it takes away: `test_removals`."""

import pytest

from registry.models import Package, Version

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _an_hour_is_fresh(upstream, settings):
    settings.FRESH_SECONDS = settings.MISSING_SECONDS = 3600


@pytest.fixture
def view(anyone, later):
    """`view()`: the packument after another look at the upstream."""

    def _view(name: str = "left-pad") -> dict:
        later()
        answer = anyone.view(name)
        assert answer.status == 200, answer.body
        return answer.json()

    return _view


def publish(upstream, *numbers: str) -> None:
    for number in numbers:
        upstream.publish("left-pad", number)


def test_deprecations_come_and_go(upstream, view):
    publish(upstream, "1.0.0", "1.1.0")
    upstream.deprecate("left-pad", "1.0.0", "use padStart")
    versions = view()["versions"]
    assert (versions["1.0.0"]["deprecated"], "deprecated" in versions["1.1.0"]) == ("use padStart", False)
    upstream.deprecate("left-pad", "1.0.0", "")
    assert "deprecated" not in view()["versions"]["1.0.0"]


def test_tags_come_move_and_go(upstream, view):
    publish(upstream, "1.0.0", "1.1.0")
    upstream.set_tag("left-pad", "next", "1.1.0")
    assert view()["dist-tags"] == {"latest": "1.1.0", "next": "1.1.0"}
    upstream.set_tag("left-pad", "latest", "1.0.0")
    upstream.set_tag("left-pad", "next", None)
    assert view()["dist-tags"] == {"latest": "1.0.0"}


def test_what_a_package_says_of_itself_is_said_again(upstream, view):
    publish(upstream, "1.0.0")
    upstream.describe("left-pad", readme="# Pads", users={"alice": True}, odd=[None, 1.5, {"": ""}])
    document = view()
    assert (document["readme"], document["users"]) == ("# Pads", {"alice": True})
    assert document["odd"] == [None, 1.5, {"": ""}]
    upstream.describe("left-pad", readme="# Pads, better")
    assert view()["readme"] == "# Pads, better"


def test_a_change_of_one_version_leaves_the_rows_of_the_others_alone(upstream, view, effects):
    publish(upstream, "1.0.0", "1.1.0", "1.2.0")
    view()
    before = dict(Version.objects.values_list("number", "source_digest"))
    upstream.deprecate("left-pad", "1.1.0", "no")
    view()
    after = dict(Version.objects.values_list("number", "source_digest"))
    assert {number for number in after if after[number] != before[number]} == {"1.1.0"}


def test_each_change_is_in_the_journal_under_the_name_of_the_upstream(upstream, view, effects):
    publish(upstream, "1.0.0")
    view()
    assert effects() == ["package.mirrored package:left-pad by default"]
    view()
    assert effects() == []


def test_each_change_raises_the_revision(upstream, view):
    revisions = []
    for number in ("1.0.0", "1.1.0", "1.2.0"):
        publish(upstream, number)
        view()
        revisions.append(Package.objects.get().revision)
    assert revisions == sorted(set(revisions))


def test_a_tarball_that_changed_upstream_is_what_its_manifest_promises(upstream, anyone, view):
    publish(upstream, "1.0.0")
    first = anyone.download("left-pad", "1.0.0").raw
    upstream.publish("left-pad", "1.0.0", files={"index.js": "module.exports = 2"})
    integrity = view()["versions"]["1.0.0"]["dist"]["integrity"]
    served = anyone.download("left-pad", "1.0.0").raw
    assert served in (first, upstream.tarball("left-pad", "1.0.0"))
    assert integrity == sri(served), "the packument promises what is served"


def sri(data: bytes) -> str:
    from registry.digests import Digests

    digests = Digests()
    digests.update(data)
    return digests.integrity

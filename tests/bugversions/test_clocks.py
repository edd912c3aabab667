"""Holds and freezes: versions of upstreams that are too young are not served, until the clock says so."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from audit.actors import Actor
from bugversions import clocks, deciding
from bugversions.models import Advisory, BugVersion, Clock, Freeze, Hold
from registry import catalog, changes, generation
from registry.errors import Conflict, Invalid
from registry.models import Package, Version
from tests.actors import CORGI

pytestmark = pytest.mark.django_db(transaction=True)

WHY = "new versions wait for others to find out"
WEEK = 7 * 24 * 3600


@pytest.fixture(autouse=True)
def _here(axios, anyone, settings):
    """All versions are old but for the last, of yesterday."""
    settings.FRESH_SECONDS = settings.MISSING_SECONDS = 3600
    anyone.view("axios")
    Version.objects.update(published_at=datetime(2020, 1, 1, tzinfo=UTC))
    born("1.14.1", timedelta(days=1))


def born(number: str, ago: timedelta) -> None:
    Version.objects.filter(number=number).update(published_at=timezone.now() - ago)


def served(anyone, name: str = "axios") -> list[str]:
    return list(anyone.view(name).json()["versions"])


def test_a_young_version_is_held_with_its_tarball(anyone, operator):
    clocks.hold("*", WEEK, reason=WHY, actor=operator)
    document = anyone.view("axios").json()
    assert list(document["versions"]) == ["1.13.0", "1.14.0"]
    assert document["dist-tags"]["latest"] == "1.14.0"
    assert document["policyRestrictions"]["message"].startswith("held until")
    refused = anyone.download("axios", "1.14.1")
    assert refused.status == 451
    assert WHY in refused.json()["error"]
    assert anyone.download("axios", "1.14.0").status == 200


def test_the_clock_releases_it_without_anybody(anyone, operator):
    clocks.hold("*", WEEK, reason=WHY, actor=operator)
    assert "1.14.1" not in served(anyone)
    [key] = [key for key in catalog._ring._entries if isinstance(key, catalog.DocumentKey)]
    entry = catalog._ring.get(key)
    ripe = Version.objects.get(number="1.14.1").published_at.timestamp() + WEEK
    assert timezone.now().timestamp() < entry.judged_until < ripe, "a response that is ready knows when it is over"
    born("1.14.1", timedelta(days=8))
    entry.judged_until = timezone.now().timestamp() - 1
    assert "1.14.1" in served(anyone)
    assert anyone.download("axios", "1.14.1").status == 200


def test_it_is_over_at_the_moment_when_a_version_is_old_enough(anyone, operator):
    born("1.14.1", timedelta(seconds=WEEK - 600))
    clocks.hold("*", WEEK, reason=WHY, actor=operator)
    ripe = Version.objects.get(number="1.14.1").published_at.timestamp() + WEEK
    package = Package.objects.get(name="axios")
    assert deciding.decide("axios", package.pk, package.origin).until == ripe


def test_what_is_unknown_is_fetched_and_then_judged(axios, anyone, operator):
    clocks.hold("*", WEEK, reason=WHY, actor=operator)
    axios.publish("axios", "1.15.0")
    axios.publish("fresh", "1.0.0")
    assert anyone.download("axios", "1.15.0").status in (404, 451)
    assert served(anyone, "fresh") == []


@pytest.mark.parametrize(
    ("facts", "is_held"),
    [
        ({"pattern": "axios"}, True),
        ({"pattern": "left-*"}, False),
        ({"pattern": "*", "allowed": ["axios"]}, False),
        ({"pattern": "*", "allowed": ["ax*"]}, False),
        ({"pattern": "*", "upstream": "default"}, True),
        ({"pattern": "*", "upstream": "another"}, False),
    ],
)
def test_holds_are_about_names_and_upstreams(anyone, operator, facts, is_held):
    pattern = facts.pop("pattern")
    clocks.hold(pattern, WEEK, reason=WHY, actor=operator, **facts)
    assert ("1.14.1" not in served(anyone)) is is_held


def test_the_most_specific_hold_counts(anyone, operator):
    clocks.hold("*", WEEK, reason=WHY, actor=operator)
    clocks.hold("axios", 3600, reason="we trust them more", actor=operator)
    assert "1.14.1" in served(anyone)


def test_what_is_published_here_is_not_held(alice, anyone, operator):
    clocks.hold("*", WEEK, reason=WHY, actor=operator)
    alice.publish("@acme/box", "1.0.0")
    assert served(anyone, "@acme/box") == ["1.0.0"]


def test_a_fix_that_a_rule_names_does_not_wait(axios, anyone, rule, operator):
    clocks.hold("*", WEEK, reason=WHY, actor=operator)
    rule("axios", "1.14.0", "replace", replacement="1.14.1")
    assert "1.14.1" in served(anyone)
    assert anyone.download("axios", "1.14.1").status == 200


@pytest.mark.parametrize(
    ("patched", "is_held"), [(">=1.0.1 <1.1.0 || >=1.14.1", False), (">=1.14.0", True), ("<0.0.0", True)]
)
def test_a_fix_that_an_advisory_names_does_not_wait(anyone, operator, patched, is_held):
    clocks.hold("*", WEEK, reason=WHY, actor=operator)
    facts = {"vulnerable_versions": "<1.14.1", "severity": "high", "title": "x", "url": "x", "digest": b""}
    Advisory.objects.create(source="GHSA-x", package="axios", patched_versions=patched, **facts)
    assert ("1.14.1" not in served(anyone)) is is_held


def test_a_hold_ends_by_an_operator(anyone, operator):
    row = clocks.hold("*", WEEK, reason=WHY, actor=operator)
    assert "1.14.1" not in served(anyone)
    clocks.end_hold(row, reason="nobody likes to wait", actor=operator)
    assert "1.14.1" in served(anyone)
    assert not Hold.objects.get().is_active


def test_a_freeze_serves_nothing_that_came_after_a_moment(axios, anyone, operator):
    clocks.freeze(timezone.now() - timedelta(days=2), reason="a worm is about", actor=operator)
    assert served(anyone) == ["1.13.0", "1.14.0"]
    refused = anyone.download("axios", "1.14.1")
    assert (refused.status, "a worm is about" in refused.json()["error"]) == (451, True)
    with pytest.raises(Conflict, match="frozen already"):
        clocks.freeze(timezone.now(), reason="a worm is about", actor=operator)
    clocks.thaw(reason="the worm is dead", actor=operator)
    assert "1.14.1" in served(anyone)
    with pytest.raises(Conflict, match="nothing is frozen"):
        clocks.thaw(reason="the worm is dead", actor=operator)
    clocks.freeze(timezone.now(), reason="another worm", actor=operator)
    assert Freeze.objects.filter(lifted_at=None).count() == 1


@pytest.mark.parametrize("switch", ["freeze", "hold"])
def test_no_document_of_the_new_revision_is_from_before(anyone, operator, monkeypatch, switch):
    """Between a commit and the word of it to all processes somebody reads: what is kept then stays right."""
    Version.objects.filter(number="1.14.1").update(published_at=timezone.now() - timedelta(days=1))
    served(anyone)
    advance, seen = generation.advance, []

    def late() -> None:
        seen.append(anyone.view("axios", accept=CORGI).status)
        advance()

    monkeypatch.setattr(generation, "advance", late)
    if switch == "freeze":
        clocks.freeze(timezone.now() - timedelta(days=2), reason="a worm is about", actor=operator)
    else:
        clocks.hold("*", WEEK, reason=WHY, actor=operator)
    monkeypatch.undo()
    assert seen == [200]
    assert "1.14.1" not in anyone.view("axios", accept=CORGI).json()["versions"]


@pytest.mark.parametrize("seconds", [0, -5, 10**9])
def test_a_hold_lasts_a_sensible_time(operator, seconds):
    with pytest.raises(Invalid, match="ten years"):
        clocks.hold("*", seconds, reason=WHY, actor=operator)
    with pytest.raises(Invalid, match="is no pattern"):
        clocks.hold("@acme*", 5, reason=WHY, actor=operator)
    with pytest.raises(Invalid, match="say why"):
        clocks.hold("*", 5, reason="so", actor=operator)
    assert not Hold.objects.exists()


def test_when_a_narrow_hold_ends_the_wider_one_counts_at_once(anyone, operator):
    clocks.hold("*", WEEK, reason=WHY, actor=operator)
    narrow = clocks.hold("axios", 3600, reason="we trust them more", actor=operator)
    assert "1.14.1" in served(anyone)
    clocks.end_hold(narrow, reason="we trust them no more", actor=operator)
    assert "1.14.1" not in served(anyone)
    clocks.hold("axios", 3600, reason="and now again we do", actor=operator)
    assert "1.14.1" in served(anyone)


def test_a_freeze_lets_no_fix_through_either(axios, anyone, rule, operator):
    clocks.freeze(timezone.now() - timedelta(days=2), reason="a worm is about", actor=operator)
    rule("axios", "1.14.0", "replace", replacement="1.14.1")
    assert "1.14.1" not in served(anyone)
    assert anyone.download("axios", "1.14.1").status == 451


@pytest.mark.parametrize("switch", ["freeze", "hold"])
@pytest.mark.parametrize("way", ["over", "back"])
def test_another_tarball_under_an_old_number_is_young(upstream, anyone, operator, later, switch, way):
    for number in ("1.0.0", "1.0.1"):
        upstream.publish("box", number, time="2020-01-01T00:00:00.000Z")
    anyone.view("box")
    if switch == "freeze":
        clocks.freeze(timezone.now() - timedelta(hours=1), reason="a worm is about", actor=operator)
    else:
        clocks.hold("*", WEEK, reason=WHY, actor=operator)
    if way == "back":
        upstream.unpublish("box", "1.0.1")
        later()
        anyone.view("box")
        Version.objects.filter(number="1.0.1").update(unpublished_at=timezone.now())
    upstream.publish("box", "1.0.1", files={"steal.js": "steal()"}, time="2020-01-01T00:00:00.000Z")
    later()
    assert served(anyone, "box") == ["1.0.0"]


def test_what_is_dated_to_the_end_of_time_is_held_and_harms_nobody(anyone, operator, heard):
    Version.objects.filter(number="1.14.1").update(published_at=datetime(9999, 12, 31, 23, tzinfo=UTC))
    clocks.hold("*", WEEK, reason=WHY, actor=operator)
    heard()
    assert served(anyone) == ["1.13.0", "1.14.0"]


@pytest.mark.parametrize("allowed", ["typescript", [1], 5, [None], True, {"a": 1}])
def test_names_that_are_let_through_are_a_list_of_names(operator, allowed):
    with pytest.raises(Invalid, match="are a list of texts"):
        clocks.hold("*", WEEK, reason=WHY, allowed=allowed, actor=operator)
    assert not Hold.objects.exists()


# --- Others are told ------------------------------------------------------------------------------------------------


SWITCHES = {
    "hold": lambda actor: clocks.hold("*", WEEK, reason=WHY, actor=actor),
    "freeze": lambda actor: clocks.freeze(timezone.now() - timedelta(days=2), reason=WHY, actor=actor),
}
BACK = {
    "hold": lambda actor: clocks.end_hold(Hold.objects.get(), reason="all is well again", actor=actor),
    "freeze": lambda actor: clocks.thaw(reason="all is well again", actor=actor),
}


def found(anyone) -> str:
    """The version of axios that a search shows."""
    [one] = anyone.send("GET", "/-/v1/search?text=axios").json()["objects"]
    return one["package"]["version"]


def told(place: int) -> set[str]:
    return {change.name for change in changes.since(place, limit=100, viewer=Actor.anonymous()).changes}


@pytest.mark.parametrize("switch", SWITCHES)
def test_search_and_followers_hear_of_what_looks_different_and_of_nothing_else(axios, anyone, operator, heard, switch):
    axios.publish("left-pad", "1.0.0")
    anyone.view("left-pad")
    Version.objects.filter(package__name="left-pad").update(published_at=datetime(2020, 1, 1, tzinfo=UTC))
    heard()
    old, place = Package.objects.stamp("left-pad"), changes.newest()
    assert found(anyone) == "1.14.1"
    SWITCHES[switch](operator)
    heard()
    assert (found(anyone), told(place)) == ("1.14.0", {"axios"})
    assert Package.objects.stamp("left-pad") == old, "what looks as before is not built again"
    place = changes.newest()
    BACK[switch](operator)
    heard()
    assert (found(anyone), told(place)) == ("1.14.1", {"axios"})


@pytest.mark.parametrize("switch", SWITCHES)
def test_what_came_in_at_the_same_moment_is_withheld_too(axios, anyone, operator, heard, monkeypatch, switch):
    """A sync and a freeze that do not see each other: the document that was built between them does not stay."""
    heard()
    with monkeypatch.context() as patch:
        patch.setattr(clocks, "_touch_young", lambda *_: None)  # as if the version were not committed yet
        SWITCHES[switch](operator)
    before = Package.objects.stamp("axios").revision
    heard()
    assert Package.objects.stamp("axios").revision > before
    assert "1.14.1" not in served(anyone)


def test_the_clock_tells_of_what_it_releases_once(anyone, operator, heard):
    clocks.hold("*", WEEK, reason=WHY, actor=operator)
    heard()
    assert (clocks.tell(), found(anyone)) == ([], "1.14.0")
    born("1.14.1", timedelta(seconds=WEEK + 5))
    Clock.objects.update(told_until=timezone.now() - timedelta(seconds=60))
    place = changes.newest()
    assert clocks.tell() == ["axios"]
    assert clocks.tell() == []
    heard()
    assert (found(anyone), told(place)) == ("1.14.1", {"axios"})


@pytest.mark.parametrize("edge", ["valid_from", "valid_until"])
def test_the_clock_tells_of_rules_that_begin_and_end(anyone, rule, edge):
    clocks.tell()
    row = rule("axios", "1.14.1", "hide", **{edge: timezone.now() + timedelta(hours=1)})
    assert clocks.tell() == []
    BugVersion.objects.filter(pk=row.pk).update(**{edge: timezone.now() - timedelta(seconds=5)})
    Clock.objects.update(told_until=timezone.now() - timedelta(seconds=60))
    assert clocks.tell() == ["axios"]
    assert clocks.tell() == []

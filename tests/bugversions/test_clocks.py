"""Holds and freezes: versions of upstreams that are too young are not served, until the clock says so."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from bugversions import deciding, editing
from bugversions.models import Advisory, Freeze, Hold
from registry import catalog, generation
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
    editing.hold("*", WEEK, reason=WHY, actor=operator)
    document = anyone.view("axios").json()
    assert list(document["versions"]) == ["1.13.0", "1.14.0"]
    assert document["dist-tags"]["latest"] == "1.14.0"
    assert document["policyRestrictions"]["message"].startswith("held until")
    refused = anyone.download("axios", "1.14.1")
    assert refused.status == 451
    assert WHY in refused.json()["error"]
    assert anyone.download("axios", "1.14.0").status == 200


def test_the_clock_releases_it_without_anybody(anyone, operator):
    editing.hold("*", WEEK, reason=WHY, actor=operator)
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
    editing.hold("*", WEEK, reason=WHY, actor=operator)
    ripe = Version.objects.get(number="1.14.1").published_at.timestamp() + WEEK
    package = Package.objects.get(name="axios")
    assert deciding.decide("axios", package.pk, package.origin).until == ripe


def test_what_is_unknown_is_fetched_and_then_judged(axios, anyone, operator):
    editing.hold("*", WEEK, reason=WHY, actor=operator)
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
    editing.hold(pattern, WEEK, reason=WHY, actor=operator, **facts)
    assert ("1.14.1" not in served(anyone)) is is_held


def test_the_most_specific_hold_counts(anyone, operator):
    editing.hold("*", WEEK, reason=WHY, actor=operator)
    editing.hold("axios", 3600, reason="we trust them more", actor=operator)
    assert "1.14.1" in served(anyone)


def test_what_is_published_here_is_not_held(alice, anyone, operator):
    editing.hold("*", WEEK, reason=WHY, actor=operator)
    alice.publish("@acme/box", "1.0.0")
    assert served(anyone, "@acme/box") == ["1.0.0"]


def test_a_fix_that_a_rule_names_does_not_wait(axios, anyone, rule, operator):
    editing.hold("*", WEEK, reason=WHY, actor=operator)
    rule("axios", "1.14.0", "replace", replacement="1.14.1")
    assert "1.14.1" in served(anyone)
    assert anyone.download("axios", "1.14.1").status == 200


@pytest.mark.parametrize(
    ("patched", "is_held"), [(">=1.0.1 <1.1.0 || >=1.14.1", False), (">=1.14.0", True), ("<0.0.0", True)]
)
def test_a_fix_that_an_advisory_names_does_not_wait(anyone, operator, patched, is_held):
    editing.hold("*", WEEK, reason=WHY, actor=operator)
    facts = {"vulnerable_versions": "<1.14.1", "severity": "high", "title": "x", "url": "x", "digest": b""}
    Advisory.objects.create(source="GHSA-x", package="axios", patched_versions=patched, **facts)
    assert ("1.14.1" not in served(anyone)) is is_held


def test_a_hold_ends_by_an_operator(anyone, operator):
    row = editing.hold("*", WEEK, reason=WHY, actor=operator)
    assert "1.14.1" not in served(anyone)
    editing.end_hold(row, reason="nobody likes to wait", actor=operator)
    assert "1.14.1" in served(anyone)
    assert not Hold.objects.get().is_active


def test_a_freeze_serves_nothing_that_came_after_a_moment(axios, anyone, operator):
    editing.freeze(timezone.now() - timedelta(days=2), reason="a worm is about", actor=operator)
    assert served(anyone) == ["1.13.0", "1.14.0"]
    refused = anyone.download("axios", "1.14.1")
    assert (refused.status, "a worm is about" in refused.json()["error"]) == (451, True)
    with pytest.raises(Conflict, match="frozen already"):
        editing.freeze(timezone.now(), reason="a worm is about", actor=operator)
    editing.thaw(reason="the worm is dead", actor=operator)
    assert "1.14.1" in served(anyone)
    with pytest.raises(Conflict, match="nothing is frozen"):
        editing.thaw(reason="the worm is dead", actor=operator)
    editing.freeze(timezone.now(), reason="another worm", actor=operator)
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
        editing.freeze(timezone.now() - timedelta(days=2), reason="a worm is about", actor=operator)
    else:
        editing.hold("*", WEEK, reason=WHY, actor=operator)
    monkeypatch.undo()
    assert seen == [200]
    assert "1.14.1" not in anyone.view("axios", accept=CORGI).json()["versions"]


@pytest.mark.parametrize("seconds", [0, -5, 10**9])
def test_a_hold_lasts_a_sensible_time(operator, seconds):
    with pytest.raises(Invalid, match="ten years"):
        editing.hold("*", seconds, reason=WHY, actor=operator)
    with pytest.raises(Invalid, match="is no pattern"):
        editing.hold("@acme*", 5, reason=WHY, actor=operator)
    with pytest.raises(Invalid, match="say why"):
        editing.hold("*", 5, reason="so", actor=operator)
    assert not Hold.objects.exists()

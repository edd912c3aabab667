"""The changes feed: in the order of commits, without gaps, with what went away, and only what its reader may see."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections, transaction

from audit import drain, journal
from audit.actors import Actor
from audit.models import Event
from registry import lifecycle, orgs
from registry.events import PACKAGE_DEPRECATED
from registry.models import Package
from sync import rules
from tests.actors import Person

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def feed(anyone):
    """`feed(since=3, limit=10)`: the feed as it is when the journal has been sequenced."""

    def _feed(person: Person = anyone, **query) -> dict:
        drain.drain_all()
        answer = person.send("GET", "/_changes?" + "&".join(f"{key}={value}" for key, value in query.items()))
        assert answer.status == 200, answer.body
        assert answer.headers["cache-control"] == "private, no-store"
        return answer.json()

    return _feed


def names(page: dict) -> list[str]:
    return [result["id"] for result in page["results"]]


# --- What it says -----------------------------------------------------------------------------------------------------


def test_it_is_read_by_followers_of_npm_and_of_cnpmcore(feed, alice):
    before = feed()["last_seq"]
    alice.publish("@acme/pad", "1.0.0")
    page = feed(since=before)
    [result] = page["results"]
    revision = Package.objects.get().revision
    assert result == {
        "seq": Event.objects.get(kind="package.version.published").serial,
        "id": "@acme/pad",
        "type": "PACKAGE_VERSION_ADDED",
        "changes": [{"rev": str(revision), "version": "1.0.0"}],
    }
    assert (page["last_seq"], page["pending"]) == (Event.objects.order_by("serial").last().serial, 0)


def test_the_root_says_how_far_it_is(feed, alice, anyone):
    alice.publish("@acme/pad", "1.0.0")
    assert feed()["last_seq"] == anyone.send("GET", "/").json()["update_seq"] > 0


def test_it_goes_on_where_a_follower_stopped(feed, alice):
    for name in ("@acme/a", "@acme/b", "@acme/c"):
        alice.publish(name, "1.0.0")
    seen, since = [], 0
    while (page := feed(since=since, limit=1))["results"]:
        seen += names(page)
        since = page["last_seq"]
    assert seen == ["@acme/a", "@acme/b", "@acme/c"]
    assert feed(since=since)["results"] == []


def test_of_several_changes_of_a_package_the_last_is_told(feed, alice):
    for number in ("1.0.0", "1.1.0", "1.2.0"):
        alice.publish("@acme/pad", number)
    alice.publish("@acme/other", "1.0.0")
    alice.deprecate("@acme/pad", "old", "1.0.0")
    page = feed()
    assert [(one["id"], one["type"]) for one in page["results"]] == [
        ("@acme/other", "PACKAGE_VERSION_ADDED"),
        ("@acme/pad", "PACKAGE_META_CHANGED"),
    ]
    assert page["results"][-1]["seq"] == page["last_seq"]


def test_pages_are_filled_with_packages_whatever_else_happens(feed, alice, bob):
    alice.publish("@acme/a", "1.0.0")
    for number in range(5):
        Person(f"guest-{number}").login()
    alice.publish("@acme/b", "1.0.0")
    page = feed(since=feed(limit=1)["last_seq"], limit=1)
    assert names(page) == ["@acme/b"]


def test_what_went_away_is_told(feed, alice):
    alice.publish("@acme/gone", "1.0.0")
    alice.publish("@acme/blocked", "1.0.0")
    alice.unpublish("@acme/gone")
    Package.objects.filter(name="@acme/blocked").update(blocked_reason="malware")
    told = {one["id"]: one for one in feed()["results"]}
    assert (told["@acme/gone"]["deleted"], told["@acme/gone"]["type"]) == (True, "PACKAGE_UNPUBLISHED")
    assert told["@acme/blocked"]["deleted"] is True
    alice.publish("@acme/gone", "1.0.1")
    assert "deleted" not in feed()["results"][-1]


@pytest.mark.parametrize("how", ["rule", "scope"])
def test_what_a_rule_or_a_private_scope_withholds_is_told(feed, anyone, upstream, how):
    name = "@acme-inc/box"
    upstream.publish(name, "1.0.0")
    anyone.view(name)
    since = feed()["last_seq"]
    operator = Actor.system("test")
    if how == "rule":
        rules.put("@acme-inc", "blocked", actor=operator)
    else:
        orgs.create("acme-inc", actor=operator)
    assert anyone.view(name).status == 451
    [told] = feed(since=since)["results"]
    assert (told["id"], told["deleted"]) == (name, True)
    with transaction.atomic():
        lifecycle.touch_all([name], actor=operator)
    assert feed(since=since)["results"][-1]["deleted"], "whatever was the last that happened"
    if how == "rule":
        rules.remove("@acme-inc", actor=operator)
    else:
        orgs.delete("acme-inc", actor=operator)
    assert "deleted" not in feed(since=since)["results"][-1]


def test_what_came_from_an_upstream_is_told(feed, anyone, upstream):
    upstream.publish("left-pad", "1.0.0")
    anyone.view("left-pad")
    assert names(feed()) == ["left-pad"]


# --- The order --------------------------------------------------------------------------------------------------------


def test_what_commits_late_comes_late(feed, alice):
    """The row that was written first is committed last: who has come to the other one does not miss it."""
    for name in ("@acme/slow", "@acme/quick"):
        alice.publish(name, "1.0.0")
    since = feed()["last_seq"]
    facts = {"actor": Actor.system("test"), "versions": ["1.0.0"], "message": "old"}

    def in_a_transaction(name: str) -> None:
        with transaction.atomic():
            journal.record(PACKAGE_DEPRECATED, f"package:{name}", **facts)

    if connections["default"].vendor == "sqlite":  # where whoever writes waits for whoever writes
        in_a_transaction("@acme/quick")
        between = feed(since=since)
        in_a_transaction("@acme/slow")
    else:
        with transaction.atomic():
            journal.record(PACKAGE_DEPRECATED, "package:@acme/slow", **facts)
            with ThreadPoolExecutor(1) as elsewhere:
                elsewhere.submit(_then_close, in_a_transaction, "@acme/quick").result()
                between = elsewhere.submit(_then_close, feed, since=since).result()
    assert names(between) == ["@acme/quick"]
    assert names(feed(since=between["last_seq"])) == ["@acme/slow"]


def _then_close(work, *arguments, **options):
    try:
        return work(*arguments, **options)
    finally:
        connections.close_all()


# --- Who sees what ----------------------------------------------------------------------------------------------------


def test_a_restricted_package_is_told_to_those_who_may_read_it(feed, alice, bob, anyone):
    alice.publish("@acme/open", "1.0.0")
    alice.publish("@acme/shut", "1.0.0")
    Package.objects.filter(name="@acme/shut").update(is_restricted=True)
    assert names(feed(alice)) == ["@acme/open", "@acme/shut"]
    assert names(feed(bob)) == names(feed(anyone)) == ["@acme/open"]
    alice.unpublish("@acme/shut")
    assert names(feed(anyone)) == ["@acme/open"]
    assert feed(anyone)["last_seq"] == feed(alice)["last_seq"]


def test_one_that_becomes_public_is_told_then(feed, alice):
    alice.publish("@acme/shut", "1.0.0")
    Package.objects.update(is_restricted=True)
    since = feed()["last_seq"]
    alice.send("POST", "/-/package/@acme%2fshut/access", body={"access": "public"})
    assert names(feed(since=since)) == ["@acme/shut"]


def test_a_closed_registry_tells_nobody_whom_it_does_not_know(feed, alice, anyone, settings):
    alice.publish("@acme/pad", "1.0.0")
    settings.ANONYMOUS_READ = False
    assert anyone.send("GET", "/_changes").status == 401
    assert "update_seq" not in anyone.send("GET", "/").json()
    assert names(feed(alice)) == ["@acme/pad"]


# --- What is asked ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beyond", [1, 10**6, 2**63, 10**29])
def test_beyond_the_end_there_is_nothing(feed, alice, beyond):
    alice.publish("@acme/pad", "1.0.0")
    end = feed()["last_seq"]
    assert feed(since=end + beyond) == {"results": [], "last_seq": end, "pending": 0}


def test_a_follower_of_cnpmcore_begins_ten_places_before_the_newest(feed, alice):
    alice.publish("@acme/a", "1.0.0")
    assert names(feed(since=-7)) == ["@acme/a"]


@pytest.mark.parametrize("text", ["--1", "x", "", "1.5", "1e3", "%00", "%ED%A0%80", "9" * 31, "%D9%A1", "null", "+1"])
@pytest.mark.parametrize("key", ["since", "limit"])
def test_what_is_no_number_is_refused_in_words(anyone, key, text):
    answer = anyone.send("GET", f"/_changes?{key}={text}")
    assert (answer.status, answer.json()["error"]) == (400, f"{key} must be a whole number")


@pytest.mark.parametrize(("limit", "told"), [(0, 1), (1, 1), (2, 2), (10**20, 3)])
def test_the_limit_is_kept_within_reason(feed, alice, limit, told):
    for name in ("@acme/a", "@acme/b", "@acme/c"):
        alice.publish(name, "1.0.0")
    assert len(names(feed(limit=limit))) == told


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
def test_it_is_only_read(alice, method):
    assert alice.send(method, "/_changes", body="{}").status == 405


def test_it_is_no_package(alice, feed):
    assert alice.publish("_changes", "1.0.0").status == 405
    assert "results" in feed()

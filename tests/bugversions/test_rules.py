"""What readers get of a package that a rule is about: the same decision everywhere."""

from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.models import Event
from bugversions import editing, previewing
from bugversions.models import BugVersion
from bugversions.values import Rule
from registry import catalog
from registry.errors import Conflict, Forbidden, Invalid
from registry.models import Package, Version
from tests.actors import CORGI
from tests.bugversions.conftest import WHY

NOWHERE = datetime(2026, 1, 1)  # noqa: DTZ001 (a moment that says no time zone)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _an_hour_is_fresh(upstream, settings):
    settings.FRESH_SECONDS = settings.MISSING_SECONDS = 3600


def single(anyone, spec: str, name: str = "axios"):
    return anyone.send("GET", f"/{name}/{spec}")


# --- Replaced -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("accept", ["application/json", CORGI])
def test_a_replaced_version_is_the_good_one_under_the_bad_number(axios, anyone, rule, accept):
    before = anyone.view("axios", accept=accept).json()
    rule("axios", "1.14.1", "replace", replacement="1.14.0")
    after = anyone.view("axios", accept=accept).json()
    good, bad = before["versions"]["1.14.0"], after["versions"]["1.14.1"]
    said = f"[WARNING] Use 1.14.0 instead of 1.14.1, reason: {WHY}"
    assert bad == {**good, "version": "1.14.1", "deprecated": said}
    assert after["versions"]["1.14.0"] == good
    assert after["dist-tags"] == before["dist-tags"], "tags stay where they were"


def test_what_its_publisher_said_of_it_is_said_too(axios, anyone, rule):
    axios.deprecate("axios", "1.14.1", "broken")
    rule("axios", "1.14.1", "replace", replacement="1.14.0")
    said = anyone.view("axios").json()["versions"]["1.14.1"]["deprecated"]
    assert said == f"broken ([WARNING] Use 1.14.0 instead of 1.14.1, reason: {WHY})"


@pytest.mark.parametrize("spec", ["1.14.1", "latest", "^1.14.0"])
def test_a_single_version_is_what_the_document_says(axios, anyone, rule, spec):
    rule("axios", "1.14.1", "replace", replacement="1.14.0")
    assert single(anyone, spec).json() == anyone.view("axios").json()["versions"]["1.14.1"]


def test_its_tarball_stays_where_lockfiles_expect_it(axios, anyone, rule):
    rule("axios", "1.14.1", "replace", replacement="1.14.0")
    assert anyone.download("axios", "1.14.1").raw == axios.tarball("axios", "1.14.1")
    shown = anyone.view("axios").json()["versions"]["1.14.1"]["dist"]
    assert shown["tarball"].endswith("/axios/-/axios-1.14.0.tgz")


def test_a_replacement_that_is_not_here_leaves_it_as_it_is(axios, anyone, rule):
    before = anyone.view("axios").json()
    rule("axios", "1.14.1", "replace", replacement="9.9.9")
    assert anyone.view("axios").json()["versions"] == before["versions"]


def test_another_mirror_gets_what_was_published(axios, anyone, rule):
    before = anyone.view("axios").json()
    rule("axios", "1.14.1", "replace", replacement="1.14.0")
    rule("axios", "1.13.0", "forbid")
    raw = anyone.send("GET", "/axios?cache=0").json()["versions"]
    assert raw["1.14.1"] == before["versions"]["1.14.1"]
    assert "1.13.0" not in raw, "but not what is withheld"


# --- Overridden ---------------------------------------------------------------------------------------------------


def test_scripts_are_overridden_so_that_nothing_runs(axios, anyone, rule):
    rule("axios", "1.14.1", "override", overrides={"scripts": {"postinstall": ""}})
    full = anyone.view("axios").json()["versions"]["1.14.1"]
    assert full["scripts"] == {}
    assert full["gypfile"] is False, "npm runs node-gyp by itself otherwise"
    assert "hasInstallScript" not in full
    assert "hasInstallScript" not in anyone.view("axios", accept=CORGI).json()["versions"]["1.14.1"]
    assert full["dist"]["tarball"].endswith("/axios-1.14.1.tgz")


def test_a_script_and_dependencies_can_be_replaced(axios, anyone, rule):
    overrides = {"scripts": {"postinstall": "true"}, "dependencies": {"evil": "", "good": "^2.0.0"}}
    rule("axios", ">=1.14.1", "override", overrides=overrides)
    full = anyone.view("axios").json()["versions"]["1.14.1"]
    assert (full["scripts"], full["dependencies"]) == ({"postinstall": "true"}, {"good": "^2.0.0"})
    assert full["hasInstallScript"] is True
    assert anyone.view("axios", accept=CORGI).json()["versions"]["1.14.1"]["dependencies"] == {"good": "^2.0.0"}


def test_the_script_that_stands_for_a_gypfile_goes_with_it(upstream, anyone, rule):
    upstream.publish("native", "1.0.0", scripts={"install": "node-gyp rebuild", "test": "true"}, gypfile=True)
    upstream.publish("native", "1.1.0", scripts={"install": "node-gyp rebuild"})
    rule("native", "1.0.0", "override", overrides={"gypfile": False})
    rule("native", "1.1.0", "override", overrides={"gypfile": False, "scripts": {"install": "make"}})
    versions = anyone.view("native").json()["versions"]
    assert (versions["1.0.0"]["scripts"], versions["1.0.0"]["gypfile"]) == ({"test": "true"}, False)
    assert "hasInstallScript" not in versions["1.0.0"]
    assert "hasInstallScript" not in anyone.view("native", accept=CORGI).json()["versions"]["1.0.0"]
    assert (versions["1.1.0"]["scripts"], versions["1.1.0"]["hasInstallScript"]) == ({"install": "make"}, True)


# --- Withheld -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["hide", "forbid"])
def test_nothing_resolves_to_what_is_withheld(axios, anyone, rule, action):
    axios.set_tag("axios", "newest", "1.14.1")
    rule("axios", "1.14.1", action)
    for accept in ("application/json", CORGI):
        document = anyone.view("axios", accept=accept).json()
        assert list(document["versions"]) == ["1.13.0", "1.14.0"]
        assert document["dist-tags"] == {"old": "1.13.0", "latest": "1.14.0"}, "no tag dangles"
        assert document["policyRestrictions"] == {"message": WHY, "versions": {"1.14.1": {"version": "1.14.1"}}}
    assert anyone.send("GET", "/-/package/axios/dist-tags").json() == {"old": "1.13.0", "latest": "1.14.0"}
    assert single(anyone, "latest").json()["version"] == "1.14.0"
    assert single(anyone, "^1.14.0").json()["version"] == "1.14.0"
    refused = single(anyone, "1.14.1")
    assert (refused.status, refused.json()["error"]) == (451, f"axios@1.14.1 is withheld: {WHY}")
    assert single(anyone, "newest").status == 404


def test_a_hidden_tarball_is_given_to_lockfiles_and_a_forbidden_one_to_nobody(axios, anyone, rule):
    assert anyone.download("axios", "1.14.1").status == 200
    row = rule("axios", "1.14.1", "hide")
    assert anyone.download("axios", "1.14.1").status == 200
    editing.change(row, Rule("axios", "1.14.1", "forbid", WHY), actor=editing.Actor.system("a test"))
    refused = anyone.download("axios", "1.14.1")
    assert (refused.status, refused.json()["error"]) == (451, f"axios@1.14.1 is withheld: {WHY}")
    assert WHY in refused.reason
    assert anyone.download("axios", "1.14.0").status == 200


def test_a_forbidden_version_that_is_not_here_yet_is_not_fetched(axios, anyone, rule):
    rule("axios", "1.14.1", "forbid")
    assert anyone.download("axios", "1.14.1").status == 451
    assert axios.count("*.tgz") == 0


def test_a_rule_about_a_range_is_about_versions_that_are_still_to_come(axios, anyone, rule):
    rule("axios", ">=1.14.1 <2", "forbid")
    axios.publish("axios", "1.15.0-beta.1", tag="beta")
    axios.publish("axios", "1.15.0")
    assert list(anyone.view("axios").json()["versions"]) == ["1.13.0", "1.14.0"]


def test_when_nothing_is_left_there_is_no_latest(axios, anyone, rule):
    rule("axios", "*", "forbid")
    document = anyone.view("axios").json()
    assert (document["versions"], document["dist-tags"]) == ({}, {})
    assert single(anyone, "latest").status == 404


def test_what_is_published_here_is_ruled_too(alice, anyone, rule):
    alice.publish("@acme/box", "1.0.0")
    alice.publish("@acme/box", "1.1.0")
    rule("@acme/box", "1.1.0", "forbid")
    assert anyone.view("@acme/box").json()["dist-tags"] == {"latest": "1.0.0"}
    assert alice.publish("@acme/box", "1.1.0").status == 403, "its number is taken all the same"


def test_search_shows_what_installs_get(axios, anyone, rule, heard):
    anyone.view("axios")
    rule("axios", "1.14.1", "forbid")
    heard()
    [found] = anyone.send("GET", "/-/v1/search?text=axios").json()["objects"]
    assert found["package"]["version"] == "1.14.0"


def test_followers_are_told(axios, anyone, rule, heard):
    anyone.view("axios")
    heard()
    since = anyone.send("GET", "/_changes").json()["last_seq"]
    rule("axios", "1.14.1", "forbid")
    heard()
    [change] = anyone.send("GET", f"/_changes?since={since}").json()["results"]
    assert (change["id"], change["type"]) == ("axios", "PACKAGE_META_CHANGED")


# --- Which rule counts --------------------------------------------------------------------------------------------


def test_ours_win_over_imported_ones_and_exact_ones_over_ranges(axios, anyone, rule):
    BugVersion.objects.create(package="axios", versions="1.14.1", action="forbid", reason=WHY, source="a list")
    rule("axios", "1.14.x", "hide", "a range of ours is wider")
    rule("axios", "1.14.1", "replace", replacement="1.13.0")
    document = anyone.view("axios").json()
    assert list(document["versions"]) == ["1.13.0", "1.14.1"]
    assert document["versions"]["1.14.1"]["deprecated"].startswith("[WARNING] Use 1.13.0")


@pytest.mark.parametrize("hours", [(-2, -1), (1, 2)])
def test_a_rule_counts_while_it_is_valid(axios, anyone, rule, hours):
    start, end = (timezone.now() + timedelta(hours=hour) for hour in hours)
    row = rule("axios", "1.14.1", "forbid", valid_from=start, valid_until=end)
    assert "1.14.1" in anyone.view("axios").json()["versions"]
    facts = {"valid_from": timezone.now() - timedelta(hours=1), "valid_until": timezone.now() + timedelta(hours=1)}
    editing.change(row, Rule("axios", "1.14.1", "forbid", WHY, **facts), actor=editing.Actor.system("a test"))
    assert "1.14.1" not in anyone.view("axios").json()["versions"]
    assert catalog._ring.get(next(iter(catalog._ring._entries))).judged_until == facts["valid_until"].timestamp()


def test_rules_that_follow_each_other_make_different_documents(axios, anyone, rule):
    row = rule("axios", "1.14.1", "replace", replacement="1.14.0", valid_until=timezone.now() + timedelta(hours=1))
    rule("axios", ">=1.14.1", "replace", replacement="1.13.0")
    first = anyone.view("axios")
    BugVersion.objects.filter(pk=row.pk).update(valid_until=timezone.now() - timedelta(seconds=1))
    catalog.forget()
    second = anyone.view("axios")
    assert second.json()["versions"]["1.14.1"]["dist"]["tarball"].endswith("/axios-1.13.0.tgz")
    assert first.headers["etag"] != second.headers["etag"], "by the clock alone, in one revision"
    assert anyone.view("axios", if_none_match=first.headers["etag"]).status == 200


# --- Rules that lead to each other ----------------------------------------------------------------------------------


@pytest.fixture
def imported(db):
    BugVersion.objects.create(
        package="axios", versions="1.14.1", action="replace", replacement="1.14.0", reason="a list says so", source="it"
    )


@pytest.mark.parametrize(("action", "facts"), [("forbid", {}), ("hide", {}), ("replace", {"replacement": "1.13.0"})])
def test_nobody_gets_a_version_whose_replacement_is_bad(axios, anyone, rule, imported, action, facts):
    rule("axios", "1.14.0", action, **facts)
    document = anyone.view("axios").json()
    assert "1.14.1" not in document["versions"], "neither itself nor the other"
    assert document["dist-tags"]["latest"] in document["versions"]
    said = single(anyone, "1.14.1")
    assert said.status == 451
    assert "a list says so; 1.14.0, to use instead, is" in said.json()["error"]
    assert WHY in said.json()["error"]
    assert anyone.download("axios", "1.14.1").status == 200, "lockfiles expect it"


def test_the_preview_tells_that(axios, anyone, imported):
    anyone.view("axios")
    seen = previewing.preview(Rule("axios", "1.14.0", "forbid", WHY))
    assert ("latest", "1.14.1, which is 1.14.0", "1.13.0") in seen.installs
    [warning] = seen.warnings
    assert warning.startswith("1.14.1 is hidden: a list says so; 1.14.0, to use instead, is withheld")


def test_a_replacement_is_served_as_it_is_served_under_its_own_number(axios, anyone, rule):
    axios.publish("axios", "1.14.2", scripts={"postinstall": "node ads.js"})
    rule("axios", "1.14.2", "override", overrides={"scripts": {"postinstall": ""}})
    rule("axios", "1.14.1", "replace", replacement="1.14.2")
    versions = anyone.view("axios").json()["versions"]
    assert versions["1.14.1"] == versions["1.14.2"] | {
        "version": "1.14.1", "deprecated": versions["1.14.1"]["deprecated"]
    }  # fmt: skip
    assert "hasInstallScript" not in versions["1.14.1"]


# --- What is refused when it is saved -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"versions": "latest"}, "neither a version nor a range"),
        ({"versions": "^" * 300}, "neither a version nor a range"),
        ({"package": "../x"}, "name"),
        ({"reason": "short"}, "say why"),
        ({"action": "replace"}, "is no version"),
        ({"action": "replace", "replacement": "^1.0.0"}, "is no version"),
        ({"action": "replace", "replacement": "1.14.1"}, "replaced by itself"),
        ({"action": "forbid", "replacement": "1.0.0"}, "only replace"),
        ({"action": "override"}, "override scripts"),
        ({"action": "override", "overrides": {"bin": {}}}, "override scripts"),
        ({"action": "override", "overrides": {"scripts": {"x": 5}}}, "must be texts"),
        ({"action": "hide", "overrides": {"scripts": {}}}, "only override"),
        ({"valid_from": timezone.now(), "valid_until": timezone.now() - timedelta(1)}, "end before"),
        ({"valid_from": NOWHERE, "valid_until": timezone.now()}, "which time zone"),
        ({"valid_until": NOWHERE}, "which time zone"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(operator, facts, said):
    meant = {"package": "axios", "versions": "1.14.1", "action": "forbid", "reason": WHY}
    with pytest.raises(Invalid) as refused:
        editing.add(Rule(**meant | facts), actor=operator)
    assert said in refused.value.sentence
    assert not BugVersion.objects.exists()
    assert not Event.objects.exists()


def test_chains_and_circles_are_refused(rule):
    rule("axios", "1.14.1", "replace", replacement="1.14.0")
    with pytest.raises(Invalid, match="chains are not followed"):
        rule("axios", "1.14.0", "replace", replacement="1.13.0")
    with pytest.raises(Invalid, match="chains are not followed"):
        rule("axios", "1.13.x || 1.14.0", "forbid")
    with pytest.raises(Invalid, match="chains are not followed"):
        rule("axios", "1.15.0", "replace", replacement="1.14.1")
    assert BugVersion.objects.count() == 1


def test_a_rule_of_ours_does_not_lead_to_what_an_imported_one_is_about(rule):
    BugVersion.objects.create(
        package="axios", versions="1.14.0", action="replace", replacement="1.13.0", reason=WHY, source="a list"
    )
    with pytest.raises(Invalid, match="chains are not followed"):
        rule("axios", "1.14.1", "replace", replacement="1.14.0")
    rule("axios", "1.14.1", "replace", replacement="1.13.0")


def test_only_operators_make_rules(alice):
    with pytest.raises(Forbidden):
        editing.add(
            Rule("axios", "1.14.1", "forbid", WHY),
            actor=editing.Actor(kind=editing.Actor.system("x").kind.__class__.USER, name="alice", user_id=1),
        )


def test_the_same_rule_twice_is_said_to_be_there(rule):
    rule("axios", "1.14.1", "forbid")
    with pytest.raises(Conflict, match="there is such a rule already"):
        rule("axios", "1.14.1", "forbid")


# --- Undone -------------------------------------------------------------------------------------------------------


def test_everything_can_be_undone(axios, anyone, rule, operator):
    whole = list(anyone.view("axios").json()["versions"])
    row = rule("axios", "1.14.1", "forbid")
    editing.change(row, Rule("axios", "1.14.0", "hide", "another reason"), actor=operator)
    assert list(anyone.view("axios").json()["versions"]) == ["1.13.0", "1.14.1"]
    added, changed = Event.objects.filter(kind__startswith="bugversion.").order_by("pk")
    editing.undo(changed, reason="it was a mistake", actor=operator)
    assert list(anyone.view("axios").json()["versions"]) == ["1.13.0", "1.14.0"]
    row.refresh_from_db()
    editing.retire(row, reason="it was a mistake", actor=operator)
    assert list(anyone.view("axios").json()["versions"]) == whole
    editing.undo(Event.objects.get(kind="bugversion.retired"), reason="no, it was right", actor=operator)
    assert list(anyone.view("axios").json()["versions"]) == ["1.13.0", "1.14.0"]
    editing.undo(added, reason="let us begin again", actor=operator)
    assert list(anyone.view("axios").json()["versions"]) == whole


def test_what_does_not_go_with_newer_rules_is_not_undone(axios, anyone, rule, operator):
    row = rule("axios", "1.14.1", "forbid")
    editing.change(row, Rule("axios", "1.14.0", "forbid", WHY), actor=operator)
    rule("axios", "1.14.1", "forbid", "another one by now")
    with pytest.raises(Conflict, match="there is such a rule already"):
        editing.undo(Event.objects.get(kind="bugversion.changed"), reason="it was a mistake", actor=operator)
    other = rule("axios", "1.15.0", "replace", replacement="1.13.0")
    editing.retire(other, reason="it was a mistake", actor=operator)
    rule("axios", "1.13.0", "hide")
    with pytest.raises(Invalid, match="chains are not followed"):
        editing.undo(Event.objects.get(kind="bugversion.retired"), reason="no, it was right", actor=operator)
    assert not Event.objects.filter(kind="bugversion.undone").exists()
    assert BugVersion.objects.get(pk=row.pk).versions == "1.14.0"


# --- Cost ---------------------------------------------------------------------------------------------------------


def test_only_the_package_of_a_rule_has_a_new_revision(axios, anyone, rule):
    axios.publish("other", "1.0.0")
    anyone.view("axios")
    anyone.view("other")
    before = dict(Package.objects.values_list("name", "revision"))
    rule("axios", "1.14.1", "forbid")
    after = dict(Package.objects.values_list("name", "revision"))
    assert {name for name in after if after[name] != before[name]} == {"axios"}


def test_rules_cost_a_document_that_is_ready_nothing(axios, anyone, rule):
    rule("axios", "1.14.1", "replace", replacement="1.14.0")
    BugVersion.objects.bulk_create(
        BugVersion(package=f"pad-{n}", versions="1.0.0", action="forbid", reason=WHY) for n in range(200)
    )
    key = catalog.DocumentKey("axios", catalog.Flavour.FULL, "identity", "http://registry.test")
    catalog.document(
        catalog.PackageName.parse("axios"),
        key.flavour,
        encoding="identity",
        base=key.base,
        viewer=catalog.Actor.system("x"),
    )
    with CaptureQueriesContext(connection) as captured:
        assert catalog.ready(key) is not None
    assert len(captured.captured_queries) <= 1


def test_a_rule_that_comes_while_a_document_is_built_is_in_the_next_one(axios, anyone, rule, monkeypatch):
    anyone.view("axios")
    original = Package.objects.stamp
    made = []

    def stamp(name):
        if not made:
            made.append(rule("axios", "1.14.1", "forbid"))
        return original(name)

    monkeypatch.setattr("registry.documents.Package.objects.stamp", stamp)
    catalog.forget()
    anyone.view("axios", accept_encoding="identity")
    monkeypatch.undo()
    assert list(anyone.view("axios", accept_encoding="identity").json()["versions"]) == ["1.13.0", "1.14.0"]
    assert Version.objects.count() == 3


# --- Edited twice -------------------------------------------------------------------------------------------------


def test_a_rule_is_not_changed_into_one_that_there_is(rule, operator):
    rule("axios", "1.14.1", "forbid")
    editing.retire(rule("axios", "1.12.0", "forbid"), reason="it is good again", actor=operator)
    row = rule("axios", "1.13.0", "forbid")
    for versions, said in (("1.14.1", "there is such a rule already"), ("1.12.0", "there is such a rule, retired")):
        with pytest.raises(Conflict, match=said):
            editing.change(row, Rule("axios", versions, "forbid", WHY), actor=operator)


def test_taking_back_a_change_does_not_bring_a_retired_rule_back(rule, operator):
    row = rule("axios", "1.14.1", "forbid")
    editing.change(row, Rule("axios", "1.14.1", "forbid", "another reason for it"), actor=operator)
    editing.retire(row, reason="it is good again", actor=operator)
    editing.undo(Event.objects.get(kind="bugversion.changed"), reason="the first words were better", actor=operator)
    row.refresh_from_db()
    assert (row.is_active, row.reason) == (False, WHY)


def test_two_rules_that_lead_to_each_other_are_not_both_made(operator, crowd):
    def add(bad: str, good: str) -> bool:
        try:
            editing.add(Rule("axios", bad, "replace", WHY, good), actor=operator)
        except Invalid:
            return False
        return True

    for number in range(5):
        pair = [(f"1.{number}.0", f"2.{number}.0"), (f"2.{number}.0", f"1.{number}.0")]
        turns = iter(pair)
        made = crowd(2, lambda turns=turns: add(*next(turns)))
        assert sorted(future.result(20) for future in made) == [False, True]

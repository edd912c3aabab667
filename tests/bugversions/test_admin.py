"""Operators make rules in the admin: they see before what a rule would do, say why, and can take it back."""

import json
from datetime import UTC, datetime

import pytest
from django.core.management import call_command
from django.test import Client

from audit.models import Event
from bugversions import clocks, importing
from bugversions.models import BugVersion, Freeze, Hold
from registry import counting
from registry.models import User, Version
from tests.bugversions.conftest import WHY

pytestmark = pytest.mark.django_db(transaction=True)

BASE = "/-/admin/bugversions"
FORM = {
    "package": "axios",
    "versions": "1.14.1",
    "action": "forbid",
    "reason": WHY,
    "replacement": "",
    "overrides": "{}",
}
FORM |= {"valid_from_0": "", "valid_from_1": "", "valid_until_0": "", "valid_until_1": ""}


@pytest.fixture
def root(settings) -> Client:
    settings.FRESH_SECONDS = settings.MISSING_SECONDS = 3600
    backend = "django.contrib.staticfiles.storage.StaticFilesStorage"
    settings.STORAGES = {**settings.STORAGES, "staticfiles": {"BACKEND": backend}}
    client = Client()
    client.force_login(User.objects.create_superuser("root"), backend="django.contrib.auth.backends.ModelBackend")
    return client


def page(answer) -> str:
    assert answer.status_code == 200, answer
    return answer.content.decode()


def served(anyone) -> list[str]:
    return list(anyone.view("axios").json()["versions"])


def test_a_rule_is_made_changed_and_retired(axios, anyone, root):
    served(anyone)
    root.post(f"{BASE}/bugversion/add/", FORM)
    row = BugVersion.objects.get()
    assert served(anyone) == ["1.13.0", "1.14.0"]
    root.post(f"{BASE}/bugversion/{row.pk}/change/", FORM | {"versions": "1.14.x"})
    assert served(anyone) == ["1.13.0"]
    action = {"action": "retire", "_selected_action": [row.pk], "reason": "it was the wrong one"}
    assert "counts no more" in page(root.post(f"{BASE}/bugversion/", action, follow=True))
    assert served(anyone) == ["1.13.0", "1.14.0", "1.14.1"]
    told = Event.objects.filter(kind__startswith="bugversion.").order_by("pk")
    assert [(one.kind, one.actor_name) for one in told] == [
        ("bugversion.added", "root"),
        ("bugversion.changed", "root"),
        ("bugversion.retired", "root"),
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"reason": "so"}, "in 10 characters"),
        ({"versions": "latest"}, "neither a version nor a range"),
        ({"action": "replace", "replacement": "1.14.1"}, "replaced by itself"),
        ({"action": "override", "overrides": '{"bin": 1}'}, "override scripts"),
    ],
)
def test_what_makes_no_sense_is_said_above_the_page(axios, root, change, said):
    assert said in page(root.post(f"{BASE}/bugversion/add/", FORM | change, follow=True))
    assert said in page(root.post(f"{BASE}/bugversion/preview/", FORM | change)) or "in 10 characters" in said
    assert not BugVersion.objects.exists()


def test_a_reason_is_asked_for_when_a_rule_is_retired(rule, root):
    row = rule("axios", "1.14.1", "forbid")
    action = {"action": "retire", "_selected_action": [row.pk], "reason": "so"}
    assert "in 10 characters" in page(root.post(f"{BASE}/bugversion/", action, follow=True))
    assert BugVersion.objects.get().is_active


def test_the_preview_says_what_installs_get_and_who_has_it_and_changes_nothing(axios, anyone, alice, root):
    served(anyone)
    alice.download("axios", "1.14.1")
    counting.flush()
    shown = page(root.post(f"{BASE}/bugversion/preview/", FORM | {"action": "replace", "replacement": "1.14.0"}))
    assert "installs get 1.14.0" in shown
    assert "<td>latest</td><td>1.14.1</td><td>1.14.1, which is 1.14.0</td>" in shown
    assert "[WARNING] Use 1.14.0 instead of 1.14.1" in shown
    assert "steal.js" in shown, "what goes is shown too"
    assert "Downloaded by user:alice (1, last on" in " ".join(shown.split())
    shown = page(root.post(f"{BASE}/bugversion/preview/", FORM))
    assert "<td>^1.0.0</td><td>1.14.1</td><td>1.14.0</td>" in shown
    shown = page(root.post(f"{BASE}/bugversion/preview/", FORM | {"versions": "*"}))
    assert "nothing is left of axios: all 3 versions are withheld" in shown
    shown = page(root.post(f"{BASE}/bugversion/preview/", FORM | {"package": "unknown"}))
    assert "unknown is not here yet" in shown
    shown = page(root.post(f"{BASE}/bugversion/preview/", FORM | {"package": ""}))
    assert "package: This field is required" in shown
    assert not BugVersion.objects.exists()
    assert 'name="preview"' in page(root.get(f"{BASE}/bugversion/add/"))


def test_what_is_withheld_is_on_one_page_and_taken_back_from_there(axios, anyone, rule, root, operator):
    served(anyone)
    rule("axios", "1.14.1", "forbid")
    clocks.hold("left-*", 3600, reason="they wait for others", actor=operator)
    shown = page(root.get(f"{BASE}/bugversion/withheld/"))
    assert f"<td>axios</td><td>1.14.1</td><td>forbid</td><td>{WHY}</td><td>local</td>" in shown
    assert "left-* is held for 3600 seconds" in shown
    assert 'href="/-/admin/bugversions/bugversion/withheld/"' in page(root.get(f"{BASE}/bugversion/"))
    event = Event.objects.get(kind="bugversion.added")
    said = page(root.post(f"{BASE}/bugversion/undo/{event.pk}/", {"reason": "so"}, follow=True))
    assert "in 10 characters" in said
    root.post(f"{BASE}/bugversion/undo/{event.pk}/", {"reason": "it was a mistake"})
    assert "1.14.1" in served(anyone)


def test_holds_and_freezes(axios, anyone, root):
    served(anyone)
    root.post(f"{BASE}/hold/add/", {"pattern": "*", "seconds": 10**8, "allowed": "[]", "upstream": "", "reason": WHY})
    assert served(anyone) == []
    assert page(root.get(f"{BASE}/bugversion/withheld/")).count("<td>hold</td><td>held until") == 3
    hold = Hold.objects.get()
    root.post(f"{BASE}/hold/", {"action": "end", "_selected_action": [hold.pk], "reason": "nobody can wait"})
    assert len(served(anyone)) == 3
    root.post(f"{BASE}/freeze/add/", {"since_0": "2020-01-01", "since_1": "00:00:00", "reason": WHY})
    assert served(anyone) == []
    freeze = Freeze.objects.get()
    root.post(f"{BASE}/freeze/", {"action": "lift", "_selected_action": [freeze.pk], "reason": "the worm is dead"})
    assert len(served(anyone)) == 3


def test_each_import_has_its_diff(root, operator):
    table = {"bug-versions": {"axios": {"1.14.1": {"version": "1.14.0", "reason": WHY}}}}
    row = importing.bring_in(table, number="1.0.0", actor=operator)
    importing.refuse("2.0.0", "it is broken", actor=operator)
    shown = page(root.get(f"{BASE}/ruleimport/"))
    assert "it is broken" in shown
    assert "replace axios@1.14.1" in page(root.get(f"{BASE}/ruleimport/{row.pk}/change/"))


def test_nobody_else_sees_it(client, root):
    for place in ("preview/", "withheld/", "undo/1/", ""):
        assert client.get(f"{BASE}/bugversion/{place}").status_code in (302, 403)
    client.force_login(
        User.objects.create_user("bob", is_staff=True), backend="django.contrib.auth.backends.ModelBackend"
    )
    for place in ("preview/", "withheld/", "undo/1/", ""):
        assert client.get(f"{BASE}/bugversion/{place}").status_code == 403


def test_a_rule_whose_replacement_is_not_here_is_told_of(axios, anyone, rule, root, capsys):
    served(anyone)
    rule("axios", "1.14.1", "replace", replacement="9.9.9")
    rule("other", "1.0.0", "replace", replacement="9.9.9")
    assert "axios@1.14.1 is left as it is, since 9.9.9 is not here" in page(root.get(f"{BASE}/bugversion/withheld/"))
    call_command("bugversions", "list")
    said = capsys.readouterr().err
    assert "axios@1.14.1 is left as it is: 9.9.9 is not here (local)" in said
    assert "other" not in said, "it is not here at all"


def test_the_preview_may_be_shown_inside_the_form(axios, root):
    assert root.post(f"{BASE}/bugversion/preview/", FORM)["X-Frame-Options"] == "SAMEORIGIN"


def test_who_must_be_told_is_printed(axios, anyone, alice, capsys):
    served(anyone)
    alice.download("axios", "1.14.1")
    anyone.download("axios", "1.14.0")
    counting.flush()
    call_command("bugversions", "who", "axios", ">=1.14.1")
    shown = capsys.readouterr().out
    assert ("user:alice" in shown, "1 people and addresses in 30 days" in shown) == (True, True)
    call_command("bugversions", "who", "axios", "--json")
    assert {(row["who"], row["version"]) for row in json.loads(capsys.readouterr().out)} == {
        ("user:alice", "1.14.1"), ("address:127.0.0.1", "1.14.0"),
    }  # fmt: skip


def test_the_preview_minds_what_is_held_and_what_a_changed_rule_lets_go(axios, anyone, rule, operator, root):
    served(anyone)
    Version.objects.filter(number="1.13.0").update(published_at=datetime(2020, 1, 1, tzinfo=UTC))
    row = rule("axios", "1.14.1", "forbid")
    changed = FORM | {"versions": "1.13.0", "row": str(row.pk)}
    shown = " ".join(page(root.post(f"{BASE}/bugversion/preview/", changed)).split())
    assert "1.14.1 is not held back any more" in shown
    assert "<td>latest</td><td>1.14.0</td><td>1.14.1</td>" in shown
    clocks.hold("*", 7 * 24 * 3600, reason=WHY, actor=operator)
    shown = page(root.post(f"{BASE}/bugversion/preview/", FORM | {"versions": "1.13.0"}))
    assert "<td>latest</td><td>1.13.0</td><td>nothing</td>" in shown
    assert 'name="row"' in page(root.get(f"{BASE}/bugversion/{row.pk}/change/"))


def test_many_versions_of_one_package_hide_no_other(axios, anyone, rule, root):
    served(anyone)
    for number in range(30):
        axios.publish("many", f"1.0.{number}")
    anyone.view("many")
    rule("many", "*", "hide")
    rule("axios", "1.14.1", "forbid")
    shown = page(root.get(f"{BASE}/bugversion/withheld/"))
    assert ("and 10 more versions" in shown, "<td>axios</td><td>1.14.1</td>" in shown) == (True, True)


def test_a_hold_stays_about_what_it_is_about(root, operator):
    row = clocks.hold("left-*", 3600, reason=WHY, actor=operator)
    other = {"pattern": "right-*", "upstream": "x", "seconds": 60, "allowed": "[]", "reason": "they wait less by now"}
    root.post(f"{BASE}/hold/{row.pk}/change/", other)
    assert list(Hold.objects.values_list("pattern", "upstream", "seconds")) == [("left-*", "", 60)]


@pytest.mark.parametrize("allowed", ['"typescript"', "[1]", "5", "true", "[null]"])
def test_odd_lists_of_names_are_refused_in_words(root, allowed):
    hold = {"pattern": "*", "upstream": "", "seconds": "3600", "reason": WHY, "allowed": allowed}
    assert "are a list of texts" in page(root.post(f"{BASE}/hold/add/", hold, follow=True))
    assert not Hold.objects.exists()

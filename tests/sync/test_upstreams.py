"""Operators keep upstreams and rules: on the command line and in the admin, with secrets that stay secret."""

import base64
import io
import json
import sys

import pytest
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.test import Client

from audit.actors import Actor
from audit.models import Event
from registry import secrecy
from registry.errors import Forbidden, Invalid, NotFound
from registry.models import Package, User
from registry.names import PackageName
from sync import moving, queue, routing, rules, upstreams
from sync.models import Fallback, Freshness, ScopeRule, SyncTask, Upstream
from tests.fake_upstream import FakeUpstream

pytestmark = pytest.mark.django_db(transaction=True)

OPERATOR = Actor.system("a test")
SECRET = "npm_0123456789"


def manage(*arguments: str, typed: str = "") -> str:
    """What `manage.py` prints."""
    printed = io.StringIO()
    stdin, sys.stdin = sys.stdin, io.StringIO(typed)
    try:
        call_command(*arguments, stdout=printed)
    finally:
        sys.stdin = stdin
    return printed.getvalue()


@pytest.fixture
def corp(upstream):
    """A registry that answers nobody without its token; names of @corp come from it."""
    with FakeUpstream() as fake:
        fake.authorization = f"Bearer {SECRET}"
        manage("upstream", "add", "corp", fake.url, "--kind", "verdaccio", "--token-stdin", typed=f"{SECRET}\n")
        rules.put("@corp", "proxy", ["corp"], actor=OPERATOR)
        yield fake


def shown_to(fake: FakeUpstream) -> set[str | None]:
    return {request.headers.get("authorization") for request in fake.requests}


# --- Credentials ----------------------------------------------------------------------------------------------------


def test_an_upstream_sees_its_token_and_nobody_else_does(corp, upstream, anyone):
    corp.publish("@corp/pad", "1.0.0")
    upstream.publish("left-pad", "1.0.0")
    assert anyone.download("@corp/pad", "1.0.0").raw == corp.tarball("@corp/pad", "1.0.0")
    assert anyone.download("left-pad", "1.0.0").status == 200
    assert (shown_to(corp), shown_to(upstream)) == ({f"Bearer {SECRET}"}, {None})


def test_a_name_and_password_are_sent_as_such(corp, anyone):
    corp.authorization = f"Basic {base64.b64encode(b'ci:s3cret:x').decode()}"
    upstreams.set_credentials("corp", "ci:s3cret:x", actor=OPERATOR)
    corp.publish("@corp/pad", "1.0.0")
    assert anyone.view("@corp/pad").status == 200


def test_the_host_of_a_tarball_does_not_see_it(corp, anyone):
    with FakeUpstream() as files:
        files.publish("@corp/pad", "1.0.0")
        corp.publish("@corp/pad", "1.0.0", dist={"tarball": f"{files.url}/@corp/pad/-/pad-1.0.0.tgz"})
        assert anyone.download("@corp/pad", "1.0.0").status == 200
        assert shown_to(files) == {None}


@pytest.mark.parametrize("asked", ["*.tgz", "/@corp/pad"])
def test_nor_does_who_it_redirects_to(corp, anyone, asked):
    with FakeUpstream() as files:
        files.publish("@corp/pad", "1.0.0")
        corp.publish("@corp/pad", "1.0.0")
        corp.fault(asked, "redirect", to=f"{files.url}{{path}}")
        assert anyone.download("@corp/pad", "1.0.0").status == 200
        assert (files.count() > 0, shown_to(files)) == (True, {None})


def test_it_is_sealed_and_never_told(corp, anyone, caplog):
    assert SECRET not in Upstream.objects.get(name="corp").credentials
    assert secrecy.unseal(Upstream.objects.get(name="corp").credentials) == SECRET
    corp.stop()
    anyone.view("@corp/pad")
    told = [manage("upstream", "list"), manage("route", "@corp/pad", "--json"), caplog.text]
    told += [json.dumps(event.facts) for event in Event.objects.all()]
    assert "with credentials" in told[0]
    assert not [text for text in told if SECRET in text]


def test_without_the_key_it_was_sealed_with_nothing_is_asked(corp, anyone, settings):
    """To ask without credentials would be to be told that private packages do not exist."""
    corp.publish("@corp/pad", "1.0.0")
    settings.SECRET_KEY = "another key"
    answer = anyone.view("@corp/pad")
    assert (answer.status, "credentials of corp cannot be read" in answer.json()["error"]) == (503, True)
    assert corp.count() == 0
    assert "sync.W015" in found_by_checks()


def test_at_another_origin_it_is_forgotten(corp, upstream):
    upstreams.change("corp", url=f"{corp.url}/npm/", actor=OPERATOR)
    assert Upstream.objects.get(name="corp").credentials
    upstreams.change("corp", url=upstream.url, actor=OPERATOR)
    row = Upstream.objects.get(name="corp")
    assert (row.url, row.credentials) == (upstream.url, "")
    last = Event.objects.order_by("-pk")[0]
    assert (last.kind, last.facts) == ("upstream.credentials.changed", {"is_set": False})


def test_so_is_that_of_the_default_upstream(upstream, settings):
    upstreams.set_credentials("default", SECRET, actor=OPERATOR)
    Freshness.objects.create(upstream=Upstream.objects.get(), name="x", checked_at="2026-01-01T00:00:00Z")
    with FakeUpstream() as other:
        settings.UPSTREAM_URL = other.url
        assert routing.default_upstream().credentials == ""
        assert (Upstream.objects.get().credentials, Freshness.objects.count()) == ("", 0)


@pytest.mark.parametrize("secret", [f"Bearer {SECRET}", "a\nb:c", "a\r\nX-Evil: 1", "tökén", "x" * 4097, "a:\ud800"])
def test_what_cannot_be_sent_is_refused(corp, secret):
    with pytest.raises(Invalid, match="credentials are a token"):
        upstreams.set_credentials("corp", secret, actor=OPERATOR)


def test_a_key_that_is_made_at_each_start_keeps_no_secret(upstream, settings):
    settings.SECRET_KEY_IS_EPHEMERAL = True
    with pytest.raises(CommandError, match="set LARDER_SECRET_KEY first"):
        manage("upstream", "set", "default", "--token-stdin", typed=SECRET)


# --- Adding and changing --------------------------------------------------------------------------------------------


def test_what_an_operator_does_is_recorded(corp, effects):
    manage("upstream", "set", "corp", "--max-at-once", "3", "--feed-url", f"{corp.url}/_changes?include=1")
    manage("upstream", "set", "corp", "--max-at-once", "3")  # which it is already
    manage("upstream", "set", "corp", "--no-token")
    manage("upstream", "set", "corp", "--reset")
    manage("rule", "set", "@corp", "mirror", "corp", "default")
    manage("rule", "remove", "@corp/*")
    manage("upstream", "remove", "corp")
    assert effects() == [
        "upstream.changed upstream:corp by manage.py upstream",
        "upstream.credentials.changed upstream:corp by manage.py upstream",
        "upstream.reset upstream:corp by manage.py upstream",
        "rule.set rule:@corp/* by manage.py rule",
        "rule.removed rule:@corp/* by manage.py rule",
        "upstream.removed upstream:corp by manage.py upstream",
    ]
    facts = dict(Event.objects.values_list("kind", "facts"))
    assert facts["upstream.changed"]["fields"] == ["feed_url", "max_at_once"]
    assert facts["rule.set"] == {
        "mode": "mirror",
        "upstreams": ["corp", "default"],
        "previous": {"mode": "proxy", "upstreams": ["corp"]},
    }


def test_an_upstream_that_was_changed_is_taken_for_well_and_asked_anew(corp, anyone, settings):
    settings.MISSING_SECONDS = 300
    corp.publish("@corp/pad", "1.0.0")
    upstreams.set_credentials("corp", "wrong", actor=OPERATOR)
    assert anyone.view("@corp/pad").status == 503
    Upstream.objects.filter(name="corp").update(failures=9, resting_until="2099-01-01T00:00:00Z", last_error="ill")
    upstreams.set_credentials("corp", SECRET, actor=OPERATOR)
    assert anyone.view("@corp/pad").status == 200
    assert Upstream.objects.get(name="corp").last_error == ""


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"url": "ftp://x.example"}, "is not an http or https URL"),
        ({"url": "https://user:pass@x.example"}, "carries a name and password"),
        ({"url": "https://x.example/?a=1"}, "ends with its path"),
        ({"url": "https://x.example/\x00"}, "is not an http or https URL"),
        ({"url": "http://["}, "is not a URL"),
        ({"url": "http://127.0.0.1:8000"}, "is this registry itself"),
        ({"url": "https://" + "x" * 500}, "is not an http or https URL"),
        ({"url": "file:///tmp"}, "is not an http or https URL"),
        ({"url": "https://x.example", "kind": "folder"}, "file:///and/its/path"),
        ({"url": "file:///", "kind": "folder"}, "file:///and/its/path"),
        ({"url": "file://host/x", "kind": "folder"}, "file:///and/its/path"),
        ({"url": "https://x.example", "kind": "nexus"}, "there is no kind"),
        ({"url": "https://x.example", "feed_url": "nowhere"}, "is not an http or https URL"),
        ({"url": "https://x.example", "max_at_once": -1}, "limits are whole numbers"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_in_words(upstream, facts, sentence):
    with pytest.raises(Invalid, match=sentence):
        upstreams.add("other", actor=OPERATOR, **facts)
    assert not Upstream.objects.filter(name="other").exists()


def test_a_host_need_have_no_dot(upstream):
    assert upstreams.add("other", url="http://verdaccio:4873/", actor=OPERATOR).url == "http://verdaccio:4873"


@pytest.mark.parametrize("name", ["", "Corp", "a b", "-a", "x" * 101, "default", "corp"])
def test_a_name_is_plain_and_nobody_elses(corp, name):
    with pytest.raises(Invalid):
        upstreams.add(name, url="https://x.example", actor=OPERATOR)


def test_the_default_upstream_is_where_the_setting_says(upstream):
    with pytest.raises(Invalid, match="set that"):
        upstreams.change("default", url="https://x.example", actor=OPERATOR)
    with pytest.raises(Invalid, match="set that to none"):
        moving.remove("default", actor=OPERATOR)
    assert upstreams.change("default", max_per_minute=60, actor=OPERATOR).max_per_minute == 60


def test_only_operators_may(corp, alice):
    actor = Actor.user("alice", user_id=User.objects.get().pk)
    for attempt in (
        lambda: upstreams.add("other", url="https://x.example", actor=actor),
        lambda: upstreams.change("corp", is_enabled=False, actor=actor),
        lambda: upstreams.set_credentials("corp", "x", actor=actor),
        lambda: upstreams.reset("corp", actor=actor),
        lambda: moving.move("corp", "default", actor=actor),
        lambda: moving.remove("corp", actor=actor),
        lambda: rules.put("@corp", "blocked", actor=actor),
        lambda: rules.remove("@corp/*", actor=actor),
    ):
        with pytest.raises(Forbidden, match="only operators"):
            attempt()


def test_trying_it_out_says_what_came_and_keeps_nothing(corp):
    corp.publish("@corp/pad", "1.0.0")
    said = manage("upstream", "test", "corp", "@corp/pad")
    assert "corp answered 200 for @corp/pad in " in said
    assert ": 1 versions, the latest 1.0.0, " in said
    with pytest.raises(CommandError, match="corp answered 404 for npm"):
        manage("upstream", "test", "corp")
    upstreams.set_credentials("corp", "wrong", actor=OPERATOR)
    with pytest.raises(CommandError, match="corp answered 401"):
        manage("upstream", "test", "corp", "@corp/pad")
    corp.stop()
    with pytest.raises(CommandError, match="cannot be reached"):
        manage("upstream", "test", "corp", "@corp/pad")
    with pytest.raises(CommandError, match="there is no upstream nobody"):
        manage("upstream", "test", "nobody")
    assert not Package.objects.exists()
    assert Upstream.objects.get(name="corp").failures == 0


def test_cnpm_registries_are_asked_for_what_the_publisher_said(corp, anyone):
    corp.publish("@corp/pad", "1.0.0")
    upstreams.change("corp", kind="cnpmcore", actor=OPERATOR)
    assert anyone.view("@corp/pad").status == 200
    assert corp.last("/@corp/pad").target.endswith("?cache=0")


# --- Rules ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (("@corp*", "proxy"), "is no pattern"),
        (("left pad", "proxy"), "is no pattern"),
        (("@corp", "public"), "there is no mode"),
        (("@corp", "private", ["corp"]), "comes from no upstream"),
        (("@acme", "proxy"), "in a private scope"),
        (("@ACME/x-*", "migrate", ["corp"]), "in a private scope"),
    ],
    ids=str,
)
def test_a_rule_that_makes_no_sense_is_refused_in_words(corp, given, sentence):
    with pytest.raises(Invalid, match=sentence):
        rules.put(*given, actor=OPERATOR)


def test_a_rule_names_upstreams_that_there_are_and_each_once(corp):
    with pytest.raises(NotFound, match="there is no upstream nobody"):
        rules.put("@corp", "proxy", ["corp", "nobody"], actor=OPERATOR)
    rule = rules.put("@corp", "proxy", ["default", "corp", "default"], actor=OPERATOR)
    assert rules.names_of(rule) == ["default", "corp"]
    assert manage("rule", "list") == "@corp/* proxy default corp\n"
    with pytest.raises(NotFound, match="there is no rule for x"):
        rules.remove("x", actor=OPERATOR)


def test_a_rule_of_old_is_found_by_either_spelling(corp):
    ScopeRule.objects.all().delete()
    old = ScopeRule.objects.create(pattern="@Corp", mode="blocked")
    rules.put("@corp/*", "proxy", ["corp"], actor=OPERATOR)
    row = ScopeRule.objects.get()
    assert (row.pk, row.pattern, row.mode) == (old.pk, "@corp/*", "proxy")
    ScopeRule.objects.update(pattern="@Corp")
    rules.remove("@corp", actor=OPERATOR)
    assert not ScopeRule.objects.exists()


def test_where_names_come_from_is_told_in_words(corp, anyone):
    corp.publish("@corp/pad", "1.0.0")
    anyone.view("@corp/pad")
    rules.put("@corp", "mirror", ["corp", "default"], actor=OPERATOR)
    assert manage("route", "@corp/pad", "@acme/x", "left-pad").splitlines() == [
        "@corp/pad", "  rule       @corp/*", "  mode       mirror", "  upstreams  corp",
        "  why        it came from corp", "  here       from corp", "",
        "@acme/x", "  rule       none fits", "  mode       private", "  upstreams  none",
        "  why        @acme is a private scope of this registry", "  here       no", "",
        "left-pad", "  rule       none fits", "  mode       proxy", "  upstreams  default",
        "  why        the default upstream", "  here       no",
    ]  # fmt: skip
    [told] = json.loads(manage("route", "@corp/new", "--json"))
    assert (told["upstreams"], told["why"]) == (["corp", "default"], "the rule for @corp/*")
    with pytest.raises(CommandError, match="is not a package name"):
        manage("route", "no name")


# --- Moving and removing --------------------------------------------------------------------------------------------


def test_an_upstream_in_use_is_not_removed(corp, anyone):
    corp.publish("@corp/pad", "1.0.0")
    anyone.view("@corp/pad")
    SyncTask.objects.create(name="@corp/pad", upstream=Upstream.objects.get(name="corp"))
    with pytest.raises(CommandError) as refused:
        manage("upstream", "remove", "corp")
    for words in ("1 packages came from it", "1 tasks want to ask it", "rules name it (@corp/*)", "remove corp --to"):
        assert words in str(refused.value)
    assert Upstream.objects.filter(name="corp").exists()


def test_with_an_heir_nothing_dangles(corp, anyone, later, effects):
    corp.publish("@corp/pad", "1.0.0")
    anyone.view("@corp/pad")
    old = Upstream.objects.get(name="corp")
    with FakeUpstream() as fake:
        upstreams.add("heir", url=fake.url, actor=OPERATOR)
        rules.put("@both", "proxy", ["corp", "heir"], actor=OPERATOR)
        done = SyncTask.objects.create(name="x", upstream=old, state=SyncTask.State.DONE)
        live = queue.ask("@corp/pad", why="a test", upstream=old)
        effects()
        manage("upstream", "remove", "corp", "--to", "heir")
        assert effects()[:2] == [
            "upstream.moved upstream:corp by manage.py upstream",
            "upstream.removed upstream:corp by manage.py upstream",
        ]
        assert Package.objects.get().origin == "heir"
        assert {rule.pattern: rules.names_of(rule) for rule in ScopeRule.objects.all()} == {
            "@corp/*": ["heir"],
            "@both/*": ["heir"],
        }
        assert not Fallback.objects.exists()
        done.refresh_from_db()
        live.refresh_from_db()
        assert (done.upstream, live.upstream.name) == (None, "heir")
        fake.publish("@corp/pad", "1.0.0")
        fake.publish("@corp/pad", "1.1.0")
        later()
        assert list(anyone.view("@corp/pad").json()["versions"]) == ["1.0.0", "1.1.0"]


def test_single_packages_can_be_moved_and_only_where_they_came_from(corp, upstream, anyone):
    for name in ("left-pad", "right-pad"):
        upstream.publish(name, "1.0.0")
        anyone.view(name)
    assert manage("upstream", "move", "default", "corp", "left-pad") == "1 packages come from corp now\n"
    assert dict(Package.objects.values_list("name", "origin")) == {"left-pad": "corp", "right-pad": "default"}
    with pytest.raises(NotFound, match="left-pad did not come from default"):
        moving.move("default", "corp", [PackageName.parse("left-pad")], actor=OPERATOR)
    with pytest.raises(Invalid, match="cannot be moved to itself"):
        moving.move("corp", "corp", actor=OPERATOR)
    assert Event.objects.get(kind="upstream.moved").facts == {"packages": 1, "to": "corp", "names": ["left-pad"]}


# --- Checks ---------------------------------------------------------------------------------------------------------


def found_by_checks() -> set[str]:
    return {message.id for message in run_checks(tags=["database"], databases=["default"])}


def test_contradictions_are_found(corp):
    assert found_by_checks() == set()
    Upstream.objects.filter(name="corp").update(url="http://corp.example", is_enabled=False)
    for pattern, mode in {"@corp": "blocked", "@acme": "proxy", "@c*": "private"}.items():
        ScopeRule.objects.create(pattern=pattern, mode=mode)
    assert found_by_checks() == {f"sync.W0{number}" for number in (10, 11, 12, 13, 14)}


# --- The admin ------------------------------------------------------------------------------------------------------


@pytest.fixture
def browser(transactional_db) -> Client:
    """An operator's, signed in to the admin."""
    client = Client(SERVER_NAME="registry.test")
    client.force_login(
        User.objects.create(username="root", is_staff=True, is_superuser=True),
        backend="django.contrib.auth.backends.ModelBackend",
    )
    return client


def form(**change: object) -> dict[str, object]:
    kept = {"name": "corp", "kind": "npm", "is_enabled": "on", "max_at_once": 8, "max_per_minute": 0, "feed_url": ""}
    return {**kept, **change}


def said(page) -> str:
    return page.content.decode()


def test_an_operator_adds_one_in_the_browser_and_never_sees_its_token_again(upstream, browser):
    page = browser.post("/-/admin/sync/upstream/add/", form(address="http://verdaccio:4873/", secret=SECRET))
    assert page.status_code == 302, said(page)
    row = Upstream.objects.get(name="corp")
    assert (row.url, secrecy.unseal(row.credentials)) == ("http://verdaccio:4873", SECRET)
    url = f"/-/admin/sync/upstream/{row.pk}/change/"
    shown = said(browser.get(url))
    assert (SECRET in shown, row.credentials in shown, "not set" in shown) == (False, False, False)
    assert browser.post(url, form(address=row.url, max_at_once=2)).status_code == 302
    row.refresh_from_db()
    assert (row.max_at_once, bool(row.credentials)) == (2, True)
    assert browser.post(url, form(address=row.url, is_without="on")).status_code == 302
    assert Upstream.objects.get(name="corp").credentials == ""
    assert "not set" in said(browser.get(url))
    assert {(event.kind, event.actor_name) for event in Event.objects.exclude(kind__startswith="user")} == {
        ("upstream.added", "root"), ("upstream.changed", "root"), ("upstream.credentials.changed", "root"),
    }  # fmt: skip


def test_what_the_verb_refuses_is_said_in_the_browser(corp, browser):
    row = Upstream.objects.get(name="corp")
    page = browser.post(f"/-/admin/sync/upstream/{row.pk}/change/", form(address="ftp://x"), follow=True)
    assert "is not an http or https URL" in said(page)
    page = browser.post(f"/-/admin/sync/upstream/{row.pk}/delete/", {"post": "yes"}, follow=True)
    assert "is in use: rules name it (@corp" in said(page)
    assert Upstream.objects.get(name="corp").url == corp.url


def test_an_ill_one_is_asked_again_by_a_click(corp, browser):
    row = Upstream.objects.get(name="corp")
    Upstream.objects.filter(pk=row.pk).update(failures=9, resting_until="2099-01-01T00:00:00Z")
    browser.post("/-/admin/sync/upstream/", {"action": "reset", "_selected_action": [row.pk]})
    row.refresh_from_db()
    assert (row.failures, row.resting_until) == (0, None)
    assert "delete_selected" not in said(browser.get("/-/admin/sync/upstream/"))


def test_a_rule_is_made_with_its_upstreams_in_order(corp, browser):
    default, row = routing.default_upstream(), Upstream.objects.get(name="corp")
    given = {
        "pattern": "@team", "mode": "mirror", "upstream": row.pk,
        "fallbacks-TOTAL_FORMS": 1, "fallbacks-INITIAL_FORMS": 0,
        "fallbacks-0-position": 1, "fallbacks-0-upstream": default.pk,
    }  # fmt: skip
    page = browser.post("/-/admin/sync/scoperule/add/", given)
    assert page.status_code == 302, said(page)
    made = ScopeRule.objects.get(pattern="@team/*")
    assert (made.mode, rules.names_of(made)) == ("mirror", ["corp", "default"])
    kept = Fallback.objects.get()
    given |= {"fallbacks-INITIAL_FORMS": 1, "fallbacks-0-id": kept.pk, "fallbacks-0-rule": made.pk}
    url = f"/-/admin/sync/scoperule/{made.pk}/change/"
    page = browser.post(url, {**given, "upstream": "", "mode": "private", "fallbacks-0-DELETE": "on"})
    assert page.status_code == 302, said(page)
    assert (ScopeRule.objects.get(pattern="@team/*").mode, Fallback.objects.count()) == ("private", 0)
    assert browser.post(f"/-/admin/sync/scoperule/{made.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not ScopeRule.objects.filter(pattern="@team/*").exists()
    kinds = Event.objects.filter(subject="rule:@team/*").order_by("pk").values_list("kind", flat=True)
    assert list(kinds) == ["rule.set", "rule.set", "rule.removed"]


def test_a_page_tells_where_names_come_from(corp, browser, anyone):
    assert "Where names come from" in said(browser.get("/-/admin/sync/scoperule/"))
    page = said(browser.get("/-/admin/sync/scoperule/route/", {"names": "@corp/pad @acme/x <b> left-pad"}))
    for words in ("the rule for @corp/*", "@acme is a private scope", "the default upstream", "is not a package name"):
        assert words in page
    assert "<b>" not in page
    assert Client(SERVER_NAME="registry.test").get("/-/admin/sync/scoperule/route/").status_code == 302

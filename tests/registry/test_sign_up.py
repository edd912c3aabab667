"""Becoming a person: where everybody may, by invitation, and where only operators make people."""

import io
import re
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from audit.actors import Actor
from audit.models import Event
from registry import checks, invitations, people
from registry.errors import Forbidden
from registry.models import Invitation, User
from tests.actors import Person
from tests.browser import Browser

pytestmark = pytest.mark.django_db(transaction=True)

PASSWORD = "correct horse battery"
CAROL = {"name": "carol", "email": "carol@acme.example", "password": PASSWORD, "again": PASSWORD}


@pytest.fixture
def by_invitation(settings) -> None:
    settings.SIGNUP = "invite"


@pytest.fixture
def closed(settings) -> None:
    settings.SIGNUP = "closed"


def invite(*options: str) -> str:
    """`manage.py invite`; gives the path of the URL that it prints."""
    out = io.StringIO()
    call_command("invite", *options, stdout=out, stderr=io.StringIO())
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/-/web/sign-up/[\w-]{32}\n", out.getvalue())
    return urlsplit(out.getvalue().strip()).path


def sign_up(path: str, **change: str):
    """Open the page, fill in the form, and give the page that comes."""
    browser = Browser()
    assert browser.open(path).status == 200
    return browser.fill(**{**CAROL, **change})


def couch(name: str, password: str = PASSWORD):
    """`npm login --auth-type=legacy`, whatever comes of it."""
    return Person().send("PUT", f"/-/user/org.couchdb.user:{name}", body={"name": name, "password": password})


def begin() -> dict[str, str]:
    return Person().send("POST", "/-/v1/login", body={"create": True}, headers={"npm-auth-type": "web"}).json()


def whoami(urls: dict[str, str]) -> str:
    token = Person().send("GET", urlsplit(urls["doneUrl"]).path).json()["token"]
    return Person(token=token).send("GET", "/-/whoami").json()["username"]


# --- Open -----------------------------------------------------------------------------------------------------------


def test_where_sign_up_is_open_the_page_makes_a_person(effects):
    page = sign_up("/-/web/sign-up")
    assert (page.status, b"npm login" in page.body) == (200, True)
    assert User.objects.get().email == "carol@acme.example"
    assert effects() == ["user.created user:carol by anonymous"]
    assert Person("carol").login().token


def test_who_has_no_account_yet_signs_up_on_the_way_in(effects):
    """`npm adduser`"""
    urls = begin()
    browser = Browser()
    assert b'href="?new"' in browser.open(urls["loginUrl"]).body
    browser.open("?new")
    assert "code" not in browser.fields
    assert b"Go back to the terminal" in browser.fill(**CAROL).body
    assert effects() == ["user.created user:carol by anonymous", "browser.allowed user:carol by carol"]
    assert whoami(urls) == "carol"


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Carol"},
        {"name": ""},
        {"name": "x" * 101},
        {"name": "\0"},
        {"password": "short", "again": "short"},
        {"password": "password123", "again": "password123"},
        {"again": "another password"},
        {"email": "nowhere"},
    ],
)
def test_what_cannot_be_is_said_on_the_page(effects, change):
    page = sign_up("/-/web/sign-up", **change)
    assert (page.status, b"errorlist" in page.body) == (200, True)
    assert (User.objects.count(), effects()) == (0, [])


def test_a_name_that_is_taken(alice, effects):
    assert b"there is a user alice already" in sign_up("/-/web/sign-up", name="alice").body
    assert effects() == []


def test_two_who_take_a_name_at_once_are_told_as_if_it_had_been_taken(monkeypatch):
    """Never a 409, which sends old clients on a detour."""
    prepare = people.prepare

    def slow(*args, **options):
        monkeypatch.setattr(people, "prepare", prepare)
        people.create_user("carol", "another password", actor=Actor.system("test"))
        return prepare(*args, **options)

    monkeypatch.setattr(people, "prepare", slow)
    assert couch("carol").status == 401
    assert User.objects.count() == 1


# --- By invitation --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("by_invitation")
def test_an_invitation_makes_one_person(effects):
    path = invite("--note", "for Carol")
    assert effects() == [f"invitation.made invitation:{Invitation.objects.get().pk} by manage.py invite"]
    assert b"npm login" in sign_up(path).body
    used = Invitation.objects.get()
    assert (used.note, used.used_by.username, used.used_at is not None) == ("for Carol", "carol", True)
    assert effects() == [
        "user.created user:carol by anonymous",
        f"invitation.used invitation:{used.pk} by anonymous",
    ]
    assert Person("carol").login().token

    assert b"ask an operator" in sign_up(path, name="dave").body
    assert User.objects.count() == 1


@pytest.mark.usefixtures("by_invitation")
def test_an_invitation_is_used_on_the_way_in(effects):
    code = invite().rpartition("/")[2]
    urls = begin()
    browser = Browser()
    browser.open(urls["loginUrl"])
    browser.open("?new")
    assert b"errorlist" in browser.fill(**CAROL).body
    assert b"ask an operator" in browser.fill(**CAROL, code="wrong").body
    assert User.objects.count() == 0
    assert b"Go back to the terminal" in browser.fill(**CAROL, code=code).body
    assert whoami(urls) == "carol"


@pytest.mark.usefixtures("by_invitation")
def test_of_two_who_use_an_invitation_at_once_one_succeeds(monkeypatch, effects):
    code = invite().rpartition("/")[2]
    prepare = people.prepare

    def slow(*args, **options):
        monkeypatch.setattr(people, "prepare", prepare)
        invitations.sign_up("dave", PASSWORD, actor=Actor.anonymous(), code=code)
        return prepare(*args, **options)

    monkeypatch.setattr(people, "prepare", slow)
    with pytest.raises(Forbidden, match="ask an operator"):
        invitations.sign_up("carol", PASSWORD, actor=Actor.anonymous(), code=code)
    assert [user.username for user in User.objects.all()] == ["dave"]
    assert [line.partition(" ")[0] for line in effects()] == ["invitation.made", "user.created", "invitation.used"]


@pytest.mark.usefixtures("by_invitation")
@pytest.mark.parametrize("change", [{"name": "alice"}, {"name": "No"}, {"password": "short", "again": "short"}])
def test_who_mistypes_keeps_the_invitation(alice_by_hand, effects, change):
    path = invite()
    effects()
    assert b"errorlist" in sign_up(path, **change).body
    assert (effects(), Invitation.objects.get().used_at) == ([], None)
    assert b"npm login" in sign_up(path).body


@pytest.fixture
def alice_by_hand(transactional_db) -> Person:
    """A person whom an operator made."""
    people.create_user("alice", PASSWORD, actor=Actor.system("test"))
    return Person("alice")


@pytest.mark.usefixtures("by_invitation")
def test_an_invitation_grows_old(effects):
    path = invite("--days", "2")
    left = Invitation.objects.get().expires_at - timezone.now()
    assert timedelta(days=1, hours=23) < left <= timedelta(days=2)
    Invitation.objects.update(expires_at=timezone.now())
    effects()
    assert b"too old" in sign_up(path).body
    assert effects() == []


@pytest.mark.usefixtures("by_invitation")
@pytest.mark.parametrize("days", ["0", "-1", "366"])
def test_an_invitation_is_not_good_for_ever(days):
    with pytest.raises(CommandError, match="1 to 365 days"):
        invite("--days", days)
    assert not Invitation.objects.exists()


@pytest.mark.usefixtures("by_invitation")
def test_its_code_is_not_kept(effects):
    code = invite().rpartition("/")[2]
    assert code not in str([*Invitation.objects.values(), *Event.objects.values()])


@pytest.mark.usefixtures("by_invitation")
def test_at_the_prompt_people_are_told_where_to_use_it(alice_by_hand):
    answers = [couch("carol"), couch("alice", "wrong")]
    assert [answer.status for answer in answers] == [401, 401]
    assert "with an invitation, sign up at http://registry.test/-/web/sign-up" in answers[0].json()["error"]
    assert answers[0].json() == answers[1].json(), "who is here is nobody's business"
    assert alice_by_hand.login().token
    assert User.objects.count() == 1


@pytest.mark.usefixtures("by_invitation")
def test_an_operator_invites_in_the_admin(alice_by_hand, effects):
    User.objects.update(is_staff=True, is_superuser=True)
    client = Client()
    client.force_login(User.objects.get())
    browser = Browser(cookies=client.cookies)
    assert browser.open("/-/admin/registry/invitation/add/").status == 200
    assert browser.fill(note="for Carol", days="3").status == 302
    page = browser.open("/-/admin/registry/invitation/").body.decode()
    shown = re.search(r"http://registry\.test(/-/web/sign-up/[\w-]{32})", page)
    assert shown
    made = Invitation.objects.get()
    assert (made.note, made.created_by.username) == ("for Carol", "alice")
    assert effects() == [f"invitation.made invitation:{made.pk} by alice"]
    assert b"npm login" in sign_up(shown[1]).body
    assert browser.open(f"/-/admin/registry/invitation/{made.pk}/change/").status == 200
    assert shown[1] not in browser.open("/-/admin/registry/invitation/").body.decode()


# --- Closed ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("closed")
def test_where_sign_up_is_closed_nobody_signs_up(alice_by_hand, effects):
    browser = Browser()
    assert browser.open("/-/web/sign-up").status == 403
    assert b"ask an operator" in browser.open("/-/web/sign-up/code").body
    urls = begin()
    assert b"?new" not in browser.open(urls["loginUrl"]).body
    browser.open("?new")
    assert "again" not in browser.fields
    assert b"errorlist" in browser.fill(**CAROL).body
    browser.url = "/-/web/sign-up"
    assert b"ask an operator" in browser.fill(**CAROL).body
    assert couch("carol").status == 401
    assert "invitation" not in couch("carol").json()["error"]
    assert (User.objects.count(), effects()) == (1, [])


@pytest.mark.usefixtures("closed")
def test_where_sign_up_is_closed_people_sign_in(alice_by_hand):
    assert alice_by_hand.login().token
    urls = begin()
    browser = Browser()
    browser.open(urls["loginUrl"])
    browser.fill(name="alice", password=PASSWORD)
    assert whoami(urls) == "alice"


@pytest.mark.usefixtures("closed")
def test_where_sign_up_is_closed_nobody_is_invited(alice_by_hand, settings, effects):
    with pytest.raises(CommandError, match="LARDER_SIGNUP=invite"):
        invite()
    User.objects.update(is_staff=True, is_superuser=True)
    client = Client()
    client.force_login(User.objects.get())
    assert client.get("/-/admin/registry/invitation/add/").status_code == 403
    assert effects() == []


@pytest.mark.usefixtures("by_invitation")
def test_where_sign_up_was_closed_meanwhile_invitations_wait(settings, effects):
    path = invite()
    effects()
    browser = Browser()
    browser.open(path)
    settings.SIGNUP = "closed"
    assert b"ask an operator" in browser.fill(**CAROL).body
    assert effects() == []
    settings.SIGNUP = "invite"
    assert b"npm login" in sign_up(path).body


@pytest.mark.parametrize(
    ("value", "count"), [("open", 0), ("invite", 0), ("closed", 0), ("yes", 1), ("", 1), ("Open", 1)]
)
def test_a_word_that_means_nothing_is_noticed(settings, value, count):
    settings.SIGNUP = value
    assert len(list(checks.signup())) == count


# --- Who somebody is ------------------------------------------------------------------------------------------------


def test_people_are_told_how_to_write_to_each_other(alice, bob, anyone):
    User.objects.filter(username="alice").update(email="alice@acme.example")
    path = "/-/user/org.couchdb.user:alice"
    assert bob.send("GET", path).json()["email"] == "alice@acme.example"
    for nobody in (anyone, Person(token="larder_old")):
        answer = nobody.send("GET", path)
        assert answer.json() == {"_id": "org.couchdb.user:alice", "name": "alice"}
        assert answer.headers["cache-control"] == "private, no-store"


def test_a_closed_registry_tells_nobody_who_is_here(alice, anyone, settings):
    settings.ANONYMOUS_READ = False
    for name in ("alice", "nobody"):
        assert anyone.send("GET", f"/-/user/org.couchdb.user:{name}").status == 401
    assert alice.send("GET", "/-/user/org.couchdb.user:alice").status == 200

"""Signing in with the password that one has in a directory: against a real one."""

import os
from collections.abc import Iterator
from dataclasses import replace

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError, SystemCheckError

from audit.actors import Actor
from audit.models import Event
from registry import people
from registry.models import Token, User
from registry.signin import Directory
from tests.actors import Person
from tests.browser import Browser
from tests.ldap_server import ADMINS, PEOPLE, READER, READERS_PASSWORD, LdapServer
from tests.services import Absent
from tests.wsgi import Answer

pytestmark = pytest.mark.django_db(transaction=True)

PASSWORD = "what carol types"
LOCAL = "correct horse battery"


@pytest.fixture
def ldap(settings) -> Iterator[LdapServer]:
    """A directory that knows carol, and a registry where nobody signs up and which asks the directory."""
    try:
        server = LdapServer()
    except Absent as reason:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(str(reason))
    with server:
        server.add("carol", PASSWORD, mail="Carol@Example.ORG")
        settings.SIGNUP = "closed"
        settings.LDAP = Directory(server.url, PEOPLE, bind_dn=READER, bind_password=READERS_PASSWORD)
        settings.AUTHENTICATION_BACKENDS = [
            "django.contrib.auth.backends.ModelBackend",
            "registry.directory.DirectoryBackend",
        ]
        yield server


@pytest.fixture
def dave(ldap) -> User:
    """Somebody who has a password here."""
    return people.create_user("dave", LOCAL, actor=Actor.system("test"))


def login(name: str, password: str = PASSWORD) -> Answer:
    """What `npm login` sends, whatever comes of it."""
    body = {"name": name, "password": password, "type": "user"}
    return Person(name).send("PUT", f"/-/user/org.couchdb.user:{name}", body=body)


def test_who_is_in_the_directory_becomes_a_person_here(ldap, effects):
    carol = Person("carol").login(PASSWORD)
    assert carol.send("GET", "/-/whoami").json() == {"username": "carol"}
    row = User.objects.get()
    assert (row.username, row.email, row.is_staff, row.is_superuser) == ("carol", "carol@example.org", False, False)
    assert not row.has_usable_password()
    assert effects() == ["user.created user:carol by ldap", "token.created user:carol by carol"]
    assert carol.publish("@acme/pad", "1.0.0").status == 201


def test_who_comes_again_is_the_same_person_with_the_mail_of_today(ldap, effects):
    Person("carol").login(PASSWORD)
    effects()
    Person("carol").login(PASSWORD)
    assert effects() == ["token.created user:carol by carol"]
    ldap.change("carol", mail="carol@elsewhere.example.org")
    Person("carol").login(PASSWORD)
    assert User.objects.get().email == "carol@elsewhere.example.org"
    assert effects() == ["user.profile.changed user:carol by ldap", "token.created user:carol by carol"]


def test_capitals_and_spaces_make_nobody_else(ldap):
    assert [login("Carol").status, login("CAROL").status] == [201, 201]
    assert people.sign_in(" carol ", PASSWORD, actor=Actor.anonymous()) == User.objects.get()
    assert User.objects.get().username == "carol"


def test_another_spelling_of_a_letter_is_nobody(ldap, effects):
    """slapd takes the full-width letter for the plain one: each spelling would have attempts of its own."""
    with pytest.raises(people.Unauthenticated):
        people.sign_in("\N{FULLWIDTH LATIN SMALL LETTER C}arol", PASSWORD, actor=Actor.anonymous())
    assert effects() == []


@pytest.mark.parametrize("password", ["", "wrong", "what carol types "])
def test_another_password_opens_nothing(ldap, effects, password):
    """An empty one would bind as nobody in particular, which succeeds."""
    assert login("carol", password).status == 401
    assert effects() == []
    assert not User.objects.exists()


@pytest.mark.parametrize("name", ["*", "c*", "*)(uid=*", "carol)(|(uid=*", "carol\\", "carol,ou=people", "erin"])
def test_a_name_is_a_name_and_no_pattern(ldap, effects, name):
    with pytest.raises(people.Unauthenticated):
        people.sign_in(name, PASSWORD, actor=Actor.anonymous())
    assert effects() == []
    assert not User.objects.exists()


def test_wrong_passwords_are_counted_as_everywhere(ldap, settings):
    settings.MAX_ATTEMPTS = 2
    assert [login("carol", "wrong").status for _ in range(2)] == [401, 401]
    late = login("carol")
    assert (late.status, int(late.headers["retry-after"]) > 0) == (429, True)


# --- People of both kinds -------------------------------------------------------------------------------------------


def test_who_has_a_password_here_is_nobody_of_the_directory(ldap, dave, effects):
    ldap.add("dave", PASSWORD)
    assert login("dave").status == 401
    assert login("dave", LOCAL).status == 201
    dave.refresh_from_db()
    assert dave.has_usable_password()
    assert effects() == ["token.created user:dave by dave"]


def test_a_name_that_somebody_else_has_here_is_not_given_away(ldap, effects):
    User.objects.create(username="carol", password="!")
    answer = login("carol")
    assert (answer.status, "ask an operator" in answer.json()["error"]) == (403, True)
    assert not Token.objects.exists()
    assert effects() == []


def test_an_operator_gives_a_person_over_to_the_directory_and_back(ldap, dave, effects):
    ldap.add("davy", PASSWORD)
    call_command("link_user", "dave", ldap="Davy")
    assert effects() == ["user.identity.linked user:dave by manage.py link_user"]
    assert login("dave", LOCAL).status == 401
    assert login("davy").json()["id"] == "org.couchdb.user:davy"
    assert Token.objects.get().user == dave
    dave.refresh_from_db()
    dave.set_password(LOCAL)
    dave.save()
    assert [login("dave", LOCAL).status, login("davy").status] == [201, 201]
    assert User.objects.count() == 2, "davy is somebody new"


def test_nobody_is_two_people(ldap, dave, effects):
    Person("carol").login(PASSWORD)
    effects()
    with pytest.raises(CommandError, match="is carol here already"):
        call_command("link_user", "dave", ldap="carol")
    with pytest.raises(CommandError, match="no OpenID provider"):
        call_command("link_user", "dave", openid="00u7")
    assert login("dave", LOCAL).status == 201
    assert effects() == ["token.created user:dave by dave"]


def test_a_name_that_cannot_be_one_here_is_refused_in_words(ldap, effects):
    ldap.add("under score", PASSWORD)
    with pytest.raises(people.Forbidden, match="lower-case letters"):
        people.sign_in("under score", PASSWORD, actor=Actor.anonymous())
    assert effects() == []
    assert not User.objects.exists()


def test_the_filter_may_find_people_by_their_address(ldap, settings):
    settings.LDAP = replace(settings.LDAP, user_filter="(|(uid={name})(mail={name}))")
    assert login("carol@example.org").status == 201
    assert User.objects.get().username == "carol"
    ldap.add("twin", PASSWORD, mail="carol@example.org")
    assert login("carol@example.org").status == 401, "two people have it"
    ldap.add("triplet", PASSWORD, mail="carol@example.org")
    assert login("carol@example.org").status == 401


def test_who_is_switched_off_here_stays_out(ldap, effects):
    carol = Person("carol").login(PASSWORD)
    User.objects.update(is_active=False)
    ldap.change("carol", mail="new@example.org")
    effects()
    answer = login("carol")
    assert (answer.status, "switched off" in answer.json()["error"]) == (403, True)
    assert carol.send("GET", "/-/whoami").status == 401
    assert User.objects.get().email == "carol@example.org"
    assert effects() == []


def test_who_has_left_the_directory_cannot_sign_in_again_and_tokens_go_on(ldap):
    carol = Person("carol").login(PASSWORD)
    ldap.remove("carol")
    assert login("carol").status == 401
    assert carol.send("GET", "/-/whoami").status == 200


def test_the_password_is_changed_where_it_is(ldap, effects):
    carol = Person("carol").login(PASSWORD)
    effects()
    body = {"password": {"old": PASSWORD, "new": "another long one"}}
    answer = carol.send("POST", "/-/npm/v1/user", body=body)
    assert (answer.status, "where you have it" in answer.json()["error"]) == (403, True)
    assert effects() == []


# --- Operators ------------------------------------------------------------------------------------------------------


def test_a_group_says_who_runs_the_registry(ldap, settings, effects):
    settings.LDAP = replace(settings.LDAP, admin_group=ADMINS)
    Person("carol").login(PASSWORD)
    ldap.make_admin("carol")
    Person("carol").login(PASSWORD)
    assert (User.objects.get().is_staff, User.objects.get().is_superuser) == (True, True)
    ldap.make_admin("carol", is_admin=False)
    Person("carol").login(PASSWORD)
    assert (User.objects.get().is_staff, User.objects.get().is_superuser) == (False, False)
    changes = Event.objects.filter(kind="user.operator.changed").order_by("pk")
    assert [event.facts["is_admin"] for event in changes] == [True, False]
    assert effects().count("user.operator.changed user:carol by ldap") == 2


def test_an_operator_of_the_directory_opens_the_admin(ldap, settings):
    settings.LDAP = replace(settings.LDAP, admin_group=ADMINS)
    ldap.make_admin("carol")
    browser = Browser()
    browser.open("/-/admin/login/")
    assert browser.fill(username="carol", password=PASSWORD).status == 302
    assert browser.open("/-/admin/").status == 200


@pytest.mark.usefixtures("ldap")
def test_without_a_group_the_directory_does_not_say_who_runs_the_registry():
    Person("carol").login(PASSWORD)
    User.objects.update(is_superuser=True)
    Person("carol").login(PASSWORD)
    assert User.objects.get().is_superuser


def test_a_group_that_is_not_there_has_no_members(ldap, settings):
    settings.LDAP = replace(settings.LDAP, admin_group=f"cn=gone,{PEOPLE}")
    Person("carol").login(PASSWORD)
    assert not User.objects.get().is_superuser


# --- The directory is ill -------------------------------------------------------------------------------------------


def test_without_the_directory_its_people_wait_and_others_do_not(ldap, dave, effects, settings):
    settings.MAX_ATTEMPTS = 1
    ldap.stop()
    for _ in range(3):
        answer = login("carol")
        assert (answer.status, "does not answer" in answer.json()["error"]) == (503, True)
        assert int(answer.headers["retry-after"]) > 0
    assert login("dave", LOCAL).status == 201
    assert login("dave", "wrong").status == 401
    assert effects() == ["token.created user:dave by dave"]
    ldap.start()
    assert login("carol").status == 201, "nothing was counted as a wrong password"


def test_a_wrong_password_of_ours_is_nobodys_wrong_password(ldap, settings):
    settings.LDAP = replace(settings.LDAP, bind_password="not it")
    assert login("carol").status == 503


# --- Encryption -----------------------------------------------------------------------------------------------------


def test_the_connection_is_encrypted_where_the_certificate_is_trusted(ldap, settings):
    named = settings.LDAP.url.replace("127.0.0.1", "localhost")
    settings.LDAP = replace(settings.LDAP, url=named, start_tls=True, ca=str(ldap.certificate))
    assert login("carol").status == 201
    settings.LDAP = replace(settings.LDAP, url=ldap.url)
    assert login("carol").status == 503, "the certificate is for another name"


def test_nothing_is_said_to_a_directory_whose_certificate_is_not_trusted(ldap, settings):
    settings.LDAP = replace(settings.LDAP, start_tls=True)
    assert login("carol").status == 503
    assert not User.objects.exists()


# --- Contradictions -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"url": "http://directory.example.org"}, "registry.E020"),
        ({"url": "ldaps://directory.example.org", "start_tls": True}, "registry.E021"),
        ({"user_base": ""}, "registry.E022"),
        ({"user_filter": "(uid=*)"}, "registry.E022"),
        ({"bind_dn": READER}, "registry.E023"),
    ],
)
def test_settings_that_contradict_each_other_are_found(settings, change, complaint):
    settings.SIGNUP = "closed"
    settings.LDAP = replace(Directory("ldap://127.0.0.1", PEOPLE), **change)
    with pytest.raises(SystemCheckError, match=complaint):
        call_command("check")


def test_open_sign_up_and_a_directory_do_not_go_together(settings):
    settings.SIGNUP, settings.LDAP = "open", Directory("ldap://127.0.0.1", PEOPLE)
    with pytest.raises(SystemCheckError, match=r"registry\.E024"):
        call_command("check")
    settings.SIGNUP = "closed"
    call_command("check")


def test_passwords_in_the_clear_are_warned_of(settings, capsys):
    settings.SIGNUP, settings.LDAP = "closed", Directory("ldap://directory.example.org", PEOPLE)
    call_command("check")
    assert "registry.W020" in capsys.readouterr().err

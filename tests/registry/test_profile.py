"""`npm profile`: what people say of themselves, and their password."""

import base64

import pytest

from audit.actors import Actor
from audit.models import Event
from registry import people, tokens
from registry.models import Token, User
from tests.actors import Person
from tests.authenticator import PASSWORD, PROFILE, Phone, post

pytestmark = pytest.mark.django_db(transaction=True)

NEW = "another horse entirely"


def profile(person: Person) -> dict:
    answer = person.send("GET", PROFILE)
    assert answer.status == 200, answer.body
    assert answer.headers["cache-control"] == "private, no-store"
    return answer.json()


def login(name: str, password: str):
    return Person(name).send("PUT", f"/-/user/org.couchdb.user:{name}", body={"name": name, "password": password})


def basic(password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"alice:{password}".encode()).decode()}


def facts(kind: str) -> dict:
    return Event.objects.get(kind=kind).facts


# --- What people say of themselves ----------------------------------------------------------------------------------


def test_a_new_profile_has_all_keys_that_clients_read(alice):
    user = User.objects.get()
    said = profile(alice)
    created = said.pop("created")
    assert created == said.pop("updated")
    assert created.startswith(f"{user.date_joined:%Y-%m-%dT%H:%M:%S}")
    assert created.endswith("Z")
    assert said == {
        "name": "alice",
        "email": None,
        "email_verified": False,
        "fullname": None,
        "homepage": None,
        "freenode": None,
        "twitter": None,
        "github": None,
        "tfa": None,
        "cidr_whitelist": None,
    }


def test_one_field_is_set_and_the_others_are_sent_back_as_they_were(alice, effects):
    post(alice, {"email": "alice@acme.example", "fullname": "Alice"})
    assert effects() == ["user.profile.changed user:alice by alice"]
    answer = post(alice, {"email": "alice@acme.example", "fullname": "Alice", "homepage": "https://alice.example/"})
    assert (answer.status, answer.json()) == (200, profile(alice))
    said = profile(alice)
    assert [said["email"], said["fullname"], said["homepage"]] == [
        "alice@acme.example",
        "Alice",
        "https://alice.example/",
    ]
    assert said["updated"] > said["created"]
    assert [event.facts["fields"] for event in Event.objects.filter(kind="user.profile.changed")] == [
        "email, fullname",
        "homepage",
    ]


def test_null_clears_a_field(alice):
    post(alice, {"fullname": "Alice", "github": "alice", "email": "alice@acme.example"})
    answer = post(alice, {"fullname": None, "github": "", "email": None})
    assert [answer.json()[name] for name in ("fullname", "github", "email")] == [None, None, None]


def test_what_changes_nothing_is_no_news(alice, effects):
    before = profile(alice)
    assert post(alice, {}).json() == post(alice, {"email": None, "fullname": None}).json() == before
    assert effects() == []


def test_what_cannot_be_set_is_left_alone(alice, effects):
    answer = post(alice, {"name": "eve", "email_verified": True, "is_superuser": True, "cidr_whitelist": ["::/0"]})
    assert (answer.status, answer.json()) == (200, profile(alice))
    assert list(User.objects.values_list("username", "is_superuser")) == [("alice", False)]
    assert effects() == []


@pytest.mark.parametrize(
    "body",
    [
        {"fullname": 1},
        {"fullname": ["Alice"]},
        {"fullname": {"email": "a"}},
        {"fullname": "x" * 255},
        {"fullname": "Al\0ice"},
        {"fullname": "\ud800"},
        {"fullname": "two\nlines"},
        {"homepage": "javascript:alert(1)"},
        {"homepage": "acme"},
        {"email": "nobody"},
        {"email": {"email": "a@acme.example"}},
        {"email": {"email": ["a@acme.example"], "password": PASSWORD}},
        {"email": {"email": "a@acme.example", "password": 1}},
        {"password": "another"},
        {"password": {"old": PASSWORD}},
        {"password": {"old": PASSWORD, "new": None}},
        {"tfa": "on"},
        {"tfa": True},
        {"tfa": {}},
        {"tfa": {"mode": "auth-only"}},
        {"tfa": {"password": PASSWORD}},
        {"tfa": {"password": PASSWORD, "mode": "sometimes"}},
        {"tfa": {"password": PASSWORD, "mode": ["auth-only"]}},
        {"tfa": []},
        {"tfa": [123456]},
        {"tfa": ["123456", "123456"]},
        ["fullname"],
        "fullname",
        None,
        b"{",
        b'{"fullname": NaN}',
    ],
)
def test_senseless_changes_change_nothing(alice, effects, body):
    before = profile(alice)
    sent = body if isinstance(body, bytes | dict) else str(body)
    answer = post(alice, sent)
    assert (answer.status, bool(answer.json()["error"])) == (400, True)
    assert profile(alice) == before
    assert effects() == []


def test_npm_6_proves_the_password_with_an_email_address(alice, effects):
    wrong = post(alice, {"email": {"email": "alice@acme.example", "password": "wrong"}})
    assert (wrong.status, "the password is not right" in wrong.json()["error"]) == (403, True)
    assert profile(alice)["email"] is None
    assert effects() == []
    right = post(alice, {"email": {"email": "alice@acme.example", "password": PASSWORD}, "fullname": None})
    assert right.json()["email"] == "alice@acme.example"


# --- Who may --------------------------------------------------------------------------------------------------------


def test_nobody_has_no_profile(anyone, alice):
    for method in ("GET", "POST"):
        answer = anyone.send(method, PROFILE, body={"fullname": "Eve"})
        assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")


@pytest.mark.parametrize("kind", [Token.Kind.READ_ONLY, Token.Kind.AUTOMATION])
def test_a_machines_token_changes_no_account(alice, effects, kind):
    machine = Person("alice", tokens.issue(User.objects.get(), actor=Actor.system("test"), kind=kind))
    effects()
    answers = [post(machine, {"fullname": "Eve"}), post(machine, {"password": {"old": PASSWORD, "new": NEW}})]
    assert [answer.status for answer in answers] == [403, 403]
    assert login("alice", PASSWORD).status == 201
    assert effects() == ["token.created user:alice by alice"]


def test_people_have_profiles_of_their_own(alice, bob):
    post(alice, {"fullname": "Alice"})
    assert profile(bob)["fullname"] is None


def test_a_second_factor_is_asked_for_before_anything_changes(alice, effects):
    phone = Phone.of(alice, "auth-only")
    effects()
    for body in ({"fullname": "Eve"}, {"password": {"old": PASSWORD, "new": NEW}}):
        answer = post(alice, body)
        assert (answer.status, answer.headers["www-authenticate"]) == (401, "OTP")
    assert effects() == []
    assert post(alice, {"fullname": "Alice"}, phone.code()).json()["fullname"] == "Alice"
    assert profile(alice)["tfa"] == {"mode": "auth-only", "pending": False}


# --- The password ---------------------------------------------------------------------------------------------------


def test_a_new_password_opens_and_the_old_one_does_not(alice, effects):
    answer = post(alice, {"email": None, "fullname": "Alice", "password": {"old": PASSWORD, "new": NEW}})
    assert (answer.status, answer.json()["fullname"], "password" in answer.json()) == (200, "Alice", False)
    assert login("alice", PASSWORD).status == 401
    assert login("alice", NEW).status == 201
    assert effects() == [
        "user.profile.changed user:alice by alice",
        "user.password.changed user:alice by alice",
        "token.created user:alice by alice",
    ]
    assert facts("user.password.changed") == {"revoked": 0}


def test_a_new_password_ends_other_sessions_and_no_tokens(alice, bob, effects):
    elsewhere = Person("alice", login("alice", PASSWORD).json()["token"])
    user = User.objects.get(username="alice")
    machine = Person("alice", tokens.issue(user, actor=Actor.system("test"), kind=Token.Kind.AUTOMATION))
    effects()
    assert post(alice, {"password": {"old": PASSWORD, "new": NEW}}).status == 200
    statuses = [person.send("GET", "/-/whoami").status for person in (alice, elsewhere, machine, bob)]
    assert statuses == [200, 401, 200, 200]
    assert effects() == ["user.password.changed user:alice by alice", "token.revoked user:alice by alice"]
    assert facts("user.password.changed") == {"revoked": 1}


@pytest.mark.parametrize(
    ("old", "new", "status", "sentence"),
    [
        ("wrong", NEW, 403, "the password is not right"),
        ("", NEW, 403, "the password is not right"),
        ("\ud800", NEW, 403, "the password is not right"),
        (PASSWORD, "short", 400, "too short"),
        (PASSWORD, "password123", 400, "too common"),
        (PASSWORD, "\0" * 12, 400, "NUL"),
        (PASSWORD, "\ud800" * 12, 400, "half characters"),
    ],
)
def test_a_password_that_cannot_be(alice, effects, old, new, status, sentence):
    answer = post(alice, {"fullname": "Alice", "password": {"old": old, "new": new}})
    assert (answer.status, sentence in answer.json()["error"]) == (status, True)
    assert profile(alice)["fullname"] is None
    assert effects() == []
    assert login("alice", PASSWORD).status == 201


def test_a_password_that_is_kept_elsewhere_is_changed_there(alice, monkeypatch):
    """Else a person who has left the directory would still have a password here."""
    user = User.objects.get()
    user.set_unusable_password()
    user.save()
    monkeypatch.setattr(people, "authenticate", lambda **_: user)  # as a directory would
    answer = post(alice, {"password": {"old": PASSWORD, "new": NEW}})
    assert (answer.status, "change it where you have it" in answer.json()["error"]) == (403, True)
    assert not User.objects.get().has_usable_password()


# --- A password with every request ----------------------------------------------------------------------------------


@pytest.fixture
def tried(monkeypatch) -> list[str]:
    """The passwords that were hashed."""
    authenticate, tried = people.authenticate, []

    def trying(**credentials):
        tried.append(credentials["password"])
        return authenticate(**credentials)

    monkeypatch.setattr(people, "authenticate", trying)
    return tried


def whoami(password: str) -> int:
    return Person().send("GET", "/-/whoami", headers=basic(password)).status


def test_a_password_that_was_right_is_not_hashed_again_at_once(alice, tried):
    assert [whoami(PASSWORD) for _ in range(3)] == [200, 200, 200]
    assert tried == [PASSWORD]
    assert [whoami("wrong"), whoami("wrong"), whoami(PASSWORD)] == [401, 401, 200]
    assert tried == [PASSWORD, "wrong", "wrong"]


def test_it_is_hashed_again_after_a_while(alice, tried, monkeypatch):
    monkeypatch.setattr(people, "_RECOGNISED_SECONDS", 0)
    assert [whoami(PASSWORD), whoami(PASSWORD)] == [200, 200]
    assert tried == [PASSWORD, PASSWORD]


def test_a_process_remembers_so_many_and_no_more(alice, tried, monkeypatch):
    monkeypatch.setattr(people, "_RECOGNISED_MOST", 1)
    monkeypatch.setattr(people, "_recognised", {b"somebody else": 0.0})
    whoami(PASSWORD)
    assert len(people._recognised) == 1
    assert whoami(PASSWORD) == 200
    assert tried == [PASSWORD]


def test_who_was_remembered_is_forgotten_with_the_password_and_when_they_leave(alice):
    assert whoami(PASSWORD) == 200
    post(alice, {"password": {"old": PASSWORD, "new": NEW}})
    assert [whoami(PASSWORD), whoami(NEW)] == [401, 200]
    User.objects.update(is_active=False)
    assert whoami(NEW) == 401

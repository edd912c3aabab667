"""Signing up, in and out; tokens and what is kept of them."""

import base64
import json
from dataclasses import replace

import pytest
from django.apps import apps
from django.utils import timezone

from audit.actors import Actor
from registry import tokens
from registry.models import Token, User
from tests.actors import Person

pytestmark = pytest.mark.django_db(transaction=True)

PASSWORD = "correct horse battery"


def login(person: Person, password: object = PASSWORD, **body):
    """`npm login` as npm sends it, whatever comes of it."""
    sent = {"_id": f"org.couchdb.user:{person.name}", "name": person.name, "password": password, "type": "user", **body}
    return person.send("PUT", f"/-/user/org.couchdb.user:{person.name}", body=sent)


def basic(name: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()}


def whoami(person: Person, **headers):
    return person.send("GET", "/-/whoami", headers=headers)


def test_a_new_name_becomes_a_person_where_sign_up_is_open(effects):
    answer = login(Person("alice"), email="alice@acme.example")
    assert (answer.status, answer.json()["ok"], answer.json()["id"]) == (201, True, "org.couchdb.user:alice")
    assert "no-store" in answer.headers["cache-control"]
    assert whoami(Person("alice", answer.json()["token"])).json() == {"username": "alice"}
    assert User.objects.get().email == "alice@acme.example"
    assert effects() == ["user.created user:alice by anonymous", "token.created user:alice by alice"]


def test_a_known_name_signs_in_and_gets_a_token_of_its_own(alice):
    again = login(Person("alice"))
    assert again.status == 201
    assert again.json()["token"] != alice.token
    assert User.objects.count() == 1
    assert whoami(alice).status == 200


@pytest.mark.parametrize("password", ["wrong", "", "correct horse battery ", "\ud800", "\0", "x" * 10_000])
def test_a_wrong_password_is_refused(alice, password):
    answer = login(Person("alice"), password)
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.json()["error"].startswith("the user name or the password is not right")


def test_where_sign_up_is_closed_a_new_name_is_nobody(alice, settings):
    settings.SIGNUP = "closed"
    answer = login(Person("eve"))
    assert (answer.status, "ask an operator" in answer.json()["error"]) == (401, True)
    assert login(Person("alice")).status == 201


@pytest.mark.parametrize("name", ["Eve", "e v e", "-eve", "eve/x", "x" * 101, "%00", "eve%0a", "%ff", "..", "@eve"])
def test_a_name_that_nobody_can_have(anyone, name):
    body = {"name": name.replace("%00", "\0").replace("%0a", "\n"), "password": PASSWORD}
    answer = anyone.send("PUT", f"/-/user/org.couchdb.user:{name}", body=body)
    assert answer.status in (400, 401, 404)
    assert answer.json()["error"]
    assert User.objects.count() == 0


@pytest.mark.parametrize("password", ["short", "password123", None, 12345678, ["x"], "\ud800" * 12])
def test_a_weak_or_senseless_password_makes_nobody(password):
    answer = login(Person("eve"), password)
    assert answer.status == 400
    assert User.objects.count() == 0


def test_nobody_is_ever_sent_on_couchdbs_detour(alice):
    """A 409 makes old clients fetch the user and try once more with its revision."""
    statuses = {login(Person("alice"), password).status for password in (PASSWORD, "wrong", "")}
    rev = alice.send("PUT", "/-/user/org.couchdb.user:alice/-rev/1-1", body={"name": "alice", "password": PASSWORD})
    assert statuses | {rev.status} == {201, 401}


def test_the_name_in_the_body_is_the_one_in_the_url(anyone):
    assert (
        anyone.send("PUT", "/-/user/org.couchdb.user:eve", body={"name": "alice", "password": PASSWORD}).status == 400
    )


def test_whoami_by_token_password_and_token_in_the_place_of_the_password(alice, anyone):
    for headers in ({"Authorization": f"bearer  {alice.token}"}, basic("alice", PASSWORD), basic("x", alice.token)):
        answer = whoami(anyone, **headers)
        assert answer.json() == {"username": "alice"}
        assert answer.headers["cache-control"] == "private, no-store"


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer nonsense",
        "Bearer larder_" + "x" * 38,
        "Bearer é",
        "Basic !!!",
        "Basic " + base64.b64encode(b"alice").decode(),
        "Basic " + base64.b64encode(b"alice:wrong").decode(),
        "Basic " + base64.b64encode(b"\xff:\xff").decode(),
        "Basic " + base64.b64encode(b"\0:x").decode(),
        "Digest x",
    ],
)
def test_nobody_is_nobody(alice, anyone, authorization):
    answer = whoami(anyone, **({} if authorization is None else {"Authorization": authorization}))
    assert answer.status == 401
    assert "npm login" in answer.json()["error"] or "not right" in answer.json()["error"]


def test_a_bad_token_does_not_keep_anybody_from_reading(alice, settings):
    """As on the public registry: an npmrc with an old token installs public packages all the same."""
    alice.publish("left-pad", "1.0.0")
    for settings.FRONT_DOOR in (True, False):
        stranger = Person(token="larder_old")
        assert [stranger.view("left-pad").status for _ in range(2)] == [200, 200]
        assert stranger.download("left-pad", "1.0.0").status == 200
        assert stranger.publish("left-pad", "1.0.1").status == 401


def test_who_signs_out_is_out(alice, effects):
    answer = alice.send("DELETE", f"/-/user/token/{alice.token}")
    assert (answer.status, answer.json()) == (200, {"ok": True})
    assert whoami(alice).status == 401
    assert alice.publish("left-pad", "1.0.0").status == 401
    assert effects() == ["token.revoked user:alice by alice"]


def test_signing_out_with_a_token_that_is_none_is_no_news(anyone, effects):
    for secret in ("nonsense", "larder_" + "x" * 38, "%00", "%ff"):
        assert anyone.send("DELETE", f"/-/user/token/{secret}").status == 200
    assert effects() == []


def test_a_read_only_token_only_reads(alice, effects):
    secret = tokens.issue(User.objects.get(), actor=Actor.system("test"), kind=Token.Kind.READ_ONLY)
    reader = Person("alice", secret)
    effects()
    assert whoami(reader).status == 200
    answer = reader.publish("left-pad", "1.0.0")
    assert (answer.status, "may only read" in answer.json()["error"]) == (403, True)
    assert effects() == []


def test_somebody_who_left_is_nobody(alice):
    User.objects.update(is_active=False)
    assert whoami(alice).status == 401
    assert login(Person("alice")).status == 401
    assert whoami(Person(), **basic("alice", PASSWORD)).status == 401


def test_a_token_ends_when_its_time_is_over(alice):
    Token.objects.update(expires_at=timezone.now())
    assert whoami(alice).status == 401


def test_no_secret_is_kept_anywhere(alice):
    rows = [row for model in apps.get_models() for row in model.objects.values()]
    kept = json.dumps(rows, default=str)
    assert alice.token not in kept
    assert PASSWORD not in kept
    assert alice.token[:12] in kept  # enough to tell tokens apart


def test_a_mistyped_token_costs_no_query(django_assert_num_queries):
    with django_assert_num_queries(0):
        assert tokens.find("larder_" + "x" * 38) is None


def test_who_somebody_is(alice, anyone):
    answer = anyone.send("GET", "/-/user/org.couchdb.user:alice")
    assert (answer.status, answer.json()["name"]) == (200, "alice")
    assert anyone.send("GET", "/-/user/org.couchdb.user:eve").status == 404
    assert anyone.send("GET", "/-/user/org.couchdb.user:%00").status == 404


def test_an_old_token_does_not_keep_anybody_from_signing_in(alice):
    """npm sends the token that its npmrc still holds."""
    assert replace(alice, token="larder_revoked").login().token


def test_nobody_is_told_an_address(alice, anyone):
    assert "alice@" not in anyone.send("GET", "/-/user/org.couchdb.user:alice").body.decode()

"""Tokens: what npm asks for and gets, where they may be used and until when, and what they may never do."""

import io
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.actors import Actor
from audit.models import Event
from registry import tokens
from registry.errors import Unauthenticated, WrongNetwork
from registry.models import Package, SecondFactor, Token, User
from registry.models.token import TokenQuerySet
from tests import wsgi
from tests.actors import Person

pytestmark = pytest.mark.django_db(transaction=True)

PASSWORD = "correct horse battery"
TOKENS = "/-/npm/v1/tokens"
CLASSIC = {"password": PASSWORD, "readonly": False, "cidr_whitelist": []}
SENSELESS = [
    {"password": None},
    {"password": 7},
    {"readonly": "yes"},
    {"automation": 1},
    {"readonly": True, "automation": True},
    {"cidr_whitelist": "10.0.0.0/8"},
    {"cidr_whitelist": [8]},
    {"cidr_whitelist": ["10.0.0.0/33"]},
    {"cidr_whitelist": ["home"]},
    {"cidr_whitelist": [""]},
    {"cidr_whitelist": ["::1/129"]},
    {"cidr_whitelist": [f"10.0.{number}.0/24" for number in range(201)]},
    {"name": None},
    {"name": ""},
    {"name": " "},
    {"name": 3},
    {"name": "x" * 256},
    {"name": "a\0b"},
    {"name": "\ud800"},
    {"name": "two\nlines"},
    {"name": "\x1b[31mred"},
    {"name": "ci", "description": "x" * 1001},
    {"name": "ci", "description": ["x"]},
    {"name": "ci", "expires": 0},
    {"name": "ci", "expires": 366},
    {"name": "ci", "expires": -1},
    {"name": "ci", "expires": 1.5},
    {"name": "ci", "expires": 10**30},
    {"name": "ci", "expires": "7"},
    {"name": "ci", "expires": True},
    {"name": "ci", "packages": "left-pad"},
    {"name": "ci", "packages": ["@acme"]},
    {"name": "ci", "packages": [None]},
    {"name": "ci", "packages": ["../x"]},
    {"name": "ci", "packages": ["\0"]},
    {"name": "ci", "packages": [f"p{number}" for number in range(201)]},
    {"name": "ci", "packages_all": "true"},
    {"name": "ci", "scopes": ["@a/b"]},
    {"name": "ci", "scopes": [""]},
    {"name": "ci", "scopes": ["\ud800"]},
    {"name": "ci", "orgs": {"acme": True}},
    {"name": "ci", "packages_and_scopes_permission": "all"},
    {"name": "ci", "packages_and_scopes_permission": "read-write-stage-only"},
    {"name": "ci", "orgs_permission": ["read-only"]},
    {"name": "ci", "bypass_2fa": "no"},
]


def create(person: Person, *, url: str = TOKENS, **body):
    return person.send("POST", url, body={"password": PASSWORD, **body})


def granular(person: Person, **body):
    """`npm token create --name=ci …` as npm 11 and 12 send it."""
    return create(person, name="ci", **body)


def made(person: Person, **body) -> Person:
    """The person with the granular token that npm made."""
    answer = granular(person, **body)
    assert answer.status == 201, answer.body
    return replace(person, token=answer.json()["token"])


def classic(person: Person, **body) -> Person:
    answer = person.send("POST", TOKENS, body={**CLASSIC, **body})
    assert answer.status == 201, answer.body
    return replace(person, token=answer.json()["token"])


def listed(person: Person, query: str = "") -> dict:
    answer = person.send("GET", TOKENS + query)
    assert (answer.status, answer.headers["cache-control"]) == (200, "private, no-store")
    return answer.json()


def whoami(person: Person, origin: str = "127.0.0.1"):
    """Who somebody is, asked from an address."""
    sent = {"Authorization": f"Bearer {person.token}", "X-Forwarded-For": origin}
    return wsgi.request("GET", "/-/whoami", headers=sent)


# --- Made, listed, revoked ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "kind"),
    [({}, "publish"), ({"readonly": True}, "read-only"), ({"automation": True}, "automation")],
)
def test_a_classic_token_is_shown_once(alice, effects, asked, kind):
    answer = alice.send("POST", TOKENS, body={**CLASSIC, **asked})
    body = answer.json()
    assert (answer.status, answer.headers["cache-control"]) == (201, "private, no-store")
    assert re.fullmatch(r"larder_[0-9A-Za-z]{38}", body["token"])
    assert (body["readonly"], body["automation"]) == (kind == "read-only", kind == "automation")
    assert (body["cidr_whitelist"], body["expires"]) == (None, None)
    assert whoami(Person(token=body["token"])).json() == {"username": "alice"}
    [shown, session] = listed(alice)["objects"]
    assert shown["token"] == body["token"][:12]
    assert {**shown, "token": body["token"], "last_used": None} == body
    assert (shown["name"], session["name"]) == (kind, "session")
    assert effects() == ["token.created user:alice by alice"]


def test_a_granular_token_as_npm_11_and_12_make_it(alice, effects):
    answer = granular(
        alice, description="of the pipeline", expires=30, packages=["left-pad", "@acme/pad"], scopes=["tools", "@ACME"],
        orgs=["acme"], packages_and_scopes_permission="read-write", orgs_permission="read-only",
        cidr_whitelist=["127.0.0.9/8"], bypass_2fa=True,
    )  # fmt: skip
    body = answer.json()
    assert answer.status == 201
    said = {key: body[key] for key in ("name", "description", "type", "packages", "scopes", "orgs", "cidr_whitelist")}
    assert said == {
        "name": "ci",
        "description": "of the pipeline",
        "type": "granular",
        "packages": ["@acme/pad", "left-pad"],
        "scopes": ["@acme", "@tools"],
        "orgs": ["@acme"],
        "cidr_whitelist": ["127.0.0.0/8"],
    }
    left = datetime.fromisoformat(body["expires"]) - timezone.now()
    assert timedelta(days=29) < left <= timedelta(days=30)
    assert Token.objects.get(name="ci").bypasses_2fa
    assert effects() == ["token.created user:alice by alice"]
    facts = Event.objects.latest("id").facts
    assert (facts["token_kind"], facts["packages"]) == ("granular", ["@acme/pad", "left-pad"])
    assert body["token"] not in str(facts)


def test_a_granular_token_in_the_words_of_cnpmcore(alice):
    asked = {"name": "ci", "expires": 1, "allowedScopes": ["@acme"], "allowedPackages": ["left-pad"], "readonly": False}
    body = create(alice, url=f"{TOKENS}/gat", **asked).json()
    assert (body["packages"], body["scopes"]) == (["left-pad"], ["@acme"])
    assert body["packages_and_scopes_permission"] == "read-write"
    answer = alice.send("GET", f"{TOKENS}/gat").json()
    assert [token["key"] for token in answer["objects"]] == [body["key"]]
    assert answer["total"] == 1
    assert alice.send("DELETE", f"{TOKENS}/gat/{body['key']}").status == 204
    assert whoami(Person(token=body["token"])).status == 401


def test_lists_come_in_pages(alice):
    for _ in range(4):
        classic(alice)
    first = listed(alice, "?perPage=2")
    assert (first["total"], first["urls"]) == (5, {"next": f"{TOKENS}?page=1&perPage=2"})
    keys, page = [], first
    while True:
        keys += [token["key"] for token in page["objects"]]
        if "next" not in page["urls"]:
            break
        page = listed(alice, page["urls"]["next"].removeprefix(TOKENS))
    assert len(set(keys)) == 5
    assert page["urls"] == {"prev": f"{TOKENS}?page=1&perPage=2"}
    assert listed(alice, "?page=9999")["objects"] == []


def test_a_page_is_a_number(alice):
    for query in ("?page=-1", "?page=x", "?perPage=1e3", "?page=99999999999999999999", "?page=%C2%B2", "?page=%00"):
        assert alice.send("GET", TOKENS + query).status == 400, query


@pytest.mark.parametrize("part", ["key", "prefix", "secret"])
def test_a_token_is_revoked_by_what_npm_sends(alice, effects, part):
    other = classic(alice)
    row = Token.objects.latest("id")
    effects()
    word = {"key": row.key, "prefix": row.prefix, "secret": other.token}[part]
    assert alice.send("DELETE", f"{TOKENS}/token/{word}").status == 204
    assert whoami(other).status == 401
    assert whoami(alice).status == 200
    assert [token["name"] for token in listed(alice)["objects"]] == ["session"]
    assert alice.send("DELETE", f"{TOKENS}/token/{word}").status == 404
    assert effects() == ["token.revoked user:alice by alice"]


def test_a_prefix_of_two_revokes_none(alice, effects):
    classic(alice)
    Token.objects.update(prefix="larder_same1")
    effects()
    answer = alice.send("DELETE", f"{TOKENS}/token/larder_same1")
    assert (answer.status, "give the id" in answer.json()["error"]) == (400, True)
    assert effects() == []


def test_what_names_no_token_revokes_none(alice, effects):
    for word in ("", "x", "%ff", "%00", "larder_", "é", "x" * 5000, "a/b"):
        assert alice.send("DELETE", f"{TOKENS}/token/{word}").status in (404, 405), word
    assert effects() == []


def test_people_see_and_revoke_their_own_alone(alice, bob, effects):
    key = listed(alice)["objects"][0]["key"]
    assert key not in str(listed(bob))
    for word in (key, alice.token, alice.token[:12]):
        assert bob.send("DELETE", f"{TOKENS}/token/{word}").status == 404
    assert whoami(alice).status == 200
    assert effects() == []


@pytest.mark.parametrize("body", [{"readonly": True}, {"automation": True}, {"name": "ci", "packages_all": True}])
def test_a_token_for_machines_sees_and_makes_no_tokens(alice, effects, body):
    machine = replace(alice, token=create(alice, **body).json()["token"])
    effects()
    assert create(machine).status == 403
    assert machine.send("GET", TOKENS).status == 403
    assert machine.send("DELETE", f"{TOKENS}/token/{alice.token}").status == 403
    assert effects() == []


def test_nobody_has_tokens(anyone, effects):
    for method, url in [("GET", TOKENS), ("POST", TOKENS), ("POST", f"{TOKENS}/gat"), ("DELETE", f"{TOKENS}/token/x")]:
        assert anyone.send(method, url, body={"password": PASSWORD}).status == 401
    assert effects() == []


def test_a_wrong_password_makes_no_token(alice, effects):
    answer = create(alice, password="wrong")
    assert (answer.status, "password is not right" in answer.json()["error"]) == (403, True)
    assert effects() == []


def test_who_has_a_second_factor_shows_it(alice, effects):
    SecondFactor.objects.create(user=User.objects.get(), is_pending=False)
    answer = create(alice)
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "OTP")
    assert effects() == []


def test_what_cannot_be_asked_for_is_refused_in_a_sentence(alice, effects):
    for change in SENSELESS:
        answer = alice.send("POST", TOKENS, body={**CLASSIC, **change})
        assert (answer.status, bool(answer.json()["error"])) == (400, True), change
    for body in (b"", b"[]", b"null", b'"x"', b"{", b'{"password": NaN}', b"[" * 100_000):
        assert alice.send("POST", TOKENS, body=body).status == 400, body[:20]
    assert effects() == []


# --- Networks and time ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("networks", "origin", "opens"),
    [
        (["10.0.0.0/8"], "10.1.2.3", True),
        (["10.0.0.0/8"], "11.0.0.1", False),
        (["10.0.0.0/8"], "::ffff:10.1.2.3", True),
        (["10.0.0.0/8"], "::1", False),
        (["10.0.0.7"], "10.0.0.7", True),
        (["10.0.0.7"], "10.0.0.8", False),
        (["2001:db8::/32"], "2001:db8:1::9", True),
        (["2001:db8::/32"], "2001:db9::9", False),
        (["192.0.2.0/24", "2001:db8::/32"], "192.0.2.200", True),
        (["0.0.0.0/0"], "203.0.113.1", True),
        ([], "203.0.113.1", True),  # npm up to 10 says so when it means any
    ],
)
def test_a_token_is_used_from_its_networks(alice, settings, networks, origin, opens):
    guarded = classic(alice, cidr_whitelist=networks)
    settings.AUDIT = {"TRUSTED_PROXIES": 1}
    answer = whoami(guarded, origin)
    assert answer.status == (200 if opens else 401)
    if not opens:
        assert answer.headers["www-authenticate"] == "ipaddress"  # npm says EAUTHIP
        assert "may not be used from" in answer.json()["error"]


def test_an_address_that_is_not_known_is_in_no_network(alice):
    guarded = classic(alice, cidr_whitelist=["0.0.0.0/0"])
    with pytest.raises(WrongNetwork, match="an unknown address"):
        tokens.use(guarded.token, origin="")


def test_from_elsewhere_a_token_opens_nothing(alice, settings, effects):
    alice.publish("@acme/secret", "1.0.0")
    alice.publish("left-pad", "1.0.0")
    Package.objects.filter(name="@acme/secret").update(is_restricted=True)
    guarded = classic(alice, cidr_whitelist=["10.0.0.0/8"])
    effects()
    assert guarded.view("@acme/secret").status == 404
    assert guarded.view("left-pad").status == 200  # as for everybody
    for answer in (guarded.publish("left-pad", "1.0.1"), guarded.send("GET", TOKENS), create(guarded)):
        assert (answer.status, answer.headers["www-authenticate"]) == (401, "ipaddress")
    settings.ANONYMOUS_READ = False
    assert guarded.view("left-pad").headers["www-authenticate"] == "ipaddress"
    assert effects() == []


def test_a_token_makes_none_that_may_more_than_itself(alice, effects):
    maker = classic(alice, cidr_whitelist=["127.0.0.0/8"])
    end = timezone.now() + timedelta(days=3)
    Token.objects.filter(kind="publish").update(expires_at=end)
    effects()
    assert create(maker, cidr_whitelist=["0.0.0.0/0"]).status == 403
    assert create(maker, cidr_whitelist=["127.0.0.1", "::1"]).status == 403
    assert effects() == []
    for answer in (create(maker), granular(maker, expires=30)):
        assert answer.json()["cidr_whitelist"] == ["127.0.0.0/8"]
        assert datetime.fromisoformat(answer.json()["expires"]) <= end
    narrower = create(maker, cidr_whitelist=["127.0.0.1"], name="ci", expires=1).json()
    assert narrower["cidr_whitelist"] == ["127.0.0.1/32"]
    assert datetime.fromisoformat(narrower["expires"]) < end


def test_the_operator_says_how_long_granular_tokens_live(alice, settings):
    settings.MAX_TOKEN_DAYS = 7
    assert granular(alice, expires=8).status == 400
    assert datetime.fromisoformat(granular(alice).json()["expires"]) <= timezone.now() + timedelta(days=7)


def test_a_token_ends(alice):
    ending = made(alice, expires=1, packages_all=True)
    assert whoami(ending).status == 200
    Token.objects.filter(name="ci").update(expires_at=timezone.now())
    assert whoami(ending).status == 401
    assert [token["name"] for token in listed(alice)["objects"]] == ["session"]


def test_its_use_is_noted_once_an_hour(alice):
    def used() -> datetime:
        return Token.objects.get().last_used_at

    def writes(person: Person) -> int:
        with CaptureQueriesContext(connection) as queries:
            assert whoami(person).status == 200
        return sum(query["sql"].startswith("UPDATE") for query in queries)

    assert used() is None
    assert writes(alice) == 1
    first = used()
    assert writes(alice) == 0
    Token.objects.update(last_used_at=first - timedelta(hours=1))
    assert writes(alice) == 1
    assert used() >= first
    assert listed(alice)["objects"][0]["last_used"]


def test_a_use_that_cannot_be_noted_is_a_use(alice, monkeypatch, caplog):
    def refuse(*_args, **_values):
        raise DatabaseError("read-only")

    monkeypatch.setattr(TokenQuerySet, "update", refuse)
    caplog.set_level("INFO", logger="registry.tokens")
    assert whoami(alice).status == 200
    assert "could not be noted" in caplog.text
    assert alice.token not in caplog.text


# --- What a granular token may, over HTTP -----------------------------------------------------------------------------


def test_a_token_for_a_package_that_does_not_exist_yet(alice, effects):
    machine = made(alice, packages=["left-pad"], packages_and_scopes_permission="read-write")
    effects()
    assert machine.publish("right-pad", "1.0.0").status == 403
    assert effects() == []
    assert machine.publish("left-pad", "1.0.0").status == 201
    assert machine.publish("left-pad", "1.0.1").status == 201


@pytest.mark.parametrize("body", [{}, {"packages": []}, {"scopes": []}, {"packages": [], "scopes": [], "orgs": []}])
def test_an_empty_list_allows_nothing(alice, effects, body):
    alice.publish("left-pad", "1.0.0")
    alice.publish("@acme/secret", "1.0.0")
    Package.objects.filter(name="@acme/secret").update(is_restricted=True)
    machine = made(alice, packages_and_scopes_permission="read-write", **body)
    effects()
    assert machine.view("left-pad").status == 200
    assert machine.view("@acme/secret").status == 404
    for name in ("left-pad", "@acme/secret", "@acme/new", "new"):
        assert machine.publish(name, "1.1.0").status in (403, 404)
    assert effects() == []


def test_without_a_permission_a_token_reads(alice, effects):
    alice.publish("@acme/secret", "1.0.0")
    Package.objects.filter(name="@acme/secret").update(is_restricted=True)
    machine = made(alice, scopes=["@acme"])
    effects()
    assert machine.view("@acme/secret").status == 200
    assert machine.publish("@acme/secret", "1.1.0").status == 403
    assert effects() == []


# --- For operators --------------------------------------------------------------------------------------------------


def run(*arguments: str) -> Person:
    """Somebody with the token that `manage.py create_token` printed."""
    out = io.StringIO()
    call_command("create_token", *arguments, stdout=out)
    assert re.fullmatch(r"larder_\w{38}\n", out.getvalue())
    return Person(arguments[0], out.getvalue().strip())


def test_a_token_from_the_shell_for_a_package_and_a_scope(alice, effects):
    options = ["--package", "left-pad", "--scope", "acme", "--cidr", "127.0.0.0/8", "--expires", "30", "--name", "ci"]
    machine = run("alice", *options)
    assert effects() == ["token.created user:alice by manage.py create_token"]
    row = Token.objects.get(name="ci")
    assert (row.kind, row.packages, row.scopes, row.orgs) == ("granular", ["left-pad"], ["@acme"], [])
    assert (row.cidrs, row.is_admin) == (["127.0.0.0/8"], False)
    assert timedelta(days=29) < row.expires_at - timezone.now() <= timedelta(days=30)
    assert [machine.publish(name, "1.0.0").status for name in ("left-pad", "@acme/x", "other")] == [201, 201, 403]


def test_a_token_from_the_shell_that_reads_one_package(alice):
    for name in ("@acme/one", "@acme/two"):
        alice.publish(name, "1.0.0")
    Package.objects.update(is_restricted=True)
    reader = run("alice", "--read-only", "--package", "@acme/one")
    assert [reader.view(f"@acme/{name}").status for name in ("one", "two")] == [200, 404]
    assert reader.publish("@acme/one", "1.1.0").status == 403


def test_a_token_until_a_day(alice):
    run("alice", "--expires", "2999-12-31")
    assert Token.objects.latest("id").expires_at == datetime(2999, 12, 31, tzinfo=UTC)


def test_only_an_administrators_token_is_an_administrators(alice, bob, effects):
    bob.publish("@acme/bobs", "1.0.0")
    Package.objects.update(is_restricted=True)
    effects()
    with pytest.raises(CommandError, match="no administrator"):
        run("alice", "--admin")
    assert effects() == []
    User.objects.filter(username="alice").update(is_superuser=True)
    assert run("alice").view("@acme/bobs").status == 404
    assert run("alice", "--admin").view("@acme/bobs").status == 200
    assert run("alice", "--admin", "--read-only").publish("@acme/bobs", "1.1.0").status == 403


@pytest.mark.parametrize(
    "options",
    [
        ["--package", "no such/name"],
        ["--scope", "@a/b"],
        ["--cidr", "home"],
        ["--expires", "0"],
        ["--expires", "soon"],
        ["--expires", "2001-01-01"],
        ["--expires", "9999-12-31T23:59:59-14:00"],
        ["--name", "a\nb"],
        ["--read-only", "--automation"],
    ],
    ids=" ".join,
)
def test_bad_options_get_a_sentence(alice, effects, options):
    with pytest.raises(CommandError, match=r"\w+ \w+"):
        run("alice", *options)
    assert effects() == []


def test_operators_revoke_any_token_in_the_admin(alice, bob, client, effects):
    User.objects.filter(username="bob").update(is_staff=True)
    client.force_login(User.objects.get(username="bob"))
    asked = {"action": "revoke", "_selected_action": [Token.objects.get(user__username="alice").pk]}
    assert client.post("/-/admin/registry/token/", asked).status_code == 403
    assert effects() == []
    User.objects.filter(username="bob").update(is_superuser=True)
    page = client.get("/-/admin/registry/token/")
    assert alice.token[:12] in page.content.decode()
    assert client.post("/-/admin/registry/token/", asked).status_code == 302
    assert (whoami(alice).status, whoami(bob).status) == (401, 200)
    assert effects() == ["token.revoked user:alice by bob"]
    assert client.post("/-/admin/registry/token/", asked).status_code == 302
    assert effects() == []  # it is revoked once


def test_a_token_whose_row_is_gone_is_no_person_without_limits(alice):
    user = User.objects.get()
    actor = replace(Actor.user("alice", user_id=user.pk), token_id=Token.objects.get().pk + 1000)
    with pytest.raises(Unauthenticated, match="not valid here any more"):
        tokens.own(actor)

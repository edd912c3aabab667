"""Everything that can be done to a package, a token, a login or an invitation, done at once by many, to real processes.

Of a package nothing is lost (`ledger`): every acknowledged change is in the journal, with the id of its request, and
was superseded there by no other than acknowledged ones; what was refused has left no trace; versions, tags, owners,
deprecations, stars, access and grants are served as the journal has them; no number is given twice; and whoever
published had the right to it at that place in the journal. Nothing ends in a failure of the server, such as a deadlock.
"""

import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from urllib.parse import parse_qs, urlsplit

import pytest

from registry import totp
from tests.browser import Browser
from tests.server import Server
from tests.stories.deeds import (
    ROUNDS,
    TEAM,
    api,
    deprecate,
    grant,
    hide_and_show,
    let_in_and_out,
    let_in_and_out_as_npm_does,
    move_a_tag,
    move_our_tag,
    path,
    publish,
    publish_a_line,
    read,
    revoke,
    star_and_unstar,
    unpublish,
    unpublish_all,
    unpublish_as_npm_does,
)
from tests.stories.ledger import Ledger, Somebody, Told, all_at_once, events_of
from tests.stories.publisher import Publisher
from tests.stories.uploads import Upload

PASSWORD = "correct horse battery"
TOKENS = "/-/npm/v1/tokens"
TEAMS = {"@acme:writers": {"dave"}, "@acme:developers": {"alice"}}


NAMES = ("alice", "bob", "carol", "dave", "erin", "frank", "grace")

# alice owns the organisation acme; dave is in it, and in no team but the writers.
GATHER = f"""
import json
from audit.actors import Actor
from registry import orgs, people, teams, tokens
us = {{"actor": Actor.system("test")}}
cast = {{name: people.create_user(name, "{PASSWORD}", **us) for name in {NAMES}}}
orgs.create("acme", **us)
orgs.set_member("acme", "alice", "owner", **us)
orgs.set_member("acme", "dave", "developer", **us)
teams.remove_member("acme", "developers", "dave", **us)
teams.create("acme", "writers", **us)
teams.add_member("acme", "writers", "dave", **us)
print(json.dumps({{name: tokens.issue(cast[name], kind="session", **us) for name in cast}}))
"""


GUESTS = 'from registry.models import User; print(*User.objects.filter(username__startswith="guest-"))'


@pytest.fixture(scope="module")
def server(database: str) -> Iterator[Server]:
    with Server(workers=2, threads=64, LARDER_SIGNUP="invite", LARDER_MAX_ATTEMPTS=100) as server:
        yield server


@pytest.fixture(scope="module")
def tokens(server: Server) -> dict[str, str]:
    return json.loads(server.manage("shell", "--no-imports", "-c", GATHER).stdout)


@pytest.fixture
def people(server: Server, tokens: dict[str, str]) -> dict[str, Somebody]:
    """All of them, with a ledger that they share."""
    ledger = Ledger()
    return {name: Somebody(server, name, token, ledger) for name, token in tokens.items()}


# --- A package --------------------------------------------------------------------------------------------------------


def assert_nothing_is_lost(alice: Somebody, box: str) -> Told:
    """That what people were told, what the journal tells and what is served agree."""
    events = events_of(alice.server, f"package:{box}")
    alice.ledger.agree(events)
    told = Told.by(events, members=TEAMS)
    answer = alice.send("GET", path(box))
    if not told.versions:
        assert answer.status == 404
        return told
    document = answer.json()
    assert {number: one.get("deprecated") for number, one in document["versions"].items()} == told.versions
    assert document["dist-tags"] == told.tags
    assert {owner["name"] for owner in document["maintainers"]} == told.owners
    assert document.get("users", {}).keys() == told.stars
    assert alice.send("GET", api(box, "access")).json() == {"access": told.access}
    assert alice.send("GET", f"{TEAM}/package").json().get(box) == told.grants.get("@acme:writers")
    for number in told.versions:
        assert alice.send("GET", Upload(box, number).tarball_path).status == 200
    return told


def test_whatever_is_done_to_one_package_at_once_nothing_is_lost(people: dict[str, Somebody], box: str):
    alice, bob, carol, dave, erin, frank, _ = people.values()
    for minor in range(6):
        publish(alice, box, f"0.{minor}.0")

    all_at_once(
        *(partial(publish_a_line, who, box, major) for major, who in enumerate([alice, alice, bob, dave], 1)),
        *(partial(move_a_tag, alice, box, tag) for tag in ("mine", "soon-gone")),
        *(partial(move_our_tag, who, box) for who in (alice, bob, dave)),
        partial(let_in_and_out, alice, box, "bob"),
        partial(let_in_and_out_as_npm_does, alice, box, "carol"),
        partial(deprecate, alice, box, "0.1.0"),
        partial(deprecate, bob, box, "0.2.0"),
        partial(unpublish, alice, box, "0.3.0"),
        partial(unpublish_as_npm_does, alice, box, "0.4.0"),
        *(partial(star_and_unstar, who, box) for who in (carol, erin, frank)),
        partial(hide_and_show, alice, box, tells="package.access.changed"),
        partial(grant, alice, box),
        partial(revoke, alice, box),
        partial(read, alice, box),
    )

    told = assert_nothing_is_lost(alice, box)
    lines = {f"{major}.{minor}.0" for major in (1, 2) for minor in range(ROUNDS)}
    assert {"0.0.0", "0.1.0", "0.2.0", "0.5.0", *lines} <= told.versions.keys()  # alice always may
    assert not {"0.3.0", "0.4.0"} & told.versions.keys()
    assert {"line-1": f"1.{ROUNDS - 1}.0", "line-2": f"2.{ROUNDS - 1}.0", "mine": "0.1.0"}.items() <= told.tags.items()
    assert "soon-gone" not in told.tags
    assert told.versions["0.1.0"] == f"alice says so, {ROUNDS - 1}"
    assert told.owners == {"alice", "bob"}


def test_a_package_that_some_take_back_while_others_publish_it(people: dict[str, Somebody], box: str):
    alice, bob, carol, *_ = people.values()
    publish(alice, box, "0.0.0")
    alice.send("PUT", api(box, "owners"), {"user": "bob"}, tells="package.owner.added")

    all_at_once(
        *(partial(publish_a_line, who, box, major) for major, who in enumerate([alice, alice, bob, bob], 1)),
        *(partial(unpublish_all, who, box) for who in (alice, bob)),
        partial(star_and_unstar, carol, box),
        partial(hide_and_show, alice, box),
        partial(read, alice, box),
    )

    told = assert_nothing_is_lost(alice, box)
    assert set(told.numbers) == {"0.0.0", *(f"{major}.{minor}.0" for major in range(1, 5) for minor in range(ROUNDS))}


def test_batches_that_name_the_same_packages_in_any_order(people: dict[str, Somebody], box: str):
    alice = people["alice"]
    boxes = [f"{box}-{letter}" for letter in "abcd"]

    def publish_batch(turn: int) -> None:
        names = [*boxes[turn:], *boxes[:turn]]
        bodies = (b"".join(Upload(name, f"1.{turn}.0").body()) for name in names[:: -1 if turn % 2 else 1])
        answer = alice.send("PUT", "/-/pnpm/v1/publish", b'{"packages":[' + b",".join(bodies) + b"]}")
        assert answer.status == 201, answer.body

    all_at_once(
        *(partial(publish_batch, turn) for turn in range(4)),
        *(partial(publish_a_line, alice, name, 2) for name in boxes),
    )

    for name in boxes:
        numbers = {*(f"1.{turn}.0" for turn in range(4)), *(f"2.{minor}.0" for minor in range(ROUNDS))}
        assert alice.send("GET", path(name)).json()["versions"].keys() == numbers


# --- Tokens and logins ------------------------------------------------------------------------------------------------


def whoami(server: Server, token: str) -> int:
    return server.get("/-/whoami", authorization=f"Bearer {token}").status


def test_sixteen_tokens_are_made_and_ended_at_once(people: dict[str, Somebody], server: Server):
    erin, made = people["erin"], []

    def make() -> None:
        made.append(erin.send("POST", TOKENS, {"password": PASSWORD, "readonly": True}, tells="token.created").json())

    all_at_once(*[make] * 16)

    assert len({one["token"] for one in made}) == 16
    assert {one["key"] for one in erin.send("GET", TOKENS).json()["objects"]} >= {one["key"] for one in made}
    assert {whoami(server, one["token"]) for one in made} == {200}

    all_at_once(*(partial(erin.send, "DELETE", f"{TOKENS}/token/{one['key']}") for one in made for _ in range(2)))

    assert {whoami(server, one["token"]) for one in made} == {401}
    assert whoami(server, erin.token) == 200
    told = Counter(event["kind"] for event in events_of(server, "user:erin") if event["request_id"] in erin.ledger)
    assert told == {"token.created": 16, "token.revoked": 16}


def test_of_sixteen_who_poll_a_login_one_gets_the_token(people: dict[str, Somebody], server: Server):
    answer = server.send("POST", "/-/v1/login", body="{}", headers={"npm-auth-type": "web"})
    page, done = (urlsplit(answer.json()[key]).path for key in ("loginUrl", "doneUrl"))
    browser = Browser(send=server.send)
    browser.open(page)
    answers = []

    all_at_once(*[lambda: answers.append(server.get(done))] * 8)
    assert {answer.status for answer in answers} == {202}
    browser.fill(name="frank", password=PASSWORD)
    answers.clear()
    all_at_once(*[lambda: answers.append(server.get(done))] * 16)

    assert Counter(answer.status for answer in answers) == {200: 1, 404: 15}
    [token] = [answer.json()["token"] for answer in answers if answer.status == 200]
    assert server.get("/-/whoami", authorization=f"Bearer {token}").json() == {"username": "frank"}


def test_of_eight_who_use_a_recovery_code_one_gets_in(people: dict[str, Somebody], server: Server):
    grace = people["grace"]
    begun = grace.send("POST", "/-/npm/v1/user", {"tfa": {"password": PASSWORD, "mode": "auth-only"}})
    secret = parse_qs(urlsplit(begun.json()["tfa"]).query)["secret"][0]
    codes = grace.send("POST", "/-/npm/v1/user", {"tfa": [totp.code(secret, time.time())]}).json()["tfa"]
    answers = []

    def sign_in() -> None:
        body = json.dumps({"name": "grace", "password": PASSWORD})
        headers = {"npm-otp": codes[0]}
        answers.append(server.send("PUT", "/-/user/org.couchdb.user:grace", body=body, headers=headers))

    all_at_once(*[sign_in] * 8)

    statuses = Counter(answer.status for answer in answers)
    assert statuses == {201: 1, 401: 7}
    used = [event for event in events_of(server, "user:grace") if event["kind"] == "user.recovery-code.used"]
    assert [event["facts"]["left"] for event in used] == [len(codes) - 1]


def test_an_invitation_makes_one_person(server: Server):
    page = urlsplit(server.manage("invite").stdout.strip()).path
    browsers = {f"guest-{number}": Browser(send=server.send) for number in range(8)}
    for browser in browsers.values():
        browser.open(page)

    all_at_once(
        *(partial(browser.fill, name=name, password=PASSWORD, again=PASSWORD) for name, browser in browsers.items())
    )

    [person] = re.findall(r"guest-\d", server.manage("shell", "--no-imports", "-c", GUESTS).stdout)
    assert Publisher.sign_in(server, person)

"""Signing in, and showing a second factor, in a browser, while a client waits in the terminal."""

import json
import re
import time
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from django.apps import apps
from django.test import Client
from django.utils import timezone

from audit.actors import Actor
from audit.models import Event
from registry import janitor, second_factor, totp, weblogin
from registry.errors import NotFound
from registry.models import Token, User, WebSession
from registry.weblogin import Terminal
from tests.actors import Person, publish_body
from tests.browser import Browser

pytestmark = pytest.mark.django_db(transaction=True)

PASSWORD = "correct horse battery"
WEB = {"npm-auth-type": "web"}
NOBODY = Person()


def begin(person: Person = NOBODY, body: bytes | str | dict = "{}") -> dict[str, str]:
    """`npm login` up to where it shows a URL."""
    answer = person.send("POST", "/-/v1/login", body=body, headers=WEB)
    assert answer.status == 200, answer.body
    assert answer.headers["cache-control"] == "private, no-store"
    return answer.json()


def poll(done_url: str, person: Person = NOBODY):
    return person.send("GET", urlsplit(done_url).path)


def whoami(token: str) -> str:
    return Person(token=token).send("GET", "/-/whoami").json()["username"]


def signed_in(name: str) -> Browser:
    """The browser of somebody who has signed in to our pages before."""
    client = Client()
    client.force_login(User.objects.get(username=name))
    return Browser(cookies=client.cookies)


def app_of(name: str, mode: str = "auth-and-writes") -> str:
    """Switch on a second factor; gives what the person's app keeps."""
    user = User.objects.get(username=name)
    url = second_factor.begin(user, mode, issuer="registry.test")
    secret = parse_qs(urlsplit(url).query)["secret"][0]
    second_factor.confirm(user, code(secret), actor=Actor.system("test"))
    return secret


def code(secret: str) -> str:
    return totp.code(secret, time.time())


def wrong(secret: str) -> str:
    """A code that the app shows at another time only."""
    now = time.time()
    around = {totp.code(secret, now + seconds) for seconds in range(-120, 121, 30)}
    return next(number for number in ("000000", "111111", "222222", "333333", "444444") if number not in around)


# --- Login ----------------------------------------------------------------------------------------------------------


def test_who_signs_in_in_the_browser_is_signed_in_in_the_terminal(alice, effects):
    urls = begin()
    waiting = poll(urls["doneUrl"])
    assert (waiting.status, waiting.headers["retry-after"]) == (202, "1")
    assert waiting.headers["cache-control"] == "private, no-store"
    assert effects() == []

    browser = Browser()
    assert browser.open(urls["loginUrl"]).status == 200
    page = browser.fill(name="alice", password=PASSWORD)
    assert (page.status, b"Go back to the terminal" in page.body) == (200, True)
    assert effects() == ["browser.allowed user:alice by alice"]

    done = poll(urls["doneUrl"])
    assert (done.status, done.headers["cache-control"]) == (200, "private, no-store")
    assert whoami(done.json()["token"]) == "alice"
    assert Token.objects.latest("id").kind == Token.Kind.SESSION
    assert effects() == ["token.created user:alice by alice"]
    assert not WebSession.objects.exists()


def test_the_token_is_given_once(alice, effects):
    urls = begin()
    allow(urls)
    assert [poll(urls["doneUrl"]).status for _ in range(3)] == [200, 404, 404]
    answer = poll(urls["doneUrl"])
    assert "run the command again" in answer.json()["error"]
    assert Browser().open(urls["loginUrl"]).status == 404
    assert len(effects()) == 2


def allow(urls: dict[str, str], **fields: str) -> None:
    browser = Browser()
    browser.open(urls["loginUrl"])
    assert b"Go back" in browser.fill(**{"name": "alice", "password": PASSWORD, **fields}).body


@pytest.mark.parametrize("purpose", ["login", "otp"])
def test_of_two_polls_at_once_one_gets_the_token(alice, purpose, effects):
    user = User.objects.get()
    made = weblogin.begin(Terminal("", ""), user_id=user.pk if purpose == "otp" else None)
    session, terminal = weblogin.asked(made.browser)
    weblogin.allow(session, user, terminal, actor=Actor.system("test"))
    effects()
    both = [weblogin.polled(made.poll), weblogin.polled(made.poll)]
    assert weblogin.collect(both[0], user, actor=Actor.system("test"))
    kept = list(WebSession.objects.values())
    with pytest.raises(NotFound):
        weblogin.collect(both[1], user, actor=Actor.system("test"))
    assert list(WebSession.objects.values()) == kept
    assert len(effects()) == (1 if purpose == "login" else 0)


def test_of_two_people_in_two_browsers_the_first_counts(alice, bob, effects):
    made = weblogin.begin(Terminal("", ""))
    first, second = weblogin.asked(made.browser), weblogin.asked(made.browser)
    weblogin.allow(first[0], User.objects.get(username="alice"), first[1], actor=Actor.system("test"))
    with pytest.raises(NotFound):
        weblogin.allow(second[0], User.objects.get(username="bob"), second[1], actor=Actor.system("test"))
    assert WebSession.objects.get().user.username == "alice"
    assert effects() == ["browser.allowed user:alice by test"]


def test_who_is_too_late_begins_again(alice, effects):
    urls = begin()
    browser = Browser()
    browser.open(urls["loginUrl"])
    WebSession.objects.update(expires_at=timezone.now())
    late = browser.fill(name="alice", password=PASSWORD)
    assert (late.status, b"run the command again" in late.body) == (404, True)
    assert browser.open(urls["loginUrl"]).status == 404
    assert poll(urls["doneUrl"]).status == 404
    assert effects() == []


def test_a_token_that_is_not_fetched_in_time_is_never_made(alice, effects):
    urls = begin()
    allow(urls)
    WebSession.objects.update(expires_at=timezone.now())
    effects()
    assert poll(urls["doneUrl"]).status == 404
    assert effects() == []


def test_sessions_whose_time_is_over_are_swept(alice, settings):
    settings.LOGIN_MINUTES = 3
    old, fresh = begin(), begin()
    left = WebSession.objects.latest("id").expires_at - timezone.now()
    assert timedelta(minutes=2) < left <= timedelta(minutes=3)
    WebSession.objects.filter(pk=WebSession.objects.earliest("id").pk).update(expires_at=timezone.now())
    janitor.sweep()
    assert [poll(urls["doneUrl"]).status for urls in (old, fresh)] == [404, 202]
    assert WebSession.objects.count() == 1


@pytest.mark.parametrize("headers", [{}, {"npm-auth-type": "legacy"}])
def test_who_does_not_ask_for_a_browser_goes_on_to_the_password(anyone, headers):
    answer = anyone.send("POST", "/-/v1/login", body={"hostname": "old"}, headers=headers)
    assert (answer.status, "password" in answer.json()["error"]) == (404, True)
    assert not WebSession.objects.exists()


def test_the_urls_are_of_the_origin_that_was_asked(settings):
    assert all(url.startswith("http://registry.test/-/") for url in begin().values())
    settings.PUBLIC_URL = "https://npm.acme.example/npm"
    assert all(url.startswith("https://npm.acme.example/npm/-/") for url in begin().values())


def test_the_page_says_who_asks(alice):
    page = Browser().open(begin(body={"hostname": "<b>ci-7</b>"})["loginUrl"]).body.decode()
    assert "&lt;b&gt;ci-7&lt;/b&gt;" in page
    assert "127.0.0.1" in page
    assert re.search(r"asked at \d\d:\d\d:\d\d UTC", page)
    assert "close this page" in page


def test_nobody_can_change_what_the_page_says(alice):
    secret = begin(body={"hostname": "evil"})["loginUrl"].rpartition("/")[2]
    random = secret.partition("~")[0]
    other = begin(body={"hostname": "trusted"})["loginUrl"].rpartition("~")[2]
    for changed in (f"{random}~{other}", random, f"{random}~", secret + "x", "~", "%00", "%ff", "%F0%9F%92%A9"):
        assert Browser().open(f"/-/web/login/{changed}").status == 404


def test_the_pages_are_kept_and_framed_by_nobody(alice, settings):
    settings.SIGNUP = "invite"
    urls = begin()
    browser = Browser()
    pages = [browser.open(urls["loginUrl"]), browser.fill(name="alice", password=PASSWORD)]
    pages += [browser.open(urls["loginUrl"]), browser.open("/-/web/sign-up"), browser.fill(name="x")]
    for page in pages:
        assert page.headers["cache-control"] == "private, no-store"
        policy = page.headers["content-security-policy"]
        assert all(word in policy for word in ("default-src 'self'", "form-action 'self'", "frame-ancestors 'none'"))
        nonce = re.search("'nonce-([^']+)'", policy)
        assert nonce
        assert f'<style nonce="{nonce[1]}">'.encode() in page.body
        assert b"<script" not in page.body


def test_another_sites_form_allows_nothing(alice, effects):
    urls = begin()
    browser = signed_in("alice")
    browser.open(urls["loginUrl"])
    del browser.fields["csrfmiddlewaretoken"]
    assert browser.fill().status == 403
    assert poll(urls["doneUrl"]).status == 202
    assert effects() == []


@pytest.mark.parametrize("password", ["wrong", "", "x" * 1000, "\0"])
def test_a_wrong_password_lets_nobody_in(alice, effects, password):
    urls = begin()
    browser = Browser()
    browser.open(urls["loginUrl"])
    page = browser.fill(name="alice", password=password)
    assert (page.status, b"errorlist" in page.body) == (200, True)
    assert b'value="alice"' in page.body
    assert f'value="{password}"' not in page.body.decode() or not password
    assert poll(urls["doneUrl"]).status == 202
    assert effects() == []
    assert b"Go back" in browser.fill(name="alice", password=PASSWORD).body


def test_guessing_ends(alice, settings):
    settings.MAX_ATTEMPTS = 2
    urls = begin()
    browser = Browser()
    browser.open(urls["loginUrl"])
    assert [browser.fill(name="alice", password="wrong").status for _ in range(2)] == [200, 200]
    page = browser.fill(name="alice", password=PASSWORD)
    assert (page.status, int(page.headers["retry-after"]) > 0) == (429, True)
    assert poll(urls["doneUrl"]).status == 202


def test_a_second_factor_is_asked_for(alice, effects):
    secret = app_of("alice", "auth-only")
    urls = begin()
    browser = Browser()
    browser.open(urls["loginUrl"])
    effects()
    assert b"one-time password" in browser.fill(name="alice", password=PASSWORD).body
    assert b"not right" in browser.fill(name="alice", password=PASSWORD, code=wrong(secret)).body
    assert (poll(urls["doneUrl"]).status, effects()) == (202, [])
    assert b"Go back" in browser.fill(name="alice", password=PASSWORD, code=code(secret)).body
    assert whoami(poll(urls["doneUrl"]).json()["token"]) == "alice"


def test_who_is_signed_in_to_the_pages_only_confirms(alice, effects):
    urls = begin()
    browser = signed_in("alice")
    browser.open(urls["loginUrl"])
    assert set(browser.fields) == {"csrfmiddlewaretoken"}
    assert b"Go back" in browser.fill().body
    assert whoami(poll(urls["doneUrl"]).json()["token"]) == "alice"
    assert effects() == ["browser.allowed user:alice by alice", "token.created user:alice by alice"]


def test_who_is_signed_in_to_the_pages_shows_a_second_factor_all_the_same(alice):
    secret = app_of("alice", "auth-only")
    browser = signed_in("alice")
    browser.open(begin()["loginUrl"])
    for given in ("", wrong(secret)):
        assert b"errorlist" in browser.fill(code=given).body
    assert b"Go back" in browser.fill(code=code(secret)).body


def test_who_is_signed_in_to_the_pages_can_be_somebody_else(alice, bob):
    urls = begin()
    browser = signed_in("alice")
    browser.open(urls["loginUrl"])
    browser.open("?other")
    assert b"Go back" in browser.fill(name="bob", password=PASSWORD).body
    assert whoami(poll(urls["doneUrl"]).json()["token"]) == "bob"


def test_somebody_who_left_does_not_get_in(alice):
    urls = begin()
    browser = signed_in("alice")
    User.objects.update(is_active=False)
    browser.open(urls["loginUrl"])
    assert "name" in browser.fields
    assert b"errorlist" in browser.fill(name="alice", password=PASSWORD).body


def test_login_works_where_nobody_may_read(alice, settings):
    settings.ANONYMOUS_READ = False
    urls = begin()
    allow(urls)
    assert whoami(poll(urls["doneUrl"]).json()["token"]) == "alice"


def test_an_old_token_keeps_nobody_from_signing_in(alice):
    """npm sends the token that its npmrc still holds."""
    past = Person(token="larder_revoked")
    urls = begin(past)
    assert poll(urls["doneUrl"], past).status == 202
    allow(urls)
    assert poll(urls["doneUrl"], past).status == 200


@pytest.mark.parametrize(
    "body",
    [
        "",
        "null",
        "[]",
        '"x"',
        '{"create": true, "hostname": null}',
        '{"hostname": ["x"]}',
        '{"hostname": "\\u0000\\ud800\\u202e\\n"}',
        json.dumps({"hostname": "x" * 100_000}),
    ],
)
def test_whatever_a_client_says_of_itself(body):
    urls = begin(body=body)
    assert len(urls["loginUrl"]) < 250
    assert Browser().open(urls["loginUrl"]).status == 200


@pytest.mark.parametrize("body", ["{", "NaN", b"\xff"])
def test_a_body_that_is_not_json_is_refused(anyone, body):
    assert anyone.send("POST", "/-/v1/login", body=body, headers=WEB).status == 400


@pytest.mark.parametrize("secret", ["x", "%00", "%ff", "x" * 5000, "a/b"])
def test_a_secret_that_is_none(anyone, secret):
    answer = anyone.send("GET", f"/-/v1/login/done/{secret}")
    assert (answer.status, bool(answer.json()["error"])) == (404, True)


def test_no_secret_is_kept_anywhere(alice):
    secret = app_of("alice")
    login, otp = begin(), challenge(alice)
    allow(login, code=code(secret))
    show(otp, secret)
    token = poll(otp["doneUrl"]).json()["token"]
    kept = json.dumps([row for model in apps.get_models() for row in model.objects.values()], default=str)
    secrets = [url.rpartition("/")[2] for url in (*login.values(), otp["authUrl"], otp["doneUrl"])]
    assert not [each for each in (*secrets, token) if each.partition("~")[0] in kept]


def test_history_tells_which_terminal_was_let_in(alice):
    urls = begin(body={"hostname": "ci-7"})
    allow(urls)
    event = Event.objects.get(kind="browser.allowed")
    assert event.facts == {"purpose": "login", "hostname": "ci-7", "address": "127.0.0.1"}
    assert event.origin == "127.0.0.1"


# --- One-time passwords ---------------------------------------------------------------------------------------------


def publish(person: Person, version: str = "1.0.0", **headers: str):
    """`npm publish` at a terminal."""
    body = publish_body("left-pad", version)
    return person.send("PUT", "/left-pad", body=body, headers={**WEB, **headers})


def challenge(person: Person) -> dict[str, str]:
    """What a publish without a one-time password is answered."""
    answer = publish(person)
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "OTP")
    return answer.json()


def show(urls: dict[str, str], secret: str) -> None:
    browser = Browser()
    browser.open(urls["authUrl"])
    assert b"Go back" in browser.fill(code=code(secret)).body


def test_a_second_factor_is_shown_in_the_browser(alice, effects):
    secret = app_of("alice")
    effects()
    urls = challenge(alice)
    assert "one-time password" in urls["error"]
    assert poll(urls["doneUrl"]).status == 202

    browser = Browser()
    page = browser.open(urls["authUrl"]).body.decode()
    assert "127.0.0.1" in page
    assert "alice" in page
    assert set(browser.fields) == {"csrfmiddlewaretoken", "code"}
    assert b"not right" in browser.fill(code=wrong(secret)).body
    assert poll(urls["doneUrl"]).status == 202
    assert b"Go back" in browser.fill(code=code(secret)).body

    assert effects() == ["browser.allowed user:alice by alice"]
    answers = [poll(urls["doneUrl"]) for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 404]
    otp = answers[0].json()["token"]
    assert [publish(alice, version, **{"npm-otp": otp}).status for version in ("1.0.0", "1.0.1")] == [201, 201]
    assert "browser.allowed user:alice by alice" not in effects()


def test_a_password_from_the_browser_is_good_for_five_minutes(alice):
    secret = app_of("alice")
    urls = challenge(alice)
    show(urls, secret)
    otp = poll(urls["doneUrl"]).json()["token"]
    left = WebSession.objects.get().expires_at - timezone.now()
    assert timedelta(minutes=4) < left <= timedelta(minutes=5)
    WebSession.objects.update(expires_at=timezone.now())
    assert publish(alice, **{"npm-otp": otp}).status == 401


def test_a_password_from_the_browser_is_good_for_its_person(alice, bob):
    secret = app_of("alice")
    app_of("bob")
    urls = challenge(alice)
    show(urls, secret)
    otp = poll(urls["doneUrl"]).json()["token"]
    assert publish(bob, **{"npm-otp": otp}).status == 401
    assert publish(alice, **{"npm-otp": otp}).status == 201


def test_who_does_not_ask_for_a_browser_is_asked_for_a_code(alice):
    app_of("alice")
    for headers in ({"npm-auth-type": "legacy"}, {"npm-auth-type": ""}):
        answer = publish(alice, **headers)
        assert answer.headers["www-authenticate"] == "OTP"
        assert list(answer.json()) == ["error"]
    assert not WebSession.objects.exists()


def test_a_password_login_is_not_sent_to_the_browser(alice):
    """It has no person yet whose browser that could be."""
    app_of("alice")
    body = {"name": "alice", "password": PASSWORD}
    answer = alice.send("PUT", "/-/user/org.couchdb.user:alice", body=body, headers=WEB)
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "OTP")
    assert list(answer.json()) == ["error"]

"""Signing in by OpenID Connect: against a real provider, in a browser without JavaScript."""

import os
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from joserfc.jwk import RSAKey

from audit.actors import Actor
from registry import people, second_factor
from registry.models import SecondFactor, Token, User
from registry.signin import Provider
from registry.web import openid
from tests.actors import Person
from tests.browser import Browser
from tests.clients import toolbox
from tests.openid_provider import CLIENT, SECRET, OpenIdProvider
from tests.wsgi import Answer

pytestmark = pytest.mark.django_db(transaction=True)

ERIN = {"preferred_username": "Erin", "email": "Erin@Example.ORG", "groups": ["developers"]}
LOCAL = "correct horse battery"
WEB = {"npm-auth-type": "web"}


@pytest.fixture(scope="module")
def process() -> Iterator[OpenIdProvider]:
    try:
        started = OpenIdProvider()
    except toolbox.Unavailable as reason:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(str(reason))
    with started:
        yield started


@pytest.fixture
def provider(process, settings) -> OpenIdProvider:
    """A provider that knows erin, as 00u7, and a registry where nobody signs up and which trusts the provider."""
    process.tell(people={"00u7": ERIN})
    settings.SIGNUP = "closed"
    settings.OPENID = Provider(process.issuer, CLIENT, SECRET, label="Example ID")
    settings.AUTHENTICATION_BACKENDS = [
        "django.contrib.auth.backends.ModelBackend",
        "registry.web.openid.ProviderBackend",
    ]
    openid._client.cache_clear()
    return process


def set_out(browser: Browser, to: str = "/-/web/") -> str:
    """Follow our link; gives where the provider is asked."""
    answer = browser.open(f"/-/web/openid?{urlencode({'next': to})}")
    assert answer.status == 302, answer.body
    assert "no-store" in answer.headers["cache-control"]
    return answer.headers["location"]


def come_back(browser: Browser, url: str) -> Answer:
    place = urlsplit(url)
    assert place.netloc == "registry.test"
    return browser.open(f"{place.path}?{place.query}")


def sign_in(provider: OpenIdProvider, subject: str = "00u7", to: str = "/-/web/") -> Answer:
    browser = Browser()
    return come_back(browser, provider.visit(set_out(browser, to), subject))


def refused(answer: Answer, sentence: str) -> bool:
    return (answer.status, sentence.encode() in answer.body) == (403, True)


# --- From the link to the token -------------------------------------------------------------------------------------


def test_who_signs_in_at_the_provider_is_signed_in_in_the_terminal(provider, effects):
    urls = Person().send("POST", "/-/v1/login", body="{}", headers=WEB).json()
    browser = Browser()
    page = browser.open(urlsplit(urls["loginUrl"]).path)
    link = f"/-/web/openid?{urlencode({'next': browser.url})}"
    assert b"Sign in with Example ID" in page.body
    assert link.encode() in page.body

    answer = browser.open(link)
    back = come_back(browser, provider.visit(answer.headers["location"], "00u7"))
    assert (back.status, back.headers["location"]) == (302, urlsplit(urls["loginUrl"]).path)
    assert effects() == [f"user.created user:erin by {provider.issuer}"]

    assert b"erin" in browser.open(back.headers["location"]).body
    assert b"Go back to the terminal" in browser.fill().body
    done = Person().send("GET", urlsplit(urls["doneUrl"]).path)
    erin = Person("erin", done.json()["token"])
    assert erin.send("GET", "/-/whoami").json() == {"username": "erin"}
    assert effects() == ["browser.allowed user:erin by erin", "token.created user:erin by erin"]
    assert erin.publish("@acme/pad", "1.0.0").status == 201


def test_nobody_is_signed_in_in_a_terminal_without_a_click(provider):
    """Else a link of somebody else's would do, to who is signed in at the provider already."""
    urls = Person().send("POST", "/-/v1/login", body="{}", headers=WEB).json()
    assert sign_in(provider, to=urlsplit(urls["loginUrl"]).path).status == 302
    assert Person().send("GET", urlsplit(urls["doneUrl"]).path).status == 202
    assert not Token.objects.exists()


def test_what_the_provider_is_asked(provider):
    asked = parse_qs(urlsplit(set_out(Browser())).query)
    assert asked["response_type"] == ["code"]
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["redirect_uri"] == ["http://registry.test/-/web/openid/callback"]
    assert all(len(asked[name][0]) >= 20 for name in ("state", "nonce", "code_challenge"))


def test_the_public_url_is_where_the_provider_sends_people_back(provider, settings):
    settings.PUBLIC_URL = "https://npm.example.org"
    asked = parse_qs(urlsplit(set_out(Browser())).query)
    assert asked["redirect_uri"] == ["https://npm.example.org/-/web/openid/callback"]


def test_an_operator_of_the_provider_opens_the_admin(provider, settings):
    settings.OPENID = replace(settings.OPENID, admin_group="operators")
    provider.tell(people={"00u7": {**ERIN, "groups": ["operators"]}})
    browser = Browser()
    assert b"Sign in with Example ID" in browser.open("/-/admin/login/?next=/-/admin/").body
    come_back(browser, provider.visit(set_out(browser, "/-/admin/"), "00u7"))
    assert browser.open("/-/admin/").status == 200
    provider.tell(people={"00u7": ERIN})
    sign_in(provider)
    assert browser.open("/-/admin/").status == 302
    assert not User.objects.get().is_superuser


@pytest.mark.parametrize("elsewhere", ["https://evil.example.org/", "//evil.example.org/", "/left-pad", ""])
def test_nobody_is_sent_elsewhere(provider, elsewhere):
    assert sign_in(provider, to=elsewhere).headers["location"] == "/-/web/"


# --- Who it is ------------------------------------------------------------------------------------------------------


def test_a_person_is_known_by_the_subject(provider, effects):
    sign_in(provider)
    row = User.objects.get()
    assert (row.username, row.email, row.has_usable_password()) == ("erin", "erin@example.org", False)
    provider.tell(people={"00u7": {"preferred_username": "erin.married", "email": "new@example.org"}})
    effects()
    sign_in(provider)
    row.refresh_from_db()
    assert (row.username, row.email) == ("erin", "new@example.org")
    assert effects() == [f"user.profile.changed user:erin by {provider.issuer}"]


@pytest.mark.parametrize("name", ["erin", "mallory"])
def test_the_same_name_or_address_makes_nobody_the_same(provider, effects, name):
    sign_in(provider)
    effects()
    provider.tell(people={"00u8": {**ERIN, "preferred_username": name}})
    answer = sign_in(provider, "00u8")
    assert answer.status == (403 if name == "erin" else 302)
    assert effects() == ([] if name == "erin" else [f"user.created user:mallory by {provider.issuer}"])


def test_who_has_a_password_here_is_nobody_of_the_provider(provider):
    people.create_user("erin", LOCAL, actor=Actor.system("test"), email="erin@example.org")
    assert refused(sign_in(provider), "ask an operator")
    assert User.objects.get().has_usable_password()


def test_an_operator_gives_a_person_over_to_the_provider(provider, effects):
    people.create_user("erin", LOCAL, actor=Actor.system("test"))
    call_command("link_user", "erin", openid="00u7")
    assert sign_in(provider).status == 302
    assert User.objects.get().email == "erin@example.org"
    assert effects()[1:] == [
        "user.identity.linked user:erin by manage.py link_user",
        f"user.profile.changed user:erin by {provider.issuer}",
    ]


def test_an_address_that_is_not_verified_is_not_taken(provider):
    provider.tell(people={"00u7": {**ERIN, "email_verified": False}})
    sign_in(provider)
    assert User.objects.get().email == ""


@pytest.mark.parametrize("name", ["", "erin woods", "Erïn", "x" * 101])
def test_a_name_that_cannot_be_one_here_is_refused_in_words(provider, effects, name):
    provider.tell(people={"00u7": {**ERIN, "preferred_username": name}})
    assert refused(sign_in(provider), "lower-case letters" if name else "cannot be")
    assert effects() == []


def test_only_people_of_the_group_come_in(provider, settings, effects):
    settings.OPENID = replace(settings.OPENID, group="developers")
    assert sign_in(provider).status == 302
    provider.tell(people={"00u9": {"preferred_username": "guest", "groups": []}})
    effects()
    assert refused(sign_in(provider, "00u9"), "only people of developers")
    assert effects() == []


def test_who_is_switched_off_here_stays_out(provider):
    sign_in(provider)
    User.objects.update(is_active=False)
    assert refused(sign_in(provider), "switched off")


def test_a_second_factor_is_not_gone_around(provider, settings):
    sign_in(provider)
    SecondFactor.objects.create(user=User.objects.get(), secret="", mode="auth-only", is_pending=False)
    assert second_factor.is_on(User.objects.get())
    assert refused(sign_in(provider), "second factor")


def test_a_provider_takes_no_passwords(provider):
    sign_in(provider)
    body = {"name": "erin", "password": "any", "type": "user"}
    assert Person().send("PUT", "/-/user/org.couchdb.user:erin", body=body).status == 401


# --- What must not work ---------------------------------------------------------------------------------------------


def test_a_code_is_good_in_the_browser_that_asked_and_once(provider, effects):
    browser = Browser()
    back = provider.visit(set_out(browser), "00u7")
    assert refused(come_back(Browser(), back), "begin again"), "somebody else's browser"
    assert come_back(browser, back).status == 302
    effects()
    assert refused(come_back(browser, back), "begin again")
    assert effects() == []


@pytest.mark.parametrize(
    "query", ["", "?code=x", "?state=x&code=x", "?error=access_denied&state=x", "?code=%00&state=%ff"]
)
def test_who_comes_from_nowhere_is_refused(provider, effects, query):
    assert refused(Browser().open(f"/-/web/openid/callback{query}"), "begin again")
    assert effects() == []


@pytest.mark.parametrize("kept", ["nonce", "code_verifier"])
def test_what_was_kept_of_the_request_must_fit_the_answer(provider, effects, kept):
    browser = Browser()
    back = provider.visit(set_out(browser), "00u7")
    row = Session.objects.get()
    data = row.get_decoded()
    next(iter(data.values()))["data"][kept] = "x" * 48
    row.session_data = Session.get_session_store_class()().encode(data)
    row.save()
    assert refused(come_back(browser, back), "begin again")
    assert effects() == []


def forged(provider: OpenIdProvider, asked: str, key: RSAKey | None = None, **claims) -> dict:
    """A token endpoint that says something else of erin."""
    nonce, now = parse_qs(urlsplit(asked).query)["nonce"][0], int(time.time())
    said = {"iss": provider.issuer, "sub": "00u7", "aud": CLIENT, "nonce": nonce, "iat": now, "exp": now + 60, **claims}
    body = {"access_token": "x", "token_type": "Bearer", "id_token": provider.sign(said, key)}
    return {"/token": {"status": 200, "body": body}, "/me": {"status": 200, "body": {"sub": "00u7", **ERIN}}}


def test_a_token_that_fits_is_taken(provider):
    """So that the ones below are refused for what they say of theirs."""
    browser = Browser()
    asked = set_out(browser)
    back = provider.visit(asked, "00u7")
    provider.tell(faults=forged(provider, asked))
    assert come_back(browser, back).status == 302


@pytest.mark.parametrize(
    "lie",
    [
        {"iss": "https://evil.example.org"},
        {"aud": "another client"},
        {"nonce": "another"},
        {"exp": 1000000000},
        {"key": RSAKey.generate_key(2048)},
    ],
    ids=lambda lie: next(iter(lie)),
)
def test_a_token_for_others_of_others_or_of_old_opens_nothing(provider, effects, lie):
    browser = Browser()
    asked = set_out(browser)
    back = provider.visit(asked, "00u7")
    provider.tell(faults=forged(provider, asked, **lie))
    assert refused(come_back(browser, back), "begin again")
    assert effects() == []


def test_claims_of_somebody_else_are_not_mixed_in(provider, effects):
    browser = Browser()
    back = provider.visit(set_out(browser), "00u7")
    provider.tell(faults={"/me": {"status": 200, "body": {"sub": "00u1", "preferred_username": "root"}}})
    assert refused(come_back(browser, back), "two people")
    assert effects() == []


# --- The provider is ill, or sends us somewhere ---------------------------------------------------------------------

METADATA = "/.well-known/openid-configuration"


@pytest.mark.parametrize(
    "fault",
    [{"status": 500}, {"status": 200, "body": []}],
    ids=["fails", "babbles"],
)
def test_without_the_provider_people_are_told_and_others_sign_in(provider, fault):
    people.create_user("dave", LOCAL, actor=Actor.system("test"))
    provider.tell(faults={METADATA: fault})
    answer = Browser().open("/-/web/openid")
    assert (answer.status, b"does not answer" in answer.body) == (503, True)
    assert Person("dave").login(LOCAL).send("GET", "/-/whoami").status == 200
    provider.tell()
    assert Browser().open("/-/web/openid").status == 302


@pytest.fixture
def secret() -> Iterator[str]:
    """A server of the inner network: nobody must ever connect to it."""
    with socket.create_server(("127.0.0.2", 0)) as listening:
        listening.setblocking(False)
        yield f"http://127.0.0.2:{listening.getsockname()[1]}/"
        with pytest.raises(BlockingIOError):
            listening.accept()


def test_a_redirect_is_not_followed(provider, secret):
    provider.tell(faults={METADATA: {"status": 302, "headers": {"location": secret}}})
    assert Browser().open("/-/web/openid").status == 503


@pytest.mark.parametrize("named", ["token_endpoint", "userinfo_endpoint", "jwks_uri"])
def test_the_provider_sends_us_to_no_private_address(provider, secret, effects, named):
    metadata = requests.get(provider.issuer + METADATA, timeout=10).json()
    provider.tell(people={"00u7": ERIN}, faults={METADATA: {"status": 200, "body": {**metadata, named: secret}}})
    browser = Browser()
    assert come_back(browser, provider.visit(set_out(browser), "00u7")).status == 503
    assert effects() == []


@pytest.mark.parametrize("path", ["/token", "/me", "/jwks"])
def test_a_provider_that_fails_half_way_is_ill(provider, effects, path):
    browser = Browser()
    back = provider.visit(set_out(browser), "00u7")
    provider.tell(people={"00u7": ERIN}, faults={path: {"status": 500}})
    assert come_back(browser, back).status == 503
    assert effects() == []


@pytest.mark.parametrize(
    ("url", "is_asked"),
    [
        ("https://id.example.org:8443/keys", True),
        ("https://8.8.8.8/keys", True),
        ("http://8.8.8.8/keys", False),
        ("https://127.0.0.1/keys", False),
        ("https://10.1.2.3/keys", False),
        ("https://169.254.169.254/keys", False),
        ("https://[::1]/keys", False),
    ],
)
def test_private_addresses_are_for_the_issuer_alone(settings, url, is_asked):
    settings.OPENID = Provider("https://id.example.org", CLIENT, SECRET)
    if is_asked:
        openid._require_reachable(url)
        return
    with pytest.raises(requests.ConnectionError):
        openid._require_reachable(url)


# --- Settings -------------------------------------------------------------------------------------------------------


def test_without_a_provider_there_is_no_link_and_no_way():
    assert b"Sign in with" not in Browser().open("/-/admin/login/").body
    assert Browser().open("/-/web/openid").status == 403
    assert Browser().open("/-/web/openid/callback?code=x&state=x").status == 403


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"issuer": "http://id.example.org"}, "registry.E025"),
        ({"issuer": "id.example.org"}, "registry.E025"),
        ({"client_secret": ""}, "registry.E026"),
        ({"scopes": "profile"}, "registry.E027"),
    ],
)
def test_settings_that_contradict_each_other_are_found(settings, change, complaint):
    settings.OPENID = Provider("https://id.example.org", CLIENT, SECRET)
    call_command("check")
    settings.OPENID = replace(settings.OPENID, **change)
    with pytest.raises(SystemCheckError, match=complaint):
        call_command("check")

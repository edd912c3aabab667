"""Two-factor authentication: switched on and off by `npm profile`, asked for at login and by writes."""

import base64
import hashlib
import json
import time
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.apps import apps
from django.test import Client
from django.utils import timezone

from audit.actors import Actor
from audit.models import Event
from registry import secrecy, tokens, totp
from registry.models import Package, RecoveryCode, SecondFactor, SecondFactorRule, Token, User, WebSession
from tests.actors import Person, escaped, publish_body
from tests.authenticator import PASSWORD, PROFILE, Phone, post, scanned, with_otp
from tests.threads import PassingThreads
from tests.wsgi import Answer

pytestmark = pytest.mark.django_db(transaction=True)

WRONG = "12345"  # no app shows five digits


def login(name: str, otp: str = "", password: str = PASSWORD) -> Answer:
    body = {"name": name, "password": password}
    return Person(name).send("PUT", f"/-/user/org.couchdb.user:{name}", body=body, headers=with_otp(otp))


def publish(person: Person, name: str, otp: str = "") -> Answer:
    return person.send("PUT", f"/{escaped(name)}", body=publish_body(name, "1.0.0"), headers=with_otp(otp))


def is_challenge(answer: Answer) -> bool:
    """What makes npm ask its user for a one-time password."""
    challenged = (answer.status, answer.headers.get("www-authenticate")) == (401, "OTP")
    return challenged and "one-time password" in answer.json()["error"]


def with_token(kind: str) -> Person:
    return Person("alice", tokens.issue(User.objects.get(username="alice"), actor=Actor.system("test"), kind=kind))


def require(name: str, rule: SecondFactorRule) -> None:
    """What `npm access set mfa=…` does to the package."""
    assert Package.objects.filter(name=name).update(second_factor=rule)


def modes() -> list[str]:
    return [event.facts["mode"] for event in Event.objects.filter(kind="user.second-factor.changed").order_by("pk")]


# --- The algorithm --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "shown"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_codes_are_those_of_the_standard(now, shown):
    """RFC 6238, appendix B, of its eight digits the last six."""
    assert totp.code(base64.b32encode(b"12345678901234567890").decode(), now) == shown


def test_a_code_is_good_for_its_step_and_the_two_beside_it():
    secret, now = totp.new_secret(), 1_800_000_015
    good = [steps for steps in range(-4, 5) if totp.is_right(secret, totp.code(secret, now + 30 * steps), now)]
    assert good == [-1, 0, 1]


@pytest.mark.parametrize("typed", ["", "12345", "1234567", "abcdef", "é", "\ud800", "\u0660" * 6, "0" * 10_000])
def test_what_is_no_code_is_wrong(typed):
    assert not totp.is_right(totp.new_secret(), typed, time.time())


# --- Switching it on ------------------------------------------------------------------------------------------------


def test_it_is_switched_on_when_the_app_has_shown_a_code(alice, effects):
    begun = post(alice, {"tfa": {"password": PASSWORD, "mode": "auth-and-writes"}})
    url = urlsplit(begun.json()["tfa"])
    assert (begun.status, url.scheme, url.netloc, url.path) == (200, "otpauth", "totp", "/registry.test%3Aalice")
    assert begun.headers["cache-control"] == "private, no-store"
    assert alice.send("GET", PROFILE).json()["tfa"] == {"mode": "auth-and-writes", "pending": True}
    assert effects() == []  # nothing is protected yet
    assert login("alice").status == 201
    effects()

    done = post(alice, {"tfa": [totp.code(scanned(begun), time.time())]})
    codes = done.json()["tfa"]
    assert (done.status, len(set(codes)), {len(code) for code in codes}) == (200, 10, {24})
    assert all(code.isdecimal() for code in codes)  # npm's prompt takes nothing else
    assert alice.send("GET", PROFILE).json()["tfa"] == {"mode": "auth-and-writes", "pending": False}
    assert effects() == ["user.second-factor.changed user:alice by alice"]
    assert modes() == ["auth-and-writes"]
    assert is_challenge(login("alice"))


def test_the_wrong_code_switches_nothing_on(alice, effects):
    post(alice, {"tfa": {"password": PASSWORD, "mode": "auth-only"}})
    for code in (WRONG, "", "\ud800", "\0"):
        answer = post(alice, {"tfa": [code]})
        assert (answer.status, "not right" in answer.json()["error"]) == (400, True)
    assert login("alice").status == 201
    assert RecoveryCode.objects.count() == 0
    assert effects() == ["token.created user:alice by alice"]


def test_a_code_confirms_only_what_waits_for_one(alice):
    assert post(alice, {"tfa": ["123456"]}).status == 400
    phone = Phone.of(alice)
    assert post(alice, {"tfa": [phone.code()]}).status == 400
    assert RecoveryCode.objects.count() == 10


def test_it_needs_the_password(alice, effects):
    answer = post(alice, {"tfa": {"password": "wrong", "mode": "auth-only"}})
    assert (answer.status, "the password is not right" in answer.json()["error"]) == (403, True)
    assert SecondFactor.objects.count() == 0
    assert effects() == []


def test_who_did_not_come_to_the_end_begins_anew(alice):
    """As npm does: what is pending is switched off first, and needs no code, since nobody may have the app."""
    old = scanned(post(alice, {"tfa": {"password": PASSWORD, "mode": "auth-only"}}))
    assert post(alice, {"tfa": {"password": PASSWORD, "mode": "disable"}}).json()["tfa"] is None
    phone = Phone.of(alice, "auth-only")
    assert phone.secret != old
    assert is_challenge(login("alice", totp.code(old, time.time())))
    assert login("alice", phone.code()).status == 201
    assert modes() == ["auth-only"]


def test_a_second_beginning_makes_the_first_worthless(alice):
    old, new = [scanned(post(alice, {"tfa": {"password": PASSWORD, "mode": "auth-only"}})) for _ in range(2)]
    assert post(alice, {"tfa": [totp.code(old, time.time())]}).status == 400
    assert post(alice, {"tfa": [totp.code(new, time.time())]}).status == 200


def test_it_is_not_switched_on_where_a_restart_would_lose_it(alice, settings):
    settings.SECRET_KEY_IS_EPHEMERAL = True
    answer = post(alice, {"tfa": {"password": PASSWORD, "mode": "auth-only"}})
    assert (answer.status, "LARDER_SECRET_KEY" in answer.json()["error"]) == (503, True)
    assert SecondFactor.objects.count() == 0


# --- Changing and switching it off ----------------------------------------------------------------------------------


def test_the_mode_is_changed_with_a_code_and_the_app_stays(alice, effects):
    phone = Phone.of(alice, "auth-only")
    effects()
    change = {"tfa": {"password": PASSWORD, "mode": "auth-and-writes"}}
    assert is_challenge(post(alice, change))
    assert effects() == []
    for _ in range(2):  # the second time it is no news
        answer = post(alice, change, phone.code())
        assert (answer.status, answer.json()["tfa"]) == (200, {"mode": "auth-and-writes", "pending": False})
    assert modes() == ["auth-only", "auth-and-writes"]
    assert publish(alice, "left-pad", phone.code()).status == 201


def test_it_is_switched_off_with_password_and_code(alice, effects):
    phone = Phone.of(alice)
    effects()
    off = {"tfa": {"password": PASSWORD, "mode": "disable"}}
    assert is_challenge(post(alice, off))
    assert is_challenge(post(alice, off, WRONG))
    assert post(alice, {"tfa": {"password": "wrong", "mode": "disable"}}, phone.code()).status == 403
    assert effects() == []
    answer = post(alice, off, phone.code())
    assert (answer.status, answer.json()["tfa"]) == (200, None)
    assert effects() == ["user.second-factor.changed user:alice by alice"]
    assert modes() == ["auth-and-writes", "off"]
    assert (SecondFactor.objects.count(), RecoveryCode.objects.count()) == (0, 0)
    assert login("alice").status == 201
    assert publish(alice, "left-pad").status == 201


# --- Login and account ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["auth-only", "auth-and-writes"])
def test_login_needs_it_in_both_modes(alice, bob, effects, mode):
    phone = Phone.of(alice, mode)
    effects()
    assert is_challenge(login("alice"))
    assert is_challenge(login("alice", WRONG))
    assert effects() == []
    assert login("alice", phone.code()).status == 201
    assert login("bob").status == 201
    assert login("bob", WRONG).status == 201  # who has none need not explain


def test_only_who_has_the_password_learns_that_there_is_a_second_factor(alice):
    Phone.of(alice)
    wrong, nobody = login("alice", password="wrong"), login("eve", password="x")
    assert (wrong.status, wrong.headers["www-authenticate"]) == (401, "Bearer")
    assert "one-time" not in wrong.json()["error"]
    assert nobody.status in (400, 401)


@pytest.mark.parametrize("mode", ["auth-only", "auth-and-writes"])
def test_a_new_token_needs_it_in_both_modes(alice, mode):
    phone = Phone.of(alice, mode)
    body = {"password": PASSWORD, "readonly": False, "cidr_whitelist": []}
    assert is_challenge(alice.send("POST", "/-/npm/v1/tokens", body=body))
    assert Token.objects.count() == 1
    assert alice.send("POST", "/-/npm/v1/tokens", body=body, headers=with_otp(phone.code())).status == 201


def test_a_password_with_every_request_needs_it_with_every_request(alice, anyone):
    phone = Phone.of(alice, "auth-only")
    basic = {"Authorization": "Basic " + base64.b64encode(f"alice:{PASSWORD}".encode()).decode()}
    answer = anyone.send("GET", "/-/whoami", headers=basic)
    assert is_challenge(answer)
    assert anyone.send("GET", "/-/whoami", headers={**basic, "npm-otp": phone.code()}).status == 200
    sent = {**basic, "npm-otp": phone.recovery_codes[0]}
    body = publish_body("left-pad", "1.0.0")
    assert anyone.send("PUT", "/left-pad", body=body, headers=sent).status == 201  # used up once, not twice


# --- Writes ---------------------------------------------------------------------------------------------------------


def test_with_auth_and_writes_a_publish_needs_a_code(alice, effects):
    phone = Phone.of(alice)
    effects()
    assert is_challenge(publish(alice, "left-pad"))
    assert is_challenge(publish(alice, "left-pad", WRONG))
    assert effects() == []
    code = phone.code()
    assert publish(alice, "left-pad", f" {code[:3]} {code[3:]} ").status == 201
    assert effects() == ["blob of left-pad@1.0.0", "package.version.published package:left-pad by alice"]


def test_with_auth_only_it_does_not(alice):
    Phone.of(alice, "auth-only")
    assert publish(alice, "left-pad").status == 201


def test_reading_never_does(alice):
    Phone.of(alice)
    assert alice.send("GET", "/-/whoami", headers=with_otp(WRONG)).status == 200
    assert alice.send("GET", PROFILE).status == 200


def test_one_code_serves_all_workspaces(alice):
    """npm asks once and sends the code with every package."""
    code = Phone.of(alice).code()
    assert [publish(alice, name, code).status for name in ("one", "two", "three")] == [201, 201, 201]


def test_a_token_for_automation_publishes_without(alice):
    phone = Phone.of(alice)
    publish(alice, "left-pad", phone.code())
    machine = with_token(Token.Kind.AUTOMATION)
    assert machine.publish("left-pad", "1.0.1").status == 201
    require("left-pad", SecondFactorRule.AUTOMATION)
    assert machine.publish("left-pad", "1.0.2").status == 201
    require("left-pad", SecondFactorRule.PUBLISH)
    assert is_challenge(machine.publish("left-pad", "1.0.3"))


def test_a_package_that_requires_it_is_changed_by_nobody_without(alice, effects):
    publish(alice, "left-pad")
    require("left-pad", SecondFactorRule.PUBLISH)
    effects()
    answer = alice.publish("left-pad", "1.0.1")
    assert (answer.status, "npm profile enable-2fa auth-and-writes" in answer.json()["error"]) == (403, True)
    assert effects() == []
    phone = Phone.of(alice, "auth-only")  # for this package that is enough
    assert is_challenge(alice.publish("left-pad", "1.0.1"))
    body = publish_body("left-pad", "1.0.1")
    assert alice.send("PUT", "/left-pad", body=body, headers=with_otp(phone.code())).status == 201


# --- Other one-time passwords ---------------------------------------------------------------------------------------


def test_a_recovery_code_is_good_once(alice, effects):
    phone = Phone.of(alice)
    effects()
    code = phone.recovery_codes[3]
    spaced = " ".join(code[start : start + 4] for start in range(0, 24, 4))
    assert login("alice", spaced).status == 201
    assert effects() == ["user.recovery-code.used user:alice by anonymous", "token.created user:alice by alice"]
    assert Event.objects.get(kind="user.recovery-code.used").facts == {"left": 9}
    assert is_challenge(login("alice", code))
    assert publish(alice, "left-pad", phone.recovery_codes[4]).status == 201
    assert is_challenge(publish(alice, "right-pad", phone.recovery_codes[4]))


def test_of_many_who_use_a_recovery_code_at_once_one_gets_in(alice):
    phone = Phone.of(alice)
    with PassingThreads(6) as threads:
        statuses = list(threads.map(lambda _: login("alice", phone.recovery_codes[0]).status, range(6)))
    assert sorted(statuses) == [201, 401, 401, 401, 401, 401]
    assert RecoveryCode.objects.filter(used_at=None).count() == 9


def test_recovery_codes_are_ones_own(alice, bob):
    codes = Phone.of(alice).recovery_codes
    Phone.of(bob)
    assert is_challenge(login("bob", codes[0]))


def test_switching_it_on_again_makes_old_recovery_codes_worthless(alice):
    old = Phone.of(alice)
    post(alice, {"tfa": {"password": PASSWORD, "mode": "disable"}}, old.code())
    Phone.of(alice)
    assert is_challenge(login("alice", old.recovery_codes[0]))
    assert RecoveryCode.objects.count() == 10


@pytest.mark.parametrize(
    ("change", "is_good"),
    [
        ({}, True),
        ({"done_at": None}, False),
        ({"expires_at": timezone.now() - timedelta(seconds=1)}, False),
        ({"purpose": WebSession.Purpose.LOGIN}, False),
        ({"otp_hash": ""}, False),
        ({"user": None}, False),
    ],
)
def test_a_password_from_the_browser_is_good_for_a_while(alice, bob, change, is_good):
    Phone.of(alice)
    Phone.of(bob)
    row = {
        "purpose": WebSession.Purpose.OTP,
        "user": User.objects.get(username="alice"),
        "done_at": timezone.now(),
        "otp_hash": hashlib.sha256(b"from-the-browser").hexdigest(),
        "expires_at": timezone.now() + timedelta(minutes=5),
        "poll_hash": "x",
        "browser_hash": "y",
        **change,
    }
    WebSession.objects.create(**row)
    names = ("one", "two")
    assert [publish(alice, name, "from-the-browser").status == 201 for name in names] == [is_good, is_good]
    assert is_challenge(publish(bob, "three", "from-the-browser"))
    assert is_challenge(publish(alice, "four", "\u00e9"))


# --- What is kept ---------------------------------------------------------------------------------------------------


def test_no_secret_is_kept_in_the_clear(alice, caplog):
    phone = Phone.of(alice)
    publish(alice, "left-pad", phone.code())
    login("alice", phone.recovery_codes[0])
    rows = [row for model in apps.get_models() for row in model.objects.values()]
    kept = json.dumps(rows, default=str) + caplog.text
    assert phone.secret not in kept
    assert not [code for code in phone.recovery_codes if code in kept]


def test_another_key_reads_nothing_and_recovery_codes_still_work(alice, settings, caplog):
    phone = Phone.of(alice)
    old, settings.SECRET_KEY = settings.SECRET_KEY, "another key"
    assert is_challenge(login("alice", phone.code()))
    assert "the second factor of alice cannot be read" in caplog.text
    assert login("alice", phone.recovery_codes[0]).status == 201
    settings.SECRET_KEY_FALLBACKS = [old]
    assert login("alice", phone.code()).status == 201


def test_what_is_sealed_is_different_each_time_and_cannot_be_changed():
    one, two = secrecy.seal("secret"), secrecy.seal("secret")
    assert one != two
    assert secrecy.unseal(one) == secrecy.unseal(two) == "secret"
    for changed in (one[:-8] + two[-8:], one[:20], "", "é"):
        with pytest.raises(secrecy.Unreadable):
            secrecy.unseal(changed)


# --- The admin ------------------------------------------------------------------------------------------------------


@pytest.fixture
def operator(alice) -> Phone:
    User.objects.filter(username="alice").update(is_staff=True, is_superuser=True)
    return Phone.of(alice)


def sign_in_to_admin(password: str = PASSWORD, otp: str = "") -> tuple[Client, str]:
    """Django's login page, and what it says when it lets nobody in."""
    browser = Client(SERVER_NAME="registry.test")
    form = {"username": "alice", "password": password, "otp": otp}
    answer = browser.post("/-/admin/login/?next=/-/admin/", form)
    return browser, "" if answer.status_code == 302 else answer.content.decode()


def test_the_admin_asks_for_it_too(operator):
    assert 'name="otp"' in Client(SERVER_NAME="registry.test").get("/-/admin/login/").content.decode()
    for otp in ("", WRONG):
        browser, said = sign_in_to_admin(otp=otp)
        assert "one-time password" in said
        assert "sessionid" not in browser.cookies
    browser, said = sign_in_to_admin(otp=operator.code())
    assert said == ""
    assert browser.get("/-/admin/").status_code == 200


def test_the_admin_is_still_for_operators_with_the_right_password(operator):
    assert "not right" in sign_in_to_admin("wrong", operator.code())[1]
    assert "not right" in sign_in_to_admin("\0", operator.code())[1] or "Null" in sign_in_to_admin("\0")[1]
    User.objects.update(is_staff=False)
    assert "staff account" in sign_in_to_admin(otp=operator.code())[1]


def test_an_operator_helps_who_has_lost_the_app_and_the_codes(operator, bob, effects):
    Phone.of(bob)
    effects()
    browser, _ = sign_in_to_admin(otp=operator.code())
    chosen = {"action": "switch_off_second_factor", "_selected_action": [User.objects.get(username="bob").pk]}
    assert browser.post("/-/admin/registry/user/", chosen).status_code == 302
    assert effects() == ["user.second-factor.changed user:bob by alice"]
    assert login("bob").status == 201
    assert is_challenge(login("alice"))

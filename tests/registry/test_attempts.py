"""Limits on guessing passwords and one-time passwords."""

import base64
import logging
from datetime import timedelta

import pytest
from django.db import transaction
from django.db.models import F
from django.test import Client

from registry import attempts, people
from registry.errors import Invalid, TooManyAttempts, Unauthenticated, Unavailable
from registry.models import Attempt, User
from registry.tasks import sweep
from tests.actors import Person
from tests.authenticator import PASSWORD, PROFILE, Phone, post, with_otp
from tests.threads import PassingThreads
from tests.wsgi import Answer

pytestmark = pytest.mark.django_db(transaction=True)

HERE, THERE = "192.0.2.7", "198.51.100.9"


@pytest.fixture(autouse=True)
def _limits(settings) -> None:
    settings.MAX_ATTEMPTS, settings.MAX_ATTEMPTS_PER_ADDRESS = 3, 5
    settings.AUDIT = {"TRUSTED_PROXIES": 1}  # so that tests can say where a request comes from


def login(name: str, password: str = PASSWORD, *, otp: str = "", origin: str = HERE) -> Answer:
    headers = {"X-Forwarded-For": origin, **with_otp(otp)}
    body = {"name": name, "password": password}
    return Person(name).send("PUT", f"/-/user/org.couchdb.user:{name}", body=body, headers=headers)


def whoami(name: str, password: str, *, origin: str = HERE) -> Answer:
    credentials = base64.b64encode(f"{name}:{password}".encode()).decode()
    headers = {"Authorization": f"Basic {credentials}", "X-Forwarded-For": origin}
    return Person().send("GET", "/-/whoami", headers=headers)


def pass_time(window: timedelta = attempts.WINDOW) -> None:
    Attempt.objects.update(since=F("since") - window)


def statuses(*answers: Answer) -> list[int]:
    return [answer.status for answer in answers]


# --- Passwords ------------------------------------------------------------------------------------------------------


def test_after_too_many_wrong_passwords_nothing_is_judged_for_a_while(alice, effects):
    assert statuses(*(login("alice", "wrong") for _ in range(4))) == [401, 401, 401, 429]
    right = login("alice")
    assert right.status == 429  # else the answer would tell a guesser the password
    assert 890 <= int(right.headers["retry-after"]) <= 900
    assert "wait 15 minute" in right.json()["error"]
    assert effects() == []
    assert alice.send("GET", "/-/whoami").status == 200  # tokens go on working


def test_what_is_not_judged_does_not_make_the_while_longer(alice):
    for _ in range(4):
        login("alice", "wrong")
    pass_time(attempts.WINDOW - timedelta(seconds=30))
    answer = login("alice")
    assert (answer.status, int(answer.headers["retry-after"]) <= 30) == (429, True)
    pass_time(timedelta(seconds=30))
    assert login("alice").status == 201


def test_the_right_password_clears_the_count(alice):
    for _ in range(3):
        assert statuses(*(login("alice", "wrong", origin=f"192.0.2.{last}") for last in (1, 2))) == [401, 401]
        assert login("alice").status == 201


def test_one_persons_count_is_nobody_elses(alice, bob):
    for _ in range(4):
        login("alice", "wrong")
    assert login("bob").status == 201


def test_a_count_begins_anew_when_its_time_is_over(alice):
    assert statuses(login("alice", "wrong"), login("alice", "wrong")) == [401, 401]
    pass_time()
    assert statuses(*(login("alice", "wrong") for _ in range(4))) == [401, 401, 401, 429]


def test_one_address_may_not_try_everybody(alice, bob):
    names = ["alice", "bob", "alice", "bob", "alice", "bob"]
    assert statuses(*(login(name, "wrong") for name in names)) == [401, 401, 401, 401, 401, 429]
    assert statuses(login("bob"), login("bob", origin=THERE)) == [429, 201]


def test_an_address_is_not_cleared_by_an_account_of_ones_own(alice, bob):
    for name in ("alice", "alice", "bob", "bob"):
        login(name, "wrong")
        assert login(name).status == 201
    assert statuses(login("alice", "wrong"), login("bob")) == [401, 429]


@pytest.mark.parametrize(
    ("origins", "is_one"),
    [
        (["2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff::", "2001:db8::3"], True),
        (["2001:db8:0:1::1", "2001:db8:0:2::1", "2001:db8:0:3::1", "2001:db8:0:4::1"], False),
        (["::ffff:192.0.2.1", "::ffff:192.0.2.2", "::ffff:192.0.2.3", "::ffff:192.0.2.4"], False),
        (["::ffff:192.0.2.1", "192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1"], True),
        (["nonsense", "", "unix:", "-"], True),  # the peer's address then
    ],
)
def test_what_is_one_address(alice, settings, origins, is_one):
    settings.MAX_ATTEMPTS, settings.MAX_ATTEMPTS_PER_ADDRESS = 100, 3
    assert statuses(*(login("alice", "wrong", origin=origin) for origin in origins))[-1] == (429 if is_one else 401)


def test_where_the_address_is_unknown_only_the_person_counts(settings):
    for _ in range(6):
        with pytest.raises(Unauthenticated), attempts.counted("password", f"eve{_}", origin=""):
            raise Unauthenticated("no")
    assert set(Attempt.objects.values_list("failures", flat=True)) == {1}


def test_names_are_counted_as_a_directory_reads_them():
    for name in ("alice", "ALICE", " Alice "):
        with pytest.raises(Unauthenticated), attempts.counted("password", name, origin=""):
            raise Unauthenticated("no")
    with pytest.raises(TooManyAttempts):
        attempts.require("password", "alice", origin="")


def test_names_of_nobody_are_counted_too(settings):
    settings.SIGNUP = "closed"
    names = ["eve"] * 4 + ["\ud800", "x" * 10_000]
    answers = [whoami(name.encode("utf-8", "replace").decode(), "x", origin=THERE) for name in names]
    assert statuses(*answers) == [401, 401, 401, 429, 401, 401]


def test_a_password_with_every_request_is_counted_too(alice):
    assert whoami("alice", PASSWORD).status == 200
    assert statuses(*(whoami("alice", "wrong") for _ in range(4))) == [401, 401, 401, 429]
    assert whoami("alice", PASSWORD).status == 429  # though it was right a moment ago
    assert login("alice").status == 429


def test_who_may_read_without_a_password_is_not_kept_from_it(alice):
    alice.publish("left-pad", "1.0.0")
    for _ in range(4):
        whoami("alice", "wrong")
    credentials = base64.b64encode(b"alice:wrong").decode()
    assert Person().view("left-pad", Authorization=f"Basic {credentials}").status == 200


def test_the_admin_counts_too(alice):
    User.objects.update(is_staff=True, is_superuser=True)
    pages = []
    for password in ["wrong"] * 3 + [PASSWORD]:
        form = {"username": "alice", "password": password}
        pages.append(Client(SERVER_NAME="registry.test").post("/-/admin/login/", form).content.decode())
    assert ["too many wrong passwords" in page for page in pages] == [False, False, False, True]
    assert login("alice").status == 429


def test_passwords_of_who_is_signed_in_are_counted_too(alice):
    wrong = {"password": {"old": "wrong", "new": "another horse entirely"}}
    assert statuses(*(post(alice, wrong) for _ in range(4))) == [403, 403, 403, 429]
    token = {"password": PASSWORD, "readonly": True, "cidr_whitelist": []}
    assert alice.send("POST", "/-/npm/v1/tokens", body=token).status == 429


# --- One-time passwords ---------------------------------------------------------------------------------------------


def test_one_time_passwords_have_a_count_of_their_own(alice, settings):
    settings.MAX_ATTEMPTS_PER_ADDRESS = 100
    phone = Phone.of(alice)
    assert statuses(*(login("alice", otp="12345") for _ in range(4))) == [401, 401, 401, 429]
    assert login("alice", otp=phone.code()).status == 429
    assert login("alice", otp=phone.recovery_codes[0]).status == 429
    assert login("alice", "wrong").status == 401  # the password's count was cleared by the right one
    pass_time()
    assert login("alice", otp=phone.code()).status == 201


def test_none_shown_is_no_attempt(alice):
    phone = Phone.of(alice)
    assert statuses(*(login("alice") for _ in range(6))) == [401] * 6
    assert login("alice", otp=phone.code()).status == 201


def test_a_wrong_code_with_a_write_is_counted_though_the_write_is_undone(alice):
    phone = Phone.of(alice)
    assert statuses(*(post(alice, {"fullname": "A"}, "12345") for _ in range(4))) == [401, 401, 401, 429]
    assert post(alice, {"fullname": "A"}, phone.code()).status == 429
    assert alice.send("GET", PROFILE).status == 200


def test_first_codes_of_an_app_are_counted_too(alice):
    post(alice, {"tfa": {"password": PASSWORD, "mode": "auth-only"}})
    assert statuses(*(post(alice, {"tfa": ["12345"]}) for _ in range(4))) == [400, 400, 400, 429]


# --- Counting -------------------------------------------------------------------------------------------------------


def test_guesses_at_once_are_counted_one_by_one(alice, settings):
    settings.MAX_ATTEMPTS_PER_ADDRESS = 100
    with PassingThreads(8) as threads:
        answers = list(threads.map(lambda _: login("alice", "wrong").status, range(8)))
    assert sorted(answers) == [401] * 3 + [429] * 5
    assert sorted(Attempt.objects.values_list("failures", flat=True)) == [3, 3]


def test_right_passwords_at_once_are_all_right(alice, settings):
    settings.MAX_ATTEMPTS_PER_ADDRESS = 3
    with PassingThreads(8) as threads:
        answers = list(threads.map(lambda _: login("alice").status, range(8)))
    assert answers == [201] * 8
    assert list(Attempt.objects.values_list("failures", flat=True)) == [0]  # the address's


@pytest.mark.parametrize("kind", [Unavailable, KeyboardInterrupt, RuntimeError])
def test_what_was_not_judged_is_not_counted(kind):
    for _ in range(5):
        with pytest.raises(kind), attempts.counted("password", "alice", origin=HERE):
            raise kind("the directory does not answer")
    assert set(Attempt.objects.values_list("failures", flat=True)) == {0}
    attempts.require("password", "alice", origin=HERE)


def test_a_directory_that_does_not_answer_locks_nobody_out(alice, monkeypatch):
    def away(**_):
        raise Unavailable("the directory does not answer")

    monkeypatch.setattr(people, "authenticate", away)
    assert statuses(*(login("alice") for _ in range(5))) == [503] * 5
    monkeypatch.undo()
    assert login("alice").status == 201


def test_it_cannot_be_used_where_the_count_could_be_undone():
    with pytest.raises(RuntimeError), transaction.atomic(), attempts.counted("password", "alice", origin=HERE):
        raise Invalid("unreached")
    assert Attempt.objects.count() == 0


def test_nobodys_name_or_address_is_kept(alice):
    login("alice", "wrong")
    kept = str(list(Attempt.objects.values()))
    assert "alice" not in kept
    assert HERE not in kept


def test_no_password_is_logged(alice, caplog):
    caplog.set_level(logging.DEBUG)
    login("alice", "a wrong password")
    login("alice")
    assert "a wrong password" not in caplog.text
    assert PASSWORD not in caplog.text


def test_counts_whose_time_is_over_are_swept(alice, bob):
    login("alice", "wrong")
    pass_time()
    login("bob", "wrong", origin=THERE)
    assert Attempt.objects.count() == 4
    sweep()
    assert Attempt.objects.count() == 2
    assert login("bob", "wrong", origin=THERE).status == 401
    assert sorted(Attempt.objects.values_list("failures", flat=True)) == [2, 2]

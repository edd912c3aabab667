"""Many passwords at once do not take all the memory."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.contrib.auth.hashers import Argon2PasswordHasher, check_password, make_password

pytestmark = pytest.mark.usefixtures("_as_in_production")


@pytest.fixture
def _as_in_production(settings):
    settings.PASSWORD_HASHERS = ["registry.hashing.Argon2"]


def test_a_password_is_known_again():
    hashed = make_password("correct horse battery")
    assert hashed.startswith("argon2$argon2id$")
    assert check_password("correct horse battery", hashed)
    assert not check_password("battery horse correct", hashed)


def test_two_are_hashed_at_a_time(monkeypatch):
    at_once, most, third = [], [], threading.Event()

    def slow(self, password, encoded):
        at_once.append(1)
        most.append(len(at_once))
        third.wait(0.2)  # time enough for a third to come in, if one could
        at_once.pop()
        return True

    monkeypatch.setattr(Argon2PasswordHasher, "verify", slow)
    hashed = make_password("correct horse battery")
    with ThreadPoolExecutor(6) as people:
        assert all(people.map(lambda _: check_password("correct horse battery", hashed), range(6)))
    assert max(most) == 2

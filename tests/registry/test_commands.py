"""`manage.py create_user` and `manage.py create_token`."""

import io
import re

import pytest
from django.core.management import CommandError, call_command

from registry.models import Token, User
from tests.actors import Person

pytestmark = pytest.mark.django_db(transaction=True)

PASSWORD = "correct horse battery"


def run(*arguments: str) -> tuple[str, str]:
    """What the command wrote on standard output and on standard error."""
    out, err = io.StringIO(), io.StringIO()
    call_command(*arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def whoami(token: str) -> str:
    return Person(token=token).send("GET", "/-/whoami").json()["username"]


def test_a_person_is_created_with_the_password_that_was_given(monkeypatch, settings, effects):
    settings.SIGNUP = "closed"
    monkeypatch.setenv("LARDER_PASSWORD", PASSWORD)
    out, err = run("create_user", "carol", "--email", "carol@acme.example")
    assert (out, err.strip()) == ("", "carol was created")
    assert whoami(Person("carol").login(PASSWORD).token) == "carol"
    user = User.objects.get()
    assert (user.email, user.is_staff, user.is_superuser) == ("carol@acme.example", False, False)
    assert effects()[0] == "user.created user:carol by manage.py create_user"


def test_an_administrator_opens_the_admin(monkeypatch):
    monkeypatch.setenv("LARDER_PASSWORD", PASSWORD)
    run("create_user", "root", "--admin")
    assert User.objects.filter(is_staff=True, is_superuser=True).count() == 1


def test_a_password_comes_from_standard_input(monkeypatch):
    monkeypatch.delenv("LARDER_PASSWORD", raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))
    run("create_user", "carol")
    assert Person("carol").login(PASSWORD).token


def test_a_generated_password_is_printed_alone(effects):
    out, _ = run("create_user", "carol", "--generate")
    assert Person("carol").login(out.strip()).token
    assert len(out.strip()) >= 16


def test_what_cannot_be_is_said_in_a_sentence(monkeypatch, effects):
    monkeypatch.setenv("LARDER_PASSWORD", PASSWORD)
    run("create_user", "carol")
    effects()
    for name, word in [("carol", "already"), ("Car Ol", "lower-case"), ("", "blank")]:
        with pytest.raises(CommandError, match=word):
            run("create_user", name)
    monkeypatch.setenv("LARDER_PASSWORD", "short")
    with pytest.raises(CommandError, match="too short"):
        run("create_user", "dave")
    assert effects() == []


@pytest.mark.parametrize(
    ("option", "kind"), [((), "publish"), (("--read-only",), "read-only"), (("--automation",), "automation")]
)
def test_a_token_is_printed_alone(alice, effects, option, kind):
    out, _ = run("create_token", "alice", *option)
    assert re.fullmatch(r"larder_\w{38}\n", out)
    assert whoami(out.strip()) == "alice"
    assert Token.objects.latest("id").kind == kind
    assert effects() == ["token.created user:alice by manage.py create_token"]


def test_a_token_for_nobody(effects):
    with pytest.raises(CommandError, match="create_user nobody"):
        run("create_token", "nobody")
    assert effects() == []

"""What operators do to people in the admin is told, and takes effect at once."""

import pytest

from audit.models import Event
from registry.models import User

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def operator(client):
    client.force_login(User.objects.create_superuser("root", password="correct horse battery"))
    return client


def test_a_password_that_an_operator_sets_ends_what_was_begun_with_the_old_one(alice, operator):
    waiting = alice.send("POST", "/-/v1/login", body={}, headers={"npm-auth-type": "web"}).json()
    person = User.objects.get(username="alice")
    new = {"usable_password": "true", "password1": "another horse battery", "password2": "another horse battery"}
    assert operator.post(f"/-/admin/registry/user/{person.pk}/password/", new).status_code == 302
    assert alice.send("GET", "/-/whoami").status == 401
    assert alice.login("another horse battery").send("GET", "/-/whoami").status == 200
    told = Event.objects.get(kind="user.password.changed")
    assert (told.actor_name, told.facts["revoked"]) == ("root", 1)
    assert waiting["doneUrl"]  # nobody's yet, so it goes on


def test_who_is_made_an_operator_is_told(alice, operator):
    person = User.objects.get(username="alice")
    form = operator.get(f"/-/admin/registry/user/{person.pk}/change/").context["adminform"].form
    fields = {name: value for name, value in form.initial.items() if value not in (None, False, [])}
    joined = {"date_joined_0": "2026-01-01", "date_joined_1": "00:00:00"}
    wanted = {**fields, **joined, "profile": "{}", "is_superuser": "on", "is_active": "on"}
    answer = operator.post(f"/-/admin/registry/user/{person.pk}/change/", wanted)
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    told = Event.objects.get(kind="user.changed")
    assert (told.subject, told.actor_name, told.facts["is_operator"]) == ("user:alice", "root", True)

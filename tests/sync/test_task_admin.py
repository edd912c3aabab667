"""Operators cancel tasks and have them tried again in the admin, and say why."""

import pytest
from django.test import Client

from audit.models import Event
from registry.models import User
from sync import queue
from sync.models import SyncTask

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/-/admin/sync/synctask/"


@pytest.fixture
def operator(settings) -> Client:
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }
    client = Client()
    client.force_login(User.objects.create_superuser("root"), backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def task() -> SyncTask:
    return queue.ask("left-pad", why="a test")


def decide(operator: Client, action: str, *tasks: SyncTask, reason: str) -> str:
    """The page that the operator sees afterwards."""
    form = {"action": action, "reason": reason, "_selected_action": [task.pk for task in tasks]}
    return operator.post(LIST, form, follow=True).content.decode()


def look(task: SyncTask) -> tuple[str, str]:
    return SyncTask.objects.values_list("state", "reason").get(pk=task.pk)


def told() -> list[tuple[str, str, dict]]:
    return list(Event.objects.order_by("pk").values_list("kind", "actor_name", "facts"))


def test_the_form_asks_for_a_reason_beside_the_action(operator, task):
    assert 'name="reason"' in operator.get(LIST).content.decode()


def test_several_are_cancelled_for_one_reason(operator, task):
    other = queue.ask("repeat", why="a test")
    page = decide(operator, "cancel", task, other, reason="the wrong upstream")
    assert "The sync of left-pad was cancelled." in page
    assert look(task) == look(other) == ("cancelled", "the wrong upstream")
    assert told() == [("sync.cancelled", "root", {"reason": "the wrong upstream"})] * 2


def test_what_has_ended_is_tried_again(operator, task):
    queue.refuse(queue.claim(task.pk), "it is private")
    assert "The sync of left-pad is tried again." in decide(operator, "retry", task, reason="it is not")
    assert look(task) == ("waiting", "it is not")
    assert told()[-1] == ("sync.retried", "root", {"reason": "it is not"})


@pytest.mark.parametrize(("reason", "answer"), [("", "Say why"), ("  ", "Say why"), ("x\0y", "No action selected")])
def test_without_a_reason_nothing_happens(operator, task, reason, answer):
    assert answer in decide(operator, "cancel", task, reason=reason)
    assert (look(task), told()) == (("waiting", ""), [])


def test_what_cannot_be_done_is_said(operator, task):
    queue.finish(queue.claim(task.pk))
    assert "has ended already" in decide(operator, "cancel", task, reason="too late")


def test_the_rows_themselves_are_only_shown(task, operator):
    page = operator.get(f"{LIST}{task.pk}/change/").content.decode()
    assert "left-pad" in page
    assert 'name="_save"' not in page

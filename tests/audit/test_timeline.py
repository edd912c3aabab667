"""Operators read the timeline, see who lags, and have parked deliveries tried again."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.urls import reverse
from django.utils import timezone

from audit.drain import drain_all, retry_parked
from audit.models import Event, Parked
from audit.sequencer import sequence

pytestmark = pytest.mark.django_db


def page(client, name: str, *args: object, **query: str) -> str:
    response = client.get(reverse(f"admin:audit_{name}", args=args), query)
    assert response.status_code == 200
    return response.content.decode()


def test_the_timeline_tells_and_finds(admin_client, happen):
    happen("package:left-pad")
    happen("user:bob", "user.created")
    assert "alice changed package:left-pad" in page(admin_client, "event_changelist")
    found = page(admin_client, "event_changelist", q="bob")
    assert "alice created user:bob" in found
    assert "left-pad" not in found
    assert "user:bob" not in page(admin_client, "event_changelist", kind="package.changed")


def test_the_timeline_cannot_be_changed(admin_client, happen):
    event = happen("package:left-pad")
    assert "package:left-pad" in page(admin_client, "event_change", event.pk)
    for name, args in [("event_add", ()), ("event_delete", (event.pk,))]:
        assert admin_client.post(reverse(f"admin:audit_{name}", args=args)).status_code == 403
    changed = admin_client.post(reverse("admin:audit_event_change", args=(event.pk,)), {"subject": "package:x"})
    assert changed.status_code == 403
    assert Event.objects.get().subject == "package:left-pad"


def test_the_lag_of_each_cursor_is_shown(admin_client, happen, subscribed):
    happen("a")
    drain_all()
    happen("b")
    happen("c")
    sequence()
    happen("d")
    shown = page(admin_client, "cursor_changelist")
    lags = dict(zip(["audit.sequencer", "test.listener"], shown.split('field-lag">')[1:], strict=True))
    assert lags["audit.sequencer"].startswith("1<")
    assert lags["test.listener"].startswith("2<")


def test_a_parked_delivery_can_be_tried_again(admin_client, happen, subscribed, listener):
    listener.poisonous = {"package:left-pad"}
    happen("package:left-pad")
    drain_all()
    Parked.objects.update(next_try=timezone.now() + timedelta(hours=1))
    assert "cannot swallow package:left-pad" in page(admin_client, "parked_changelist")

    listener.poisonous = set()
    assert retry_parked() == 0
    admin_client.post(
        reverse("admin:audit_parked_changelist"),
        {"action": "try_again", "_selected_action": [Parked.objects.get().pk]},
    )
    assert retry_parked() == 1


def test_who_may_only_look_cannot_have_them_tried_again(client, django_user_model, happen, subscribed, listener):
    viewer = django_user_model.objects.create_user("viewer", password="x", is_staff=True)
    rows = ContentType.objects.get_for_model(Parked)
    viewer.user_permissions.add(Permission.objects.get_or_create(codename="view_parked", content_type=rows)[0])
    client.force_login(viewer)
    listener.poisonous = {"package:left-pad"}
    happen("package:left-pad")
    drain_all()
    assert "try_again" not in page(client, "parked_changelist")

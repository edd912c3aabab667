"""What was unpublished: an operator can undo it for a while, then the janitor takes the tarballs."""

from datetime import timedelta

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management import CommandError, call_command
from django.utils import timezone

from audit.models import Event
from registry import janitor
from registry.models import Blob, Package, User, Version
from tests import tarballs
from tests.registry.consistency import assert_consistent
from tests.registry.tombstones import assert_nothing_is_served, long_ago

pytestmark = pytest.mark.django_db(transaction=True)

TAKEN = "You cannot publish over the previously published versions: 1.0.0."


@pytest.fixture(autouse=True)
def _nothing_half_done(transactional_db):
    yield
    assert_consistent()


# --- Undo ------------------------------------------------------------------------------------------------------------


def test_a_version_comes_back(alice, anyone, pad, effects):
    packed = anyone.download(pad, "1.1.0").raw
    before = anyone.view(pad).json()
    alice.unpublish(pad, "1.1.0")
    effects()
    call_command("restore", "@acme/pad@1.1.0")
    assert effects() == ["package.version.restored package:@acme/pad by manage.py restore"]
    assert Event.objects.latest("id").facts == {"version": "1.1.0", "latest": "1.0.0"}
    after = anyone.view(pad).json()
    assert after["versions"] == before["versions"]
    assert list(after["versions"]) == list(before["versions"])
    assert {**after["time"], "modified": None} == {**before["time"], "modified": None}
    assert after["dist-tags"] == {"latest": "1.0.0", "next": "2.0.0-rc.1"}  # somebody may want it there by now
    assert anyone.download(pad, "1.1.0").raw == packed


def test_a_package_comes_back_as_it_was(alice, anyone, pad, effects):
    alice.publish(pad, "0.9.0", tag="lts")
    alice.unpublish(pad, "1.0.0")
    before = anyone.view(pad).json()
    alice.unpublish(pad)
    effects()
    call_command("restore", "@acme/pad")
    assert effects() == ["package.restored package:@acme/pad by manage.py restore"]
    after = anyone.view(pad).json()
    for document in (before, after):
        del document["_rev"], document["time"]["modified"]
    assert after == before  # and 1.0.0, which went before, stays away
    assert alice.publish(pad, "3.0.0").status == 201


def test_one_version_of_a_package_comes_back(alice, anyone, pad):
    alice.unpublish(pad)
    call_command("restore", "@acme/pad@1.0.0")
    document = anyone.view(pad).json()
    assert (list(document["versions"]), document["dist-tags"]) == (["1.0.0"], {"latest": "1.0.0"})
    assert set(document["time"]) == {"created", "modified", "1.0.0"}


def test_what_is_there_or_never_was_does_not_come_back(pad, effects):
    for what, words in (
        ("@acme/pad", "not unpublished"),
        ("@acme/pad@1.0.0", "no unpublished version"),
        ("@acme/pad@9.9.9", "no unpublished version"),
        ("@acme/no", "not in this registry"),
        ("@acme", "not a package name"),
        ("@acme/pad@", "no unpublished version"),
    ):
        with pytest.raises(CommandError, match=words):
            call_command("restore", what)
    assert effects() == []


def test_after_a_month_nothing_comes_back(alice, anyone, pad, effects):
    alice.unpublish(pad)
    effects()
    long_ago(30.1)
    for what in ("@acme/pad", "@acme/pad@1.0.0"):
        with pytest.raises(CommandError, match="more than 30 days"):
            call_command("restore", what)
    assert effects() == []
    assert_nothing_is_served(anyone, pad, "1.0.0")


def test_what_an_upstream_took_back_does_not_come_back(alice, upstream):
    upstream.publish("left-pad", "1.0.0")
    alice.view("left-pad")
    Version.objects.update(unpublished_at=timezone.now())
    with pytest.raises(CommandError, match="upstream"):
        call_command("restore", "left-pad@1.0.0")


def test_operators_restore_with_a_click(alice, bob, anyone, pad, client, effects):
    alice.unpublish(pad, "1.0.0")
    alice.publish("left-pad", "1.0.0")
    alice.unpublish("left-pad")
    effects()
    gone = [Version.objects.get(package__name=pad, number="1.0.0").pk, Package.objects.get(name="left-pad").pk]
    User.objects.filter(username="bob").update(is_staff=True, is_superuser=True)
    client.force_login(User.objects.get(username="bob"))
    for model, pk in zip(("version", "package"), gone, strict=True):
        for _ in range(2):  # the second time it is told that there is nothing to restore
            asked = {"action": "restore", "_selected_action": [pk]}
            assert client.post(f"/-/admin/registry/{model}/", asked).status_code == 302
    assert effects() == [
        "package.version.restored package:@acme/pad by bob",
        "package.restored package:left-pad by bob",
    ]
    assert len(anyone.view(pad).json()["versions"]) == 3
    assert anyone.download("left-pad", "1.0.0").status == 200


def test_nobody_else_does(alice, pad, client, effects):
    alice.unpublish(pad, "1.0.0")
    effects()
    User.objects.filter(username="alice").update(is_staff=True)
    user = User.objects.get(username="alice")
    client.force_login(user)
    asked = {"action": "restore", "_selected_action": [Version.objects.get(number="1.0.0").pk]}
    assert client.post("/-/admin/registry/version/", asked).status_code == 403
    rows = ContentType.objects.get_for_model(Version)
    user.user_permissions.add(Permission.objects.get_or_create(codename="view_version", content_type=rows)[0])
    answer = client.post("/-/admin/registry/version/", asked, follow=True)
    assert "only operators" in str(*answer.context["messages"])
    assert effects() == []


# --- What the janitor takes ------------------------------------------------------------------------------------------


def test_tarballs_are_kept_as_long_as_they_can_come_back(alice, anyone, pad):
    alice.unpublish(pad, "1.0.0")
    Blob.objects.update(stored_at=timezone.now() - timedelta(days=90))
    long_ago(django_settings.UNDO_DAYS - 0.1)
    assert (janitor.release(), janitor.sweep()) == (0, 0)
    call_command("restore", "@acme/pad@1.0.0")
    assert anyone.download(pad, "1.0.0").status == 200


def test_then_they_go_and_only_they(alice, anyone, effects):
    packed = tarballs.package("@acme/pad", "1.0.0")
    alice.publish("@acme/pad", "1.0.0", tarball=packed)
    alice.publish("@acme/pad", "1.1.0")
    shared = Version.objects.get(number="1.1.0")
    alice.unpublish("@acme/pad", "1.0.0")
    tombstone = Version.objects.get(number="1.0.0")
    Blob.objects.update(stored_at=timezone.now() - timedelta(days=90))
    long_ago(django_settings.UNDO_DAYS + 1.1)
    Version.objects.create(
        package=shared.package, number="1.2.0", order_key="x", manifest=shared.manifest, blob=tombstone.blob,
        abbreviated=shared.abbreviated, unpublished_at=timezone.now(),
    )  # fmt: skip
    assert (janitor.release(), Blob.objects.count()) == (1, 2)  # another version still may need the same bytes
    janitor.sweep()
    assert Blob.objects.count() == 2
    long_ago(django_settings.UNDO_DAYS + 1.1)
    janitor.sweep()
    assert list(Blob.objects.values_list("version__number", flat=True)) == ["1.1.0"]
    assert alice.publish("@acme/pad", "1.0.0", tarball=packed).json()["error"] == TAKEN
    assert anyone.download("@acme/pad", "1.1.0").status == 200

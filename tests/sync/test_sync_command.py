"""`manage.py sync`: packages come in, and the exit status says whether all did."""

import io
from types import SimpleNamespace

import pytest
from django.core.management import CommandError, call_command

from registry.models import Blob, Package
from sync import queue
from sync.management.commands import sync as command
from sync.models import SyncTask

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _published(upstream, monkeypatch):
    monkeypatch.setattr(command, "time", SimpleNamespace(monotonic=lambda: 0.0, sleep=lambda _: None))
    upstream.publish("left-pad", "1.0.0", dependencies={"repeat": "^1.0.0"})
    upstream.publish("repeat", "1.0.0", optionalDependencies={"letters": "*"})
    upstream.publish("letters", "1.0.0")
    upstream.publish("@scope/name", "1.0.0")


def sync(*arguments: str) -> list[str]:
    """What it printed. Raises CommandError, which `manage.py` prints, and exits with status 1."""
    printed = io.StringIO()
    call_command("sync", *arguments, stdout=printed)
    return printed.getvalue().splitlines()


def names() -> set[str]:
    return set(Package.objects.values_list("name", flat=True))


def test_several_packages_come_in_with_their_tarballs():
    assert sync("left-pad", "@scope/name") == [
        "left-pad: 1 versions: 1 to add, 0 to change, 0 to remove; 1 tarballs fetched",
        "@scope/name: 1 versions: 1 to add, 0 to change, 0 to remove; 1 tarballs fetched",
        "all 2 in, in 0.0 s",
    ]
    assert (names(), Blob.objects.count()) == ({"left-pad", "@scope/name"}, 2)


def test_a_package_that_is_named_twice_comes_once():
    assert sync("left-pad", "left-pad", "@scope/name", "@scope%2fname")[-1] == "all 2 in, in 0.0 s"


def test_without_tarballs(upstream):
    assert sync("--no-tarballs", "left-pad")[0] == "left-pad: 1 versions: 1 to add, 0 to change, 0 to remove"
    assert upstream.count("*.tgz") == 0


def test_with_dependencies_and_theirs():
    assert sync("--dependencies", "left-pad")[-1] == "all 3 in, in 0.0 s"
    assert (names(), Blob.objects.count()) == ({"left-pad", "repeat", "letters"}, 3)


def test_once_more_says_that_nothing_has_changed():
    sync("left-pad")
    assert sync("left-pad")[0] == "left-pad: unchanged; 0 tarballs fetched"


def test_what_it_brought_in_is_served_without_an_upstream(upstream, anyone, later):
    sync("left-pad")
    upstream.stop()
    later()
    assert anyone.view("left-pad").status == 200
    assert anyone.download("left-pad", "1.0.0").raw == upstream.tarball("left-pad", "1.0.0")


def test_a_package_that_nobody_has_fails_and_the_others_come_in():
    with pytest.raises(CommandError, match="1 of 2 did not come in: no-such-thing"):
        sync("no-such-thing", "left-pad")
    assert names() == {"left-pad"}


def test_a_dependency_that_nobody_has_fails(upstream):
    upstream.unpublish("letters")
    with pytest.raises(CommandError, match="1 of 3 did not come in: letters"):
        sync("--dependencies", "left-pad")


def test_a_dependency_that_somebody_else_asked_for_and_that_is_not_in_yet_is_not_forgotten():
    task = queue.ask("repeat", why="a reader", with_tarballs=True, with_dependencies=True)
    queue.put_off(queue.claim(task.pk), "not now")
    assert sync("--dependencies", "left-pad")[-1] == "all 3 in, in 0.0 s"


def test_a_private_scope_is_refused_without_a_request(upstream):
    with pytest.raises(CommandError, match="@acme/secret"):
        sync("@acme/secret")
    assert upstream.count() == 0
    assert SyncTask.objects.get().error == "not fetched: @acme is a private scope of this registry"


@pytest.mark.parametrize("name", ["not a name", "", "../etc", "@scope"])
def test_what_is_no_name_is_refused_before_anything_is_asked(upstream, name):
    with pytest.raises(CommandError, match="is not a package name"):
        sync("left-pad", name)
    assert (upstream.count(), SyncTask.objects.count()) == (0, 0)


def test_an_upstream_that_is_down_fails_and_what_was_wished_for_is_not_forgotten(upstream):
    upstream.stop()
    with pytest.raises(CommandError, match="1 of 1 did not come in: left-pad"):
        sync("left-pad")
    assert SyncTask.objects.get().state == SyncTask.State.WAITING


def test_a_short_illness_is_waited_out(upstream):
    upstream.fault("/left-pad", "status", times=2, code=503)
    assert sync("left-pad")[-1] == "all 1 in, in 0.0 s"


def test_a_tarball_that_does_not_come_fails(upstream):
    upstream.fault("*.tgz", "wrong_bytes")
    with pytest.raises(CommandError, match="left-pad"):
        sync("left-pad")
    assert not Blob.objects.exists()


def test_without_an_upstream_nothing_comes(settings):
    settings.UPSTREAM_URL = "none"
    with pytest.raises(CommandError, match="left-pad"):
        sync("left-pad")

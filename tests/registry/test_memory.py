"""What is kept ready: when it is served as it is, and how everybody learns that it is out of date."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.cache import caches
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from audit import drain
from audit.models import Event
from registry import cache, catalog, documents, generation, lifecycle
from registry.cache import FileKey, Ready, Ring
from registry.models import Package, Version

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def _long_stamps(monkeypatch):
    """Only the generation makes an entry be looked at again."""
    monkeypatch.setattr(cache, "STAMP_SECONDS", 3600)


@pytest.fixture
def shared_cache(settings):
    """A ring 2 without a Redis."""
    local = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "ring 2"}
    settings.CACHES = {**settings.CACHES, "documents": local}
    yield
    caches["documents"].clear()


def change_behind_our_back() -> None:
    """A commit that raises the revision and tells nobody: as of another host."""
    Version.objects.filter(number="1.1.0").update(unpublished_at=timezone.now())
    Package.objects.update(revision=F("revision") + 1)


# --- The generation --------------------------------------------------------------------------------------------------


def test_what_was_published_is_seen_at_once(anyone, alice):
    for number in range(5):
        alice.publish("left-pad", f"1.0.{number}")
        assert anyone.view("left-pad").json()["dist-tags"]["latest"] == f"1.0.{number}"


@pytest.mark.usefixtures("_long_stamps")
def test_a_stamped_answer_stands_until_the_generation_moves(anyone, pad):
    before = anyone.view(pad).raw
    change_behind_our_back()
    assert anyone.view(pad).raw == before
    generation.advance()
    assert "1.1.0" not in anyone.view(pad).json()["versions"]


def test_between_hosts_it_stands_as_long_as_its_stamp(anyone, pad, monkeypatch):
    monkeypatch.setattr(cache, "STAMP_SECONDS", 0)
    anyone.view(pad)
    change_behind_our_back()
    assert "1.1.0" not in anyone.view(pad).json()["versions"]


@pytest.mark.usefixtures("_long_stamps")
def test_a_change_of_another_package_costs_one_look_and_no_building(anyone, alice, pad, monkeypatch):
    alice.publish("left-pad", "1.0.0")
    anyone.view(pad)
    with monkeypatch.context() as broken:
        broken.setattr(documents, "build", None)
        generation.advance()
        assert anyone.view(pad).status == 200
        broken.setattr(Package.objects, "stamp", None)
        assert anyone.view(pad).status == 200


@pytest.mark.usefixtures("_long_stamps")
def test_a_tarball_is_gone_as_soon_as_its_version_is(anyone, pad):
    assert [anyone.download(pad, "1.1.0").status for _ in range(2)] == [200, 200]
    change_behind_our_back()
    generation.advance()
    assert anyone.download(pad, "1.1.0").status == 404


def test_all_processes_of_a_host_share_the_generation(settings):
    before = generation.current()
    code = "from registry import generation; generation.advance(); print(generation.current())"
    environment = {**os.environ, "LARDER_VAR": str(settings.VAR), "DJANGO_SETTINGS_MODULE": "config.settings"}
    root = Path(__file__).parents[2]
    other = subprocess.run([sys.executable, "-c", code], env=environment, cwd=root, capture_output=True, check=True)
    assert generation.current() == int(other.stdout) == before + 1


def test_a_change_that_is_taken_back_is_none(pad):
    before, revision = generation.current(), Package.objects.get().revision
    with transaction.atomic():
        lifecycle.touch(Package.objects.get())
        transaction.set_rollback(True)
    assert (generation.current(), Package.objects.get().revision) == (before, revision)


def test_a_revision_rises_also_when_the_clock_goes_back(pad, monkeypatch):
    before = Package.objects.get().revision
    monkeypatch.setattr(lifecycle.time, "time_ns", lambda: 0)
    with transaction.atomic():
        lifecycle.touch(Package.objects.get())
    assert Package.objects.get().revision == before + 1


@pytest.mark.usefixtures("_long_stamps")
def test_a_warm_answer_needs_neither_django_nor_the_database(anyone, pad, monkeypatch, django_assert_num_queries):
    from config.wsgi import application

    document, tarball = anyone.view(pad).raw, anyone.download(pad, "1.0.0").raw
    monkeypatch.setattr(application, "_application", None)
    with django_assert_num_queries(0):
        assert anyone.view(pad).raw == document
        assert anyone.download(pad, "1.0.0").raw == tarball


# --- Ring 1 ----------------------------------------------------------------------------------------------------------


def entry(size: int, name: str = "x") -> Ready:
    return Ready(name, 1, "", 0, [], body=b"x" * (size - 1024))


def test_the_ring_holds_so_many_bytes_and_lets_go_of_what_was_not_asked_for():
    ring = Ring(10_000)
    first, second, third = (FileKey("x", str(number)) for number in range(3))
    ring.put(first, entry(2_500))
    ring.put(second, entry(2_500))
    ring.put(third, entry(2_500))
    assert ring.get(first)
    ring.put(FileKey("x", "3"), entry(2_500))
    ring.put(FileKey("x", "4"), entry(2_500))
    assert ring.get(first)
    assert ring.get(second) is None
    assert ring.get(third)


def test_one_giant_does_not_push_out_everything():
    ring = Ring(10_000)
    ring.put(FileKey("x", "small"), entry(2_000))
    ring.put(FileKey("x", "giant"), entry(2_501))
    assert ring.get(FileKey("x", "giant")) is None
    assert ring.get(FileKey("x", "small"))


def test_what_is_put_again_counts_once():
    ring = Ring(10_000)
    for _ in range(100):
        ring.put(FileKey("x", "1"), entry(2_500))
    ring.put(FileKey("x", "2"), entry(2_500))
    assert ring.get(FileKey("x", "1"))


# --- Ring 2 ----------------------------------------------------------------------------------------------------------


def test_a_published_version_is_built_before_somebody_asks(alice, anyone, shared_cache, settings, monkeypatch):
    settings.PUBLIC_URL = "https://npm.corp.example"
    alice.publish("left-pad", "1.0.0")
    drain.drain_all()
    catalog.forget()  # another process
    monkeypatch.setattr(documents, "_pieces", None)
    for accept in ("application/json", "application/vnd.npm.install-v1+json"):
        answer = anyone.view("left-pad", accept=accept, accept_encoding="gzip")
        assert list(answer.json()["versions"]) == ["1.0.0"]


def test_what_is_shared_is_never_older_than_the_rows(alice, anyone, shared_cache):
    for number in range(3):
        alice.publish("left-pad", f"1.0.{number}")
        drain.drain_all()
        catalog.forget()
        assert len(anyone.view("left-pad").json()["versions"]) == number + 1


def test_warming_what_is_gone_or_blocked_is_no_failure(alice, shared_cache):
    alice.publish("left-pad", "1.0.0")
    alice.publish("right-pad", "1.0.0")
    Package.objects.filter(name="left-pad").update(unpublished_at=timezone.now())
    Package.objects.filter(name="right-pad").update(blocked_reason="no")
    drain.drain_all()
    assert (
        Event.objects.filter(kind="package.version.published").count() == 2
    )  # that nothing is parked is checked after each test


def test_without_the_shared_cache_everything_still_works(alice, anyone, settings):
    nowhere = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:1/0"}
    settings.CACHES = {**settings.CACHES, "documents": nowhere}
    alice.publish("left-pad", "1.0.0")
    drain.drain_all()
    catalog.forget()
    assert [anyone.view("left-pad").status for _ in range(2)] == [200, 200]

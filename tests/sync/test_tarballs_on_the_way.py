"""Tarballs while they are fetched: readers follow, late ones join, and none takes a broken one for whole."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import OperationalError

from registry import blobs
from registry import upstream as socket
from registry.errors import Unavailable
from registry.models import Blob, Version
from registry.upstream import Delivery
from sync import breaker
from sync.arriving import BrokenDelivery
from sync.kinds.registry import client
from tests.sync.halfway import Halfway

pytestmark = pytest.mark.django_db(transaction=True)

MB = 1 << 20


@pytest.fixture
def publish(upstream, anyone):
    """`publish(size)`: an upstream has a tarball of at least that size, and we its packument; gives our version."""

    def _publish(size: int, *, name: str = "large", **dist) -> Version:
        upstream.publish(name, "1.0.0", files={"noise": os.urandom(size)}, dist=dist)
        assert anyone.view(name).status == 200
        return Version.objects.select_related("package").get(package__name=name)

    return _publish


def ask(version: Version) -> Delivery | Blob:
    return socket.elsewhere().tarball(version)


def taken(found: Delivery | Blob) -> bytes:
    """What a reader has in the end, whether it came while it was fetched or afterwards."""
    return b"".join(found.chunks) if isinstance(found, Delivery) else blobs.read(found.sha512).read()


def whole(upstream, version: Version) -> bytes:
    return upstream.tarball(version.package.name, version.number)


def test_a_small_one_is_answered_when_it_is_whole(publish):
    version = publish(1000)
    assert isinstance(ask(version), Blob)


def test_the_first_bytes_are_given_before_the_last_ones_have_come(upstream, publish):
    version = publish(2 * MB)
    with Halfway(whole(upstream, version)) as halfway:
        Version.objects.update(source_url=halfway.url)
        version.refresh_from_db()
        delivery = ask(version)
        assert isinstance(delivery, Delivery)
        given = next(delivery.chunks)
        assert given
        assert not Blob.objects.exists()
        halfway.go_on()
        given += b"".join(delivery.chunks)
    assert (given, delivery.size) == (whole(upstream, version), len(given))
    assert Blob.objects.get().version_set.get() == version


def test_late_readers_join_and_all_get_the_same(upstream, publish, crowd):
    version = publish(2 * MB)
    with Halfway(whole(upstream, version)) as halfway:
        Version.objects.update(source_url=halfway.url)
        version.refresh_from_db()
        deliveries = [ask(version)]
        next(deliveries[0].chunks)
        deliveries += [ask(version) for _ in range(3)]
        halfway.go_on()
        assert all(isinstance(delivery, Delivery) for delivery in deliveries)
        assert all(b"".join(delivery.chunks) == whole(upstream, version) for delivery in deliveries[1:])
        assert halfway.requests == 1


@pytest.mark.parametrize("fault", [("wrong_bytes", {}), ("truncate", {}), ("reset", {"after": MB})], ids=str)
def test_a_broken_one_is_broken_off_before_its_last_bytes(upstream, publish, fault):
    kind, options = fault
    version = publish(2 * MB)
    upstream.fault("*.tgz", kind, times=1, **options)
    given: list[bytes] = []
    with pytest.raises((BrokenDelivery, Unavailable)):
        given.extend(ask(version).chunks)
    assert len(b"".join(given)) < len(whole(upstream, version))
    assert not Blob.objects.exists()

    assert taken(ask(version)) == whole(upstream, version)


def test_a_reader_who_goes_away_does_not_stop_it(upstream, publish, eventually):
    version = publish(2 * MB)
    with Halfway(whole(upstream, version)) as halfway:
        Version.objects.update(source_url=halfway.url)
        version.refresh_from_db()
        delivery = ask(version)
        next(delivery.chunks)
        delivery.chunks.close()
        halfway.go_on()
        eventually(Blob.objects.exists)


def test_who_comes_while_it_is_put_away_gets_it_whole(publish, monkeypatch, crowd):
    """Between its last byte and its row the file has left the spool folder, and is not yet known as a blob."""
    version = publish(2 * MB)
    is_moved, may_go_on = threading.Event(), threading.Event()
    put = blobs.put

    def put_slowly(*arguments, **options):
        put(*arguments, **options)
        is_moved.set()
        assert may_go_on.wait(20)

    monkeypatch.setattr(blobs, "put", put_slowly)
    [first] = crowd(1, lambda: taken(ask(version)))
    assert is_moved.wait(20)
    [late] = crowd(1, lambda: ask(version))
    time.sleep(0.3)
    may_go_on.set()
    assert isinstance(late.result(20), Blob)
    assert len(first.result(20)) > 2 * MB


def test_nobody_waits_for_ever_when_the_database_goes_away_meanwhile(upstream, publish, monkeypatch, crowd):
    version = publish(1000)

    def gone(*_: object) -> None:
        raise OperationalError("the database has gone away")

    monkeypatch.setattr(breaker, "failed", gone)
    upstream.fault("*.tgz", "status", code=500, times=1)
    [answer] = crowd(1, lambda: ask(version))
    assert isinstance(answer.exception(timeout=20), Unavailable)
    assert isinstance(ask(version), Blob)


def test_one_that_takes_longer_than_a_document_may_still_comes(upstream, publish, settings):
    version = publish(1000)
    settings.UPSTREAM_TIMEOUT_SECONDS = 1.0
    client.cache_clear()
    upstream.fault("*.tgz", "drip", chunk=100, seconds=0.2)
    assert b"".join(ask(version).chunks) == whole(upstream, version)


def test_the_same_bytes_under_another_name_are_fetched_and_kept_once(upstream, publish):
    first = publish(1000)
    ask(first)
    second = copy_of(first)
    asked = upstream.count("*.tgz")
    assert ask(second) == Blob.objects.get()
    assert upstream.count("*.tgz") == asked + 1, "that it names their hash does not show that it has them"


def test_what_is_replaced_while_it_comes_is_not_taken_for_its_successor(upstream, publish, anyone, later):
    version = publish(1000)
    old = whole(upstream, version)
    with Halfway(old) as halfway:
        Version.objects.update(source_url=halfway.url)
        version.refresh_from_db()
        with ThreadPoolExecutor() as threads:
            coming = threads.submit(ask, version)
            halfway.wait()
            upstream.publish("large", "1.0.0", files={"noise": os.urandom(1000)})
            later()
            anyone.view("large")
            halfway.go_on()
            with pytest.raises(Unavailable, match="was replaced while it came"):
                coming.result()
    assert anyone.download("large", "1.0.0").raw == upstream.tarball("large", "1.0.0") != old


def copy_of(version: Version) -> Version:
    """Another version that promises the same bytes."""
    return Version.objects.create(
        package=version.package, number="1.0.1", order_key="", manifest=version.manifest,
        abbreviated=version.abbreviated, source_url=version.source_url,
    )  # fmt: skip


@pytest.mark.parametrize(
    "dist",
    [
        {"integrity": None},
        {"integrity": None, "shasum": None},
        {"integrity": 5, "shasum": ["no"]},
        {"integrity": "md5-nothing", "shasum": None},
    ],
    ids=str,
)
def test_one_without_a_usable_integrity_is_taken_as_it_comes(upstream, publish, dist):
    version = publish(1000, **dist)
    assert isinstance(ask(version), Blob)


def test_the_strongest_hash_decides(upstream, publish):
    """A shasum that is right does not help an integrity that is wrong."""
    version = publish(1000, integrity="sha512-" + "A" * 86 + "==")
    with pytest.raises(Unavailable, match="does not have its integrity"):
        ask(version)
    assert not Blob.objects.exists()


def test_one_above_the_limit_is_refused_before_it_is_fetched(publish, settings):
    settings.MAX_TARBALL_BYTES = MB
    version = publish(2 * MB)
    with pytest.raises(Unavailable, match="larger than LARDER_MAX_TARBALL_MB allows"):
        ask(version)
    assert not Blob.objects.exists()

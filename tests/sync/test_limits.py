"""How much tasks ask of an upstream: so much at once and in a minute, over all processes but the dead."""

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from django.db import connection
from django.utils import timezone

from sync import leases, queue, routing, running
from sync.leases import Lease, LeaseLost
from sync.limits import NotYet, Turns
from sync.models import SyncTask, Upstream
from tests.server import CHECKOUT

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=["files", "redis"], autouse=True)
def _either(request, settings) -> None:
    settings.REDIS_URL = ""
    if request.param == "redis":
        request.getfixturevalue("redis")


@pytest.fixture
def source(transactional_db) -> Upstream:
    return Upstream.objects.create(name="limited", url="http://127.0.0.1:1", max_at_once=2)


@pytest.fixture
def lease() -> Lease:
    return Lease(queue.claim(queue.ask("left-pad", why="a test").pk))


@pytest.fixture
def elsewhere(source, settings) -> Iterator[Callable[[], subprocess.Popen]]:
    """`elsewhere()`: another process has taken a turn, and keeps it."""
    script = textwrap.dedent(f"""
        import django, time
        django.setup()
        from django.conf import settings
        from django.db import connection
        settings.SYNC_LEASE_SECONDS = {settings.SYNC_LEASE_SECONDS}
        connection.settings_dict["NAME"] = {_database_name()!r}
        from sync.limits import Turns
        from sync.models import Upstream
        from types import SimpleNamespace
        lease = SimpleNamespace(at_each_beat=[], insist=lambda: None)
        with Turns(Upstream(pk={source.pk}, max_at_once={source.max_at_once}), lease).take():
            print("taken", flush=True)
            time.sleep(60)
    """)

    def start() -> subprocess.Popen:
        environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings", "REDIS_URL": settings.REDIS_URL}
        process = processes.enter_context(
            subprocess.Popen([sys.executable, "-c", script], cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE)
        )
        processes.callback(process.kill)
        assert process.stdout.readline() == b"taken\n"
        return process

    with ExitStack() as processes:
        yield start


def _database_name() -> str:
    return str(connection.settings_dict["NAME"])


def is_free(source: Upstream, lease: Lease) -> bool:
    try:
        with Turns(source, lease).take(patience=0):
            return True
    except NotYet:
        return False


def test_so_many_at_once_and_no_more(source, lease):
    with (
        Turns(source, lease).take(),
        Turns(source, lease).take(),
        pytest.raises(NotYet, match="limited is being asked for 2 things already"),
        Turns(source, lease).take(patience=0),
    ):
        pass
    assert is_free(source, lease)


def test_places_are_counted_over_processes_and_one_that_is_killed_has_none_any_more(
    source, lease, elsewhere, settings, eventually
):
    settings.SYNC_LEASE_SECONDS = 1
    other = elsewhere()
    with Turns(source, lease).take():
        assert not is_free(source, lease)
        other.kill()
        eventually(lambda: is_free(source, lease))


def test_a_place_is_kept_for_as_long_as_the_task_is(source, settings, eventually):
    settings.SYNC_LEASE_SECONDS = 1
    source.max_at_once = 1
    task = queue.claim(queue.ask("left-pad", why="a test").pk)
    with leases.kept(task) as lease, Turns(source, lease).take():
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            assert not is_free(source, lease)
            time.sleep(0.1)
    assert is_free(source, lease)


def test_zero_is_no_limit(source, lease):
    source.max_at_once = 0
    with ExitStack() as turns:
        for _ in range(50):
            turns.enter_context(Turns(source, lease).take(patience=0))


def test_so_many_in_a_minute_are_evenly_spaced(source, lease):
    source.max_per_minute = 600
    began = time.monotonic()
    for _ in range(6):
        with Turns(source, lease).take():
            pass
    assert time.monotonic() - began >= 0.5


def test_who_would_have_to_wait_too_long_takes_no_moment_from_others(source, lease):
    source.max_per_minute = 2
    assert is_free(source, lease)
    for _ in range(3):
        with (
            pytest.raises(NotYet, match="more than 2 times in a minute") as refusal,
            Turns(source, lease).take(patience=1),
        ):
            pass
        assert 25 < refusal.value.retry_after <= 30


def test_who_loses_the_task_stops_waiting_for_a_turn(source, lease):
    SyncTask.objects.update(state="cancelled")
    with Turns(source, lease).take(), Turns(source, lease).take():
        lease.renew()
        with pytest.raises(LeaseLost), Turns(source, lease).take():
            pass


def test_a_task_that_does_not_get_a_turn_makes_room_for_another(upstream, monkeypatch):
    """It is due again a little later, and that was no attempt."""
    monkeypatch.setattr(running, "_PATIENCE", 0)
    upstream.publish("left-pad", "1.0.0")
    task = queue.ask("left-pad", why="a test")
    assert queue.ask("repeat", why="to have a lease").pk
    other = Lease(queue.claim(SyncTask.objects.get(name="repeat").pk))
    source = routing.default_upstream()
    Upstream.objects.update(max_at_once=1)
    routing.forget()
    source.refresh_from_db()
    with Turns(source, other).take():
        assert not running.run(task.pk).is_done
    task.refresh_from_db()
    assert (task.state, task.attempts, upstream.count()) == (SyncTask.State.WAITING, 0, 0)
    assert task.due_at > timezone.now()
    queue.hurry(task)
    assert running.run(task.pk).is_done

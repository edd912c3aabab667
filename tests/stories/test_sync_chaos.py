"""Packages come in while workers are killed, Redis forgets or is away, and PostgreSQL restarts.

At the end all is in, once, and as the upstream has it. The mishaps and their moments come from LARDER_CHAOS_SEED.
"""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import psycopg2
import pytest
from redis import Redis

from config import serve
from tests import services
from tests.fake_upstream import FakeUpstream
from tests.server import CHECKOUT, Server
from tests.stories.conftest import eventually

SEED = int(os.environ.get("LARDER_CHAOS_SEED", "2026"))
SYNC_AT_ONCE = 3

ASK = """
from sync import queue
for number in range({begin}, {end}):
    queue.ask(f"chaos-{{number}}", why="a story", with_tarballs=True)
"""


class Site(Server):
    """A registry with Celery workers, as `bin/run` starts them; any of them can be killed."""

    def __init__(self, **environment: Any) -> None:
        super().__init__(workers=1, LARDER_SYNC_LEASE_SECONDS=4, LARDER_SYNC_AT_ONCE=SYNC_AT_ONCE, **environment)
        self._workers: list[subprocess.Popen] = []

    def hire(self, *, has_beat: bool) -> None:
        """Start a worker."""
        command = serve._commands("", SYNC_AT_ONCE)["worker"]
        if not has_beat:
            command.remove("--beat")
        with (self.var / "log").open("ab") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", *command], cwd=CHECKOUT, env=self._environment, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self._workers.append(worker)

    def kill_one(self, chance: random.Random) -> None:
        """`kill -9`, and another one begins."""
        worker = self._workers.pop(chance.randrange(len(self._workers)))
        self._kill(worker)
        self.hire(has_beat="--beat" in worker.args)

    def stop(self) -> None:
        while self._workers:
            self._kill(self._workers.pop())
        super().stop()

    def _kill(self, worker: subprocess.Popen) -> None:
        """With its beat, which is a process of its own."""
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()

    def rows(self, query: str) -> list[tuple]:
        """What the database says."""
        url = self._environment["DATABASE_URL"]
        sqlite = url.removeprefix("sqlite:///")
        with closing(psycopg2.connect(url) if sqlite == url else sqlite3.connect(sqlite, timeout=60)) as database:
            cursor = database.cursor()
            cursor.execute(query)
            return cursor.fetchall()


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as upstream:
        yield upstream


@pytest.fixture
def around(database: str, monkeypatch) -> Iterator[dict[str, services.Service]]:
    """The servers beside ours, of this test's own: they are stopped and started."""
    with ExitStack() as running:
        if database == "sqlite":
            monkeypatch.setenv("REDIS_URL", "")
            yield {}
            return
        around = {
            "PostgreSQL": running.enter_context(services.postgresql_server()),
            "Redis": running.enter_context(services.redis_server()),
        }
        monkeypatch.setenv("DATABASE_URL", around["PostgreSQL"].url)
        monkeypatch.setenv("REDIS_URL", around["Redis"].url)
        yield around


def test_whatever_fails_all_comes_in_once(upstream, around):
    chance = random.Random(SEED)
    count = 300 if around else 60
    for number in range(count):
        for minor in range(chance.randint(1, 2)):
            upstream.publish(f"chaos-{number}", f"1.{minor}.0", files={"noise": chance.randbytes(2000)})
    with Site(upstream=upstream.url) as site:
        ask(site, 0, count // 3)
        for has_beat in (True, False):
            site.hire(has_beat=has_beat)
        wait_for(site, "state = 'done'", 5)
        live_through(mishaps(site, around, chance), chance, meanwhile=[
            lambda: ask(site, count // 3, 2 * count // 3),
            lambda: ask(site, 2 * count // 3, count),
        ])  # fmt: skip
        wait_for(site, "state = 'done'", count)
        assert_all_is_in_once(site, upstream, count)


def mishaps(site: Site, around: dict[str, services.Service], chance: random.Random) -> list[Callable[[], None]]:
    """What goes wrong, in no order."""
    found: list[Callable[[], None]] = [lambda: site.kill_one(chance)] * 3
    if around:
        found += [lambda: forget(around["Redis"])] * 2
        found += [lambda: be_away(around["Redis"], chance.uniform(0.5, 3))] * 2
        found += [lambda: be_away(around["PostgreSQL"], chance.uniform(0, 1))] * 2
    return found


def live_through(
    mishaps: list[Callable[[], None]], chance: random.Random, *, meanwhile: list[Callable[[], None]]
) -> None:
    """Let it all happen at moments and in an order that the seed decides."""
    chance.shuffle(mishaps)
    for wish in meanwhile:
        mishaps.insert(chance.randrange(len(mishaps)), wish)
    for happen in mishaps:
        time.sleep(chance.uniform(0.1, 1.5))
        happen()


def forget(redis: services.Service) -> None:
    with Redis.from_url(redis.url) as client:
        client.flushall()


def be_away(server: services.Service, seconds: float) -> None:
    """It stops without a word to its clients, and comes back; Redis has lost everything then."""
    server.stop(signal.SIGQUIT)
    time.sleep(seconds)
    server.start()


def ask(site: Site, begin: int, end: int) -> None:
    site.manage("shell", "-c", ASK.format(begin=begin, end=end))


def wait_for(site: Site, condition: str, count: int) -> None:
    eventually(lambda: site.rows(f"SELECT count(*) FROM sync_synctask WHERE {condition}") >= [(count,)], every=0.2)


def assert_all_is_in_once(site: Site, upstream: FakeUpstream, count: int) -> None:
    expected = {
        (name, number): package.tarballs[f"{name}-{number}.tgz"]
        for name, package in upstream._packages.items()
        for number in package.versions
    }
    tasks = site.rows("SELECT name, state FROM sync_synctask")
    assert sorted(tasks) == sorted((f"chaos-{number}", "done") for number in range(count))

    versions = site.rows(
        "SELECT p.name, v.number FROM registry_version v JOIN registry_package p ON p.id = v.package_id "
        "JOIN registry_blob b ON b.id = v.blob_id WHERE b.state = 'stored' AND v.unpublished_at IS NULL"
    )
    assert sorted(versions) == sorted(expected), "each version once, and each with its tarball"

    told = Counter(
        subject for (subject,) in site.rows("SELECT subject FROM audit_event WHERE kind = 'package.mirrored'")
    )
    assert told == Counter(f"package:chaos-{number}" for number in range(count))

    for (name, number), tarball in expected.items():
        assert site.get(f"/{name}/-/{name}-{number}.tgz").raw == tarball

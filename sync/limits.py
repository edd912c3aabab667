"""How much sync tasks ask of an upstream: so many requests at once, and so many in a minute. Readers are not counted.

Redis counts for all hosts together. Without it, and while it is away, files count for all processes of a host. A place
is free again when its process has died: the kernel lets go of a locked file, and in Redis it is not renewed any more.
"""

import fcntl
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from django.conf import settings
from redis import Redis

from registry.errors import Unavailable
from sync import shared
from sync.leases import Free, Lease
from sync.models import Upstream

_POLL_SECONDS = 0.1
# Redis's own clock counts: those of hosts differ.
_NOW = "local time = redis.call('TIME') local now = time[1] + time[2] / 1e6"
_TAKE_PLACE = f"""{_NOW}
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[1]) then return 0 end
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[3])
return 1
"""
_RENEW_PLACE = f"{_NOW} return redis.call('ZADD', KEYS[1], 'XX', now + ARGV[1], ARGV[2])"
_RESERVE = f"""{_NOW}
local at = math.max(now, tonumber(redis.call('GET', KEYS[1]) or 0))
if at - now <= tonumber(ARGV[2]) then
  redis.call('SET', KEYS[1], string.format('%.6f', at + ARGV[1]), 'EX', math.ceil(at + ARGV[1] - now) + 1)
end
return string.format('%.6f', at - now)
"""

Leave = Callable[[], None]


class NotYet(Unavailable):
    """The upstream must not be asked now. That is no failure of the task."""


class Turns:
    """The requests of one task to one upstream."""

    def __init__(self, upstream: Upstream, lease: Lease | Free) -> None:
        self._upstream = upstream
        self._lease = lease
        self._places: set[str] = set()  # in Redis
        lease.at_each_beat.append(self._renew)

    @contextmanager
    def take(self, *, patience: float = math.inf) -> Iterator[None]:
        """Wait for a place and for the moment, then make one request. Raises `NotYet` after `patience` seconds."""
        deadline = time.monotonic() + patience
        leave = self._wait_for_place(deadline)
        try:
            self._wait_for_moment(deadline)
            yield
        finally:
            leave()

    def _wait_for_place(self, deadline: float) -> Leave:
        self._lease.insist()
        while (leave := self._take_place()) is None:
            if time.monotonic() >= deadline:
                raise NotYet(f"{self._upstream} is being asked for {self._upstream.max_at_once} things already")
            time.sleep(_POLL_SECONDS)
            self._lease.insist()
        return leave

    def _wait_for_moment(self, deadline: float) -> None:
        if not self._upstream.max_per_minute:
            return
        step = 60 / self._upstream.max_per_minute
        patience = max(0.0, deadline - time.monotonic())
        wait = _reserve(self._upstream, step, patience)
        if wait > patience:
            often = f"{self._upstream.max_per_minute} times in a minute"
            raise NotYet(f"{self._upstream} must not be asked more than {often}", retry_after=math.ceil(wait))
        moment = time.monotonic() + wait
        while (left := moment - time.monotonic()) > 0:
            time.sleep(min(left, 1))
            self._lease.insist()

    def _take_place(self) -> Leave | None:
        """A place, as what gives it back; None when all are taken."""
        if not self._upstream.max_at_once:
            return lambda: None
        place = uuid4().hex
        arguments = (self._upstream.max_at_once, settings.SYNC_LEASE_SECONDS, place)
        taken = shared.call(lambda redis: redis.eval(_TAKE_PLACE, 1, self._key(), *arguments))
        if taken is None:
            return _lock_one_of(self._upstream.max_at_once, _file(self._upstream, "place"))
        if not taken:
            return None
        self._places.add(place)
        return lambda: self._leave(place)

    def _leave(self, place: str) -> None:
        self._places.discard(place)
        shared.call(lambda redis: redis.zrem(self._key(), place))

    def _renew(self) -> None:
        def renew(redis: Redis) -> None:
            for place in tuple(self._places):
                redis.eval(_RENEW_PLACE, 1, self._key(), settings.SYNC_LEASE_SECONDS, place)

        shared.call(renew)

    def _key(self) -> str:
        return shared.key(f"sync:places:{self._upstream.pk}")


def _reserve(upstream: Upstream, step: float, patience: float) -> float:
    """Take the next moment unless it is too far away; how many seconds it is away. They are `step` seconds apart."""
    key = shared.key(f"sync:pace:{upstream.pk}")
    wait = shared.call(lambda redis: redis.eval(_RESERVE, 1, key, step, min(patience, 1e9)))
    return _reserve_on_this_host(_file(upstream, "pace"), step, patience) if wait is None else float(str(wait, "ascii"))


def _reserve_on_this_host(path: Path, step: float, patience: float) -> float:
    with path.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        now = time.time()
        at = max(now, float(file.read() or 0))
        if at - now <= patience:
            file.truncate(0)
            file.write(f"{at + step:.6f}")
        return at - now


def _lock_one_of(count: int, path: Path) -> Leave | None:
    for number in range(count):
        file = path.with_name(f"{path.name}-{number}").open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
        else:
            return file.close
    return None


def _file(upstream: Upstream, name: str) -> Path:
    folder: Path = settings.VAR / "run" / "limits"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{upstream.pk}-{name}"

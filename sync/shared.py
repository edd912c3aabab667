"""Redis, where there is one and it answers: what all hosts share. Nothing that is kept in it would be missed.

Time-outs are short, and who has waited for one leaves Redis alone for a while: one that hangs must not hang us.
"""

import logging
import time
from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

from django.conf import settings
from django.db import connection
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

logger = logging.getLogger(__name__)

T = TypeVar("T")

_TIMEOUT_SECONDS = 0.5
_REST_SECONDS = 5.0
_resting_until = 0.0


def call(work: Callable[[Redis], T]) -> T | None:
    """What `work` gets from Redis; None when there is no Redis, or it does not answer now."""
    global _resting_until  # noqa: PLW0603 (one clock per process)
    if not settings.REDIS_URL or is_resting():
        return None
    try:
        return work(_client(settings.REDIS_URL))
    except (RedisError, OSError) as error:
        _resting_until = time.monotonic() + _REST_SECONDS
        logger.warning("Redis does not answer; sync goes on without it for a while: %s", error)
        return None


def is_resting() -> bool:
    """Whether Redis did not answer a moment ago."""
    return time.monotonic() < _resting_until


def key(name: str) -> str:
    """A key of this Larder's own: several may share a Redis, each with a database of another name."""
    return f"larder:{connection.settings_dict['NAME']}:{name}"


def forget() -> None:
    """Ask again at once, over new connections."""
    global _resting_until  # noqa: PLW0603
    _resting_until = 0.0
    _client.cache_clear()


@lru_cache
def _client(url: str) -> Redis:
    return Redis.from_url(
        url,
        socket_timeout=_TIMEOUT_SECONDS,
        socket_connect_timeout=_TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )

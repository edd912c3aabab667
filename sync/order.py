"""The order in which tasks are taken up.

The rule, in a line: a task's place is its due time plus a minute for each point of its priority. So what a person asks
for comes before a backfill that was due up to 40 minutes ago, and after one that has waited longer: nothing waits for
ever.

Rows have this order. Where there is Redis, a sorted set holds the front of it and hands each task to one worker, so
that many workers do not all try to claim the same row. It holds tasks that are due, and ids of tasks that are not any
more: a claim finds out. What it loses, or never heard of, the next `refill` brings from the rows.
"""

from collections.abc import Iterator
from typing import Any

from django.db.models import F, FloatField, Func
from redis import Redis

from sync import shared
from sync.models import SyncTask

SECONDS_PER_POINT = 60
# How much of the order is brought into the set at once, and how many rows a worker without Redis looks at.
_FRONT, _FEW = 500, 20


class _Seconds(Func):
    """A moment as seconds: natively on both databases, because it is computed for each task that is due."""

    function = "EXTRACT"
    template = "%(function)s(EPOCH FROM %(expressions)s)"
    output_field = FloatField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        """The Unix time, from the Julian day."""
        template = "((julianday(%(expressions)s) - 2440587.5) * 86400)"
        return self.as_sql(compiler, connection, template=template, **context)


PLACE = _Seconds("due_at") + F("priority") * SECONDS_PER_POINT


def place(task: SyncTask) -> float:
    """Where the task stands: the lower, the sooner."""
    return task.due_at.timestamp() + task.priority * SECONDS_PER_POINT


def add(task: SyncTask) -> None:
    """Have a task that is due stand in the set."""
    shared.call(lambda redis: redis.zadd(_key(), {str(task.pk): place(task)}))


def refill() -> bool:
    """Bring the front of the rows' order into the set, where there is one. Whether anything was due."""
    return bool(shared.call(_refill))


def due() -> Iterator[int]:
    """The ids of tasks that are due, in order; from Redis each goes to one worker only."""
    is_refilled = False
    while (popped := shared.call(_pop)) is not None:
        if popped:
            yield popped[0]
        elif is_refilled or not refill():
            return
        else:
            is_refilled = True
    yield from _front(_FEW).values_list("pk", flat=True)


def _refill(redis: Redis) -> int:
    front = {str(pk): at for pk, at in _front(_FRONT).values_list("pk", "place")}
    if front:
        redis.zadd(_key(), front)
    return len(front)


def _pop(redis: Redis) -> list[int]:
    popped: Any = redis.zpopmin(_key())
    return [int(member) for member, _ in popped]


def _front(count: int) -> Any:
    return SyncTask.objects.due().annotate(place=PLACE).order_by("place", "pk")[:count]


def _key() -> str:
    return shared.key("sync:order")

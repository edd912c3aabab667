"""Many packages as one piece of work, for somebody who waits for all of them: asked for, run in rounds, told singly.

Workers may run the same tasks meanwhile. What does not come in waits for its moment, which its upstream may have named,
and is tried in the next round; the batch gives up when some rounds in a row have ended nothing. The tasks stay: the
next worker goes on, or the next batch.
"""

import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from django.db.models import Count
from django.utils import timezone

from registry.models import Package
from registry.names import PackageName
from sync import queue, routing, running
from sync.models import SyncTask, Upstream

# Rounds in a row without an end of any task, after which we give up; and how long one waits for the next at most.
_BARREN_ROUNDS = 3
_LONGEST_WAIT = 60.0
_POLL_SECONDS = 0.5

# Told the name, and how many of how many tarballs are here.
Progress = Callable[[str, int, int], None]


class Fate(StrEnum):
    """What became of a package."""

    IN = "in"
    UNCHANGED = "unchanged"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a package, how many of its versions were left out, and all that in a line."""

    name: str
    fate: Fate
    line: str
    skipped: int = 0


class Batch:
    """Tasks that are run here, and those that they ask for."""

    def __init__(self, task_ids: Iterable[int], refused: Collection[Outcome], progress: Progress) -> None:
        # The oldest first: what another batch has left behind.
        self._waiting = deque(sorted(task_ids))
        self._seen = set(self._waiting)
        self._refused = refused
        self._progress = progress
        self._late: list[SyncTask] = []

    @property
    def total(self) -> int:
        """How many packages it is about, as far as is known."""
        return len(self._seen) + len(self._refused)

    def run(self) -> Iterator[Outcome]:
        """Run all, and tell of each when it has ended; in the end of those that have not."""
        yield from self._refused
        barren = 0
        while self._waiting and barren < _BARREN_ROUNDS:
            if barren or self._late:
                self._pause()
            barren += 1
            for outcome in self._round():
                barren = 0
                yield outcome
            if self._is_somebody_at_it():
                barren = 0
        yield from map(_failed, self._late)

    def _round(self) -> Iterator[Outcome]:
        self._late = []
        while self._waiting:
            task_id = self._waiting.popleft()
            line, is_changed = self._try(task_id)
            task = SyncTask.objects.defer("log").get(pk=task_id)
            self._take_up(_needed_by(task))
            if task.state in SyncTask.LIVE:
                self._late.append(task)
            else:
                yield _outcome(task, line, is_changed=is_changed)
        self._waiting.extend(task.pk for task in self._late)

    def _try(self, task_id: int) -> tuple[str, bool]:
        """Run the task if nobody else does and it is due. The line of its round, and whether it changed anything."""
        task = queue.claim(task_id)
        if task is None:
            return "brought by a worker", True
        before = _contents(task.name)
        try:
            result = running.carry_out(task, lambda done, total, _line: self._progress(task.name, done, total))
        except KeyboardInterrupt:
            queue.postpone(task, "interrupted", 0)  # else it would be ours until its lease ends
            raise
        return result.line, _contents(task.name) != before

    def _take_up(self, task_ids: Iterable[int]) -> None:
        found = [task_id for task_id in task_ids if task_id not in self._seen]
        self._seen.update(found)
        self._waiting.extend(found)

    def _is_somebody_at_it(self) -> bool:
        return any(task.state == SyncTask.State.RUNNING for task in self._late)

    def _pause(self) -> None:
        """Wait until all are due; for a moment only while a worker runs one of them."""
        wait = max((task.due_at - timezone.now()).total_seconds() for task in self._late)
        time.sleep(_POLL_SECONDS if self._is_somebody_at_it() else min(max(wait, 0.0), _LONGEST_WAIT))


def ask(
    wanted: Mapping[str, Collection[str] | None],
    *,
    progress: Progress,
    priority: SyncTask.Priority,
    with_tarballs: bool,
    with_dependencies: bool,
    upstream: Upstream | None = None,
) -> Batch:
    """A batch of tasks for the packages in `wanted`, each in these versions (None: all); they are due at once.

    A name that may not come from `upstream` is asked for at none: its task may be somebody else's, from elsewhere.
    """
    tasks, refused = [], []
    for name, versions in wanted.items():
        if why := _why_not(PackageName.parse(name), upstream):
            refused.append(Outcome(name, Fate.REFUSED, why))
            continue
        task = queue.ask(
            name, why="manage.py sync", priority=priority, versions=versions, upstream=upstream,
            with_tarballs=with_tarballs, with_dependencies=with_dependencies,
        )  # fmt: skip
        queue.hurry(task)
        tasks.append(task.pk)
    return Batch(tasks, refused, progress)


def _why_not(name: PackageName, upstream: Upstream | None) -> str:
    """Why nobody would be asked; a name that is nobody's to fetch is refused by its task, which is kept to be seen."""
    route = routing.route(name, wanted=upstream)
    if route.waits_for and not route.upstreams:
        return f"not fetched: {route.why}"
    return f"not fetched: {route.why}" if upstream is not None and not route.listed else ""


def _contents(name: str) -> tuple[int, int] | None:
    """What changes when anything of the package comes in: its revision, and how many tarballs are here."""
    return Package.objects.filter(name=name).values_list("revision", Count("version__blob")).first()


def _needed_by(task: SyncTask) -> list[int]:
    """The tasks for what the task's package needs, whoever asked for them; a worker may have done them."""
    if not task.with_dependencies:
        return []
    equal = SyncTask.objects.filter(name__in=running.dependencies(PackageName.parse(task.name)), with_dependencies=True)
    if task.with_tarballs:
        equal = equal.filter(with_tarballs=True)
    return list(dict(equal.order_by("pk").values_list("name", "pk")).values())


def _outcome(task: SyncTask, line: str, *, is_changed: bool) -> Outcome:
    match task.state:
        case SyncTask.State.DONE:
            return Outcome(task.name, Fate.IN if is_changed else Fate.UNCHANGED, line, task.skipped)
        case SyncTask.State.CANCELLED:
            return Outcome(task.name, Fate.REFUSED, f"cancelled: {task.reason}")
        case _:
            return Outcome(task.name, Fate.REFUSED, task.error)


def _failed(task: SyncTask) -> Outcome:
    return Outcome(
        task.name, Fate.FAILED, f"{task.error or 'not done yet'}; a worker tries again after {task.due_at:%H:%M} UTC"
    )

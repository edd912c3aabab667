"""`manage.py sync <pkg> [<pkg>…]`."""

import sys
import time
from collections import deque
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from tqdm import tqdm

from registry.errors import Invalid
from registry.names import PackageName
from sync import queue, running
from sync.models import SyncTask

_ATTEMPTS = 3


class Command(BaseCommand):
    """Brings packages in now, and says whether all came."""

    help = "Bring packages in from their upstreams now: metadata and tarballs. Exit status 0 only when all are in."

    def add_arguments(self, parser: CommandParser) -> None:
        """Which, and how much of them."""
        parser.add_argument("packages", nargs="+", metavar="package")
        parser.add_argument("--no-tarballs", action="store_true", help="metadata only; tarballs come when asked for")
        parser.add_argument("--dependencies", action="store_true", help="also what their latest versions need")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Ask, run, count."""
        began = time.monotonic()
        try:
            names = [str(PackageName.parse(text)) for text in options["packages"]]
        except Invalid as error:
            raise CommandError(error.sentence) from error
        wishes = {"with_tarballs": not options["no_tarballs"], "with_dependencies": options["dependencies"]}
        tasks = [queue.ask(name, why="manage.py sync", **wishes) for name in dict.fromkeys(names)]
        total, failed = self._run(deque(task.pk for task in tasks))
        if failed:
            raise CommandError(f"{len(failed)} of {total} did not come in: {', '.join(failed)}")
        self.stdout.write(f"all {total} in, in {time.monotonic() - began:.1f} s")

    def _run(self, waiting: deque[int]) -> tuple[int, list[str]]:
        """Run these tasks and those that they ask for. Returns how many there were, and the names that failed."""
        seen = set(waiting)
        failed = []
        with tqdm(total=len(waiting), unit="package", disable=not sys.stderr.isatty()) as bar:
            while waiting:
                task = SyncTask.objects.get(pk=waiting.popleft())
                bar.set_postfix_str(task.name)
                if not self._run_one(task, bar):
                    failed.append(task.name)
                found = self._needed_by(task, seen)
                seen.update(found)
                waiting.extend(found)
                bar.total = len(seen)
                bar.update()
        return len(seen), failed

    def _needed_by(self, task: SyncTask, seen: set[int]) -> list[int]:
        """The tasks for what this one's package needs, whoever asked for them; a worker may have done them."""
        if not task.with_dependencies:
            return []
        names = running.dependencies(PackageName.parse(task.name))
        equal = SyncTask.objects.filter(name__in=names, with_dependencies=True)
        if task.with_tarballs:
            equal = equal.filter(with_tarballs=True)
        newest = dict(equal.order_by("pk").values_list("name", "pk"))
        return [pk for pk in newest.values() if pk not in seen]

    def _run_one(self, task: SyncTask, bar: Any) -> bool:
        """Run a task until it is done, a few times at most; a worker may have taken it meanwhile."""

        def show(done: int, total: int, _line: str) -> None:
            bar.set_postfix_str(f"{task.name} {done}/{total} tarballs")

        for attempt in range(_ATTEMPTS):
            time.sleep(attempt)
            queue.hurry(task)
            result = running.run(task.pk, progress=show)
            if result is not None:
                bar.clear()
                self.stdout.write(f"{task.name}: {result.line}")
            task.refresh_from_db()
            if task.state == SyncTask.State.RUNNING:
                task = self._wait(task)
            if task.state not in SyncTask.LIVE:
                break
        if result is None and task.state == SyncTask.State.DONE:
            bar.clear()
            self.stdout.write(f"{task.name}: in, brought by a worker")
        return task.state == SyncTask.State.DONE

    def _wait(self, task: SyncTask) -> SyncTask:
        """Wait while a worker runs the task."""
        while task.state == SyncTask.State.RUNNING and task.leased_until and task.leased_until > timezone.now():
            time.sleep(0.5)
            task.refresh_from_db()
        return task

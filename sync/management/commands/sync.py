"""`manage.py sync <pkg> [<pkg>…]`."""

import sys
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from registry.errors import Invalid
from registry.names import PackageName
from sync import queue, running
from sync.models import SyncTask

_TRIES = 3


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
        began = time.time()
        try:
            names = [str(PackageName.parse(text)) for text in options["packages"]]
        except Invalid as error:
            raise CommandError(error.sentence) from error
        for name in names:
            queue.ask(
                name, why="manage.py sync", with_tarballs=not options["no_tarballs"],
                with_dependencies=options["dependencies"],
            )  # fmt: skip
        failed = self._run(names)
        if failed:
            raise CommandError(f"{len(failed)} did not come in: {', '.join(failed)}")
        self.stdout.write(f"all in, in {time.time() - began:.1f} s")

    def _run(self, names: list[str]) -> list[str]:
        """Run these packages' tasks, and those that they ask for, until none is left. Returns what failed."""
        seen: set[str] = set()
        failed: list[str] = []
        waiting = list(dict.fromkeys(names))
        with tqdm(total=len(waiting), unit="package", disable=not sys.stderr.isatty()) as bar:
            while waiting:
                name = waiting.pop(0)
                seen.add(name)
                bar.set_postfix_str(name)
                if not self._run_one(name, bar):
                    failed.append(name)
                needed = SyncTask.objects.live().filter(why=f"needed by {name}").values_list("name", flat=True)
                more = [one for one in needed if one not in seen and one not in waiting]
                waiting += more
                bar.total += len(more)
                bar.update()
        return failed

    def _run_one(self, name: str, bar: Any) -> bool:
        for attempt in range(_TRIES):
            task = SyncTask.objects.filter(name=name).order_by("-pk").first()
            if task is None or task.state == SyncTask.State.DONE:
                return task is not None
            if attempt:
                time.sleep(attempt)
                SyncTask.objects.live().filter(pk=task.pk, state=SyncTask.State.WAITING).update(due_at=task.created_at)
            result = running.run(task.pk)
            if result is not None:
                bar.clear()
                self.stdout.write(f"{name}: {result.line}")
                if result.is_done:
                    return True
        return SyncTask.objects.filter(name=name, state=SyncTask.State.DONE, pk=task.pk).exists()

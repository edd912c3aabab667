"""`manage.py sync <pkg>[@version]…`."""

import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from registry import lockfiles
from registry.errors import Invalid, RegistryError
from registry.lockfiles import Pin
from registry.models import Package
from sync import batches, routing
from sync.batches import Fate, Outcome
from sync.models import SyncTask, Upstream

_INTERRUPTED = 130  # as a shell tells of a program that Ctrl-C has ended
_NAMED = 10


class Command(BaseCommand):
    """Brings packages in now, and says whether all came."""

    help = (
        "Bring packages in from their upstreams now: metadata and tarballs. "
        "Exit status: 0 when all is in; 1 when a package was refused or failed, or a version was skipped; "
        "130 after Ctrl-C. What has not come in yet stays in the queue for workers, and the same command goes on with "
        "it: what is here is not fetched again."
    )

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """The parser, in which `--version` is a package's and not Django's."""
        return super().create_parser(prog_name, subcommand, conflict_handler="resolve", **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        """Which, and how much of them."""
        add = parser.add_argument
        add("packages", nargs="*", metavar="package[@version]", help="a name for all versions")
        add("--version", dest="number", help="the one of those that are named without a version")
        add("--from", dest="source", metavar="UPSTREAM", help="where these come from, if the rules allow it")
        add("--dependencies", action="store_true", help="also what their latest versions need, from where rules say")
        add(
            "--file", dest="files", action="append", default=[], type=Path, metavar="PATH",
            help="a lockfile of npm, pnpm or yarn, or lines of package[@version]; several times",
        )  # fmt: skip
        add("--all-existing", action="store_true", help="all that came from upstreams; with --from, from that one")
        add("--no-tarballs", action="store_true", help="metadata only; tarballs come when asked for")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Ask, run, count."""
        began, outcomes = time.monotonic(), list[Outcome]()
        try:
            for outcome in self._outcomes(options):
                outcomes.append(outcome)
        except RegistryError as error:
            raise CommandError(error.sentence) from error
        except KeyboardInterrupt:
            told = f"stopped after {len(outcomes)} packages; workers go on with the others, or the same command does"
            raise CommandError(told, returncode=_INTERRUPTED) from None
        self._sum_up(outcomes, time.monotonic() - began)

    def _outcomes(self, options: dict[str, Any]) -> Iterator[Outcome]:
        """What becomes of each, when it is known; the bar and the lines say it too."""
        upstream = _upstream(options["source"])
        wanted = _wanted(options, upstream)
        with tqdm(unit=" packages", disable=not sys.stderr.isatty()) as bar:
            batch = batches.ask(
                wanted,
                progress=lambda name, done, total: bar.set_postfix_str(f"{name} {done}/{total} tarballs"),
                priority=SyncTask.Priority.BACKFILL if options["all_existing"] else SyncTask.Priority.PERSON,
                with_tarballs=not options["no_tarballs"],
                with_dependencies=options["dependencies"],
                upstream=upstream,
            )
            bar.reset(batch.total)
            for outcome in batch.run():
                if bar.disable or not self.stdout.isatty():
                    self.stdout.write(f"{outcome.name}: {outcome.line}")
                bar.total = batch.total
                bar.update(outcome.fate in (Fate.IN, Fate.UNCHANGED))
                yield outcome

    def _sum_up(self, outcomes: list[Outcome], seconds: float) -> None:
        """Print the table, and raise `CommandError` unless all of it is in."""
        fates, skipped = Counter(outcome.fate for outcome in outcomes), sum(outcome.skipped for outcome in outcomes)
        for word, count in [*((fate, fates[fate]) for fate in Fate), ("skipped versions", skipped)]:
            self.stdout.write(f"  {word:<16}  {count:>6}")
        missed = [outcome for outcome in outcomes if outcome.fate in (Fate.REFUSED, Fate.FAILED)]
        for outcome in [*missed, *(outcome for outcome in outcomes if outcome.skipped)]:
            self.stdout.write(f"  {'skipped' if outcome.skipped else outcome.fate:<8}  {outcome.name}: {outcome.line}")
        if missed:
            raise CommandError(f"{len(missed)} of {len(outcomes)} did not come in: {_names(missed)}")
        if skipped:
            raise CommandError(f"done, with {skipped} skipped")
        self.stdout.write(f"all {len(outcomes)} in, in {seconds:.1f} s")


def _upstream(name: str | None) -> Upstream | None:
    if name is None:
        return None
    routing.default_upstream()  # so that there is a row of it
    upstream = Upstream.objects.filter(name=name).first()
    if upstream is None:
        raise Invalid(f"there is no upstream {name[:100]}: manage.py upstream list shows those that there are")
    return upstream


def _wanted(options: dict[str, Any], upstream: Upstream | None) -> dict[str, set[str] | None]:
    """The versions that are wanted of each package; None: all. Who wants all and some of one wants all."""
    wanted: dict[str, set[str] | None] = {}
    for name, number in _pins(options, upstream):
        numbers = wanted.setdefault(name, set())
        if number is None:
            wanted[name] = None
        elif numbers is not None:
            numbers.add(number)
    if not wanted and not options["all_existing"]:
        raise Invalid("say which packages: their names, --file with a lockfile or a list, or --all-existing")
    return wanted


def _pins(options: dict[str, Any], upstream: Upstream | None) -> Iterator[Pin]:
    number = options["number"]
    named = [Pin.parse(text) for text in options["packages"]]
    if number is not None and all(pin.version for pin in named):
        raise Invalid("--version is for packages that are named without one, and there are none")
    for pin in named:
        yield pin if pin.version or number is None else Pin.parse(f"{pin.name}@{number}")
    for path in options["files"]:
        yield from _read(path)
    if options["all_existing"]:
        existing = Package.objects.filter(unpublished_at=None).exclude(origin=None)
        existing = existing if upstream is None else existing.filter(origin=upstream.name)
        for name in existing.order_by("name").values_list("name", flat=True):
            yield Pin(name, None)


def _read(path: Path) -> list[Pin]:
    """What a file names. Raises `Invalid` with a sentence for a file that cannot be read."""
    try:
        return lockfiles.read(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Invalid(f"{path} is no text: give a lockfile or a list of packages") from error
    except Invalid as error:
        raise Invalid(f"{path} cannot be used: {error.sentence}") from error


def _names(outcomes: list[Outcome]) -> str:
    more = f" and {len(outcomes) - _NAMED} more" if len(outcomes) > _NAMED else ""
    return ", ".join(outcome.name for outcome in outcomes[:_NAMED]) + more

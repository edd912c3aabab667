"""`manage.py migration list|start|status|cutover|back|stop|users`."""

import json
from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.actors import Actor
from registry import immigration, patterns
from registry.errors import Invalid, RegistryError
from registry.names import PackageName
from sync import cutting_over, migrating
from sync.http import UpstreamError
from sync.models import Migration

_ACTOR = Actor.system("manage.py migration")


class Command(BaseCommand):
    """Leaves an old registry."""

    help = (
        "Bring an organisation's packages and people over from another registry. docs/operating/migrating.md tells how."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """What to do, and with which names."""
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="list|start|status|cutover|back|stop|users")
        verbs.add_parser("list", help="the migrations that there are")
        start = verbs.add_parser("start", help="copy what the old registry has, and follow it")
        start.add_argument("pattern", nargs="+", help="@scope, or names")
        start.add_argument("--from", dest="upstream", required=True, help="the old registry: manage.py upstream add")
        start.add_argument("--file", type=Path, help="names besides those that it lists, one in a line")
        reading = start.add_mutually_exclusive_group()
        reading.add_argument(
            "--restricted", dest="is_restricted", action="store_true", default=None,
            help="only who has a right to it may read what comes; so it is where the old registry wants a token",
        )  # fmt: skip
        reading.add_argument(
            "--public", dest="is_restricted", action="store_false", help="who may read here may read it"
        )
        status = _about_one(verbs.add_parser("status", help="how what is here differs; exit status 1 when it does"))
        status.add_argument("--json", action="store_true", help="for programs")
        over = _about_one(verbs.add_parser("cutover", help="make it ours, and never ask the old registry again"))
        over.add_argument("--force", action="store_true", help="though not everything is here")
        over.add_argument(
            "--owner", dest="owners", action="append", default=[], help="who owns all of it; several times"
        )
        back = _about_one(verbs.add_parser("back", help="let the old registry count again"))
        stop = _about_one(
            verbs.add_parser("stop", help="copy and follow no more; it is proxied from there until its rule is changed")
        )
        for verb in (over, back, stop):
            verb.add_argument("--reason", required=True, help="why, in ten characters or more")
        users = verbs.add_parser("users", help="bring people over, with passwords and tokens")
        users.add_argument("--from", dest="kind", required=True, choices=["htpasswd", "cnpmcore"])
        users.add_argument("file", type=Path)

    def handle(self, *_args: Any, **options: Any) -> None:
        """Do it, and say so."""
        try:
            getattr(self, f"_{options['verb']}")(options)
        except (RegistryError, UpstreamError) as error:
            raise CommandError(error.sentence) from error

    def _list(self, _options: dict[str, Any]) -> None:
        for one in Migration.objects.select_related("upstream").order_by("pattern"):
            state = f"cut over {one.cut_over_at:%Y-%m-%d %H:%M}" if one.cut_over_at else f"under way; {one.found}"
            state = f"stopped {one.stopped_at:%Y-%m-%d %H:%M}" if one.stopped_at else state
            self.stdout.write(f"{one}: {state}{f'; {one.error}' if one.error else ''}")

    def _start(self, options: dict[str, Any]) -> None:
        listed = _names(options["file"]) if options["file"] else []
        lists = _by_pattern(listed, options["pattern"])
        for pattern in options["pattern"]:
            one = migrating.start(
                pattern, options["upstream"], listed=lists[pattern], is_restricted=options["is_restricted"],
                actor=_ACTOR,
            )  # fmt: skip
            self.stdout.write(f"{one.pattern} is copied from {one.upstream}: {migrating.find(pattern).found}")

    def _status(self, options: dict[str, Any]) -> None:
        differing = total = 0
        rows = []
        for one in migrating.status(migrating.find(options["pattern"])):
            total += 1
            differing += not one.is_complete
            if options["json"]:
                rows.append({**asdict(one), "complete": one.is_complete})
            else:
                self.stdout.write(f"{'ok     ' if one.is_complete else 'differs'} {one}")
        if options["json"]:
            self.stdout.write(json.dumps(rows, indent=2))
        if differing:
            raise CommandError(f"{differing} of {total} packages are not all here")
        if not options["json"]:
            self.stdout.write(f"all {total} packages are here, with the integrity that they have there")

    def _cutover(self, options: dict[str, Any]) -> None:
        one = migrating.find(options["pattern"])
        done = cutting_over.cut_over(
            one, reason=options["reason"], owners=options["owners"], is_forced=options["force"], actor=_ACTOR
        )
        self.stdout.write(f"{len(done.packages)} packages are ours now, with {len(done.owners)} owners in all")
        if done.strangers:
            self.stdout.write(f"nobody here is called {', '.join(sorted(done.strangers))}: they own nothing here yet")

    def _back(self, options: dict[str, Any]) -> None:
        one = migrating.find(options["pattern"])
        names = cutting_over.take_back(one, reason=options["reason"], actor=_ACTOR)
        self.stdout.write(f"{len(names)} packages come from {one.upstream} again")

    def _stop(self, options: dict[str, Any]) -> None:
        one = migrating.find(options["pattern"])
        migrating.stop(one, reason=options["reason"], actor=_ACTOR)
        self.stdout.write(
            f"{one.pattern} is not copied any more; it is proxied from {one.upstream} until its rule is changed"
        )

    def _users(self, options: dict[str, Any]) -> None:
        text = _read(options["file"])
        if options["kind"] == "htpasswd":
            report = immigration.admit(immigration.from_htpasswd(text), actor=_ACTOR)
        else:
            report = immigration.admit(*immigration.from_cnpmcore(text.splitlines()), actor=_ACTOR)
        self.stdout.write(f"{len(report.admitted)} people are here now, with {report.tokens} tokens")
        if report.known:
            self.stdout.write(f"left as they are, since they are here already: {', '.join(report.known)}")
        for name, why in (report.without_password | report.refused).items():
            self.stdout.write(f"{name}: {why}")
        if report.refused:
            raise CommandError(f"{len(report.refused)} could not be brought over")


def _about_one(parser: ArgumentParser) -> ArgumentParser:
    parser.add_argument("pattern", help="as it was started: @scope, or a name")
    return parser


def _names(path: Path) -> list[PackageName]:
    lines = (line.strip() for line in _read(path).splitlines())
    return [PackageName.parse(line) for line in lines if line and not line.startswith("#")]


def _by_pattern(names: list[PackageName], given: list[str]) -> dict[str, list[PackageName]]:
    """The listed names by the pattern that they fit, of several the most specific one."""
    by_canonical = {patterns.canonical(pattern): pattern for pattern in given}
    lists: dict[str, list[PackageName]] = {pattern: [] for pattern in given}
    for name in names:
        first = next((one for one in patterns.fitting(name) if one in by_canonical), None)
        if first is None:
            raise Invalid(f"{name} fits none of {', '.join(given)}: name a pattern for it too")
        lists[by_canonical[first]].append(name)
    return lists


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Invalid(f"{path} is no text") from error

"""`manage.py bugversions list|check|import|export|who`."""

import json
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.actors import Actor
from audit.facts import storable_text
from bugversions import checking, editing, importing, previewing, values
from bugversions.models import BugVersion, RuleImport
from bugversions.reading import SOURCE
from registry import downloads, jsontext, lockfiles
from registry.errors import Invalid, RegistryError

_ACTOR = Actor.system("manage.py bugversions")
_UNUSABLE = 2


class Command(BaseCommand):
    """Keeps the rules about bad versions."""

    help = "Rules about bad versions: see them, check a lockfile against them, bring them in and out."

    def add_arguments(self, parser: CommandParser) -> None:
        """What to do, and with which."""
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="list|check|import|export|who")
        listing = verbs.add_parser("list", help="the rules that are in force")
        listing.add_argument("--package")
        listing.add_argument("--action", choices=BugVersion.Action.values)
        listing.add_argument("--json", action="store_true", help="for programs")
        check = verbs.add_parser("check", help="what rules say about a lockfile; exit status 1 when they say something")
        check.add_argument("lockfile", type=Path, help="of npm, pnpm or yarn, or lines of package@version")
        check.add_argument("--json", action="store_true", help="for programs")
        bring = verbs.add_parser("import", help=f"take the rules of the npm package {SOURCE}, the latest one")
        bring.add_argument("--file", type=Path, help="its package.json instead, or what export has written")
        verbs.add_parser("export", help="our own rules, as import --file takes them")
        who = verbs.add_parser("who", help="who downloaded versions of a package lately, for whoever must be told")
        who.add_argument("package")
        who.add_argument("versions", nargs="?", default="*", help="a version or a range; default: all")
        who.add_argument("--json", action="store_true", help="for programs")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Do it, and say so."""
        try:
            getattr(self, f"_{options['verb']}")(options)
        except RegistryError as error:
            raise CommandError(error.sentence, returncode=_UNUSABLE) from error

    def _list(self, options: dict[str, Any]) -> None:
        rows = BugVersion.objects.in_force().order_by("package", "versions", "source")
        for key in ("package", "action"):
            rows = rows.filter(**{key: options[key]}) if options[key] else rows
        if options["json"]:
            self.stdout.write(json.dumps([editing.said(row) for row in rows], indent=2))
            return
        for row in rows:
            target = f" → {row.replacement}" if row.replacement else ""
            self.stdout.write(f"{row.action:<8} {row.package}@{row.versions}{target}  {row.reason}  ({row.source})")
        self.stdout.write(f"{len(rows)} rules are in force")
        for row in previewing.without_replacement():
            told = f"{row.package}@{row.versions} is left as it is: {row.replacement} is not here ({row.source})"
            self.stderr.write(told)

    def _check(self, options: dict[str, Any]) -> None:
        found = checking.check(lockfiles.read(_read(options["lockfile"])))
        if options["json"]:
            told = [{"name": one.name, "version": one.version, "rule": editing.said(one.rule)} for one in found]
            self.stdout.write(json.dumps(told, indent=2))
        else:
            for one in found:
                self.stdout.write(str(one))
        if found:
            raise CommandError(f"rules are about {len(found)} entries of {options['lockfile']}")
        if not options["json"]:
            self.stdout.write("no rule is about any of it")

    def _import(self, options: dict[str, Any]) -> None:
        if options["file"] is None:
            self._tell(importing.fetch(actor=_ACTOR))
            return
        try:
            document = jsontext.decode(_read(options["file"]))
        except ValueError as error:
            raise Invalid(f"{options['file']} is no JSON: {error}") from error
        if isinstance(document, dict) and "rules" in document:
            self.stdout.write(f"{importing.add_all(document, actor=_ACTOR)} rules are ours now")
            return
        config = document.get("config", document) if isinstance(document, dict) else document
        version = document.get("version", "") if isinstance(document, dict) else ""
        number = f"{options['file'].name} {version}"  # no version of the package: that is imported when it comes
        self._tell(importing.bring_in(config, number=storable_text(number)[:256], actor=_ACTOR))

    def _tell(self, row: RuleImport) -> None:
        counts = {part: len(row.diff.get(part, ())) for part in ("added", "changed", "removed", "packages")}
        self.stdout.write(
            f"{SOURCE}@{row.number}: {counts['added']} added, {counts['changed']} changed, "
            f"{counts['removed']} removed; {counts['packages']} packages that are here look different now"
        )

    def _export(self, _options: dict[str, Any]) -> None:
        self.stdout.write(json.dumps(importing.exported(), indent=2, ensure_ascii=False))

    def _who(self, options: dict[str, Any]) -> None:
        all_of_it = downloads.downloaders(options["package"])
        rows = [row for row in all_of_it if values.matches(options["versions"], row.version)]
        if options["json"]:
            keys = ("who", "version", "count", "first_day", "last_day")
            self.stdout.write(json.dumps([{key: getattr(row, key) for key in keys} for row in rows], default=str))
            return
        for row in rows:
            self.stdout.write(f"{row.who:<40} {row.version:<20} {row.count} times, last on {row.last_day}")
        people = len({row.who for row in rows})
        self.stdout.write(f"{people} people and addresses in {settings.DOWNLOADERS_DAYS} days")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Invalid(f"{path} is no text") from error

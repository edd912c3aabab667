"""`manage.py advisories import|list`."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.actors import Actor
from bugversions import advisories
from bugversions.models import Advisory
from registry.errors import RegistryError

_ACTOR = Actor.system("manage.py advisories")


class Command(BaseCommand):
    """Brings in what `npm audit` is answered from."""

    help = "Import advisories about npm packages from a dump of OSV, or show those of a package."

    def add_arguments(self, parser: CommandParser) -> None:
        """What to do, and with which."""
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="import|list")
        bring = verbs.add_parser("import", help="make what is here what a dump says")
        bring.add_argument("path", type=Path, help="OSV's npm/all.zip, or a folder of such JSON files")
        bring.add_argument("--shrink", action="store_true", help="also when it has less than half of what is here")
        shown = verbs.add_parser("list", help="what is known of a package")
        shown.add_argument("package")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Do it, and say so."""
        if options["verb"] == "list":
            for row in Advisory.objects.filter(package=options["package"]).order_by("source"):
                self.stdout.write(f"{row.source} {row.severity} {row.vulnerable_versions}: {row.title}")
            return
        try:
            summary = advisories.bring_in(options["path"], actor=_ACTOR, is_shrinking=options["shrink"])
        except RegistryError as error:
            raise CommandError(f"nothing was imported: {error.sentence}") from error
        for complaint in summary.complaints:
            self.stderr.write(f"not readable: {complaint}")
        self.stdout.write(str(summary))

"""`manage.py restore <package>[@<version>]`."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.actors import Actor
from registry import unpublishing
from registry.errors import RegistryError
from registry.names import PackageName


class Command(BaseCommand):
    """Undoes an unpublish."""

    help = "Restore an unpublished package, or one unpublished version of a package, within LARDER_UNDO_DAYS."

    def add_arguments(self, parser: CommandParser) -> None:
        """What to restore."""
        parser.add_argument("package", metavar="package[@version]")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Restore, and say so."""
        text: str = options["package"]
        at = text.find("@", 1)  # the first letter of a scoped name is one too
        name, number = (text, None) if at < 0 else (text[:at], text[at + 1 :])
        try:
            unpublishing.restore(PackageName.parse(name), number, actor=Actor.system("manage.py restore"))
        except RegistryError as error:
            raise CommandError(error.sentence) from error
        self.stderr.write(f"{text} was restored")

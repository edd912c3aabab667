"""`manage.py create_scope @acme [--owner alice]`."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.actors import Actor
from registry import orgs, people
from registry.errors import RegistryError
from registry.models import Member


class Command(BaseCommand):
    """Makes a scope ours."""

    help = "Make a scope ours: no upstream is asked for its packages, and its people and teams are an organisation."

    def add_arguments(self, parser: CommandParser) -> None:
        """The scope, and who runs it."""
        parser.add_argument("scope")
        parser.add_argument("--owner", help="a user who says who else is in it; only its members publish in it then")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Create, and say so."""
        actor, owner = Actor.system("manage.py create_scope"), options["owner"]
        try:
            if owner:
                people.named(owner)
            scope = orgs.create(options["scope"], actor=actor)
            if owner:
                orgs.set_member(scope.name, owner, Member.Role.OWNER, actor=actor)
        except RegistryError as error:
            raise CommandError(error.sentence) from error
        self.stderr.write(f"{scope} was created" + (f" and belongs to {owner}" if owner else ""))

"""`manage.py create_token <user>`."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.actors import Actor
from registry import tokens
from registry.models import Token, User


class Command(BaseCommand):
    """Prints a new token, alone, on standard output."""

    help = "Make a token for a user and print it alone on standard output; it cannot be shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        """Whose, and what it may do."""
        parser.add_argument("user")
        kind = parser.add_mutually_exclusive_group()
        kind.add_argument("--read-only", dest="kind", action="store_const", const=Token.Kind.READ_ONLY)
        kind.add_argument("--automation", dest="kind", action="store_const", const=Token.Kind.AUTOMATION)

    def handle(self, *_args: Any, **options: Any) -> None:
        """Make and print."""
        user = User.objects.filter(username=options["user"], is_active=True).first()
        if user is None:
            raise CommandError(f"there is no user {options['user']}: manage.py create_user {options['user']} makes one")
        actor = Actor.system("manage.py create_token")
        self.stdout.write(tokens.issue(user, actor=actor, kind=options["kind"] or Token.Kind.PUBLISH))

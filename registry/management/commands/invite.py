"""`manage.py invite`."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.actors import Actor
from registry import invitations
from registry.errors import RegistryError


class Command(BaseCommand):
    """Prints the URL of a new invitation, alone, on standard output."""

    help = "Make an invitation for one person, where LARDER_SIGNUP=invite, and print its URL; it cannot be shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        """For whom, and how long it is good."""
        parser.add_argument("--note", default="", help="whom it is for; only operators see it")
        parser.add_argument("--days", type=int, default=7, help="how long it is good (7)")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Make and print."""
        try:
            actor = Actor.system("manage.py invite")
            invitation, code = invitations.invite(actor=actor, note=options["note"], days=options["days"])
        except RegistryError as error:
            raise CommandError(error.sentence) from error
        self.stdout.write(f"{settings.PUBLIC_URL or f'http://{settings.HOST}:{settings.PORT}'}/-/web/sign-up/{code}")
        self.stderr.write(f"good for one person until {invitation.expires_at:%Y-%m-%d %H:%M} UTC")

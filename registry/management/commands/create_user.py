"""`manage.py create_user <name> [--admin]`."""

import getpass
import os
import secrets
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.actors import Actor
from registry import people
from registry.errors import RegistryError


class Command(BaseCommand):
    """Creates a person."""

    help = (
        "Create a user. The password is read from LARDER_PASSWORD, from standard input when that is not a terminal, "
        "or asked for; with --generate one is made and printed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """The name, and what the person may do."""
        parser.add_argument("name")
        parser.add_argument("--admin", action="store_true", help="may do everything, and opens the admin")
        parser.add_argument("--email", default="")
        parser.add_argument("--generate", action="store_true", help="make a password and print it, once")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Create, and say so."""
        password = secrets.token_urlsafe(15) if options["generate"] else _password()
        try:
            people.create_user(
                options["name"], password, actor=Actor.system("manage.py create_user"),
                email=options["email"], is_admin=options["admin"],
            )  # fmt: skip
        except RegistryError as error:
            raise CommandError(error.sentence) from error
        self.stderr.write(f"{options['name']} was created")
        if options["generate"]:
            self.stdout.write(password)


def _password() -> str:
    given = os.environ.get("LARDER_PASSWORD")
    if given:
        return given
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password = getpass.getpass("Password: ")
    if password != getpass.getpass("Again: "):
        raise CommandError("the two passwords differ")
    return password

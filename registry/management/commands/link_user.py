"""`manage.py link_user <name> --ldap <name there> | --openid <subject>`."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.actors import Actor
from registry import directory, identities, people
from registry.errors import RegistryError
from registry.identities import Claims


class Command(BaseCommand):
    """Makes a person of this registry one whom the directory, or the OpenID provider, knows."""

    help = (
        "Let a user sign in by LDAP or OpenID Connect from now on, instead of a password. "
        "The way back is manage.py changepassword."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Who, and who that is elsewhere."""
        parser.add_argument("name")
        there = parser.add_mutually_exclusive_group(required=True)
        there.add_argument("--ldap", metavar="NAME", help="what the directory calls them")
        there.add_argument("--openid", metavar="SUBJECT", help="the provider's `sub` of them, as in the log")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Link, and say so."""
        try:
            [user] = people.named(options["name"])
            identities.link(user, _claims(options), actor=Actor.system("manage.py link_user"))
        except RegistryError as error:
            raise CommandError(error.sentence) from error
        self.stderr.write(f"{user.username} signs in there from now on")


def _claims(options: dict[str, Any]) -> Claims:
    if options["ldap"]:
        return Claims(directory.SOURCE, options["ldap"].lower())
    if settings.OPENID is None:
        raise CommandError("there is no OpenID provider: set LARDER_OIDC_ISSUER")
    return Claims(settings.OPENID.issuer, options["openid"])

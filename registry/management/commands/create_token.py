"""`manage.py create_token <user>`."""

from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from audit.actors import Actor
from registry import terms, tokens
from registry.errors import Invalid, RegistryError
from registry.models import Token, User
from registry.terms import Terms

_MOST_DAYS = 36_500


class Command(BaseCommand):
    """Prints a new token, alone, on standard output."""

    help = (
        "Make a token for a user and print it alone on standard output; it cannot be shown again. Without options it "
        "does what its user may, but for an administrator's rights, and has no end."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Whose, and what it may do."""
        parser.add_argument("user")
        kind = parser.add_mutually_exclusive_group()
        kind.add_argument(
            "--read-only", dest="kind", action="store_const", const=Token.Kind.READ_ONLY, help="changes nothing"
        )
        kind.add_argument(
            "--automation", dest="kind", action="store_const", const=Token.Kind.AUTOMATION,
            help="publishes without a one-time password, and changes no account",
        )  # fmt: skip
        parser.add_argument("--admin", action="store_true", help="carries its user's rights as an administrator")
        parser.add_argument("--package", action="append", metavar="NAME", help="only for this one; can be repeated")
        parser.add_argument("--scope", action="append", metavar="@SCOPE", help="only for this one; can be repeated")
        parser.add_argument("--cidr", action="append", metavar="10.0.0.0/8", help="only from here; can be repeated")
        parser.add_argument("--expires", metavar="DAYS|DATE", help="after so many days, or at the start of a day (UTC)")
        parser.add_argument("--name", default="", help="what it is called in lists")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Make and print."""
        user = User.objects.filter(username=options["user"], is_active=True).first()
        if user is None:
            raise CommandError(f"there is no user {options['user']}: manage.py create_user {options['user']} makes one")
        try:
            issued = tokens.make(user, _terms(options), actor=Actor.system("manage.py create_token"))
        except RegistryError as error:
            raise CommandError(error.sentence) from error
        self.stdout.write(issued.secret)


def _terms(options: dict[str, Any]) -> Terms:
    packages, scopes = options["package"], options["scope"]
    is_limited = packages is not None or scopes is not None
    return Terms(
        kind=options["kind"] or (Token.Kind.GRANULAR if is_limited else Token.Kind.PUBLISH),
        name=terms.text(options["name"], most=255),
        is_admin=options["admin"],
        packages=terms.package_names(packages or ()) if is_limited else None,
        scopes=terms.scope_names(scopes or ()) if is_limited else None,
        orgs=[] if is_limited else None,
        cidrs=terms.networks(options["cidr"] or ()),
        expires_at=_end(options["expires"]) if options["expires"] is not None else None,
    )


def _end(words: str) -> datetime:
    if words.isascii() and words.isdecimal() and len(words) < 8:
        return terms.end_after(int(words), most=_MOST_DAYS)
    try:
        end = datetime.fromisoformat(words)
        end = end.astimezone(UTC) if end.tzinfo else end.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise Invalid(f'"{words}" is no time to end: give days, as in 90, or a date, as in 2030-12-31') from error
    if end <= timezone.now():
        raise Invalid(f"{words} has passed already: give days, as in 90, or a date to come")
    return end

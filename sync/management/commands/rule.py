"""`manage.py rule list|set|remove`."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.actors import Actor
from registry.errors import RegistryError
from sync import rules
from sync.models import ScopeRule

_ACTOR = Actor.system("manage.py rule")


class Command(BaseCommand):
    """Keeps the rules."""

    help = "Say which names come from which upstreams, or from nowhere. manage.py route tells what comes of it."

    def add_arguments(self, parser: CommandParser) -> None:
        """What to do, and with which."""
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="list|set|remove")
        verbs.add_parser("list", help="all rules")
        put = verbs.add_parser("set", help="make or change a rule")
        put.add_argument("pattern", help="a name, @scope, @scope/begin-*, begin-* or *")
        put.add_argument("mode", choices=ScopeRule.Mode.values)
        put.add_argument("upstreams", nargs="*", metavar="upstream", help="in order; none: the default one")
        put.add_argument("--tarballs", choices=["eager", "lazy"], default="", help="other than the mode has it")
        remove = verbs.add_parser("remove", help="let the next more general rule decide")
        remove.add_argument("pattern")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Do it, and say so."""
        try:
            match options["verb"]:
                case "list":
                    for rule in ScopeRule.objects.select_related("upstream").order_by("pattern"):
                        tarballs = [f"({rule.tarballs} tarballs)"] if rule.tarballs else []
                        self.stdout.write(" ".join([rule.pattern, rule.mode, *rules.names_of(rule), *tarballs]))
                case "set":
                    words = [options[key] for key in ("pattern", "mode", "upstreams")]
                    rule = rules.put(*words, tarballs=options["tarballs"], actor=_ACTOR)
                    self.stdout.write(f"names like {rule.pattern} are {rule.mode} now")
                case _:
                    rules.remove(options["pattern"], actor=_ACTOR)
                    self.stdout.write(f"the rule for {options['pattern']} was removed")
        except RegistryError as error:
            raise CommandError(error.sentence) from error

"""`manage.py route <pkg> [<pkg>…]`."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from registry.errors import Invalid
from registry.names import PackageName
from sync import routing


class Command(BaseCommand):
    """Says where packages come from."""

    help = "Say which rule and which upstreams the names of packages fall to, and why. Nothing is asked or changed."

    def add_arguments(self, parser: CommandParser) -> None:
        """Which, and for whom to say it."""
        parser.add_argument("packages", nargs="+", metavar="package")
        parser.add_argument("--json", action="store_true", help="a list of objects, for programs")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Say it, a block for each."""
        try:
            told = [routing.route(PackageName.parse(text)).told() for text in options["packages"]]
        except Invalid as error:
            raise CommandError(error.sentence) from error
        self.stdout.write(json.dumps(told, indent=2) if options["json"] else "\n\n".join(map(_block, told)))


def _block(told: dict[str, Any]) -> str:
    lines = {
        "rule": told["rule"] or "none fits",
        "mode": told["mode"],
        "upstreams": ", then ".join(told["upstreams"]) or "none",
        "why": told["why"],
        "here": told["here"] or "no",
    }
    return "\n".join([told["name"], *(f"  {word:<9}  {said}" for word, said in lines.items())])

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.actors import Actor
from registry.errors import RegistryError
from registry.names import PackageName
from sync import doubts
from sync.models import Doubt

_ACTOR = Actor.system("manage.py removals")


class Command(BaseCommand):
    help = "What is gone from its upstream and still here: list it, believe it, or keep it."

    def add_arguments(self, parser: CommandParser) -> None:
        """Three verbs; without one, the list."""
        verbs = parser.add_subparsers(dest="verb")
        listing = verbs.add_parser("list", help="what is gone there and here still; this is the default")
        listing.add_argument("--json", action="store_true", help="for programs")
        for verb, text in (
            ("believe", "make tombstones of it, as soon as the upstream says so once more"),
            ("keep", "serve it whatever becomes of it there; tombstones of late are served again"),
        ):
            one = verbs.add_parser(verb, help=text)
            one.add_argument("name", nargs="+", help="packages")
            one.add_argument("--reason", required=True, help="why, in ten characters or more")

    def handle(self, **options: Any) -> None:
        """Do what is asked; raises `CommandError` with a sentence when it cannot be."""
        verbs = {"believe": doubts.believe, "keep": doubts.keep}
        verb = verbs.get(options["verb"])
        if verb is None:
            self._list(is_json=bool(options.get("json")))
            return
        for text in options["name"]:
            try:
                verb(PackageName.parse(text), reason=options["reason"], actor=_ACTOR)
            except RegistryError as error:
                raise CommandError(error.sentence) from error
            self.stdout.write(f"{text}: {options['verb']}")

    def _list(self, *, is_json: bool) -> None:
        rows = [_told(doubt) for doubt in Doubt.objects.select_related("upstream").order_by("state", "name")]
        if is_json:
            self.stdout.write(json.dumps(rows, indent=2))
            return
        if not rows:
            self.stdout.write("Nothing that is here is gone from its upstream.")
        for row in rows:
            what = "all of it" if row["gone"] else f"{len(row['versions'])} versions"
            kept = f"; kept: {row['reason']}" if row["kept"] else ""
            self.stdout.write(f"{row['state']:9} {row['name']}: {what}. {row['answer']}{kept}")


def _told(doubt: Doubt) -> dict[str, Any]:
    return {
        "name": doubt.name,
        "upstream": doubt.upstream.name,
        "state": doubt.state,
        "gone": doubt.gone_since is not None,
        "versions": sorted(doubt.numbers),
        "kept": ["*"] if doubt.is_kept else doubt.kept,
        "answer": doubt.answer,
        "reason": doubt.reason,
        "looked at again": doubt.due_at.isoformat(),
    }

"""`manage.py upstream list|add|set|move|remove|test`."""

import getpass
import sys
from argparse import ArgumentParser, BooleanOptionalAction
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.actors import Actor
from registry.errors import RegistryError
from registry.names import PackageName
from sync import moving, routing, upstreams
from sync.http import UpstreamError
from sync.models import Upstream

_ACTOR = Actor.system("manage.py upstream")


class Command(BaseCommand):
    """Keeps the upstreams."""

    help = "Keep the registries that packages are fetched from. manage.py rule says which names come from which."

    def add_arguments(self, parser: CommandParser) -> None:
        """What to do, and with which."""
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="list|add|set|move|remove|test")
        verbs.add_parser("list", help="all upstreams, and how they are")
        add = verbs.add_parser("add", help="make one known")
        add.add_argument("name")
        add.add_argument("url", help="https://…, or file:///… for a folder of tarballs")
        change = verbs.add_parser("set", help="change one")
        change.add_argument("name")
        change.add_argument("--url")
        change.add_argument("--enabled", dest="is_enabled", action=BooleanOptionalAction, help="whether it is asked")
        change.add_argument("--no-token", action="store_true", help="forget its credentials")
        change.add_argument("--reset", action="store_true", help="ask it again at once, however often it failed")
        for verb in (add, change):
            _add_facts(verb)
        move = verbs.add_parser("move", help="let packages that came from one come from another")
        move.add_argument("name")
        move.add_argument("to")
        move.add_argument("packages", nargs="*", metavar="package", help="none: all that came from it")
        remove = verbs.add_parser("remove", help="forget one")
        remove.add_argument("name")
        remove.add_argument("--to", metavar="UPSTREAM", help="who takes over its packages, rules and tasks")
        test = verbs.add_parser("test", help="ask one for a package, and say what came; nothing is kept")
        test.add_argument("name")
        test.add_argument("package", nargs="?", default="npm")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Do it, and say so."""
        try:
            getattr(self, f"_{options['verb']}")(options)
        except (RegistryError, UpstreamError) as error:
            raise CommandError(error.sentence) from error

    def _list(self, options: dict[str, Any]) -> None:
        routing.default_upstream()
        for upstream in Upstream.objects.order_by("name"):
            health = f"failing: {upstream.last_error}" if upstream.failures else "well"
            credentials = "with credentials" if upstream.credentials else "without credentials"
            state = [health if upstream.is_enabled else "switched off", credentials]
            self.stdout.write(f"{upstream.name}  {upstream.kind}  {upstream.url}  {', '.join(state)}")

    def _add(self, options: dict[str, Any]) -> None:
        secret = _secret() if options["token_stdin"] else ""
        upstream = upstreams.add(options["name"], actor=_ACTOR, secret=secret, url=options["url"], **_facts(options))
        self.stdout.write(f"{upstream} is known; manage.py rule set <pattern> proxy {upstream} has names come from it")

    def _set(self, options: dict[str, Any]) -> None:
        name = options["name"]
        facts = _facts(options) | {key: options[key] for key in ("url", "is_enabled") if options[key] is not None}
        if facts:
            upstreams.change(name, actor=_ACTOR, **facts)
        if options["token_stdin"] or options["no_token"]:
            upstreams.set_credentials(name, _secret() if options["token_stdin"] else "", actor=_ACTOR)
        if options["reset"]:
            upstreams.reset(name, actor=_ACTOR)
        self._list(options)

    def _move(self, options: dict[str, Any]) -> None:
        packages = [PackageName.parse(text) for text in options["packages"]]
        moved = moving.move(options["name"], options["to"], packages, actor=_ACTOR)
        self.stdout.write(f"{moved} packages come from {options['to']} now")

    def _remove(self, options: dict[str, Any]) -> None:
        moving.remove(options["name"], to=options["to"], actor=_ACTOR)
        self.stdout.write(f"{options['name']} was removed")

    def _test(self, options: dict[str, Any]) -> None:
        trial = upstreams.try_out(options["name"], PackageName.parse(options["package"]))
        told = f"{options['name']} answered {trial.status} for {options['package']} in {trial.seconds:.2f} s"
        if trial.status != 200:
            raise CommandError(told)
        self.stdout.write(f"{told}: {trial.versions} versions, the latest {trial.latest}, {trial.size} bytes")


def _add_facts(parser: ArgumentParser) -> None:
    parser.add_argument("--kind", choices=Upstream.Kind.values)
    parser.add_argument("--feed-url", help="where its changes can be followed, if not where its kind has them")
    parser.add_argument("--max-at-once", type=int, help="how much sync tasks may ask of it at once; 0: no limit")
    parser.add_argument("--max-per-minute", type=int, help="and in a minute")
    parser.add_argument(
        "--token-stdin", action="store_true", help="read a token, or user:password, from standard input"
    )


def _facts(options: dict[str, Any]) -> dict[str, Any]:
    given = {key: options[key] for key in ("kind", "feed_url", "max_at_once", "max_per_minute")}
    return {key: value for key, value in given.items() if value is not None}


def _secret() -> str:
    if sys.stdin.isatty():
        return getpass.getpass("Token, or user:password: ")
    return sys.stdin.readline().rstrip("\n")

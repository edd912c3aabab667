from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from audit import chain


class Command(BaseCommand):
    help = "Verifies the audit trail: names the first event that was changed or is missing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=["verify"])

    def handle(self, *args: Any, **options: Any) -> None:
        verdict = chain.verify()
        if verdict.fault:
            raise CommandError(f"The audit trail is broken after {verdict.events} events: {verdict.fault}.")
        self.stdout.write(f"{verdict.events} events, unbroken. Head: {verdict.head or 'none'}")

"""`manage.py reindex`."""

from typing import Any

from django.core.management.base import BaseCommand

from registry.searching import indexing


class Command(BaseCommand):
    """Makes anew what search knows."""

    help = "Make anew what search knows of every package; needed only after a change of settings or policies."

    def handle(self, *_args: Any, **_options: Any) -> None:
        """Go through all packages."""
        self.stdout.write(f"{indexing.index_all()} packages were indexed")
